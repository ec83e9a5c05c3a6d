"""What each target is built from besides what its rules match, as its kind says."""

from toolkit import targets
from toolkit.changes import inputs
from toolkit.flow.rulebook import find_environment
from toolkit.model import Inputs, Rules
from toolkit.ports.git import Git


def target_inputs(rules: Rules, named: str | None) -> dict[str, Inputs]:
    """What each target except groups is built from, in an environment."""
    environment = find_environment(named, rules)
    by_target: dict[str, Inputs] = {}
    for name, target in rules.targets.items():
        if target.members:
            continue
        built_from = targets.kind(target.kind).inputs(target.settings)
        if environment is not None and environment.vars and "{" in repr(built_from):
            from toolkit.formats.variables import fill_settings

            built_from = fill_settings(built_from, environment.vars)
        by_target[name] = built_from
    return by_target


def linked_files(rules: Rules) -> dict[str, inputs.Linked]:
    """For each target the function that says which other files its files refer to."""
    return {name: targets.kind(target.kind).linked for name, target in rules.targets.items()}


def input_targets(
    rules: Rules, named: str | None, git: Git | None, commit: str | None
) -> inputs.InputTargets:
    """Which targets are due when which files change.

    Links are followed as they are at a commit, or with None in the working tree.
    """
    tree: inputs.FileTree | None = None
    if git is not None and commit is not None:
        tree = inputs.CommitTree(git, commit)
    elif git is not None and not git.bare:
        tree = inputs.WorkTree(git.root)
    return inputs.used(target_inputs(rules, named), linked_files(rules), tree)
