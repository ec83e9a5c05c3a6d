"""A small load, by a real locust in a child: its figures, and how they stand against the last good
run.
"""

import time
from pathlib import Path

import pytest

from tests.flow.test_smoke import Site, site, words
from toolkit.checks.load import LastLoad, load_mismatches
from toolkit.errors import UsageError
from toolkit.model import Load
from toolkit.operations import Mismatch
from toolkit.ports.load import LoadFigures, percentile

assert site  # the fixture

LOAD = """
[checks.up]
http = "GET {path}"
load = {{ users = 3, time = "2s", worse = 1.5 }}
"""


def test_a_load_has_its_figures_and_the_next_one_is_held_against_them(site: Site) -> None:
    smoked = site.smoke(LOAD.format(path="/"), load=True)
    assert words(smoked) == {"up": "passed", "up (load)": "passed"}
    first = smoked.results[1]
    assert (
        first.figures["requests"] > 20,
        first.figures["errors"],
        0 < first.figures["p50_ms"] <= first.figures["p99_ms"],
    ) == (
        True,
        0,
        True,
    )
    assert site.calls.count("GET /") == first.figures["requests"] + 1
    assert "(was " not in first.detail
    again = site.smoke(LOAD.format(path="/").replace("1.5", "500"), load=True).results[1]
    assert "(was " in again.detail


@pytest.mark.slow("locust")
def test_a_load_with_errors_fails_and_says_how_many(site: Site) -> None:
    """Every third answer is good: the check passes at its third try, the load meets the bad
    ones.
    """
    bad = site.smoke(LOAD.format(path="/every-third") + 'retry = "9s"\n', load=True)
    assert words(bad) == {"up": "passed", "up (load)": "failed"}
    assert (bad.results[1].misses[0].what, bad.results[1].figures["errors"] > 2) == ("errors", True)


@pytest.mark.slow("locust")
def test_a_status_that_is_expected_is_no_error(site: Site) -> None:
    smoked = site.smoke(LOAD.format(path="/status/503") + "expect.status = 503\n", load=True)
    assert words(smoked) == {"up": "passed", "up (load)": "passed"}


def test_without_a_check_that_wants_a_load_it_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="none of these checks has `load`"):
        site.smoke('[checks.up]\nhttp = "GET /"\n', load=True)


def test_a_load_of_a_check_that_did_not_pass_is_not_begun(site: Site) -> None:
    smoked = site.smoke(LOAD.format(path="/status/500"), load=True)
    assert words(smoked) == {"up": "failed", "up (load)": "skipped"}
    assert site.calls == ["GET /status/500"]


def test_no_secret_is_in_the_arguments_or_the_files_of_the_child(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOAD_WORD", "open-sesame-77")
    from threading import Thread

    chunks: list[bytes] = []

    def watch() -> None:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    chunks.append(path.read_bytes())
                except OSError:
                    continue
            time.sleep(0.05)

    watcher = Thread(target=watch)
    watcher.start()
    secret = '[secrets.word]\nenv = "LOAD_WORD"\n'
    smoked = site.smoke(
        secret + LOAD.format(path="/") + 'headers = { Authorization = "Bearer {word}" }\n',
        load=True,
    )
    watcher.join()
    assert smoked.status == "passed"
    assert any(b"locust" in item for item in chunks)
    assert not any(b"open-sesame-77" in item for item in chunks)
    receipt = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert receipt
    assert not any(b"open-sesame-77" in path.read_bytes() for path in receipt)


FINE = LoadFigures(requests=100, errors=0, seconds=10, p50=20, p95=40, p99=60)
WANTED = Load(5, 10, 1.5, 0.0)


@pytest.mark.parametrize(
    ("before", "bad"),
    [
        (None, []),
        (LastLoad(20, 40, 60), []),
        (LastLoad(14, 27, 41), []),
        (
            LastLoad(13, 40, 60),
            [Mismatch("p50", "at most 20ms (1.5 times the last good run's 13ms)", "20ms")],
        ),
        (LastLoad(16, 38, 58), []),
    ],
)
def test_slower_by_more_than_the_factor_is_worse(
    before: LastLoad | None, bad: list[Mismatch]
) -> None:
    assert list(load_mismatches(FINE, WANTED, before)) == bad


def test_a_few_milliseconds_more_are_no_matter_whatever_the_factor() -> None:
    assert list(load_mismatches(LoadFigures(100, 0, 10, 4, 5, 6), WANTED, LastLoad(1, 1, 2))) == []


def test_the_share_of_errors_that_is_good_is_said_in_rules_toml() -> None:
    some = LoadFigures(requests=100, errors=2, seconds=10, p50=1, p95=1, p99=1, first="status 503")
    assert list(load_mismatches(some, WANTED, None)) == [
        Mismatch("errors", "at most 0.0%", "2.0%, the first: status 503")
    ]
    assert list(load_mismatches(some, Load(5, 10, 1.5, 0.05), None)) == []


def test_percentiles_are_by_nearest_rank() -> None:
    times = [float(item) for item in range(1, 101)]
    assert [percentile(times, share) for share in (0.5, 0.95, 0.99, 1.0)] == [
        50.0,
        95.0,
        99.0,
        100.0,
    ]
    assert (percentile([7.0], 0.99), percentile([], 0.5)) == (7.0, 0.0)
