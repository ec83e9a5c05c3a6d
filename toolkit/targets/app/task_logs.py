"""The last lines that a task of an app has written to its log."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import ShellCommand
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
    """The group and the last lines of a task's log; None and nothing where it has none. `region`
    is that of a log in another region than the task.
    """

    group: str | None = None
    region: str | None = None
    lines: tuple[str, ...] = ()

    @property
    def command(self) -> ShellCommand | None:
        """The command that shows it."""
        if self.group is None:
            return None
        region = ("--region", self.region) if self.region else ()
        return ShellCommand("aws logs tail", (self.group, "--since", "1h", *region))


def read_log(job: Job, ports: Ports, part: Shape | None, failure: Failure) -> TaskLog:
    """The log of a failed task's container, which `part` of its definition describes. Raises
    CloudError.
    """
    log = unread_log(job, ports, part, failure)
    stream = definitions.log_stream(part, failure.id) if part else None
    if stream is None or log.group is None:
        return log
    aws = ports.aws(job.location)
    if log.region:
        aws = ports.clouds(job.location.profile, log.region)
    return replace(log, lines=logs.tail(aws, *stream, LAST_LINES))


def unread_log(job: Job, ports: Ports, part: Shape | None, failure: Failure) -> TaskLog:
    """Where that log is. Raises CloudError."""
    stream = definitions.log_stream(part, failure.id) if part else None
    if part is None or stream is None or failure.sort not in _WRITES:
        return TaskLog()
    region = definitions.log_region(part)
    if region == ports.aws(job.location).region_name:
        region = None
    return TaskLog(stream[0], region)
