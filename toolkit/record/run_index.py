"""What the journals of runs that have ended say, in a line each: a cache, so that a command does
not read thousands of journals again.

A line is the run's name, its journal's size and time of change, `open` where a step has no outcome
(else `done`), and the summary as JSON. Lines are only added; of two with one name the later counts.
A line that is not read is not decoded.
"""

import json
import os
from collections.abc import Collection
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from toolkit.errors import FileProblem, StateDamaged
from toolkit.ports import disk
from toolkit.record.state import Store

FILE, FILE_MOST = "runs.index", 1 << 28
FORMER_FILE = "runs.index.json"
"""What earlier versions wrote."""
DONE, OPEN = b"done", b"open"

Kept = TypeVar("Kept", bound=Struct)


class RunIndex(Generic[Kept]):
    """The index of a project's runs, as it was when it was opened."""

    def __init__(self, store: Store, kind: type[Kept]) -> None:
        self._path, self._former = store.path(FILE), store.path(FORMER_FILE)
        self._kind = kind
        self._known: dict[bytes, bytes] = {}
        self._new: list[bytes] = []
        try:
            lines = (disk.read(self._path, FILE_MOST) or b"").split(b"\n")
        except (StateDamaged, FileProblem):
            lines = [b""]
        self._count = len(lines)
        # What does not end in a line end was not written whole.
        for line in lines[:-1]:
            name, _, rest = line.partition(b" ")
            self._known[name] = rest

    def is_done(self, name: str, stat: os.stat_result) -> bool:
        """Whether it is known that this run has ended, and has left nothing open."""
        return self._known.get(os.fsencode(name), b"").startswith(_mark(stat) + DONE + b" ")

    def get(self, name: str, stat: os.stat_result) -> Kept | None:
        """What is known of a run whose journal is as it was then; None if nothing is."""
        rest = self._known.get(os.fsencode(name), b"")
        mark = _mark(stat)
        if not rest.startswith(mark):
            return None
        try:
            return msgspec.convert(json.loads(rest[len(mark) + len(DONE) :]), self._kind)
        except (ValueError, RecursionError):
            return None  # it is made anew

    def add(self, name: str, stat: os.stat_result, summary: Kept, is_open: bool) -> None:
        """Keep what a journal says."""
        text = json.dumps(msgspec.to_builtins(summary)).encode("ascii")
        rest = b"%b%b %b" % (_mark(stat), OPEN if is_open else DONE, text)
        self._known[os.fsencode(name)] = rest
        self._new.append(b"%b %b\n" % (os.fsencode(name), rest))

    def save(self, names: Collection[str]) -> None:
        """Write down what is new. `names` are all runs there are: once most lines are of none of
        them, the file is written anew.
        """
        if not self._new:
            return
        try:
            if self._count + len(self._new) > 2 * len(names) + 100:
                here = {os.fsencode(name) for name in names}
                lines = [b"%b %b\n" % (key, self._known[key]) for key in self._known if key in here]
                disk.write(self._path, b"".join(lines))
            else:
                self._append(b"".join(self._new))
            if os.path.lexists(self._former):
                os.unlink(self._former)
        except (OSError, FileProblem, StateDamaged):
            return  # the next one reads the journals again

    def _append(self, data: bytes) -> None:
        descriptor = disk.open_own(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            # A line that was torn is ended, so that only that one is lost.
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data
            os.write(descriptor, data)
        finally:
            os.close(descriptor)


def _mark(stat: os.stat_result) -> bytes:
    # By size and time: notes may follow the end, and another machine's copy may replace it.
    return b"%d %d " % (stat.st_size, stat.st_mtime_ns)
