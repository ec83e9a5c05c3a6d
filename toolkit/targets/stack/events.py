"""A stack's events, read from where the last look ended, become lines, a phase and the first real
cause.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.operations import TimedResource
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws

STACK = "AWS::CloudFormation::Stack"
MOST = 3000
"""How many events are searched for the beginning of an operation: its own can be a few for each of
500 resources.
"""
SLOWEST, LEAST_S = 5, 1.0
"""How many resources of a stack are told, and after how many seconds one is slow."""
SLACK = timedelta(seconds=5)
"""A nested stack's first event may bear an earlier time than the event of its parent that tells of
it.
"""

_BEGINNINGS = (
    "CREATE_IN_PROGRESS",
    "UPDATE_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
    "IMPORT_IN_PROGRESS",
)
_NOT_A_CAUSE = (
    "Resource creation cancelled",
    "Resource update cancelled",
    "Resource deletion cancelled",
    "The following resource(s) failed",
    "Nested stack",
    "Embedded stack",
    "User Initiated",
    "Rollback requested by user",
)


class StackMark(Struct, frozen=True):
    """How far one stack has been read, and what of it matters for the next look.

    `status` is the stack's own newest one in the operation, empty as long as nothing was seen of
    it; `reason` the newest that went with one of its states. `cause` is the first reason that tells
    of more than another failure.
    """

    last: str = ""
    began: datetime | None = None
    status: str = ""
    reason: str = ""
    done: frozenset[str] = frozenset()
    failed: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()
    cause: str = ""
    inner: Mapping[str, "StackMark"] = {}
    """Nested stack's id -> its own mark."""
    stale: int = 0
    since: Mapping[str, datetime] = {}
    times: Mapping[str, tuple[str, float]] = {}
    name: str = ""


def mark_since(when: object) -> StackMark:
    """Where to begin: at a moment of AWS's clock (ISO 8601), or wherever the operation began if
    nobody knows one.
    """
    if isinstance(when, str):
        return StackMark(began=datetime.fromisoformat(when) - SLACK)
    return StackMark()


def mark_now(aws: Aws, stack_id: str) -> StackMark:
    """Where to begin before a call is made: what has happened until now does not matter."""
    newest = next(iter(cfn.events(aws, stack_id)), None)
    if newest:
        return StackMark(last=newest["EventId"])
    return StackMark()


def read_events(
    aws: Aws, stack_id: str, token: str | None, mark: StackMark
) -> tuple[StackMark, tuple[str, ...]]:
    """What is new in a stack since `mark`: a new mark, and a line for each event. Raises
    CloudError.

    Only the operation with this client request token counts, and with None whatever is the newest
    one. Nested stacks are followed.
    """
    new_events = list(reversed(list(_new_events(aws, stack_id, token, mark))))
    lines: list[str] = []
    now = mark
    for event in new_events:
        now, line = _with_event(now, event, stack_id, token)
        if line:
            lines.append(line)
    inner = dict(now.inner)
    for nested in nested_stacks(new_events, stack_id, token):
        inner.setdefault(nested.id, StackMark(began=nested.began - SLACK, name=nested.name))
    for nested_id, nested_mark in sorted(inner.items()):
        inner[nested_id], more = _read_nested(aws, nested_id, nested_mark)
        lines += more
    cause = next((inner_mark.cause for inner_mark in inner.values() if inner_mark.cause), "")
    now = replace(now, inner=inner, cause=now.cause or cause)
    if new_events:
        now = replace(now, last=new_events[-1]["EventId"])
    return now, tuple(lines)


def _read_nested(aws: Aws, stack_id: str, mark: StackMark) -> tuple[StackMark, tuple[str, ...]]:
    """A nested stack: not read again once it has come to rest, and only from the beginning of its
    parent's operation.
    """
    if (
        is_at_rest(mark.status)
        and "ROLLBACK" not in mark.status
        and not mark.status.endswith("FAILED")
    ):
        return mark, ()
    return read_events(aws, stack_id, None, mark)


def is_at_rest(status: str) -> bool:
    """Whether a stack's status is one that it stays in by itself. What is cleaned up after it
    counts as its end.
    """
    return bool(status) and (
        not status.endswith("_IN_PROGRESS") or status.endswith("_COMPLETE_CLEANUP_IN_PROGRESS")
    )


def _new_events(
    aws: Aws, stack_id: str, token: str | None, mark: StackMark
) -> Iterable[dict[str, Any]]:
    """The events since the mark, newest first: without one, back to the beginning of the
    operation.
    """
    for count, event in enumerate(
        takewhile(lambda candidate: candidate["EventId"] != mark.last, cfn.events(aws, stack_id))
    ):
        if mark.began is not None and event["Timestamp"] < mark.began:
            return  # older than the operation
        yield event
        began = is_own(event, stack_id) and event.get("ResourceStatus") in _BEGINNINGS
        if began and not mark.last and (token is None or event.get("ClientRequestToken") == token):
            return
        # A stack that is updated often has events without end.
        if count >= MOST:
            return


def is_own(event: Mapping[str, Any], stack_id: str) -> bool:
    return event.get("PhysicalResourceId") == stack_id and event.get("ResourceType") == STACK


def _is_ours(event: Mapping[str, Any], token: str | None, mark: StackMark) -> bool:
    """Whether an event belongs to the operation: by its token, or because that one was running (who
    cancels it brings another token).
    """
    return (
        token is None
        or event.get("ClientRequestToken") == token
        or (bool(mark.status) and not is_at_rest(mark.status))
    )


