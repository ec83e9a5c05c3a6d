"""What leaves the process: the answer on stdout, everything else on stderr."""

import errno
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from toolkit.exits import Exit
from toolkit.show import style, text

if TYPE_CHECKING:  # loaded where something is wrong: --help has nothing to advise
    from toolkit.advice import Advice, SameOptions
    from toolkit.errors import ToolkitError


def prepare() -> None:
    """Make sure that there are streams, and that any text can be written to any terminal: what its
    encoding lacks is escaped.
    """
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 (cron and daemons start programs with closed streams)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


class _EndpointLine:
    """The first line of the output while calls go to an endpoint that is not AWS's."""

    def __init__(self) -> None:
        self.endpoint: str | None = None
        self.pending = False

    def take(self) -> str:
        """The line the first time, then nothing."""
        if not self.pending:
            return ""
        self.pending = False
        return f"endpoint: {text.line(self.endpoint or '')} (not AWS)\n"


_endpoint_line = _EndpointLine()


class ColourChoice(StrEnum):
    """When to print colours: `--color`."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class _Colours:
    """Whether colours are printed, as the command line says it."""

    choice = ColourChoice.AUTO


def choose_colours(choice: ColourChoice) -> None:
    """From now on: when to print colours. What the libraries print that ask questions and draw
    progress follows it, too.
    """
    _Colours.choice = choice
    if choice is ColourChoice.NEVER:
        os.environ["NO_COLOR"] = "1"
    elif choice is ColourChoice.ALWAYS:
        os.environ.pop("NO_COLOR", None)


def has_colours(stream: TextIO) -> bool:
    """Whether a stream gets colours: by the command line, else by the variables that the field has
    agreed on (no-color.org, bixense.com/clicolors), else if it is a terminal that has them.
    """
    if _Colours.choice is not ColourChoice.AUTO:
        return _Colours.choice is ColourChoice.ALWAYS
    variables = os.environ
    if variables.get("NO_COLOR"):
        return False
    for name in ("CLICOLOR_FORCE", "FORCE_COLOR"):
        if variables.get(name):
            return variables[name] not in ("0", "false")
    if variables.get("CLICOLOR") == "0" or variables.get("TERM", "dumb") in ("", "dumb"):
        return False
    return stream.isatty()


_URGENT = re.compile(r"^(?:(error)|warning):")


def _urgent(match: re.Match[str]) -> str:
    return style.marked(match[0], style.Role.BAD if match[1] else style.Role.WARNING)


def rendered(words: str, stream: TextIO) -> str:
    """The words as they may be written to a stream: with colours where it has them, and without
    anything else that moves a cursor.
    """
    colours = has_colours(stream)
    if not colours:
        return text.harmless(style.plain(words))
    return "".join(
        style.coloured(text.harmless(piece), role) for piece, role in style.pieces(words)
    )


def set_endpoint(endpoint: str | None, silent: bool) -> None:
    """From now on: where calls go, None for AWS itself. It is the first line of the output, unless
    `silent`; a document has a field.
    """
    if endpoint != _endpoint_line.endpoint:
        _endpoint_line.endpoint = endpoint
        _endpoint_line.pending = endpoint is not None and not silent


def note_endpoint() -> None:
    """Say where calls go now and on stderr: the answer is a document that has no field for it."""
    with suppress(OSError):
        sys.stderr.write(_endpoint_line.take())


_REMARKS = ("note: ", "warning: ")
_ERRORS = ("error: ", "hint: ", "       ")
"""What an error begins with, the hint, and further errors: a terminal alone breaks them, so that a
log can be searched.
"""


class ReaderGone(Exception):
    """Whoever reads our output has closed it."""


@contextmanager
def _writing() -> Iterator[None]:
    """Raises ReaderGone, FileProblem where standard output cannot be written."""
    try:
        yield
    except OSError as problem:
        if _closed(problem):
            raise ReaderGone from None
        from toolkit.errors import FileProblem

        raise FileProblem(path="standard output", reason=problem.strerror or str(problem)) from None


def say(answer: str) -> None:
    """A line (or more) of the answer. Raises ReaderGone, which click leaves alone: of a broken pipe
    it would make exit code 1.
    """
    with _writing():
        sys.stdout.write(f"{_endpoint_line.take()}{rendered(answer, sys.stdout)}\n")


def push() -> None:
    """Get out what was said so far, for a command that goes on. Raises ReaderGone, so that it ends
    with its reader, FileProblem.
    """
    with _writing():
        sys.stdout.flush()


def note(remark: str) -> None:
    """A line for the person, not for the program that reads the answer; it comes after what was
    written so far. The words of notes and warnings are wrapped, on a terminal those of errors, too.
    """
    lines: list[str] = []
    wraps: tuple[str, ...] = _REMARKS
    if sys.stderr.isatty():
        wraps += _ERRORS
    for words in remark.split("\n"):
        is_wrapped = words.startswith(wraps)
        words = _URGENT.sub(_urgent, words)
        shown = text.wrapped(words, width()) if is_wrapped else [words]
        lines += [rendered(words, sys.stderr) for words in shown]
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):  # stderr may be closed
        sys.stderr.write("\n".join((_endpoint_line.take() + lines[0], *lines[1:], "")))


def note_advice(
    advice: "Advice", same: "SameOptions | None" = None, before: str = "hint: "
) -> None:
    """The same of an advice, with each command on a line of its own."""
    from toolkit.show.advice import NO_OPTIONS, advice_lines

    for remark in advice_lines(advice, same or NO_OPTIONS, before=before):
        note(remark)


class _Unbuffered(io.TextIOBase):
    """stderr without Python's own buffer. Whoever hangs in writing to it, since a terminal takes
    nothing, holds no lock that the end of the process would wait for.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int, encoding: str) -> None:
        self._descriptor, self.encoding = descriptor, encoding

    def fileno(self) -> int:
        """The descriptor of stderr."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, words: str) -> int:
        """Write all of it. Raises OSError."""
        data = memoryview(words.encode(self.encoding, "backslashreplace"))
        while data:
            data = data[os.write(self._descriptor, data) :]
        return len(words)


def unbuffered() -> TextIO:
    """stderr for what a thread writes that may be left behind."""
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError):  # somebody has put another stream there
        return sys.stderr
    return cast(TextIO, _Unbuffered(descriptor, sys.stderr.encoding))


def document(answer: dict[str, Any]) -> int:
    """A JSON answer; its exit code."""
    from toolkit.show.document import dumps

    if _endpoint_line.endpoint:
        answer = {**answer, "endpoint": _endpoint_line.endpoint}
    say(dumps(answer))
    return int(answer["exit"])


def write_report(path: str, report: bytes) -> int:
    """Write a report beside the answer, which is printed already: 0, or the exit code of what went
    wrong.
    """
    from toolkit.errors import FileProblem
    from toolkit.ports import disk

    try:
        disk.write(path, report, mode=0o666)
    except FileProblem as problem:
        note(f"error: {text.line(str(problem))}")
        note("hint: the answer above is complete; choose another file with --junit FILE")
        return int(problem.exit)
    return 0


def width() -> int:
    """How wide a table may be: the terminal's width, 80 in a pipe."""
    if not sys.stdout.isatty():
        return 80
    from shutil import get_terminal_size

    return max(get_terminal_size((80, 24)).columns, 60)


