"""The bake: how long a deploy has to stay good once it is. Its checks are repeated, each at its own
interval.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from toolkit.model import Verdict
from toolkit.ports.clock import Clock
from toolkit.run.request import StepReport
from toolkit.run.step import BAKING

PACE_S = 2.0
"""The longest pause between two looks at which check is due, in seconds."""


class BakeFailure(Struct, frozen=True):
    """Why something that is live is not good. `check` is the name of the check that failed, `shown`
    the lines that show it.

    `unknown`: it could not be checked, so it may be good all the same. `may_pass`: it counts only
    if it is still so at the end of the bake.
    """

    cause: str
    unknown: bool = False
    may_pass: bool = False
    check: str = ""
    shown: tuple[str, ...] = ()
    next: str = ""
    verdict: Verdict = Verdict.UNHEALTHY


class BakeCheck(Struct, frozen=True):
    """A check, its interval, and how many seconds after the bake's start it is made first."""

    ask: Callable[[], BakeFailure | None]
    every_s: float
    first_s: float = 0.0


def bake(
    seconds: float, looks: Sequence[BakeCheck], desk: StepReport, clock: Clock
) -> BakeFailure | None:
    """Wait, and check meanwhile: the first failure as soon as there is one, None if there was none.
    Each check is made a last time at the end.

    A process that resumes a bake begins it again, since nothing was checked in between. Raises
    Stopped, and what a check raises.
    """
    began = clock.elapsed()
    until = began + seconds
    if BAKING not in desk.receipt:
        desk.keep(**{BAKING: clock.now().isoformat(timespec="seconds")})
    due = [began + look.first_s for look in looks]
    # By the check's index: what may still pass, or could not be checked, counts only at the end.
    doubts: dict[int, BakeFailure] = {}
    while True:
        over = clock.elapsed() >= until
        for index, look in enumerate(looks):
            if not over and clock.elapsed() < due[index]:
                continue
            failure = look.ask()
            desk.check()
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
        phase = f"baking for {seconds:g} s"
        if doubts:
            first = next(iter(doubts.values()))
            phase = f"{phase}: {first.cause}"
        desk.phase(phase)
        desk.wait(min(PACE_S, max(until - clock.elapsed(), 0.0)))
