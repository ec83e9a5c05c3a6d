"""What a deploy costs beyond AWS's own time, and how soon its end is told: whole processes against
an AWS on this machine.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import repository
from tests.support.aws.control import apart

Row = tuple[str, str, str, str]

APPS = 16
LONGEST_S = 40
BARE = [sys.executable, "-I", "-c", "pass"]
RULES = """\
version = 1
project = "bench"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
"""
APP = """
[targets.{name}]
kind = "app"
cluster = "main"
service = "{name}"
repository = "web"
"""


def rows(folder: Path, toolkit: list[str]) -> Iterator[Row]:
    """The measurements, one after the other."""
    yield from overhead(folder / "overhead", toolkit)
    yield from told(folder / "told", toolkit)
    yield from sandbox(folder / "sandbox", toolkit)


def overhead(folder: Path, toolkit: list[str]) -> Iterator[Row]:
    """`deploy-app` of an image that is there, by an AWS that answers and deploys at once: what is
    left is the tool itself.
    """
    repo = repo_of(folder, ["web"])
    took, bare = [], []
    with apart(folder) as aws:
        apps(aws, ["web"])
        env = {**os.environ, **aws.environment, "TOOLKIT_STATE_DIR": str(folder / "state")}
        for turn in range(11):
            command = [
                *toolkit,
                "deploy-app",
                "web",
                "--no-build",
                "--image",
                f"v{turn % 2 + 1}",
                "--yes",
                "--json",
            ]
            took.append(timed(command, repo, env))
            bare.append(timed(BARE, repo, env))
        calls = len(aws.calls()) / len(took)
    median = statistics.median(took)
    yield (
        "`deploy-app --no-build`, an AWS that is done at once",
        f"**{median:.2f} s** (min {min(took):.2f}), {calls:.0f} calls",
        f"`python -I -c pass` {statistics.median(bare) * 1000:.0f} ms",
        "at most 2 s",
    )


def told(folder: Path, toolkit: list[str]) -> Iterator[Row]:
    """How long after its end a deployment's outcome is on disk: many deployments of random lengths
    in one run.
    """
    names = [f"web{number}" for number in range(APPS)]
    repo = repo_of(folder, names)
    chance = random.Random(7)
    lengths = {name: chance.uniform(2, LONGEST_S) for name in names}
    with apart(folder) as aws:
        apps(aws, names)
        for name, seconds in lengths.items():
            aws.do("ecs", "next", "success", name, seconds=seconds)
        env = {**os.environ, **aws.environment, "TOOLKIT_STATE_DIR": str(folder / "state")}
        command = [
            *toolkit,
            "deploy",
            *names,
            "--no-build",
            "--image",
            "v2",
            "--yes",
            "--json",
            "--parallel",
            str(APPS),
        ]
        subprocess.run(
            command, cwd=repo, env=env, check=True, capture_output=True, stdin=subprocess.DEVNULL
        )
        moved = {
            call.params["service"]: call.at
            for call in aws.calls()
            if call.operation == "UpdateService"
        }
        looks = sum(
            call.operation in ("DescribeServices", "DescribeServiceDeployments")
            for call in aws.calls()
        )
    [journal] = (folder / "state").glob("*/runs/*.jsonl")
    ends = {
        entry["step"]: datetime.fromisoformat(entry["at"])
        for entry in map(json.loads, journal.open())
        if entry["state"] == "outcome"
    }
    late = sorted(
        (ends[name] - moved[name] - timedelta(seconds=lengths[name])).total_seconds()
        for name in names
    )
    yield (
        f"end of a deployment told, {APPS} at once of 2 to {LONGEST_S} s",
        f"**{statistics.median(late):.2f} s** later (max {late[-1]:.2f}), {looks} calls to look",
        "boto3's waiter looks every 15 s: 7.5 s later",
        "median at most 2 s",
    )


def sandbox(folder: Path, toolkit: list[str]) -> Iterator[Row]:
    """The same against the sandbox, where a container really has to start and the old one to
    end.
    """
    repo = repo_of(folder, ["web"], 'build = { context = "app" }\n')
    files = {
        "app/Dockerfile": 'FROM scratch\nCOPY wait.sh /\nCMD ["sh", "/wait.sh"]\n',
        "app/wait.sh": "while :; do sleep 1; done\n",
    }
    for name, text in files.items():
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(text)
    commit(repo)
    env = {**os.environ, "TOOLKIT_STATE_DIR": str(folder / "state")}
    up = subprocess.run(
        [*toolkit, "sandbox", "up", "--json"], cwd=repo, env=env, check=True, capture_output=True
    )
    env |= json.loads(up.stdout)["env"]
    try:
        tags = []
        for text in ("one", "two"):
            (repo / "app" / "version").write_text(text)
            (repo / "app" / "wait.sh").write_text(f"{files['app/wait.sh']}# {text}\n")
            tags.append(commit(repo))
            subprocess.run(
                [*toolkit, "deploy-app", "--yes", "-q"],
                cwd=repo,
                env=env,
                check=True,
                capture_output=True,
            )
        took = [
            timed(
                [*toolkit, "deploy-app", "--no-build", "--image", tags[turn % 2], "--yes", "-q"],
                repo,
                env,
            )
            for turn in range(6)
        ]
    finally:
        subprocess.run(
            [*toolkit, "sandbox", "down"], cwd=repo, env=env, check=True, capture_output=True
        )
    yield (
        "`deploy-app --no-build` in the sandbox",
        f"**{statistics.median(took):.2f} s** (min {min(took):.2f})",
        "the emulator's own rolling deployment, about 1.5 s of it",
        "no goal: mostly the emulator",
    )


def repo_of(folder: Path, names: list[str], more: str = "") -> Path:
    """A repository whose rules.toml has an app of each name."""
    repo = folder / "repo"
    repo.mkdir(parents=True)
    (repo / "rules.toml").write_text(
        RULES + "".join(APP.format(name=name) + more for name in names)
    )
    repository.git(repo, "init", "-q")
    commit(repo)
    return repo


def commit(repo: Path) -> str:
    """Commit all that is there; the commit."""
    repository.git(repo, "add", "-A")
    repository.git(repo, "commit", "-q", "--allow-empty", "-m", "change")
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def apps(aws: Any, names: list[str], groups: bool = False) -> None:
    """A service of each name; with `groups` each behind a load balancer."""
    aws.do("ecr", "repository", "web")
    for tag in ("v1", "v2"):
        aws.do("ecr", "image", "web", tag)
    uri = aws.get("ecr", "repositories", "web", "uri")
    for name in names:
        aws.do(
            "ecs",
            "service",
            name,
            f"{uri}:v1",
            cluster="main",
            **({"group": f"{name}-tg"} if groups else {}),
        )


def timed(command: list[str], folder: Path, env: dict[str, str]) -> float:
    """Seconds of a whole process. Raises CalledProcessError."""
    began = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=env, check=True, capture_output=True, stdin=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> None:
    """Only these."""
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        for row in rows(Path(folder), [sys.executable, "-m", "toolkit"]):
            print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