def interactive() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def flush() -> int:
    """Get everything out. The exit code if that fails; 0 if it works, or if the reader is gone."""
    try:
        sys.stdout.flush()
    except OSError as problem:
        if not _closed(problem):
            note(f"error: standard output: {problem.strerror}")
            return Exit.USAGE
        silence()
    with suppress(OSError):
        sys.stderr.flush()
    return 0


def _closed(problem: OSError) -> bool:
    """Whether nobody reads stdout any more: a pipe that was closed, a terminal that is gone."""
    gone = problem.errno == errno.EIO and stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
    return gone or isinstance(problem, BrokenPipeError)


def silence() -> None:
    """Send later writes nowhere, once the reader is gone: they must not raise again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def usage(wrong: click.ClickException, command: str, as_json: bool) -> int:
    """A wrong command line, in a line, with the place to look; with --json also as a document."""
    from toolkit.advice import ShellCommand
    from toolkit.show.advice import sentence

    path = "toolkit" if command == "toolkit" else f"toolkit {command}"
    if isinstance(wrong, click.UsageError) and wrong.ctx is not None:
        path = wrong.ctx.command_path
    hint: Advice = ("see", ShellCommand(f"{path} --help"))
    # click lists choices on lines of their own.
    message = wrong.format_message().replace("\n\t", " ")
    if as_json:
        head = {"toolkit": 1, "command": command, "status": "error", "exit": int(Exit.USAGE)}
        problem = {"code": "usage", "message": message, "hint": sentence(hint)}
        document({**head, "error": problem})
    note(f"error: {text.line(message)}")
    note_advice(hint)
    return Exit.USAGE


def error(problem: "ToolkitError", command: str, as_json: bool, same: "SameOptions") -> int:
    """A foreseen error: a line, and the next thing to do; with --json also as a document. What AWS
    says may hold secrets.
    """
    from toolkit.cli.redaction import redacted
    from toolkit.errors import FileProblem
    from toolkit.show import problem as problems

    if as_json:
        from toolkit.show import document as documents

        answer = documents.error(command, problem, same)
        answer["error"]["message"] = redacted(answer["error"]["message"])
        answer["error"]["hint"] = redacted(answer["error"]["hint"])
        with suppress(FileProblem):  # it may be standard output itself that is full
            document(answer)
    for remark in problems.error(problem, same):
        note(redacted(remark))
    return problem.exit
