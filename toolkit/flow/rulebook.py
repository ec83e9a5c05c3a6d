"""The rules that a command works with: found, read, and ready to match paths."""

import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.config import rules as rules_file
from toolkit.config.reader import nearest
from toolkit.errors import Problem, RulesError, UsageError
from toolkit.formats import toml
from toolkit.impact.touch import RuleBook
from toolkit.model import ChangeStatus, CheckTypeName, Environment, Rules, Target
from toolkit.plan.graph import Graph
from toolkit.ports import debug, files
from toolkit.ports.git import Git
from toolkit.targets.base import LOOKING

if TYPE_CHECKING:  # most commands run no checks
    from toolkit.config.checks import CheckTypes


def load_rules(folder: str, named: str | None, git: Git | None) -> Rules:
    """The rules.toml that was named, or the nearest one. Raises RulesError, NoRules,
    FileProblem.
    """
    if named:
        debug.tell("rules", named, why="named")
        return read_rules(read_rules_bytes(named), display_path(named))
    root = git.root if git and not git.bare else None
    path = files.find_rules(folder, root)
    debug.tell("rules", path, why="the nearest one", folder=folder)
    return read_rules(read_rules_bytes(path, root or os.path.dirname(path)), display_path(path))


def read_rules_bytes(path: str, root: str | None = None) -> bytes:
    """A file of rules as it is on disk. Raises FileProblem, and RulesError with its real size where
    that is too much.

    One that the repository names has to lie in it: `root`.
    """
    if root is None:
        data = files.read(path, toml.MOST_BYTES)
    else:
        data = files.read_inside(root, path, toml.MOST_BYTES)
    if len(data) > toml.MOST_BYTES:
        problem = Problem(None, "", toml.too_long(files.size(path)))
        raise RulesError(display_path(path), [problem])
    return data


def read_rules(data: bytes, name: str, draft: bool = False) -> Rules:
    """The rules in these bytes; in a draft variables may be empty still. Raises RulesError."""
    return rules_file.load(data, name, targets.kind, targets.NAMES, check_types, draft)


def check_types() -> "CheckTypes":
    """The types of checks that exist, for the reader of rules.toml."""
    from toolkit import checks
    from toolkit.checks import values
    from toolkit.config.checks import CheckTypes

    return CheckTypes(tuple(map(str, CheckTypeName)), checks.check_type, values.BUILT_IN)


def display_path(path: str) -> str:
    """A file's name as a person would write it from where they stand."""
    near = os.path.relpath(path)
    return path if near.startswith(os.path.join("..", "..", "..", "..")) else near


def rules_path(rules: Rules, git: Git | None) -> str | None:
    """rules.toml as git names it, None if it is not in the repository."""
    return None if git is None or git.bare else files.relative(rules.file, git.root)


def evidence_name(rules_file: str) -> str:
    """The file beside a rules.toml that says what `rules observe` has proven."""
    return f"{rules_file.removesuffix('.toml')}.observed.json"


def own_paths(path: str | None) -> frozenset[str]:
    """The paths of rules.toml and its evidence, which no rule has to match."""
    return frozenset() if path is None else frozenset((path, evidence_name(path)))


def deploy_command(target: Target) -> NextCommand | None:
    """The command that deploys a target, None where only a person can, or this version of toolkit
    cannot yet.
    """
    kind = targets.kind(target.kind)
    if not target.members and kind.runnable(target.settings) is not None:
        return None
    command: NextCommand | None = kind.command(target.name, target.settings)
    return command


def instructions(rules: Rules) -> dict[str, str | None]:
    """The targets that toolkit cannot deploy, and what a person has to do about each, or why."""
    by_target: dict[str, str | None] = {}
    for target in rules.targets.values():
        if not target.members and deploy_command(target) is None:
            kind, settings = targets.kind(target.kind), target.settings
            by_target[target.name] = kind.instructions(settings) or kind.runnable(settings)
    return by_target


def rule_book(rules: Rules) -> RuleBook:
    """The rules, ready to match paths."""
    return RuleBook(rules, Graph(rules.targets).covered)


