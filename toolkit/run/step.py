"""The life of one step: apply it, then look until the cloud says how it ended."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import (
    BadConfig,
    CloudError,
    ErrorClass,
    Expired,
    FileProblem,
    LockLost,
    NoCredentials,
    NotAgreed,
    NotAllowed,
    Preempted,
    Refused,
    SourceProblem,
    Stopped,
    Superseded,
    ToolkitError,
)
from toolkit.model import GOOD, Job, LiveVersion, Observation, Outcome, StepState, Verdict
from toolkit.ports import debug
from toolkit.ports.ports import Ports
from toolkit.run import superseded
from toolkit.run.pace import Pace
from toolkit.run.step_journal import StepJournal
from toolkit.run.stop import Stop
from toolkit.targets.base import Kind

APPLIES = 2
"""How often a step is applied with its one token, if the cloud says that nothing of it is there."""
CERTAIN_AFTER_S = {StepState.ABSENT: 10.0, StepState.UNKNOWN: 30.0}
"""How far apart, in seconds, the first and the last look have to be that say so, all in a row,
before it counts.

AWS may take a while to show what it has accepted.
"""
SIGNED_OUT = (Expired, NoCredentials, SourceProblem, BadConfig)
"""After one of these nothing can be asked before a person has done something: the run ends here,
and `resume` goes on with it.
"""
MAX_REFUSED = 3
"""How many looks in a row may be refused for want of a permission; a new policy takes effect after
a moment.
"""
RESUMED_LEAST_S = 300.0
"""How long a step that an earlier process began is watched at least, in seconds: its deadline may
be over by now.
"""


BAKING = "baking_since"
"""Under which name a receipt says that the step is live, and since when it has had to stay good."""


def files_never_change(job: Job) -> None:
    """The `still` of a run whose files cannot change."""


def no_checks(job: Job, outcome: Outcome, journal: StepJournal) -> Outcome:
    """The `verify` of a run whose steps are not checked."""
    return outcome


Verify = Callable[[Job, Outcome, StepJournal], Outcome]
"""Whether a step that went well passes its checks: the outcome, which is no longer good if it does
not. Raises Stopped.
"""


class StepContext(Struct, frozen=True):
    """What all steps of a run share. `still` raises StalePlan if a job's files have changed since
    the plan.
    """

    ports: Ports
    pace: Pace
    stop: Stop
    still: Callable[[Job], None] = files_never_change
    verify: Verify = no_checks


class _StepRun(Struct, frozen=True):
    """What the functions below need of one step. `deadline` is in seconds of the clock's own."""

    job: Job
    kind: Kind
    journal: StepJournal
    context: StepContext
    deadline: float


def carry_out(
    job: Job,
    kind: Kind,
    journal: StepJournal,
    context: StepContext,
    waited_s: float | None = None,
    undone: LiveVersion | None = None,
) -> Outcome:
    """Deploy a step, check it, and say how that ended. `waited_s`: an earlier process began it so
    many seconds ago (None: none did). `undone`: the version that this step is to replace, and
    nothing else.

    Raises only bugs. Everything else that goes wrong is an outcome, `open` if the cloud may still
    be at work.
    """
    clock = context.ports.clock
    began = clock.elapsed()
    resumed = waited_s is not None
    waited_s = waited_s or 0.0
    # A step that was begun long ago gets some time nevertheless: it may have ended well meanwhile.
    deadline = began + max(job.deadline_s - waited_s, RESUMED_LEAST_S if resumed else 0.0)
    run = _StepRun(job, kind, journal, context, deadline)
    try:
        outcome = _apply_and_follow(run, resumed, undone)
        if outcome.verdict in GOOD:
            outcome = _verify(run, outcome)
    except (Stopped, *SIGNED_OUT, LockLost, FileProblem, NotAgreed, Superseded) as problem:
        outcome = _ended_early(run, problem)
    except ToolkitError as problem:
        # What a step is to undo is live, and not well: that is gone on with, also where nothing was
        # begun yet.
        goes_on = journal.acted or bool(job.undoes)
        if goes_on and problem.is_unanswered and not isinstance(problem, NotAllowed):
            outcome = _stopped(job, journal, problem)
        else:
            outcome = _failed(job, problem)
    return replace(outcome, took_s=round(clock.elapsed() - began + waited_s, 2), adopted=resumed)


