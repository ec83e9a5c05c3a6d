"""Time. Tests bring a clock of their own."""

import time
from datetime import UTC, datetime
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """What the rest of the tool knows of time."""

    def now(self) -> datetime:
        """The wall clock, for people and records; never for order."""

    def elapsed(self) -> float:
        """Seconds of a clock that only goes forward and counts the time asleep."""

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        """Wait, or until `wake` is set; whether it was set."""


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """CLOCK_BOOTTIME where there is one: `time.monotonic` stands still while a Linux laptop
        sleeps.
        """
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        """Sleep."""
        if wake is not None:
            return wake.wait(seconds)
        time.sleep(seconds)
        return False
