"""Prints what toolkit costs, each figure beside what it is measured against, taken in turn in the
same run.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from benchmarks import (
    deploys,
    example,
    functions,
    growth,
    health,
    observe,
    others,
    records,
    repository,
    schedule,
    sites,
    templates,
)
from benchmarks.timing import interleaved, ms
from toolkit.impact.matcher import Matcher

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- measured -->\n", "<!-- end -->\n")
BARE = [sys.executable, "-I", "-c", "pass"]
TOOLKIT = [str(Path(sys.executable).with_name("toolkit"))]

MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Prints the seconds and the KiB of a command."""

Row = tuple[str, str, str, str]
"""What, the figure, what it is measured against, and the goal."""


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    parser.add_argument("--runs", type=int, default=21, help="runs of each small command")
    parser.add_argument("--history", type=Path, help="also replay the history of this repository")
    parser.add_argument(
        "--others", type=Path, metavar="DIR", help="a node_modules folder that has turbo and nx"
    )
    parser.add_argument(
        "--rivals", type=Path, metavar="DIR", help="a folder of programs with aws and s5cmd"
    )
    parser.add_argument(
        "--cdk", type=Path, metavar="DIR", help="a node_modules folder that has aws-cdk"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        more = (asked.history, asked.others, asked.rivals, asked.cdk)
        text = table(list(rows(Path(folder), asked.runs, *more)))
    print(text)
    if asked.write:
        before, _, rest = PAGE.read_text().partition(MARKS[0])
        PAGE.write_text(before + MARKS[0] + text + "\n" + MARKS[1] + rest.partition(MARKS[1])[2])


def table(found: Sequence[Row]) -> str:
    """The rows and the machine as Markdown."""
    git = subprocess.run(
        ["git", "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    machine = (
        f"{_cpu()}, {os.cpu_count()} cores, {platform.system()}, Python"
        f" {platform.python_version()}, {git}, {time.strftime('%Y-%m-%d')}"
    )
    lines = [
        "| what | measured | against | goal |",
        "| --- | --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in found),
    ]
    return "\n".join([f"Machine: {machine}.", "", *lines])


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def rows(
    folder: Path,
    runs: int,
    history: Path | None,
    node_modules: Path | None,
    rivals: Path | None,
    cdk: Path | None,
) -> Iterator[Row]:
    """One measurement after the other."""
    yield from diffs(folder, runs)
    yield from as_typed(folder / "files20000", runs)
    yield from records.rows(folder / "records", TOOLKIT)
    yield from growth.rows(folder / "growth", TOOLKIT)
    if node_modules is not None:
        yield from others.rows(folder / "others", TOOLKIT, node_modules)
    yield from matching()
    yield from many_paths(folder)
    yield from scheduling()
    yield from replay(repository.long_history(folder / "history", 10_000), "generated")
    yield from deploys.rows(folder / "deploys", TOOLKIT)
    yield from functions.rows(folder / "functions", TOOLKIT)
    yield from health.rows(folder / "health", TOOLKIT)
    yield from sites.rows(folder / "sites", TOOLKIT, rivals)
    yield from templates.rows(folder / "templates", TOOLKIT)
    packages = ROOT / ".cache" / "bundlers"
    yield from observe.rows(folder / "observe", TOOLKIT, packages if packages.exists() else None)
    if cdk is not None:
        yield from example.rows(folder / "example", TOOLKIT, cdk)
    if history is not None:
        yield from replay(history, history.name)


def diffs(folder: Path, runs: int) -> Iterator[Row]:
    """`diff --json --committed` on 20,000 and 100,000 files with 200 rules."""
    ratios: dict[tuple[int, str], float] = {}
    for files in (20_000, 100_000):
        repo = repository.make(folder / f"files{files}", files)
        for branch, name, goal in (
            ("one", "1 changed file", 8),
            ("thousand", "1,000 changed files", 11),
        ):
            repository.git(repo, "checkout", "-q", branch)
            ours, bare, git = interleaved(
                repo,
                runs,
                [*TOOLKIT, "diff", "--json", "--committed", "base"],
                BARE,
                ["git", "diff", "--name-status", "-z", "base", "HEAD"],
            )
            ratio = ratios[files, branch] = statistics.median(
                a / b for a, b in zip(ours, bare, strict=True)
            )
            growth = (
                f", {ratio / ratios[20_000, branch] - 1:+.0%} to 20,000 files"
                if files > 20_000
                else ""
            )
            yield (
                f"`diff --json --committed`, {files:,} files, {name}",
                f"{ms(ours)}: **{ratio:.1f}x** the interpreter{growth}",
                f"`python -I -c pass` {ms(bare)}, `git diff` {ms(git)}",
                f"at most {goal}x" if files == 20_000 else "within 15 % of 20,000 files",
            )


def as_typed(repo: Path, runs: int) -> Iterator[Row]:
    """`diff BASE` on a terminal, 200 rules; what is printed without a repository being read."""
    repository.git(repo, "checkout", "-q", "one")
    status = ["git", "status", "--porcelain"]
    ours, git = interleaved(repo, runs, [*TOOLKIT, "diff", "base"], status)
    ratio = statistics.median(a / b for a, b in zip(ours, git, strict=True))
    yield (
        "`diff BASE`, text, working tree of 20,000 files",
        f"{ms(ours)}: **{ratio:.1f}x** git",
        f"`git status --porcelain` {ms(git)}",
        "at most 2.5x",
    )
    words = {"_TOOLKIT_COMPLETE": "bash", "_TOOLKIT_WORDS": "toolkit\ndeploy\n"}
    completion = {**os.environ, **words, "_TOOLKIT_CURRENT": "2"}
    for what, command, env, goal in (
        ("`toolkit --help`", [*TOOLKIT, "--help"], None, 4),
        ("`toolkit deploy --help`", [*TOOLKIT, "deploy", "--help"], None, 8),
        ("completion of 40 targets", TOOLKIT, completion, 6),
    ):
        ours, bare = interleaved(repo, runs, command, BARE, env=env)
        ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        yield (
            what,
            f"{ms(ours)}: **{ratio:.1f}x** the interpreter",
            f"`python -I -c pass` {ms(bare)}",
            f"at most {goal}x",
        )


def matching() -> Iterator[Row]:
    """Paths a second through the matcher: 100,000 paths, 100 rules of the usual shapes."""
    paths = [
        f"pkg{at % 130}/{('src', 'lib', 'test')[at % 3]}/mod{at % 31}/"
        f"file{at}{('.py', '.ts', '.md', '')[at % 4]}"
        for at in range(100_000)
    ]
    lists = [[f"pkg{at}/src/**"] for at in range(70)] + [[f"pkg{at}/**/*.py"] for at in range(10)]
    lists += [
        [f"**/{name}"]
        for name in (
            "Dockerfile",
            "*.tf",
            "go.mod",
            "*.md",
            "*.yml",
            "Makefile",
            "*.sh",
            "*.test.ts",
            "x/**",
            "y/**",
        )
    ]
    lists += [
        [name]
        for name in (
            "*.md",
            "go.*",
            "Makefile",
            "a/*/b/*.ts",
            "a/{b,c}/**",
            "docs/*.md",
            "s/x.sh",
            "pkg1/*",
            "lib/**/t_*",
            "i/*.tf",
        )
    ]
    ours = best(5, lambda: _match_all(Matcher(lists).match, paths))
    loop = best(5, lambda: _touch_all(paths))
    yield (
        "matching, 100 rules, 100,000 paths",
        f"**{len(paths) / ours:,.0f} paths/s**",
        f"the same loop around `str.rfind`: {len(paths) / loop:,.0f} paths/s",
        "at least 300,000 paths/s",
    )


def _match_all(match: Callable[[str], object], paths: Sequence[str]) -> None:
    for path in paths:
        match(path)


def _touch_all(paths: Sequence[str]) -> None:
    for path in paths:
        path.rfind("/")


def best(runs: int, work: Callable[[], None]) -> float:
    """The least seconds that the work took."""
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def many_paths(folder: Path) -> Iterator[Row]:
    """110,000 changed paths in one diff: time and memory of the whole process."""
    repo = repository.many_changes(folder / "many", 110_000)
    # From a small process: Linux counts what the one that starts it takes.
    command = [sys.executable, "-c", MEASURE, *TOOLKIT, "diff", "--json", "--committed", "base"]
    done = subprocess.run(command, cwd=repo, check=True, capture_output=True, text=True)
    seconds, most = map(float, done.stdout.split())
    (git,) = interleaved(repo, 3, ["git", "diff", "--name-status", "-z", "base", "HEAD"])
    yield (
        "`diff --json --committed`, 110,000 changed paths",
        f"**{seconds:.2f} s, {most / 1024:.0f} MB**",
        f"`git diff` {statistics.median(git) * 1000:.0f} ms",
        "under 3 s and 300 MB",
    )


def scheduling() -> Iterator[Row]:
    """Plans of steps that only sleep, as many at a time as may; and of steps that do nothing. A
    step is measured whole: its thread, its looks, its events; its journal, where that is said.
    """
    chance = Random(1)
    world = schedule.regions(3, 5, 20, chance)
    for steps in (10, 100, 1000, 2000):
        yield _scheduled("chain", schedule.chain(steps), chance)
        yield _scheduled("diamonds", schedule.diamonds(steps), chance)
        yield _scheduled("layers", schedule.layers(steps, chance), chance)
    yield _scheduled("3 accounts x 5 regions x 20 stacks", world, chance)
    yield _scheduled("chain, with its journal", schedule.chain(100), chance, 30.0)
    yield _scheduled("3 accounts x 5 regions x 20 stacks, with its journal", world, chance, 30.0)
    plan = schedule.layers(1000, chance)
    for parallel in (1, 8, 1000):
        seconds = min(schedule.bare(plan, parallel) for _ in range(5))
        yield (
            f"1,000 whole steps that do nothing, {parallel:,} at a time",
            f"**{1000 / seconds:,.0f} steps/s**",
            "",
            "",
        )


def _scheduled(
    name: str, plan: schedule.Plan, chance: Random, journaled_s: float | None = None
) -> Row:
    """A plan of 3 s, or one of `journaled_s` whose journal is written."""
    takes = schedule.durations(plan, chance, journaled_s or 3.0)
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        took, critical = schedule.overhead(plan, takes, folder if journaled_s else None)
    return (
        f"a run of {len(plan):,} whole steps ({name}), all that may at a time",
        f"{took:.3f} s: **{took / critical - 1:+.2%}**",
        f"its critical path {critical:.3f} s",
        "at most 2 %" if journaled_s else "at most 2 %, or 1 ms a step",
    )


def replay(repo: Path, name: str) -> Iterator[Row]:
    """`rules replay --json` over the newest 10,000 first-parent commits; what git itself takes for
    them is taken off.
    """
    rules = repo / "rules.toml"
    if not rules.exists():
        rules = Path(tempfile.mkdtemp(prefix="toolkit-bench-rules-")) / "rules.toml"
        rules.write_text(repository.rules())
    ask = [
        "--first-parent",
        "--diff-merges=first-parent",
        "--format=%H",
        "--raw",
        "-z",
        "--no-renames",
        "--no-abbrev",
        "--max-count=10000",
    ]
    ours, git = interleaved(
        repo,
        5,
        [*TOOLKIT, "rules", "replay", "--json", "-n", "10000", "--rules", str(rules)],
        ["git", "log", *ask, "HEAD"],
    )
    counted = subprocess.run(
        ["git", "rev-list", "--count", "--first-parent", "--max-count=10000", "HEAD"],
        cwd=repo,
        capture_output=True,
        check=True,
    )
    commits = int(counted.stdout)
    own = statistics.median(a - b for a, b in zip(ours, git, strict=True))
    if rules.parent != repo:
        shutil.rmtree(rules.parent)
    yield (
        f"`rules replay`, {commits:,} first-parent commits ({name})",
        f"{ms(ours)}; after git's own time **{commits / max(own, 0.001):,.0f} commits/s**",
        f"`git log --raw` {ms(git)}",
        "at least 5,000 commits/s",
    )


main()
