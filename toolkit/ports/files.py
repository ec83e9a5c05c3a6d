"""Reading files safely, and the folders that are ours."""

import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress

from toolkit.errors import FileProblem, NoRules, StateDamaged

RULES = ("rules.toml", os.path.join(".toolkit", "rules.toml"))


def find_rules(folder: str, root: str | None) -> str:
    """The rules.toml of a folder or the nearest one above it, up to the repository's root (if
    `root` is None: a `.git`). Raises NoRules.
    """
    current = os.path.abspath(folder)
    stop = os.path.realpath(root) if root else None
    while True:
        for name in RULES:
            path = os.path.join(current, name)
            if os.path.isfile(path):
                return path
        if stop:
            is_root = os.path.realpath(current) == stop
        else:
            is_root = os.path.lexists(os.path.join(current, ".git"))
        if is_root or current == os.path.dirname(current):
            raise NoRules(folder=folder)
        current = os.path.dirname(current)


def locations_of_rules(path: str, folder: str) -> list[str]:
    """Where rules.toml could have been found from a folder of the repository, nearest first; `path`
    is where it is today.
    """
    paths: list[str] = []
    while True:
        paths += [os.path.normpath(os.path.join(folder, name)) for name in RULES]
        if folder in ("", "."):
            return paths if path in paths else [path, *paths]
        folder = os.path.dirname(folder)


def read(path: str, most: int | None = None) -> bytes:
    """A file's bytes, at most `most` and one more. A pipe of the shell (`<(…)`) is read, too.
    Raises FileProblem.
    """
    try:
        with open(path, "rb", opener=_regular) as file:
            return file.read(-1 if most is None else most + 1)
    except OSError as error:
        raise FileProblem(path=path, reason=error.strerror or str(error)) from None


def size(path: str) -> int | None:
    """A file's size in bytes; None for a pipe, and if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


_SHELLS = ("/dev/fd/", "/dev/stdin", "/dev/null", "/proc/self/fd/", f"/proc/{os.getpid()}/fd/")
"""Where a shell's own pipes are: `<(...)`."""


def _regular(path: str, flags: int) -> int:
    """Open without waiting: a FIFO in a stranger's repository would block for ever. Only what the
    shell itself passes on may take its time.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise IsADirectoryError(21, "it is a folder, not a file")
    if not stat.S_ISREG(mode):
        if not os.path.abspath(path).startswith(_SHELLS):
            os.close(descriptor)
            raise OSError(22, "it is not a regular file; to read from a pipe, use standard input")
        os.set_blocking(descriptor, True)
    return descriptor


def read_input() -> bytes:
    """All of standard input."""
    return sys.stdin.buffer.read()


def check_writable(path: str) -> None:
    """Check that a file can be written, before the work that fills it. Raises FileProblem."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise FileProblem(path=path, reason="it is a folder")
    if not os.path.isdir(folder):
        raise FileProblem(path=path, reason="there is no such folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileProblem(path=path, reason="its folder cannot be written to")


def is_folder(path: str) -> bool:
    """Whether there is a folder of that name (a link to one is a link)."""
    return os.path.isdir(path) and not os.path.islink(path)


def relative(path: str, root: str) -> str | None:
    """A path as seen from the repository's root, None if it lies outside. A last link is not
    followed: git tracks the link.
    """
    folder, name = os.path.split(os.path.abspath(path))
    inside = os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(root))
    return None if _leads_out(inside) else inside


def _leads_out(relative_path: str) -> bool:
    return relative_path == ".." or relative_path.startswith(".." + os.sep)


def is_inside(path: str, folder: str) -> bool:
    """Whether a path, with all links followed, lies in a folder."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))


def within(root: str, name: str) -> str:
    """The real path of a repository's file, links followed, from the repository's real root. Raises
    FileProblem if that is outside of it.

    What a repository names is a stranger's choice: a link to somebody's keys must not be read, nor
    quoted in an error. The `.git` folder is refused, too: a CI job keeps its token there.
    """
    path = os.path.join(root, name)
    real = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    if _leads_out(real):
        if is_inside(os.path.dirname(path), root):
            raise FileProblem(path=path, reason="it is a link that leads out of the repository")
        raise FileProblem(path=path, reason="it is outside of the repository")
    if ".git" in real.split(os.sep):
        raise FileProblem(path=path, reason="it is in git's own folder")
    return real


def read_inside(root: str, name: str, most: int) -> bytes:
    """The bytes of a repository's file, at most `most` and one more. Raises FileProblem, also for
    one that is not really inside.
    """
    real = within(root, name)
    try:
        # The path may have changed meanwhile, so it is opened without following links.
        descriptor = open_below(os.path.realpath(root), real, os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(22, "it is not a regular file")
            return file.read(most + 1)
    except OSError as error:
        raise FileProblem(
            path=os.path.join(root, name), reason=error.strerror or str(error)
        ) from None


def open_below(root: str, path: str, flags: int) -> int:
    """Open a path step by step, so that no link on the way is followed. Raises OSError."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    parts = [part for part in path.split("/") if part]
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        how = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        how |= flags if last else os.O_DIRECTORY
        folder = descriptor
        try:
            descriptor = os.open(part, how, dir_fd=folder)
        finally:
            os.close(folder)
    return descriptor


