"""Many calls at the same time, by a few threads, which whoever waits can end at any moment."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Event, Lock
from time import monotonic
from typing import Generic, TypeVar

from toolkit.ports.background import DaemonThread

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = 32
TICK_S = 0.05
"""How often whoever waits looks whether it has to stop, in seconds."""
LAST_CALL_S = 2.0
"""How long all calls in the air together are waited for after that, in seconds, so that none
arrives when the next process is at work.
"""


def run(
    items: Iterable[Item],
    do: Callable[[Item], Result],
    check: Callable[[], None],
    progress: Callable[[int], None] = lambda done: None,
    workers: int = WORKERS,
) -> dict[Item, Result]:
    """The result of `do` for each item. What the first failed one has raised is raised, once no
    call is in the air any more; no new one is begun then.

    `check` is called all the time, and stops all of it by raising; `progress` says how many are
    done.
    """
    listed = list(items)
    work = _Work(listed, do)
    threads = [DaemonThread(work.carry_out) for _ in range(min(workers, len(listed)))]
    for thread in threads:
        thread.start()
    with _ending(work, threads):
        shown = 0
        while not work.over.wait(TICK_S):
            check()
            if len(work.results) != shown:
                shown = len(work.results)
                progress(shown)
    if work.problem is not None:
        raise work.problem
    return dict(work.results)


@contextmanager
def _ending(work: "_Work[Item, Result]", threads: list[DaemonThread]) -> Iterator[None]:
    try:
        yield
    finally:
        work.stop()
        until = monotonic() + LAST_CALL_S
        for thread in threads:
            thread.join(max(until - monotonic(), 0))


class _Work(Generic[Item, Result]):
    """What is to be done, for all threads that do it."""

    def __init__(self, items: list[Item], do: Callable[[Item], Result]) -> None:
        self._do, self._lock = do, Lock()
        self._waiting: SimpleQueue[Item] = SimpleQueue()
        for item in items:
            self._waiting.put(item)
        self._left = len(items)
        self.results: dict[Item, Result] = {}
        self.problem: BaseException | None = None
        self.over = Event()
        if not items:
            self.over.set()

    def stop(self) -> None:
        """Begin nothing more."""
        self.over.set()

    def carry_out(self) -> None:
        """One thread's part."""
        while not self.over.is_set():
            try:
                item = self._waiting.get_nowait()
            except Empty:
                return
            try:
                result = self._do(item)
            except BaseException as problem:  # it has to arrive where it is waited for
                self._fail(problem)
                return
            self._count(item, result)

    def _count(self, item: Item, result: Result) -> None:
        with self._lock:
            self.results[item] = result
            self._left -= 1
            if not self._left:
                self.over.set()

    def _fail(self, problem: BaseException) -> None:
        with self._lock:
            if self.problem is None:
                self.problem = problem
            self.over.set()
