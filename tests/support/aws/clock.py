"""The time of the endpoint: the machine's, until a test takes it in hand."""

import time
from datetime import UTC, datetime, timedelta
from threading import Lock


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

    def stop(self, at: datetime | None = None) -> None:
        """Stand still, now or at a given moment; `advance` still moves it."""
        with self._lock:
            base = time.time() if self._stopped is None else self._stopped
            self._stopped = base if at is None else at.timestamp() - self._moved

    def advance(self, seconds: float) -> None:
        """Let seconds pass."""
        with self._lock:
            self._moved += seconds
