"""The debug log: one line for each thing that happened, with the time since the start, without
secrets. It changes no result: what cannot be written is reported once, and left out.
"""

import os
import re
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import RLock
from time import monotonic

from toolkit import __version__
from toolkit.cli import output
from toolkit.cli.redaction import redactor
from toolkit.formats.redaction import without
from toolkit.ports import debug
from toolkit.ports.debug import VARIABLE
from toolkit.show import text

LONGEST = 1000
"""The most characters of one word or fact that are written."""

_BARE = re.compile(r"(?:--?[\w-]+=)?[^\s\"'=\\]*")
"""What needs no quotes: it cannot be taken for two words, or for a fact."""


class DebugLog:
    """Writes lines to stderr, to a file, or to both. Called from several threads."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._redact = redactor()
        self._lock = RLock()
        self._writers: dict[str, Callable[[str], None]] = {}

    def add(self, name: str, write: Callable[[str], None]) -> bool:
        """Write to this, too; False if that is done already."""
        with self._lock:
            if name in self._writers:
                return False
            self._writers[name] = write
        return True

    def __call__(self, topic: str, words: Sequence[str], facts: Mapping[str, object]) -> None:
        """A line. Never raises: nothing may depend on who watches."""
        told = [self._word(word) for word in words]
        for name, value in facts.items():
            if value is not None and value != "":
                told.append(f"{name}={self._word(str(value))}")
        passed = monotonic() - self._began
        # once more as a whole: an option and its secret are two words
        line = self._redact(f"{passed:9.3f}s {topic:<8} {' '.join(told)}")
        with self._lock:
            for name, write in list(self._writers.items()):
                try:
                    write(f"{line}\n")
                except (OSError, ValueError) as problem:
                    del self._writers[name]
                    if name != "stderr":
                        _warn(name, problem)

    def _word(self, value: str) -> str:
        """A word in one piece: quoted where it would not be one, so that no file name can forge a
        line.
        """
        value = self._redact(without(value, dict.fromkeys(debug.secrets(), "[redacted]")))
        if len(value) > LONGEST:
            value = f"{value[:LONGEST]}... ({len(value) - LONGEST} more)"
        shown = text.quote(value)
        if shown != value or _BARE.fullmatch(value):
            return shown
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def to_stderr() -> None:
    """From now on, write to stderr."""

    def write(line: str) -> None:
        sys.stderr.write(line)
        sys.stderr.flush()

    debug.on_stderr = True
    if _log().add("stderr", write):
        _head()


def to_file(path: str, args: Sequence[str]) -> None:
    """From now on, append to a file. If that fails, it is reported, and changes nothing."""
    log = _log()
    try:
        descriptor = _opened(path)
    except (OSError, ValueError) as problem:
        _warn(path, problem)
        if debug.sink is log and not log._writers:
            debug.sink = None
        return

    pid = os.getpid()

    def write(line: str) -> None:
        data = f"[{pid}] {line}".encode("utf-8", "backslashreplace")
        if os.write(descriptor, data) < len(data):
            raise OSError(28, "the disk is full")

    if log.add(path, write):
        _head(args)
        if _is_in_a_repository(path):
            output.note(
                f"warning: {VARIABLE} names a file in a repository: it is one more untracked"
                " file, unless git ignores it"
            )
    else:
        os.close(descriptor)  # a command that `diff` has offered: it is open already


def _log() -> DebugLog:
    log = debug.sink if isinstance(debug.sink, DebugLog) else DebugLog()
    debug.sink = log
    return log


def _head(args: Sequence[str] = ()) -> None:
    """Which toolkit, on what, when, and where."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = "(gone)"
    python = ".".join(map(str, sys.version_info[:3]))
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    debug.tell(
        "toolkit",
        *args,
        version=__version__,
        python=python,
        platform=sys.platform,
        pid=os.getpid(),
        at=at,
        folder=folder,
    )


def _opened(path: str) -> int:
    """The file, to be appended to: a regular one of ours that only we may read, and no link.

    Raises OSError, and ValueError for a name that no file can have.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(22, "not a regular file")
        if status.st_uid != os.geteuid():
            raise PermissionError(1, "it belongs to another user")
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _warn(path: str, problem: Exception) -> None:
    reason = problem.strerror if isinstance(problem, OSError) else str(problem)
    output.note(f"warning: no debug log in {text.quote(path)}: {text.line(reason or '')}")


def _is_in_a_repository(path: str) -> bool:
    folder = os.path.dirname(os.path.realpath(path))
    while not os.path.lexists(os.path.join(folder, ".git")):
        if folder == os.path.dirname(folder):
            return False
        folder = os.path.dirname(folder)
    return True
