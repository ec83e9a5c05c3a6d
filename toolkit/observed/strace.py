"""Reads what `strace -f -y` writes: system calls -> lookups of paths.

The traps, each measured: a call that another process interrupts stands in two lines
(`<unfinished ...>`, `resumed`), which have to be joined by process; a relative path is relative to
a folder that only `-y` tells, or that has to be followed from process to process; names are
escaped as in C.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from toolkit.operations import Lookup, LookupKind

CALLS: Final = (
    *("?open", "openat", "?openat2", "?creat", "execve", "?execveat"),
    *("?readlink", "?readlinkat", "?getdents", "?getdents64"),
    *("?stat", "?lstat", "?stat64", "?lstat64", "?newfstatat", "?fstatat64", "?statx"),
    *("?access", "?faccessat", "?faccessat2", "?chdir", "?fchdir"),
    *("?fork", "?vfork", "?clone", "?clone3"),
    *("?rename", "?renameat", "?renameat2", "?link", "?linkat", "?symlink", "?symlinkat"),
    *("?mkdir", "?mkdirat", "?io_uring_setup"),
)
"""The calls to trace; those with `?` do not exist on every machine."""

_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
_LINE = re.compile(rb"(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>|(\+\+\+|---) )(.*)", re.DOTALL)
_AT = re.compile(rb"(AT_FDCWD|-?\d+)(?:<(.*?)>(?:\(deleted\))?)?, " + _QUOTED)
_NAME = re.compile(_QUOTED)
_DESCRIPTOR = re.compile(rb"(\d+)<(.*?)>(?:\(deleted\))?(?:, |\) +=)")
_RESULT = re.compile(rb"\) += (-?\d+|\?)(?:<(.*)>(?:\(deleted\))?)?(?: ([A-Z]\w*))?(?: \(.*)?$")
_FLAGS = re.compile(rb"(?:flags=|, )(O_[A-Z_|0-9x]+)")
_UNFINISHED: Final = b" <unfinished ...>"
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-f]{2}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_DELETED: Final = " (deleted)"


class _Process:
    """What is known of a process: the folder that it works in, shared by its threads, and the
    relative names that wait until that folder is known. `is_elsewhere`: it has gone on from a
    folder that is not known.
    """

    __slots__ = ("folder", "is_elsewhere", "unfinished", "waiting")

    def __init__(self, folder: "_Folder") -> None:
        self.folder = folder
        self.is_elsewhere = False
        self.unfinished: tuple[bytes, int] | None = None
        self.waiting: list[tuple[LookupKind, str, int, int]] = []


class _Folder:
    """The folder that a process and its threads work in; empty while it is not known."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class Strace:
    """Takes the lines of one run in their order, and gives the lookups of each.

    `folder` is where the first process was started. `unread` counts what this reader does not know,
    lines and the folders of relative names: where there is some, lookups are missing. `rings`
    counts those of io_uring, by which files are opened without a call. `processes` are those that
    have not ended yet.
    """

    def __init__(self, folder: str) -> None:
        self._start = folder
        self._first = True
        self._line = 0
        self._calls: dict[bytes, Callable[[_Process, bytes, int], Iterator[Lookup]]] = {
            **dict.fromkeys((b"openat", b"openat2"), self._open_at),
            **dict.fromkeys((b"open", b"creat"), self._open),
            **dict.fromkeys((b"getdents", b"getdents64"), self._list),
            **dict.fromkeys((b"fork", b"vfork", b"clone", b"clone3"), self._fork),
            **dict.fromkeys((b"chdir", b"fchdir"), self._change_folder),
            **dict.fromkeys((b"rename", b"renameat", b"renameat2"), self._move),
            **dict.fromkeys((b"link", b"linkat"), self._link),
            **dict.fromkeys((b"symlink", b"symlinkat"), self._make_link),
            **dict.fromkeys((b"mkdir", b"mkdirat"), self._make_folder),
            **dict.fromkeys((b"execve", b"execveat"), self._run),
            b"io_uring_setup": self._begin_ring,
        }
        for name in (b"readlink", b"readlinkat", b"stat", b"lstat", b"stat64", b"lstat64"):
            self._calls[name] = self._check
        for name in (b"newfstatat", b"fstatat64", b"statx", b"access", b"faccessat", b"faccessat2"):
            self._calls[name] = self._check
        self.unread = self.rings = 0
        self.processes: dict[int, _Process] = {}
        self._forked: set[int] = set()
        # A child may end before the line that tells of its fork, and with it of its folder: what it
        # has looked up waits for that line, which is not to begin it again.
        self._ended: dict[int, _Process] = {}

    def lookups(self, line: bytes) -> Iterator[Lookup]:
        """The lookups that a line completes. Call it for each, and `rest` at the end."""
        self._line += 1
        match = _LINE.match(line)
        if match is None:
            self.unread += 1
            return
        number, call, resumed, event, rest = match.groups()
        pid = int(number)
        process = self.processes.get(pid)
        if process is None:
            process = self.processes[pid] = _Process(_Folder(self._start if self._first else ""))
            self._first = False
        began = self._line
        if event is not None:
            if event == b"+++":
                yield from self._end(pid)
            return
        if resumed is not None:
            if process.unfinished is None:
                self.unread += 1
                return
            call, (before, began) = resumed, process.unfinished
            rest, process.unfinished = before + rest, None
        elif rest.endswith(_UNFINISHED):
            process.unfinished = rest[: -len(_UNFINISHED)], began
            return
        read = self._calls.get(call)
        if read is not None:
            yield from read(process, rest, began)
        if process.waiting and process.folder.path:
            yield from self._settle(process, process.folder.path)

    def _end(self, pid: int) -> Iterator[Lookup]:
        process = self.processes.pop(pid)
        if pid in self._forked:
            self._forked.remove(pid)
            yield from self._settle_somewhere(process)
        else:
            self._ended[pid] = process

    def rest(self) -> Iterator[Lookup]:
        """The lookups that were still waiting for the folder of their process."""
        for process in (*self._ended.values(), *self.processes.values()):
            yield from self._settle_somewhere(process)

    def _open_at(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        yield from self._opened(process, text, began, self._at(process, text))

    def _open(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        yield from self._opened(process, text, began, self._name(text))

    def _opened(
        self, process: _Process, text: bytes, began: int, name: tuple[str, int] | None
    ) -> Iterator[Lookup]:
        result = _RESULT.search(text)
        if name is None or result is None:
            self._miss(text)
            return
        named, end = name
        match = _FLAGS.search(text, end)
        flags = set(match[1].split(b"|")) if match else {b"O_WRONLY", b"O_TRUNC"}  # creat
        if result[3] == b"ENOENT" and flags.isdisjoint((b"O_CREAT",)):
            yield from self._at_name(process, LookupKind.MISSING, named, began)
        if int(result[1]) < 0 or not flags.isdisjoint((b"O_PATH", b"O_TMPFILE")):
            return
        path = _decoded(result[2]) if result[2] else self._absolute(process, named)
        if not named.endswith(_DELETED):  # what the system says of a file that is gone by now
            path = path.removesuffix(_DELETED)
        for kind in _opened_for(flags):
            yield Lookup(kind, path, began, self._line, self._absolute(process, named))

    def _list(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        match = _DESCRIPTOR.match(text)
        if match is None:
            self._miss(text)
        elif b"/* 0 entries */" not in text:  # the end of a list that was read before
            yield Lookup(LookupKind.LISTED, _decoded(match[2]), began, self._line)

    def _check(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        name, result = self._at(process, text) or self._name(text), _RESULT.search(text)
        if name is None or result is None:
            self._miss(text)
        elif not name[0]:
            return  # what a descriptor is
        elif result[1] not in (b"-1", b"?"):
            yield from self._at_name(process, LookupKind.CHECKED, name[0], began)
        elif result[3] == b"ENOENT":
            yield from self._at_name(process, LookupKind.MISSING, name[0], began)

    def _run(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        name, result = self._at(process, text) or self._name(text), _RESULT.search(text)
        if name is None or result is None:
            self._miss(text)
        elif result[1] == b"0":
            yield from self._at_name(process, LookupKind.RAN, name[0], began)
        elif result[3] == b"ENOENT":
            yield from self._at_name(process, LookupKind.MISSING, name[0], began)

    def _move(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        yield from self._to(process, LookupKind.MOVED, text, began)

    def _link(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        yield from self._to(process, LookupKind.LINKED, text, began)

    def _to(self, process: _Process, kind: LookupKind, text: bytes, began: int) -> Iterator[Lookup]:
        names = self._names(process, text)
        if names is None:
            self._miss(text)
        elif text.endswith(b" = 0"):
            first, second = (self._absolute(process, name) for name in names)
            yield Lookup(kind, first, began, self._line, to=second)

    def _make_link(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        match = _NAME.match(text)
        if match is None:
            self._miss(text)
            return
        rest = text[match.end() :].removeprefix(b", ")
        name = self._at(process, rest) or self._name(rest)
        if name is None:
            self._miss(text)
        elif text.endswith(b" = 0"):
            path = self._absolute(process, name[0])
            yield Lookup(LookupKind.WRITTEN, path, began, self._line)

    def _make_folder(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        name = self._at(process, text) or self._name(text)
        if name is None:
            self._miss(text)
        elif text.endswith(b" = 0"):
            path = self._absolute(process, name[0])
            yield Lookup(LookupKind.FOLDER, path, began, self._line)

    def _change_folder(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        if not text.endswith(b" = 0"):
            return
        name, descriptor = self._name(text), _DESCRIPTOR.match(text)
        folder = ""
        if descriptor is not None:
            folder = _decoded(descriptor[2])
        elif name is not None:
            folder = self._absolute(process, name[0])
        if folder.startswith("/"):
            yield from self._settle_somewhere(process)
            process.folder.path = folder
        elif folder:
            yield from self._settle_somewhere(process)
            process.is_elsewhere = True

    def _begin_ring(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        result = _RESULT.search(text)
        if result is not None and result[1].isdigit():
            self.rings += 1
        yield from ()

    def _fork(self, process: _Process, text: bytes, began: int) -> Iterator[Lookup]:
        result = _RESULT.search(text)
        if result is None or not result[1].isdigit():
            return
        pid = int(result[1])
        ended = self._ended.pop(pid, None)
        if ended is not None:
            yield from self._settle_child(ended, process.folder.path)
            return
        self._forked.add(pid)
        child = self.processes.get(pid)
        folder = process.folder
        if b"CLONE_FS" not in text:
            folder = _Folder(folder.path)
        if child is None:
            self.processes[pid] = _Process(folder)
        elif not child.folder.path and folder.path:
            yield from self._settle_child(child, folder.path)
            if not child.is_elsewhere:
                child.folder = folder

    def _settle_child(self, child: _Process, folder: str) -> Iterator[Lookup]:
        """The lookups of a process that was started in this folder, which may be unknown."""
        if child.folder.path or child.is_elsewhere or not folder:
            yield from self._settle_somewhere(child)
        else:
            yield from self._settle(child, folder)

    def _settle_somewhere(self, process: _Process) -> Iterator[Lookup]:
        """The lookups of a process whose folder nothing will tell any more, if it is not known:
        where they really went is not read then.
        """
        if process.waiting and not process.folder.path:
            self.unread += 1
        yield from self._settle(process, process.folder.path or self._start)

    def _settle(self, process: _Process, folder: str) -> Iterator[Lookup]:
        """The lookups that waited for the folder of a process."""
        waiting, process.waiting = process.waiting, []
        for kind, name, began, ended in waiting:
            path = f"{folder}/{name}"
            yield Lookup(kind, path, began, ended, path)

    def _at_name(
        self, process: _Process, kind: LookupKind, name: str, began: int
    ) -> Iterator[Lookup]:
        path = self._absolute(process, name)
        if path.startswith("/"):
            yield Lookup(kind, path, began, self._line, path)
        else:
            process.waiting.append((kind, path, began, self._line))

    def _absolute(self, process: _Process, name: str) -> str:
        if name.startswith("/") or not process.folder.path:
            return name
        return f"{process.folder.path}/{name}"

    def _at(self, process: _Process, text: bytes) -> tuple[str, int] | None:
        """The name of a call that takes a folder's descriptor before it, and where it ends."""
        match = _AT.match(text)
        if match is None:
            return None
        folder = _decoded(match[2]) if match[2] else ""
        name = _decoded(match[3])
        if match[1] == b"AT_FDCWD":
            if folder:
                process.folder.path = folder
        elif name and not name.startswith("/"):
            name = f"{folder}/{name}"
        return name, match.end()

    @staticmethod
    def _name(text: bytes) -> tuple[str, int] | None:
        match = _NAME.match(text)
        return None if match is None else (_decoded(match[1]), match.end())

    def _names(self, process: _Process, text: bytes) -> tuple[str, str] | None:
        """The two names of a call that moves or links."""
        first = self._at(process, text) or self._name(text)
        if first is None:
            return None
        rest = text[first[1] :].removeprefix(b", ")
        second = self._at(process, rest) or self._name(rest)
        return None if second is None else (first[0], second[0])

    def _miss(self, text: bytes) -> None:
        # A process that was killed in a call, and a name that cannot be read (EFAULT), look up
        # nothing.
        if not text.endswith(b"= ?") and b"EFAULT" not in text and b"NULL" not in text[:20]:
            self.unread += 1


def _opened_for(flags: set[bytes]) -> Iterator[LookupKind]:
    """What a file was opened for."""
    writes = not flags.isdisjoint((b"O_WRONLY", b"O_RDWR"))
    is_new = b"O_TRUNC" in flags or {b"O_CREAT", b"O_EXCL"} <= flags
    if b"O_DIRECTORY" in flags:
        return
    if b"O_WRONLY" not in flags and not (writes and is_new):
        yield LookupKind.OPENED
    if writes:
        yield LookupKind.WRITTEN if is_new else LookupKind.APPENDED


def _decoded(name: bytes) -> str:
    if b"\\" in name:
        name = _ESCAPE.sub(_unescaped, name)
    return name.decode("utf-8", "surrogateescape")


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1].isdigit():
        return bytes((int(code, 8) & 0xFF,))
    if code[:1] == b"x" and len(code) == 3:
        return bytes((int(code[1:], 16),))
    return _ESCAPED.get(code, code)
