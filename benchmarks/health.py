"""How long `health` takes: whole processes from a cold start, against an AWS on this machine whose
every answer comes 50 ms late.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import growth
from benchmarks.deploys import BARE, apps, repo_of, timed
from tests.support.aws.control import apart

Row = tuple[str, str, str, str]
TARGETS, LATENCY_S, RUNS = 50, 0.05, 7
GROWTH = (50, 150, 300)


def rows(folder: Path, toolkit: list[str]) -> Iterator[Row]:
    """Fifty services in one cluster, each behind a load balancer, all with images of one
    repository; and how the time grows with them.
    """
    took, bare, calls = _checked(folder / "one", toolkit, TARGETS, RUNS)
    each = ", ".join(f"{count / RUNS:.3g} {name}" for name, count in calls.most_common())
    ideal = TARGETS // 10 + 2 * TARGETS + 4
    yield (
        f"`health` of {TARGETS} services, each call 50 ms late",
        (
            f"**{statistics.median(took):.2f} s** (min {min(took):.2f}),"
            f" {sum(calls.values()) / RUNS:.0f} calls ({each})"
        ),
        (
            f"one call after the other: {ideal * LATENCY_S:.1f} s; `python -I -c pass`"
            f" {statistics.median(bare) * 1000:.0f} ms"
        ),
        "at most 1.5 s",
    )
    times = [min(_checked(folder / str(size), toolkit, size, 3)[0]) for size in GROWTH]
    yield growth.row("`health` of so many services, each call 50 ms late", GROWTH, times)


def _checked(
    folder: Path, toolkit: list[str], targets: int, runs: int
) -> tuple[list[float], list[float], Counter[str]]:
    """The seconds of `health` of so many services and of the bare interpreter, and all calls."""
    folder.mkdir(parents=True)
    names = [f"web{number}" for number in range(targets)]
    repo = repo_of(folder, names)
    took, bare = list[float](), list[float]()
    with apart(folder) as aws:
        apps(aws, names, groups=True)
        aws.latency(LATENCY_S)
        env = {**os.environ, **aws.environment, "TOOLKIT_STATE_DIR": str(folder / "state")}
        before = len(aws.calls())
        for _ in range(runs):
            took.append(timed([*toolkit, "health", "--json"], repo, env))
            bare.append(timed(BARE, repo, env))
        return took, bare, Counter(call.operation for call in aws.calls()[before:])


def main() -> None:
    """Only this."""
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        began = time.perf_counter()
        for row in rows(Path(folder), [sys.executable, "-m", "toolkit"]):
            print(" | ".join(row), flush=True)
        print(f"{time.perf_counter() - began:.1f} s", subprocess.list2cmdline(BARE))


if __name__ == "__main__":
    main()
