"""How a step and a run ended, from what was seen. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from toolkit.advice import Advice, Command, NextCommand, advice_parts
from toolkit.errors import (
    BadConfig,
    ErrorClass,
    Expired,
    NoCredentials,
    Preempted,
    SourceProblem,
    ToolkitError,
)
from toolkit.exits import Exit
from toolkit.operations import GOOD, Job, Observation, Outcome, RunStatus, StepState, Verdict
from toolkit.run.stop import Stop

BAD = (
    Verdict.FAILED,
    Verdict.UNHEALTHY,
    Verdict.ROLLED_BACK,
    Verdict.SUPERSEDED,
    Verdict.CANCELLED,
)
SIGNED_OUT = (Expired, NoCredentials, SourceProblem, BadConfig)
"""After one of these nothing can be asked before a person has done something: the run ends here,
and `resume` goes on with it.
"""


RESUME = NextCommand("resume")
"""Of which run is added at the end of the run, by `with_run`."""


def observed(job: Job, observation: Observation, first_cause: str) -> Outcome:
    """The outcome, from the last look. The cause that was shown first remains the cause."""
    cause = first_cause or observation.cause
    if observation.state not in (StepState.DONE, StepState.FAILED):
        cause = cause or "AWS does not report its result"
        return in_doubt(job, cause, observation.next or RESUME)
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
        slowest=observation.slowest,
        size=observation.size,
    )


def timed_out(job: Job, state: StepState | None, first_cause: str) -> Outcome:
    """The outcome of a step whose end was not seen before its deadline."""
    time = f"{job.deadline_s // 60} min" if job.deadline_s >= 60 else f"{job.deadline_s} s"
    cause = f"it did not end within {time}"
    if state == StepState.RUNNING:
        cause = f"still running in AWS after {time}"
    cause += "; nothing was stopped"
    if first_cause:
        cause += f"; {first_cause}"
    return in_doubt(job, cause)


def in_doubt(job: Job, cause: str, next: Advice = RESUME) -> Outcome:
    """The outcome of a step of which nobody knows whether it changed something: it is open."""
    return Outcome(job.step, job.target, Verdict.IN_DOUBT, cause, next, open=True)


def stopped(job: Job, acted: bool, prepared: bool, problem: ToolkitError | None = None) -> Outcome:
    """The outcome of a step that was let go. It is open, and in doubt if something may have been
    changed (`acted`) whose end nobody has seen. `prepared`: something was made that changes nothing
    yet.
    """
    next: Advice = RESUME
    if isinstance(problem, Expired):
        next = problem.next
    elif isinstance(problem, SIGNED_OUT):
        next = (*advice_parts(problem.next), "; then continue:", RESUME)
    if acted or (job.undoes and problem):
        cause = str(problem) if problem else "still running in AWS"
        if isinstance(problem, Preempted):
            cause = f"{problem}; what runs in AWS continues"
        return in_doubt(job, cause, next)
    that_runs = " that runs" if prepared else ""
    if problem:
        cause = f"{problem}; nothing{that_runs} was changed"
    else:
        cause, next = f"stopped before anything{that_runs} was changed", ""
    return Outcome(job.step, job.target, Verdict.CANCELLED, cause, next, open=True)


def failed(job: Job, problem: ToolkitError, verdict: Verdict = Verdict.FAILED) -> Outcome:
    """The outcome of a step that a problem has ended."""
    return Outcome(job.step, job.target, verdict, str(problem), problem.next)


def with_run(outcome: Outcome, run: str) -> Outcome:
    """The outcome with the run named in each command that resumes it: without a name, the newest
    open run is resumed, which may be another one.
    """

    def named(part: str | Command) -> str | Command:
        if not isinstance(part, NextCommand) or part.command != RESUME.command or part.arguments:
            return part
        return replace(part, arguments=(run,))

    if isinstance(outcome.next, tuple):
        return replace(outcome, next=tuple(map(named, outcome.next)))
    return replace(outcome, next=named(outcome.next))


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


def _stopped_status(problem: ToolkitError, is_in_doubt: bool) -> tuple[RunStatus, int]:
    """The same for a run that was stopped by a problem. Missing credentials have an exit code of
    their own, since it is clear what to do about them.
    """
    if problem.error_class is not ErrorClass.CREDENTIALS:
        return RunStatus.IN_DOUBT, Exit.IN_DOUBT
    is_in_doubt = is_in_doubt or problem.exit == Exit.IN_DOUBT
    return (RunStatus.IN_DOUBT if is_in_doubt else RunStatus.CANCELLED), problem.exit
