"""The threads that carry out a schedule."""

from collections.abc import Callable
from threading import Condition, Thread

from toolkit.run.schedule import Schedule


class WorkerPool:
    """At most `parallel` steps at a time; each begins as soon as it may."""

    def __init__(
        self,
        schedule: Schedule,
        work: Callable[[str], bool],
        skip: Callable[[str, str], None],
        stopped: Callable[[], bool],
        parallel: int,
        fail_fast: bool,
    ) -> None:
        """`work` does a step and says whether it went well. `skip` is called with a step that never
        begins and the step that it depends on.

        Once `stopped` is true, which it has to stay, nothing new begins.
        """
        self._schedule, self._work, self._skip, self._stopped = schedule, work, skip, stopped
        self._parallel, self._fail_fast = parallel, fail_fast
        self._changed = Condition()
        self._busy = 0
        self._closed = False
        self._problem: BaseException | None = None

    def carry_out(self) -> list[str]:
        """Run until every step that begins has ended; returns the steps that were not begun because
        of `close`, `stopped` or `fail_fast`.

        Raises the first error of `work` or `skip`, after all other steps have ended.
        """
        with self._changed:
            self._hire()
            while self._busy or (self._schedule.waiting and not self._over()):
                self._changed.wait()
                self._hire()
            self._closed = True
            if self._problem is not None:
                raise self._problem
            return self._schedule.rest()

    def close(self) -> None:
        """Begin no further step."""
        with self._changed:
            self._closed = True

    def _over(self) -> bool:
        return self._closed or self._stopped()

    def _hire(self) -> None:
        """Start threads for the steps that may begin now; the lock is held."""
        while self._busy < self._parallel:
            step = self._next()
            if step is None:
                return
            try:
                Thread(target=self._serve, args=(step,), daemon=True, name=f"step {step}").start()
                self._busy += 1
            except RuntimeError as problem:  # the system has no more threads
                self._fail(problem)

    def _next(self) -> str | None:
        return None if self._over() else self._schedule.next()

    def _serve(self, first: str) -> None:
        """One thread: its first step, then further ones while there are any. Whatever goes wrong in
        it, `carry_out` is woken up.
        """
        step: str | None = first
        try:
            while step is not None:
                good = self._work(step)
                with self._changed:
                    self._ended(step, good)
                    step = self._next()
                    self._changed.notify_all()
        except BaseException as problem:
            self._fail(problem)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _fail(self, problem: BaseException) -> None:
        with self._changed:
            self._problem = self._problem or problem
            self._closed = True

    def _ended(self, step: str, good: bool) -> None:
        if good:
            self._schedule.succeeded(step)
            return
        for skipped in self._schedule.failed(step):
            self._skip(skipped, step)
        if self._fail_fast:
            self._closed = True
