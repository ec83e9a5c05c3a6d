"""CloudWatch Logs: the last lines of a stream."""

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
