"""What runs, as its kind sees it: while a step bakes, it has to go on running."""

from toolkit import targets
from toolkit.errors import CloudError, Expired
from toolkit.gates.base import Gate, GateContext, GateFailure
from toolkit.operations import StepState, Verdict


class LiveGate(Gate):
    """What the kind itself says of its step. Each observation starts from the one before."""

    name = "live"
    every_s = 5.0

    def look(self, context: GateContext) -> GateFailure | None:
        """What is wrong with what is live."""
        job, step, kind = context.job, context.step, targets.kind(context.job.kind)
        try:
            state = step.ask(
                lambda: kind.observe(job, step.receipt, context.ports, context.observation)
            )
        # Expired credentials end the run; they say nothing about the deploy.
        except Expired:
            raise
        except CloudError as problem:
            return GateFailure(f"what runs could not be checked: {problem}", unknown=True)
        context.observation = state
        for line in state.lines:
            step.log(line)
        if state.state == StepState.DONE:
            return None
        if state.state == StepState.FAILED:
            verdict = Verdict.UNHEALTHY
            if state.verdict in (Verdict.ROLLED_BACK, Verdict.SUPERSEDED):
                verdict = state.verdict
            cause = state.cause or "it no longer runs"
            return GateFailure(cause, shown=state.log, next=state.next, verdict=verdict)
        cause = state.cause or state.phase or "AWS does not report its state"
        # Something is moving again, such as a task that ECS replaces: that may pass.
        running = state.state == StepState.RUNNING
        return GateFailure(cause, unknown=not running, may_pass=running)
