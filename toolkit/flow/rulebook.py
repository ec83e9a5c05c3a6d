"""The rules that a command works with: found, read, and ready to be asked."""

import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import msgspec

from toolkit import targets
from toolkit.errors import Problem, RulesError, UsageError
from toolkit.impact import rules as rules_file
from toolkit.impact import toml
from toolkit.impact.reading import nearest
from toolkit.impact.touch import RuleBook
from toolkit.model import Rules, Target
from toolkit.plan.graph import Graph
from toolkit.ports import debug, files
from toolkit.ports.git import Git
from toolkit.targets.base import LOOKING

if TYPE_CHECKING:  # most commands ask nothing of the live system
    from toolkit.impact.checks import CheckTypes


def load_rules(folder: str, named: str | None, git: Git | None) -> Rules:
    """The rules.toml that was named, or the nearest one. Raises RulesError, NoRules,
    FileProblem.
    """
    if named:
        debug.tell("rules", named, why="named")
        return read_rules(bytes_of(named), shown(named))
    root = git.root if git and not git.bare else None
    path = files.find_rules(folder, root)
    debug.tell("rules", path, why="the nearest one", folder=folder)
    return read_rules(bytes_of(path, root or os.path.dirname(path)), shown(path))


def bytes_of(path: str, root: str | None = None) -> bytes:
    """A file of rules as it is on disk. Raises FileProblem, and RulesError with its real size where
    that is too much.

    One that the repository names has to lie in it: `root`.
    """
    data = (
        files.read(path, toml.MOST_BYTES)
        if root is None
        else files.read_inside(root, path, toml.MOST_BYTES)
    )
    if len(data) > toml.MOST_BYTES:
        raise RulesError(shown(path), [Problem(None, "", toml.too_long(files.size(path)))])
    return data


def read_rules(data: bytes, name: str, draft: bool = False) -> Rules:
    """The rules in these bytes; in a draft variables may be empty still. Raises RulesError."""
    return rules_file.load(data, name, targets.kind, targets.NAMES, sorts, draft)


def sorts() -> "CheckTypes":
    """The sorts of checks that there are, for the reader of rules.toml."""
    from toolkit import checks
    from toolkit.checks import values
    from toolkit.impact.checks import CheckTypes

    return CheckTypes(
        tuple(checks.CHECK_TYPES), checks.check_type, values.names, values.misused, values.BUILT_IN
    )


def shown(path: str) -> str:
    """A file's name as a person would write it from where they stand."""
    near = os.path.relpath(path)
    return path if near.startswith(os.path.join("..", "..", "..", "..")) else near


def rules_path(rules: Rules, git: Git | None) -> str | None:
    """rules.toml as git names it, None if it is not in the repository."""
    return None if git is None or git.bare else files.relative(rules.file, git.root)


def command(target: Target) -> str | None:
    """The command that deploys a target, None where only a person can, or this version of toolkit
    cannot yet.
    """
    kind = targets.kind(target.kind)
    if not target.members and kind.runnable(target.settings) is not None:
        return None
    found = kind.command(target.name, target.settings)
    return None if found is None else str(found)


def instructions(rules: Rules) -> dict[str, str | None]:
    """The targets that toolkit cannot deploy, and what a person has to do about each, or why."""
    found: dict[str, str | None] = {}
    for target in rules.targets.values():
        if not target.members and command(target) is None:
            kind = targets.kind(target.kind)
            found[target.name] = kind.instructions(target.settings) or kind.runnable(
                target.settings
            )
    return found


def book(rules: Rules) -> RuleBook:
    """The rules, ready to be asked."""
    return RuleBook(rules, Graph(rules.targets).covered)


def settled(rules: Rules, named: str | None) -> dict[str, bytes]:
    """What decides besides files how each target that is no group is deployed to an environment, as
    bytes that can be compared.
    """
    from toolkit.run.jobs import fill_settings

    found = rules.environments.get(named) if named else None
    variables, account = (found.vars, found.account) if found else ({}, None)

    def bytes_of(target: Target) -> bytes:
        settings = msgspec.to_builtins(fill_settings(target.settings, variables))
        deciding = {key: value for key, value in settings.items() if key not in LOOKING}
        return msgspec.json.encode((target.kind, account, deciding), order="sorted")

    return {name: bytes_of(target) for name, target in rules.targets.items() if not target.members}


def settings_digest(settings: bytes) -> str:
    """The digest of a target's settings, as its version holds it."""
    import hashlib  # `diff` seldom needs it, and OpenSSL takes as long to load as a git call

    return hashlib.sha256(settings).hexdigest()


def owners(rules: Rules, own: str | None) -> Callable[[str], Collection[str] | None]:
    """For a path the targets whose files it belongs to, groups written out; None where it may
    belong to any: no rule knows it, or it is rules.toml itself (`own`), which says how they are all
    deployed.
    """
    graph = Graph(rules.targets)
    asked = RuleBook(rules, graph.covered)

    def owned(path: str) -> Collection[str] | None:
        called = asked.impact_of(path, "unknown")
        return (
            None
            if called.unmatched or path == own
            else set[str]().union(*(graph.leaves(one) for one in called.targets))
        )

    return owned


def uncounted(plan: str | None, rules: Rules, git: Git) -> str | None:
    """A plan's own file where it is no change: no rule knows it. Inside of what is deployed it
    would be deployed, too.
    """
    known_by_no_rule = plan is not None and owners(rules, rules_path(rules, git))(plan) is None
    return plan if known_by_no_rule else None


def fallback(rules: Rules) -> frozenset[str]:
    """The targets that a path belongs to which no rule knows, groups written out: those of
    `unmatched`, if it names one.
    """
    named = rules.targets.get(rules.unmatched)
    return frozenset() if named is None else Graph(rules.targets).leaves(named.name)


def environment(asked: str | None, rules: Rules) -> str | None:
    """The name of the environment that is meant, None if rules.toml has none. Raises UsageError."""
    if asked is not None and asked not in rules.environments:
        names = tuple(rules.environments)
        has = f"it has {', '.join(names) or 'none'}"
        raise UsageError(
            f"{rules.file} has no environment {asked!r}", f"{nearest(asked, names)} {has}".strip()
        )
    if (
        asked is None
        and rules.environment is not None
        and rules.environment not in rules.environments
    ):
        raise UsageError(
            f"the default environment is {rules.environment!r} at {rules.trust.ref}, and"
            f" {rules.file} has none of that name",
            f"name one with --env: {', '.join(rules.environments) or 'there is none'}",
        )
    return asked or rules.environment
