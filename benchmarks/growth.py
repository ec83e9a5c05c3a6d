"""How costs grow: each thing at several sizes, and the exponent between the smallest and the
largest (1.00: twice as much takes twice as long).
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import toolkit.cli  # noqa: F401 (how it sets the garbage collector is a part of it)
from benchmarks import records, repository
from toolkit.flow.rulebook import read_rules, rule_book
from toolkit.model import Change, ChangeStatus
from toolkit.operations import RunStatus
from toolkit.ports.clock import SystemClock
from toolkit.record import history, journal
from toolkit.record.journal import EntryState, Journal
from toolkit.record.state import open_store

Row = tuple[str, str, str, str]


def rows(folder: Path, toolkit: Sequence[str]) -> Iterator[Row]:
    """One row for each thing that grows."""
    yield from old_runs(folder / "runs")
    yield from rules()
    yield from recorded_commits(folder / "commits", toolkit)
    yield from files(folder / "files", toolkit)


def row(what: str, sizes: Sequence[int], seconds: Sequence[float]) -> Row:
    """The times at these sizes, and the exponent."""
    exponent = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
    each = ", ".join(
        f"{size:,}: {took * 1000:.0f} ms" for size, took in zip(sizes, seconds, strict=True)
    )
    return (what, f"{each}: exponent **{exponent:.2f}**", "", "at most 1.1")


def least(work: Callable[[], object], runs: int = 5) -> float:
    """The least seconds that the work took."""
    times: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def old_runs(folder: Path) -> Iterator[Row]:
    """What `diff` and `history` read of runs that ended, once the index is written."""
    sizes = (500, 5_000, 50_000)
    unfinished: list[float] = []
    newest: list[float] = []
    os.environ["TOOLKIT_STATE_DIR"] = str(folder)
    folder.mkdir(parents=True)
    for size in sizes:
        store = open_store(f"bench{size}", str(folder))
        created = Journal.create(store, "run-000000", {"command": ["toolkit"]}, SystemClock())
        created.append(EntryState.END, exit=0)
        created.close()
        entries = journal.read(store, "run-000000")
        for number in range(1, size):
            run = f"run-{number:06}"
            lines = [journal._encode(entry, run) for entry in entries]
            Path(created.path).with_name(f"{run}.jsonl").write_bytes(b"".join(lines))
        assert all(run.status == RunStatus.SUCCEEDED for run in history.runs(store, size))
        unfinished.append(least(lambda store=store: history.unfinished(store)))  # type: ignore[misc]
        newest.append(least(lambda store=store: history.runs(store, 20)))  # type: ignore[misc]
    del os.environ["TOOLKIT_STATE_DIR"]
    yield row("looking for runs that did not end, of so many old runs", sizes, unfinished)
    yield row("the newest 20 runs, of so many old runs", sizes, newest)


def rules() -> Iterator[Row]:
    """Reading rules.toml, and matching 10,000 paths."""
    sizes = (500, 2_000, 10_000)
    reading: list[float] = []
    matching: list[float] = []
    for size in sizes:
        text = short_rules(size).encode()
        reading.append(least(lambda text=text: read_rules(text, "rules.toml")))  # type: ignore[misc]
        book = rule_book(read_rules(text, "rules.toml"))
        changes = [Change(path, ChangeStatus.MODIFIED) for path in repository.paths(10_000)]
        start = time.perf_counter()
        for change in changes:
            book.matching(change)
        matching.append(time.perf_counter() - start)
    yield row("reading rules.toml with so many rules", sizes, reading)
    yield row("matching 10,000 paths against so many rules", sizes, matching)


def short_rules(count: int) -> str:
    """So many rules for a hundred targets: 10,000 of the usual ones would not fit into 1 MiB."""
    targets = [
        f'[targets.t{number}]\nkind = "stack"\nstack = "S{number}"\ncdk = "cdk"\n'
        for number in range(100)
    ]
    rules = [
        f'[[rules]]\nname = "{number}"\npaths = ["packages/p{number:03}/src/**"]\n'
        f'deploy = ["t{number % 100}"]\n'
        for number in range(count)
    ]
    return "".join(['version = 1\nproject = "bench"\n', *targets, *rules])


def files(folder: Path, toolkit: Sequence[str]) -> Iterator[Row]:
    """`diff --json --committed` of one changed file among so many."""
    sizes = (10_000, 100_000, 1_000_000)
    seconds: list[float] = []
    for size in sizes:
        repo = repository.make(folder / str(size), size, checked_out=False)

        def run(repo: Path = repo) -> None:
            command = [*toolkit, "diff", "--json", "--committed", "base"]
            subprocess.run(command, cwd=repo, stdout=subprocess.DEVNULL, check=True)

        seconds.append(least(run))
    yield row("`diff --json --committed`, 1 changed file among so many", sizes, seconds)


def recorded_commits(folder: Path, toolkit: Sequence[str]) -> Iterator[Row]:
    """`diff` with so many targets that were deployed at as many commits. The work is the number of
    differences, which grows with the square of it.
    """
    sizes = (50, 100, 200)
    seconds: list[float] = []
    for size in sizes:
        repo, commits = repository.deployed(folder / str(size), 5_000, size)
        env = records.state(folder / f"state{size}", [*commits, *commits[-1:] * (200 - size)])

        def run(repo: Path = repo, env: dict[str, str] = env) -> None:
            command = [*toolkit, "diff", "--json", "--committed"]
            subprocess.run(command, cwd=repo, env=env, stdout=subprocess.DEVNULL, check=True)

        seconds.append(least(run))
    what = "`diff --json --committed`, 200 targets deployed at so many of 50 to 200 commits"
    yield row(what, sizes, seconds)


def main() -> None:
    """Only this."""
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        for found in rows(Path(folder), [str(Path(sys.executable).with_name("toolkit"))]):
            print(" | ".join(found), flush=True)


if __name__ == "__main__":
    main()