def text_inside(root: str, name: str, most: int = 256 * 1024) -> str | None:
    """The text of a repository's file. None if it is missing, larger than `most` bytes, no text, or
    not really inside (a link out).
    """
    try:
        data = read_inside(root, name, most)
        return None if len(data) > most else data.decode()
    except (FileProblem, UnicodeDecodeError):
        return None


def digest(path: str) -> str:
    """Mode and digest of one file: for a link of its target's path, for what is neither its type
    alone. Never raises.
    """
    import hashlib

    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return f"link {hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()}"
        if not stat.S_ISREG(mode):
            return f"other {stat.S_IFMT(mode)}"
        with open(path, "rb", opener=_no_link) as file:
            return f"{mode & 0o111 != 0} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        return f"missing {error.errno}"


def tree_entry(path: str, length: int) -> str | None:
    """Mode and id of a file as git would commit it without any filter; None if there is neither a
    file nor a link, empty if it cannot be read.

    `length` is that of the repository's ids (40 or 64).
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""
    if stat.S_ISLNK(mode):
        kind = "120000"
    elif stat.S_ISREG(mode):
        kind = "100755" if mode & stat.S_IXUSR else "100644"
    else:
        return None
    object_id = blob_id(path, length)
    return f"{kind} {object_id}" if object_id else ""


def blob_id(path: str, length: int) -> str:
    """The id that git gives to the bytes of a file as they are, or to the target of a link; empty
    if it is neither, or cannot be read.

    `length` is that of the repository's ids (40 or 64).
    """
    import hashlib

    object_id = hashlib.new("sha1" if length == 40 else "sha256", usedforsecurity=False)
    try:
        if os.path.islink(path):
            target = os.fsencode(os.readlink(path))
            object_id.update(b"blob %d\0" % len(target) + target)
            return object_id.hexdigest()
        with open(path, "rb", opener=_no_link) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return ""
            object_id.update(b"blob %d\0" % status.st_size)
            while chunk := file.read(1 << 20):
                object_id.update(chunk)
            return object_id.hexdigest()
    except OSError:
        return ""


def beginning(path: str, most: int) -> bytes:
    """The first bytes of a regular file; none for anything else, and what cannot be read. A last
    link is not followed.
    """
    try:
        with open(path, "rb", opener=_no_link) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(most)
    except OSError:
        pass
    return b""


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def own_folder(path: str, what: str, variable: str) -> str:
    """Make a folder for `what` if there is none, and check that it is ours and that nobody else can
    write to it. The environment variable `variable` moves it.

    Raises StateDamaged, FileProblem.
    """
    # Whoever else could write there could have our programs and records replaced.
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        status = os.lstat(path)
    except OSError as error:
        raise FileProblem(path=path, reason=error.strerror or str(error)) from None
    problem = folder_problem(status, os.geteuid(), what)
    if problem:
        raise StateDamaged(
            path=path, reason=f"{problem}; fix that, or set {variable} to another folder"
        )
    return path


def folder_problem(status: os.stat_result, user: int, what: str) -> str | None:
    """Why a folder cannot be trusted with `what`, None if it can."""
    if stat.S_ISLNK(status.st_mode):
        return f"the folder of {what} is a link"
    if not stat.S_ISDIR(status.st_mode):
        return f"the place of {what} is not a folder"
    if status.st_uid != user:
        return f"the folder of {what} belongs to another user ({status.st_uid})"
    if status.st_mode & 0o022:
        return f"others may write to the folder of {what}"
    return None


def own_state(*names: str) -> str:
    """A folder in toolkit's state, created if missing and checked to be ours. Raises StateDamaged,
    FileProblem.
    """
    return _own(os.path.abspath(state_folder()), names, "toolkit's state", "TOOLKIT_STATE_DIR")


def own_cache(cache: str, *names: str) -> str:
    """The same in the cache, since its files are run and deployed."""
    return _own(os.path.abspath(cache), names, "toolkit's cache", "TOOLKIT_CACHE_DIR")


def _own(path: str, names: Sequence[str], what: str, variable: str) -> str:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise FileProblem(path=path, reason=error.strerror or str(error)) from None
    own_folder(path, what, variable)
    for name in names:
        path = own_folder(os.path.join(path, name), what, variable)
    return path


def state_folder() -> str:
    """The folder of records and crash logs: TOOLKIT_STATE_DIR, or the system's default. It may not
    exist.
    """
    named = os.environ.get("TOOLKIT_STATE_DIR")
    if named:
        return named
    import platformdirs  # only here: loading it takes longer than many a git call

    return str(platformdirs.user_state_path("toolkit"))


def cache_folder() -> str:
    """The folder of what can be made again: TOOLKIT_CACHE_DIR, or the system's default. It may not
    exist.
    """
    named = os.environ.get("TOOLKIT_CACHE_DIR")
    if named:
        return named
    import platformdirs  # only here: loading it takes longer than many a git call

    return str(platformdirs.user_cache_path("toolkit"))
