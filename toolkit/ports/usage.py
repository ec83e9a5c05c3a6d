"""What a piece of work takes on this machine: processor time, memory, bytes that are sent. It is
measured where it happens: at the end of each program, of each thread, and where bytes are sent.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a `diff` starts programs, and needs none of the nouns of a run
    from toolkit.operations import Usage

_UNIT = 1 if sys.platform == "darwin" else 1024
"""Of `ru_maxrss`, in bytes."""


class Meter:
    """What one piece of work has taken so far. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cpu_s: float | None = 0.0
        self._memory_bytes: int | None = None
        self._sent_bytes = 0
        self._sends_unseen = False
        self._unmeasured: dict[str, None] = {}

    def add_time(self, cpu_s: float) -> None:
        """A thread of ours that worked for it has ended."""
        with self._lock:
            if self._cpu_s is not None:
                self._cpu_s += cpu_s

    def add_program(self, spent: resource.struct_rusage | None, floor_bytes: int) -> None:
        """A program has ended, with this of its own and of what it has waited for; None where
        somebody else has collected it. `floor_bytes` is our own peak at its start: the system
        counts that as the program's, so that only what is above it says something.
        """
        with self._lock:
            if spent is None or self._cpu_s is None:
                self._cpu_s = None
                return
            self._cpu_s += spent.ru_utime + spent.ru_stime
            peak = spent.ru_maxrss * _UNIT
            if peak > max(floor_bytes, self._memory_bytes or 0):
                self._memory_bytes = peak

    def add_sent(self, count: int) -> None:
        """So many bytes were sent, and have arrived."""
        with self._lock:
            self._sent_bytes += count

    def exclude(self, what: str, sends: bool) -> None:
        """Something that cannot be measured from here belongs to it, in words. `sends`: it may send
        any number of bytes.
        """
        with self._lock:
            self._unmeasured[what] = None
            self._sends_unseen = self._sends_unseen or sends

    @property
    def sent_bytes(self) -> int | None:
        """The bytes that were sent, None where nothing but what cannot be measured has sent any."""
        return None if self._sends_unseen and not self._sent_bytes else self._sent_bytes

    def usage(self) -> "Usage":
        """All of it; a thread that still works is not in it."""
        from toolkit.operations import Usage

        with self._lock:
            cpu_s = None if self._cpu_s is None else round(self._cpu_s, 3)
            return Usage(cpu_s, self._memory_bytes, self.sent_bytes, tuple(self._unmeasured))


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)
_all = Meter()
"""What is sent by this process, and excluded from what is measured of it."""


def current() -> Meter | None:
    """Whose work this thread does."""
    return _meter.get()


@contextmanager
def measured() -> Iterator[Callable[[], "Usage"]]:
    """What is done inside is one piece of work, also by threads and programs that begin there.
    Yields the question what it has taken so far, for this thread alone.
    """
    meter = Meter()
    counted_s = time.thread_time()

    def usage() -> "Usage":
        nonlocal counted_s
        now_s = time.thread_time()
        meter.add_time(now_s - counted_s)
        counted_s = now_s
        return meter.usage()

    before = _meter.set(meter)
    try:
        yield usage
    finally:
        _meter.reset(before)


def in_thread(do: Callable[[], None]) -> None:
    """Do the whole work of a thread that another one has begun."""
    try:
        do()
    finally:
        count_thread()


def count_thread() -> None:
    """Count what this thread has taken, at its end."""
    meter = current()
    if meter is not None:
        meter.add_time(time.thread_time())


def sent(count: int) -> None:
    """So many bytes of what is deployed were sent, and have arrived."""
    for meter in (current(), _all):
        if meter is not None:
            meter.add_sent(count)


def exclude(what: str, sends: bool) -> None:
    """Something that cannot be measured from here belongs to the work of this thread, in words.
    `sends`: it may send any number of bytes.
    """
    for meter in (current(), _all):
        if meter is not None:
            meter.exclude(what, sends)


def own_peak_bytes() -> int:
    """The most memory that this process has had. Linux says so of its memory: what it says of the
    process is at least what whoever started it had.
    """
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass  # not Linux, or not readable
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def of_process() -> "Usage":
    """What this process has taken since its start, with all programs that have ended: their
    processor time, the peak of the largest of them all, and the bytes that it has sent.
    """
    from toolkit.operations import Usage

    own = resource.getrusage(resource.RUSAGE_SELF)
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + programs.ru_utime + programs.ru_stime
    peak = max(own_peak_bytes(), programs.ru_maxrss * _UNIT)
    rest = _all.usage()
    return Usage(round(cpu_s, 3), peak, rest.sent_bytes, rest.unmeasured)
