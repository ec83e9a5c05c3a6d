"""A run's side of `apply` and `abandon`, for tests: it writes down what it is told, and crashes or
stops when a test wants that.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from toolkit.errors import NotAgreed, Stopped
from toolkit.operations import Observation


def lines(looks: Iterable[Observation]) -> list[str]:
    """The lines of all observations, in order."""
    return list(chain.from_iterable(look.lines for look in looks))


class Crash(BaseException):
    """The process is gone: nothing of ours catches it."""


class Report:
    """`events` holds what was said in order: (intend, call, what), (keep, facts), (phase, words),
    (log, line), (consent, flag) …

    `yes` are the flags that are answered with yes, None stands for all. `on_event` is called with
    each event before it counts, and may raise. Waiting takes no time: `clock` is moved on instead,
    if there is one.
    """

    def __init__(
        self,
        receipt: Mapping[str, Any] | None = None,
        yes: frozenset[str] | None = None,
        clock: Any = None,
        on_event: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.stopping = False
        self.prepared: list[str] = []
        self._receipt = dict(receipt or {})
        self._yes, self._clock, self._on_event = yes, clock, on_event

    @property
    def receipt(self) -> Mapping[str, Any]:
        """What was kept."""
        return self._receipt

    @property
    def intents(self) -> list[str]:
        """The calls that were intended, in order."""
        return [event[1] for event in self.events if event[0] == "intend"]

    def of(self, kind: str) -> list[Any]:
        """What was said of one kind, in order."""
        return [event[1] for event in self.events if event[0] == kind]

    def phase(self, words: str) -> None:
        """Write it down."""
        self._add("phase", words)

    def log(self, line: str) -> None:
        """Write it down."""
        self._add("log", line)

    def tell(self, line: str) -> None:
        """Write it down."""
        self._add("tell", line)

    def intend(self, call: str, **what: str) -> None:
        """Write it down; parameters are words."""
        assert all(isinstance(value, str) for value in what.values()), what
        self.check()
        self._add("intend", call, what)

    def prepare(self, call: str, **what: str) -> None:
        """The same; `prepared` are those."""
        self.intend(call, **what)
        self.prepared.append(call)

    def turned_away(self) -> None:
        """Write it down."""
        self._add("turned away")

    def keep(self, **facts: Any) -> None:
        """Keep it, as JSON does."""
        import msgspec

        self._add("keep", facts)
        self._receipt |= msgspec.json.decode(msgspec.json.encode(facts))

    def consent(self, question: str, flag: str) -> None:
        """Yes if the flag is one of `yes`."""
        self._add("consent", flag, question)
        if self._yes is not None and flag not in self._yes:
            raise NotAgreed("nobody said yes", f"add {flag}")

    def check(self) -> None:
        """Raise Stopped once `stopping` is set."""
        if self.stopping:
            raise Stopped()

    def wait(self, seconds: float) -> None:
        """Move the clock on."""
        self.check()
        self._add("wait", seconds)
        if self._clock is not None:
            self._clock.advance(seconds)

    def _add(self, *event: Any) -> None:
        if self._on_event is not None:
            self._on_event(event)
        self.events.append(event)
