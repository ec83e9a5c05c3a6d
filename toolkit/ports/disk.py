"""What a file promises, each in one place: it is written whole or not at all and is on the disk
then; it is ours, neither a link nor a pipe; one process at a time holds its lock.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from toolkit.errors import FileIsThere, FileProblem, StateDamaged

LOCK_LOOK_S = 0.1
"""How often a lock is tried while somebody attends to something else meanwhile."""

# Opening a FIFO without O_NONBLOCK waits for its other end, which may never come.
_OWN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Disk:
    """The calls that a full or broken disk makes fail. Tests bring one that does."""

    def write(self, descriptor: int, data: bytes) -> int:
        """Write some of the data; returns the number of bytes written."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return when it is on the disk."""
        os.fsync(descriptor)

    def cut(self, descriptor: int, size: int) -> None:
        """Shorten a file to `size` bytes."""
        os.ftruncate(descriptor, size)


_DISK = Disk()


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Write all of it, in one call where the system lets us: a short write is what a full disk
    gives before its error. Raises OSError.
    """
    written = disk.write(descriptor, data)
    while written < len(data):
        more = disk.write(descriptor, data[written:])
        # A disk that takes nothing and reports no error would have us try for ever.
        if more == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += more


def open_own(path: str, flags: int, mode: int = 0o600) -> int:
    """A descriptor of a regular file of ours, made with `mode` where `flags` say so. No link is
    followed, no FIFO waited for. Raises OSError.
    """
    descriptor = os.open(path, flags | _OWN, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return descriptor


def read(path: str, most: int) -> bytes | None:
    """Read at most `most` + 1 bytes of a file; None if it does not exist. Raises StateDamaged for
    anything but a regular file, FileProblem.
    """
    try:
        descriptor = open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_error(path, error) from None
    with open(descriptor, "rb") as file:
        return file.read(most + 1)


def forget_unused(folder: str, after_s: float) -> None:
    """Delete the files of a folder of the cache that were not written or used for so long."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                if entry.stat().st_mtime < time.time() - after_s:
                    os.unlink(entry.path)


def write(
    path: str, data: bytes, replace: bool = True, mode: int = 0o600, disk: Disk = _DISK
) -> None:
    """Write a file whole or not at all; it is on the disk when this returns, and so is its name.
    Raises FileProblem, FileIsThere if it exists and `replace` is False.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileProblem(path=path, reason="it exists, but it is not a regular file")
    temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.new"
    try:
        descriptor = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            write_all(disk, descriptor, data)
            # Without it a power cut may leave an empty file after the rename.
            disk.sync(descriptor)
        finally:
            os.close(descriptor)
        # A crash before this line leaves the old file, one after it the new one.
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, a link never replaces a file
            os.unlink(temporary)
        sync_folder(os.path.dirname(path), disk)
    except OSError as error:
        with suppress(OSError):  # it may not be there, or where nothing can be written
            os.unlink(temporary)
        if isinstance(error, FileExistsError):
            raise FileIsThere(path=path) from None
        raise FileProblem(path=path, reason=error_text(error)) from None


def sync_folder(folder: str, disk: Disk) -> None:
    """Make the names in a folder as durable as the files. Raises OSError."""
    try:
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # one may write into a folder that one may not read: never one of ours
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def file_error(path: str, error: OSError) -> FileProblem | StateDamaged:
    """The error to report for an error of `open_own`. A link or a device in place of our file was
    not made by us.
    """
    if error.errno == errno.ELOOP:
        return StateDamaged(path=path, reason="it is a link")
    if error.errno == errno.EINVAL:
        return StateDamaged(path=path, reason="it is not a regular file")
    return FileProblem(path=path, reason=error_text(error))


@contextmanager
def exclusive(path: str, attend: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold a file's lock, which the system frees however this process ends, and wait for others to
    do so. `attend` is called again and again meanwhile, and may raise. Yields the descriptor: a
    child that inherits it holds the lock if this process is killed. Raises StateDamaged,
    FileProblem.
    """
    descriptor = open_state(path, os.O_RDWR | os.O_CREAT)
    how = fcntl.LOCK_EX | (fcntl.LOCK_NB if attend else 0)
    try:
        while not lock(descriptor, path, how):
            if attend:
                attend()
            time.sleep(LOCK_LOOK_S)
        yield descriptor
    finally:
        unlock(descriptor)


def open_state(path: str, flags: int) -> int:
    """As `open_own`, for a file of toolkit's state. Raises StateDamaged, FileProblem."""
    try:
        return open_own(path, flags)
    except OSError as error:
        raise file_error(path, error) from None


def lock(descriptor: int, path: str, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> bool:
    """Lock an open file; whether that worked, since another process may have it. Raises
    FileProblem for a file system without locks.
    """
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError as error:
        reason = f"it cannot be locked there ({error_text(error)})"
        raise FileProblem(
            path=path, reason=f"{reason}; set TOOLKIT_STATE_DIR to a local folder"
        ) from None
    return True


def unlock(descriptor: int) -> None:
    """Release a lock and close its file. It is unlocked explicitly: a child that is just being
    started may still have the file open, and the lock would live on in it.
    """
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def error_text(error: OSError) -> str:
    """The system's words for an error."""
    return error.strerror or str(error)
