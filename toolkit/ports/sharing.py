"""Work that several steps of one run need, such as the build of an image: one step does it, the
others wait for the result.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Any, Generic, TypeVar

from msgspec import Struct

from toolkit.errors import LockLost, Stopped, Throttled, ToolkitError, Unreachable

Value = TypeVar("Value")

LOOK_S = 0.1
"""How often a waiting step checks whether the run is to stop."""

_ONLY_THIS_STEP = (Stopped, LockLost, Throttled, Unreachable)
"""Errors that keep one step from finishing, but say nothing about the others: they try again."""


class SharedResult(Struct, Generic[Value], frozen=True):
    """The result, and which step computed it."""

    value: Value
    by: str


class SharedWork:
    """The results of this process by key. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: dict[Hashable, Future[SharedResult[Any]]] = {}

    def once(
        self, key: Hashable, step: str, do: Callable[[], Value], check: Callable[[], None]
    ) -> SharedResult[Value]:
        """The result of `do`, which the first step calls. The others wait; `check` may end that by
        raising.

        If it fails, it fails for all; if the first step could not finish, the next one calls it.
        """
        while True:
            with self._lock:
                future = self._results.get(key)
                is_first = future is None
                if future is None:
                    future = self._results[key] = Future()
            if is_first:
                return self._do(key, future, step, do)
            while not wait([future], LOOK_S).done:
                check()
            problem = future.exception()
            if problem is None:
                return future.result()
            if isinstance(problem, ToolkitError) and not isinstance(problem, _ONLY_THIS_STEP):
                raise problem
            check()

    def _do(
        self, key: Hashable, future: "Future[SharedResult[Any]]", step: str, do: Callable[[], Value]
    ) -> SharedResult[Value]:
        try:
            result = SharedResult(do(), step)
        except BaseException as problem:
            # Forgotten before the others wake up, so that the next one starts afresh.
            if not isinstance(problem, ToolkitError) or isinstance(problem, _ONLY_THIS_STEP):
                with self._lock:
                    del self._results[key]
            future.set_exception(problem)
            raise
        future.set_result(result)
        return result
