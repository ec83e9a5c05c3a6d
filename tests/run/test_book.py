"""What outlives the process: lines on a disk that is full for a while, and the record of what is live."""

from pathlib import Path

import pytest

from tests.record.parts import Broken
from tests.run.simulated import Impatient, world
from toolkit.errors import FileProblem
from toolkit.model import Job, Live, Outcome, Place, Version
from toolkit.record.disk import Disk
from toolkit.record.journal import LINE_MOST, Journal, read
from toolkit.record.ledger import Local, Record
from toolkit.record.state import Store, open_store
from toolkit.run.book import Pages, Papers

JOB = Job("app@eu", "app", "app", "deploy", Place("dev", "eu"), None, Version("v2", "c2", "f2"), "run", "t")


class Full(Disk):
    """A disk that is full as long as a test wants."""

    full = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(descriptor, data)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return open_store(None, str(tmp_path))


def numbers(here: Store) -> list[int]:
    return [entry.facts["number"] for entry in read(here, "run")[1:]]


def test_a_line_that_was_not_taken_is_written_before_the_next_one(here: Store) -> None:
    disk = Full()
    journal = Journal.create(here, "run", {}, disk=disk)
    pages = Pages(journal)
    disk.full = True
    for number in (1, 2):
        with pytest.raises(FileProblem):
            pages.append("note", number=number)
    disk.full = False
    pages.append("note", number=3)
    pages.append("note", number=4)
    journal.close()
    assert numbers(here) == [1, 3, 4], "the first comes late, the second was never written: nobody was told that it was"


def test_a_line_that_is_tried_again_is_written_once(here: Store) -> None:
    disk = Full()
    journal = Journal.create(here, "run", {}, disk=disk)
    pages = Pages(journal)
    disk.full = True
    for _ in range(3):
        with pytest.raises(FileProblem):
            pages.append("note", number=1)
    disk.full = False
    pages.append("note", number=1)
    pages.append("note", number=2)
    journal.close()
    assert numbers(here) == [1, 2]


def test_a_line_that_no_journal_takes_stands_in_nobodys_way(here: Store) -> None:
    journal = Journal.create(here, "run", {})
    pages = Pages(journal)
    with pytest.raises(FileProblem, match="more than a journal takes"):
        pages.append("note", number=1, text="x" * LINE_MOST)
    pages.append("note", number=2)
    journal.close()
    assert numbers(here) == [2]


def test_wherever_the_disk_fails_whoever_was_told_that_it_went_well_finds_it(here: Store) -> None:
    for at in range(1, 40):
        run = f"run-{at}"
        try:
            journal = Journal.create(here, run, {}, disk=Broken(at, times=2))
        except FileProblem:
            continue
        pages, told = Pages(journal), []
        for number in range(6):
            try:
                pages.append("note", number=number)
                told.append(number)
            except FileProblem:
                continue
        journal.close()
        found = [entry.facts["number"] for entry in read(here, run)[1:]]
        assert set(told) <= set(found)
        assert found == sorted(found)


def recorded(here: Store, outcome: Outcome) -> Record:
    journal = Journal.create(here, "run", {})
    ledger = Local(here)
    Papers(here, journal, {"app@eu": ledger}, Impatient(), lambda text: text).record(JOB, outcome)
    journal.close()
    [found] = ledger.get("dev", "eu", "app")
    return found


def test_a_success_is_recorded_with_what_was_seen(here: Store) -> None:
    live = Live("v2", "c2", "f2", "run", detail={"digest": "sha256:1"})
    found = recorded(here, Outcome("app@eu", "app", "succeeded", live=live))
    assert (found.version, found.commit, found.fingerprint, found.verdict) == ("v2", "c2", "f2", "succeeded")
    assert (found.run, dict(found.detail), found.when[:10]) == ("run", {"digest": "sha256:1"}, "2026-11-20")


def test_what_runs_unchanged_has_the_content_that_was_to_be_deployed(here: Store) -> None:
    found = recorded(here, Outcome("app@eu", "app", "unchanged", live=Live("v1", "c1", "f1")))
    assert (found.version, found.commit, found.fingerprint) == ("v1", "c2", "f2")


def test_after_a_rollback_nothing_of_the_new_version_is_recorded_as_live(here: Store) -> None:
    found = recorded(here, Outcome("app@eu", "app", "rolled-back", live=Live("v1", "c1")))
    assert (found.version, found.commit, found.fingerprint, found.verdict) == ("v1", "c1", "", "rolled-back")


def test_what_failed_unseen_is_recorded_as_tried(here: Store) -> None:
    found = recorded(here, Outcome("app@eu", "app", "failed"))
    assert (found.version, found.commit, found.verdict) == ("v2", "c2", "failed")


def test_a_later_process_writes_on_in_a_steps_log(here: Store, tmp_path: Path) -> None:
    journal = Journal.create(here, "run", {})
    papers = Papers(here, journal, {}, world(tmp_path, Impatient(), None).clock, lambda text: text.replace("hunter2", "[redacted]"))
    for line in ("one hunter2", "two"):
        log = papers.log("app@eu")
        log.write(line)
        log.close()
    journal.close()
    assert Path(log.path).read_text() == "one [redacted]\ntwo\n"
