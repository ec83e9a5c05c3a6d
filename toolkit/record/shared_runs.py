"""Runs in a bucket: journals and logs as they are on the machine that writes them, for colleagues
to read and to continue.

A journal's object is only ever written over the version that its writer wrote or read last. So
whoever continues a run takes it over with the first line, and a writer that comes back later
notices, and writes nothing over it. Others may have written what is read here: it is parsed as
strictly as our own files, limited in size, and never trusted to say what may be deployed.
"""

from collections.abc import Sequence
from itertools import islice

import msgspec
from msgspec import Struct

from toolkit.advice import NextCommand
from toolkit.errors import Refused, StateDamaged
from toolkit.operations import Location
from toolkit.ports.aws.s3 import Bucket
from toolkit.record import journal, state
from toolkit.record.holder import BODY_MOST, decode
from toolkit.record.journal import EntryState, JournalEntry
from toolkit.record.leases import EXPIRY_S, lock_key

FOLDER, LOGS = "runs/", "logs/"
ENDING = ".jsonl"
JOURNAL_MOST = 1 << 23
LOG_MOST = 1 << 22
"""How many bytes of a journal are read and written, and of a log: the last of them."""
MOST_KEYS = 10_000
CUT = b"[what came before is on the machine that wrote it]\n"


class SharedRun(Struct, frozen=True):
    """One run in a bucket: its bytes, its lines, and the etag to write over."""

    run: str
    data: bytes
    entries: tuple[JournalEntry, ...]
    etag: str

    @property
    def writer(self) -> str:
        """Who wrote last: `ada@vm`."""
        return journal.writer(self.entries)


class SharedRuns:
    """The runs in one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def names(self, most: int, month: str) -> list[tuple[str, str]]:
        """The newest runs with their etags, newest first. `month` is this month as in a run's name:
        if it has enough runs, no other is listed. Raises CloudError, Refused.
        """
        names = self._named(month)
        if len(names) < most:
            names = self._named("")
        return names[:most]

    def _named(self, beginning: str) -> list[tuple[str, str]]:
        names: list[tuple[str, str]] = []
        # No more are looked at: who may write to the bucket may fill it with names.
        for key, etag in islice(self._bucket.listed(FOLDER + beginning), MOST_KEYS):
            name = key.removeprefix(FOLDER).removesuffix(ENDING)
            if key.endswith(ENDING) and journal.is_run_name(name):
                names.append((name, etag))
        return sorted(names, reverse=True)

    def get(self, run: str) -> SharedRun | None:
        """A run, None if it is not there. Raises StateDamaged, CloudError, Refused."""
        key = _journal_key(run)
        stored = self._bucket.get(key, JOURNAL_MOST)
        if stored is None:
            return None
        path = self._bucket.address(key)
        if len(stored.body) > JOURNAL_MOST:
            raise StateDamaged(path=path, reason=f"it is larger than {JOURNAL_MOST >> 20} MB")
        entries, size = journal.parse(stored.body, run, path)
        # A second first line could name other steps than those that a person has seen and agreed
        # to.
        if any(entry.state == EntryState.RUN for entry in entries[1:]):
            raise StateDamaged(path=path, reason="it begins a run more than once")
        return SharedRun(run, stored.body[:size], entries, stored.etag)

    def put(self, run: str, data: bytes, over: str | None) -> str | None:
        """Write a journal over the version with this etag (None: there is none); its new etag, None
        if the object is another version.
        """
        return self._bucket.put(_journal_key(run), data, over, patient=False)

    def log(self, run: str, step: str) -> tuple[bytes, str] | None:
        """The log of a step, at most LOG_MOST bytes of it, and its etag; None if it is not there.
        Raises CloudError, Refused.
        """
        stored = self._bucket.get(_log_key(run, step), LOG_MOST + len(CUT))
        return None if stored is None else (stored.body, stored.etag)

    def put_log(self, run: str, step: str, data: bytes, over: str | None) -> str | None:
        """Write the end of a log, under the same condition as `put`."""
        if len(data) > LOG_MOST:
            data = CUT + data[-LOG_MOST:].partition(b"\n")[2]
        return self._bucket.put(_log_key(run, step), data, over, patient=False)

    def at_work(self, run: str, lock: str) -> bool:
        """Whether the holder of this lock works on the run, and has renewed the lock in time.
        Raises CloudError, Refused.
        """
        stored = self._bucket.get(lock_key(lock), BODY_MOST)
        if stored is None:
            return False
        fresh = (stored.now - stored.modified).total_seconds() <= EXPIRY_S
        by = decode(stored.body, stored.etag)
        return fresh and by.run == run and not by.ended


def location_of(entries: Sequence[JournalEntry]) -> Location | None:
    """The location of a run's first job, None if it cannot be read. Pure."""
    jobs = entries[0].facts.get("jobs") if entries else None
    if not isinstance(jobs, list) or not jobs or not isinstance(jobs[0], dict):
        return None
    try:
        return msgspec.convert(jobs[0].get("place"), Location)
    except msgspec.ValidationError:
        return None


def common_length(first: bytes, second: bytes) -> int:
    """How many bytes of complete lines two journals share at their beginning. Pure."""
    most = min(len(first), len(second))
    low, high = 0, most
    # Journals may be megabytes long: comparing slices is much faster than comparing bytes one by
    # one.
    while low < high:
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return first.rfind(b"\n", 0, low) + 1


def _journal_key(run: str) -> str:
    if not journal.is_run_name(run):
        raise Refused(f"{run} is not the name of a run", ("see", NextCommand("history")))
    return f"{FOLDER}{run}{ENDING}"


def _log_key(run: str, step: str) -> str:
    _journal_key(run)
    return f"{LOGS}{run}/{state.file_name(step)}.log"
