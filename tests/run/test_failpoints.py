"""T1: a crash at every single point of a run, and at every pair of points (a crash, then a crash of
what goes on with it).
"""

import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.run.failpoints import SETTINGS, Failpoints, Point, Points, Setting, begin
from tests.support.modes import by_mode
from toolkit.errors import FileProblem
from toolkit.exits import Exit
from toolkit.operations import RunResult

PAIRS = by_mode(40, 400, 1 << 32)
"""How many pairs of each setting are tried when there is no night for all of them."""


class Trial:
    """One setting, run again and again."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.points = Points()
        self._setting, self._folder, self._numbers = setting, folder, count()

    def points_after(self, *fatal: Point) -> list[Point]:
        """Crash at these, one process each, then let it end: the points that the last process
        passed. Everything is exact then.
        """
        with Failpoints(self.points) as failpoints:
            stage = begin(self._setting, self._folder / str(next(self._numbers)), self.points)
            for point in (*fatal, None):
                ran = stage.process(point)
                failpoints.bury()
                try:
                    stage.says_no_more_than_is_true()
                    if ran is not None or stage.ended():
                        stage.is_exact(ran)
                        return self.points.passed if point is None else []
                except AssertionError as wrong:
                    raise AssertionError(f"crashes at {fatal}: {wrong}") from wrong
            raise AssertionError(f"crashes at {fatal}: it did not come to its end")

    def on_a_full_disk(self, full: range) -> tuple[RunResult | None, bool, int]:
        """How a process ended whose disk was full for these writes, whether another one had to go
        on, and how many writes it made.
        """
        with Failpoints(self.points) as failpoints:
            stage = begin(self._setting, self._folder / str(next(self._numbers)), self.points)
            ran: RunResult | None = None
            with suppress(FileProblem):  # not even its first line could be written
                ran = stage.process(None, full)
            writes = self.points.writes
            failpoints.bury()
            stage.says_no_more_than_is_true()
            again = not stage.ended()
            last = stage.process(None) if again else ran
            stage.is_exact(last)
            return ran, again, writes


@pytest.fixture(params=SETTINGS)
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    return Trial(SETTINGS[request.param], tmp_path)


@pytest.mark.slow("crashes", keep=1)
def test_a_crash_at_any_point_loses_nothing_and_does_nothing_twice(trial: Trial) -> None:
    points = trial.points_after()
    assert len(points) > 60
    for point in points:
        trial.points_after(point)


@pytest.mark.slow("crashes", keep=1)
def test_a_crash_of_what_goes_on_after_a_crash_loses_nothing_and_does_nothing_twice(
    trial: Trial,
) -> None:
    seed = Random().randrange(1 << 32) if not os.environ.get("SEED") else int(os.environ["SEED"])
    singles = trial.points_after()
    pairs = [(first, second) for first in singles for second in trial.points_after(first)]
    assert len(pairs) > 1000
    for pair in Random(seed).sample(pairs, min(PAIRS, len(pairs))):
        try:
            trial.points_after(*pair)
        except AssertionError as wrong:
            raise AssertionError(f"SEED={seed}: {wrong}") from wrong


LONG = 1000
"""More writes than any of these runs makes."""


@pytest.mark.slow("crashes", keep=1)
@pytest.mark.parametrize("times", [1, 2, 5, LONG])
def test_a_disk_that_fills_up_at_any_write_leaves_the_run_to_resume_or_to_its_true_end(
    trial: Trial, times: int
) -> None:
    """J9: nothing that no disk knows of is called done, and `resume` sees it through."""
    left_open = 0
    for first in range(LONG):
        ran, again, writes = trial.on_a_full_disk(range(first, first + times))
        if first >= writes:
            break
        left_open += again
        if ran is not None:
            assert (ran.exit == Exit.IN_DOUBT) is again, f"full from write {first}: exit {ran.exit}"
    assert left_open > 5