def _with_event(
    mark: StackMark, event: Mapping[str, Any], stack_id: str, token: str | None
) -> tuple[StackMark, str]:
    """One event more, oldest first."""
    if not _is_ours(event, token, mark):
        return mark, ""
    status, name = str(event.get("ResourceStatus", "")), str(event.get("LogicalResourceId", ""))
    if is_own(event, stack_id):
        if status == "REVIEW_IN_PROGRESS":
            return mark, ""  # a change set was created: the operation itself has not begun
        began = mark.began or event["Timestamp"]
        if "ROLLBACK_IN_PROGRESS" in status:
            fresh = replace(mark, done=frozenset(), failed=(), busy=())
        else:
            fresh = mark
        cause = mark.cause or _own_cause(event)
        return replace(
            fresh, status=status, reason=_reason(event) or mark.reason, cause=cause, began=began
        ), event_line(event)
    mark = _with_time(mark, name, event)
    busy = tuple(resource for resource in mark.busy if resource != name)
    if status.endswith("_IN_PROGRESS"):
        return replace(mark, busy=(*busy, name), done=mark.done - {name}), event_line(event)
    failed = tuple(resource for resource in mark.failed if resource != name)
    if status.endswith("_FAILED"):
        failed += (name,)
    return replace(
        mark, busy=busy, done=mark.done | {name}, failed=failed, cause=mark.cause or _cause(event)
    ), event_line(event)


def _with_time(mark: StackMark, name: str, event: Mapping[str, Any]) -> StackMark:
    """When the change of a resource began, or for how long it went on. One whose begin was not seen
    has no time.
    """
    since, when = dict(mark.since), event["Timestamp"]
    if str(event.get("ResourceStatus", "")).endswith("_IN_PROGRESS"):
        since.setdefault(name, when)
        return replace(mark, since=since)
    began = since.pop(name, None)
    if began is None:
        return mark
    before_s = mark.times.get(name, ("", 0.0))[1]
    time = str(event.get("ResourceType")), before_s + (when - began).total_seconds()
    return replace(mark, since=since, times={**mark.times, name: time})


def slowest(mark: StackMark) -> tuple[TimedResource, ...]:
    """The resources whose changes took longest, the slowest first; none that took no time worth a
    word. A nested stack's own time is that of the resources in it.
    """
    resources = [each for each in _timed(mark, "") if each.took_s >= LEAST_S]
    resources.sort(key=lambda resource: (-resource.took_s, resource.name))
    return tuple(resources[:SLOWEST])


def _timed(mark: StackMark, within: str) -> Iterator[TimedResource]:
    nested = {inner.name for inner in mark.inner.values() if inner.times}
    for name, (kind, took_s) in mark.times.items():
        if name not in nested:
            yield TimedResource(f"{within}{name}", kind, round(took_s, 1))
    for inner in mark.inner.values():
        yield from _timed(inner, f"{within}{inner.name}/")


class NestedStack(Struct, frozen=True):
    """A nested stack that events tell of: its id, since when, and its name in its parent."""

    id: str
    began: datetime
    name: str


def nested_stacks(
    events: Iterable[Mapping[str, Any]], stack_id: str, token: str | None
) -> list[NestedStack]:
    """Nested stacks that events tell of."""
    return [
        NestedStack(
            str(event["PhysicalResourceId"]),
            event["Timestamp"],
            str(event.get("LogicalResourceId", "")),
        )
        for event in events
        if event.get("ResourceType") == STACK
        and str(event.get("PhysicalResourceId") or "").startswith("arn:")
        and not is_own(event, stack_id)
        and (token is None or event.get("ClientRequestToken") == token)
    ]


def _cause(event: Mapping[str, Any]) -> str:
    """Why a resource failed, empty if it did not, or only because another one had."""
    reason = _reason(event)
    if not str(event.get("ResourceStatus", "")).endswith("_FAILED") or any(
        reason.startswith(prefix) for prefix in _NOT_A_CAUSE
    ):
        return ""
    return (
        f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}):"
        f" {reason or event.get('ResourceStatus')}"
    )


def _own_cause(event: Mapping[str, Any]) -> str:
    """Why the stack itself failed where no resource has: an export that is in use, or is missing,
    is reported nowhere else.
    """
    status, reason = str(event.get("ResourceStatus", "")), _reason(event)
    if not (status.endswith("_FAILED") or "ROLLBACK_IN_PROGRESS" in status) or any(
        reason.startswith(prefix) for prefix in _NOT_A_CAUSE
    ):
        return ""
    return reason


def _reason(event: Mapping[str, Any]) -> str:
    return " ".join(str(event.get("ResourceStatusReason") or "").split())


def event_line(event: Mapping[str, Any]) -> str:
    """`AWS::SQS::Queue Jobs CREATE_FAILED: …`; a reason only where something failed, or is rolled
    back for it.
    """
    status = str(event.get("ResourceStatus", ""))
    detail = ""
    if event.get("DetailedStatus"):
        detail = f" ({event['DetailedStatus']})"
    tells = status.endswith("_FAILED") or "ROLLBACK_IN_PROGRESS" in status
    failed = ""
    if tells and _reason(event):
        failed = f": {_reason(event)}"
    return f"{event.get('ResourceType')} {event.get('LogicalResourceId')} {status}{detail}{failed}"


def phase(mark: StackMark, total: int) -> str:
    """What goes on, in a few words: how far it is, and what it waits for."""
    if not mark.status:
        return "waiting for CloudFormation to begin"
    verb = ""
    if "ROLLBACK" in mark.status:
        verb = "rolling back: "
    of = ""
    if total and not verb:
        of = f" of {max(total, len(mark.done))}"
    waiting = ""
    if mark.busy:
        waiting = f", waiting for {mark.busy[-1]}"
    return f"{verb}{len(mark.done)}{of} resources{waiting}"
