"""The time of the endpoint: the machine's, until a test takes it in hand."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from typing import TYPE_CHECKING

from toolkit.ports.clock import SystemClock

if TYPE_CHECKING:
    from tests.support.aws import Endpoint


@dataclass
class Step:
    """One change, due that many seconds and looks after the one before."""

    do: Callable[[], None]
    seconds: float = 0.0
    looks: int = 0


class Clock:
    """A wall clock in UTC that can be moved and stopped."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._moved = 0.0
        self._stopped: float | None = None

    def now(self) -> datetime:
        """The endpoint's time."""
        with self._lock:
            base = time.time() if self._stopped is None else self._stopped
            return datetime.fromtimestamp(base, UTC) + timedelta(seconds=self._moved)

    def stop(self, moment: datetime | None = None) -> None:
        """Stand still, now or at a given moment; `advance` still moves it."""
        with self._lock:
            base = time.time() if self._stopped is None else self._stopped
            self._stopped = base if moment is None else moment.timestamp() - self._moved

    def advance(self, seconds: float) -> None:
        """Let seconds pass."""
        with self._lock:
            self._moved += seconds


class EndpointClock(SystemClock):
    """toolkit's clock: time passes when somebody waits, at once; the endpoint's goes with it."""

    def __init__(self, endpoint: "Endpoint | None" = None) -> None:
        self._passed, self._endpoint = 0.0, endpoint
        if endpoint is not None:
            endpoint.clock.stop()  # a busy machine would miss what goes on for a second only

    def now(self) -> datetime:
        """The endpoint's time."""
        return super().now() if self._endpoint is None else self._endpoint.clock.now()

    def elapsed(self) -> float:
        """Seconds that were waited."""
        return self._passed

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        """Let them pass."""
        self.advance(max(seconds, 0.0))
        return wake is not None and wake.is_set()

    def advance(self, seconds: float) -> None:
        """Let them pass."""
        self._passed += seconds
        if self._endpoint is not None:
            self._endpoint.clock.advance(seconds)
