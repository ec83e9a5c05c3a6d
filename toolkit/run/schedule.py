"""Which step may begin: one whose needs are done. Only bookkeeping; who carries them out
has the threads."""

from collections.abc import Collection, Iterable, Mapping
from graphlib import TopologicalSorter
from heapq import heappop, heappush


class Schedule:
    """The steps that wait, those that may begin (the one with the longest path ahead first), and
    those that never will.
    """

    def __init__(
        self,
        needs: Mapping[str, Collection[str]],
        estimates: Mapping[str, float],
        done: Iterable[str] = (),
    ) -> None:
        """`needs` has every step; `done` are steps that succeeded in an earlier process. Raises
        graphlib.CycleError.
        """
        self._missing = {step: set(needed) for step, needed in needs.items()}
        self._dependents: dict[str, list[str]] = {step: [] for step in needs}
        for step, needed in needs.items():
            for need in needed:
                self._dependents[need].append(step)
        self._weight: dict[str, float] = {}
        # From the end: a step's weight is its own time and that of the longest path behind it.
        for step in reversed(list(TopologicalSorter(needs).static_order())):
            self._weight[step] = estimates[step] + max(
                (self._weight[need] for need in self._dependents[step]), default=0
            )
        self._ready: list[tuple[float, str]] = []
        self._waiting = set(needs)
        for step in needs:
            self._offer(step)
        for step in done:
            self._take(step)
            self.succeeded(step)

    def next(self) -> str | None:
        """A step that may begin, None if there is none now."""
        while self._ready:
            step = heappop(self._ready)[1]
            if step in self._waiting:
                self._waiting.remove(step)
                return step
        return None

    def succeeded(self, step: str) -> None:
        """Note that a step succeeded: others may begin now."""
        for dependent in self._dependents[step]:
            self._missing[dependent].discard(step)
            self._offer(dependent)

    def failed(self, step: str) -> list[str]:
        """Note that a step did not go well; returns the steps that never begin now, each after
        those that it waited for.
        """
        skipped: list[str] = []
        waiting = [step]
        while waiting:
            for dependent in self._dependents[waiting.pop()]:
                if dependent in self._waiting:
                    self._waiting.remove(dependent)
                    skipped.append(dependent)
                    waiting.append(dependent)
        return skipped

    def retire(self, step: str) -> list[str]:
        """Note that a step did not go well in an earlier process; returns the steps that never
        begin because of it.
        """
        self._take(step)
        return self.failed(step)

    def dropped(self, step: str) -> bool:
        """Take back a step that has not begun; False if it has."""
        waits = step in self._waiting
        self._take(step)
        return waits

    def rest(self) -> list[str]:
        """Take back all steps that have not begun."""
        rest, self._waiting, self._ready = sorted(self._waiting), set(), []
        return rest

    @property
    def waiting(self) -> bool:
        """Whether there are steps that have not begun and still may."""
        return bool(self._waiting)

    def _offer(self, step: str) -> None:
        if step in self._waiting and not self._missing[step]:
            # A heap has the smallest first, and we want the longest path first.
            heappush(self._ready, (-self._weight[step], step))

    def _take(self, step: str) -> None:
        self._waiting.discard(step)