def _ended_early(run: _StepRun, problem: ToolkitError) -> Outcome:
    """The outcome of a step that was ended from our side: by the person, the disk, the credentials,
    a lock, or somebody else's deploy.
    """
    job, journal, stop = run.job, run.journal, run.context.stop
    if isinstance(problem, Stopped):
        return _stopped(job, journal, stop.problem if isinstance(stop.problem, Preempted) else None)
    if isinstance(problem, (*SIGNED_OUT, LockLost)):
        stop.ask(problem=problem)  # it is so for all steps
        return _stopped(job, journal, problem)
    if isinstance(problem, Superseded):
        return replace(_failed(job, problem), verdict=Verdict.SUPERSEDED)
    if isinstance(problem, NotAgreed) and not journal.acted:
        return replace(_failed(job, problem), verdict=Verdict.CANCELLED)
    if isinstance(problem, FileProblem):
        # A full disk stops the run: then it is not this step's own file that is wrong.
        disk_is_full = isinstance(stop.problem, FileProblem)
        if journal.acted or disk_is_full:
            return _stopped(job, journal, problem)
    return _failed(job, problem)


def _verify(run: _StepRun, outcome: Outcome) -> Outcome:
    """The outcome after the checks. Raises Stopped if nothing was changed that would have to be
    checked.
    """
    try:
        return run.context.verify(run.job, outcome, run.journal)
    except Stopped:
        if outcome.verdict is not Verdict.SUCCEEDED:
            raise
        cause = "it is live, and its checks were not done"
        if BAKING in run.journal.receipt:
            cause = "it is live, and its bake was not over"
        if isinstance(run.context.stop.problem, Preempted):
            cause = f"{cause}: {run.context.stop.problem}"
        return replace(
            outcome, verdict=Verdict.IN_DOUBT, cause=cause, next="toolkit resume", open=True
        )


def _apply_and_follow(run: _StepRun, resumed: bool, undone: LiveVersion | None) -> Outcome:
    """Apply and follow, a second time if nothing came of the first; after that the step is in
    doubt. A step that an earlier process began is looked for first.

    Preparations that got no answer are tried a second time, too; after that the step has failed and
    changed nothing.
    """
    job, journal = run.job, run.journal
    lost = ""
    for attempt in range(APPLIES):
        # A resumed step may be at work: it is looked for before anything is done again.
        if attempt or not resumed:
            # Right before the effect: files may have changed while other steps were deployed.
            run.context.still(job)
            if undone is not None:
                superseded.check_still_live(job, run.kind, undone, run.context.ports)
            try:
                run.kind.apply(job, run.context.ports, journal)
            except CloudError as problem:
                if problem.error_class not in (ErrorClass.UNREACHABLE, ErrorClass.THROTTLED):
                    raise
                if not journal.acted:
                    if attempt or not journal.prepared:
                        raise  # nothing that runs was changed, so that nothing is in doubt
                    # There is nothing to look at yet. What was made already is found by the step's
                    # token, once AWS shows it.
                    journal.phase(f"trying once more: {problem}")
                    journal.wait(CERTAIN_AFTER_S[StepState.ABSENT])
                    continue
                # Perhaps only the answer was lost: look before anything is done again.
                lost = f"{problem}, and nothing of it is to be seen"
                journal.phase(f"looking what became of it: {problem}")
        outcome = _Watch(run).follow()
        if outcome is not None:
            return outcome
    cause = lost or "AWS accepted it, and then knew nothing of it"
    return _in_doubt(job, cause)


