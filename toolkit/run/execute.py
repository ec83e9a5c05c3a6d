"""A run: its jobs as a graph. The end of each step is on disk before a step that depends on it
begins.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import ErrorClass, Exit, FileProblem, ToolkitError
from toolkit.model import GOOD, Job, LiveVersion, Outcome, RunResult, RunStatus, Verdict
from toolkit.ports import debug
from toolkit.ports.ports import Ports
from toolkit.record.journal import EntryState
from toolkit.run.pace import Pace
from toolkit.run.schedule import Schedule
from toolkit.run.step import StepContext, Verify, carry_out, files_never_change, no_checks
from toolkit.run.step_journal import (
    BegunStep,
    JournalWriter,
    Listener,
    LogWriter,
    StepJournal,
    StepServices,
)
from toolkit.run.stop import Stop
from toolkit.run.workers import WorkerPool

BAD = (
    Verdict.FAILED,
    Verdict.UNHEALTHY,
    Verdict.ROLLED_BACK,
    Verdict.SUPERSEDED,
    Verdict.CANCELLED,
)


def unchanged_advice(job: Job, next: str) -> str:
    """The `advise` of a run whose next commands need no options."""
    return next


def _without_body(live: LiveVersion | None) -> LiveVersion | None:
    """What the journal stores of what is live: a template may be large, and is stored beside the
    record.
    """
    if live is None:
        return None
    return replace(live, deployed=replace(live.deployed, body=""))


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

    def record(self, job: Job, outcome: Outcome) -> None:
        """Record how the target's last deploy ended and what is live now. Raises ToolkitError."""


class RunOptions(Struct, frozen=True):
    """What a run does, and how. `done` are outcomes of an earlier process, `begun` steps that it
    left open.
    """

    jobs: tuple[Job, ...]
    parallel: int
    fail_fast: bool = False
    done: Mapping[str, Outcome] = {}
    begun: Mapping[str, BegunStep] = {}


class RunContext(Struct, frozen=True):
    """What a run works with. `check_fence` raises LockLost once a lock is no longer ours, `still`
    StalePlan if a job's files have changed since the plan; `redact` removes secrets from a text,
    `advise` adds to a next command the options that it needs for the job's environment.
    """

    ports: Ports
    journal: RunJournal
    listener: Listener
    stop: Stop
    check_fence: Callable[[], None]
    still: Callable[[Job], None] = files_never_change
    redact: Callable[[str], str] = str
    verify: Verify = no_checks
    advise: Callable[[Job, str], str] = unchanged_advice


