"""The life of one step: apply, then look until the cloud says how it ended."""

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
from toolkit.model import GOOD, Job, LiveVersion, Observation, Outcome, Verdict
from toolkit.ports.ports import Ports
from toolkit.run import superseded
from toolkit.run.pace import Pace
from toolkit.run.step_journal import StepJournal
from toolkit.run.stop import Stop
from toolkit.targets.base import Kind

APPLIES = 2
"""How often a step is applied with its one token, if the cloud says that nothing of it is there."""
SURE_S = {"absent": 10.0, "unknown": 30.0}
"""How far apart, in seconds, the first and the last look have to be that say so, all in a row,
before it counts.

AWS may take a while to show what it has accepted.
"""
SIGNED_OUT = (Expired, NoCredentials, SourceProblem, BadConfig)
"""After one of these nothing can be asked before a person has done something: the run ends here,
and `resume` goes on with it.
"""
BLIND = 3
"""How many looks in a row may be refused for want of a permission; a new policy takes effect after
a moment.
"""
LEAST_S = 300.0
"""How long a step that an earlier process began is watched at least, in seconds: its deadline may
be over by now.
"""


BAKING = "baking_since"
"""Under which name a receipt says that the step is live, and since when it has had to stay good."""


def always(job: Job) -> None:
    """For a run whose files cannot change."""


def unchecked(job: Job, outcome: Outcome, desk: StepJournal) -> Outcome:
    """For a run whose steps are not checked."""
    return outcome


Verify = Callable[[Job, Outcome, StepJournal], Outcome]
"""Whether a step that went well passes its checks: the outcome, which is no longer good if it does
not. Raises Stopped.
"""


class StepContext(Struct, frozen=True):
    """What every step of a run walks with. `still` raises StalePlan where a job's files are no
    longer those that it is to deploy.
    """

    ports: Ports
    pace: Pace
    stop: Stop
    still: Callable[[Job], None] = always
    verify: Verify = unchecked


def carry_out(
    job: Job,
    kind: Kind,
    desk: StepJournal,
    walk: StepContext,
    resumed: bool = False,
    waited_s: float = 0.0,
    undone: LiveVersion | None = None,
) -> Outcome:
    """Deploy it, see that it passes its checks, and say how that ended. `resumed`: an earlier
    process began it `waited_s` seconds ago; `undone`: what this step is to replace, and nothing
    else.

    Raises only what is a bug. Whatever else goes wrong is an outcome, `open` where the cloud may
    still be at work.
    """
    clock = walk.ports.clock
    began = clock.elapsed()
    until = began + max(job.deadline_s - waited_s, LEAST_S if resumed else 0.0)
    try:
        outcome = _applied(job, kind, desk, walk, until, resumed, undone)
        if outcome.verdict in GOOD:
            outcome = _verified(job, outcome, desk, walk)
    except Stopped:
        asked = walk.stop.problem if isinstance(walk.stop.problem, Preempted) else None
        outcome = _stopped(job, desk, asked)
    except (*SIGNED_OUT, LockLost) as problem:
        walk.stop.ask(problem=problem)
        outcome = _stopped(job, desk, problem)
    except FileProblem as problem:
        full = isinstance(walk.stop.problem, FileProblem)  # the disk is, for all steps
        outcome = _stopped(job, desk, problem) if desk.acted or full else _failed(job, problem)
    except NotAgreed as problem:
        outcome = _failed(job, problem)
        outcome = outcome if desk.acted else replace(outcome, verdict=Verdict.CANCELLED)
    except Superseded as problem:
        outcome = replace(_failed(job, problem), verdict=Verdict.SUPERSEDED)
    except ToolkitError as problem:
        # What a step is to undo is live, and not well: that is gone on with, also where nothing was
        # begun yet.
        goes_on = desk.acted or bool(job.undoes)
        nobody_knows = goes_on and problem.is_unanswered and not isinstance(problem, NotAllowed)
        outcome = _stopped(job, desk, problem) if nobody_knows else _failed(job, problem)
    return replace(outcome, took_s=round(clock.elapsed() - began + waited_s, 2), adopted=resumed)


def _verified(job: Job, outcome: Outcome, desk: StepJournal, walk: StepContext) -> Outcome:
    """The outcome that its checks make of it. Raises Stopped where nothing was changed that would
    have to be checked.
    """
    try:
        return walk.verify(job, outcome, desk)
    except Stopped:
        if outcome.verdict is not Verdict.SUCCEEDED:
            raise
        cause = (
            "it is live, and its bake was not over"
            if BAKING in desk.receipt
            else "it is live, and its checks were not done"
        )
        if isinstance(walk.stop.problem, Preempted):
            cause = f"{cause}: {walk.stop.problem}"
        return replace(
            outcome, verdict=Verdict.IN_DOUBT, cause=cause, next="toolkit resume", open=True
        )


