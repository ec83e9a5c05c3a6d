"""Ctrl-C, TERM and HUP while a run goes on: the first asks it to stop, the second leaves."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from toolkit.run.stop import Stop

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS_S = 1.0
"""How long a terminal may take for what is said to it, in seconds."""


@contextmanager
def handled(
    stop: Stop, say_stopping: Callable[[int], None], say_left: Callable[[int], None]
) -> Iterator[None]:
    """Inside, a first signal sets `stop` and calls `say_stopping`; a second one calls `say_left`
    and ends the process.

    Both are called from threads of their own: a handler that Python runs in the middle of something
    must not take locks, and a terminal that takes no more words must not keep the process.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    before = {
        number: signal.signal(number, _ignore)
        for number in HANDLED
        if signal.getsignal(number) != signal.SIG_IGN  # `nohup` has to keep working
    }
    old_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = Thread(target=_watch, args=(reader, stop, say_stopping, say_left), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_writer)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _ignore(number: int, frame: object) -> None:
    """Only keeps the signal from ending the process: its number is in the pipe already."""


def _watch(
    reader: int, stop: Stop, say_stopping: Callable[[int], None], say_left: Callable[[int], None]
) -> None:
    while numbers := os.read(reader, 64):
        for number in numbers:
            if number not in HANDLED:
                continue
            if stop.signal is not None:
                _briefly(say_left, number)
                os._exit(128 + number)
            # In this order: a moment after it was asked to stop, the run may be over, and shows
            # nothing any more.
            _briefly(say_stopping, number)
            stop.ask(number)


def _briefly(say: Callable[[int], None], number: int) -> None:
    """Let something be said, but do not wait for it for long."""
    speaker = Thread(target=say, args=(number,), daemon=True)
    speaker.start()
    speaker.join(WORDS_S)
