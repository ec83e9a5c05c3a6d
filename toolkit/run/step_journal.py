"""Where one step's doings are written down: its journal lines, its log, and what the person sees of
it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from toolkit.errors import FileProblem, NotAgreed
from toolkit.model import Job, Outcome
from toolkit.ports.clock import Clock
from toolkit.run.stop import Stop

Found = TypeVar("Found")

PATIENCE_S = 30.0
"""How long a full disk is given to take a receipt, before it is printed instead."""


def _nothing() -> None:
    """For a step whose beginning is written down nowhere else."""


class Listener(Protocol):
    """Whoever shows a run. Called from several threads."""

    def began(self, job: Job) -> None: ...
    def phase(self, step: str, words: str) -> None: ...
    def line(self, step: str, text: str) -> None: ...
    def told(self, step: str, text: str) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def asked(self, step: str, question: str) -> bool | None:
        """Ask a person: the answer, None if nobody is there."""


class JournalWriter(Protocol):
    """Where intents and receipts go; every line is on disk when `append` returns."""

    def append(self, state: str, step: str | None = None, **facts: Any) -> None: ...


class LogWriter(Protocol):
    """The step's own log file."""

    def write(self, line: str) -> None: ...
    def close(self) -> None: ...


class StepJournal:
    """`targets.base.Report` for one step. `fenced` raises LockLost once the step's lock is no
    longer ours.
    """

    def __init__(
        self,
        job: Job,
        journal: JournalWriter,
        log: LogWriter,
        listener: Listener,
        stop: Stop,
        clock: Clock,
        fenced: Callable[[], None],
        receipt: Mapping[str, Any] | None = None,
        acted: bool = False,
        redact: Callable[[str], str] = str,
        begins: Callable[[], None] = _nothing,
    ) -> None:
        """`redact` takes the secrets out of what AWS and other programs say, before anybody sees
        it. `begins` is called once, before the first call that changes what runs is written down;
        where it raises, that call is not made.
        """
        self._job, self._journal, self._log, self._listener = job, journal, log, listener
        self._stop, self._clock, self._fenced = stop, clock, fenced
        self._receipt: dict[str, Any] = dict(receipt or {})
        self._phase, self._redact = "", redact
        self._begins, self._has_begun = begins, False
        self.acted, self._acted_before = acted, acted
        """Whether what runs may have been changed, or may still be changing."""
        self.prepared = False
        """Whether something was made outside of this machine that changes nothing yet."""

    @property
    def receipt(self) -> Mapping[str, Any]:
        """What was kept of this step so far."""
        return dict(self._receipt)

    def phase(self, words: str) -> None:
        """What goes on now."""
        if words != self._phase:
            self._phase = words
            words = self._redact(words)
            self._log.write(f"-- {words}")
            self._listener.phase(self._job.step, words)

    def log(self, line: str) -> None:
        """A line for the log, and beside the phase."""
        line = self._redact(line)
        self._log.write(line)
        self._listener.line(self._job.step, line)

    def tell(self, line: str) -> None:
        """A line that the person has to see at once."""
        line = self._redact(line)
        self._log.write(line)
        self._listener.told(self._job.step, line)

    def intend(self, call: str, **what: str) -> None:
        """Write down the call that comes next, unless it must not be made any more."""
        self._stop.check()
        if not self._has_begun:
            self._fenced()  # who has lost the lock would write above who has it now
            self._written(self._begins)
            self._has_begun = True
        self._intend(call, what, {})
        self._acted_before, self.acted = self.acted, True

    def prepare(self, call: str, **what: str) -> None:
        """The same of a call after which everything that runs is as it was: an upload, a revision
        that nothing uses yet.
        """
        self._intend(call, what, {"prepares": True})
        self.prepared = True

    def _intend(self, call: str, what: Mapping[str, str], more: Mapping[str, Any]) -> None:
        self._stop.check()
        self._fenced()
        self._written(
            lambda: self._journal.append(
                "intent", self._job.step, call=call, token=self._job.token, what=what, **more
            )
        )
        self._log.write(
            f"-> {call} {' '.join(f'{name}={value}' for name, value in what.items())}".rstrip()
        )

    def _written(self, write: Callable[[], None]) -> None:
        """Where the disk does not take it, the run is to stop. Raises FileProblem."""
        try:
            write()
        except FileProblem as problem:
            self._stop.ask(problem=problem)
            raise

    def turned_away(self) -> None:
        """The cloud has said for sure that it did not take the last call that was intended."""
        self.acted = self._acted_before

    def keep(self, **facts: Any) -> None:
        """Write down what the cloud answered. A full disk is given time: the effect is there and
        must not be forgotten.
        """
        self._receipt.update(facts)
        until = self._clock.elapsed() + PATIENCE_S
        while True:
            try:
                self._journal.append("accepted", self._job.step, receipt=facts)
                return
            except FileProblem as problem:
                self._stop.ask(problem=problem)
                if self._clock.elapsed() >= until:
                    self._listener.told(
                        self._job.step, f"could not be written down: {self._job.step} {facts}"
                    )
                    raise
                self._clock.wait(1.0)

    def consent(self, question: str, flag: str) -> None:
        """Ask, or refuse and name the flag."""
        answer = self._listener.asked(self._job.step, question)
        if answer is None:
            raise NotAgreed(question.rstrip("?"), f"add {flag} to say yes in advance")
        if not answer:
            raise NotAgreed(f"not agreed to: {question.rstrip('?')}", f"{flag} says yes in advance")

    def check(self) -> None:
        """Raises Stopped if the run is to stop."""
        self._stop.check()

    def fenced(self) -> None:
        """Raises LockLost if the target is no longer ours: what was seen of it since may be
        somebody else's.
        """
        self._fenced()

    def ask(self, question: Callable[[], Found]) -> Found:
        """What a question that changes nothing is answered with. Raises Stopped as soon as the run
        is to stop, answered or not.
        """
        return self._stop.unless(question)

    def wait(self, seconds: float) -> None:
        """Wait, but not after the run was asked to stop."""
        self._stop.wait(self._clock, seconds)
