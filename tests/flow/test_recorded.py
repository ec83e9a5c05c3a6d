"""What `diff last` compares with: the last good deploy, and whether something else may be live since."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.record import KnownAws, put
from toolkit.flow.compare import Failed, Point
from toolkit.flow.recorded import reader
from toolkit.flow.rulebook import read_rules
from toolkit.ports.clock import Real
from toolkit.ports.world import World
from toolkit.record.journal import Journal
from toolkit.record.ledger import Record, Tried
from toolkit.record.state import Store, open_store

RULES = """\
version = 1
project = "p"
[environments.dev]
[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    return open_store("p", str(tmp_path))


def deployed(store: Store, at: int, verdict: str, unsure: bool = False) -> None:
    put(store, Record("app", "dev", None, commit(at), commit(at), f"f{at}", run(at), f"2026-11-20T{at}", verdict, unsure=unsure))


def commit(at: int) -> str:
    return f"{at:040}"


def run(at: int) -> str:
    return f"20261120-{at:02}0000-aaaa"


def left(store: Store, at: int, *states: str, before: int | None = None) -> None:
    job: dict[str, Any] = {"step": "app", "target": "app", "place": {"environment": "dev"}}
    if before is not None:
        job["recorded"] = {"run": run(before)}
    with_end = Journal.create(store, run(at), {"jobs": [job], "environment": "dev"}, Real())
    for state in states:
        step = None if state == "end" else "app"
        with_end.append(state, step, **({"verdict": "failed"} if state == "outcome" else {"token": "t", "call": "x", "what": {}}))
    with_end.close()


def point(store: Store) -> Point | None:
    world = World(store.folder, store.folder, Real(), lambda profile, region: KnownAws(profile, region or "eu-west-1"))
    points = reader(world, lambda words: None)("last", read_rules(RULES.encode(), "rules.toml"), "dev")
    return points["app"][0] if "app" in points else None


def test_the_last_good_deploy_is_what_to_compare_with(store: Store) -> None:
    deployed(store, 1, "succeeded")
    assert point(store) == Point(commit(1), "f1", run=run(1))


def test_what_failed_since_may_be_live(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "failed", unsure=True)
    assert point(store) == Point(commit(1), "f1", run=run(1), since=f"its last deploy (run {run(2)}) ended as failed, and may be live")


def test_what_gave_way_since_to_what_ran_is_not(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "rolled-back")
    assert point(store) == Point(commit(1), "f1", run=run(1))


def test_what_gave_way_to_what_nobody_was_sure_of_leaves_it_so(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "failed", unsure=True)
    deployed(store, 3, "rolled-back")
    found = point(store)
    assert found is not None
    assert found.since == f"its last deploy (run {run(3)}) ended as rolled-back, and may be live"


def test_a_good_deploy_ends_all_doubt(store: Store) -> None:
    deployed(store, 2, "failed", unsure=True)
    deployed(store, 3, "succeeded")
    assert point(store) == Point(commit(3), "f3", run=run(3))


def test_where_only_a_failed_deploy_is_known_nothing_can_be_compared(store: Store) -> None:
    deployed(store, 1, "failed", unsure=True)
    assert point(store) == Point(None, "", unknown=f"its last deploy (run {run(1)}) ended as failed, and may be live")


OPEN = "run {} has begun to deploy it, and its end is not known (toolkit resume)"


def test_a_run_that_has_begun_since_may_be_live(store: Store) -> None:
    deployed(store, 1, "succeeded")
    left(store, 2, "intent")
    assert point(store) == Point(commit(1), "f1", run=run(1), since=OPEN.format(run(2)))


def test_a_run_that_has_begun_where_nothing_is_recorded_leaves_nothing_to_compare_with(store: Store) -> None:
    left(store, 2, "intent")
    assert point(store) == Point(None, "", unknown=OPEN.format(run(2)))


@pytest.mark.parametrize("states", [(), ("intent", "outcome"), ("intent", "outcome", "end")])
def test_a_run_that_has_begun_nothing_or_knows_how_that_ended_is_no_reason(store: Store, states: tuple[str, ...]) -> None:
    deployed(store, 1, "succeeded")
    left(store, 2, *states)
    assert point(store) == Point(commit(1), "f1", run=run(1))


def test_a_run_that_was_left_before_the_last_deploy_is_no_reason(store: Store) -> None:
    left(store, 1, "intent")
    deployed(store, 2, "succeeded")
    assert point(store) == Point(commit(2), "f2", run=run(2))


def test_a_run_of_a_machine_whose_clock_is_slow_may_be_live_all_the_same(store: Store) -> None:
    """Its name says that it began before the deploy that it knew of."""
    deployed(store, 5, "succeeded")
    left(store, 2, "intent", before=5)
    assert point(store) == Point(commit(5), "f5", run=run(5), since=OPEN.format(run(2)))


def test_a_run_is_over_once_somebody_has_deployed_after_it_whatever_the_clocks_say(store: Store) -> None:
    deployed(store, 5, "succeeded")
    left(store, 9, "intent", before=5)
    deployed(store, 6, "succeeded")
    assert point(store) == Point(commit(6), "f6", run=run(6))


def test_a_deploy_that_failed_after_it_does_not_say_that_a_run_is_over(store: Store) -> None:
    deployed(store, 5, "succeeded")
    left(store, 2, "intent", before=5)
    deployed(store, 6, "rolled-back")
    assert point(store) == Point(commit(5), "f5", run=run(5), since=OPEN.format(run(2)))


def test_a_name_in_place_of_a_commit_is_nothing_to_compare_with(store: Store) -> None:
    """A colleague's record could name HEAD, which is always up to date."""
    put(store, Record("app", "dev", None, "HEAD", "HEAD", "f", run(1), "2026-11-20T1", "succeeded"))
    found = point(store)
    assert found is not None
    assert found.unknown == "what is live of it (HEAD) is not a commit"


def tried(store: Store, at: int, verdict: str, *, back: bool = False) -> None:
    """A run that was to deploy commit `at`, and after which commit 1 is live."""
    record = Record(
        "app", "dev", None, commit(1), commit(1), "f1", run(at), f"2026-11-20T{at}", verdict,
        tried=Tried(commit(at), f"f{at}", f"s{at}"), detail={"action": "rollback"} if back else {},
    )  # fmt: skip
    put(store, record)


@pytest.mark.parametrize(
    ("verdict", "ended"),
    [("rolled-back", "failed and was rolled back"), ("failed", "failed"), ("unhealthy", "was unhealthy")],
)
def test_what_a_run_tried_that_did_not_go_well_is_known(store: Store, verdict: str, ended: str) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, verdict)
    found = point(store)
    assert found is not None
    assert found.failed == Failed(run(2), ended, commit(2), "f2", "s2")


