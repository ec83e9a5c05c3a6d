"""CloudWatch Logs: the last words of one stream."""

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
    found = answer.get("events") or ()
    return tuple(line for one in found[-most:] for line in one["message"].splitlines())[-most:]
