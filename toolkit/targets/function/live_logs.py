"""What a function writes to CloudWatch, whichever version and instance of it.

All instances are read together. An event may arrive later than younger ones of other instances, so
each look begins a little before the end of the one before; what was shown is not shown again.
"""

import re
from collections import deque
from datetime import UTC, datetime

from toolkit.errors import Missing
from toolkit.operations import Job, LogEvent, LogLook
from toolkit.ports.aws import functions, logs
from toolkit.ports.aws.logs import GroupEvent
from toolkit.ports.ports import Ports

LATE_MS = 30_000
"""How much later than younger ones an event may arrive, in milliseconds."""
REMEMBERED = 50_000
"""How many events are remembered as shown."""
_VERSION = re.compile(r"\[([^\]]+)\]")
"""The version in a stream's name: `2026/11/30/[7]1f0c`."""


class FunctionLogs:
    """See `base.LogReader`."""

    def __init__(self, job: Job, ports: Ports, group: str, since: datetime) -> None:
        self._aws, self._group = ports.aws(job.location), group
        self._name = str(job.settings.function)
        self._from_ms = int(since.timestamp() * 1000)
        self._token: str | None = None
        self._newest_ms = self._from_ms
        self._shown: dict[str, None] = {}
        self._order = deque[str]()
        self._is_silent = False

    def read(self) -> LogLook:
        """See `base.LogReader`."""
        page = logs.group_page(self._aws, self._group, self._from_ms, self._token)
        if page is None:
            notes: tuple[str, ...] = ()
            if not self._is_silent:
                notes = (
                    f"log group {self._group} does not exist: the function has not been called yet,"
                    " or somebody has deleted it",
                )
            self._is_silent = True
            return LogLook(notes=notes)
        events = [self._event(event) for event in page.events if self._is_new(event)]
        self._token = page.token
        if self._token is None:
            self._from_ms = max(self._newest_ms - LATE_MS, self._from_ms)
        return LogLook(tuple(events), more=self._token is not None)

    def _is_new(self, event: GroupEvent) -> bool:
        if event.id in self._shown:
            return False
        self._shown[event.id] = None
        self._order.append(event.id)
        if len(self._order) > REMEMBERED:
            del self._shown[self._order.popleft()]
        return True

    def _event(self, event: GroupEvent) -> LogEvent:
        self._newest_ms = max(self._newest_ms, event.time_ms)
        version = _VERSION.search(event.stream)
        source = self._name
        if version is not None:
            source += f":{version[1]}"
        return LogEvent(datetime.fromtimestamp(event.time_ms / 1000, UTC), source, event.text)


def function_logs(job: Job, ports: Ports, since: datetime) -> FunctionLogs:
    """The log of a function that exists. Raises Missing, CloudError."""
    aws, name = ports.aws(job.location), str(job.settings.function)
    function = functions.function(aws, name)
    if function is None:
        raise Missing(what="Lambda function", name=name, where=f" in {aws.region_name}")
    return FunctionLogs(job, ports, function.log_group, since)
