"""A run: its jobs as a graph, each step's end written down before the next one that waits for it
begins.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import ErrorClass, Exit, FileProblem, ToolkitError
from toolkit.model import GOOD, Job, LiveVersion, Outcome, RunResult, Verdict
from toolkit.ports.ports import Ports
from toolkit.run.pace import Pace
from toolkit.run.schedule import Schedule
from toolkit.run.step import StepContext, Verify, always, carry_out, unchecked
from toolkit.run.step_journal import JournalWriter, Listener, LogWriter, StepJournal
from toolkit.run.stop import Stop
from toolkit.run.workers import WorkerPool

BAD = (
    Verdict.FAILED,
    Verdict.UNHEALTHY,
    Verdict.ROLLED_BACK,
    Verdict.SUPERSEDED,
    Verdict.CANCELLED,
)


def as_said(job: Job, next: str) -> str:
    """For a run whose commands mean the same everywhere."""
    return next


def _without_body(live: LiveVersion | None) -> LiveVersion | None:
    """What a journal keeps of what is live: a template may be large, and lies beside the record."""
    return None if live is None else replace(live, deployed=replace(live.deployed, body=""))


class BegunStep(Struct, frozen=True):
    """What an earlier process left of a step: what the cloud answered, and how long ago it was
    begun, in seconds.
    """

    receipt: Mapping[str, Any]
    waited_s: float
    acted: bool = True
    """Whether a call was intended that changes what runs."""


class RunJournal(Protocol):
    """What outlives the process: the journal, the steps' logs, and the record of what is live."""

    @property
    def journal(self) -> JournalWriter: ...

    def log(self, step: str) -> LogWriter:
        """The step's log, to be closed."""

    def begins(self, job: Job) -> None:
        """Whoever reads the record is to know that a step is about to change what runs. Raises
        ToolkitError where it is not told.
        """

    def record(self, job: Job, outcome: Outcome) -> None:
        """How the target's last deploy ended, and what is live from now on. Raises ToolkitError."""


class RunOptions(Struct, frozen=True):
    """How a run is to be carried out. `done` are outcomes of an earlier process, `begun` what it
    left open.
    """

    jobs: tuple[Job, ...]
    parallel: int
    fail_fast: bool = False
    done: Mapping[str, Outcome] = {}
    begun: Mapping[str, BegunStep] = {}


