"""Work that several steps of one run need, such as the build of an image: one step does it, the
others wait for the result.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from toolkit.errors import LockLost, Stopped, Throttled, ToolkitError, Unreachable

if TYPE_CHECKING:  # loaded where work is shared: it takes longer than many a git call
    from concurrent.futures import Future

LOOK_S = 0.1
"""How often a waiting step checks whether the run is to stop."""

ONLY_THIS_STEP = (Stopped, LockLost, Throttled, Unreachable)
"""Errors that keep one step from finishing, but say nothing about the others: they try again."""


class SharedResult:
    """What one step does for several, and which one. Where it `is_mine`, it is done inside of
    `turn`, and `value` set to what came of it.
    """

    def __init__(self, by: str, is_mine: bool, value: Any = None) -> None:
        self.by, self.is_mine, self.value = by, is_mine, value


class SharedWork:
    """The results of this process by key. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: dict[Hashable, Future[SharedResult]] = {}

    @contextmanager
    def turn(self, key: Hashable, step: str, check: Callable[[], None]) -> Iterator[SharedResult]:
        """The result, which the first step computes inside. The others wait for it before; `check`
        may end that by raising.

        If it fails, it fails for all; if the first step could not finish, the next one computes it.
        """
        from concurrent.futures import wait

        future, is_first = self._join(key)
        while not is_first:
            while not wait([future], LOOK_S).done:
                check()
            problem = future.exception()
            if problem is None:
                yield future.result()
                return
            if isinstance(problem, ToolkitError) and not isinstance(problem, ONLY_THIS_STEP):
                raise problem
            check()
            future, is_first = self._join(key)
        result = SharedResult(step, is_mine=True)
        try:
            yield result
        except BaseException as problem:
            # Forgotten before the others wake up, so that the next one starts afresh.
            if not isinstance(problem, ToolkitError) or isinstance(problem, ONLY_THIS_STEP):
                with self._lock:
                    del self._results[key]
            future.set_exception(problem)
            raise
        future.set_result(SharedResult(step, False, result.value))

    def result(self, key: Hashable) -> SharedResult | None:
        """What a step of this process has made for this key; None if none has."""
        with self._lock:
            future = self._results.get(key)
        if future is None or not future.done() or future.exception() is not None:
            return None
        return future.result()

    def _join(self, key: Hashable) -> tuple["Future[SharedResult]", bool]:
        """The result, which may be to come, and whether nobody else computes it."""
        from concurrent.futures import Future

        with self._lock:
            if key in self._results:
                return self._results[key], False
            self._results[key] = Future()
            return self._results[key], True
