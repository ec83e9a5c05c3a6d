"""What these tests share: a time that they move, a disk that fails, a store, the seeds of random
tests.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Condition, Event

from tests.support.modes import by_mode
from toolkit.ports.disk import Disk
from toolkit.record.holder import Holder
from toolkit.record.state import Store

ROUNDS = by_mode(1, 2, 10)
"""How many times longer random tests run at night."""

START = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class ManualClock:
    """A wall clock and a steady one that move only when they are told to."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._wall, self._steady = START, 1000.0
        self.waiting = 0
        self.waited: list[float] = []

    def now(self) -> datetime:
        with self._changed:
            return self._wall

    def elapsed(self) -> float:
        with self._changed:
            return self._steady

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        """Wait for `pass_` (by whoever), or for `wake`."""
        with self._changed:
            until = self._steady + seconds
            self.waited.append(seconds)
            self.waiting += 1
            self._changed.notify_all()
            while self._steady < until and not (wake is not None and wake.is_set()):
                self._changed.wait(0.01)
            self.waiting -= 1
            return wake is not None and wake.is_set()

    def pass_(self, seconds: float) -> None:
        """Let time go by on both clocks."""
        with self._changed:
            self._wall += timedelta(seconds=seconds)
            self._steady += seconds
            self._changed.notify_all()

    def jump(self, seconds: float) -> None:
        """Set the wall clock only."""
        with self._changed:
            self._wall += timedelta(seconds=seconds)

    def until_somebody_waits(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.waiting > 0, 10)


class SkippingClock(ManualClock):
    """A clock on which a wait is over at once, and took as long as it should; what can be woken
    waits until time goes by.
    """

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        if wake is not None:
            return super().wait(seconds, wake)
        self.waited.append(seconds)
        self.pass_(seconds)
        return False


class Broken(Disk):
    """A disk whose N-th call fails: with an error, or a short write and then the error, for `times`
    calls.
    """

    def __init__(
        self, at: int, error: int = errno.ENOSPC, short: bool = False, times: int = 1
    ) -> None:
        self.calls, self.failed = 0, 0
        self._at, self._error, self._short, self._times = at, error, short, times

    def _fails(self) -> bool:
        self.calls += 1
        failing = self._at <= self.calls < self._at + self._times
        self.failed += failing
        return failing

    def write(self, descriptor: int, data: bytes) -> int:
        if self._fails():
            if self._short and self.failed == 1:
                self._at += 1  # the error itself comes with the next call
                return super().write(descriptor, data[: len(data) // 2])
            raise OSError(self._error, os.strerror(self._error))
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        if self._fails():
            raise OSError(self._error, os.strerror(self._error))
        super().sync(descriptor)

    def cut(self, descriptor: int, size: int) -> None:
        if self._fails():
            raise OSError(self._error, os.strerror(self._error))
        super().cut(descriptor, size)


@contextmanager
def seeded(name: str) -> Iterator[Random]:
    """Chance whose seed is told if the test fails; SEED=… brings the same back."""
    seed = int(os.environ.get("SEED") or Random().randrange(1 << 32))
    try:
        yield Random(seed)
    except BaseException:
        print(f"{name}: run it again with SEED={seed}")
        raise


def make_store(folder: Path) -> Store:
    """A store that is there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return Store(str(folder))


def someone(id: str, **more: object) -> Holder:
    """A holder on another machine."""
    facts: dict[str, object] = {
        "who": "ada",
        "host": "elsewhere",
        "pid": 7,
        "run": "r1",
        "command": "toolkit deploy app",
        "since": "2026-11-20T12:00:00+00:00",
    }
    return Holder(**{**facts, **more, "id": id})  # type: ignore[arg-type]
