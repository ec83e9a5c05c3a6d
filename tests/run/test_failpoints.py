"""T1: a crash at every single point of a run, and at every pair of points (a crash, then a crash of what goes on with it)."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.run.failpoints import Failpoints, Point, Points, Setting, Stage, begin
from tests.run.simulated import DIAMOND, Settings
from toolkit.model import Ran

NIGHT = bool(os.environ.get("NIGHT"))
PAIRS = 400
"""How many pairs of each setting are tried when there is no night for all of them."""

TWO = ("register", "move")
SETTINGS = {
    "tokens": Setting(DIAMOND, {"a": Settings(), "b": Settings(calls=TWO), "c": Settings(), "d": Settings(calls=TWO)}),
    "looks": Setting(
        DIAMOND,
        {
            "a": Settings(tokened=False, late_s=4.0), "b": Settings(tokened=False, late_s=8.0, calls=TWO),
            "c": Settings(tokened=False), "d": Settings(tokened=False, calls=TWO),
        },
    ),
    "failing": Setting(
        DIAMOND, {"a": Settings(calls=TWO), "b": Settings(tokened=False, late_s=4.0, fails=True), "c": Settings(), "d": Settings()}
    ),
    "side by side": Setting(
        DIAMOND,
        {
            "a": Settings(tokened=False), "b": Settings(tokened=False, late_s=4.0, calls=TWO),
            "c": Settings(calls=TWO), "d": Settings(tokened=False, late_s=8.0),
        },
        parallel=4,
    ),
}  # fmt: skip


class Trial:
    """One setting, run again and again."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.points = Points()
        self._setting, self._folder, self._numbers = setting, folder, count()

    def points_after(self, *fatal: Point) -> list[Point]:
        """Crash at these, one process each, then let it end: the points that the last process passed. Everything is exact then."""
        with Failpoints(self.points) as failpoints:
            stage = begin(self._setting, self.points, self._folder / str(next(self._numbers)))
            told = f"crashes at {fatal}"
            for point in fatal:
                ran = stage.process(point)
                failpoints.bury()
                self._check(stage, told)
                if ran is not None:
                    return []  # threads took another way, and never came there
            if stage.ended():
                return []
            ran = stage.process(None)
            failpoints.bury()
            assert ran is not None, told
            self._check(stage, told, ran)
            return self.points.passed

    def _check(self, stage: Stage, told: str, ran: Ran | None = None) -> None:
        try:
            stage.says_no_more_than_is_true()
            if ran is not None:
                stage.is_exact(ran)
        except AssertionError as wrong:
            raise AssertionError(f"{told}: {wrong}") from wrong


@pytest.fixture(params=SETTINGS)
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    yield Trial(SETTINGS[request.param], tmp_path)


def test_a_crash_at_any_point_loses_nothing_and_does_nothing_twice(trial: Trial) -> None:
    points = trial.points_after()
    assert len(points) > 60
    for point in points:
        trial.points_after(point)


def test_a_crash_of_what_goes_on_after_a_crash_loses_nothing_and_does_nothing_twice(trial: Trial) -> None:
    seed = Random().randrange(1 << 32) if not os.environ.get("SEED") else int(os.environ["SEED"])
    singles = trial.points_after()
    pairs = [(first, second) for first in singles for second in trial.points_after(first)]
    assert len(pairs) > 1000
    for pair in pairs if NIGHT else Random(seed).sample(pairs, PAIRS):
        try:
            trial.points_after(*pair)
        except AssertionError as wrong:
            raise AssertionError(f"SEED={seed}: {wrong}") from wrong
