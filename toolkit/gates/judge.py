"""What the gates make of a step: it may begin or not, and it is good, unhealthy or in doubt."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import NextCommand, advice_parts
from toolkit.errors import CloudError
from toolkit.gates import GATES
from toolkit.gates.base import GateContext, GateFailure, GateSetup
from toolkit.operations import Job, JobAction, Outcome, Verdict
from toolkit.ports.ports import Ports
from toolkit.run import superseded
from toolkit.run.request import StepReport


class Judge:
    """Makes each step pass its gates: `before` it begins, and `after` it went well
    (`run.request.Verify`). `standby` are the steps that put others back.
    """

    def __init__(
        self, setups: Mapping[str, GateSetup], ports: Ports, standby: Sequence[Job] = ()
    ) -> None:
        self._setups, self._ports = setups, ports
        self._undone = {job.undoes for job in standby}

    def before(self, job: Job) -> None:
        """Ask all gates whether a step may begin. Raises ToolkitError where one says no. A build
        may always: nothing that runs is changed.
        """
        if job.is_build:
            return
        for gate in GATES:
            gate.before(job, self._ports)

    def after(self, job: Job, outcome: Outcome, step: StepReport) -> Outcome:
        """The outcome, which is no longer good if something does not answer as it should. Raises
        Stopped, Superseded, LockLost.
        """
        setup = self._setups.get(job.undoes or job.step)
        if setup is None:
            return outcome
        failure = self._failure(GateContext(job, setup, outcome, step, self._ports))
        # Checks take a while: stop here if the run was asked to, or has lost its lock.
        step.check()
        self._refuse_superseded(job, outcome, step)
        if failure is None:
            return outcome
        if failure.unknown:
            return _in_doubt(outcome, failure)
        if failure.verdict is not Verdict.UNHEALTHY:  # it is not live any more
            return replace(
                outcome,
                verdict=failure.verdict,
                cause=failure.cause,
                next=failure.next,
                log=failure.shown,
                live=None,
            )
        return self._unhealthy(job, setup, outcome, failure)

    def _failure(self, context: GateContext) -> GateFailure | None:
        """What the first gate that it does not pass says."""
        context.repeated = GATES
        for gate in GATES:
            failure = gate.after(context)
            if failure is not None:
                good = None if failure.unknown else False
                context.step.judged(gate.name, good, failure.cause)
                return failure
            if gate.asked_for(context.job.settings):
                context.step.judged(gate.name, True)
        return None

    def _refuse_superseded(self, job: Job, outcome: Outcome, step: StepReport) -> None:
        """What was checked has to be what was deployed: someone else may have deployed in the
        meantime, with our lock or without.
        """
        step.check_fence()
        if outcome.live is None:
            return
        try:
            superseded.check_still_live(job, targets.kind(job.kind), outcome.live, self._ports)
        except CloudError as problem:
            step.log(f"whether it still runs could not be checked: {problem}")

    def _unhealthy(
        self, job: Job, setup: GateSetup, outcome: Outcome, failure: GateFailure
    ) -> Outcome:
        """The outcome for what is live and not good. What only runs as it did before is left alone:
        nothing of this run has made it so.
        """
        cause = f"it is live, but {failure.cause}"
        next_ = failure.next
        if not next_ and failure.check:
            next_ = NextCommand("smoke-test", options=("--only", failure.check))
        elif not next_:
            next_ = NextCommand("health", (job.target,))
        changed = outcome.verdict is Verdict.SUCCEEDED
        is_rollback = job.undoes or job.action == JobAction.ROLLBACK
        # Where a step stands by that puts it back, nothing is left for a person to roll back.
        if not is_rollback and not (changed and job.step in self._undone):
            can_go_back = setup.can_go_back(job)
            if can_go_back:
                rollback = NextCommand("rollback", (job.target,))
                next_ = (rollback, ", or look:", *advice_parts(next_))
            elif can_go_back is False and changed and setup.rolls_back:
                cause = f"{cause}; no good version is recorded that could be restored"
        return replace(
            outcome,
            verdict=Verdict.UNHEALTHY,
            cause=cause,
            next=next_,
            log=failure.shown,
            untouched=not changed,
        )


def _in_doubt(outcome: Outcome, failure: GateFailure) -> Outcome:
    """It could not be checked: that is neither a reason to roll back, nor a reason to call it
    good. To continue right away may end the same way: first a person has to see why.
    """
    see = NextCommand("health", (outcome.target,))
    if failure.check:
        see = NextCommand("smoke-test", options=("--only", failure.check))
    return replace(
        outcome,
        verdict=Verdict.IN_DOUBT,
        cause=f"it is live, but {failure.cause}",
        next=(
            "see what does not answer:",
            see,
            "; once it does, continue:",
            NextCommand("resume"),
            ", or without its checks:",
            NextCommand("resume", options=("--no-checks",)),
        ),
        open=True,
    )
