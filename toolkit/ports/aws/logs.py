"""CloudWatch Logs: the last lines of a stream; a stream, or a whole group, page by page."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError, NotAllowed
from toolkit.ports.aws.client import Aws


def tail(aws: Aws, group: str, stream: str, most: int) -> tuple[str, ...]:
    """The last lines of a stream, oldest first; none if there is no such stream, or it may not be
    read.
    """
    try:
        answer = aws.read(
            "logs",
            "get_log_events",
            logGroupName=group,
            logStreamName=stream,
            limit=most,
            startFromHead=False,
        )
    except CloudError as problem:
        if isinstance(problem, NotAllowed) or problem.aws_code == "ResourceNotFoundException":
            return ()
        raise
    lines: list[str] = []
    for event in (answer.get("events") or ())[-most:]:
        lines += event["message"].splitlines()
    return tuple(lines[-most:])


def has_group(aws: Aws, group: str) -> bool:
    """Whether a group exists. Raises CloudError."""
    groups = aws.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=group)
    return any(each.get("logGroupName") == group for each in groups)


class LogPage(Struct, frozen=True):
    """Events of a stream, oldest first, as AWS has them, and the token that the next page goes on
    from. `end`: there are no more by now.
    """

    events: tuple[Mapping[str, Any], ...]
    token: str
    end: bool


def page(aws: Aws, group: str, stream: str, since_ms: int, token: str | None) -> LogPage | None:
    """The events from a moment on (milliseconds since 1970), or those behind a page before; None if
    there is no such stream yet. Raises CloudError.
    """
    more = {"nextToken": token} if token else {}
    try:
        answer = aws.read(
            "logs",
            "get_log_events",
            logGroupName=group,
            logStreamName=stream,
            startTime=since_ms,
            startFromHead=True,
            **more,
        )
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            return None
        raise
    following = str(answer.get("nextForwardToken") or "")
    # An empty page is no end: AWS gives one where it has searched for long enough.
    return LogPage(tuple(answer.get("events") or ()), following, following == (token or ""))


class GroupEvent(Struct, frozen=True):
    """An event of any stream of a group. `time_ms` is in milliseconds since 1970."""

    id: str
    stream: str
    time_ms: int
    text: str


class GroupPage(Struct, frozen=True):
    """Events of a group, and the token of the next page; None if this is the last by now."""

    events: tuple[GroupEvent, ...]
    token: str | None


def group_page(aws: Aws, group: str, since_ms: int, token: str | None) -> GroupPage | None:
    """The events of all streams of a group from a moment on (milliseconds since 1970), or those
    behind a page before; None if there is no such group. Raises CloudError.
    """
    more = {"nextToken": token} if token else {}
    try:
        answer = aws.read(
            "logs", "filter_log_events", logGroupName=group, startTime=since_ms, **more
        )
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            return None
        raise
    events: list[GroupEvent] = []
    for event in answer.get("events") or ():
        stream, time_ms = str(event.get("logStreamName", "")), int(event["timestamp"])
        text = str(event["message"])
        # Equal events of one moment have ids of their own; the emulator gives some none.
        key = str(event.get("eventId") or f"{time_ms} {text}")
        events.append(GroupEvent(f"{stream} {key}", stream, time_ms, text))
    return GroupPage(tuple(events), str(answer["nextToken"]) if answer.get("nextToken") else None)
