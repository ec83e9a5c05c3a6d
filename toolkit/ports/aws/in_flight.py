"""Which calls a piece of work is waiting for, so that whoever gives up on it can name them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock


class CallWatch:
    """The calls that were begun and have not ended, of the threads that it is active in and of
    those that they start (DaemonThread).
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[object, str | CallWatch] = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        """While it lasts, calls of this thread are watched by this."""
        token = _watch.set(self)
        try:
            yield
        finally:
            _watch.reset(token)

    @contextmanager
    def waiting(self, what: "str | CallWatch") -> Iterator[None]:
        """While it lasts, this is waited for: a call by its name, or what else makes calls."""
        key = object()
        with self._lock:
            self._waiting[key] = what
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[key]

    def names(self) -> tuple[str, ...]:
        """What is waited for now, each once, in order: `ecs:DescribeServices`."""
        with self._lock:
            waiting = list(self._waiting.values())
        names = set[str]()
        for what in waiting:
            names.update(what.names() if isinstance(what, CallWatch) else (what,))
        return tuple(sorted(names))


_watch: ContextVar[CallWatch | None] = ContextVar("watch", default=None)


@contextmanager
def waiting(what: str | CallWatch) -> Iterator[None]:
    """While it lasts, the watch that is active, if there is one, knows that this is waited for."""
    watch = _watch.get()
    if watch is None:
        yield
        return
    with watch.waiting(what):
        yield