class _Watch:
    """Looks at one step again and again. A look that fails says nothing about the step."""

    def __init__(self, run: _StepRun) -> None:
        self._run = run
        self._clock = run.context.ports.clock
        self._began = self._since = self._clock.elapsed()
        self._state: StepState | None = None
        """What the looks say, and since when all of them."""
        self._observation: Observation | None = None
        self._refused = 0
        """How many looks in a row were refused."""
        self._cause = ""
        """The first cause that was shown: it stays the cause, whatever follows from it."""
        self._abandoned = False

    def follow(self) -> Outcome | None:
        """Look until the step has ended or its time is over. None: there has been no trace of it
        for a while.
        """
        run = self._run
        while True:
            asked_at = self._clock.elapsed()
            try:
                self._observation = run.kind.observe(
                    run.job, run.journal.receipt, run.context.ports, self._observation
                )
                self._refused = 0
            except Expired:
                raise
            except CloudError as problem:
                self._refused += 1
                if self._is_hopeless(problem):
                    return _stopped(run.job, run.journal, problem)
            if self._observation is not None and not self._refused:
                self._take_in(self._observation)
                if self._is_over(self._observation, asked_at):
                    if self._state == StepState.ABSENT:
                        return None
                    return _outcome_of(run.job, self._observation, self._cause)
                if self._observation.doomed and not self._abandoned:
                    self._abandoned = True
                    _abandon(run)
            now = self._clock.elapsed()
            if now >= run.deadline:
                return _timed_out(run.job, self._state, self._cause)
            pause = run.context.pace.until_next(now, now - self._began, self._refused)
            run.journal.wait(min(pause, run.deadline - now))

    def _is_hopeless(self, problem: CloudError) -> bool:
        """Whether later looks will be refused as well. Raises the problem if a person has to do
        something first, which stops the whole run.
        """
        if self._refused == MAX_REFUSED:
            if isinstance(problem, SIGNED_OUT):
                raise problem
            if isinstance(problem, NotAllowed):
                return True
        self._run.journal.phase(
            f"cannot see it: {problem}" if self._refused > 1 else "looking again"
        )
        return False

    def _take_in(self, observation: Observation) -> None:
        """Show what is new, and remember since when the state has been the same."""
        journal = self._run.journal
        state, cause = observation.state, observation.cause
        debug.tell("look", self._run.job.step, state=state, sure=observation.sure, cause=cause)
        for line in observation.lines:
            journal.log(line)
        if observation.phase:
            journal.phase(observation.phase)
        if observation.cause and not self._cause and observation.state != StepState.DONE:
            self._cause = observation.cause
            journal.tell(observation.cause)
            for line in observation.log:
                journal.log(line)
        if observation.state != self._state:
            self._state, self._since = observation.state, self._clock.elapsed()

    def _is_over(self, observation: Observation, asked_at: float) -> bool:
        if self._state == StepState.RUNNING:
            return False
        if observation.sure or self._state not in CERTAIN_AFTER_S:
            return True
        # By when it was asked and not answered: a slow answer says how it was then.
        return asked_at - self._since >= CERTAIN_AFTER_S[self._state]


def _abandon(run: _StepRun) -> None:
    """Stop a deploy that cannot succeed. If that is refused, the cloud comes to the same end later,
    and is watched until then.
    """
    try:
        run.kind.abandon(run.job, run.journal.receipt, run.context.ports, run.journal)
    except SIGNED_OUT:
        raise
    except (CloudError, Refused) as problem:
        run.journal.tell(f"could not stop it: {problem}")


def _outcome_of(job: Job, observation: Observation, first_cause: str) -> Outcome:
    """The outcome, from the last look. The cause that was shown first remains the cause."""
    cause = first_cause or observation.cause
    if observation.state not in (StepState.DONE, StepState.FAILED):
        return _in_doubt(
            job, cause or "AWS does not say what became of it", observation.next or "toolkit resume"
        )
    verdict = Verdict.FAILED
    if observation.state == StepState.DONE:
        # What went wrong on the way is no cause any more: it went well in the end.
        verdict, cause = Verdict.SUCCEEDED, observation.cause
    return Outcome(
        job.step,
        job.target,
        observation.verdict or verdict,
        cause,
        observation.next,
        observation.log,
        observation.outputs,
        live=observation.live,
        untouched=observation.untouched,
    )


def _timed_out(job: Job, state: StepState | None, first_cause: str) -> Outcome:
    time = f"{job.deadline_s // 60} min" if job.deadline_s >= 60 else f"{job.deadline_s} s"
    cause = f"its end was not seen in {time}"
    if state == StepState.RUNNING:
        cause = f"still running in AWS after {time}"
    cause += "; nothing was stopped"
    if first_cause:
        cause += f"; {first_cause}"
    return _in_doubt(job, cause)


def _in_doubt(job: Job, cause: str, next: str = "toolkit resume") -> Outcome:
    return Outcome(job.step, job.target, Verdict.IN_DOUBT, cause, next, open=True)


def _stopped(job: Job, journal: StepJournal, problem: ToolkitError | None = None) -> Outcome:
    """The outcome of a step that was let go. It is open, and in doubt if something may have been
    changed whose end nobody has seen.
    """
    next = "toolkit resume"
    if isinstance(problem, Expired):
        next = problem.next
    elif isinstance(problem, SIGNED_OUT):
        next = f"{problem.next}; then go on: toolkit resume"
    if journal.acted or (job.undoes and problem):
        cause = str(problem) if problem else "still running in AWS"
        if isinstance(problem, Preempted):
            cause = f"{problem}; what runs in AWS was left to that"
        return _in_doubt(job, cause, next)
    that_runs = " that runs" if journal.prepared else ""
    if problem:
        cause = f"{problem}; nothing{that_runs} was changed"
    else:
        cause, next = f"stopped before anything{that_runs} was changed", ""
    return Outcome(job.step, job.target, Verdict.CANCELLED, cause, next, open=True)


def _failed(job: Job, problem: ToolkitError) -> Outcome:
    return Outcome(job.step, job.target, Verdict.FAILED, str(problem), problem.next)
