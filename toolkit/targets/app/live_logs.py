"""What the tasks of a service write to CloudWatch, across deploys.

Each container of each task has a stream of its own, which is read from page to page by AWS's own
token: so no event is lost or comes twice where a page ends. Streams are merged by time, and an
event is held back as long as an older one of another stream may still be read.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from toolkit.operations import Job, LogEvent, LogLook
from toolkit.ports.aws import ecs, logs
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.app import definition as definitions
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.app.state import check_deployable

Shape = Mapping[str, Any]

TASKS_EVERY_S = 5.0
"""How often new and ended tasks are looked for."""
DRAIN_S = 20.0
"""For how long the log of an ended task is still read: its last lines arrive seconds later."""
STREAMS_MOST = 300
"""How many streams are read at most: each takes a call a look, and AWS allows some 25 a second."""
_SHORT_ID = 8
_FOREVER = 1 << 62


class LogStream:
    """One container's stream, and how far it is read. `source` is its name for people."""

    def __init__(self, aws: Aws, group: str, name: str, source: str) -> None:
        self.aws, self.group, self.name, self.source = aws, group, name, source
        self.token: str | None = None
        self.is_at_end = False
        self.read_until = 0
        """The time of the last event that was read, in milliseconds since 1970."""

    def read_page(self, since_ms: int) -> list[LogEvent]:
        """The events of the next page. Raises CloudError; the next call reads the same page."""
        page = logs.page(self.aws, self.group, self.name, since_ms, self.token)
        if page is None:  # the container has not written yet
            self.is_at_end = True
            return []
        self.is_at_end = page.end
        self.token = page.token or self.token
        events: list[LogEvent] = []
        for event in page.events:
            self.read_until = max(self.read_until, int(event["timestamp"]))
            when = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            events.append(LogEvent(when, self.source, str(event["message"])))
        return events


class MergedStreams:
    """Streams that are read in turns, so that their events come out in the order of time."""

    def __init__(self, since: datetime | None = None) -> None:
        self._since_ms = 0
        if since is not None:
            self._since_ms = int(since.timestamp() * 1000)
        self._streams: list[LogStream] = []
        self._turn: list[LogStream] = []
        """Those that are still to be read in this look, also where the one before has failed."""
        self._waiting: list[LogEvent] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._streams)

    @property
    def has_more(self) -> bool:
        """Whether a stream has more than what was read."""
        return any(not stream.is_at_end for stream in self._streams)

    def add(self, stream: LogStream) -> None:
        """Read this one, too."""
        self._streams.append(stream)

    def remove(self, stream: LogStream) -> None:
        """Read this one no more."""
        self._streams.remove(stream)
        if stream in self._turn:
            self._turn.remove(stream)

    def read(self) -> tuple[LogEvent, ...]:
        """A page of each stream that is not ahead of the others: the events that no older one can
        follow. Raises CloudError; what was read by then comes with the next call.
        """
        if not self._turn:
            limit = self._safe_until()
            self._turn = [
                stream for stream in self._streams if stream.is_at_end or stream.read_until <= limit
            ]
        while self._turn:
            self._waiting += self._turn[0].read_page(self._since_ms)
            self._turn.pop(0)
        limit = self._safe_until()
        self._waiting.sort(key=lambda event: event.when)
        ready = [event for event in self._waiting if _milliseconds(event.when) <= limit]
        self._waiting = self._waiting[len(ready) :]
        return tuple(ready)

    def _safe_until(self) -> int:
        """Up to when every stream is read: how far the one is that is furthest behind."""
        behind = [stream.read_until for stream in self._streams if not stream.is_at_end]
        return min(behind, default=_FOREVER)


def _milliseconds(when: datetime) -> int:
    return round(when.timestamp() * 1000)


class _Task:
    """A task whose log is read. `ended_s` is when it was first seen to have ended, on our clock."""

    def __init__(self, name: str, streams: list[LogStream]) -> None:
        self.name, self.streams = name, streams
        self.ended_s: float | None = None


