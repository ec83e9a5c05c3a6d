"""The bake: how long a deploy has to stay good once it is. Its checks are repeated, each at its own
interval.
"""

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct

from toolkit.formats.durations import seconds
from toolkit.gates.base import Gate, GateContext, GateFailure
from toolkit.ports.clock import Clock
from toolkit.run.request import StepReport
from toolkit.run.step import BAKING
from toolkit.targets.base import JudgedSettings

PACE_S = 2.0
"""The longest pause between two looks at which check is due, in seconds."""


class BakeGate(Gate):
    """How long a deploy has to stay good."""

    name = "bake"

    def asked_for(self, settings: JudgedSettings) -> bool:
        """Whether it bakes at all."""
        return bool(seconds(settings.bake))

    def after(self, context: GateContext) -> GateFailure | None:
        """The first failure of a gate that is repeated."""
        bake_s = context.setup.bake_s
        if not context.is_changed or context.job.undoes or not bake_s:
            return None
        checks: list[BakeCheck] = []
        for gate in context.repeated:
            if gate.every_s is not None:
                checks.append(BakeCheck(partial(gate.look, context), gate.every_s, gate.first_s))
        checks.sort(key=lambda check: check.first_s)
        return bake(bake_s, checks, context.step, context.clock)


class BakeCheck(Struct, frozen=True):
    """A check, its interval, and how many seconds after the bake's start it is made first."""

    ask: Callable[[], GateFailure | None]
    every_s: float
    first_s: float = 0.0


def bake(
    bake_s: float, looks: Sequence[BakeCheck], step: StepReport, clock: Clock
) -> GateFailure | None:
    """Wait, and check in the meantime: the first failure as soon as there is one, None if there
    was none. Each check is made a last time at the end.

    A process that resumes a bake begins it again, since nothing was checked in between. Raises
    Stopped, and what a check raises.
    """
    began = clock.elapsed()
    until = began + bake_s
    if BAKING not in step.receipt:
        step.keep(**{BAKING: clock.now().isoformat(timespec="seconds")})
    due = [began + look.first_s for look in looks]
    # By the check's index: what may still pass, or could not be checked, counts only at the end.
    doubts: dict[int, GateFailure] = {}
    while True:
        over = clock.elapsed() >= until
        for index, look in enumerate(looks):
            if not over and clock.elapsed() < due[index]:
                continue
            failure = look.ask()
            step.check()
            if failure is not None and not failure.unknown and not failure.may_pass:
                return failure
            due[index] = clock.elapsed() + look.every_s
            if failure is None:
                doubts.pop(index, None)
            else:
                doubts[index] = failure
        if over:
            # What was seen counts before what could not be checked.
            return min(doubts.values(), key=lambda failure: failure.unknown, default=None)
        phase = f"baking for {bake_s:g} s"
        if doubts:
            first = next(iter(doubts.values()))
            phase = f"{phase}: {first.cause}"
        step.phase(phase)
        step.wait(min(PACE_S, max(until - clock.elapsed(), 0.0)))
