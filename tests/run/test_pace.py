"""When the cloud is looked at: every step at the same moments, more slowly with time, never slower
than half a minute.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.run.pace import JITTER, LATE_S, LATER_S, SLOWEST_S, Pace

seeds = st.integers(0, 0xFFFF)
moments = st.floats(0, 1e7, allow_nan=False)


def interval(waited: float) -> float:
    return 1.0 if waited < 30 else LATER_S if waited < 600 else LATE_S


@given(seeds, moments, st.floats(0, 1e5, allow_nan=False))
def test_the_next_look_is_neither_at_once_nor_late(seed: int, now: float, waited: float) -> None:
    wait = Pace(seed).until_next(now, waited)
    assert interval(waited) / 4 < wait <= interval(waited) * 1.25 + JITTER


@given(seeds, moments, st.floats(0, 1e4), st.floats(0, 0.7))
def test_steps_that_wait_look_at_the_same_moments(
    seed: int, now: float, waited: float, apart: float
) -> None:
    """Whoever looks at the moment that another one looks at, or a little before it, goes on with
    it.
    """
    pace = Pace(seed)
    looks = [now]
    for _ in range(4):
        looks.append(looks[-1] + pace.until_next(looks[-1], 0))
    second = now + apart
    others = []
    while second < looks[-1] - 2:
        second += pace.until_next(second, 0)
        others.append(second)
    assert all(any(abs(item - look) < 1e-6 for look in looks) for item in others)
    assert len(others) >= 1


@given(seeds, moments)
def test_slower_looks_are_among_the_quicker_ones(seed: int, now: float) -> None:
    pace = Pace(seed)
    slow = now + pace.until_next(now, 100)
    quick = now
    while quick < slow - 1e-6:
        quick += pace.until_next(quick, 0)
    assert quick == pytest.approx(slow, abs=1e-6)


@given(seeds, moments, st.integers(1, 5000))
def test_refused_looks_come_more_and_more_slowly_up_to_half_a_minute(
    seed: int, now: float, refused: int
) -> None:
    wait = Pace(seed).until_next(now, 10, refused)
    assert min(2.0 ** min(refused, 10), SLOWEST_S) * (1 - JITTER) <= wait <= SLOWEST_S


def test_the_grid_is_not_the_same_for_every_run() -> None:
    assert len({Pace(seed).until_next(100.5, 0) for seed in range(20)}) > 10


def test_looks_are_a_second_apart_on_the_whole() -> None:
    now, looks = 50.0, []
    while now < 150:
        now += Pace(1).until_next(now, 0)
        looks.append(now)
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert 95 < len(looks) < 105
    assert max(gaps) < 1.3
