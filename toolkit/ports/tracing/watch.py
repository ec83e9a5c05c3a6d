"""Runs a command of the person's own, in their terminal, and takes the lines that its watcher
writes while it runs.
"""

import hashlib
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from heapq import merge
from threading import Event, Thread

from msgspec import Struct

from toolkit.errors import ProgramFailed, UsageError
from toolkit.ports import disk, files, process

STRACE = "strace"
HOOKS = "hooks"

PATIENCE_S = 5.0
_LEFT_S = 2.0
"""How long what a command has left behind may go on before it is ended."""
_PROBE = "/bin/true"
_OPTIONS = (("-DDD", "--seccomp-bpf"), ("-DDD",), ("-D",))
"""How strace is started, best first. With -D the command is our own child, so that its end and its
signals are what they are without strace; -DDD puts strace itself out of reach of Ctrl-C. With
--seccomp-bpf only the calls of interest stop the command.
"""
_PIPE_BYTES = 1 << 20
_PAUSE_S = 0.02
_F_SETPIPE_SZ = 1031

COLD = {
    "TURBO_FORCE": "true",
    "NX_SKIP_NX_CACHE": "true",
    "CCACHE_RECACHE": "1",
    "UV_USE_IO_URING": "0",
}
"""Variables that keep programs from answering out of a cache, and node from reading past strace."""


class Means(Struct, frozen=True):
    """How a command is watched: `name` is STRACE or HOOKS. Without strace `why` says why, in
    words.
    """

    name: str
    options: tuple[str, ...] = ()
    program: str = ""
    why: str = ""


class Watched(Struct, frozen=True):
    """How a watched command ended: its exit code (negative: by a signal). `left` are processes that
    it has left behind and that were ended, by name.
    """

    code: int
    left: tuple[str, ...] = ()


class Command(Struct, frozen=True):
    """What is run: its words, the folder, where Python's byte code goes (`byte_code`), and where
    its standard output does (None: where ours goes).
    """

    words: tuple[str, ...]
    folder: str
    byte_code: str
    out: int | None = None


def means(calls: Sequence[str]) -> Means:
    """The best means that work here. `calls` are the system calls to trace."""
    program = process.which(STRACE)
    if program is None:
        return Means(HOOKS, why="strace is not installed")
    reason = ""
    for options in _OPTIONS:
        argv = [program, *_arguments(options, calls), "-o", os.devnull, "--", _PROBE]
        done = process.run(argv, os.sep, process.child_environment(), PATIENCE_S)
        if done.code == 0:
            return Means(STRACE, options, program)
        reason = done.err.decode("utf-8", "replace").strip().split("\n")[0]
    return Means(HOOKS, why=f"strace does not work here ({reason or 'no reason'})")


def _arguments(options: Sequence[str], calls: Sequence[str]) -> list[str]:
    traced = f"trace={','.join(calls)}"
    return [*options, "-f", "-y", "-q", "-s", "64", "-e", traced]


@contextmanager
def byte_code(cache: str, root: str, keep: Callable[[str], bool]) -> Iterator[str]:
    """A folder for Python's byte code in which a repository has none, so that all its modules are
    read; those that it takes from elsewhere are not compiled again each time.

    `keep` says of a folder, by its path from the repository's root, whether its byte code may stay:
    it is none of the repository's own. Raises StateDamaged, FileProblem.
    """
    own = files.own_cache(cache, "byte-code")
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
    descriptor = disk.open_own(os.path.join(own, f"{name}.lock"), os.O_RDWR | os.O_CREAT)
    try:
        if not disk.lock(descriptor, own):  # another run fills that folder now
            with tempfile.TemporaryDirectory(prefix="byte-code-", dir=own) as folder:
                yield folder
            return
        folder = os.path.join(own, name)
        _remove_files(os.path.join(folder, root.lstrip("/")), keep)
        yield folder
    finally:
        os.close(descriptor)


def _remove_files(top: str, keep: Callable[[str], bool]) -> None:
    for folder, names, contents in os.walk(top):
        names[:] = [
            name for name in names if not keep(os.path.relpath(os.path.join(folder, name), top))
        ]
        for name in contents:
            os.unlink(os.path.join(folder, name))


@contextmanager
def scratch() -> Iterator[str]:
    """A folder of our own for the time of a run; its real path."""
    with tempfile.TemporaryDirectory(prefix="toolkit-observe-") as folder:
        yield os.path.realpath(folder)


def by_strace(
    command: Command,
    chosen: Means,
    calls: Sequence[str],
    folder: str,
    take: Callable[[bytes], None],
    running: Callable[[], Sequence[int]],
) -> Watched:
    """Run it under strace. `take` gets each line in a thread of its own, `folder` is from
    `scratch`, and `running` says which processes have not ended, as far as lines tell. Raises
    UsageError and ProgramFailed where it cannot be started.
    """
    pipe = os.path.join(folder, "strace")
    os.mkfifo(pipe, 0o600)
    argv = [chosen.program, *_arguments(chosen.options, calls), "-o", pipe, "--", *command.words]
    reader = _Reader(pipe, take)
    try:
        code = _run(command, argv, {**COLD, "PYTHONPYCACHEPREFIX": command.byte_code})
    finally:
        reader.unblock()
    left: tuple[str, ...] = ()
    if not reader.finished(_LEFT_S):
        left = _end_all(running)
        reader.finished(PATIENCE_S)
    return Watched(code, left)