def target_settings(rules: Rules, named: str | None) -> dict[str, bytes]:
    """What decides, apart from files, how each target except groups is deployed to an environment,
    as bytes that can be compared.
    """
    from toolkit.formats.variables import fill_settings

    environment = find_environment(named, rules)
    account = environment.account if environment else None
    variables = variables_of(environment)
    by_target: dict[str, bytes] = {}
    for name, target in rules.targets.items():
        if target.members:
            continue
        settings = msgspec.to_builtins(fill_settings(target.settings, variables))
        deciding = {key: setting for key, setting in settings.items() if key not in LOOKING}
        content = (target.kind, account, deciding)
        by_target[name] = msgspec.json.encode(content, order="sorted")
    return by_target


def settings_digest(settings: bytes) -> str:
    """The digest of a target's settings, as its version holds it."""
    import hashlib  # `diff` seldom needs it, and OpenSSL takes as long to load as a git call

    return hashlib.sha256(settings).hexdigest()


def path_owners(rules: Rules, own: str | None) -> Callable[[str], Collection[str] | None]:
    """For a path the targets whose files it belongs to, groups written out; None where it may
    belong to any: no rule matches it, or it is rules.toml itself (`own`), which says how they are
    all deployed. Its evidence deploys nothing.
    """
    graph = Graph(rules.targets)
    book = RuleBook(rules, graph.covered)

    unknown = ChangeStatus.UNKNOWN
    evidence = None if own is None else evidence_name(own)
    leaves: dict[tuple[str, ...], Collection[str]] = {}

    def owners(path: str) -> Collection[str] | None:
        called = book.impact_of(path, unknown)
        if called.unmatched and path == evidence:
            return ()
        if called.unmatched or path == own:
            return None
        owned = leaves.get(called.targets)
        if owned is None:  # many paths call for the same targets
            owned = frozenset[str]().union(*(graph.leaves(name) for name in called.targets))
            leaves[called.targets] = owned
        return owned

    return owners


def uncounted_plan(plan: str | None, rules: Rules, git: Git) -> str | None:
    """A plan's own file where it does not count as a change: no rule matches it. Inside of what is
    deployed it would be deployed, too.
    """
    if plan is None or path_owners(rules, rules_path(rules, git))(plan) is not None:
        return None
    return plan


def fallback_targets(rules: Rules) -> frozenset[str]:
    """The targets that a path belongs to which no rule matches, groups written out: those of
    `unmatched`, if it names one.
    """
    named = rules.targets.get(rules.unmatched)
    return frozenset() if named is None else Graph(rules.targets).leaves(named.name)


def environment_name(name: str | None, rules: Rules) -> str | None:
    """The environment that was named, else the default one, None if rules.toml has none. Raises
    UsageError.
    """
    existing = tuple(rules.environments)
    names = ", ".join(existing)
    if name is not None:
        if name not in existing:
            hint = f"{nearest(name, existing)} it has {names or 'none'}".strip()
            raise UsageError(f"{rules.file} has no environment {name!r}", hint)
        return name or rules.environment
    if rules.environment is not None and rules.environment not in existing:
        raise UsageError(
            f"the default environment is {rules.environment!r} at {rules.trust.ref}, but "
            f"{rules.file} has no such environment",
            f"choose one with --env: {names or 'there is none'}",
        )
    return rules.environment


def chosen_environment(name: str | None, rules: Rules) -> str | None:
    """The same for what changes something: where rules.toml has environments, nothing is changed
    without one, in whatever account the credentials are for. Raises UsageError.
    """
    chosen = environment_name(name, rules)
    if chosen is None and rules.environments:
        raise UsageError(
            f"{rules.file} has {len(rules.environments)} environments, and no default",
            f"choose one with -e: {', '.join(rules.environments)}",
        )
    return chosen


def find_environment(name: str | None, rules: Rules) -> Environment | None:
    """The environment of that name, None where there is none."""
    return rules.environments.get(name or "")


def variables_of(environment: Environment | None) -> Mapping[str, str]:
    """The variables of an environment, if there is one."""
    return {} if environment is None else environment.vars
