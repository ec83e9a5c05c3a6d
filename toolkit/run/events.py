"""What happens in a run, as data, and whoever is told of it. A listener decides nothing: one that
fails or hangs changes no verdict, and costs a second at most.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Thread
from time import monotonic
from typing import Protocol

from msgspec import Struct

from toolkit.advice import Advice
from toolkit.operations import Job, Outcome, RunResult
from toolkit.ports import debug

MOST = 10_000
"""How many events wait for a listener. After that the run waits for it, as long as it moves."""
PATIENCE_S = 1.0
"""After how long with a single event a listener counts as stuck."""
LOOK_S = 0.05


class RunPlanned(Struct, frozen=True):
    """A run begins with these jobs."""

    run: str
    jobs: tuple[Job, ...]


class StepBegan(Struct, frozen=True):
    """A step begins."""

    job: Job


class PhaseChanged(Struct, frozen=True):
    """What a step does now."""

    step: str
    phase: str


class HookBegan(Struct, frozen=True):
    """The programs that run before a target is deployed have begun; `step` is their name."""

    step: str


class HookEnded(Struct, frozen=True):
    """All of them have ended: well, or else for this cause, or since the run was `stopped`."""

    step: str
    took_s: float
    cause: str = ""
    stopped: bool = False


class LogLine(Struct, frozen=True):
    """A line of a step's log."""

    step: str
    text: str


class Notice(Struct, frozen=True):
    """Something that a person has to see, about a step or, as `toolkit`, about the run."""

    step: str
    text: Advice


class GateResult(Struct, frozen=True):
    """What a gate says of a step: whether it is good, None where that is unknown, and why not."""

    step: str
    gate: str
    good: bool | None
    cause: str = ""


class StepEnded(Struct, frozen=True):
    """How a step ended. That is on disk already."""

    outcome: Outcome


class RunEnded(Struct, frozen=True):
    """How the run ended."""

    result: RunResult


RunEvent = (
    RunPlanned
    | HookBegan
    | HookEnded
    | StepBegan
    | PhaseChanged
    | LogLine
    | Notice
    | GateResult
    | StepEnded
    | RunEnded
)


class Listener(Protocol):
    """Whoever is told of a run. Everything is called from one thread, which is its own."""

    def take(self, event: RunEvent) -> None:
        """Show an event, send it, or ignore it."""

    def close(self) -> None:
        """There are no more of them."""


class EventStream(Protocol):
    """Where a run says what happens."""

    def publish(self, event: RunEvent) -> None:
        """Tell every listener. Never raises. The events of one thread stay in order."""


class Events:
    """The stream of a run's events, for any number of listeners."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._channels = [_Channel(listener) for listener in listeners]

    def publish(self, event: RunEvent) -> None:
        """Tell every listener. Never raises. The events of one thread stay in order."""
        for channel in self._channels:
            channel.put(event)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Everything that was published has been shown, and nothing else is shown inside: a person
        is asked something.
        """
        for channel in self._channels:
            channel.pause()
        try:
            yield
        finally:
            for channel in self._channels:
                channel.go_on()

    def close(self) -> Sequence[BaseException]:
        """Wait until everything has been shown; not for a listener that is stuck. What listeners
        have raised.
        """
        for channel in self._channels:
            channel.end()
        for channel in self._channels:
            channel.wait_for_end()
        return [channel.problem for channel in self._channels if channel.problem is not None]


class _Channel:
    """The queue and the thread of one listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._changed = Condition()
        self._queue: deque[RunEvent] = deque()
        self._busy_since: float | None = None
        """Since when the listener has been at work on one event."""
        self._paused = self._ending = self._over = False
        self._dropped = 0
        self.problem: BaseException | None = None
        """What the listener has raised."""
        Thread(target=self._work, name="listener", daemon=True).start()

    def put(self, event: RunEvent) -> None:
        """Add an event; drop it if there is no room and the listener does not move."""
        with self._changed:
            while self._is_full() and not (self._paused or self._is_stuck() or self._over):
                self._changed.wait(LOOK_S)
            if self._ending or self._over or self._is_full():
                self._dropped += 1
                return
            self._say_dropped()
            self._queue.append(event)
            self._changed.notify_all()

    def pause(self) -> None:
        """Wait until everything was shown, and show nothing more."""
        with self._changed:
            self._wait_until_idle()
            self._paused = True

    def go_on(self) -> None:
        """Go on after a pause."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._say_dropped()
            self._ending, self._paused = True, False
            self._changed.notify_all()

    def wait_for_end(self) -> None:
        """Wait until everything was shown, as long as the listener moves. What a stuck one has not
        shown is dropped.
        """
        with self._changed:
            while not (self._over or self._is_stuck()):
                self._changed.wait(LOOK_S)
            if not self._over:
                self._dropped += len(self._queue)
                self._queue.clear()
                self._say_dropped()
                debug.tell("listener", "is stuck", dropped=self._dropped)

    def _is_full(self) -> bool:
        return len(self._queue) >= MOST

    def _is_stuck(self) -> bool:
        return self._busy_since is not None and monotonic() - self._busy_since >= PATIENCE_S

    def _wait_until_idle(self) -> None:
        while (self._queue or self._busy_since is not None) and not (
            self._is_stuck() or self._over
        ):
            self._changed.wait(LOOK_S)

    def _say_dropped(self) -> None:
        """Let the listener say, once it moves again, that something is missing."""
        if self._dropped:
            noun = "message was" if self._dropped == 1 else "messages were"
            self._queue.append(Notice("toolkit", f"{self._dropped} {noun} not shown"))
            self._dropped = 0

    def _work(self) -> None:
        try:
            while (event := self._next()) is not None:
                self._listener.take(event)
            self._listener.close()
        except BaseException as problem:
            self.problem = problem
            debug.tell("listener", "failed", problem=repr(problem))
        with self._changed:
            self._over, self._busy_since = True, None
            self._queue.clear()
            self._changed.notify_all()

    def _next(self) -> RunEvent | None:
        """The next event as soon as there is one, None after the last."""
        with self._changed:
            self._busy_since = None
            self._changed.notify_all()
            while self._paused or not (self._queue or self._ending):
                self._changed.wait()
            self._busy_since = monotonic()
            return self._queue.popleft() if self._queue else None
