"""The journal of a run: what it intended and what came of it, one line each, on disk before
anything depends on it.

A line is JSON with a checksum of itself at the end; it names its run and its number. An incomplete
last line is what a crash leaves, and is dropped. Anything else that does not fit is damage, and is
not guessed at.
"""

import errno
import fcntl
import json
import os
import re
from binascii import crc32
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from threading import Lock
from time import sleep
from typing import Any

import msgspec
from msgspec import Struct

from toolkit.advice import NextCommand
from toolkit.errors import FileIsThere, FileProblem, LockHeld, Refused, StateDamaged
from toolkit.operations import Usage
from toolkit.ports.clock import Clock, SystemClock
from toolkit.ports.disk import (
    Disk,
    error_text,
    file_error,
    lock,
    open_own,
    open_state,
    sync_folder,
    unlock,
    write_all,
)
from toolkit.ports.disk import read as read_file
from toolkit.ports.disk import write as write_file
from toolkit.record.state import Store

VERSION = 1
LINE_MOST, FILE_MOST = 1 << 20, 1 << 26
FOLDER = "runs"
FOREIGN = ".foreign"
"""The ending of the mark beside a journal some lines of which come from a bucket."""
LOCK_TRIES, LOCK_PAUSE_S = 3, 0.02
"""`being_written` holds the lock for a moment: how often, and how many seconds apart, it is asked
for before that counts.
"""

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}')
_SEAL_LENGTH = len(',"crc":"00000000"}')
_TWO_LINES = re.compile(rb'"crc":"[0-9a-f]{8}"\}.\{"v":\d+,"n":', re.DOTALL)
"""Where one line ends and the next begins, whatever byte stands between them: what is torn is one
line, never two.
"""
_OTHER_VERSION = re.compile(rb'\{"v":(\d{1,9}),')
_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"


class EntryState(StrEnum):
    """What a line of a journal says. RUN: which steps the run has; INTENT: what comes next;
    ACCEPTED: what the cloud answered; OUTCOME: how a step ended; END: how the run ended.
    """

    RUN = "run"
    INTENT = "intent"
    ACCEPTED = "accepted"
    OUTCOME = "outcome"
    NOTE = "note"
    END = "end"


class JournalEntry(Struct, frozen=True):
    """One line. `at` is ISO 8601 in UTC, for people; `n` counts from 1 and gives the order."""

    n: int
    at: str
    state: EntryState
    step: str | None
    facts: Mapping[str, Any]


class _Line(Struct, forbid_unknown_fields=True):
    v: int
    n: int
    at: str
    run: str
    step: str | None
    state: EntryState
    facts: dict[str, Any]
    crc: str


class _TornLine(Exception):
    """A line whose checksum is wrong."""


class _InvalidLine(Exception):
    """A line with a valid checksum that cannot be part of this journal."""


def new_run_id(now: datetime) -> str:
    """A name for a run that sorts by time, such as `20261120-193742-x7k2`. It may be taken:
    Journal.create says so.
    """
    import secrets  # only here: `diff` makes no runs

    return f"{now:%Y%m%d-%H%M%S}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"


def is_run_name(name: str) -> bool:
    """Whether this is a valid name of a run."""
    return _RUN.fullmatch(name) is not None


def path_of(store: Store, run: str) -> str:
    """The path of a run's journal. Raises Refused for an invalid name."""
    if not _RUN.fullmatch(run):
        raise Refused(f"{run} is not the name of a run", ("see", NextCommand("history")))
    return store.path(FOLDER, f"{run}.jsonl")


def read(store: Store, run: str) -> tuple[JournalEntry, ...]:
    """The lines of a journal without an incomplete last one; the file is left as it is. Raises
    Refused, StateDamaged, FileProblem.
    """
    path = path_of(store, run)
    data = read_file(path, FILE_MOST)
    if data is None:
        raise _no_run(run)
    return parse(data, run, path)[0]


def parse(data: bytes, run: str, path: str) -> tuple[tuple[JournalEntry, ...], int]:
    """The lines of a journal, and how many bytes they take: what follows is an incomplete line.
    Raises StateDamaged. Pure.
    """
    if len(data) > FILE_MOST:
        raise StateDamaged(path=path, reason=f"it is larger than {FILE_MOST >> 20} MB")
    entries: list[JournalEntry] = []
    steps = _KnownSteps()
    start = 0
    while start < len(data):
        number = len(entries) + 1
        end = data.find(b"\n", start)
        is_last = end < 0 or end + 1 == len(data)
        try:
            if (len(data) if end < 0 else end) - start > LINE_MOST:
                raise _InvalidLine(f"is longer than {LINE_MOST >> 20} MB")
            if end < 0:
                raise _TornLine
            entry = _decode(data[start:end], run, number)
            steps.check(entry)
        except _TornLine:
            # A crash leaves a last line that is not whole. A whole first line was on disk before
            # anything else was done, and a line with another behind it was whole once.
            after_crash = end < 0 or number > 1
            if is_last and after_crash and not _TWO_LINES.search(data, start):
                break
            reason = f"line {number} (at byte {start}) is damaged"
            raise StateDamaged(path=path, reason=reason) from None
        except _InvalidLine as problem:
            reason = f"line {number} (at byte {start}) {problem}"
            raise StateDamaged(path=path, reason=reason) from None
        entries.append(entry)
        start = end + 1
    return tuple(entries), start


