"""A site of 10,000 small files, put into a bucket that answers 20 ms later, beside what `aws s3
sync` and `s5cmd sync` take for it. They have to be installed already: no package is fetched here.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

Row = tuple[str, str, str, str]

FILES, BYTES = 10_000, 4_000
PAGES = 100
"""How many of them are pages of HTML; all of these change with a deploy."""
LATENCY_S = 0.02
RUNS = 3
_RULES = """version = 1
project = "bench"
[environments.dev]
regions = ["eu-west-1"]
[targets.www]
kind = "site"
source = "dist"
bucket = "{bucket}"
[[rules]]
name = "site"
paths = ["dist/**"]
deploy = ["www"]
"""


class Cost:
    """Seconds on the clock and of the processor, one of each for a run."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def add(self, folder: Path, env: Mapping[str, str], command: Sequence[str]) -> None:
        """Run a program to its end. Raises CalledProcessError where it fails."""
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert child.stderr is not None
        complaint = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(used.ru_utime + used.ru_stime)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command, stderr=complaint)

    def __str__(self) -> str:
        return f"{_median(self.wall):.1f} s ({_median(self.cpu):.1f} s of processor time)"


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def rows(folder: Path, toolkit: Sequence[str], rivals: Path | None) -> Iterator[Row]:
    """`rivals` is a folder with the programs aws and s5cmd; None leaves them out."""
    with _stub() as port:
        site = _Site(folder, toolkit, port)
        first, again, changed, back = Cost(), Cost(), Cost(), Cost()
        theirs = {name: (Cost(), Cost()) for name in ("aws s3 sync", "s5cmd sync") if rivals}
        for run in range(RUNS):
            site.use_bucket(f"ours{run}")
            first.add(site.repo, site.env, site.deploy)
            again.add(site.repo, site.env, site.deploy)
            for name, (full, second) in theirs.items():
                command = _rival(rivals, name, run)
                full.add(site.repo, site.env, command)
                second.add(site.repo, site.env, command)
            site.change_pages(f"run {run}")
            changed.add(site.repo, site.env, site.deploy)
            back.add(site.repo, site.env, [*toolkit, "rollback", "www", "--yes"])
    yield (
        f"`deploy-site`, {FILES:,} files of {BYTES // 1000} kB, 20 ms a call",
        str(first),
        _against(first, {name: costs[0] for name, costs in theirs.items()}),
        "at most 0.45 of aws's time, 0.6 of its processor time",
    )
    yield (
        "the same, nothing has changed",
        str(again),
        _against(again, {name: costs[1] for name, costs in theirs.items()}),
        "at most 1/4 of s5cmd's time",
    )
    yield (f"`deploy-site`, {PAGES} pages of {FILES:,} files have changed", str(changed), "", "")
    yield ("`rollback` of that", str(back), "", "at most 3 s")


def _against(ours: Cost, theirs: Mapping[str, Cost]) -> str:
    """What others take, and what part of that ours is."""
    words = [f"`{name}` {cost}: {_ratio(ours, cost)}" for name, cost in theirs.items()]
    return "; ".join(words) or "not measured"


def _ratio(ours: Cost, theirs: Cost) -> str:
    wall = _median([a / b for a, b in zip(ours.wall, theirs.wall, strict=True)])
    cpu = _median([a / b for a, b in zip(ours.cpu, theirs.cpu, strict=True)])
    return f"**{wall:.2f}** of its time, **{cpu:.2f}** of its processor time"


def _rival(rivals: Path | None, name: str, run: int) -> list[str]:
    assert rivals is not None
    if name.startswith("aws"):
        program = [str(rivals / "aws"), "s3", "sync", "--only-show-errors", "dist/"]
        return [*program, f"s3://aws{run}/"]
    return [str(rivals / "s5cmd"), "--log", "error", "sync", "dist/", f"s3://s5cmd{run}/"]


@contextmanager
def _stub() -> Iterator[int]:
    """The port of the bucket's server."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.s3_stub", str(LATENCY_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait()


class _Site:
    """A repository with a built site."""

    def __init__(self, folder: Path, toolkit: Sequence[str], port: int) -> None:
        self.repo = folder / "repo"
        self.deploy = [*toolkit, "deploy-site", "www", "--yes", "-q"]
        url = f"http://127.0.0.1:{port}"
        self.env = {
            **os.environ,
            "AWS_ENDPOINT_URL": url,
            "S3_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "111111111111",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "TOOLKIT_STATE_DIR": str(folder / "state"),
        }
        chance = Random(1)
        for number in range(FILES - PAGES):
            path = self.repo / "dist" / "assets" / f"{number % 100}" / f"f{number}.js"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(BYTES))
        self._git("init", "-q", "-b", "main")
        self.change_pages("first")

    def use_bucket(self, name: str) -> None:
        """Deploy to an empty bucket from now on."""
        (self.repo / "rules.toml").write_text(_RULES.format(bucket=name))
        self._commit(f"bucket {name}")

    def change_pages(self, text: str) -> None:
        """Another content for every page."""
        for number in range(PAGES):
            page = self.repo / "dist" / f"p{number}.html"
            if number == 0:
                page = self.repo / "dist" / "index.html"
            page.write_text(f"<title>{text} {number}</title>" + "x" * BYTES)
        self._commit(text)

    def _commit(self, message: str) -> None:
        self._git("add", "-A")
        self._git("-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", message)

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.repo, check=True)
