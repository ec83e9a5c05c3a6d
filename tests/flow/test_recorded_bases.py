"""What `diff last` compares with: the last good deploy, and whether something else may be live
since.
"""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.record import ACCOUNT, REGION, KnownAws, put
from toolkit.advice import Advice, NextCommand
from toolkit.flow.compare import FailedRun, RecordedBase
from toolkit.flow.recorded_bases import records_reader, unfinished_deploys, with_movement
from toolkit.flow.rulebook import read_rules
from toolkit.operations import LiveVersion
from toolkit.ports import processes
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.record.journal import EntryState, Journal
from toolkit.record.ledger import BEGUN, FailedDeploy, LocalLedger, Record, Scope
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


def deployed(store: Store, number: int, verdict: str, unsure: bool = False) -> None:
    put(
        store,
        Record(
            "app",
            "dev",
            None,
            commit(number),
            commit(number),
            f"f{number}",
            run(number),
            f"2026-11-20T{number}",
            verdict,
            unsure=unsure,
        ),
    )


def commit(number: int) -> str:
    return f"{number:040}"


def run(number: int) -> str:
    return f"20261120-{number:02}0000-aaaa"


def left(store: Store, number: int, *states: str, base: int | None = None, **facts: Any) -> None:
    """A run whose process was left. `base` is the good deploy that it knew."""
    known_names = {} if base is None else {"recorded": {"run": run(base)}}
    job = {"step": "app", "target": "app", "place": {"environment": "dev"}, **known_names}
    with_end = Journal.create(
        store, run(number), {"jobs": [job], "environment": "dev", **facts}, SystemClock()
    )
    for state in states:
        step = None if state == "end" else "app"
        with_end.append(
            EntryState(state),
            step,
            **(
                {"verdict": "failed"}
                if state == "outcome"
                else {"token": "t", "call": "x", "what": {}}
            ),
        )
    with_end.close()


def point(store: Store) -> RecordedBase | None:
    ports = Ports(
        store.folder,
        store.folder,
        SystemClock(),
        lambda profile, region: KnownAws(profile, region or "eu-west-1"),
    )
    points = records_reader(ports, lambda words: None)(
        "last", read_rules(RULES.encode(), "rules.toml"), "dev"
    )
    return points["app"][0] if "app" in points else None


def test_the_last_good_deploy_is_what_to_compare_with(store: Store) -> None:
    deployed(store, 1, "succeeded")
    assert point(store) == RecordedBase(commit(1), "f1", run=run(1))


def test_what_failed_since_may_be_live(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "failed", unsure=True)
    assert point(store) == RecordedBase(
        commit(1),
        "f1",
        run=run(1),
        since=f"its last deploy (run {run(2)}) ended as failed, and may be live",
    )


def test_what_gave_way_since_to_what_ran_is_not(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "rolled-back")
    assert point(store) == RecordedBase(commit(1), "f1", run=run(1))


def test_what_gave_way_to_what_nobody_was_sure_of_leaves_it_so(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "failed", unsure=True)
    deployed(store, 3, "rolled-back")
    recorded_base = point(store)
    assert recorded_base is not None
    assert (
        recorded_base.since
        == f"its last deploy (run {run(3)}) ended as rolled-back, and may be live"
    )


def test_a_good_deploy_ends_all_doubt(store: Store) -> None:
    deployed(store, 2, "failed", unsure=True)
    deployed(store, 3, "succeeded")
    assert point(store) == RecordedBase(commit(3), "f3", run=run(3))


def test_where_only_a_failed_deploy_is_known_nothing_can_be_compared(store: Store) -> None:
    deployed(store, 1, "failed", unsure=True)
    assert point(store) == RecordedBase(
        None, "", unknown=f"its last deploy (run {run(1)}) ended as failed, and may be live"
    )


def open_end(run: str) -> Advice:
    """Why a run that has begun may be live, and how to go on with it."""
    words = f"run {run} has started to deploy it, and its end is not known"
    return words, "(", NextCommand("resume", (run,)), ")"


def begins(store: Store, number: int, **facts: Any) -> None:
    """A run of this version has begun to deploy it."""
    record = Record(
        "app",
        "dev",
        None,
        commit(number),
        commit(number),
        f"f{number}",
        run(number),
        f"2026-11-20T{number}",
        BEGUN,
        who="ada@laptop",
        **facts,
    )
    placed = replace(record, account=ACCOUNT, region=REGION, endpoint=store.endpoint)
    LocalLedger(store, Scope()).begin(placed)