def test_what_a_run_tried_is_known_after_it_has_put_back_what_ran(store: Store) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, "unhealthy")
    back = Record("app", "dev", None, commit(1), commit(1), "f1", run(2), "2026-11-20T3", "succeeded", detail={"action": "rollback"})
    put(store, back)
    found = point(store)
    assert found is not None
    assert (found.run, found.failed) == (run(2), Failed(run(2), "failed and was rolled back", commit(2), "f2", "s2"))


def test_what_was_rolled_back_later_is_known(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "succeeded")
    back = Record("app", "dev", None, commit(1), commit(1), "f1", run(3), "2026-11-20T3", "succeeded", detail={"action": "rollback"})
    put(store, back)
    found = point(store)
    assert found is not None
    assert found.failed == Failed(run(2), f"was rolled back by run {run(3)}", commit(2), "f2", "")


def test_a_good_deploy_after_it_ends_that(store: Store) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, "failed")
    deployed(store, 3, "succeeded")
    found = point(store)
    assert found is not None
    assert found.failed is None


def test_a_run_that_was_gone_on_with_and_went_well_has_failed_nothing(store: Store) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, "failed")
    deployed(store, 2, "succeeded")
    found = point(store)
    assert found is not None
    assert (found.commit, found.failed) == (commit(2), None)
