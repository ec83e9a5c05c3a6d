"""Runs in a bucket: journals and logs as they stand on the machine that writes them, for colleagues
to read and to go on with.

A journal's object is only ever written over the one that its writer wrote or read last. So who goes
on with a run takes it over in the moment of the first line, and whoever comes back later notices,
and writes nothing over it. What is read here, others may have written: it is parsed as strictly as
a file of ours, capped, and never trusted to say what may be deployed.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from toolkit.errors import Refused, StateDamaged
from toolkit.model import Location
from toolkit.ports.aws.s3 import Bucket
from toolkit.record import journal, state
from toolkit.record.holder import BODY_MOST, decoded
from toolkit.record.journal import JournalEntry
from toolkit.record.leases import EXPIRY_S, key_of

ROOM, LOGS = "runs/", "logs/"
ENDING = ".jsonl"
JOURNAL_MOST = 1 << 23
LOG_MOST = 1 << 22
"""How many bytes of a journal are read and written, and of a log: the last of them."""
MOST_KEYS = 10_000
CUT = b"[what came before is on the machine that wrote it]\n"


class SharedRun(Struct, frozen=True):
    """One run as it is in a bucket: its bytes, the lines in them, and the etag to write over."""

    run: str
    data: bytes
    entries: tuple[JournalEntry, ...]
    etag: str

    @property
    def writer(self) -> str:
        """Who wrote last: `ada@vm`."""
        facts = last_writer(self.entries)
        return f"{facts.get('user', 'somebody')}@{facts.get('host', 'another machine')}"


class SharedRuns:
    """The runs in one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def names(self, most: int, month: str) -> list[tuple[str, str]]:
        """The newest runs with their etags, newest first. `month` is the one of today, as in a
        run's name: where it has enough, no other is looked at. Raises CloudError, Refused.
        """
        found = self._named(month)
        if len(found) < most:
            found = self._named("")
        return found[:most]

    def _named(self, beginning: str) -> list[tuple[str, str]]:
        listed = islice(self._bucket.listed(ROOM + beginning), MOST_KEYS)
        names = [
            (key.removeprefix(ROOM).removesuffix(ENDING), etag)
            for key, etag in listed
            if key.endswith(ENDING)
        ]
        return sorted(((name, etag) for name, etag in names if journal.is_run(name)), reverse=True)

    def get(self, run: str) -> SharedRun | None:
        """A run, None if it is not there. Raises StateDamaged, CloudError, Refused."""
        key = _journal_key(run)
        found = self._bucket.get(key, JOURNAL_MOST)
        if found is None:
            return None
        path = self._bucket.address(key)
        if len(found.body) > JOURNAL_MOST:
            raise StateDamaged(path=path, reason=f"it is larger than {JOURNAL_MOST >> 20} MB")
        entries, size = journal.parse(found.body, run, path)
        if any(entry.state == "run" for entry in entries[1:]):
            raise StateDamaged(path=path, reason="it begins a run more than once")
        return SharedRun(run, found.body[:size], entries, found.etag)

    def put(self, run: str, data: bytes, over: str | None) -> str | None:
        """Write a journal over the one with this etag, or where there is none; its new etag, None
        if another one is there.
        """
        return self._bucket.put(_journal_key(run), data, over, patient=False)

    def log(self, run: str, step: str) -> tuple[bytes, str] | None:
        """The log of a step, at most LOG_MOST bytes of it, and its etag; None if it is not there.
        Raises CloudError, Refused.
        """
        found = self._bucket.get(_log_key(run, step), LOG_MOST + len(CUT))
        return None if found is None else (found.body, found.etag)

    def put_log(self, run: str, step: str, data: bytes, over: str | None) -> str | None:
        """Write the last of a log, as `put` does."""
        shown = data if len(data) <= LOG_MOST else CUT + data[-LOG_MOST:].partition(b"\n")[2]
        return self._bucket.put(_log_key(run, step), shown, over, patient=False)

    def at_work(self, run: str, lock: str) -> bool:
        """Whether whoever holds this lock does so for the run, and has renewed it. Raises
        CloudError, Refused.
        """
        found = self._bucket.get(key_of(lock), BODY_MOST)
        if found is None:
            return False
        fresh = (found.now - found.modified).total_seconds() <= EXPIRY_S
        by = decoded(found.body, found.etag)
        return fresh and by.run == run and not by.ended


def last_writer(entries: Sequence[JournalEntry]) -> Mapping[str, Any]:
    """The facts of the process that wrote last, as it says itself; none if no line says so.
    Pure.
    """
    return next((entry.facts for entry in reversed(entries) if "pid" in entry.facts), {})


def location_of(entries: Sequence[JournalEntry]) -> Location | None:
    """The place of a run's first job, None if it has none that can be read. Pure."""
    jobs = entries[0].facts.get("jobs") if entries else None
    location = (
        jobs[0].get("place")
        if isinstance(jobs, list) and jobs and isinstance(jobs[0], dict)
        else None
    )
    try:
        return msgspec.convert(location, Location)
    except msgspec.ValidationError:
        return None


def common(one: bytes, other: bytes) -> int:
    """How many bytes of whole lines two journals have in common from their beginning. Pure."""
    most = min(len(one), len(other))
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return one.rfind(b"\n", 0, low) + 1


def _journal_key(run: str) -> str:
    if not journal.is_run(run):
        raise Refused(f"{run} is not the name of a run", "see `toolkit history`")
    return f"{ROOM}{run}{ENDING}"


def _log_key(run: str, step: str) -> str:
    _journal_key(run)
    return f"{LOGS}{run}/{state.file_name(step)}.log"