def _decode(line: bytes, run: str, number: int) -> JournalEntry:
    # Before the checksum: another version may compute it in another way.
    version = _OTHER_VERSION.match(line)
    if number == 1 and version and int(version[1]) != VERSION:
        raise _InvalidLine(
            f"was written by another version of toolkit (format {int(version[1])}, this one reads"
            f" {VERSION})"
        )
    seal = _SEAL.fullmatch(line[-_SEAL_LENGTH:])
    if seal is None or int(seal[1], 16) != crc32(line[:-_SEAL_LENGTH]):
        raise _TornLine
    try:
        fields = msgspec.convert(json.loads(line), _Line)
    except (ValueError, RecursionError) as problem:
        raise _InvalidLine(f"cannot be read: {type(problem).__name__}") from None
    if fields.v != VERSION:
        raise _InvalidLine(f"has another format ({fields.v})")
    if fields.run != run:
        raise _InvalidLine("belongs to another run")
    if fields.n != number:
        raise _InvalidLine(f"has the number {fields.n}")
    return JournalEntry(fields.n, fields.at, fields.state, fields.step, fields.facts)


class _KnownSteps:
    """The steps that a run has announced. A line about any other step is damage."""

    def __init__(self) -> None:
        self._targets: dict[str, str] | None = None

    def check(self, entry: JournalEntry) -> None:
        """Check the next line. Raises _InvalidLine."""
        if entry.n == 1 and entry.state != EntryState.RUN:
            raise _InvalidLine("does not begin a run")
        jobs = entry.facts.get("jobs") if entry.state == EntryState.RUN else None
        if isinstance(jobs, (list, tuple)):
            self._targets = self._targets or {}
            for job in jobs:
                if isinstance(job, dict) and "step" in job:
                    self._targets[str(job["step"])] = str(job.get("target", ""))
        if entry.step is None or self._targets is None:
            return
        if entry.step not in self._targets:
            raise _InvalidLine("is of a step that this run does not have")
        target = entry.facts.get("target")
        if isinstance(target, str) and self._targets[entry.step] not in ("", target):
            raise _InvalidLine("is of another target than its step")


def _encode(entry: JournalEntry, run: str) -> bytes:
    """A line's bytes. Strings that are not UTF-8 are escaped. Raises TypeError, ValueError for
    facts that are not JSON.
    """
    line = {
        "v": VERSION,
        "n": entry.n,
        "at": entry.at,
        "run": run,
        "step": entry.step,
        "state": entry.state,
        "facts": entry.facts,
    }
    text = json.dumps(line, separators=(",", ":"), allow_nan=False, default=msgspec.to_builtins)
    body = text[:-1].encode("ascii")  # without the last brace: the checksum goes before it
    return body + b',"crc":"%08x"}\n' % crc32(body)