def by_hooks(
    command: Command, folder: str, take: Callable[[bytes], None], moment: Callable[[bytes], int]
) -> Watched:
    """Run it with hooks in every node and Python that it starts. Raises UsageError and
    ProgramFailed where it cannot be started.
    """
    log = os.path.join(folder, "log")
    os.mkdir(log, 0o700)
    own = os.path.dirname(os.path.abspath(__file__))
    hook = f"--require={os.path.join(own, 'node_hook.cjs')}"
    python = os.path.join(own, "python_hook")
    more = {
        **COLD,
        "TOOLKIT_OBSERVE_LOG": log,
        "NODE_OPTIONS": " ".join(filter(None, (_quoted(hook), os.environ.get("NODE_OPTIONS")))),
        "PYTHONPATH": os.pathsep.join(filter(None, (python, os.environ.get("PYTHONPATH")))),
        "PYTHONPYCACHEPREFIX": command.byte_code,
    }
    code = _run(command, command.words, more)
    logs = [_lines(os.path.join(log, name)) for name in sorted(os.listdir(log))]
    for line in merge(*logs, key=moment):
        take(line)
    return Watched(code)


def input_file() -> str | None:
    """The file that standard input is, where a shell has opened one for the command."""
    try:
        if stat.S_ISREG(os.fstat(0).st_mode):
            return os.readlink("/proc/self/fd/0")
    except OSError:
        pass
    return None


def _quoted(option: str) -> str:
    """An option as NODE_OPTIONS takes it."""
    if not any(char in option for char in ' "\\'):
        return option
    escaped = option.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lines(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def _run(command: Command, argv: Sequence[str], more: dict[str, str]) -> int:
    if shutil.which(command.words[0]) is None:
        raise UsageError(
            f"there is no program {command.words[0]}", "check its name, and that it is installed"
        )
    try:
        return process.AttachedProgram(argv, command.folder, more, command.out).wait()
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise ProgramFailed(program=command.words[0], reason=reason) from None


class _Reader:
    """Reads the lines of a named pipe in a thread, as they come: nothing is kept. Where a line
    cannot be taken, `problem` is set and the rest is dropped: strace must never wait for a reader.
    """

    def __init__(self, pipe: str, take: Callable[[bytes], None]) -> None:
        self._pipe, self._take = pipe, take
        self._opened, self._done = Event(), Event()
        self.problem: Exception | None = None
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            descriptor = os.open(self._pipe, os.O_RDONLY)
            self._opened.set()
            try:
                _widen(descriptor)
                os.set_blocking(descriptor, False)
                rest = b""
                for chunk in _chunks(descriptor):
                    *lines, rest = (rest + chunk).split(b"\n")
                    self._take_lines(lines)
            finally:
                os.close(descriptor)
        finally:
            self._done.set()

    def _take_lines(self, lines: Sequence[bytes]) -> None:
        if self.problem is not None:
            return
        try:
            for line in lines:
                self._take(line)
        except Exception as problem:
            self.problem = problem

    def unblock(self) -> None:
        """Let the thread end where strace has never opened the pipe."""
        if not self._opened.is_set():
            with suppress(OSError):
                os.close(os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK))

    def finished(self, patience_s: float) -> bool:
        """Whether everything is read, after waiting for it at most so long. Raises what `take` has
        raised.
        """
        is_finished = self._done.wait(patience_s)
        if self.problem is not None:
            raise self.problem
        return is_finished


def _chunks(descriptor: int) -> Iterator[bytes]:
    """What comes, a little late: a reader that waits in the pipe would be woken for each line, and
    take its time from strace and the command.
    """
    while True:
        try:
            chunk = os.read(descriptor, _PIPE_BYTES)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
            continue
        if not chunk:
            return
        yield chunk
        if len(chunk) < _PIPE_BYTES // 4:
            time.sleep(_PAUSE_S)


def _widen(descriptor: int) -> None:
    import fcntl

    with suppress(OSError):  # it is as wide as it is
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)


def _end_all(running: Callable[[], Sequence[int]]) -> tuple[str, ...]:
    """End what the command has left behind: without strace it could open no file any more. The
    names of these programs.
    """
    names: set[str] = set()
    for number in (signal.SIGTERM, signal.SIGKILL):
        # strace's own word for a process: another one that has got its number is not traced
        traced = [pid for pid in running() if _is_traced(pid)]
        if not traced:
            break
        for pid in traced:
            names.add(_name(pid))
            with suppress(OSError):
                os.kill(pid, number)
        time.sleep(0.3)
    return tuple(sorted(names))


def _is_traced(pid: int) -> bool:
    status = files.beginning(f"/proc/{pid}/status", 4096)
    tracer = status.partition(b"TracerPid:")[2].split(b"\n")[0].strip()
    return tracer not in (b"", b"0")


def _name(pid: int) -> str:
    return files.beginning(f"/proc/{pid}/comm", 64).decode("utf-8", "replace").strip()
