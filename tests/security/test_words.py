"""Words that others have written, into a record, a lock or a journal: none moves a cursor, colours,
or forges a line.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit.cli import output
from toolkit.model import Base, BaseChoice, Version
from toolkit.operations import Job, JobAction, Location, Outcome, RunResult, RunStatus, Verdict
from toolkit.record.holder import decode, lock_held_error
from toolkit.show import diff, history, problem, run, style

EVIL = "\x1b]0;gone\x07\x1b[2J\r\n::error::x \u202e \x9b31m##vso[task] \x00"
ALLOWED = {"\n"}


def harmless(text: str) -> bool:
    text = style.plain(text)  # of our own marks only those that are whole
    return all(char.isprintable() or char in ALLOWED for char in text) and "\u202e" not in text


def evil(*names: str, **fixed: Any) -> SimpleNamespace:
    """Something of which each of these fields was written by a stranger."""
    return SimpleNamespace(**dict.fromkeys(names, EVIL), **fixed)


def test_the_fields_of_a_record() -> None:
    record = evil("version", "commit", "when", "run", detail={EVIL: EVIL})
    longer = evil("version", "when", "run", commit="", detail={})
    for item in (record, longer):
        assert all(map(harmless, history.deploy_labels([item], [[EVIL]], [None], "image")))
        assert harmless(history.deploys([item], [None], "image"))
    json.loads(json.dumps(history.deploys_document([record], [True])))


@pytest.mark.parametrize("kind", ["last", "live", "ref", "none", "paths"])
def test_the_commit_of_a_record_in_the_first_line_of_a_diff(kind: Any) -> None:
    choices: list[tuple[str | None, Any]] = [
        (EVIL, BaseChoice.LAST_RECORDED),
        (None, EVIL),
        (EVIL, EVIL),
        ("main", BaseChoice.UPSTREAM),
    ]
    for name, chosen in choices:
        assert harmless(diff.compared(Base(kind, name, (EVIL, "0" * 40), chosen)))


def test_the_fields_of_a_lock() -> None:
    body = dict.fromkeys(("who", "host", "run", "command", "since", "id"), EVIL)
    holder = decode(json.dumps({"v": 1, "name": "x", **body, "pid": 1}).encode(), EVIL)
    assert harmless(history.locks([(EVIL, holder, "bucket")]))
    assert all(harmless(line) for line in problem.error(lock_held_error(EVIL, holder)))
    broken = decode(b'{"who": 1}', EVIL)
    assert harmless(history.locks([(EVIL, broken, "bucket")]))
    assert all(harmless(line) for line in problem.error(lock_held_error(EVIL, broken)))


def test_the_fields_of_a_journal() -> None:
    summary = evil(
        "run",
        "command",
        "commit",
        "user",
        "host",
        "started",
        "ended",
        "message",
        environments=(EVIL,),
        status="done",
        exit=0,
        steps=[(EVIL, EVIL, EVIL)],
    )
    assert harmless(history.runs([summary]))
    assert harmless(history.run(summary, [(EVIL, "failed", EVIL)]))


def job() -> Job:
    location = Location(EVIL, EVIL, EVIL, EVIL)
    return Job(
        EVIL, EVIL, "app", JobAction.DEPLOY, location, None, Version(EVIL, EVIL, ""), EVIL, EVIL
    )


def test_the_jobs_and_outcomes_of_a_run_that_is_resumed() -> None:
    item = job()
    assert harmless(run.version(item))
    assert harmless(run.location([item]))
    assert harmless(run.still_open(EVIL, [item], {}, {}))
    outcome = Outcome(
        EVIL, EVIL, Verdict.FAILED, cause=EVIL, next=EVIL, log=(EVIL,), outputs={EVIL: EVIL}
    )
    assert harmless(run.ended(outcome))


def test_what_somebody_forgot_to_quote_is_made_harmless_at_the_door(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.say(f"one\ttab\n{EVIL}")
    output.note(EVIL)
    out, err = capsys.readouterr()
    for message in (out, err):
        assert not {"\x1b", "\x07", "\r", "\x9b", "\x00"} & set(message)
    assert out.startswith("one\ttab\n")


def test_what_a_step_wrote_and_what_it_is_called(tmp_path: Path, toolkit: Toolkit) -> None:
    """The commands of a run that nobody knows say so without its name's tricks."""
    repo = Repo.make(tmp_path / "repo", {"a": "1"})
    for command in (
        ("show", EVIL),
        ("logs", EVIL),
        ("resume", EVIL),
        ("lock", "show", EVIL),
        ("rollback", "app", "--to", EVIL),
    ):
        if "\x00" not in "".join(command):
            actual = toolkit(repo.path, *command)
            assert harmless(actual.out + actual.err)


def test_a_run_as_it_is_told_at_its_end() -> None:
    item = job()
    outcome = Outcome(EVIL, EVIL, Verdict.FAILED, cause=EVIL, next=EVIL, log=(EVIL,))
    ran = RunResult(EVIL, RunStatus.FAILED, 1, (outcome,), (), 0.0)
    assert harmless(run.text(ran, [item]))
    assert harmless(
        run.text(
            RunResult(EVIL, RunStatus.FAILED, 1, (outcome,), (EVIL,), 0.0, ((EVIL, EVIL),)), [item]
        )
    )
