"""CloudWatch Logs: the last lines of a stream, and a stream from one page to the next."""

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
