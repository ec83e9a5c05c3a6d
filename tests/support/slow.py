"""Which tests a run leaves out, and what it says of it.

`--quick` leaves out what has the mark `slow`, and tells at its end how much that is, and why.
`--complete` leaves out nothing: a test that would be skipped since a program is not here fails.
With neither, pytest runs what it is asked for.

The mark says why: `slow("kills")`. `slow("faults", keep=3)` on a test of many cases leaves three of
them in the quick run, drawn by their names; `slow("git", keep=9, of="file")` for a whole file
leaves nine of its cases, besides those of tests with a mark of their own.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from hashlib import sha1

import pytest

LEFT_OUT = "left_out"
"""Where a worker of xdist tells the first process what it has left out: the first one collects
nothing itself.
"""
FACTS = ("only root can", "root reads every file", "the oracle is not here", "draft leaves nothing")
"""Reasons for skipping that no program could help: facts of the machine or of the case."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("toolkit")
    group.addoption("--quick", action="store_true", help="leave out what has the mark `slow`")
    group.addoption(
        "--complete", action="store_true", help="a program that is missing is a failure"
    )


def pytest_configure(config: pytest.Config) -> None:
    """What was left out in this process, or in the workers."""
    config.stash[_LEFT_OUT] = Counter[tuple[str, str]]()
    if config.getoption("--quick"):
        # Those of tests that are left out are not unused; `--all` fails for one that really is.
        config.option.warn_unused_snapshots = True


_LEFT_OUT = pytest.StashKey[Counter[tuple[str, str]]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow."""
    if not config.getoption("--quick"):
        return
    sweeps: dict[str, list[pytest.Item]] = {}
    for item in items:
        mark = item.get_closest_marker("slow")
        if mark is not None:
            test = item.nodeid.partition("[")[0]
            of_the_file = mark.kwargs.get("of") == "file"
            sweeps.setdefault(item.location[0] if of_the_file else test, []).append(item)
    entries: list[pytest.Item] = []
    for cases in sweeps.values():
        mark = cases[0].get_closest_marker("slow")
        assert mark is not None
        gone = sorted(cases, key=_drawn)[mark.kwargs.get("keep", 0) :]
        for item in gone:
            config.stash[_LEFT_OUT][mark.args[0], item.location[0]] += 1
        entries += gone
    if entries:
        without = set(entries)
        items[:] = [item for item in items if item not in without]
        config.hook.pytest_deselected(items=entries)


def _drawn(item: pytest.Item) -> str:
    """The place of a case among those of its test: any, but the same in each run and worker."""
    return sha1(item.nodeid.encode(), usedforsecurity=False).hexdigest()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells what it has left out. All of them leave out the same."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        counts = session.config.stash[_LEFT_OUT]
        output[LEFT_OUT] = [[why, file, number] for (why, file), number in counts.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """The first process hears it."""
    notes = getattr(node, "workeroutput", {}).get(LEFT_OUT)
    if notes is not None:
        counts = Counter({(why, file): number for why, file, number in notes})
        node.config.stash[_LEFT_OUT] = counts  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In a complete run, what is missing is a failure."""
    report = yield
    if item.config.getoption("--complete") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(fact in reason for fact in FACTS):
            report.outcome = "failed"
            report.longrepr = f"left out of a complete run: {reason}"
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What was left out, and how to run it."""
    for line in summary(config.stash[_LEFT_OUT]):
        terminalreporter.write_line(line)


def summary(left_out: Counter[tuple[str, str]]) -> Iterator[str]:
    """The lines, most first."""
    if not left_out:
        return
    yield f"left out: {left_out.total()} slow tests; `scripts/test --all` runs them"
    reasons = Counter[str]()
    for (why, _), number in left_out.items():
        reasons[why] += number
    for why, number in reasons.most_common():
        yield f"  {number:5} {why}"
        of_why = Counter(
            {file: count for (second, file), count in left_out.items() if second == why}
        )
        for file, count in of_why.most_common():
            yield f"          {count:5} {file}"