CLOCKS = pytest.mark.parametrize(
    ("good", "open_"), [(1, 2), (2, 1)], ids=["clocks agree", "clock behind"]
)


@CLOCKS
def test_a_deploy_that_has_begun_since_may_be_live_whatever_the_clocks_say(
    store: Store, good: int, open_: int
) -> None:
    deployed(store, good, "succeeded")
    begins(store, open_)
    assert point(store) == RecordedBase(
        commit(good), f"f{good}", run=run(good), since=open_end(run(open_))
    )


@CLOCKS
def test_a_good_deploy_after_one_that_had_begun_ends_the_doubt_whatever_the_clocks_say(
    store: Store, good: int, open_: int
) -> None:
    begins(store, open_)
    deployed(store, good, "succeeded")
    assert point(store) == RecordedBase(commit(good), f"f{good}", run=run(good))


def test_a_deploy_that_has_begun_and_ended_well_is_what_to_compare_with(store: Store) -> None:
    deployed(store, 1, "succeeded")
    begins(store, 2)
    deployed(store, 2, "succeeded")
    assert point(store) == RecordedBase(commit(2), "f2", run=run(2))


@pytest.mark.parametrize("before", ["succeeded", "failed"])
def test_a_deploy_that_has_begun_and_given_way_leaves_what_was_before_as_sure_as_it_was(
    store: Store, before: str
) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, before, unsure=before == "failed")
    begins(store, 3)
    deployed(store, 3, "rolled-back")
    recorded_base = point(store)
    assert recorded_base is not None
    doubt = f"its last deploy (run {run(3)}) ended as rolled-back, and may be live"
    assert recorded_base.since == (doubt if before == "failed" else None)


def test_a_deploy_that_has_begun_where_nothing_is_recorded_leaves_nothing_to_compare_with(
    store: Store,
) -> None:
    begins(store, 2)
    assert point(store) == RecordedBase(None, "", unknown=open_end(run(2)))


def test_a_deploy_that_is_still_going_on_is_told_with_who_does_it(store: Store) -> None:
    deployed(store, 1, "succeeded")
    begins(store, 2)
    journal = Journal.create(
        store, run(2), {**processes.facts(), "jobs": [], "environment": "dev"}, SystemClock()
    )
    recorded_base = point(store)
    journal.close()
    assert recorded_base is not None
    assert recorded_base.since == f"run {run(2)} of ada@laptop is deploying it"


def test_a_rollback_that_has_only_begun_has_taken_nothing_back(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "succeeded")
    begins(store, 3, detail={"action": "rollback"})
    recorded_base = point(store)
    assert recorded_base is not None
    assert (recorded_base.since, recorded_base.failed) == (open_end(run(3)), None)


def test_what_stands_in_place_of_a_run_is_no_command(store: Store) -> None:
    """Others may write into the record."""
    words = unfinished_deploys(
        {"app": [Record("app", "dev", None, "v", None, "f", "x; rm -rf ~", "", BEGUN)]},
        lambda record: False,
    )
    assert words == {"app": "run x; rm -rf ~ has started to deploy it, and its end is not known"}


# Runs of a version of toolkit that did not record what it began: only this machine's journals know
# of them.


@CLOCKS
def test_a_run_that_has_begun_since_may_be_live(store: Store, good: int, open_: int) -> None:
    deployed(store, good, "succeeded")
    left(store, open_, "intent", base=good)
    assert point(store) == RecordedBase(
        commit(good), f"f{good}", run=run(good), since=open_end(run(open_))
    )


def test_a_run_that_has_begun_where_nothing_is_recorded_leaves_nothing_to_compare_with(
    store: Store,
) -> None:
    left(store, 2, "intent")
    assert point(store) == RecordedBase(None, "", unknown=open_end(run(2)))


@CLOCKS
def test_a_run_of_which_nobody_can_say_that_it_was_overtaken_may_be_live(
    store: Store, good: int, open_: int
) -> None:
    left(store, open_, "intent")
    deployed(store, good, "succeeded")
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.since == open_end(run(open_))


@CLOCKS
def test_one_open_run_that_was_overtaken_does_not_hide_another_that_was_not(
    store: Store, good: int, open_: int
) -> None:
    deployed(store, 3, "succeeded")
    left(store, good, "intent", base=3)
    deployed(store, 4, "succeeded")
    left(store, open_, "intent", base=4)
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.since == open_end(run(open_))