class Execution:
    """One process's part of a run."""

    def __init__(
        self,
        run: str,
        orders: RunOptions,
        book: RunJournal,
        ports: Ports,
        listener: Listener,
        stop: Stop,
        fenced: Callable[[], None],
        still: Callable[[Job], None] = always,
        redact: Callable[[str], str] = str,
        verify: Verify = unchecked,
        advise: Callable[[Job, str], str] = as_said,
    ) -> None:
        self._run, self._orders, self._book, self._listener, self._stop = (
            run,
            orders,
            book,
            listener,
            stop,
        )
        self._redact, self._advise = redact, advise
        self._fenced, self._walk = (
            fenced,
            StepContext(ports, Pace(hash(run) & 0xFFFF), stop, still, verify),
        )
        self._jobs = {job.step: job for job in orders.jobs}
        self._planned = [job.step for job in orders.jobs if not job.undoes]
        self._undoing = {job.undoes: job for job in orders.jobs if job.undoes}
        self._outcomes: dict[str, Outcome] = dict(orders.done)
        self._unwritten = False
        """Whether a line is missing in the journal, so that only `resume` can end the run."""
        self._lock = Lock()
        self._bug: Exception | None = None
        self._crew: WorkerPool | None = None

    def carry_out(self) -> RunResult:
        """Returns when every step has ended or was let go. Raises what is a bug, after all steps
        have been written down.
        """
        clock = self._walk.ports.clock
        began = clock.elapsed()
        planned = [self._jobs[step] for step in self._planned]
        good = [
            step
            for step in self._planned
            if step in self._outcomes and self._outcomes[step].verdict in GOOD
        ]
        schedule = Schedule(
            {job.step: job.needs for job in planned},
            {job.step: float(job.estimate_s) for job in planned},
            good,
        )
        for step, outcome in self._orders.done.items():
            self._undo(outcome)
            for other in (
                []
                if self._jobs[step].undoes
                else schedule.retire(step)
                if outcome.verdict not in GOOD
                else ()
            ):
                if other not in self._orders.done:
                    self._wait_in_vain(other, step)
        self._crew = WorkerPool(
            schedule,
            self._work,
            self._wait_in_vain,
            lambda: self._stop.asked,
            self._orders.parallel,
            self._orders.fail_fast,
        )
        not_started = self._crew.carry_out()
        if self._bug is not None:
            raise self._bug
        if self._stop.asked:
            not_started = [step for step in self._planned if step not in self._outcomes]
            not_started += [
                job.step
                for other, job in self._undoing.items()
                if job.step not in self._outcomes
                and other in self._outcomes
                and self._outcomes[other].has_to_give_way
            ]
        else:
            in_doubt = any(outcome.open for outcome in self._outcomes.values())
            for step in not_started:
                self._skip(
                    step, "another step did not go well, and --fail-fast was asked for", in_doubt
                )
            not_started = []
        outcomes = tuple(
            self._outcomes[job.step] for job in self._orders.jobs if job.step in self._outcomes
        )
        status, code = verdict(self._counted(outcomes), not_started, self._stop)
        if code in (Exit.FAILED, Exit.PARTLY) and any(
            self._jobs[step].undoes for step in not_started
        ):
            status, code = (
                Verdict.IN_DOUBT,
                Exit.IN_DOUBT,
            )  # what failed is live still, and `resume` goes on with that
        if (
            not not_started
            and not self._unwritten
            and not any(outcome.open for outcome in outcomes)
        ):
            self._append("toolkit", "the end of the run", "end", exit=code, status=status)
        if self._unwritten and self._stop.signal is None:
            status, code = (
                Verdict.IN_DOUBT,
                Exit.IN_DOUBT,
            )  # done or not: nobody but this process knows it
        return RunResult(
            self._run, status, code, outcomes, tuple(not_started), round(clock.elapsed() - began, 2)
        )

    def _work(self, step: str) -> bool:
        """One step, and whether it went well. Never raises: a bug is kept for `carry_out`."""
        job = self._jobs[step]
        try:
            outcome = self._carried_out(job)
            self._write_down(job, outcome)
            self._undo(outcome)
        except Exception as bug:
            self._bug = self._bug or bug
            if self._crew is not None:
                self._crew.close()
            outcome = Outcome(
                step,
                job.target,
                Verdict.IN_DOUBT,
                f"a bug in toolkit: {type(bug).__name__}",
                "toolkit resume",
                open=True,
            )
            self._keep(outcome)
        return outcome.verdict in GOOD

    def _undo(self, outcome: Outcome) -> None:
        """What is live and does not pass its checks gives way to the version that was to be put
        back then, if there is one.
        """
        job = self._undoing.get(outcome.step) if outcome.has_to_give_way else None
        if (
            job is None
            or (job.step in self._outcomes and not self._outcomes[job.step].open)
            or self._stop.asked
        ):
            return
        back = self._carried_out(job, outcome.live)
        self._write_down(job, back)

    def _counted(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes that decide how the run ended: a version that is back again makes nothing
        good that had failed.
        """
        return [
            one for one in outcomes if one.verdict not in GOOD or not self._jobs[one.step].undoes
        ]

    def _carried_out(self, job: Job, undone: LiveVersion | None = None) -> Outcome:
        begun = self._orders.begun.get(job.step)
        log = self._book.log(job.step)
        desk = StepJournal(
            job,
            self._book.journal,
            log,
            self._listener,
            self._stop,
            self._walk.ports.clock,
            self._fenced,
            begun.receipt if begun else None,
            begun is not None and begun.acted,
            self._redact,
            lambda: self._begins(job),
        )
        self._listener.began(job)
        try:
            waited_s = begun.waited_s if begun else 0.0
            outcome = carry_out(
                job, targets.kind(job.kind), desk, self._walk, begun is not None, waited_s, undone
            )
            next_ = self._advise(job, outcome.next)
            return replace(
                outcome,
                cause=self._redact(outcome.cause),
                next=next_,
                log=tuple(map(self._redact, outcome.log)),
            )
        finally:
            log.close()

    def _begins(self, job: Job) -> None:
        """What undoes another step is told of already: what that one put there is no good deploy.
        And a bad version has to go back even where nothing can be recorded.
        """
        if not job.undoes:
            self._book.begins(job)

    def _write_down(self, job: Job, outcome: Outcome) -> None:
        """The record first, then the outcome: a crash in between only makes the next process look
        again.

        Where the disk takes one of them no more, the step stays open: `resume` sees how it ended,
        and writes that down.
        """
        if not outcome.open:
            try:
                self._book.record(job, outcome)
            except FileProblem as problem:
                outcome = self._left_open(outcome, "what is live could not be recorded", problem)
            except ToolkitError as problem:
                self._listener.told(job.step, f"what is live could not be recorded: {problem}")
        self._keep(outcome if outcome.open else self._end(outcome))

    def _left_open(self, outcome: Outcome, what: str, problem: FileProblem) -> Outcome:
        """The step is over, and that is on no disk."""
        self._stop.ask(problem=problem)
        self._unwritten = True
        self._listener.told(outcome.step, f"{what}: {problem}")
        return replace(outcome, open=True, next="make room on the disk, then: toolkit resume")

    def _end(self, outcome: Outcome) -> Outcome:
        """Write it down; it stays open where that is not possible."""
        written = self._append(
            outcome.step,
            f"its end ({outcome.verdict})",
            "outcome",
            outcome.step,
            verdict=outcome.verdict,
            cause=outcome.cause,
            next=outcome.next,
            took_s=outcome.took_s,
            live=_without_body(outcome.live),
            **({"untouched": True} if outcome.untouched else {}),
        )
        return outcome if written else replace(outcome, open=True)

    def _append(
        self, whose: str, what: str, state: str, step: str | None = None, **facts: Any
    ) -> bool:
        """Write a line, without which the next process comes to the same end; whether it is on
        disk.
        """
        try:
            self._book.journal.append(state, step, **facts)
        except FileProblem as problem:
            self._stop.ask(problem=problem)
            self._unwritten = True
            self._listener.told(whose, f"{what} could not be written down: {problem}")
            return False
        return True

    def _keep(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[outcome.step] = outcome
        self._listener.ended(outcome)

    def _wait_in_vain(self, step: str, other: str) -> None:
        """A step that waits for one that did not go well. What is open may still go well: so this
        step is open, too.

        What waits for one that was only stopped is simply not begun.
        """
        still_open = self._outcomes[other].open
        if not (still_open and self._stop.asked):
            self._skip(step, f"it waits for {other}, which did not go well", still_open)

    def _skip(self, step: str, cause: str, still_open: bool = False) -> None:
        outcome = Outcome(step, self._jobs[step].target, Verdict.SKIPPED, cause, open=still_open)
        self._keep(outcome if outcome.open else self._end(outcome))


def verdict(outcomes: Sequence[Outcome], not_started: Sequence[str], stop: Stop) -> tuple[str, int]:
    """The status word of a run, and its exit code."""
    words = [outcome.verdict for outcome in outcomes]
    good, bad = sum(word in GOOD for word in words), sum(word in BAD for word in words)
    left = bool(not_started) or any(outcome.open for outcome in outcomes)
    if left and stop.signal is not None:
        return Verdict.CANCELLED, 128 + stop.signal
    if left and stop.problem is not None:
        code = (
            stop.problem.exit
            if stop.problem.error_class is ErrorClass.CREDENTIALS
            else Exit.IN_DOUBT
        )
        doubt = Verdict.IN_DOUBT in words or code == Exit.IN_DOUBT
        return Verdict.IN_DOUBT if doubt else Verdict.CANCELLED, code
    if Verdict.IN_DOUBT in words:
        return Verdict.IN_DOUBT, Exit.IN_DOUBT
    if (
        not good
        and Verdict.CANCELLED in words
        and set(words) <= {Verdict.CANCELLED, Verdict.SKIPPED}
    ):
        return Verdict.CANCELLED, Exit.USAGE  # nobody agreed to it, so that nothing was changed
    if bad or Verdict.SKIPPED in words or not_started:
        return ("partial", Exit.PARTLY) if good else (Verdict.FAILED, Exit.FAILED)
    return (
        Verdict.UNCHANGED
        if words and all(word is Verdict.UNCHANGED for word in words)
        else Verdict.SUCCEEDED
    ), Exit.OK
