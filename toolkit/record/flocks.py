"""Locks on this machine: the system frees them with the process, however it ends."""

import errno
import fcntl
import os
from contextlib import suppress

from toolkit.errors import FileProblem, LockLost, Refused, StateDamaged
from toolkit.record import disk, state
from toolkit.record.disk import Disk
from toolkit.record.holder import BODY_MOST, Holder, StopRequest, decoded, encoded, wish_in
from toolkit.record.state import Store

ROOM = "locks"
_UNREADABLE = "unreadable"


class Flock:
    """A lock that this process holds. `previous` is who left it without release, None if nobody
    did.
    """

    def __init__(
        self, name: str, path: str, descriptor: int, previous: Holder | None, id: str = ""
    ) -> None:
        self.name, self.previous = name, previous
        self._path, self._descriptor, self._id = path, descriptor, id

    @property
    def wish(self) -> StopRequest | None:
        """That we stop, as another process of this machine has written beside it."""
        return _wish(self._path, self._id)

    def check(self) -> None:
        """Raises LockLost if somebody has taken the file away: others may lock a new one then."""
        if not _same(self._path, self._descriptor):
            raise LockLost(target=self.name, reason="its file was removed")

    def release(self) -> str | None:
        """Let it go; what went wrong, in words, if anything did. Twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return None
        if self.wish is not None:
            with suppress(OSError):
                os.unlink(_beside(self._path))
        try:
            os.ftruncate(descriptor, 0)
        except OSError as error:
            return f"{self._path}: {disk.why(error)}"
        finally:
            disk.unlock(descriptor)
        return None


class Flocks:
    """The locks of one project's state folder."""

    where = "local"

    def __init__(self, store: Store) -> None:
        self._store = store

    def attempt(
        self, name: str, holder: Holder
    ) -> tuple[Flock | None, Holder | None, float | None]:
        """The lock, or else who has it, and None: nobody knows for how long. Raises StateDamaged,
        FileProblem.
        """
        self._store.room(ROOM)
        path = self._path(name)
        descriptor, body = _locked(path)
        if descriptor is None:
            return None, decoded(body, _UNREADABLE), None
        line = encoded(holder, name)
        try:  # the new line comes before what is left of the old body: others read without a lock
            if os.pwrite(descriptor, line, 0) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(descriptor, len(line))
        except OSError as error:
            disk.unlock(descriptor)
            raise disk.bad_file(path, error) from None
        return (
            Flock(name, path, descriptor, decoded(body, _UNREADABLE) if body else None, holder.id),
            None,
            None,
        )

    def ask(self, name: str, id: str, stop: StopRequest) -> bool:
        """Ask the holder with this id to stop; it looks every second. Raises FileProblem."""
        self._store.room(ROOM)
        path = self._path(name)
        if _wish(path, id) is None:
            by = Holder(stop.who, stop.host, 0, stop.run, stop.command, "", id)
            disk.replace(_beside(path), encoded(by, name, stop=stop), Disk())
        return True

    def show(self) -> list[tuple[str, Holder]]:
        """What is held, by what the files say; nothing is locked in order to look."""
        found: list[tuple[str, Holder]] = []
        with suppress(FileNotFoundError):
            for file in sorted(os.listdir(self._store.path(ROOM))):
                body = (
                    disk.read(self._store.path(ROOM, file), BODY_MOST)
                    if file.endswith(".lock")
                    else None
                )
                if body:
                    found.append(
                        (state.words(file.removesuffix(".lock")), decoded(body, _UNREADABLE))
                    )
        return found

    def force(self, name: str, id: str) -> bool:
        """Forget a holder that has ended without release; False if it is not there. Raises Refused
        if it is alive, or another one.
        """
        path = self._path(name)
        if not os.path.lexists(path):
            return False
        descriptor, body = _locked(path)
        found = decoded(body, _UNREADABLE)
        if descriptor is None:
            raise Refused(
                f"{name} is held by process {found.pid} of this machine, which is alive",
                f"end it first: kill {found.pid}",
            )
        try:
            if body and found.id != id:
                raise Refused(f"{name} has another holder now", f"see `toolkit lock show {name}`")
            os.ftruncate(descriptor, 0)
        finally:
            disk.unlock(descriptor)
        return bool(body)

    def _path(self, name: str) -> str:
        return self._store.path(ROOM, f"{state.file_name(name)}.lock")


def _beside(path: str) -> str:
    """Where a wish is written: the lock's own file is its holder's alone."""
    return f"{path}.stop"


def _wish(path: str, id: str) -> StopRequest | None:
    """The wish that is meant for the holder with this id; one for a holder before says nothing."""
    with suppress(StateDamaged, FileProblem):
        body = disk.read(_beside(path), BODY_MOST)
        if body and decoded(body, _UNREADABLE).id == id:
            return wish_in(body)
    return None


def _locked(path: str) -> tuple[int | None, bytes]:
    """A descriptor that holds the lock, None if another one does; and the body as it is. Raises
    StateDamaged, FileProblem.
    """
    while True:
        try:
            descriptor = disk.open_own(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise disk.bad_file(path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            body = os.pread(descriptor, BODY_MOST + 1, 0)
            os.close(descriptor)
            return None, body
        except OSError as error:
            os.close(descriptor)
            raise disk.unlockable(path, error) from None
        if _same(path, descriptor):
            return descriptor, os.pread(descriptor, BODY_MOST + 1, 0)
        os.close(descriptor)  # it was removed in between: the lock is another file now


def _same(path: str, descriptor: int) -> bool:
    """Whether a path still leads to an open file."""
    try:
        there, ours = os.lstat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