def _applied(
    job: Job,
    kind: Kind,
    desk: StepJournal,
    walk: StepContext,
    until: float,
    resumed: bool,
    undone: LiveVersion | None,
) -> Outcome:
    """Apply and follow, and once more if nothing came of it; after that nobody knows. What was
    begun before is looked for first.

    What only prepares and is not answered is tried once more, too; after that it has failed, and
    changed nothing.
    """
    lost = ""
    for attempt in range(APPLIES):
        if attempt or not resumed:
            walk.still(job)
            if undone is not None:
                superseded.check(job, kind, undone, walk.ports)
            try:
                kind.apply(job, walk.ports, desk)
            except CloudError as problem:
                if problem.error_class not in (ErrorClass.UNREACHABLE, ErrorClass.THROTTLED):
                    raise
                if not desk.acted:
                    if attempt or not desk.prepared:
                        raise  # nothing that runs was changed, so that nothing is in doubt
                    # There is nothing to look at yet. What was made already is found by the step's
                    # token, once AWS shows it.
                    desk.phase(f"trying once more: {problem}")
                    desk.wait(SURE_S["absent"])
                    continue
                lost = f"{problem}, and nothing of it is to be seen"
                desk.phase(
                    f"looking what became of it: {problem}"
                )  # an answer was lost, perhaps not more than that
        outcome = _follow(job, kind, desk, walk, until)
        if outcome is not None:
            return outcome
    cause = lost or "AWS accepted it, and then knew nothing of it"
    return Outcome(job.step, job.target, Verdict.IN_DOUBT, cause, "toolkit resume", open=True)


def _follow(
    job: Job, kind: Kind, desk: StepJournal, walk: StepContext, until: float
) -> Outcome | None:
    """Look again and again, until it has ended or its time is over. None: nothing of it is there,
    and has not been for a while.

    A look that fails says nothing of the step.
    """
    clock = walk.ports.clock
    began, refused, told, abandoned = clock.elapsed(), 0, "", False
    state, since = "", began
    seen: Observation | None = None
    while True:
        asked = clock.elapsed()
        try:
            seen = kind.observe(job, desk.receipt, walk.ports, seen)
            refused = 0
        except Expired:
            raise
        except CloudError as problem:
            refused += 1
            if refused == BLIND and isinstance(problem, SIGNED_OUT):
                raise
            if refused == BLIND and isinstance(problem, NotAllowed):
                return _stopped(job, desk, problem)  # it will not be allowed later either
            desk.phase(f"cannot see it: {problem}" if refused > 1 else "looking again")
        if seen is not None and not refused:
            told = _tell(desk, seen, told)
            if seen.state != state:
                state, since = seen.state, clock.elapsed()
            if state != "running" and (
                seen.sure or state not in SURE_S or asked - since >= SURE_S[state]
            ):
                return None if state == "absent" else _ended(job, seen, told)
            if seen.doomed and not abandoned:
                abandoned = True
                _abandon(job, kind, desk, walk)
        now = clock.elapsed()
        if now >= until:
            return _too_late(job, state, told)
        desk.wait(min(walk.pace.until_next(now, now - began, refused), until - now))


def _abandon(job: Job, kind: Kind, desk: StepJournal, walk: StepContext) -> None:
    """Stop what cannot succeed. If that is refused, the cloud will come to the same end later; it
    is watched until then.
    """
    try:
        kind.abandon(job, desk.receipt, walk.ports, desk)
    except SIGNED_OUT:
        raise
    except (CloudError, Refused) as problem:
        desk.tell(f"could not stop it: {problem}")


def _tell(desk: StepJournal, seen: Observation, told: str) -> str:
    """Show what is new; the cause that has been told."""
    for line in seen.lines:
        desk.log(line)
    if seen.phase:
        desk.phase(seen.phase)
    if seen.cause and not told and seen.state != "done":
        desk.tell(seen.cause)
        for line in seen.log:
            desk.log(line)
        return seen.cause
    return told


def _ended(job: Job, seen: Observation, told: str) -> Outcome:
    """The verdict, from what was seen last. What was told as the first cause remains the cause."""
    if seen.state in ("done", "failed"):
        done = seen.state == "done"
        verdict = seen.verdict or (Verdict.SUCCEEDED if done else Verdict.FAILED)
        cause = seen.cause if done else told or seen.cause
        return Outcome(
            job.step,
            job.target,
            verdict,
            cause,
            seen.next,
            seen.log,
            seen.outputs,
            live=seen.live,
            untouched=seen.untouched,
        )
    cause = told or seen.cause or "AWS does not say what became of it"
    return Outcome(
        job.step, job.target, Verdict.IN_DOUBT, cause, seen.next or "toolkit resume", open=True
    )


def _too_late(job: Job, state: str, told: str) -> Outcome:
    minutes = f"{job.deadline_s // 60} min" if job.deadline_s >= 60 else f"{job.deadline_s} s"
    cause = (
        f"still running in AWS after {minutes}"
        if state == "running"
        else f"its end was not seen in {minutes}"
    )
    cause += "; nothing was stopped" + (f"; {told}" if told else "")
    return Outcome(job.step, job.target, Verdict.IN_DOUBT, cause, "toolkit resume", open=True)


def _stopped(job: Job, desk: StepJournal, problem: ToolkitError | None = None) -> Outcome:
    """It was let go, and is left open: in doubt where something may have been changed that nobody
    has seen the end of.
    """
    way = "toolkit resume"
    if isinstance(problem, SIGNED_OUT):
        way = (
            problem.next
            if isinstance(problem, Expired)
            else f"{problem.next}; then go on: toolkit resume"
        )
    if desk.acted or (job.undoes and problem):
        cause = str(problem) if problem else "still running in AWS"
        if isinstance(problem, Preempted):
            cause = f"{problem}; what runs in AWS was left to that"
        return Outcome(job.step, job.target, Verdict.IN_DOUBT, cause, way, open=True)
    that_runs = " that runs" if desk.prepared else ""
    cause = (
        f"{problem}; nothing{that_runs} was changed"
        if problem
        else f"stopped before anything{that_runs} was changed"
    )
    return Outcome(
        job.step, job.target, Verdict.CANCELLED, cause, way if problem else "", open=True
    )


def _failed(job: Job, problem: ToolkitError) -> Outcome:
    return Outcome(job.step, job.target, Verdict.FAILED, str(problem), problem.next)
