"""The last lines that a task of an app has written to its log."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolkit.operations import Job
from toolkit.ports.aws import logs
from toolkit.ports.ports import Ports
from toolkit.targets.app import definition as definitions
from toolkit.targets.app.failures import Failure, FailureSort

Shape = Mapping[str, Any]

LAST_LINES = 20
"""How many lines are read."""
_WRITES = (FailureSort.CRASH, FailureSort.UNHEALTHY, FailureSort.CONFIGURATION)
"""Why a task has stopped that may have written before."""


class TaskLog(Struct, frozen=True):
    """The group and the last lines of a task's log; None and nothing where it has none."""

    group: str | None = None
    lines: tuple[str, ...] = ()


def read_log(job: Job, ports: Ports, part: Shape | None, failure: Failure) -> TaskLog:
    """The log of a failed task's container, which `part` of its definition. Raises CloudError."""
    stream = definitions.log_stream(part, failure.id) if part else None
    if part is None or stream is None or failure.sort not in _WRITES:
        return TaskLog()
    aws = ports.aws(job.location)
    # A container may write its log in another region.
    region = ((part.get("logConfiguration") or {}).get("options") or {}).get("awslogs-region")
    if region and region != aws.region_name:
        aws = ports.clouds(job.location.profile, str(region))
    return TaskLog(stream[0], logs.tail(aws, *stream, LAST_LINES))
