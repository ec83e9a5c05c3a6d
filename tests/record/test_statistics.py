"""How long runs took and how many went well: what has no known end counts neither way."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.run import Toolkit
from toolkit.record.journal import EntryState, Journal
from toolkit.record.state import Store, open_store
from toolkit.record.statistics import Period, ReadRun, Row, local_runs, statistics
from toolkit.show import statistics as show

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


class At:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def elapsed(self) -> float:
        return 0.0

    def wait(self, seconds: float, wake: object = None) -> bool:
        return False


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    return open_store("stats", str(tmp_path))


@pytest.fixture
def run(store: Store) -> Callable[..., None]:
    numbers = iter(range(10_000))

    def write(
        days_ago: float, verdict: str, took: Any = 10.0, code: int | None = 0, **job: Any
    ) -> None:
        clock = At()
        clock.moment = NOW - timedelta(days=days_ago)
        facts = {"step": "app", "target": "app", "action": "deploy", **job}
        facts.setdefault("place", {"environment": "dev"})
        name = f"run-{next(numbers)}"
        opened = Journal.create(store, name, {"jobs": [facts]}, clock)
        step = str(facts["step"])
        opened.append(EntryState.INTENT, step)
        if verdict:
            opened.append(EntryState.OUTCOME, step, verdict=verdict, took_s=took)
        clock.moment += timedelta(seconds=2 * took if isinstance(took, float) else 0)
        if code is not None:
            opened.append(EntryState.END, exit=code)
        opened.close()

    return write


def rows(store: Store, environment: str | None = None) -> dict[str, Row]:
    return {row.name: row for row in statistics(local_runs([store]), NOW, environment).rows}


def counts(period: Period) -> tuple[int, int, int]:
    return period.good, period.bad, period.unknown


def test_runs_and_phases_are_counted_in_their_own_month(
    store: Store, run: Callable[..., None]
) -> None:
    run(1, "succeeded", 10.0)
    run(2, "succeeded", 30.0)
    run(3, "failed", 5.0, 1)
    run(4, "succeeded", 7.0, step="app:build", action="build")
    run(31, "succeeded", 100.0)
    run(61, "succeeded", 1000.0)
    actual = rows(store)
    assert next(iter(actual)) == "all runs"
    assert counts(actual["all runs"].now) == (3, 1, 0)
    assert actual["all runs"].now.success == 0.75
    assert sorted(actual["all runs"].now.took_s) == [14.0, 20.0, 60.0]
    app = actual["app deploy"]
    assert (counts(app.now), app.now.median_s, app.now.p90_s) == ((2, 1, 0), 20.0, 30.0)
    assert (counts(app.before), app.before.median_s) == ((1, 0, 0), 100.0)
    assert counts(actual["app build"].now) == (1, 0, 0)


def test_what_has_no_known_end_or_changed_nothing_counts_neither_way(
    store: Store, run: Callable[..., None]
) -> None:
    run(1, "in-doubt", 10.0, 5)
    run(1, "", 10.0, None)  # interrupted
    run(1, "unchanged", 1.0)
    run(1, "cancelled", 1.0, 130)
    run(1, "superseded", 1.0, 0)
    actual = rows(store)
    assert counts(actual["all runs"].now) == (0, 0, 2)
    assert actual["all runs"].now.success is None
    assert counts(actual["app deploy"].now) == (0, 0, 1)


def resumed(store: Store, name: str = "resumed") -> None:
    """A run that was killed, whose step was in doubt, and that another process has ended."""
    clock = At()
    clock.moment = NOW - timedelta(days=1)
    job = {"step": "app", "target": "app", "action": "deploy", "place": {"environment": "dev"}}
    opened = Journal.create(store, name, {"jobs": [job], "pid": 1}, clock)
    opened.append(EntryState.INTENT, "app")
    opened.append(EntryState.OUTCOME, "app", verdict="in-doubt", took_s=10.0)
    clock.moment += timedelta(hours=8)
    opened.append(EntryState.NOTE, pid=2)
    opened.append(EntryState.OUTCOME, "app", verdict="succeeded", took_s=28_810.0)
    opened.append(EntryState.END, exit=0)
    opened.close()


def test_a_resumed_step_counts_once_and_its_pause_is_no_duration(store: Store) -> None:
    resumed(store)
    actual = rows(store)
    assert counts(actual["app deploy"].now) == (1, 0, 0)
    assert actual["app deploy"].now.took_s == []
    assert counts(actual["all runs"].now) == (1, 0, 0)
    assert actual["all runs"].now.took_s == []


def test_the_longest_journal_of_a_run_counts_and_once(store: Store) -> None:
    """This machine was killed, and a colleague has ended the run."""
    resumed(store)
    [whole] = local_runs([store])
    mine = ReadRun(whole.name, whole.entries[:3])
    for order in ([mine, whole], [whole, mine]):
        every, step = statistics(order, NOW).rows
        assert (counts(every.now), counts(step.now)) == ((1, 0, 0), (1, 0, 0))


def test_each_phase_of_a_step_has_a_row(store: Store) -> None:
    clock = At()
    job = {"step": "app", "target": "app", "action": "deploy", "place": {"environment": "dev"}}
    for number, rollout_s in enumerate((30.0, 60.0, "long")):
        opened = Journal.create(store, f"phased-{number}", {"jobs": [job]}, clock)
        phases = {"apply": 2.0, "rollout": rollout_s}
        opened.append(EntryState.OUTCOME, "app", verdict="succeeded", took_s=90.0, phases=phases)
        opened.append(EntryState.END, exit=0)
        opened.close()
    actual = rows(store)
    assert list(actual) == ["all runs", "app deploy", "app deploy: apply", "app deploy: rollout"]
    rollout = actual["app deploy: rollout"].now
    assert (counts(rollout), rollout.median_s, rollout.p90_s) == ((3, 0, 0), 45.0, 60.0)


def test_one_environment_is_one_environment(store: Store, run: Callable[..., None]) -> None:
    run(1, "succeeded", 10.0)
    run(1, "failed", 10.0, 1, place={"environment": "prod"})
    assert counts(rows(store, "prod")["all runs"].now) == (0, 1, 0)
    assert counts(rows(store, "dev")["app deploy"].now) == (1, 0, 0)


def test_damaged_journals_and_times_that_are_none_are_not_counted(
    store: Store, run: Callable[..., None]
) -> None:
    run(1, "succeeded", "soon")
    run(1, "succeeded", -5.0)
    Path(store.path("runs", "run-9.jsonl")).write_text("{}\n")
    actual = statistics(local_runs([store]), NOW)
    assert actual.unreadable == 1
    assert {row.name: row.now.took_s for row in actual.rows}["app deploy"] == []
    text = show.text(actual.rows, 30, actual.unreadable)
    assert "1 journal could not be read: not counted." in text


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_half_took_at_most_the_median_and_nine_of_ten_at_most_p90(times: list[float]) -> None:
    period = Period(took_s=times)
    median_s, p90_s = period.median_s, period.p90_s
    assert median_s is not None
    assert p90_s is not None
    assert sum(time <= median_s for time in times) >= len(times) / 2
    assert sum(time <= p90_s for time in times) >= 0.9 * len(times)
    assert p90_s in times


def test_the_table_fits_and_never_rounds_up_to_everything() -> None:
    row = Row("a-rather-long-target deploy", Period(good=999, bad=1, took_s=[100.0]), Period())
    text = show.text([row], 30)
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[-1].split()[2:] == ["1000", "99", "%", "1m40s", "1m40s", "-", "-", "-"]
    unsure = Row("all runs", Period(unknown=2), Period())
    assert "2 runs with no known end: counted neither way." in show.text([unsure], 30)


def test_the_command_shows_what_is_known(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.toml").write_text('version = 1\nproject = "stats"\n')
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    answer = toolkit(tmp_path, "history", "--stats")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("The last 30 days, and as many days before, by the journals")
    document = toolkit(tmp_path, "history", "--stats", "--json").json
    nothing = {"good": 0, "bad": 0, "unknown": 0, "success": None, "median_s": None, "p90_s": None}
    assert document["statistics"] == [{"name": "all runs", "now": nothing, "before": nothing}]
    assert (document["sources"], document["problems"]) == (["this machine"], [])
