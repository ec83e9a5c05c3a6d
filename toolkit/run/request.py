"""What a run works with: how it is to be carried out, whom it tells, and what outlives it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from toolkit.advice import Advice
from toolkit.operations import Job, Outcome
from toolkit.ports.ports import Ports
from toolkit.record.journal import EntryState
from toolkit.run.events import EventStream, Notice
from toolkit.run.stop import Stop
from toolkit.targets.base import Report

Answer = TypeVar("Answer")


class JournalWriter(Protocol):
    """Takes intents and receipts; every line is on disk when `append` returns."""

    def append(self, state: EntryState, step: str | None = None, **facts: Any) -> None: ...


class LogWriter(Protocol):
    """The log of one step."""

    def write(self, line: str) -> None: ...
    def close(self) -> None: ...


class RunJournal(Protocol):
    """What outlives the process: the journal, the logs of the steps, and the record of what is
    live.
    """

    @property
    def journal(self) -> JournalWriter: ...

    def log(self, step: str) -> LogWriter:
        """The step's log, to be closed."""

    def announce(self, job: Job) -> None:
        """Write into the record that a step is about to change what runs. Raises ToolkitError
        where that is not possible.
        """

    def has_announced(self, job: Job) -> bool:
        """Whether the record says that this run is about to change what runs, or nobody can read
        it: an earlier process may have announced it.
        """

    def record(self, job: Job, outcome: Outcome) -> None:
        """Record how the target's last deploy ended and what is live now. Raises ToolkitError."""


class BegunStep(Struct, frozen=True):
    """What an earlier process left of a step: what the cloud answered, and how long ago it was
    begun, in seconds.
    """

    receipt: Mapping[str, Any]
    waited_s: float
    acted: bool = True
    """Whether a call was intended that changes what runs."""


class StepReport(Report, Protocol):
    """How the gates of a step that went well speak to the run."""

    @property
    def stop(self) -> Stop:
        """The request to stop the run."""

    def judged(self, gate: str, good: bool | None, cause: str = "") -> None:
        """Say what a gate says: whether the step is good, None where that is unknown."""

    def check_fence(self) -> None:
        """Raises LockLost if the target's lock is no longer ours: what was seen since may be
        somebody else's work.
        """

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer to a question that changes nothing. Raises Stopped as soon as the run is to
        stop, answered or not.
        """


Verify = Callable[[Job, Outcome, StepReport], Outcome]
"""Whether a step that went well passes its checks: the outcome, which is no longer good if it does
not. Raises Stopped.
"""


Ask = Callable[[str, str], bool | None]
"""Asks a person about a step, and waits for the answer: None if nobody can answer. It is no
listener.
"""


def nobody_is_there(step: str, question: str) -> bool | None:
    """The `ask` of a run that no person looks at."""
    return None


def files_never_change(job: Job) -> None:
    """The `still` of a run whose files cannot change."""


def no_checks(job: Job, outcome: Outcome, step: StepReport) -> Outcome:
    """The `verify` of a run whose steps are not checked."""
    return outcome


def same_job(job: Job) -> Job:
    """A job as it is: its run was begun on this machine."""
    return job


class RunRequest(Struct, frozen=True, kw_only=True):
    """How a run is to be carried out, whatever it deploys. `command` is the command line,
    `lock_timeout_s` 0 means not to wait.

    `still` raises StalePlan, right before a job is begun, if its files are no longer those that it
    is to deploy; `verify` makes a step that went well pass its gate, and `checked` says that this
    is wanted, also for a process that resumes the run. `redact` takes the secrets out of what AWS
    and other programs say, before anybody sees it, and `placed` gives a job the profile that this
    machine uses.
    """

    run: str
    ports: Ports
    events: EventStream
    stop: Stop
    command: Sequence[str] = ("toolkit",)
    parallel: int = 1
    fail_fast: bool = False
    lock_timeout_s: int = 0
    redact: Callable[[str], str] = str
    still: Callable[[Job], None] = files_never_change
    verify: Verify = no_checks
    checked: bool = True
    ask: Ask = nobody_is_there
    placed: Callable[[Job], Job] = same_job
    preempts: bool = False
    """Whether a run that deploys one of its targets is asked to stop: this one undoes it."""
    facts: Mapping[str, Any] = {}
    """What else the journal's first line has to say: how the alarms were."""
    unasked: frozenset[str] = frozenset()
    """The steps that nobody was asked about, since they would change nothing: they must not."""
    left: tuple[tuple[str, str], ...] = ()
    """The targets that it cannot deploy, each with the reason."""

    def tell(self, words: Advice) -> None:
        """Say something that is about the run and not about a step."""
        self.events.publish(Notice("toolkit", words))
