"""Whether a stack's resources still are what its template says: CloudFormation looks at each of
them, on request.

Both of its answers count, that on the stack and that on its resources: it calls a stack in sync
while one of its resources is modified. Only properties that the template sets count, and of those
not what is only written in another way.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolkit.advice import Advice, ShellCommand
from toolkit.errors import CloudError
from toolkit.formats.words import count
from toolkit.operations import Drift, Job
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import Clock
from toolkit.ports.ports import Ports
from toolkit.targets.stack import events
from toolkit.targets.stack.observe import stack_name

POLL_S = 2.0
LATE = "its drift was not known at the deadline"
_EMPTY: tuple[Any, ...] = (None, "", [], {})
_AWS_TAG = "aws:"


class StackDrift(Struct, frozen=True):
    """The drift of one stack, by its name or id."""

    stack: str
    drift: Drift


def detect(job: Job, ports: Ports, until: float) -> Drift | None:
    """See targets/base.py."""
    return together(stack_drifts(job, ports, until))


def stack_drifts(job: Job, ports: Ports, until: float) -> dict[str, StackDrift]:
    """The drift of a stack (under no name), and of those nested in it, by their logical ids: a look
    at a stack leaves these out. Nothing where `live` says what is wrong. Raises CloudError.
    """
    aws, name = ports.aws(job.location), stack_name(job)
    stack = cfn.stack(aws, name)
    if stack is None or not events.is_at_rest(str(stack["StackStatus"])):
        return {}
    drifts: dict[str, StackDrift] = {}
    ids = {"": str(stack["StackId"])}
    while ids:
        path, stack_id = ids.popitem()
        try:
            drift, nested = _detect_in_stack(aws, stack_id, ports.clock, until)
        except CloudError as problem:
            drift, nested = Drift(unknown=f"its drift could not be detected: {problem}"), {}
        drifts[path] = StackDrift(stack_id if path else name, drift)
        ids |= {f"{path}/{inner}".lstrip("/"): id_ for inner, id_ in nested.items()}
    return drifts


def _detect_in_stack(
    aws: Aws, stack_id: str, clock: Clock, until: float
) -> tuple[Drift, dict[str, str]]:
    """The drift of one stack, and the ids of the stacks nested in it. Raises CloudError."""
    if clock.elapsed() >= until:
        return Drift(unknown=LATE), {}
    detection = cfn.detect_drift(aws, stack_id)
    status = cfn.drift_detection(aws, detection)
    while status.get("DetectionStatus") == "DETECTION_IN_PROGRESS":
        if clock.elapsed() >= until:
            return Drift(unknown=LATE), {}
        clock.wait(POLL_S)
        status = cfn.drift_detection(aws, detection)
    # Removed resources are listed for a while.
    resources = [
        resource
        for resource in cfn.resource_summaries(aws, stack_id)
        if resource["ResourceStatus"] != "DELETE_COMPLETE"
    ]
    nested = {
        str(resource["LogicalResourceId"]): str(resource["PhysicalResourceId"])
        for resource in resources
        if resource["ResourceType"] == events.STACK and resource.get("PhysicalResourceId")
    }
    return read_drift(status, cfn.resource_drifts(aws, stack_id), resources), nested


def together(drifts: Mapping[str, StackDrift]) -> Drift | None:
    """The drift of several stacks, each told with its name; one without a name is told as it is.
    None where there are no stacks. Pure.
    """
    if not drifts:
        return None

    def named(name: str, words: str) -> str:
        return f"{name}: {words}" if name else words

    several = [(name, each.drift) for name, each in drifts.items()]
    drifted = [each.stack for each in drifts.values() if each.drift.differences]
    return Drift(
        tuple(named(name, words) for name, drift in several for words in drift.differences),
        "; ".join(named(name, drift.unknown) for name, drift in several if drift.unknown),
        sum(drift.ignored for _, drift in several),
        tuple(named(name, note) for name, drift in several for note in drift.notes),
        fix(*drifted) if drifted else "",
    )


def fix(*stacks: str) -> Advice:
    """What to do about the drift of these stacks. The same template again changes nothing:
    CloudFormation compares templates.
    """
    shown = ("--stack-resource-drift-status-filters", "MODIFIED", "DELETED")
    command = "aws cloudformation describe-stack-resource-drifts --stack-name"
    detect_again = "aws cloudformation detect-stack-drift --stack-name"
    return (
        "undo what was changed, or take it over into the template; what differs:",
        *_each(ShellCommand(command, (stack, *shown)) for stack in stacks),
        "; then check again:",
        *_each(ShellCommand(detect_again, (stack,)) for stack in stacks),
    )


def _each(commands: Iterable[ShellCommand]) -> Iterator[str | ShellCommand]:
    for number, command in enumerate(commands):
        if number:
            yield "and"
        yield command


def read_drift(
    status: Mapping[str, Any],
    drifts: Iterable[Mapping[str, Any]],
    resources: Iterable[Mapping[str, Any]] = (),
) -> Drift:
    """What the status of a detection and the drifts of the resources say together. Of `resources`,
    which are all of the stack, those are not checked that have no drift; a nested stack is looked
    at by itself. Pure.
    """
    differences: list[str] = []
    unknown: list[str] = []
    unchecked = {
        resource["LogicalResourceId"]
        for resource in resources
        if resource["ResourceType"] != events.STACK
    }
    ignored = 0
    for resource in drifts:
        name, state = resource["LogicalResourceId"], resource["StackResourceDriftStatus"]
        if state in ("NOT_CHECKED", "UNSUPPORTED"):
            if resource["ResourceType"] != events.STACK:
                unchecked.add(name)
            continue
        unchecked.discard(name)
        if state == "DELETED":
            differences.append(f"{name} was deleted")
        elif state == "MODIFIED":
            paths, without_meaning = _modified(resource)
            ignored += without_meaning
            if paths:
                differences.append(f"{name} was changed ({', '.join(paths)})")
        elif state != "IN_SYNC":
            unknown.append(str(name))
    if status.get("StackDriftStatus") == "DRIFTED" and not differences and not ignored:
        differences.append("CloudFormation says that it drifted, but of no resource")
    notes = tuple(_notes(ignored, len(unchecked)))
    return Drift(tuple(differences), _unknown(status, unknown), ignored, notes)


def _notes(ignored: int, unchecked: int) -> Iterator[str]:
    if ignored:
        yield f"drift: {count(ignored, 'difference')} without a meaning, such as defaults, left out"
    if unchecked:
        yield f"drift: {count(unchecked, 'resource')} that CloudFormation cannot check"


def _unknown(status: Mapping[str, Any], names: Sequence[str]) -> str:
    """Why some of it could not be looked at: these resources, or all."""
    if names:
        return f"the drift of {', '.join(names)} could not be read"
    if status.get("DetectionStatus") == "DETECTION_COMPLETE":
        return ""
    reason = " ".join(str(status.get("DetectionStatusReason") or "").split())
    return "its drift could not be detected" + (f": {reason}" if reason else "")


def _modified(resource: Mapping[str, Any]) -> tuple[list[str], int]:
    """The paths of the properties that differ, and how many differences say nothing. Without a
    single difference nobody knows which: that counts.
    """
    expected = _json(resource.get("ExpectedProperties"))
    differences = resource.get("PropertyDifferences") or ()
    if not differences:
        return ["nobody knows what"], 0
    paths: dict[str, None] = {}
    ignored = 0
    for difference in differences:
        path = str(difference.get("PropertyPath", ""))
        if _has_meaning(difference, path, expected):
            paths[path.strip("/").split("/")[0]] = None
        else:
            ignored += 1
    return list(paths), ignored


def _has_meaning(difference: Mapping[str, Any], path: str, expected: Any) -> bool:
    """Whether something that the template sets is another one. What was added to a list that it
    sets counts; a property that it does not set is a default, or somebody else's.
    """
    before, now = _json(difference.get("ExpectedValue")), _json(difference.get("ActualValue"))
    parts = path.strip("/").split("/")
    if isinstance(expected, Mapping) and parts[0] not in expected:
        return False
    if difference.get("DifferenceType") == "ADD" and _is_unset(parts, expected):
        return False
    if parts[0] == "Tags" and _is_aws_tag(now) and before in _EMPTY:
        return False
    return bool(_plain(before) != _plain(now))


def _is_unset(parts: list[str], expected: Any) -> bool:
    """Whether a path leads to a property that the template does not set; not into a list."""
    for part in parts:
        if not isinstance(expected, Mapping):
            return False
        if part not in expected:
            return True
        expected = expected[part]
    return False


def _is_aws_tag(tag: Any) -> bool:
    return isinstance(tag, Mapping) and str(tag.get("Key", "")).startswith(_AWS_TAG)


def _json(text: Any) -> Any:
    """A value as CloudFormation shows it: JSON, or just text."""
    if text in (None, "null"):
        return None
    try:
        return json.loads(str(text))
    except (ValueError, RecursionError):
        return str(text)


def _plain(value: Any) -> Any:
    """A value in the one way in which all that means the same is written: numbers and truth values
    as text, what is empty as nothing, a list of one as its item, and lists in any order.
    """
    if value in _EMPTY:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        inner = _json(value) if value[:1] in "[{" else value
        return value if isinstance(inner, str) else _plain(inner)
    if isinstance(value, Mapping):
        plain = {str(key): _plain(inner) for key, inner in value.items()}
        return {key: inner for key, inner in plain.items() if inner is not None}
    items = [_plain(item) for item in value]
    return items[0] if len(items) == 1 else sorted(items, key=lambda item: json.dumps(item))
