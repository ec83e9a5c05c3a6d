"""When to look at the cloud: often at first, and all steps at the same moments, so that equal reads
become one call.
"""

import random

FIRST_S, LATER_S, LATE_S = 1.0, 2.0, 3.0
"""The time between looks: for the first half minute, up to ten minutes, and after that."""
JITTER = 0.2
SLOWEST_S = 30.0


class Pace:
    """A grid of moments that all steps of a run share: a second apart, with a little jitter."""

    def __init__(self, seed: int | str) -> None:
        """The steps of one run have one seed: they look at the same moments, those of others at
        others.
        """
        self._seed = seed

    def until_next(self, now: float, waited: float, refused: int = 0) -> float:
        """Seconds until the next look, for a step that has been waiting for `waited` seconds and
        was refused `refused` looks in a row.
        """
        if refused:
            chance = random.Random(f"{self._seed} {now}")  # noqa: S311 (to spread load)
            slower = FIRST_S * 2 ** min(refused, 5) * chance.uniform(1 - JITTER, 1 + JITTER)
            return float(min(slower, SLOWEST_S))
        interval = LATE_S
        if waited < 30:
            interval = FIRST_S
        elif waited < 600:
            interval = LATER_S
        moment = int(now / interval + 1) * interval
        # A moment that is almost here is left out: what is asked right again says the same.
        while moment + self._off(moment) - now <= interval / 4:
            moment += interval
        return moment + self._off(moment) - now

    def _off(self, tick: float) -> float:
        """The jitter of a moment, the same for all steps: how much earlier or later than the grid
        it is.
        """
        return random.Random(f"{self._seed} {tick}").uniform(-JITTER / 2, JITTER / 2)  # noqa: S311 (to spread load, not to hide)
