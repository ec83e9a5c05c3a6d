"""Several threads that ask AWS at one moment, on a machine that starts them when it likes."""

import time
from threading import Lock, get_ident

import pytest

from toolkit.ports.aws import client

GIVE_UP_S = 30.0


class _Moment:
    """A clock that stands still until so many threads have looked at it, each of which does so when
    it joins a read.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._seen: set[int] = set()
        self._lock = Lock()
        self._began = time.monotonic()
        self._over: float | None = None

    def elapsed(self) -> float:
        """Seconds."""
        now = time.monotonic()
        with self._lock:
            self._seen.add(get_ident())
            all_came = len(self._seen) >= self._threads
            if self._over is None and (all_came or now > self._began + GIVE_UP_S):
                self._over = now
            if self._over is None:
                return 0.0
            return now - self._over


def at_one_moment(patch: pytest.MonkeyPatch, threads: int) -> None:
    """Let what the next `threads` threads read through `Aws.gathered` come at one moment, however
    late each of them starts.
    """
    patch.setattr(client, "monotonic", _Moment(threads).elapsed)
