"""The rules that a command works with: found, read, and ready to be asked."""

import os
from collections.abc import Callable, Collection

from toolkit import targets
from toolkit.errors import UsageError
from toolkit.impact import rules as rules_file
from toolkit.impact import toml
from toolkit.impact.touch import RuleBook
from toolkit.model import Rules, Target
from toolkit.plan.graph import Graph
from toolkit.ports import files
from toolkit.ports.git import Git


def load_rules(folder: str, named: str | None, git: Git | None) -> Rules:
    """The rules.toml that was named, or the nearest one. Raises RulesError, NoRules, FileProblem."""
    path = named or files.find_rules(folder, git.root if git and not git.bare else None)
    return read_rules(files.read(path, toml.MOST_BYTES), shown(path))


def read_rules(data: bytes, name: str) -> Rules:
    """The rules in these bytes. Raises RulesError."""
    return rules_file.load(data, name, targets.kind, tuple(targets.KINDS))


def shown(path: str) -> str:
    """A file's name as a person would write it from where they stand."""
    near = os.path.relpath(path)
    return path if near.startswith(os.path.join("..", "..", "..", "..")) else near


def rules_path(rules: Rules, git: Git | None) -> str | None:
    """rules.toml as git names it, None if it is not in the repository."""
    return None if git is None or git.bare else files.relative(rules.file, git.root)


def command(target: Target) -> str | None:
    """The command that deploys a target, None where only a person can."""
    found = targets.kind(target.kind).command(target.name, target.settings)
    return None if found is None else str(found)


def book(rules: Rules) -> RuleBook:
    """The rules, ready to be asked."""
    return RuleBook(rules, Graph(rules.targets).covered)


def owners(rules: Rules) -> Callable[[str], Collection[str] | None]:
    """For a path the targets whose files it belongs to, groups written out; None if no rule knows it."""
    graph = Graph(rules.targets)
    asked = RuleBook(rules, graph.covered)

    def owned(path: str) -> Collection[str] | None:
        called = asked.called(path, "unknown")
        return None if called.unmatched else set[str]().union(*(graph.leaves(one) for one in called.targets))

    return owned


def environment(asked: str | None, rules: Rules) -> str | None:
    """The name of the environment that is meant, None if rules.toml has none. Raises UsageError."""
    if asked is not None and asked not in rules.environments:
        raise UsageError(f"{rules.file} has no environment {asked!r}", f"it has {', '.join(rules.environments) or 'none'}")
    return asked or rules.environment
