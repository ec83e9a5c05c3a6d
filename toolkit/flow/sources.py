"""What each target is built from besides what its rules match: asked of its kind."""

from toolkit import targets
from toolkit.changes import inputs
from toolkit.model import Inputs, Rules
from toolkit.ports.git import Git


def inputs_of(rules: Rules, named: str | None) -> dict[str, Inputs]:
    """What each target that is no group is built from, in an environment."""
    environment = rules.environments.get(named) if named else None
    variables = environment.vars if environment else {}
    found: dict[str, Inputs] = {}
    for name, target in rules.targets.items():
        if target.members:
            continue
        own = targets.kind(target.kind).inputs(target.settings)
        if variables and "{" in repr(own):
            from toolkit.run.jobs import fill_settings

            own = fill_settings(own, variables)
        found[name] = own
    return found


def linked_of(rules: Rules) -> dict[str, inputs.Linked]:
    """For each target what says which files its own refer to."""
    return {name: targets.kind(target.kind).linked for name, target in rules.targets.items()}


def used(
    rules: Rules, named: str | None, git: Git | None, commit: str | None
) -> inputs.InputTargets:
    """Which targets are due when which files change.

    Links are followed as they are at a commit, or with None in the working tree.
    """
    own = inputs_of(rules, named)
    tree: inputs.FileTree | None = None
    if git is not None and commit is not None:
        tree = inputs.CommitTree(git, commit)
    elif git is not None and not git.bare:
        tree = inputs.WorkTree(git.root)
    return inputs.used(own, linked_of(rules), tree)
