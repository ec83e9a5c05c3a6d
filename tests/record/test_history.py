"""What the journals tell of runs: how they ended, what is open, what went well; and the logs of
their steps.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.record.parts import Broken, ManualClock, make_store
from toolkit.errors import Refused
from toolkit.ports.processes import facts
from toolkit.record.history import StepLog, good_deploys, log_path, runs, unfinished
from toolkit.record.journal import EntryState, Journal, path_of
from toolkit.record.ledger import BEGUN, LocalLedger, Record, Scope
from toolkit.record.run_index import FILE
from toolkit.record.state import Store

ACCOUNT = "111111111111"
SCOPE = Scope(account=ACCOUNT, region="eu-west-1", environment="dev")
JOBS = [
    {
        "step": f"{name}@eu-west-1",
        "target": name,
        "place": {"environment": "dev", "region": "eu-west-1"},
        "version": {"name": f"v-{name}", "commit": "abc", "fingerprint": "fff"},
    }
    for name in ("app", "api")
]
DEAD = {**facts(), "pid": 1 << 22, "started": "1"}
AWAY = {**facts(), "host": "elsewhere"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def ran(
    store: Store,
    run: str,
    *lines: tuple[str, str | None, dict[str, Any]],
    by: dict[str, Any] | None = None,
) -> Journal:
    """A run's journal with these lines, still open."""
    created = Journal.create(
        store,
        run,
        {"command": ["toolkit", "deploy", "a b"], "jobs": JOBS, **(by or facts()), "user": "ada"},
        ManualClock(),
    )
    for state, step, more in lines:
        created.append(EntryState(state), step, **more)
    return created


def outcome(name: str, verdict: str) -> tuple[str, str, dict[str, Any]]:
    return (
        "outcome",
        f"{name}@eu-west-1",
        {"verdict": verdict, "live": {"detail": {"image": f"{name}@sha256:1"}}},
    )


def end(code: int) -> tuple[str, None, dict[str, Any]]:
    return "end", None, {"exit": code}


INTENT = ("intent", "app@eu-west-1", {"call": "ecs:UpdateService"})
NOTE = ("note", None, {"text": "slack: not sent"})


def test_a_run_is_told_in_a_line(store: Store) -> None:
    ran(store, "r1", INTENT, outcome("app", "succeeded"), outcome("api", "failed"), end(4)).close()
    [item] = runs(store)
    assert (item.run, item.command, item.user, item.environment, item.commit) == (
        "r1",
        "toolkit deploy 'a b'",
        "ada",
        "dev",
        "abc",
    )
    assert item.steps == (("app@eu-west-1", "app", "succeeded"), ("api@eu-west-1", "api", "failed"))
    assert (item.status, item.exit, item.started, item.ended) == (
        "partial",
        4,
        "2026-11-20T12:00:00.000+00:00",
        "2026-11-20T12:00:00.000+00:00",
    )


@pytest.mark.parametrize(
    ("lines", "status", "open_"),
    [
        ([outcome("app", "succeeded"), outcome("api", "unchanged"), end(0)], "succeeded", False),
        ([outcome("app", "succeeded"), end(0), NOTE], "succeeded", False),
        ([outcome("app", "failed"), outcome("api", "skipped"), end(1)], "failed", False),
        ([outcome("app", "in-doubt"), end(5)], "in-doubt", False),
        ([INTENT, end(1)], "in-doubt", True),
        ([outcome("app", "succeeded"), end(130)], "cancelled", False),
        ([INTENT], "interrupted", True),
        ([INTENT, outcome("app", "succeeded")], "interrupted", True),
        ([], "interrupted", True),
    ],
)
def test_the_status_follows_from_the_lines(
    store: Store, lines: list[Any], status: str, open_: bool
) -> None:
    ran(store, "r1", *lines, by=DEAD).close()
    for _ in range(2):  # also from the index
        [item] = runs(store)
        assert item.status == status
        assert [summary.run for summary in unfinished(store)] == (["r1"] if open_ else [])


def test_a_run_whose_process_lives_is_running(store: Store) -> None:
    journal = ran(store, "r1", INTENT)
    assert runs(store)[0].status == "running"
    journal.close()


def test_a_process_that_cannot_be_seen_from_here_is_known_by_its_lock(store: Store) -> None:
    journal = ran(store, "r1", INTENT, by=AWAY)
    assert runs(store)[0].status == "running"
    journal.close()
    assert runs(store)[0].status == "interrupted"


def test_a_dead_writer_is_dead_though_a_child_of_its_own_keeps_the_lock(store: Store) -> None:
    journal = ran(store, "r1", INTENT, by=DEAD)
    assert runs(store)[0].status == "interrupted"
    journal.close()


