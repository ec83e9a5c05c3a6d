"""Times of whole processes, taken in turn."""

import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def interleaved(
    folder: Path, runs: int, *commands: Sequence[str], env: Mapping[str, str] | None = None
) -> list[list[float]]:
    """Seconds of each command, taken in turn, after two runs that do not count."""
    times: list[list[float]] = [[] for _ in commands]
    for number in range(runs + 2):
        for command, seconds in zip(commands, times, strict=True):
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
            if number >= 2:
                seconds.append(time.perf_counter() - start)
    return times


def ms(times: Sequence[float]) -> str:
    """Median and minimum in milliseconds."""
    return f"{statistics.median(times) * 1000:.1f} ms (min {min(times) * 1000:.1f})"
