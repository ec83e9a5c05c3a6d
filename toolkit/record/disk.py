"""Durable writes, and files that only we may have written."""

import errno
import fcntl
import os
import secrets
import stat

from toolkit.errors import FileProblem, StateDamaged

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


def open_own(path: str, flags: int) -> int:
    """A descriptor of a regular file of ours, made 0600 where `flags` say so. No link is followed,
    no FIFO waited for. Raises OSError.
    """
    descriptor = os.open(path, flags | _OWN, 0o600)
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


def replace(path: str, data: bytes, disk: Disk) -> None:
    """Write a file whole or not at all, 0600. Raises FileProblem."""
    temporary = f"{path}.{os.getpid()}.{secrets.token_hex(4)}.new"
    try:
        descriptor = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(disk, descriptor, data)
            disk.sync(descriptor)
        finally:
            os.close(descriptor)
        # A crash before this line leaves the old file, one after it the new one.
        os.replace(temporary, path)
        sync_folder(os.path.dirname(path), disk)
    except OSError as error:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise FileProblem(path=path, reason=error_text(error)) from None


def sync_folder(folder: str, disk: Disk) -> None:
    """Make the names in a folder as durable as the files. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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


def unlock(descriptor: int) -> None:
    """Release a lock and close its file. It is unlocked explicitly: a child that is just being
    started may still have the file open, and the lock would live on in it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def lock_error(path: str, error: OSError) -> FileProblem:
    """The error for a file system without locks, with the way out."""
    reason = f"it cannot be locked there ({error_text(error)})"
    return FileProblem(path=path, reason=f"{reason}; set TOOLKIT_STATE_DIR to a local folder")


def error_text(error: OSError) -> str:
    """The system's words for an error."""
    return error.strerror or str(error)