@pytest.mark.parametrize("verdict", ["succeeded", "rolled-back"])
def test_an_open_run_whose_end_is_recorded_is_no_reason(store: Store, verdict: str) -> None:
    """A colleague has gone on with it, or its last line is missing."""
    deployed(store, 1, "succeeded")
    left(store, 2, "intent", base=1)
    deployed(store, 2, verdict)
    recorded_base = point(store)
    assert recorded_base is not None
    assert (recorded_base.since, recorded_base.unknown) == (None, None)


def test_an_open_run_of_a_version_that_records_beginnings_is_in_doubt_if_the_record_says_so(
    store: Store,
) -> None:
    left(store, 2, "intent", in_record=True)
    deployed(store, 1, "succeeded")
    assert point(store) == RecordedBase(commit(1), "f1", run=run(1))


@pytest.mark.parametrize("states", [(), ("intent", "outcome"), ("intent", "outcome", "end")])
def test_a_run_that_has_begun_nothing_or_knows_how_that_ended_is_no_reason(
    store: Store, states: tuple[str, ...]
) -> None:
    deployed(store, 1, "succeeded")
    left(store, 2, *states)
    assert point(store) == RecordedBase(commit(1), "f1", run=run(1))


def test_a_run_that_was_left_before_the_last_deploy_is_no_reason(store: Store) -> None:
    deployed(store, 3, "succeeded")
    left(store, 1, "intent", base=3)
    deployed(store, 2, "succeeded")
    assert point(store) == RecordedBase(commit(2), "f2", run=run(2))


def test_a_run_of_a_machine_whose_clock_is_slow_may_be_live_all_the_same(store: Store) -> None:
    """Its name says that it began before the deploy that it knew of."""
    deployed(store, 5, "succeeded")
    left(store, 2, "intent", base=5)
    assert point(store) == RecordedBase(commit(5), "f5", run=run(5), since=open_end(run(2)))


def test_a_run_is_over_once_somebody_has_deployed_after_it_whatever_the_clocks_say(
    store: Store,
) -> None:
    deployed(store, 5, "succeeded")
    left(store, 9, "intent", base=5)
    deployed(store, 6, "succeeded")
    assert point(store) == RecordedBase(commit(6), "f6", run=run(6))


def test_a_deploy_that_failed_after_it_does_not_say_that_a_run_is_over(store: Store) -> None:
    deployed(store, 5, "succeeded")
    left(store, 2, "intent", base=5)
    deployed(store, 6, "rolled-back")
    assert point(store) == RecordedBase(commit(5), "f5", run=run(5), since=open_end(run(2)))


def test_a_name_in_place_of_a_commit_is_nothing_to_compare_with(store: Store) -> None:
    """A colleague's record could name HEAD, which is always up to date."""
    put(store, Record("app", "dev", None, "HEAD", "HEAD", "f", run(1), "2026-11-20T1", "succeeded"))
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.unknown == "its live version (HEAD) is not a commit"


def tried(store: Store, number: int, verdict: str, *, back: bool = False) -> None:
    """A run that was to deploy commit `at`, and after which commit 1 is live."""
    record = Record(
        "app",
        "dev",
        None,
        commit(1),
        commit(1),
        "f1",
        run(number),
        f"2026-11-20T{number}",
        verdict,
        tried=FailedDeploy(commit(number), f"f{number}", f"s{number}"),
        detail={"action": "rollback"} if back else {},
    )
    put(store, record)


@pytest.mark.parametrize(
    ("verdict", "ended"),
    [
        ("rolled-back", "failed and was rolled back"),
        ("failed", "failed"),
        ("unhealthy", "was unhealthy"),
    ],
)
def test_what_a_run_tried_that_did_not_go_well_is_known(
    store: Store, verdict: str, ended: str
) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, verdict)
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.failed == FailedRun(run(2), ended, commit(2), "f2", "s2")


def test_what_a_run_tried_is_known_after_it_has_put_back_what_ran(store: Store) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, "unhealthy")
    back = Record(
        "app",
        "dev",
        None,
        commit(1),
        commit(1),
        "f1",
        run(2),
        "2026-11-20T3",
        "succeeded",
        detail={"action": "rollback"},
    )
    put(store, back)
    recorded_base = point(store)
    assert recorded_base is not None
    assert (recorded_base.run, recorded_base.failed) == (
        run(2),
        FailedRun(run(2), "failed and was rolled back", commit(2), "f2", "s2"),
    )


