"""The files of a build context: found once without following a link, opened later only if they
still are what was found.
"""

import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator
from enum import StrEnum
from posixpath import basename, dirname, join, normpath

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.formats.dockerignore import Ignore, Wildcard
from toolkit.ports.files import open_below

_MOST_LINKS = 40
_WILD = re.compile(r"[*?\[\\]")


class FileForm(StrEnum):
    """What a path is. OTHER: a socket, a pipe or a device, which is never copied."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


FILE, FOLDER, LINK, OTHER = FileForm
"""By themselves, for each of many files: Python 3.11 takes long to find a member in its class."""


class ContextFile(Struct, frozen=True):
    """One thing in the context. `mark` tells whether a file that is opened later is the same:
    device, inode, size, time of change.
    """

    form: FileForm
    executable: bool = False
    link: str = ""
    mark: tuple[int, ...] = ()


class Context:
    """What a COPY may take: everything below a folder that .dockerignore does not keep out. Paths
    are relative to it, `""` is itself.
    """

    def __init__(self, folder: str, ignore: Ignore) -> None:
        self.folder = folder
        self.found: dict[str, ContextFile] = {"": ContextFile(FOLDER)}
        self._scan(ignore)

    def _scan(self, ignore: Ignore) -> None:
        folders = [""]
        while folders:
            folder = folders.pop()
            for name, node in _list_folder(self.folder, folder):
                path = join(folder, name)
                ignored = ignore.keeps_out(path)
                # Only a `!` pattern can bring back a file below an ignored folder.
                if node.form == FOLDER and (not ignored or ignore.takes_back):
                    folders.append(path)
                if not ignored:
                    self.found[path] = node
                    self._add_parents(folder)

    def _add_parents(self, folder: str) -> None:
        """An ignored folder exists all the same if a file in it is included again with `!`."""
        while folder not in self.found:
            self.found[folder] = ContextFile(FOLDER)
            folder = dirname(folder)

    def sources(self, pattern: str) -> list[str]:
        """The paths that a COPY source stands for, sorted. Raises Refused if it has no wildcard and
        is not there.
        """
        path = inside(pattern)
        if not is_wild(path):
            if self.followed(path) is None:
                raise Refused(
                    f"`{pattern}` is not in the build context, or .dockerignore keeps it out"
                )
            return [path]
        return matching(self.found, path, self.followed)

    def followed(self, path: str) -> str | None:
        """The path with every link on the way replaced by what it leads to, as COPY does for its
        sources; None if it does not exist.
        """

        def target(path: str) -> str | None:
            node = self.found[path]
            return self.target(path, node) if node.form == LINK else None

        return follow(path, self.found, target)

    def target(self, path: str, node: ContextFile) -> str:
        """Where a link leads, from the context's root. Raises Refused if that is outside of it, or
        passes through the outside on the way.
        """
        parts = path_parts(dirname(path))
        for part in node.link.split("/"):
            if part == ".." and parts:
                parts.pop()
            elif part == ".." or node.link.startswith("/"):
                raise Refused(
                    f"`{path}` is a link to `{node.link}`, which is not in the build context"
                )
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(parts)

    def below(self, folder: str) -> Iterator[tuple[str, ContextFile]]:
        """All that lies below a folder, by name."""
        start = f"{folder}/" if folder else ""
        for path in sorted(self.found):
            if path and path.startswith(start):
                yield path, self.found[path]

    def refuse_uncopyable(self, path: str, node: ContextFile) -> None:
        """Raises Refused for what is never copied."""
        if node.form == OTHER:
            raise Refused(f"`{path}` is not a file, folder or link")
        if ".git" in path.split("/"):
            raise Refused(
                f"`{path}` would get into the image, and with it everything that git knows",
                "add `.git` to .dockerignore (`**/.git` if it is deeper)",
            )
        if node.form == LINK:
            self.target(path, node)

    def open(self, path: str) -> int:
        """A descriptor of a file that has not changed since the scan. Raises Refused if it has, or
        a link has come in between.
        """
        try:
            # Without waiting: the file may have become a pipe since the scan.
            descriptor = open_below(self.folder, path, os.O_NONBLOCK)
        except OSError as error:
            raise Refused(
                f"`{path}` has changed since the build began: {error.strerror}", "build again"
            ) from None
        if _mark(os.fstat(descriptor)) != self.found[path].mark:
            os.close(descriptor)
            raise Refused(f"`{path}` has changed since the build began", "build again")
        return descriptor

    def same(self, descriptor: int, path: str) -> None:
        """Call it after reading: raises Refused if the file was written to in the meantime."""
        if _mark(os.fstat(descriptor)) != self.found[path].mark:
            raise Refused(f"`{path}` has changed while it was read", "build again")


def secret_looking(path: str) -> bool:
    """Whether a file's name is one that often holds passwords."""
    return basename(path).startswith(".env")


