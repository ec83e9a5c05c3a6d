"""Many calls at the same time: whoever waits for them can end it, and then waits once."""

from threading import Event
from time import monotonic

import pytest

from toolkit.ports import parallel


class Ended(Exception):
    """What ends the calls."""


def test_calls_in_the_air_are_waited_for_once_and_not_once_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "LAST_CALL_S", 0.5)
    released = Event()

    def check() -> None:
        raise Ended

    began = monotonic()
    try:
        with pytest.raises(Ended):
            parallel.run(range(8), lambda _: released.wait(30), check, workers=8)
        assert monotonic() - began < 2.0  # eight times half a second would be four
    finally:
        released.set()
