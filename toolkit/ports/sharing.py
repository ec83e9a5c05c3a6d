"""What several steps of one run need, and only one of them does while the others wait: the build of
an image.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Any, Generic, TypeVar

from msgspec import Struct

from toolkit.errors import LockLost, Stopped, Throttled, ToolkitError, Unreachable

Value = TypeVar("Value")

LOOK_S = 0.1
"""How often somebody who waits looks whether the run is to stop."""

_OWN = (Stopped, LockLost, Throttled, Unreachable)
"""What keeps one step from doing it says nothing of the others."""


class SharedResult(Struct, Generic[Value], frozen=True):
    """What came of it, and which step did it."""

    value: Value
    by: str


class SharedWork:
    """What was done in this process, by key. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: dict[Hashable, Future[SharedResult[Any]]] = {}

    def once(
        self, key: Hashable, step: str, do: Callable[[], Value], check: Callable[[], None]
    ) -> SharedResult[Value]:
        """What `do` gives, done by the first step that asks. The others wait, and `check` may end
        that by raising.

        Where it fails, it fails for all; where the first one could not finish, the next one does
        it.
        """
        while True:
            with self._lock:
                asked = self._made.get(key)
                mine = asked is None
                if asked is None:
                    asked = self._made[key] = Future()
            if mine:
                return self._do(key, asked, step, do)
            while not wait([asked], LOOK_S).done:
                check()
            problem = asked.exception()
            if problem is None:
                return asked.result()
            if isinstance(problem, ToolkitError) and not isinstance(problem, _OWN):
                raise problem
            check()

    def _do(
        self, key: Hashable, asked: "Future[SharedResult[Any]]", step: str, do: Callable[[], Value]
    ) -> SharedResult[Value]:
        try:
            made = SharedResult(do(), step)
        except BaseException as problem:
            if not isinstance(problem, ToolkitError) or isinstance(problem, _OWN):
                with self._lock:
                    del self._made[key]
            asked.set_exception(problem)
            raise
        asked.set_result(made)
        return made