def inside(pattern: str) -> str:
    """A COPY source from the root that it counts from: `..` does not lead out of it."""
    return normpath(join("/", pattern)).lstrip("/")


def is_wild(path: str) -> bool:
    """Whether a source may stand for several paths."""
    return _WILD.search(path) is not None


def matching(
    paths: Iterable[str], pattern: str, followed: Callable[[str], str | None]
) -> list[str]:
    """The paths that a source with wildcards stands for, sorted; a star does not cross folders.
    Links are followed in the folders before the first wildcard, and in none behind it.
    """
    folder = _WILD.split(pattern, 1)[0].rpartition("/")[0]
    try:
        wildcard = Wildcard(pattern[len(folder) :].lstrip("/"), deep=False)
    except re.error:
        raise Refused(f"the pattern `{pattern}` cannot be read") from None
    real = followed(folder)
    if real is None:
        return []
    start = f"{real}/" if real else ""
    below = (path for path in paths if path != real and path.startswith(start))
    return sorted(path for path in below if wildcard.matches(path[len(start) :]))


def follow(path: str, existing: Container[str], target: Callable[[str], str | None]) -> str | None:
    """Walk a path through links; None if it leads nowhere. `target` says where a link leads, from
    the root, and None for what is not a link.
    """
    resolved, rest, links = "", path_parts(path), 0
    while rest:
        current = join(resolved, rest.pop(0))
        if current not in existing:
            return None
        destination = target(current)
        if destination is None:
            resolved = current
            continue
        links += 1
        if links > _MOST_LINKS:
            raise Refused(f"`{current}` is a link that never ends")
        # Links are resolved from the root, so what has been walked so far is walked again.
        resolved, rest = "", path_parts(destination) + rest
    return resolved


def path_parts(path: str) -> list[str]:
    """The names in a path."""
    return [part for part in path.split("/") if part]


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return (
        stat.S_IFMT(status.st_mode),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _list_folder(root: str, folder: str) -> list[tuple[str, ContextFile]]:
    try:
        descriptor = open_below(root, folder, os.O_DIRECTORY)
    except OSError as error:
        raise Refused(f"`{folder or root}` cannot be read: {error.strerror}") from None
    try:
        names = sorted(os.listdir(descriptor))
        return [(name, _inspect(descriptor, folder, name)) for name in names]
    finally:
        os.close(descriptor)


def _inspect(descriptor: int, folder: str, name: str) -> ContextFile:
    try:
        status = os.lstat(name, dir_fd=descriptor)
        if stat.S_ISLNK(status.st_mode):
            return ContextFile(LINK, link=os.readlink(name, dir_fd=descriptor))
    except OSError as error:
        raise Refused(
            f"`{join(folder, name)}` has changed since the build began: {error.strerror}",
            "build again",
        ) from None
    if stat.S_ISDIR(status.st_mode):
        return ContextFile(FOLDER)
    if stat.S_ISREG(status.st_mode):
        return ContextFile(FILE, bool(status.st_mode & 0o111), mark=_mark(status))
    return ContextFile(OTHER)