class ServiceLogs:
    """What the tasks of a service write: see `base.LogReader`."""

    def __init__(self, job: Job, ports: Ports, since: datetime) -> None:
        self._job, self._ports, self._since = job, ports, since
        self._aws = ports.aws(job.location)
        self._merged = MergedStreams(since)
        self._tasks: dict[str, _Task] = {}
        self._done = set[str]()
        """The ARNs of tasks whose log has been read to its end."""
        self._definitions: dict[str, Shape | None] = {}
        self._looked_s: float | None = None
        self._told: dict[str, None] = {}
        self._notes: list[str] = []

    def read(self) -> LogLook:
        """See `base.LogReader`."""
        now = self._ports.clock.elapsed()
        if self._looked_s is None or now - self._looked_s >= TASKS_EVERY_S:
            self._look_for_tasks(now)
            self._looked_s = now
        events = self._merged.read()
        self._leave_drained(now)
        notes, self._notes = tuple(self._notes), []
        return LogLook(events, notes, self._merged.has_more)

    def _look_for_tasks(self, now: float) -> None:
        settings: AppSettings = self._job.settings
        running = ecs.service_tasks(self._aws, settings.cluster, settings.service, "RUNNING")
        stopped = ecs.service_tasks(self._aws, settings.cluster, settings.service, "STOPPED")
        is_first = self._looked_s is None
        # ECS lists a task as stopped from the moment that it is to stop: it may still write
        stopping = {str(task["taskArn"]) for task in stopped if task.get("lastStatus") != "STOPPED"}
        for task in (*stopped, *running):
            arn = str(task["taskArn"])
            if arn in self._tasks or arn in self._done or self._ended_before(task):
                continue
            opened = self._tasks[arn] = self._open(task)
            if not is_first:
                self._notes.append(f"{opened.name} has started")
        alive = {str(task["taskArn"]) for task in running} | stopping
        reasons = {str(task["taskArn"]): str(task.get("stoppedReason") or "") for task in stopped}
        for arn, followed in self._tasks.items():
            if arn not in alive and followed.ended_s is None:
                followed.ended_s = now
                words = " ".join(reasons.get(arn, "").split())
                because = f": {words}" if words else ""
                self._notes.append(f"{followed.name} has stopped{because}")
        if not alive and not self._tasks:
            self._tell_once(f"no task of {settings.service} is running")

    def _ended_before(self, task: Shape) -> bool:
        """Whether a task had ended before what was asked for: ECS lists it for an hour."""
        stopped = task.get("stoppedAt")
        return isinstance(stopped, datetime) and stopped < self._since

    def _open(self, task: Shape) -> _Task:
        """Begin with the streams of a task."""
        task_id = str(task["taskArn"]).rpartition("/")[2]
        arn = str(task["taskDefinitionArn"])
        if arn not in self._definitions:
            self._definitions[arn] = ecs.definition(self._aws, arn)
        definition = self._definitions[arn]
        revision = ecs.revision_of(arn)
        opened = _Task(f"task {task_id[:_SHORT_ID]} of {revision}", [])
        if definition is None:
            self._tell_once(f"{revision} cannot be read any more, so its log is not known")
            return opened
        for stream in task_streams(self._job, self._ports, definition, task_id):
            if self._merged.count >= STREAMS_MOST:
                self._tell_once(f"only {STREAMS_MOST} logs are followed; there are more")
                break
            opened.streams.append(stream)
            self._merged.add(stream)
        for container in silent_containers(definition):
            self._tell_once(f"container {container} of {revision} writes no CloudWatch log")
        return opened

    def _leave_drained(self, now: float) -> None:
        """Forget the tasks that have ended and whose log is read."""
        for arn, task in list(self._tasks.items()):
            if task.ended_s is None or now - task.ended_s < DRAIN_S:
                continue
            if all(stream.is_at_end for stream in task.streams):
                for stream in task.streams:
                    self._merged.remove(stream)
                del self._tasks[arn]
                self._done.add(arn)

    def _tell_once(self, words: str) -> None:
        if words not in self._told:
            self._told[words] = None
            self._notes.append(words)


def service_logs(job: Job, ports: Ports, since: datetime) -> ServiceLogs:
    """The logs of a service that exists. Raises Missing, Refused, CloudError."""
    settings: AppSettings = job.settings
    aws = ports.aws(job.location)
    check_deployable(job, aws, ecs.service(aws, settings.cluster, settings.service))
    return ServiceLogs(job, ports, since)


def task_streams(job: Job, ports: Ports, definition: Shape, task_id: str) -> Iterator[LogStream]:
    """The streams that the containers of a task write to."""
    revision = ecs.revision_of(str(definition["taskDefinitionArn"]))
    streams = [
        (container, stream)
        for container in definitions.named_containers(definition)
        if (stream := definitions.log_stream(container, task_id)) is not None
    ]
    for container, stream in streams:
        source = f"{revision}/{task_id[:_SHORT_ID]}"
        if len(streams) > 1:
            source += f"/{container['name']}"
        yield LogStream(log_client(job, ports, container), *stream, source)


def log_client(job: Job, ports: Ports, container: Shape) -> Aws:
    """The calls of the region that a container writes to."""
    aws = ports.aws(job.location)
    region = definitions.log_region(container)
    if region is None or region == aws.region_name:
        return aws
    return ports.clouds(job.location.profile, region)


def silent_containers(definition: Shape) -> list[str]:
    """The containers that write to no CloudWatch log that is known."""
    return [
        str(container["name"])
        for container in definitions.named_containers(definition)
        if definitions.log_stream(container, "") is None
    ]
