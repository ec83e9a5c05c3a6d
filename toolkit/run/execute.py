"""A run: its jobs as a graph, and a thread for each step that may begin. The end of each step is on
disk before a step that depends on it begins.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread

from toolkit.errors import FileProblem
from toolkit.exits import Exit
from toolkit.operations import GOOD, Job, LiveVersion, Outcome, RunResult, RunStatus, Span, Usage
from toolkit.ports import debug, usage
from toolkit.record.journal import EntryState
from toolkit.run.events import RunEnded, RunPlanned, StepEnded
from toolkit.run.outcomes import in_doubt, run_status, with_run
from toolkit.run.request import BegunStep, RunJournal, RunRequest
from toolkit.run.schedule import Schedule
from toolkit.run.step import StepExecution


class Execution:
    """One process's part of a run. Everything but the steps themselves happens in the thread that
    calls `carry_out`.
    """

    def __init__(
        self,
        request: RunRequest,
        journal: RunJournal,
        check_fence: Callable[[], None],
        jobs: Sequence[Job],
        done: Mapping[str, Outcome] | None = None,
        begun: Mapping[str, BegunStep] | None = None,
    ) -> None:
        """`check_fence` raises LockLost once a lock is no longer ours. `done` are outcomes of an
        earlier process, `begun` steps that it left open.
        """
        self._request, self._journal, self._check_fence = request, journal, check_fence
        self._stop = request.stop
        self._done, self._begun = done or {}, begun or {}
        self._jobs = {job.step: job for job in jobs}
        self._users: dict[str, list[str]] = {}
        """The steps that need a step, by its name."""
        for job in jobs:
            for need in job.needs:
                self._users.setdefault(need, []).append(job.step)
        self._planned = [job.step for job in jobs if not job.undoes]
        self._undoing = {job.undoes: job for job in jobs if job.undoes}
        self._outcomes: dict[str, Outcome] = dict(self._done)
        self._schedule = self._open_schedule()
        self._undos: deque[tuple[Job, LiveVersion | None]] = deque()
        """The steps that put something back, each with what it is to replace: they come first."""
        self._ended: SimpleQueue[StepExecution] = SimpleQueue()
        self._spans: dict[str, Span] = {}
        self._started_s = 0.0
        """When this process began, by the clock of `ports`."""
        self._closed = False
        """Whether no further step begins, but for what has to be undone."""
        self._unwritten = False
        """Whether a line is missing in the journal, so that only `resume` can end the run."""
        self._bug: BaseException | None = None

    def carry_out(self) -> RunResult:
        """Run until every step has ended or was abandoned. Raises only bugs, after all steps have
        been written down.
        """
        busy = 0
        self._started_s = self._request.ports.clock.elapsed()
        self._request.events.publish(RunPlanned(self._request.run, tuple(self._jobs.values())))
        self._take_over()
        while True:
            while busy < self._request.parallel and (step := self._next()) is not None:
                name, over = f"step {step.job.step}", self._ended.put
                thread = Thread(target=step.carry_out, args=(over,), name=name, daemon=True)
                began_s = self._elapsed_s()
                self._spans[step.job.step] = Span(began_s, began_s)
                try:
                    thread.start()
                    busy += 1
                except RuntimeError as problem:  # the system has no more threads
                    self._fail(problem)
            if not busy:
                break
            step = self._ended.get()
            began_s = self._spans[step.job.step].began_s
            self._spans[step.job.step] = Span(began_s, self._elapsed_s())
            self._take_in(step)
            busy -= 1
        if self._bug is not None:
            raise self._bug
        result = self._result(self._elapsed_s())
        self._request.events.publish(RunEnded(result))
        return result

    def _elapsed_s(self) -> float:
        """How long this process has been at work, in seconds."""
        return round(self._request.ports.clock.elapsed() - self._started_s, 2)

    def _open_schedule(self) -> Schedule:
        """The planned steps as a graph, without those that an earlier process has ended well."""
        planned = [self._jobs[step] for step in self._planned]
        good = [step for step in self._planned if self._ended_well(step)]
        return Schedule(
            {job.step: job.needs for job in planned},
            {job.step: float(job.estimate_s) for job in planned},
            good,
        )

    def _ended_well(self, step: str) -> bool:
        return step in self._outcomes and self._outcomes[step].verdict in GOOD

    def _take_over(self) -> None:
        """Draw the consequences of what an earlier process has ended: what has to be undone is
        undone first, and what depends on a failure is skipped.
        """
        for step, outcome in self._done.items():
            self._undo(outcome)
            if self._jobs[step].undoes or outcome.verdict in GOOD:
                continue
            for dependent in self._schedule.retire(step):
                if dependent not in self._done:
                    self._skip_dependent(dependent, step)
        self._skip_unneeded_builds()

    def _next(self) -> StepExecution | None:
        """A step that may begin, None if there is none now."""
        if self._stop.asked:
            return None
        if self._undos:
            return self._step(*self._undos.popleft())
        step = None if self._closed else self._schedule.next()
        return None if step is None else self._step(self._jobs[step])

    def _step(self, job: Job, undone: LiveVersion | None = None) -> StepExecution:
        begun = self._begun.get(job.step)
        return StepExecution(job, self._request, self._journal, self._check_fence, begun, undone)

    def _take_in(self, step: StepExecution) -> None:
        """Draw the consequences of a step's end. Whatever is wrong with that, the steps that are at
        work go on to their end.
        """
        try:
            self._keep(self._outcome_of(step), step)
            self._undo(self._outcomes[step.job.step])
            if step.job.undoes:
                return
            if self._ended_well(step.job.step):
                self._schedule.succeeded(step.job.step)
                return
            for dependent in self._schedule.failed(step.job.step):
                self._skip_dependent(dependent, step.job.step)
            self._skip_unneeded_builds()
            self._closed = self._closed or self._request.fail_fast
        except BaseException as problem:
            self._fail(problem)

    def _outcome_of(self, step: StepExecution) -> Outcome:
        """How a step ended: in doubt where that was by a bug."""
        if step.bug is not None:
            self._fail(step.bug)
        if step.outcome is not None and step.bug is None:
            return step.outcome
        job, cause = step.job, f"a bug in toolkit: {type(step.bug).__name__}"
        return in_doubt(job, cause)

    def _fail(self, problem: BaseException) -> None:
        """Begin nothing more, since something is wrong with toolkit itself."""
        self._bug = self._bug or problem
        self._closed = True

    def _keep(self, outcome: Outcome, step: StepExecution) -> None:
        self._unwritten = self._unwritten or step.unwritten
        self._outcomes[outcome.step] = outcome
        debug.tell(
            "verdict",
            outcome.step,
            outcome.verdict,
            cause=outcome.cause,
            open=outcome.open,
            seconds=outcome.took_s,
        )
        self._request.events.publish(StepEnded(outcome))

    def _undo(self, outcome: Outcome) -> None:
        """If a step is live and unhealthy, put the earlier version back, if there is one."""
        job = self._undoing.get(outcome.step)
        if job is None or not outcome.has_to_give_way:
            return
        undone = self._outcomes.get(job.step)
        if undone is None or undone.open:  # else an earlier process has done it
            self._undos.append((job, outcome.live))

    def _skip_dependent(self, step: str, need: str) -> None:
        """Skip a step that depends on one that did not go well. If that one is open it may still go
        well, so this step stays open as well.

        If that one was only stopped, this step has simply not begun.
        """
        still_open = self._outcomes[need].open
        if not (still_open and self._stop.asked):
            self._skip(step, f"it waits for {need}, which did not end well", still_open)

    def _skip_unneeded_builds(self) -> None:
        """Skip the builds that have not begun, and whose result nobody waits for any more."""
        for job in self._jobs.values():
            if not job.is_build or job.step in self._outcomes:
                continue
            users = self._users.get(job.step, ())
            # Without any, the build itself was asked for.
            unneeded = users and all(self._is_over(user) for user in users)
            if unneeded and self._schedule.dropped(job.step):
                self._skip(job.step, "nothing that needs it is deployed", still_open=False)

    def _is_over(self, step: str) -> bool:
        return step in self._outcomes and not self._outcomes[step].open

    def _skip(self, name: str, cause: str, still_open: bool) -> None:
        step = self._step(self._jobs[name])
        step.skip(cause, still_open)
        self._keep(self._outcome_of(step), step)

    def _result(self, took_s: float) -> RunResult:
        """What there is to say at the end. The run's end is written down, unless something is left
        to do.
        """
        not_started: list[str] = []
        if self._stop.asked:
            not_started = self._never_begun()
        else:
            self._skip_rest(self._schedule.rest())
        run = self._request.run
        outcomes = tuple(
            with_run(self._outcomes[step], run) for step in self._jobs if step in self._outcomes
        )
        taken = usage.of_process()
        status, code = self._conclude(outcomes, not_started, taken)
        left = self._request.left
        if left and code == Exit.OK:  # all of it went well, but it was not everything
            status, code = RunStatus.PARTIAL, int(Exit.PARTLY)
        spans = dict(self._spans)
        rest = tuple(not_started)
        return RunResult(run, status, code, outcomes, rest, took_s, left, spans=spans, usage=taken)

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
        still_open = any(outcome.open for outcome in self._outcomes.values())
        for step in steps:
            self._skip(step, "another step did not end well, and --fail-fast applies", still_open)

    def _conclude(
        self, outcomes: Sequence[Outcome], not_started: Sequence[str], taken: Usage
    ) -> tuple[RunStatus, int]:
        """The run's status word and exit code; its end is written down."""
        deciding = [outcome for outcome in outcomes if self._decides(outcome)]
        if not deciding:  # nothing but builds
            deciding = list(outcomes)
        status, code = run_status(deciding, not_started, self._stop)
        undoing_left = any(self._jobs[step].undoes for step in not_started)
        if code in (Exit.FAILED, Exit.PARTLY) and undoing_left:
            # What failed is live still, and `resume` goes on with that.
            status, code = RunStatus.IN_DOUBT, Exit.IN_DOUBT
        is_open = bool(not_started) or any(outcome.open for outcome in outcomes)
        if not is_open and not self._unwritten:
            self._write_end(status, code, taken)
        if self._unwritten and self._stop.signal is None:
            # Done or not: nobody but this process knows it.
            status, code = RunStatus.IN_DOUBT, Exit.IN_DOUBT
        return status, code

    def _write_end(self, status: RunStatus, code: int, taken: Usage) -> None:
        try:
            self._journal.journal.append(EntryState.END, exit=code, status=status, usage=taken)
        except FileProblem as problem:
            self._stop.ask(problem=problem)
            self._unwritten = True
            self._request.tell(f"the end of the run could not be written down: {problem}")

    def _decides(self, outcome: Outcome) -> bool:
        """Whether an outcome decides how the run ended. A successful undo does not: what failed has
        failed. Nor does a build, which alone changes nothing.
        """
        job = self._jobs[outcome.step]
        return outcome.verdict not in GOOD or not (job.undoes or job.is_build)
