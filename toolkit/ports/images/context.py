"""The files of a build context: found once without following a link, opened later only if they
still are what was found.
"""

import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator
from posixpath import basename, dirname, join, normpath

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.ports.files import open_below
from toolkit.ports.images.ignore import Ignore, Wildcard

_MOST_LINKS = 40
_WILD = re.compile(r"[*?\[\\]")


class ContextFile(Struct, frozen=True):
    """One thing in the context. `mark` tells whether a file that is opened later is the same:
    device, inode, size, time of change.
    """

    form: str
    """file, folder, link or other."""
    executable: bool = False
    link: str = ""
    mark: tuple[int, ...] = ()


class Context:
    """What a COPY may take: everything below a folder that .dockerignore does not keep out. Paths
    are relative to it, `""` is itself.
    """

    def __init__(self, folder: str, ignore: Ignore) -> None:
        self.folder = folder
        self.found: dict[str, ContextFile] = {"": ContextFile("folder")}
        self._scan(ignore)

    def _scan(self, ignore: Ignore) -> None:
        folders = [""]
        while folders:
            folder = folders.pop()
            for name, found in _listed(self.folder, folder):
                path = join(folder, name)
                out = ignore.keeps_out(path)
                if found.form == "folder" and (not out or ignore.takes_back):
                    folders.append(path)
                if not out:
                    self.found[path] = found
                    self._above(folder)

    def _above(self, folder: str) -> None:
        """A folder that stays out is there all the same if something in it was taken back."""
        while folder not in self.found:
            self.found[folder] = ContextFile("folder")
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
        return matching(self.found, path)

    def followed(self, path: str) -> str | None:
        """The path with every link on the way replaced by what it leads to, as COPY does for its
        sources; None if it is not there.
        """

        def target(at: str) -> str | None:
            found = self.found[at]
            return self.target(at, found) if found.form == "link" else None

        return follow(path, self.found, target)

    def target(self, path: str, found: ContextFile) -> str:
        """Where a link leads, from the context's root. Raises Refused if that is outside of it,
        were it only on the way.
        """
        at = [one for one in dirname(path).split("/") if one]
        for part in found.link.split("/"):
            if part == ".." and at:
                at.pop()
            elif part == ".." or found.link.startswith("/"):
                raise Refused(
                    f"`{path}` is a link to `{found.link}`, which is not in the build context"
                )
            elif part not in ("", "."):
                at.append(part)
        return "/".join(at)

    def below(self, folder: str) -> Iterator[tuple[str, ContextFile]]:
        """All that lies below a folder, by name."""
        start = f"{folder}/" if folder else ""
        for path in sorted(one for one in self.found if one and one.startswith(start)):
            yield path, self.found[path]

    def allowed(self, path: str, found: ContextFile) -> None:
        """Raises Refused for what is never copied."""
        if found.form == "other":
            raise Refused(f"`{path}` is no file, folder or link")
        if ".git" in path.split("/"):
            raise Refused(
                f"`{path}` would get into the image, and with it everything that git knows",
                "add `.git` to .dockerignore (`**/.git` if it is deeper)",
            )
        if found.form == "link":
            self.target(path, found)

    def open(self, path: str) -> int:
        """A descriptor of a file that is still what was found. Raises Refused if it is another one,
        or a link has come in between.
        """
        try:
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
        """To be asked after reading: raises Refused if the file was written to meanwhile."""
        if _mark(os.fstat(descriptor)) != self.found[path].mark:
            raise Refused(f"`{path}` has changed while it was read", "build again")


def secret_looking(path: str) -> bool:
    """Whether a file's name is one that passwords are kept under."""
    return basename(path).startswith(".env")


def inside(pattern: str) -> str:
    """A COPY source from the root that it counts from: `..` does not lead out of it."""
    return normpath(join("/", pattern)).lstrip("/")


def is_wild(path: str) -> bool:
    """Whether a source may stand for several paths."""
    return _WILD.search(path) is not None


def matching(paths: Iterable[str], pattern: str) -> list[str]:
    """The paths that a source with wildcards stands for, sorted; a star does not cross folders."""
    try:
        wanted = Wildcard(pattern, deep=False)
    except re.error:
        raise Refused(f"the pattern `{pattern}` cannot be read") from None
    return sorted(one for one in paths if one and wanted.matches(one))


def follow(path: str, there: Container[str], target: Callable[[str], str | None]) -> str | None:
    """Walk a path through links. `target` says where a link leads, from the root, None for what is
    no link. None if it leads nowhere.
    """
    done, rest, links = "", [one for one in path.split("/") if one], 0
    while rest:
        at = join(done, rest.pop(0))
        if at not in there:
            return None
        leads = target(at)
        if leads is None:
            done = at
            continue
        links += 1
        if links > _MOST_LINKS:
            raise Refused(f"`{at}` is a link that never ends")
        done, rest = "", [one for one in leads.split("/") if one] + rest
    return done


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return (
        stat.S_IFMT(status.st_mode),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _listed(root: str, folder: str) -> list[tuple[str, ContextFile]]:
    try:
        descriptor = open_below(root, folder, os.O_DIRECTORY)
    except OSError as error:
        raise Refused(f"`{folder or root}` cannot be read: {error.strerror}") from None
    try:
        return sorted(
            ((name, _look(descriptor, folder, name)) for name in os.listdir(descriptor)),
            key=lambda one: one[0],
        )
    finally:
        os.close(descriptor)


def _look(descriptor: int, folder: str, name: str) -> ContextFile:
    try:
        status = os.lstat(name, dir_fd=descriptor)
        if stat.S_ISLNK(status.st_mode):
            return ContextFile("link", link=os.readlink(name, dir_fd=descriptor))
    except OSError as error:
        raise Refused(
            f"`{join(folder, name)}` has changed since the build began: {error.strerror}",
            "build again",
        ) from None
    if stat.S_ISDIR(status.st_mode):
        return ContextFile("folder")
    if stat.S_ISREG(status.st_mode):
        return ContextFile("file", bool(status.st_mode & 0o111), mark=_mark(status))
    return ContextFile("other")
