"""Work in the background that its caller waits for until a deadline, and then abandons: nothing
can interrupt a read that always gets one more byte, a resolver that hangs, or a credential
program.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from toolkit.ports import usage

if TYPE_CHECKING:  # it loads logging, which takes longer than many a git call
    from concurrent.futures import Future

Result = TypeVar("Result")
Item = TypeVar("Item")

LOOK_S = 0.1
"""How often whoever waits looks whether to go on."""
AHEAD = 4
"""How many items are taken before anybody wants them."""


class DaemonThread(Thread):
    """A thread that may be abandoned: it does not keep the process alive. It knows for whom it
    works: the context of the thread that made it.
    """

    def __init__(self, do: Callable[[], None], counts_itself: bool = False) -> None:
        work = (do,) if counts_itself else (usage.in_thread, do)
        super().__init__(target=copy_context().run, args=work, daemon=True)


class Timeout(Exception):
    """It has not ended in its time."""


class BackgroundTask(Generic[Result]):
    """A function that runs in a thread of its own."""

    def __init__(self, do: Callable[[], Result]) -> None:
        from concurrent.futures import Future

        self._future: Future[Result] = Future()
        DaemonThread(partial(carry_out_counted, self._future, do), counts_itself=True).start()

    def within(self, seconds: float) -> Result:
        """Its result. Raises what it raised; Timeout if it has not ended `seconds` from now."""
        from concurrent.futures import wait

        if not wait([self._future], max(seconds, 0)).done:
            raise Timeout
        return self._future.result()

    def until(self, check: Callable[[], None]) -> Result:
        """Its result, as soon as it has ended; `check` is called again and again meanwhile, and may
        end the wait by raising.
        """
        while True:
            try:
                return self.within(LOOK_S)
            except Timeout:
                check()


def items_until(items: Iterable[Item], check: Callable[[], None]) -> Iterator[Item]:
    """Items, none of them None, that another thread takes, a few ahead. `check` is called again and
    again while none comes, and may end the wait by raising. Raises what taking one raises.
    """
    from queue import Empty, Full, Queue

    ahead: Queue[Item | None] = Queue(AHEAD)
    is_left = Event()

    def hand_on(item: Item | None) -> None:
        while not is_left.is_set():
            with suppress(Full):
                ahead.put(item, timeout=LOOK_S)
                return

    def take() -> None:
        try:
            for item in items:
                hand_on(item)
                if is_left.is_set():
                    return
        finally:
            hand_on(None)

    task = BackgroundTask(take)
    try:
        while True:
            try:
                item = ahead.get(timeout=LOOK_S)
            except Empty:
                check()
                continue
            if item is None:
                task.until(check)
                return
            yield item
    finally:
        is_left.set()


def carry_out(future: "Future[Result]", do: Callable[[], Result]) -> None:
    """Call a function, and pass its result or its error to whoever waits."""
    try:
        future.set_result(do())
    except BaseException as problem:  # also a bug has to arrive where it is waited for
        future.set_exception(problem)


def carry_out_counted(future: "Future[Result]", do: Callable[[], Result]) -> None:
    """The same as all that a thread does. One function for both: the way from a command to a call
    is to be read.
    """
    try:
        future.set_result(do())
    except BaseException as problem:
        future.set_exception(problem)
    finally:
        usage.count_thread()
