"""How long `diff` takes as most people type it: against what is recorded as deployed, where all
targets were deployed at one commit, and each at its own.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import repository
from benchmarks.timing import interleaved, ms
from toolkit.operations import Verdict
from toolkit.record.ledger import LocalLedger, Record, Scope
from toolkit.record.state import open_store

Row = tuple[str, str, str, str]

ACCOUNT, REGION = "111111111111", "eu-west-1"
FILES, TARGETS, RUNS = 20_000, 200, 11


def rows(folder: Path, toolkit: Sequence[str], runs: int = RUNS) -> Iterator[Row]:
    """200 targets among 20,000 files, deployed at one commit and at 200 of them."""
    repo, commits = repository.deployed(folder / "deployed", FILES, TARGETS)
    for name, bases, goal in (
        ("one commit", commits[-3:-2] * TARGETS, 4),
        (f"{TARGETS} commits", commits, 10),
    ):
        env = state(folder / name.replace(" ", "-"), bases)
        ours, git = interleaved(
            repo, runs, [*toolkit, "diff"], ["git", "status", "--porcelain"], env=env
        )
        ratio = statistics.median(a / b for a, b in zip(ours, git, strict=True))
        children = processes([*toolkit, "diff"], repo, env)
        yield (
            f"`diff`, {FILES:,} files, {TARGETS} targets deployed at {name}",
            f"{ms(ours)}: **{ratio:.1f}x** git, {children} git processes",
            f"`git status --porcelain` {ms(git)}",
            f"at most {goal}x",
        )


def state(folder: Path, commits: Sequence[str]) -> dict[str, str]:
    """The record of targets t0, t1 … that were deployed at these commits, and the variables for
    it.
    """
    folder.mkdir(parents=True)
    env = {**os.environ, "TOOLKIT_STATE_DIR": str(folder)}
    before = os.environ.get("TOOLKIT_STATE_DIR")
    os.environ["TOOLKIT_STATE_DIR"] = str(folder)
    try:
        ledger = LocalLedger(open_store("bench", str(folder)), Scope())
    finally:
        os.environ.pop("TOOLKIT_STATE_DIR")
        if before is not None:
            os.environ["TOOLKIT_STATE_DIR"] = before
    for number, commit in enumerate(commits):
        record = Record(
            f"t{number}",
            "dev",
            REGION,
            commit,
            commit,
            "",
            f"20260101-000000-{number:04x}",
            "2026-01-01T00:00:00+00:00",
            Verdict.SUCCEEDED,
            account=ACCOUNT,
        )
        ledger.put(record)
    return env


def processes(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> int:
    """How many git processes a command starts, by its own log."""
    with tempfile.NamedTemporaryFile("r") as log:
        subprocess.run(
            command,
            cwd=folder,
            env={**env, "TOOLKIT_DEBUG": log.name},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return len(re.findall(r"^\[ *\d+\] +\S+ git ", Path(log.name).read_text(), re.MULTILINE))


def main() -> None:
    """Only this."""
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        for row in rows(Path(folder), [str(Path(sys.executable).with_name("toolkit"))]):
            print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
