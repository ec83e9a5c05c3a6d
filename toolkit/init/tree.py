"""The tracked files of a repository as the survey sees them: what there is, and the text of a
few.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from posixpath import dirname, normpath

MOST_READ = 30_000
"""The most files that one survey reads; what lies beyond is said, not guessed."""


_NEVER = {
    "node_modules",
    "vendor",
    "third_party",
    "bower_components",
    "site-packages",
    ".venv",
    "venv",
    "__pycache__",
}
_NEVER |= {"cdk.out", ".aws-sam", ".terraform", ".next", ".devcontainer", "devcontainer"}
"""Folders with the code of others, or with what is made."""


def is_ours(path: str) -> bool:
    """Not vendored, and a name that git and a rules.toml can hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    segments = path.split("/")
    return (
        "\0" not in path
        and {"", ".", ".."}.isdisjoint(segments)
        and _NEVER.isdisjoint(segments[:-1])
    )


def folder_prefix(folder: str) -> str:
    """What the paths in a folder begin with; the empty folder is the root."""
    return f"{folder}/" if folder else ""


def is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it; everything lies in the root."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def clean_path(path: str) -> str:
    """A path without `.` and `..` in it, as far as that is possible; the root is the empty one."""
    clean = normpath(path)
    return "" if clean == "." else clean


class TrackedFiles:
    """Sorted paths, their folders, and a reader that remembers what it has read.

    `candidates` are the paths that may say something of what is deployed: all, unless
    `with_candidates` leaves some out.
    """

    def __init__(self, paths: Iterable[str], read: Callable[[str], str | None]) -> None:
        self.paths = sorted({path for path in paths if path})
        self.candidates = self.paths
        self._files = frozenset(self.paths)
        self._folders: set[str] = {""}
        for path in self.paths:
            self._add_folders(dirname(path))
        self._read, self._texts = read, dict[str, str | None]()
        self._by_folder: dict[str, list[str]] | None = None

    def __contains__(self, path: object) -> bool:
        return path in self._files

    @property
    def capped(self) -> bool:
        """Whether as much has been read as may be."""
        return len(self._texts) >= MOST_READ

    def is_folder(self, path: str) -> bool:
        """Whether a tracked file lies below; the empty path is the root."""
        return path in self._folders

    def below(self, folder: str) -> Iterator[str]:
        """The tracked files in a folder, at any depth."""
        start = folder_prefix(folder)
        index = bisect_left(self.paths, start)
        while index < len(self.paths) and self.paths[index].startswith(start):
            yield self.paths[index]
            index += 1

    def files_in(self, folder: str) -> Iterator[str]:
        """The tracked files that stand in a folder itself."""
        if self._by_folder is None:
            self._by_folder = {}
            for path in self.paths:
                self._by_folder.setdefault(dirname(path), []).append(path)
        yield from self._by_folder.get(folder, ())

    def nearest(self, path: str) -> str:
        """The path itself if it is tracked or a folder of tracked files, else the nearest such
        folder above it.
        """
        while path and path not in self._files and path not in self._folders:
            path = dirname(path)
        return path

    def read(self, path: str) -> str | None:
        """The text of a tracked file; None if it cannot be read, or too much has been read
        already.
        """
        if path not in self._texts:
            if path not in self._files or self.capped:
                return None
            self._texts[path] = self._read(path)
        return self._texts[path]

    def with_candidates(self, keep: Callable[[str], bool]) -> "TrackedFiles":
        """The same repository with fewer candidates."""
        narrowed = copy(self)
        narrowed.candidates = [path for path in self.candidates if keep(path)]
        return narrowed

    def _add_folders(self, folder: str) -> None:
        while folder not in self._folders:
            self._folders.add(folder)
            folder = dirname(folder)
