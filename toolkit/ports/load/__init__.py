"""A small load, made by locust in a child of its own: its green threads want a process for
themselves.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from math import ceil
from time import monotonic

from msgspec import Struct

from toolkit.errors import ProbeError, Refused, Stopped
from toolkit.ports import process

USER = os.path.join(os.path.dirname(__file__), "user.py")
MARK = b"toolkit-load "
"""What the line with the figures begins with."""
SWITCH = "TOOLKIT_LOAD"
START_S = 30.0
"""How long the child may take besides the load itself."""


class LoadFigures(Struct, frozen=True):
    """What a load came to. Times are milliseconds, of answers that were as expected; `errors` is
    how many were not, `first` the first.
    """

    requests: int
    errors: int
    seconds: float
    p50: float
    p95: float
    p99: float
    first: str = ""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def share(self) -> float:
        """The share of requests that failed."""
        return self.errors / self.requests if self.requests else 1.0


def there() -> None:
    """Raises Refused where locust is not installed."""
    if find_spec("locust") is None:
        raise Refused(
            "--load needs locust, which is not installed", "pip install locust, beside toolkit"
        )


def run(
    given: bytes, users: int, seconds: int, log: Callable[[str], None], stopped: Callable[[], bool]
) -> LoadFigures:
    """Ask as `given` says (user.py reads it), `users` at a time. Raises ProbeError where no figures
    come of it.
    """
    root = os.path.dirname(
        os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    )
    argv = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        USER,
        "--headless",
        "--users",
        str(users),
        "--spawn-rate",
        str(users),
        "--run-time",
        f"{seconds}s",
        "--stop-timeout",
        "10",
        "--exit-code-on-error",
        "0",
        "--loglevel",
        "WARNING",
        "--skip-log",
    ]
    env = process.child_environment(
        **{SWITCH: "1", "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}
    )
    child, until = process.LineProgram(argv, root, env, given), monotonic() + seconds + START_S
    found: LoadFigures | None = None
    for line in child.lines():
        if line is not None and line.startswith(MARK):
            found = LoadFigures(**json.loads(line.removeprefix(MARK)))
        elif line is not None:
            log(line.decode("utf-8", "replace"))
        if stopped() or monotonic() > until:
            child.stop()
            if stopped():
                raise Stopped()
            raise ProbeError(f"the load did not end within {seconds + START_S:g} s")
    if found is None or not found.requests:
        raise ProbeError(f"the load came to nothing (locust ended with {child.code})")
    return found


def percentile(times: list[float], share: float) -> float:
    """The value below which a share of the sorted times lies, by the nearest rank; 0 for none."""
    return times[max(ceil(round(share * len(times), 6)), 1) - 1] if times else 0.0
