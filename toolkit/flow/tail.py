"""`tail`: what a target writes now, from one look to the next, in all regions of an environment."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from toolkit import targets as kinds
from toolkit.errors import Refused, Throttled, ToolkitError, Unreachable
from toolkit.flow.live_targets import live_targets, require_account
from toolkit.flow.parts import with_recorded
from toolkit.model import ProjectRequest, Rules
from toolkit.operations import Job, LogLook
from toolkit.ports.ports import Ports
from toolkit.targets.base import Kind, LogReader

LOOK_S = 2.0
"""How long it waits between two looks."""
PATIENCE_S, PATIENCE_MOST_S = 2.0, 32.0
"""How long it waits after a look that failed; twice as long after each further one."""
TRIES = 5
"""How many looks in a row may fail where it is not followed."""


class TailRequest(ProjectRequest, frozen=True, kw_only=True):
    """What a person asked for. `since_s` is how far back it begins, in seconds; an event has to
    contain `text`. `redact` hides what looks like a secret.
    """

    target: str
    since_s: float
    follow: bool = True
    text: str = ""
    redact: Callable[[str], str] = str


class TailedEvent(Struct, frozen=True):
    """One event of a target's log, without secrets. `name` is the target's, with its region where
    there are several. `when` has a time zone.
    """

    when: datetime
    name: str
    job: Job
    source: str
    text: str


class TailLook(Struct, frozen=True):
    """What is new: events in the order of time, and what a person should know besides."""

    events: tuple[TailedEvent, ...] = ()
    notes: tuple[str, ...] = ()


class Tail:
    """The logs of a target, opened by `open_tail`."""

    def __init__(
        self,
        request: TailRequest,
        readers: list["_PatientReader"],
        unread: Sequence[Job],
        ports: Ports,
    ) -> None:
        """`unread` are the jobs whose logs cannot be read: that is said first."""
        self._request, self._readers, self._ports = request, readers, ports
        self._first_notes = [
            f"toolkit cannot read logs of target {job.step} (kind {job.kind})" for job in unread
        ]

    @property
    def is_several(self) -> bool:
        """Whether the events are of several targets or regions."""
        return len(self._readers) > 1

    def looks(self) -> Iterator[TailLook]:
        """Look after look: for ever, or until all that was written by now is read. Raises
        ToolkitError where waiting does not help.
        """
        while True:
            notes, self._first_notes = self._first_notes, []
            events: list[TailedEvent] = []
            more = False
            for reader in self._readers:
                look = reader.read(self._ports.clock.elapsed())
                notes += [self._named(reader.job, note) for note in look.notes]
                events += self._matching(reader.job, look)
                more = more or look.more or not (self._request.follow or reader.is_up_to_date)
            events.sort(key=lambda event: event.when)
            yield TailLook(tuple(events), tuple(notes))
            if not more and not self._request.follow:
                return
            if not more or any(not reader.is_up_to_date for reader in self._readers):
                self._ports.clock.wait(LOOK_S)

    def _named(self, job: Job, note: str) -> str:
        note = self._request.redact(note)
        return f"{job.step}: {note}" if self.is_several else note

    def _matching(self, job: Job, look: LogLook) -> Iterator[TailedEvent]:
        for event in look.events:
            text = self._request.redact(event.text)
            if self._request.text in text:
                yield TailedEvent(event.when, job.step, job, event.source, text)


class _PatientReader:
    """The reader of one job, which waits where AWS is throttling or does not answer."""

    def __init__(self, job: Job, reader: LogReader, follows: bool) -> None:
        self.job, self._reader, self._follows = job, reader, follows
        self._failed = 0
        self._again_s = 0.0
        """When it looks again, on our clock."""

    @property
    def is_up_to_date(self) -> bool:
        """Whether its last look went well."""
        return not self._failed

    def read(self, now: float) -> LogLook:
        """What is new; a note where it could not be read. Raises ToolkitError."""
        if now < self._again_s:
            return LogLook()
        try:
            look = self._reader.read()
        except (Throttled, Unreachable) as problem:
            return self._waiting(problem, now)
        if self._failed:
            self._failed = 0
            look = LogLook(look.events, ("AWS answers again", *look.notes), look.more)
        return look

    def _waiting(self, problem: ToolkitError, now: float) -> LogLook:
        """Wait longer each time. What failed is read again: nothing is lost."""
        self._failed += 1
        if self._failed >= TRIES and not self._follows:
            raise problem
        pause_s = min(PATIENCE_S * 2 ** (self._failed - 1), PATIENCE_MOST_S)
        self._again_s = now + pause_s
        return LogLook(notes=(f"{problem}; next look in {pause_s:g} s",))


def open_tail(request: TailRequest, rules: Rules, ports: Ports) -> Tail:
    """Find what there is to read. Raises UsageError, Refused, CloudError."""
    live = live_targets(request, (request.target,), rules)
    since = ports.clock.now() - timedelta(seconds=request.since_s)
    readers: list[_PatientReader] = []
    unread: list[Job] = []
    for job in with_recorded(live.jobs, rules, ports):
        kind = kinds.kind(job.kind)
        reader = None
        if type(kind).logs is not Kind.logs:  # else nothing is asked
            require_account(job, ports)
            reader = kind.logs(job, ports, since)
        if reader is None:
            unread.append(job)
        else:
            readers.append(_PatientReader(job, reader, request.follow))
    if not readers:
        names = ", ".join(sorted({job.kind for job in live.jobs}))
        raise Refused(
            f"toolkit cannot read logs of target {request.target} (kind {names})",
            "read them where it runs",
        )
    return Tail(request, readers, unread, ports)