class Journal:
    """A journal that only this process writes, made by `create` or `reopen`. Every line is on disk
    when `append` returns.
    """

    def __init__(self, run: str, path: str, descriptor: int, clock: Clock, disk: Disk) -> None:
        self.run, self.path = run, path
        self._descriptor, self._clock, self._disk = descriptor, clock, disk
        self._set((), 0)
        self._lock = Lock()
        self.watcher: Callable[[JournalEntry], None] | None = None
        """Called with each line once it is on disk; it must not take long."""

    def _set(self, entries: tuple[JournalEntry, ...], size: int) -> None:
        """Continue after these lines, which take `size` bytes on disk."""
        self.entries, self._size, self._n = entries, size, len(entries)
        self._torn = False
        self._steps = _KnownSteps()
        for entry in entries:
            self._steps.check(entry)

    @property
    def size(self) -> int:
        """How many bytes of complete lines are on disk."""
        return self._size

    def content(self, size: int) -> bytes:
        """The first `size` bytes of the file. Raises FileProblem."""
        with self._lock:
            try:
                return os.pread(self._descriptor, size, 0)
            except OSError as error:
                raise FileProblem(path=self.path, reason=_reason(error)) from None

    def adopt(self, same: int, rest: bytes) -> None:
        """Continue from another machine's version: the first `same` bytes stay, `rest` replaces
        what follows. A crash in between leaves a valid journal with fewer lines. Raises
        StateDamaged, FileProblem.
        """
        with self._lock:
            entries, size = parse(os.pread(self._descriptor, same, 0) + rest, self.run, self.path)
            write_file(self.path + FOREIGN, b"", disk=self._disk)
            try:
                # Shortened and on disk first: a crash must not leave lines of both versions.
                self._disk.cut(self._descriptor, same)
                self._disk.sync(self._descriptor)
                write_all(self._disk, self._descriptor, rest)
                self._disk.sync(self._descriptor)
            except OSError as error:
                raise FileProblem(path=self.path, reason=_reason(error)) from None
            self._set(entries, size)

    @classmethod
    def create(
        cls,
        store: Store,
        run: str,
        facts: Mapping[str, Any],
        clock: Clock | None = None,
        disk: Disk | None = None,
    ) -> "Journal":
        """A new journal whose first line says what the run is. Raises FileIsThere if the name is
        taken, FileProblem.
        """
        path = path_of(store, run)
        store.subfolder(FOLDER)
        port = disk or Disk()
        try:
            # Exclusive: two processes that draw the same name must not share a journal.
            descriptor = _open(path, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            raise FileIsThere(path=path) from None
        except OSError as error:
            raise FileProblem(path=path, reason=_reason(error)) from None
        journal = cls(run, path, descriptor, clock or SystemClock(), port)
        try:
            _lock(descriptor, store, run)
            # The first line has to be whole before anything else happens: without it nobody could
            # tell whose the later ones are.
            journal.append(EntryState.RUN, **facts)
            _sync_folder(path, port)
        except BaseException:
            journal.close()
            os.unlink(path)
            raise
        return journal

    @classmethod
    def copied(
        cls,
        store: Store,
        run: str,
        data: bytes,
        clock: Clock | None = None,
        disk: Disk | None = None,
    ) -> "Journal":
        """Continue a journal of another machine here; `data` are its lines. If there is one on this
        machine already, that is continued: it may hold more. Raises as `reopen` does.
        """
        path = path_of(store, run)
        store.subfolder(FOLDER)
        if not os.path.lexists(path):
            # Before the lines: none of them is ever taken for one that this machine has written.
            write_file(path + FOREIGN, b"", disk=disk or Disk())
            write_file(path, data, disk=disk or Disk())
        return cls.reopen(store, run, clock, disk)

    @classmethod
    def reopen(
        cls, store: Store, run: str, clock: Clock | None = None, disk: Disk | None = None
    ) -> "Journal":
        """Continue a journal; an incomplete last line is cut off.

        Raises LockHeld if another process writes it, Refused if there is none, StateDamaged,
        FileProblem.
        """
        path = path_of(store, run)
        port = disk or Disk()
        try:
            descriptor = _open(path, 0)
        except FileNotFoundError:
            raise _no_run(run) from None
        except OSError as error:
            raise file_error(path, error) from None
        try:
            _lock(descriptor, store, run)
            data = _content(descriptor)
            entries, size = parse(data, run, path)
            if size < len(data):
                _cut(port, descriptor, size, path)
            journal = cls(run, path, descriptor, clock or SystemClock(), port)
            journal._set(entries, size)
            return journal
        except BaseException:
            unlock(descriptor)
            raise

    def append(self, state: EntryState, step: str | None = None, **facts: Any) -> None:
        """Write one line, and return when it is on disk. Thread-safe.

        Raises FileProblem if that is not possible. Nothing of the line is left then, and later
        lines can be written.
        """
        with self._lock:
            entry, line = self._line(state, step, facts)
            try:
                # The rest of a line that failed could not be removed then. What follows it would be
                # damage.
                if self._torn:
                    self._disk.cut(self._descriptor, self._size)
                write_all(self._disk, self._descriptor, line)
                self._disk.sync(self._descriptor)
            except OSError as error:
                self._torn = True
                self._undo()
                raise FileProblem(path=self.path, reason=_reason(error)) from None
            self._torn = False
            # Only now: a line that failed has no number, and the next one takes it.
            self._n, self._size = entry.n, self._size + len(line)
        # Outside of the lock, for the watcher may read the journal.
        watcher = self.watcher
        if watcher is not None:
            watcher(entry)

    def _line(
        self, state: EntryState, step: str | None, facts: Mapping[str, Any]
    ) -> tuple[JournalEntry, bytes]:
        """The line to write. Raises ValueError, a bug, for one that could not be read again."""
        if self._descriptor < 0:
            raise ValueError("the journal is closed")
        at = self._clock.now().isoformat(timespec="milliseconds")
        entry = JournalEntry(self._n + 1, at, EntryState(state), step, facts)
        line = _encode(entry, self.run)
        # `parse` would refuse it later, and with it the whole journal.
        if len(line) > LINE_MOST:
            raise FileProblem(
                path=self.path, reason=f"a line of {len(line)} bytes is more than a journal takes"
            )
        try:
            self._steps.check(entry)
        except _InvalidLine as problem:
            raise ValueError(f"a line that {problem}") from None
        return entry, line

    def _undo(self) -> None:
        """Remove what was written of a line. If that fails as well, the next `append` or `reopen`
        does it.
        """
        with suppress(OSError):
            self._disk.cut(self._descriptor, self._size)

    def close(self) -> None:
        """Release it, so that others can continue it. Calling it twice is harmless."""
        with self._lock:
            if self._descriptor >= 0:
                unlock(self._descriptor)
                self._descriptor = -1


def _open(path: str, more: int) -> int:
    return open_own(path, os.O_RDWR | os.O_APPEND | more)


def _lock(descriptor: int, store: Store, run: str) -> None:
    """Become the only writer until the descriptor is closed or the process ends. Raises LockHeld,
    FileProblem.
    """
    for _ in range(LOCK_TRIES):
        if lock(descriptor, path_of(store, run)):
            return
        sleep(LOCK_PAUSE_S)
    raise _busy_error(store, run)


def being_written(store: Store, run: str) -> bool:
    """Whether a live process has the journal open for writing. Raises FileProblem."""
    path = path_of(store, run)
    descriptor = open_state(path, os.O_RDONLY)
    try:
        # Shared: two processes that only look must not take each other for a writer.
        return not lock(descriptor, path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileProblem:
        return False  # it cannot be locked there: then nobody can have written it
    finally:
        unlock(descriptor)


def _content(descriptor: int) -> bytes:
    """The content of a file, cut a little above FILE_MOST."""
    parts, size = [], 0
    while size <= FILE_MOST and (part := os.pread(descriptor, 1 << 20, size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _cut(port: Disk, descriptor: int, size: int, path: str) -> None:
    try:
        port.cut(descriptor, size)
        port.sync(descriptor)
    except OSError as error:
        raise FileProblem(path=path, reason=_reason(error)) from None


def _sync_folder(path: str, port: Disk) -> None:
    try:
        sync_folder(os.path.dirname(path), port)
    except OSError as error:
        raise FileProblem(path=path, reason=_reason(error)) from None


def _busy_error(store: Store, run: str) -> LockHeld:
    """The error for a journal that another process writes, which is named by what it wrote of
    itself.
    """
    writer: dict[str, Any] = {}
    with suppress(StateDamaged, FileProblem):  # then its writer is just not named
        for entry in read(store, run):
            if "pid" in entry.facts:
                writer.update(entry.facts)
    owner = (
        f"{writer.get('user', 'somebody')}@{writer.get('host', 'this machine')}"
        f" (process {writer.get('pid', 'unknown')})"
    )
    return LockHeld(target=run, owner=owner, since=run[:15], command=command(writer))


def usage_of(entry: JournalEntry) -> Usage | None:
    """What a step or a run has taken on the machine that has ended it; None where its end does not
    say that. Pure.
    """
    try:
        return msgspec.convert(entry.facts.get("usage"), Usage | None)
    except msgspec.ValidationError:
        return None  # the line may be a colleague's, or a later version's


def command(facts: Mapping[str, Any]) -> str:
    """The command line of a run's facts, as a person would type it."""
    import shlex

    words = facts.get("command", "")
    if isinstance(words, (list, tuple)):
        return shlex.join(map(str, words))
    return str(words)


def has_foreign_lines(store: Store, run: str) -> bool:
    """Whether lines of this machine's journal of a run come from a bucket, where others can write.
    Which machine a line names is no evidence: whoever writes it chooses that.
    """
    return os.path.lexists(path_of(store, run) + FOREIGN)


def last_writer(entries: Sequence[JournalEntry]) -> Mapping[str, Any]:
    """The facts of the process that wrote last, by its own account; empty if no line has them.
    Pure.
    """
    for entry in reversed(entries):
        if "pid" in entry.facts:
            return entry.facts
    return {}


def writer(entries: Sequence[JournalEntry]) -> str:
    """Who wrote last: `ada@vm`. Pure."""
    facts = last_writer(entries)
    return f"{facts.get('user', 'somebody')}@{facts.get('host', 'another machine')}"


def _no_run(run: str) -> Refused:
    return Refused(f"there is no run {run}", ("see", NextCommand("history")))


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({error_text(error)})"
    return error_text(error)
