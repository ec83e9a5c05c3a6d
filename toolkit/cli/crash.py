"""A bug in toolkit: one line for the person, everything else into a file, without secrets."""

import os
import re
import sys
import traceback
from datetime import UTC, datetime

from toolkit import __version__
from toolkit.cli import output
from toolkit.errors import Exit, FileProblem
from toolkit.ports import files

_SECRETS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|(?i:authorization|token|secret|password|passwd|api[_-]?key|signature|credential)[\"']?\s*[:=]\s*[\"']?[^\s\"',;&]+"
    r"|xox[a-z]-[0-9A-Za-z-]+"
    r"|https?://[^\s/@:]+:[^\s/@]+@"
    r"|https?://hooks\.[^\s\"']+"
)

_NO_SECRETS = frozenset(("AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE"))
"""Variables that only sound like it. A real key's id is found by its letters; in the sandbox it is the account's number."""


def report(error: Exception, args: list[str]) -> int:
    """Write the log and name it; the exit code of a bug."""
    path = _write(_log(error, args))
    output.note(f"error: this is a bug in toolkit ({type(error).__name__})")
    output.note(f"hint: please report it with {path}" if path else redacted("".join(traceback.format_exception(error))))
    return Exit.BUG


def redacted(text: str) -> str:
    """The text without what looks like a secret, and without the value of any environment variable that is named like one."""
    for name, value in os.environ.items():
        if len(value) >= 8 and name not in _NO_SECRETS and re.search("(?i)key|token|secret|pass|credential", name):
            text = text.replace(value, "[redacted]")
    return _SECRETS.sub("[redacted]", text)


def _log(error: Exception, args: list[str]) -> str:
    head = f"toolkit {__version__}\npython {sys.version}\nplatform {sys.platform}\narguments {args!r}\n\n"
    return redacted(head + "".join(traceback.format_exception(error)))


def _write(log: str) -> str | None:
    """Where the log now is, None if it could not be written."""
    try:
        folder = files.state_folder()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log")
        files.write(path, log.encode(errors="backslashreplace"))
    except (OSError, FileProblem):
        return None
    return path
