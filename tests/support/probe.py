"""Somebody who uses the live system all the time, while something is deployed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby

EVERY_S = 0.05
"""How often a probe asks: twenty times a second."""


@contextmanager
def probing(ask: Callable[[], str]) -> Iterator[list[str]]:
    """What a probe is answered meanwhile, and a little longer; an error is an answer, too."""
    answers: list[str] = []
    over = threading.Event()

    def probe() -> None:
        while not over.wait(EVERY_S):
            try:
                answers.append(ask())
            except Exception as problem:
                answers.append(f"failed: {problem!r}")

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        while not answers:
            time.sleep(EVERY_S)
        yield answers
        before = len(answers)
        while len(answers) < before + 3:
            time.sleep(EVERY_S)
    finally:
        over.set()
        thread.join()


def in_turn(answers: list[str]) -> list[str]:
    """The answers without repetitions."""
    return [answer for answer, _ in groupby(answers)]
