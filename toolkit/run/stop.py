"""The request to stop a run: set once by a signal or a problem, seen by everything that waits."""

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from toolkit.errors import Stopped, ToolkitError
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.clock import Clock

Answer = TypeVar("Answer")

LOOK_S = 0.1
"""How soon a request to stop is seen while something is asked that may never answer."""


class Stop:
    """Whether the run is to stop, and which signal or problem said so."""

    def __init__(self) -> None:
        self.event = Event()
        self.signal: int | None = None
        self.problem: ToolkitError | None = None

    @property
    def asked(self) -> bool:
        """Whether nothing new may be started."""
        return self.event.is_set()

    def ask(self, signal: int | None = None, problem: ToolkitError | None = None) -> None:
        """Stop the run: because of a signal, or of a problem that affects all steps."""
        # The first one says why: later problems are often only its consequence.
        if not self.asked:
            self.problem = problem
        self.signal = self.signal or signal
        self.event.set()

    def check(self) -> None:
        """Raises Stopped if the run is to stop."""
        if self.asked:
            raise Stopped()

    def wait(self, clock: Clock, seconds: float) -> None:
        """Wait that long. Raises Stopped as soon as the run is to stop."""
        if seconds > 0 and clock.wait(seconds, self.event):
            raise Stopped()
        self.check()

    def unless(self, ask: Callable[[], Answer]) -> Answer:
        """The result of `ask`. Raises Stopped as soon as the run is to stop; `ask` then goes on in
        the background, so it must change nothing.
        """
        task = BackgroundTask(ask)
        while True:
            self.check()
            try:
                return task.within(LOOK_S)
            except Timeout:
                continue
