"""The bake: how long a deploy has to stay good once it is. Its questions are asked again and again,
each at its own pace.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from toolkit.model import Verdict
from toolkit.ports.clock import Clock
from toolkit.run.step import BAKING
from toolkit.run.step_journal import StepJournal

PACE_S = 2.0
"""How often it is looked which question is due."""


class BakeFailure(Struct, frozen=True):
    """Why something that is live is not good. `check` is the check that says so, `shown` what else
    there is to see.

    `unknown`: nobody could ask, so that it may be good all the same. `may_pass`: that counts only
    if it is still so at the end.
    """

    cause: str
    unknown: bool = False
    may_pass: bool = False
    check: str = ""
    shown: tuple[str, ...] = ()
    next: str = ""
    verdict: Verdict = Verdict.UNHEALTHY


class BakeCheck(Struct, frozen=True):
    """A question, how often it is asked, and for how many seconds it need not be asked again
    now.
    """

    ask: Callable[[], BakeFailure | None]
    every_s: float
    first_s: float = 0.0


def bake(
    seconds: float, looks: Sequence[BakeCheck], desk: StepJournal, clock: Clock
) -> BakeFailure | None:
    """Wait, and look meanwhile: what is wrong as soon as something is, None if nothing was. The
    last look of each comes at the end.

    A process that goes on with it begins again: nobody has looked in between. Raises Stopped, and
    what a look raises.
    """
    began = clock.elapsed()
    until = began + seconds
    if BAKING not in desk.receipt:
        desk.keep(**{BAKING: clock.now().isoformat(timespec="seconds")})
    due = [began + look.first_s for look in looks]
    doubts: dict[int, BakeFailure] = {}
    while True:
        over = clock.elapsed() >= until
        for at, look in enumerate(looks):
            if not over and clock.elapsed() < due[at]:
                continue
            wrong = look.ask()
            desk.check()
            if wrong is not None and not wrong.unknown and not wrong.may_pass:
                return wrong
            due[at] = clock.elapsed() + look.every_s
            if wrong is None:
                doubts.pop(at, None)
            else:
                doubts[at] = wrong
        if over:
            return min(doubts.values(), key=lambda wrong: wrong.unknown, default=None)
        doubt = next(iter(doubts.values()), None)
        desk.phase(f"baking for {seconds:g} s" + (f": {doubt.cause}" if doubt is not None else ""))
        desk.wait(min(PACE_S, max(until - clock.elapsed(), 0.0)))