def test_who_resumes_a_run_is_the_one_who_runs_it(store: Store) -> None:
    ran(store, "r1", INTENT, by=DEAD).close()
    journal = Journal.reopen(store, "r1")
    journal.append(EntryState.NOTE, **facts())
    assert runs(store)[0].status == "running"
    journal.close()


def test_the_newest_runs_come_first(store: Store) -> None:
    for number in (3, 1, 2):
        ran(store, f"r{number}", end(0)).close()
    assert [run.run for run in runs(store)] == ["r3", "r2", "r1"]
    assert [run.run for run in runs(store, 2)] == ["r3", "r2"]


def test_a_damaged_journal_is_listed_not_hidden(store: Store) -> None:
    ran(store, "r1", INTENT, end(0)).close()
    path = Path(path_of(store, "r1"))
    path.write_bytes(path.read_bytes().replace(b"UpdateService", b"DeleteService"))
    [item] = runs(store)
    assert item.status == "damaged"
    assert f"{path}: line 2" in (item.problem or "")
    assert unfinished(store) == [item]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]\n", b"r1\n", b"r1 5 5 done {}\n", b"[" * 100_000, b"\n\n", None]
)
def test_the_index_is_only_a_cache(store: Store, content: bytes | None) -> None:
    ran(store, "r1", end(0)).close()
    before = runs(store)
    path = Path(store.path(FILE))
    assert path.exists()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert runs(store) == before
    journal = Journal.reopen(store, "r1")
    journal.append(EntryState.END, exit=1)
    journal.close()
    assert runs(store)[0].exit == 1


@pytest.mark.parametrize("summary", [b"{", b"{}", b"[" * 100_000, b'{"run": 5}', b"\xff"])
def test_a_damaged_line_of_the_index_is_read_from_its_journal(store: Store, summary: bytes) -> None:
    ran(store, "r1", end(0)).close()
    before = runs(store)
    path = Path(store.path(FILE))
    start = path.read_bytes().partition(b"{")[0]
    path.write_bytes(start + summary + b"\n")
    assert runs(store) == before


def test_the_index_goes_on_after_a_line_that_was_torn(store: Store) -> None:
    ran(store, "r1", end(0)).close()
    before = runs(store)
    path = Path(store.path(FILE))
    path.write_bytes(path.read_bytes() + b"r2 17")
    ran(store, "r2", end(0)).close()
    assert [run.run for run in runs(store)] == ["r2", "r1"]
    lines = path.read_bytes().splitlines()
    assert (len(lines), lines[1]) == (3, b"r2 17")
    assert runs(store)[1:] == before


def test_runs_that_are_not_shown_are_not_decoded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        ran(store, f"r{number:02}", end(0)).close()
    everything = runs(store, 100)
    decoded: list[bytes] = []
    whole = json.loads

    def loads(data: bytes) -> Any:
        decoded.append(data)
        return whole(data)

    monkeypatch.setattr(json, "loads", loads)
    assert (unfinished(store), len(decoded)) == ([], 0)
    assert (runs(store, 3), len(decoded)) == (everything[:3], 3)


def test_a_run_that_ended_with_an_open_step_stays_unfinished_in_the_index(store: Store) -> None:
    ran(store, "r1", ("intent", "app@eu-west-1", {}), end(5)).close()
    first = unfinished(store)
    assert [run.run for run in first] == ["r1"]
    assert Path(store.path(FILE)).read_bytes().split(b" ")[3] == b"open"
    assert unfinished(store) == first


def test_the_index_does_not_grow_with_the_changes_of_the_same_runs(store: Store) -> None:
    ran(store, "r1", end(0)).close()
    for number in range(150):
        journal = Journal.reopen(store, "r1")
        journal.append(EntryState.NOTE, number=number)
        journal.close()
        assert len(runs(store)) == 1
    assert Path(store.path(FILE)).read_bytes().count(b"\n") < 110


def test_no_run_yet(store: Store) -> None:
    assert runs(store) == unfinished(store) == []
    assert good_deploys(store, "app", SCOPE) == []


