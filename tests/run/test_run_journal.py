"""What outlives the process: the record of what is live, and the steps' logs."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.run.simulated import Impatient, Told, ports
from toolkit.errors import LockLost
from toolkit.model import Resource, Version
from toolkit.operations import Job, JobAction, LiveVersion, Location, Outcome, Verdict
from toolkit.record.history import run_summary
from toolkit.record.journal import EntryState, Journal
from toolkit.record.ledger import IN_RECORD, FailedDeploy, LocalLedger, Record, scope_of
from toolkit.record.state import Store, open_store
from toolkit.run.run_journal import StoredRunJournal
from toolkit.run.step import StepExecution
from toolkit.targets.app.kind import kind as app

PLACE = Location("dev", "eu", "111111111111")
SETTINGS = app.Settings(cluster="c", service="s", repository="r")
JOB = Job(
    "app@eu", "app", "app", JobAction.DEPLOY, PLACE, SETTINGS, Version("v2", "c2", "f2"), "run", "t"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(None, str(tmp_path))


def recorded(store: Store, outcome: Outcome, job: Job = JOB) -> Record:
    journal = Journal.create(store, "run", {})
    ledger = LocalLedger(store, scope_of(store, PLACE))
    StoredRunJournal(
        store, journal, {"app@eu": ledger}, {"app@eu": PLACE}, Impatient(), lambda text: text
    ).record(job, outcome)
    journal.close()
    [result] = ledger.get("app")
    return result


def test_a_success_is_recorded_with_what_was_seen(store: Store) -> None:
    live = LiveVersion("v2", "c2", "f2", "run", detail={"digest": "sha256:1"})
    record = recorded(store, Outcome("app@eu", "app", Verdict.SUCCEEDED, live=live))
    assert (record.version, record.commit, record.fingerprint, record.verdict) == (
        "v2",
        "c2",
        "f2",
        "succeeded",
    )
    assert (record.run, dict(record.detail), record.when[:10]) == (
        "run",
        {"digest": "sha256:1"},
        "2026-11-20",
    )
    assert record.writes == (Resource("service", "c/s"),)


def test_what_runs_unchanged_has_the_content_that_was_to_be_deployed(store: Store) -> None:
    record = recorded(
        store, Outcome("app@eu", "app", Verdict.UNCHANGED, live=LiveVersion("v1", "c1", "f1"))
    )
    assert (record.version, record.commit, record.fingerprint) == ("v2", "c2", "f2")


def test_after_a_rollback_nothing_of_the_new_version_is_recorded_as_live(store: Store) -> None:
    record = recorded(
        store, Outcome("app@eu", "app", Verdict.ROLLED_BACK, live=LiveVersion("v1", "c1"))
    )
    assert (record.version, record.commit, record.fingerprint, record.verdict) == (
        "v1",
        "c1",
        "",
        "rolled-back",
    )


def test_what_failed_unseen_is_recorded_as_tried(store: Store) -> None:
    record = recorded(store, Outcome("app@eu", "app", Verdict.FAILED))
    assert (record.version, record.commit, record.verdict) == ("v2", "c2", "failed")


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("undoes", ["", "app@eu"])
def test_what_a_bad_run_was_to_deploy_is_recorded(
    store: Store, verdict: Verdict, undoes: str
) -> None:
    live = LiveVersion("v1", "c1", "f1")
    record = recorded(
        store, Outcome("app@eu", "app", verdict, live=live), replace(JOB, undoes=undoes)
    )
    bad = verdict in ("failed", "unhealthy", "rolled-back") and not undoes
    assert record.tried == (FailedDeploy("v2", "f2", run="run") if bad else None)


@pytest.mark.parametrize(
    ("verdict", "undoes", "unsure"),
    [
        ("succeeded", "", False),
        ("unchanged", "", False),
        ("rolled-back", "", False),
        ("failed", "", True),
        ("unhealthy", "", True),
        ("superseded", "", True),
        ("rolled-back", "app", True),  # back is what was to be undone
    ],
)
def test_what_may_be_live_besides_the_last_good_version_is_recorded(
    store: Store, verdict: str, undoes: str, unsure: bool
) -> None:
    assert (
        recorded(
            store, Outcome("app@eu", "app", Verdict(verdict)), replace(JOB, undoes=undoes)
        ).unsure
        is unsure
    )


def test_a_later_process_writes_on_in_a_steps_log(store: Store, tmp_path: Path) -> None:
    journal = Journal.create(store, "run", {})
    papers = StoredRunJournal(
        store,
        journal,
        {},
        {},
        ports(tmp_path, Impatient(), None).clock,
        lambda text: text.replace("hunter2", "[redacted]"),
    )
    for line in ("one hunter2", "two"):
        log = papers.log("app@eu")
        log.write(line)
        log.close()
    journal.close()
    assert Path(log.path).read_text() == "one [redacted]\ntwo\n"


def papers(store: Store, ledger: LocalLedger, journal: Journal | None = None) -> StoredRunJournal:
    journal = journal or Journal.create(store, "run", {})
    return StoredRunJournal(
        store, journal, {"app@eu": ledger}, {"app@eu": PLACE}, Impatient(), lambda text: text
    )


def test_what_begins_is_recorded_with_what_it_is_to_deploy_and_who_does_it(store: Store) -> None:
    ledger = LocalLedger(store, scope_of(store, PLACE))
    papers(store, ledger).announce(JOB)
    [actual] = ledger.get("app")
    assert (actual.version, actual.commit, actual.fingerprint, actual.run) == (
        "v2",
        "c2",
        "f2",
        "run",
    )
    assert (actual.verdict, actual.unsure, "@" in actual.who, actual.writes) == (
        "begun",
        True,
        True,
        (Resource("service", "c/s"),),
    )


def test_the_announcement_of_an_earlier_process_is_known(store: Store) -> None:
    ledger = LocalLedger(store, scope_of(store, PLACE))
    first = papers(store, ledger)
    first.announce(JOB)
    assert not first.has_announced(JOB), "it is its own"
    first.journal.append(EntryState.NOTE)
    first.journal.close()
    journal = papers(store, ledger, Journal.reopen(store, "run"))
    assert journal.has_announced(JOB)
    assert not journal.has_announced(replace(JOB, run="another"))
    journal.record(JOB, Outcome("app@eu", "app", Verdict.CANCELLED))
    assert not journal.has_announced(JOB)
    [path] = Path(store.folder).glob("record/**/app.json")
    path.write_text("{")
    assert journal.has_announced(JOB), "nobody can read it"


def test_what_begins_where_the_record_is_damaged_is_not_kept_from_it(store: Store) -> None:
    """Its target is unknown to everybody until that is repaired."""
    ledger = LocalLedger(store, scope_of(store, PLACE))
    stored_run_journal = papers(store, ledger)
    stored_run_journal.announce(JOB)
    [path] = Path(store.folder).glob("record/**/app.json")
    path.write_text("{")
    stored_run_journal.announce(JOB)
    assert path.read_text() == "{"
    assert "app" in ledger.all().damaged


def test_a_beginning_that_could_not_be_recorded_is_remembered_on_this_machine(store: Store) -> None:
    """Somebody may repair the record before the run is gone on with: then nothing else would tell
    of it.
    """
    ledger = LocalLedger(store, scope_of(store, PLACE))
    journal = Journal.create(store, "20261120-100000-aaaa", {IN_RECORD: True})
    stored_run_journal = StoredRunJournal(
        store, journal, {"app@eu": ledger}, {"app@eu": PLACE}, Impatient(), lambda text: text
    )
    stored_run_journal.announce(JOB)
    assert run_summary(store, "20261120-100000-aaaa").in_record
    [path] = Path(store.folder).glob("record/**/app.json")
    path.write_text("{")
    stored_run_journal.announce(JOB)
    assert not run_summary(store, "20261120-100000-aaaa").in_record


def test_who_has_lost_the_lock_does_not_say_in_the_record_that_it_begins(
    store: Store, tmp_path: Path
) -> None:
    """It would stand above what whoever has the lock now has deployed."""
    ledger = LocalLedger(store, scope_of(store, PLACE))
    stored_run_journal = papers(store, ledger)

    def check_fence() -> None:
        raise LockLost(target="app", reason="somebody else has taken it over")

    request = Told().request("run", ports(tmp_path, Impatient(), None))
    step = StepExecution(JOB, request, stored_run_journal, check_fence)
    with pytest.raises(LockLost):
        step.intend("ecs:UpdateService")
    assert ledger.get("app") == ()


def test_a_version_that_somebody_else_wrote_is_recorded_only_if_it_is_a_word(store: Store) -> None:
    ledger = LocalLedger(store, scope_of(store, PLACE))
    strange = LiveVersion("x: toolkit lock release app", None, None)
    papers(store, ledger).record(JOB, Outcome(JOB.step, JOB.target, Verdict.FAILED, live=strange))
    [actual] = ledger.get("app")
    assert actual.version == ""
