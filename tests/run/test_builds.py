"""Steps that only build: what they mean for a run, for the record, and for what waits for them."""

import pytest

from tests.run.test_execute import FAILED, RunStage, words

ONE = {"queue": (), "web:build": (), "web": ("queue", "web:build")}
TWO = {**ONE, "worker": ("web:build",)}
UNNEEDED = "nothing that needs it is deployed"


def causes(stage: RunStage) -> dict[str, str]:
    """The cause of each step as it is written down."""
    return {
        str(step): facts["cause"] for state, step, facts in stage.book.lines if state == "outcome"
    }


def test_a_build_changes_nothing_that_runs_and_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    assert stage.run(ONE).exit == 0
    assert stage.book.outcomes() == dict.fromkeys(ONE, "succeeded")
    assert set(stage.book.recorded) == set(stage.book.begun) == {"queue", "web"}
    prepares = {
        step: facts.get("prepares") for state, step, facts in stage.book.lines if state == "intent"
    }
    assert prepares == {"queue": None, "web:build": True, "web": None}


def test_a_failed_deploy_has_failed_though_its_build_went_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch, {"web": FAILED})
    ran = stage.run({"web:build": (), "web": ("web:build",)})
    assert (ran.status, ran.exit) == ("failed", 1)


def test_what_waits_for_a_build_that_failed_is_skipped_and_not_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch, {"web:build": FAILED})
    ran = stage.run(TWO)
    assert (ran.status, ran.exit) == ("partial", 4)
    assert (words(ran)["web"], words(ran)["worker"]) == ("skipped", "skipped")
    assert set(stage.book.recorded) == {"queue"}


def test_a_build_that_nobody_needs_any_more_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch, {"queue": FAILED})
    ran = stage.run(ONE, parallel=1)
    assert words(ran) == {"queue": "rolled-back", "web:build": "skipped", "web": "skipped"}
    assert causes(stage)["web:build"] == UNNEEDED
    assert "web:build" not in stage.listener.began_
    assert (ran.status, ran.exit, stage.book.ended) == ("failed", 1, True)


def test_a_build_that_another_step_needs_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch, {"queue": FAILED})
    ran = stage.run(TWO, parallel=1)
    assert words(ran) == {
        "queue": "rolled-back",
        "web:build": "succeeded",
        "web": "skipped",
        "worker": "succeeded",
    }


@pytest.mark.parametrize("begun", [(), ("web:build",)])
@pytest.mark.parametrize("verdict", ["skipped", "superseded"])
def test_a_build_that_an_earlier_process_left_is_not_gone_on_with_for_nobody(
    monkeypatch: pytest.MonkeyPatch, begun: tuple[str, ...], verdict: str
) -> None:
    stage = RunStage(monkeypatch)
    ran = stage.run(ONE, done={"queue": "failed", "web": verdict}, begun=begun)
    assert stage.book.outcomes() == {"web:build": "skipped"}
    assert causes(stage)["web:build"] == UNNEEDED
    assert (ran.exit, stage.book.ended) == (1, True)


def test_a_build_that_an_earlier_process_left_is_looked_for_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    assert stage.run(ONE, begun=("web:build",)).exit == 0
    lines = [state for state, step, _ in stage.book.lines if step == "web:build"]
    assert lines == ["outcome"]