def test_what_went_well_is_found_in_journals_and_records(store: Store) -> None:
    ran(store, "r1", outcome("app", "succeeded"), outcome("api", "succeeded"), end(0)).close()
    ran(store, "r2", outcome("app", "failed"), end(1)).close()
    ledger = LocalLedger(store, SCOPE)
    for version, when, verdict in (
        ("0", "09", "succeeded"),
        ("3", "13", "succeeded"),
        ("4", "14", "failed"),
    ):
        moment = f"2026-11-20T{when}:00:00+00:00"
        ledger.put(
            Record(
                "app",
                "dev",
                "eu-west-1",
                f"v{version}",
                None,
                "f",
                f"r{version}",
                moment,
                verdict,
                account=ACCOUNT,
            )
        )
    deploys = good_deploys(store, "app", SCOPE, ledger.get("app"))
    assert [(item.run, item.version) for item in deploys] == [
        ("r3", "v3"),
        ("r1", "v-app"),
        ("r0", "v0"),
    ]
    assert (deploys[1].commit, deploys[1].detail) == ("abc", {"image": "app@sha256:1"})
    assert good_deploys(store, "app", Scope(region="eu-west-1", environment="prod")) == []
    assert good_deploys(store, "app", replace(SCOPE, endpoint="http://127.0.0.1:1")) == []


def test_what_went_well_is_found_though_the_record_only_knows_that_it_was_begun(
    store: Store,
) -> None:
    """Its end could not be sent to the bucket."""
    ran(store, "r1", outcome("app", "succeeded"), end(0)).close()
    begun = Record(
        "app",
        "dev",
        "eu-west-1",
        "v-app",
        None,
        "f",
        "r1",
        "2026-11-20T09:00:00+00:00",
        BEGUN,
        account=ACCOUNT,
    )
    assert [good_deploy.run for good_deploy in good_deploys(store, "app", SCOPE, [begun])] == ["r1"]


BUILD = {**JOBS[0], "step": "app@eu-west-1:build", "action": "build"}


def built(store: Store, run: str, *verdicts: str, code: int | None = 1) -> None:
    """A run that builds `app` and deploys it, with these ends."""
    lines: list[tuple[EntryState, str, dict[str, str]]] = [
        (EntryState.OUTCOME, str(job["step"]), {"verdict": verdict})
        for job, verdict in zip((BUILD, JOBS[0]), verdicts, strict=False)
    ]
    created = Journal.create(store, run, {**DEAD, "jobs": [BUILD, JOBS[0]]}, ManualClock())
    for state, step, more in lines or [(EntryState.INTENT, str(BUILD["step"]), {"call": "x"})]:
        created.append(EntryState(state), step, **more)
    if code is not None:
        created.append(EntryState.END, None, exit=code)
    created.close()


def test_a_build_is_no_deploy_that_went_well(store: Store) -> None:
    built(store, "r1", "succeeded", "failed")
    built(store, "r2", "succeeded", "succeeded", code=0)
    assert [record.run for record in good_deploys(store, "app", SCOPE)] == ["r2"]


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (("succeeded", "failed"), "failed"),
        (("failed", "skipped"), "failed"),
        (("succeeded", "succeeded"), "partial"),
    ],
)
def test_a_build_that_went_well_makes_no_run_better(
    store: Store, verdicts: tuple[str, ...], status: str
) -> None:
    built(store, "r1", *verdicts)
    assert [run.status for run in runs(store)] == [status]


def test_a_build_that_was_begun_leaves_open_nothing_that_may_be_live(store: Store) -> None:
    built(store, "r1", code=None)
    [run] = unfinished(store)
    assert (run.status, run.open) == ("interrupted", ())


def test_a_steps_log_is_kept_without_secrets(store: Store) -> None:
    log = StepLog(store, "r1", "app@eu-west-1", lambda line: line.replace("hunter2", "***"))
    log.write("password hunter2")
    log.write("\udcff and \ud800\n")
    log.close()
    log.close()
    log.write("too late")
    assert log.path == log_path(store, "r1", "app@eu-west-1")
    assert Path(log.path).read_bytes() == b"password ***\n" + b"\\udcff and \\ud800\n"
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o600


def test_a_full_disk_ends_the_log_and_not_the_deploy(store: Store) -> None:
    log = StepLog(store, "r1", "app", str, Broken(2, errno.ENOSPC))
    for number in range(3):
        log.write(f"{number}")
    log.close()
    assert "No space left" in (log.problem or "")
    assert Path(log.path).read_text() == "0\n"


def test_a_log_whose_place_is_taken_is_a_problem_that_is_told(store: Store, tmp_path: Path) -> None:
    store.subfolder("logs")
    (tmp_path / "elsewhere").mkdir()
    Path(store.path("logs", "r1")).symlink_to(tmp_path / "elsewhere")
    log = StepLog(store, "r1", "app", str)
    log.write("x")
    assert "is a link" in (log.problem or "")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_log_of_what_cannot_be_a_run_is_refused(store: Store) -> None:
    with pytest.raises(Refused):
        log_path(store, "../x", "app")
    assert ".." not in Path(log_path(store, "r1", "../../etc/passwd")).parts
