"""A bug in toolkit: one line for the person, everything else into a file, without secrets."""

import os
import sys
import traceback
from datetime import UTC, datetime

from toolkit import __version__
from toolkit.cli import output
from toolkit.cli.redaction import redacted
from toolkit.errors import ToolkitError
from toolkit.exits import Exit
from toolkit.ports import disk, files


def report(error: Exception, args: list[str]) -> int:
    """Write the log and name it; the exit code of a bug."""
    path = _write(_log(error, args))
    output.note(f"error: this is a bug in toolkit ({type(error).__name__})")
    if path:
        output.note(f"hint: please report it with {path}")
    else:
        output.note(redacted("".join(traceback.format_exception(error))))
    return Exit.BUG


def _log(error: Exception, args: list[str]) -> str:
    head = (
        f"toolkit {__version__}\npython {sys.version}\nplatform {sys.platform}\narguments"
        f" {args!r}\n\n"
    )
    return redacted(head + "".join(traceback.format_exception(error)))


def _write(log: str) -> str | None:
    """Where the log now is, None if it could not be written."""
    try:
        folder = files.own_state()
        path = os.path.join(folder, f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log")
        disk.write(path, log.encode(errors="backslashreplace"))
    except (OSError, ToolkitError):
        return None
    return path
