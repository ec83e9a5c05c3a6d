"""Something that is done meanwhile. Whoever waits for it gives up in time, and it is left to
itself: nothing can interrupt a read that always gets one more byte, a resolver that hangs, or a
program that gives credentials.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import Generic, TypeVar

Found = TypeVar("Found")


class DaemonThread(Thread):
    """A thread that is waited for until a deadline at most, and is left to itself then: what it
    does needs no other watch.
    """

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__(target=do, daemon=True)


class Timeout(Exception):
    """It has not ended in its time."""


class BackgroundTask(Generic[Found]):
    """Something that is being done."""

    def __init__(self, do: Callable[[], Found]) -> None:
        self._found: Future[Found] = Future()
        DaemonThread(lambda: carry_out(self._found, do)).start()

    def within(self, seconds: float) -> Found:
        """What came of it. Raises what it raised; Late if it has not ended `seconds` from now."""
        if not wait([self._found], max(seconds, 0)).done:
            raise Timeout
        return self._found.result()


def carry_out(result: Future[Found], do: Callable[[], Found]) -> None:
    """Do it, and hand what came of it to whoever waits."""
    try:
        result.set_result(do())
    except BaseException as problem:  # also a bug has to arrive where it is waited for
        result.set_exception(problem)
