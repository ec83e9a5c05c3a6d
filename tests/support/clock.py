"""A clock that goes faster than the machine's while somebody waits, for the tests that run toolkit
against a scripted AWS: most of what a deploy takes is the time between two looks.
"""

import time
from threading import Event, Lock

import pytest

from toolkit.ports import clock

TIMES = 20
"""How many times faster."""


class Hurry:
    """The time that goes by: the machine's own, and more while somebody waits.

    What is not waiting takes as long as ever, so that a slow machine does not use up the deadlines
    of the tests.
    """

    def __init__(self, times: float = TIMES) -> None:
        self._times = times
        self._lock = Lock()
        self._waiting = 0
        self._gained = 0.0
        self._since = 0.0

    def elapsed(self) -> float:
        """Seconds of a clock that only goes forward."""
        with self._lock:
            now = time.monotonic()
            self._gain(now)
            return now + self._gained

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        """Wait, or until `wake` is set; whether it was set."""
        self._enter(1)
        try:
            return (wake or Event()).wait(seconds / self._times)
        finally:
            self._enter(-1)

    def _enter(self, more: int) -> None:
        with self._lock:
            self._gain(time.monotonic())
            self._waiting += more

    def _gain(self, now: float) -> None:
        if self._waiting:
            self._gained += (now - self._since) * (self._times - 1)
        self._since = now


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Let `elapsed` and `wait` of the real clock be those of one `Hurry`. `now` stays: it is for
    people and records, and is held against the clocks of others.
    """
    faster = Hurry()
    patch.setattr(clock.SystemClock, "elapsed", lambda self: faster.elapsed())
    patch.setattr(
        clock.SystemClock, "wait", lambda self, seconds, wake=None: faster.wait(seconds, wake)
    )