class Execution:
    """One process's part of a run."""

    def __init__(self, run: str, options: RunOptions, context: RunContext) -> None:
        self._run, self._options, self._context = run, options, context
        self._stop, self._listener = context.stop, context.listener
        # The seed is the run's: all of its steps look at the same moments, other runs at others.
        pace = Pace(hash(run) & 0xFFFF)
        self._step_context = StepContext(
            context.ports, pace, context.stop, context.still, context.verify
        )
        self._services = StepServices(
            context.journal.journal,
            context.listener,
            context.stop,
            context.ports.clock,
            context.check_fence,
            context.redact,
        )
        self._jobs = {job.step: job for job in options.jobs}
        self._planned = [job.step for job in options.jobs if not job.undoes]
        self._undoing = {job.undoes: job for job in options.jobs if job.undoes}
        self._outcomes: dict[str, Outcome] = dict(options.done)
        self._unwritten = False
        """Whether a line is missing in the journal, so that only `resume` can end the run."""
        self._lock = Lock()
        self._bug: Exception | None = None
        self._workers: WorkerPool | None = None

    def carry_out(self) -> RunResult:
        """Run until every step has ended or was abandoned. Raises only bugs, after all steps have
        been written down.
        """
        clock = self._context.ports.clock
        began = clock.elapsed()
        self._workers = WorkerPool(
            self._schedule(),
            self._work,
            self._skip_dependent,
            lambda: self._stop.asked,
            self._options.parallel,
            self._options.fail_fast,
        )
        not_started = self._workers.carry_out()
        if self._bug is not None:
            raise self._bug
        if self._stop.asked:
            not_started = self._never_begun()
        else:
            self._skip_rest(not_started)
            not_started = []
        outcomes = tuple(
            self._outcomes[job.step] for job in self._options.jobs if job.step in self._outcomes
        )
        status, code = self._conclude(outcomes, not_started)
        took_s = round(clock.elapsed() - began, 2)
        return RunResult(self._run, status, code, outcomes, tuple(not_started), took_s)

    def _schedule(self) -> Schedule:
        """The planned steps as a graph, without those that an earlier process has ended. Steps of
        that process that have to be undone are undone first.
        """
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
        for step, outcome in self._options.done.items():
            self._undo(outcome)
            if self._jobs[step].undoes or outcome.verdict in GOOD:
                continue
            for dependent in schedule.retire(step):
                if dependent not in self._options.done:
                    self._skip_dependent(dependent, step)
        return schedule

    def _never_begun(self) -> list[str]:
        """The steps that a stopped run has not begun, including those that should undo what is
        unhealthy.
        """
        steps = [step for step in self._planned if step not in self._outcomes]
        for undone, job in self._undoing.items():
            outcome = self._outcomes.get(undone)
            if job.step not in self._outcomes and outcome is not None and outcome.has_to_give_way:
                steps.append(job.step)
        return steps

    def _skip_rest(self, steps: Sequence[str]) -> None:
        """Mark the steps that --fail-fast kept from beginning as skipped. While another step is in
        doubt they stay open, since `resume` may still begin them.
        """
        in_doubt = any(outcome.open for outcome in self._outcomes.values())
        for step in steps:
            self._skip(
                step, "another step did not go well, and --fail-fast was asked for", in_doubt
            )

    def _conclude(
        self, outcomes: Sequence[Outcome], not_started: Sequence[str]
    ) -> tuple[RunStatus, int]:
        """The run's status word and exit code. Its end is written down, unless something is left to
        do.
        """
        deciding = [outcome for outcome in outcomes if self._decides(outcome)]
        status, code = run_status(deciding, not_started, self._stop)
        undoing_left = any(self._jobs[step].undoes for step in not_started)
        if code in (Exit.FAILED, Exit.PARTLY) and undoing_left:
            # What failed is live still, and `resume` goes on with that.
            status, code = RunStatus.IN_DOUBT, Exit.IN_DOUBT
        is_open = bool(not_started) or any(outcome.open for outcome in outcomes)
        if not is_open and not self._unwritten:
            self._append("toolkit", "the end of the run", EntryState.END, exit=code, status=status)
        if self._unwritten and self._stop.signal is None:
            # Done or not: nobody but this process knows it.
            status, code = RunStatus.IN_DOUBT, Exit.IN_DOUBT
        return status, code

    def _decides(self, outcome: Outcome) -> bool:
        """Whether an outcome decides how the run ended. A successful undo does not: what failed has
        failed.
        """
        return outcome.verdict not in GOOD or not self._jobs[outcome.step].undoes

    def _work(self, step: str) -> bool:
        """Carry out one step; whether it went well. Never raises: a bug is kept for `carry_out`."""
        job = self._jobs[step]
        try:
            outcome = self._carry_out_step(job)
            self._write_down(job, outcome)
            self._undo(outcome)
        # A bug in one step must not stop the others in the middle of a call: they end as they
        # would.
        except Exception as bug:
            self._bug = self._bug or bug
            if self._workers is not None:
                self._workers.close()
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
        """If a step is live and unhealthy, put the earlier version back, if there is one."""
        job = self._undoing.get(outcome.step)
        if job is None or not outcome.has_to_give_way or self._stop.asked:
            return
        undone = self._outcomes.get(job.step)
        if undone is not None and not undone.open:
            return  # an earlier process has done it
        self._write_down(job, self._carry_out_step(job, outcome.live))

    def _carry_out_step(self, job: Job, undone: LiveVersion | None = None) -> Outcome:
        begun = self._options.begun.get(job.step)
        log = self._context.journal.log(job.step)
        step_journal = StepJournal(job, log, self._services, begun, lambda: self._announce(job))
        self._listener.began(job)
        waited_s = None if begun is None else begun.waited_s
        redact = self._context.redact
        try:
            outcome = carry_out(
                job, targets.kind(job.kind), step_journal, self._step_context, waited_s, undone
            )
            return replace(
                outcome,
                cause=redact(outcome.cause),
                next=self._context.advise(job, outcome.next),
                log=tuple(map(redact, outcome.log)),
            )
        finally:
            log.close()

    def _announce(self, job: Job) -> None:
        """Record that the step begins. A step that undoes another needs no announcement: the record
        says already that the other one is in doubt. And a bad version has to be replaced even if
        nothing can be recorded.
        """
        if not job.undoes:
            self._context.journal.announce(job)

    def _write_down(self, job: Job, outcome: Outcome) -> None:
        """Write the record, then the outcome: after a crash in between, the next process only looks
        again.

        If the disk accepts one of them no more, the step stays open: `resume` sees how it ended and
        writes that down.
        """
        if not outcome.open:
            try:
                self._context.journal.record(job, outcome)
            except FileProblem as problem:
                outcome = self._left_open(outcome, "what is live could not be recorded", problem)
            except ToolkitError as problem:
                self._listener.told(job.step, f"what is live could not be recorded: {problem}")
        self._keep(outcome if outcome.open else self._end(outcome))

    def _left_open(self, outcome: Outcome, what: str, problem: FileProblem) -> Outcome:
        """The step is over, but that could not be written down."""
        self._stop.ask(problem=problem)
        self._unwritten = True
        self._listener.told(outcome.step, f"{what}: {problem}")
        return replace(outcome, open=True, next="make room on the disk, then: toolkit resume")

    def _end(self, outcome: Outcome) -> Outcome:
        """Write an outcome down; the step stays open if that is not possible."""
        facts: dict[str, Any] = {
            "verdict": outcome.verdict,
            "cause": outcome.cause,
            "next": outcome.next,
            "took_s": outcome.took_s,
            "live": _without_body(outcome.live),
        }
        if outcome.untouched:
            facts["untouched"] = True
        what = f"its end ({outcome.verdict})"
        if self._append(outcome.step, what, EntryState.OUTCOME, outcome.step, **facts):
            return outcome
        return replace(outcome, open=True)

    def _append(
        self, whose: str, what: str, state: EntryState, step: str | None = None, **facts: Any
    ) -> bool:
        """Write a line; False if that is not possible. Without it the next process comes to the
        same end.
        """
        try:
            self._context.journal.journal.append(state, step, **facts)
        except FileProblem as problem:
            self._stop.ask(problem=problem)
            self._unwritten = True
            self._listener.told(whose, f"{what} could not be written down: {problem}")
            return False
        return True

    def _keep(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[outcome.step] = outcome
        debug.tell(
            "verdict",
            outcome.step,
            outcome.verdict,
            cause=outcome.cause,
            open=outcome.open,
            seconds=outcome.took_s,
        )
        self._listener.ended(outcome)

    def _skip_dependent(self, step: str, need: str) -> None:
        """Skip a step that depends on one that did not go well. If that one is open it may still go
        well, so this step stays open as well.

        If that one was only stopped, this step has simply not begun.
        """
        still_open = self._outcomes[need].open
        if not (still_open and self._stop.asked):
            self._skip(step, f"it waits for {need}, which did not go well", still_open)

    def _skip(self, step: str, cause: str, still_open: bool = False) -> None:
        outcome = Outcome(step, self._jobs[step].target, Verdict.SKIPPED, cause, open=still_open)
        self._keep(outcome if outcome.open else self._end(outcome))


def run_status(
    outcomes: Sequence[Outcome], not_started: Sequence[str], stop: Stop
) -> tuple[RunStatus, int]:
    """The status word of a run, and its exit code."""
    verdicts = {outcome.verdict for outcome in outcomes}
    unfinished = bool(not_started) or any(outcome.open for outcome in outcomes)
    if unfinished and stop.signal is not None:
        return RunStatus.CANCELLED, 128 + stop.signal
    if unfinished and stop.problem is not None:
        return _stopped_status(stop.problem, Verdict.IN_DOUBT in verdicts)
    if Verdict.IN_DOUBT in verdicts:
        return RunStatus.IN_DOUBT, Exit.IN_DOUBT
    some_good = not verdicts.isdisjoint(GOOD)
    if Verdict.CANCELLED in verdicts and verdicts <= {Verdict.CANCELLED, Verdict.SKIPPED}:
        return RunStatus.CANCELLED, Exit.USAGE  # nobody agreed to it, so that nothing was changed
    if not verdicts.isdisjoint((*BAD, Verdict.SKIPPED)) or not_started:
        return (RunStatus.PARTIAL, Exit.PARTLY) if some_good else (RunStatus.FAILED, Exit.FAILED)
    if verdicts == {Verdict.UNCHANGED}:
        return RunStatus.UNCHANGED, Exit.OK
    return RunStatus.SUCCEEDED, Exit.OK


def _stopped_status(problem: ToolkitError, in_doubt: bool) -> tuple[RunStatus, int]:
    """The same for a run that was stopped by a problem. Missing credentials have an exit code of
    their own, since it is clear what to do about them.
    """
    if problem.error_class is not ErrorClass.CREDENTIALS:
        return RunStatus.IN_DOUBT, Exit.IN_DOUBT
    in_doubt = in_doubt or problem.exit == Exit.IN_DOUBT
    return (RunStatus.IN_DOUBT if in_doubt else RunStatus.CANCELLED), problem.exit
