"""Ctrl-C, TERM and HUP while a run goes on: the first asks it to stop, the second leaves."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from toolkit.run.stop import Stop

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled(stop: Stop, told: Callable[[int], None], leave: Callable[[int], None]) -> Iterator[None]:
    """Inside, a first signal sets `stop` and calls `told`, a second one calls `leave`, which does not return.

    Both are called from a thread of their own: a handler that Python runs in the middle of something must not take locks.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    before = {one: signal.signal(one, _noted) for one in HANDLED if signal.getsignal(one) != signal.SIG_IGN}
    old_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = Thread(target=_watch, args=(reader, stop, told, leave), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_writer)
        for one, handler in before.items():
            signal.signal(one, handler)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _noted(number: int, frame: object) -> None:
    """Only keeps the signal from ending the process: its number is in the pipe already."""


def _watch(reader: int, stop: Stop, told: Callable[[int], None], leave: Callable[[int], None]) -> None:
    while numbers := os.read(reader, 64):
        for number in numbers:
            if number not in HANDLED:
                continue
            if stop.signal is not None:
                leave(number)
            stop.ask(number)
            told(number)
