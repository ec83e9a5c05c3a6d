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
LARGEST = 5 << 30
"""S3 takes no larger object in one call."""
_NEVER = frozenset((".git", ".toolkit", ".vite"))
"""Folders that are no part of a site. vite's has its manifest only."""
_NOISE = frozenset((".DS_Store", "Thumbs.db"))


class SourceFile(Struct, frozen=True):
    """A file of the build. `path` is where it is, `digest` its SHA-256 in hexadecimal, `leads_out`
    whether a link on the way leads out of the build.
    """

    key: str
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
    folder = os.path.join(root, source)
    real_root = os.path.realpath(root)
    if os.path.realpath(folder) != real_root and not files.is_inside(folder, root):
        raise Refused(f"{source} leads out of the repository", "correct `source` in rules.toml")
    real = os.path.realpath(folder)
    found: dict[str, SourceFile] = {}
    for key, path, linked in _walk(folder, check):
        if len(found) == MOST_FILES:
            raise Refused(f"{source} has more than {MOST_FILES:,} files", "deploy it in parts")
        leads_out = linked and not files.is_inside(path, real)
        found[key] = _read(key, path, leads_out, check)
    return found


def _walk(folder: str, check: Callable[[], None]) -> Iterator[tuple[str, str, bool]]:
    """Each file's key and path, and whether there is a link on the way. Links to folders are
    followed, but never in a circle.
    """
    waiting = [("", folder, False, frozenset((os.path.realpath(folder),)))]
    while waiting:
        below, path, linked, above = waiting.pop()
        check()
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as problem:
            raise FileProblem(path=path, reason=problem.strerror or str(problem)) from None
        for entry in entries:
            key = f"{below}{entry.name}"
            if _is_folder(entry):
                real = os.path.realpath(entry.path)
                if entry.name not in _NEVER and real not in above:
                    is_linked = linked or entry.is_symlink()
                    waiting.append((f"{key}/", entry.path, is_linked, above | {real}))
            elif entry.name not in _NOISE:
                yield _checked_key(key), entry.path, linked or entry.is_symlink()


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
    if len(encoded) > 900 or any(char < " " for char in key):
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
        raise FileProblem(path=path, reason=reason) from None
    return SourceFile(key, path, size, whole.hexdigest(), leads_out)
