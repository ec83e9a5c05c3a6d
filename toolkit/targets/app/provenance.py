"""Who put there what a service runs: toolkit, as it is recorded, a stack, or somebody else; and
what they changed. Pure.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from toolkit.operations import RecordedDeploy
from toolkit.targets.app import definition as definitions

Shape = Mapping[str, Any]

MOST_NAMES = 8
"""How many names of one sort are shown."""
_STACK_TAG, _STACK_SESSION = "aws:cloudformation:stack-name", "/AWSCloudFormation"
_VARIABLES = ("environment", "secrets")


class Origin(StrEnum):
    """Where the running task definition comes from, as far as the record tells."""

    UNRECORDED = "unrecorded"
    """Nothing is recorded of the target."""
    RECORDED = "recorded"
    """It is that of the newest good deploy."""
    EARLIER = "earlier"
    """A deploy before the newest good one put it there: somebody has moved the service back."""
    LATER = "later"
    """A deploy after the newest good one put it there, or a run of toolkit that is recorded
    elsewhere.
    """
    STACK = "stack"
    """A CloudFormation stack put it there: it says how the tasks run, and toolkit which image."""
    FOREIGN = "foreign"
    """Somebody else put it there."""
    UNKNOWN = "unknown"
    """The record cannot be read."""


GIVING_WAY = (Origin.EARLIER, Origin.FOREIGN, Origin.UNKNOWN)
"""What a new revision is not based on, unless somebody says so."""


def origin(running: Shape, recorded: RecordedDeploy | None) -> Origin:
    """Whose a task definition is. By its ARN, whose content nobody can change, or by what it says:
    a mere copy is as good.
    """
    if recorded is None:
        return Origin.UNRECORDED
    content = definitions.digest(running)
    keys = {str(running.get("taskDefinitionArn", "")), content}
    newest = {recorded.detail.get("task definition", ""), recorded.deployed.definition} - {""}
    if keys & newest:
        return Origin.RECORDED
    if keys & set(recorded.later):
        return Origin.LATER
    if keys & set(recorded.earlier):
        return Origin.EARLIER
    if definitions.mark(running, "definition") == content:
        return Origin.LATER
    if recorded.problem:
        return Origin.UNKNOWN
    if is_from_stack(running):
        return Origin.STACK
    return Origin.FOREIGN


def is_from_stack(definition: Shape) -> bool:
    """Whether CloudFormation registered it: nobody else can write tags that begin with `aws:`."""
    return _STACK_TAG in definition["tags"] or str(definition.get("registeredBy", "")).endswith(
        _STACK_SESSION
    )


def stack_words(definition: Shape) -> str:
    """Which stack registered it, `stack Shop`; empty if none did."""
    if not is_from_stack(definition):
        return ""
    name = definition["tags"].get(_STACK_TAG)
    if name is None:
        return "a stack"
    return f"stack {name}"


def describe_changes(before: Shape, after: Shape) -> list[str]:
    """What differs between two task definitions, in words. Only the names of variables are shown,
    never a value.
    """
    lines: list[str] = []
    old, new = _by_name(before), _by_name(after)
    several = len(old | new) > 1
    lines += _describe_names("container", [name for name in new if name not in old], "added")
    lines += _describe_names("container", [name for name in old if name not in new], "removed")
    for name in new:
        if name in old:
            start = ""
            if several:
                start = f"container {name}: "
            lines += [f"{start}{words}" for words in _container_changes(old[name], new[name])]
    outer_old, outer_new = _outside_containers(before), _outside_containers(after)
    different = sorted(
        key
        for key in outer_old.keys() | outer_new.keys()
        if outer_old.get(key) != outer_new.get(key)
    )
    return lines + _describe_names("", different, "changed")


def _by_name(definition: Shape) -> dict[str, Shape]:
    return {
        str(container["name"]): container
        for container in definitions.content(definition)["containerDefinitions"]
    }


def _outside_containers(definition: Shape) -> dict[str, Any]:
    return {
        key: value
        for key, value in definitions.content(definition).items()
        if key != "containerDefinitions"
    }


def _container_changes(old: Shape, new: Shape) -> list[str]:
    lines: list[str] = []
    for key, noun in zip(_VARIABLES, ("variable", "secret"), strict=True):
        mine = {variable["name"]: variable for variable in definitions.named_entries(old.get(key))}
        theirs = {
            variable["name"]: variable for variable in definitions.named_entries(new.get(key))
        }
        lines += _describe_names(noun, [name for name in theirs if name not in mine], "added")
        lines += _describe_names(noun, [name for name in mine if name not in theirs], "removed")
        lines += _describe_names(
            noun,
            [name for name in mine if name in theirs and mine[name] != theirs[name]],
            "changed",
        )
    others = (old.keys() | new.keys()) - set(_VARIABLES)
    return lines + _describe_names(
        "", sorted(key for key in others if old.get(key) != new.get(key)), "changed"
    )


def _describe_names(noun: str, names: Sequence[str], verb: str) -> list[str]:
    """`variables A, B added`; nothing where there are no names."""
    if not names:
        return []
    more = ""
    if len(names) > MOST_NAMES:
        more = f" and {len(names) - MOST_NAMES} more"
    words = f"{', '.join(names[:MOST_NAMES])}{more} {verb}"
    if not noun:
        return [words]
    plural = "s" if len(names) > 1 else ""
    return [f"{noun}{plural} {words}"]
