"""What deploys and rollbacks of a function take: whole processes against an AWS on this machine
whose answers each take 50 ms, and which is done with each change at once.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import repository
from benchmarks.deploys import RULES, Row, commit, timed
from tests.support.aws.control import apart

LATENCY_S = 0.05
TURNS = 7
FUNCTION = """
[targets.mail]
kind = "function"
function = "mail"
source = "mail"
"""


def rows(folder: Path, toolkit: list[str]) -> Iterator[Row]:
    """A deploy, the same again, and a rollback, in turn."""
    repo = folder / "repo"
    (repo / "mail").mkdir(parents=True)
    (repo / "rules.toml").write_text(RULES + FUNCTION)
    repository.git(repo, "init", "-q")
    deploy = [*toolkit, "deploy-function", "mail", "--yes", "--adopt", "-q"]
    deploys, again, back = [], [], []
    with apart(folder) as aws:
        aws.do("lambda", "function", "mail")
        aws.latency(LATENCY_S)
        env = {**os.environ, **aws.environment, "TOOLKIT_STATE_DIR": str(folder / "state")}
        for turn in range(TURNS):
            (repo / "mail" / "index.py").write_text(f"def handler(*_):\n    return {turn}\n")
            commit(repo)
            deploys.append(timed(deploy, repo, env))
            again.append(timed(deploy, repo, env))
            if turn:
                back.append(timed([*toolkit, "rollback", "mail", "--yes", "-q"], repo, env))
    yield _row(
        "`deploy-function` of other code", deploys, "no goal: Lambda's own time is not in it"
    )
    yield _row("`deploy-function` of the same code", again, "no goal")
    yield _row("`rollback` of a function", back, "at most 3 s")


def _row(what: str, took: list[float], goal: str) -> Row:
    measured = f"**{statistics.median(took):.2f} s** (max {max(took):.2f})"
    return f"{what}, {LATENCY_S * 1000:.0f} ms an answer", measured, "", goal


def main() -> None:
    """Only these."""
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        for row in rows(Path(folder), [sys.executable, "-m", "toolkit"]):
            print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
