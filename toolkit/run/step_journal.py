"""Where one step writes down what it does: lines of the journal, its log, and what the
person sees.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from toolkit.errors import FileProblem, NotAgreed
from toolkit.model import Job, Outcome
from toolkit.ports import debug
from toolkit.ports.clock import Clock
from toolkit.record.journal import EntryState
from toolkit.run.stop import Stop

Answer = TypeVar("Answer")

PATIENCE_S = 30.0
"""How long a full disk is given to take a receipt, before it is printed instead."""


def _do_nothing() -> None:
    """The `announce` of a step that is not recorded."""


class Listener(Protocol):
    """Shows a run. Called from several threads."""

    def began(self, job: Job) -> None: ...
    def phase(self, step: str, words: str) -> None: ...
    def line(self, step: str, text: str) -> None: ...
    def told(self, step: str, text: str) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def asked(self, step: str, question: str) -> bool | None:
        """Ask a person; returns the answer, None if nobody can answer."""


class JournalWriter(Protocol):
    """Takes intents and receipts; every line is on disk when `append` returns."""

    def append(self, state: EntryState, step: str | None = None, **facts: Any) -> None: ...


class LogWriter(Protocol):
    """The log of one step."""

    def write(self, line: str) -> None: ...
    def close(self) -> None: ...


class BegunStep(Struct, frozen=True):
    """What an earlier process left of a step: what the cloud answered, and how long ago it was
    begun, in seconds.
    """

    receipt: Mapping[str, Any]
    waited_s: float
    acted: bool = True
    """Whether a call was intended that changes what runs."""


class StepServices(Struct, frozen=True):
    """What the steps of a run share. `check_fence` raises LockLost once the run's locks are no
    longer ours; `redact` takes the secrets out of what AWS and other programs say, before anybody
    sees it.
    """

    journal: JournalWriter
    listener: Listener
    stop: Stop
    clock: Clock
    check_fence: Callable[[], None]
    redact: Callable[[str], str] = str


class StepJournal:
    """`targets.base.Report` for one step: what is to be done is on disk before it is done."""

    def __init__(
        self,
        job: Job,
        log: LogWriter,
        services: StepServices,
        begun: BegunStep | None = None,
        announce: Callable[[], None] = _do_nothing,
    ) -> None:
        """`begun` is what an earlier process left of the step. `announce` is called once, before
        the first call that changes what runs is written down; where it raises, that call is not
        made.
        """
        self._job, self._log, self._announce = job, log, announce
        self._journal, self._listener = services.journal, services.listener
        self._stop, self._clock = services.stop, services.clock
        self._check_fence, self._redact = services.check_fence, services.redact
        self._receipt: dict[str, Any] = dict(begun.receipt) if begun else {}
        self._phase = ""
        self._announced = False
        self.acted = self._acted_before = begun is not None and begun.acted
        """Whether what runs may have been changed, or may still be changing."""
        self.prepared = False
        """Whether something was made outside of this machine that changes nothing yet."""

    @property
    def receipt(self) -> Mapping[str, Any]:
        """What the cloud has answered for this step so far."""
        return dict(self._receipt)

    def phase(self, words: str) -> None:
        """Say what the step is doing now."""
        if words != self._phase:
            self._phase = words
            words = self._redact(words)
            self._log.write(f"-- {words}")
            debug.tell("phase", self._job.step, words)
            self._listener.phase(self._job.step, words)

    def log(self, line: str) -> None:
        """Write a line to the log, and show it beside the phase."""
        line = self._redact(line)
        self._log.write(line)
        self._listener.line(self._job.step, line)

    def tell(self, line: str) -> None:
        """Write a line to the log, and show it to the person at once."""
        line = self._redact(line)
        self._log.write(line)
        self._listener.told(self._job.step, line)

    def intend(self, call: str, **what: str) -> None:
        """Write down the next call, which changes what runs. Raises if it must not be made any
        more.
        """
        self._stop.check()
        if not self._announced:
            self._check_fence()  # who has lost the lock would write above who has it now
            self._written(self._announce)
            self._announced = True
        self._intend(call, what, {})
        # Before the call is made: after a crash it has to be looked for.
        self._acted_before, self.acted = self.acted, True

    def prepare(self, call: str, **what: str) -> None:
        """Write down the next call, which leaves everything that runs as it is: an upload, a
        revision that nothing uses yet.
        """
        self._intend(call, what, {"prepares": True})
        self.prepared = True

    def _intend(self, call: str, what: Mapping[str, str], more: Mapping[str, Any]) -> None:
        self._stop.check()
        self._check_fence()
        self._written(
            lambda: self._journal.append(
                EntryState.INTENT,
                self._job.step,
                call=call,
                token=self._job.token,
                what=what,
                **more,
            )
        )
        debug.tell("intent", self._job.step, call, prepares=more.get("prepares"))
        parameters = " ".join(f"{name}={value}" for name, value in what.items())
        self._log.write(f"-> {call} {parameters}".rstrip())

    def _written(self, write: Callable[[], None]) -> None:
        """Write; if the disk is full, stop the run. Raises FileProblem."""
        try:
            write()
        except FileProblem as problem:
            self._stop.ask(problem=problem)
            raise

    def turned_away(self) -> None:
        """Take back the last intent: the cloud has clearly refused the call."""
        self.acted = self._acted_before

    def keep(self, **facts: Any) -> None:
        """Write down what the cloud answered. A full disk is given time: the effect exists and must
        not be forgotten.
        """
        self._receipt.update(facts)
        deadline = self._clock.elapsed() + PATIENCE_S
        while True:
            try:
                self._journal.append(EntryState.ACCEPTED, self._job.step, receipt=facts)
                debug.tell("receipt", self._job.step, *facts)
                return
            except FileProblem as problem:
                self._stop.ask(problem=problem)
                if self._clock.elapsed() >= deadline:
                    # The last place left for it: a person can give it to the provider's own tools.
                    self._listener.told(
                        self._job.step, f"could not be written down: {self._job.step} {facts}"
                    )
                    raise
                self._clock.wait(1.0)

    def consent(self, question: str, flag: str) -> None:
        """Ask for consent. Raises NotAgreed, which names the flag, if it is not given."""
        answer = self._listener.asked(self._job.step, question)
        if answer is None:
            raise NotAgreed(question.rstrip("?"), f"add {flag} to say yes in advance")
        if not answer:
            raise NotAgreed(f"not agreed to: {question.rstrip('?')}", f"{flag} says yes in advance")

    def check(self) -> None:
        """Raises Stopped if the run is to stop."""
        self._stop.check()

    def check_fence(self) -> None:
        """Raises LockLost if the target's lock is no longer ours: what was seen since may be
        somebody else's work.
        """
        self._check_fence()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer to a question that changes nothing. Raises Stopped as soon as the run is to
        stop, answered or not.
        """
        return self._stop.unless(question)

    def wait(self, seconds: float) -> None:
        """Wait. Raises Stopped as soon as the run is to stop."""
        self._stop.wait(self._clock, seconds)
