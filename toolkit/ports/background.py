"""Work in the background that its caller waits for until a deadline, and then abandons: nothing
can interrupt a read that always gets one more byte, a resolver that hangs, or a credential
program.
"""

from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:  # it loads logging, which takes longer than many a git call
    from concurrent.futures import Future

Result = TypeVar("Result")


class DaemonThread(Thread):
    """A thread that may be abandoned: it does not keep the process alive. It knows for whom it
    works: the context of the thread that made it.
    """

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__(target=copy_context().run, args=(do,), daemon=True)


class Timeout(Exception):
    """It has not ended in its time."""


class BackgroundTask(Generic[Result]):
    """A function that runs in a thread of its own."""

    def __init__(self, do: Callable[[], Result]) -> None:
        from concurrent.futures import Future

        self._future: Future[Result] = Future()
        DaemonThread(lambda: carry_out(self._future, do)).start()

    def within(self, seconds: float) -> Result:
        """Its result. Raises what it raised; Timeout if it has not ended `seconds` from now."""
        from concurrent.futures import wait

        if not wait([self._future], max(seconds, 0)).done:
            raise Timeout
        return self._future.result()


def carry_out(future: "Future[Result]", do: Callable[[], Result]) -> None:
    """Call a function, and pass its result or its error to whoever waits."""
    try:
        future.set_result(do())
    except BaseException as problem:  # also a bug has to arrive where it is waited for
        future.set_exception(problem)
