"""The files of a built site on disk."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator

from msgspec import Struct

from toolkit.errors import FileProblem, Refused
from toolkit.ports import files

CHUNK = 1 << 20
MOST_FILES = 500_000
MOST_FOLDERS = 50_000
"""Links to folders make many of few: each way to a folder counts."""
LARGEST = 5 << 30
"""S3 takes no larger object in one call."""
_GIT = ".git"
_NEVER = frozenset((_GIT, ".toolkit", ".vite"))
"""What is no part of a site. vite's folder has its manifest only; git's is a file in a worktree."""
_NOISE = frozenset((".DS_Store", "Thumbs.db"))


class SourceFile(Struct, frozen=True):
    """A file of the build. `path` is where it really is, all links followed, `digest` its SHA-256
    in hexadecimal, `leads_out` whether a link on the way leads out of the build.
    """

    path: str
    size: int
    digest: str
    leads_out: bool = False


def read_source(root: str, source: str, check: Callable[[], None]) -> dict[str, SourceFile]:
    """All files below a folder of the repository, by key. `check` is called again and again, and
    may raise.

    Raises Refused where the folder leads out of the repository or something cannot be published,
    FileProblem.
    """
    real_root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(root, source))
    if real != real_root and not files.is_inside(real, real_root):
        raise Refused(f"{source} leads out of the repository", "correct `source` in rules.toml")
    # Not where it leads to: a link in its place publishes another folder.
    inside = os.path.join(os.path.normpath(os.path.join(real_root, source)), "")
    found: dict[str, SourceFile] = {}
    for key, path in _walk(real, source, check):
        if len(found) == MOST_FILES:
            raise Refused(f"{source} has more than {MOST_FILES:,} files", "deploy it in parts")
        if _GIT in path.lower() and _is_in_git(path, real_root):
            raise Refused(f"{key} leads into git's own folder", "take the link out of the build")
        found[key] = _read(key, path, not path.startswith(inside), check)
    return found


def _is_in_git(path: str, root: str) -> bool:
    return _GIT in os.path.relpath(path, root).lower().split(os.sep)


def _walk(folder: str, source: str, check: Callable[[], None]) -> Iterator[tuple[str, str]]:
    """Each file's key and real path. Links to folders are followed, but never in a circle."""
    waiting = [("", folder, frozenset((folder,)))]
    folders = 0
    while waiting:
        below, path, above = waiting.pop()
        folders += 1
        if folders > MOST_FOLDERS:
            raise Refused(
                f"{source} has more than {MOST_FOLDERS:,} folders, counting each link to one",
                "see where its links lead",
            )
        check()
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as problem:
            raise FileProblem(path=path, reason=problem.strerror or str(problem)) from None
        for entry in entries:
            if entry.name.lower() in _NEVER or entry.name in _NOISE:
                continue
            key, real = f"{below}{entry.name}", _real(entry)
            if not _is_folder(entry):
                yield _checked_key(key), real
            elif real not in above:
                waiting.append((f"{key}/", real, above | {real}))


def _real(entry: "os.DirEntry[str]") -> str:
    """Where an entry of a real folder really is."""
    if entry.is_symlink():
        return os.path.realpath(entry.path)
    return entry.path


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _checked_key(key: str) -> str:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise Refused(f"the name of {key!r} is not UTF-8", "rename the file") from None
    # What no address can hold could not be checked, nor invalidated.
    if len(encoded) > 900 or min(key) < " ":
        raise Refused(f"{key!r} cannot be the name of an object", "rename the file")
    return key


def _read(key: str, path: str, leads_out: bool, check: Callable[[], None]) -> SourceFile:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"{key} is not a file", "take it out of the build")
            if status.st_size > LARGEST:
                raise Refused(f"{key} is larger than 5 GiB", "take it out of the build")
            whole, size = hashlib.sha256(), 0
            while chunk := file.read(CHUNK):
                whole.update(chunk)
                size += len(chunk)
                if size > CHUNK:
                    check()
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise FileProblem(path=key, reason=reason) from None
    return SourceFile(path, size, whole.hexdigest(), leads_out)