def test_what_was_rolled_back_later_is_known(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "succeeded")
    back = Record(
        "app",
        "dev",
        None,
        commit(1),
        commit(1),
        "f1",
        run(3),
        "2026-11-20T3",
        "succeeded",
        detail={"action": "rollback"},
    )
    put(store, back)
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.failed == FailedRun(
        run(2), f"was rolled back by run {run(3)}", commit(2), "f2", ""
    )


def test_a_good_deploy_after_it_ends_that(store: Store) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, "failed")
    deployed(store, 3, "succeeded")
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.failed is None


def test_a_run_that_was_gone_on_with_and_went_well_has_failed_nothing(store: Store) -> None:
    deployed(store, 1, "succeeded")
    tried(store, 2, "failed")
    deployed(store, 2, "succeeded")
    recorded_base = point(store)
    assert recorded_base is not None
    assert (recorded_base.commit, recorded_base.failed) == (commit(2), None)


@pytest.mark.parametrize("begun", [True, False])
def test_what_was_not_good_and_was_rolled_back_by_hand_is_known(store: Store, begun: bool) -> None:
    deployed(store, 1, "succeeded")
    bad = Record(
        "app",
        "dev",
        None,
        commit(2),
        commit(2),
        "f2",
        run(2),
        "2026-11-20T2",
        "unhealthy",
        unsure=True,
        tried=FailedDeploy(commit(2), "f2", "s2", run(2)),
    )
    put(store, bad)
    back = Record(
        "app",
        "dev",
        None,
        commit(1),
        commit(1),
        "f1",
        run(3),
        "2026-11-20T3",
        "succeeded",
        detail={"action": "rollback"},
    )
    if begun:
        LocalLedger(store, Scope(environment="dev")).begin(
            replace(back, account=ACCOUNT, region=REGION, endpoint=store.endpoint)
        )
    put(store, back)
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.failed == FailedRun(
        run(2), f"was not good, and was rolled back by run {run(3)}", commit(2), "f2", "s2"
    )


@pytest.mark.parametrize("verdict", ["failed", "in-doubt", "cancelled"])
def test_a_rollback_that_did_not_succeed_is_not_told_as_done(store: Store, verdict: str) -> None:
    deployed(store, 1, "succeeded")
    tried_at_2 = FailedDeploy(commit(2), "f2", "s2", run(2))
    put(
        store,
        Record(
            "app",
            "dev",
            None,
            commit(2),
            commit(2),
            "f2",
            run(2),
            "2026-11-20T2",
            "unhealthy",
            unsure=True,
            tried=tried_at_2,
        ),
    )
    action = {"action": "rollback"}
    back = Record(
        "app",
        "dev",
        None,
        commit(2),
        commit(2),
        "f2",
        run(3),
        "2026-11-20T3",
        verdict,
        detail=action,
        unsure=True,
        tried=tried_at_2,
    )
    put(store, back)
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.failed == FailedRun(run(2), "was not good", commit(2), "f2", "s2")


def test_a_rollback_of_what_was_good_that_did_not_succeed_is_not_told_as_done(store: Store) -> None:
    deployed(store, 1, "succeeded")
    deployed(store, 2, "succeeded")
    back = Record(
        "app",
        "dev",
        None,
        commit(2),
        commit(2),
        "f2",
        run(3),
        "2026-11-20T3",
        "failed",
        detail={"action": "rollback"},
        unsure=True,
    )
    put(store, back)
    recorded_base = point(store)
    assert recorded_base is not None
    assert recorded_base.failed is None


def test_what_is_in_flight_or_stuck_leaves_unknown_what_will_be_live() -> None:
    clean = RecordedBase(commit(1), "f")
    at_rest = LiveVersion("v", commit(1))
    assert with_movement(clean, at_rest) == clean
    at_work = replace(at_rest, in_flight="the deployment of web:7 is at work")
    assert with_movement(clean, at_work).unsure_of == ("the deployment of web:7 is at work",)
    stuck = LiveVersion(None, stuck="stack Shop is stuck: UPDATE_ROLLBACK_FAILED")
    nobodys = RecordedBase(None, "", unknown="its live version was not deployed by toolkit")
    assert with_movement(nobodys, stuck).unknown == stuck.stuck
