"""Locks on this machine. The system frees them when the process ends, however it ends."""

import errno
import os
from contextlib import suppress

from toolkit.advice import NextCommand, ShellCommand
from toolkit.errors import FileProblem, LockLost, Refused, StateDamaged
from toolkit.ports import disk
from toolkit.record import state
from toolkit.record.holder import BODY_MOST, Holder, StopRequest, decode, encode, stop_request_in
from toolkit.record.state import Store

FOLDER = "locks"
_UNREADABLE = "unreadable"


class Flock:
    """A lock that this process holds. `previous` is the holder that ended without releasing it,
    None if there was none.
    """

    def __init__(
        self, name: str, path: str, descriptor: int, previous: Holder | None, id: str = ""
    ) -> None:
        self.name, self.previous = name, previous
        self._path, self._descriptor, self._id = path, descriptor, id

    @property
    def stop_request(self) -> StopRequest | None:
        """The request to stop that another process of this machine has written, None if there is
        none.
        """
        return _read_stop_request(self._path, self._id)

    def check(self) -> None:
        """Raises LockLost if the file was removed: another process may lock a new one then."""
        if not _is_same_file(self._path, self._descriptor):
            raise LockLost(target=self.name, reason="its file was removed")

    def release(self) -> str | None:
        """Release it; returns what went wrong, None if nothing did. Calling it twice is
        harmless.
        """
        # First of all: a second call must not close a descriptor that has been reused by then.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return None
        if self.stop_request is not None:
            with suppress(OSError):
                os.unlink(_stop_request_path(self._path))
        try:
            os.ftruncate(descriptor, 0)
        except OSError as error:
            return f"{self._path}: {disk.error_text(error)}"
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
        """Try to lock: the lock, or else its holder. The third value, the seconds that the lock
        lasts, is never known here. Raises StateDamaged, FileProblem.
        """
        self._store.subfolder(FOLDER)
        path = self._path(name)
        descriptor, body = _lock_file(path)
        if descriptor is None:
            return None, decode(body, _UNREADABLE), None
        line = encode(holder, name)
        try:  # the new line comes before what is left of the old body: others read without a lock
            if os.pwrite(descriptor, line, 0) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(descriptor, len(line))
        except OSError as error:
            disk.unlock(descriptor)
            raise disk.file_error(path, error) from None
        return (
            Flock(name, path, descriptor, decode(body, _UNREADABLE) if body else None, holder.id),
            None,
            None,
        )

    def request_stop(self, name: str, id: str, stop: StopRequest) -> bool:
        """Ask the holder with this id to stop; it polls every second. Raises FileProblem."""
        self._store.subfolder(FOLDER)
        path = self._path(name)
        if _read_stop_request(path, id) is None:
            by = Holder(stop.who, stop.host, 0, stop.run, stop.command, "", id)
            disk.write(_stop_request_path(path), encode(by, name, stop=stop))
        return True

    def show(self) -> list[tuple[str, Holder]]:
        """The locks and their holders, as the files say; nothing is locked to find out."""
        locks: list[tuple[str, Holder]] = []
        with suppress(FileNotFoundError):
            for file in sorted(os.listdir(self._store.path(FOLDER))):
                if not file.endswith(".lock"):
                    continue
                body = disk.read(self._store.path(FOLDER, file), BODY_MOST)
                if body:
                    name = state.decode_file_name(file.removesuffix(".lock"))
                    locks.append((name, decode(body, _UNREADABLE)))
        return locks

    def force(self, name: str, id: str) -> bool:
        """Release the lock of a holder that ended without doing so; False if there is none. Raises
        Refused if the holder is alive, or is another one.
        """
        path = self._path(name)
        if not os.path.lexists(path):
            return False
        descriptor, body = _lock_file(path)
        # We hold the lock here unless there is no descriptor: the holder has ended.
        holder = decode(body, _UNREADABLE)
        if descriptor is None:
            raise Refused(
                f"{name} is held by process {holder.pid} of this machine, which is running",
                ("end it first:", ShellCommand("kill", (str(holder.pid),))),
            )
        try:
            if body and holder.id != id:
                see = ("see", NextCommand("lock show", (name,)))
                raise Refused(f"{name} has another holder now", see)
            os.ftruncate(descriptor, 0)
        finally:
            disk.unlock(descriptor)
        return bool(body)

    def _path(self, name: str) -> str:
        return self._store.path(FOLDER, f"{state.file_name(name)}.lock")


def _stop_request_path(path: str) -> str:
    """The file of a stop request. It is not the lock's own, which only its holder may write."""
    return f"{path}.stop"


def _read_stop_request(path: str, id: str) -> StopRequest | None:
    """The stop request for the holder with this id. One for an earlier holder is ignored."""
    with suppress(StateDamaged, FileProblem):
        body = disk.read(_stop_request_path(path), BODY_MOST)
        if body and decode(body, _UNREADABLE).id == id:
            return stop_request_in(body)
    return None


def _lock_file(path: str) -> tuple[int | None, bytes]:
    """Lock a file: its descriptor, None if another process has the lock, and its content. Raises
    StateDamaged, FileProblem.
    """
    while True:
        descriptor, locked = disk.open_state(path, os.O_RDWR | os.O_CREAT), False
        try:
            locked = disk.lock(descriptor, path)
            # One byte more than allowed shows that the content is too long.
            body = os.pread(descriptor, BODY_MOST + 1, 0)
        finally:
            if not locked:
                os.close(descriptor)
        if not locked:
            return None, body
        # Locked, but is it still the file that others would open?
        if _is_same_file(path, descriptor):
            return descriptor, body
        os.close(descriptor)  # it was removed in between: the lock is another file now


def _is_same_file(path: str, descriptor: int) -> bool:
    """Whether a path still leads to this open file."""
    try:
        in_folder, ours = os.lstat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (in_folder.st_dev, in_folder.st_ino) == (ours.st_dev, ours.st_ino)
