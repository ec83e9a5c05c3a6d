"""What leaves the process: the answer on stdout, everything else on stderr."""

import os
import sys
from typing import Any

import click

from toolkit.errors import Exit, ToolkitError
from toolkit.show import text


def prepare() -> None:
    """Any text can be written to any terminal: what its encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


class Enough(Exception):
    """Whoever reads our output has closed it."""


def say(answer: str) -> None:
    """A line (or more) of the answer. Raises Enough, which click leaves alone: of a broken pipe it would make exit code 1."""
    try:
        sys.stdout.write(answer + "\n")
    except BrokenPipeError:
        raise Enough from None


def note(remark: str) -> None:
    """A line for the person, not for the program that reads the answer."""
    sys.stderr.write(remark + "\n")


def document(found: dict[str, Any]) -> int:
    """A JSON answer; its exit code."""
    from toolkit.show.document import dumps

    say(dumps(found))
    return int(found["exit"])


def width() -> int:
    """How wide a table may be: the terminal's width, 80 in a pipe."""
    if not sys.stdout.isatty():
        return 80
    from shutil import get_terminal_size

    return max(get_terminal_size((80, 24)).columns, 60)


def interactive() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def silence() -> None:
    """Nobody listens any more: later writes must not raise again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def usage(error: click.ClickException, args: list[str]) -> int:
    """A wrong command line, in a line, with the place to look."""
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "toolkit"
    if "--json" in args:
        found = {"code": "usage", "message": error.format_message(), "hint": f"see `{command} --help`"}
        document({"toolkit": 1, "command": _command(args), "status": "error", "exit": int(Exit.USAGE), "error": found})
    note(f"error: {text.line(error.format_message())}")
    note(f"hint: see `{command} --help`")
    return Exit.USAGE


def error(problem: ToolkitError, args: list[str]) -> int:
    """A foreseen error: a line, and the next thing to do; with --json also as a document."""
    if "--json" in args:
        from toolkit.show import document as documents

        document(documents.error(_command(args), problem))
    for remark in text.error(problem):
        note(remark)
    return problem.exit


def _command(args: list[str]) -> str:
    """The command's name, for a document about its failure."""
    from toolkit.cli.main import COMMANDS

    words = [word for word in args if not word.startswith("-")]
    at = next((at for at, word in enumerate(words) if word in COMMANDS), None)
    if at is None:
        return "toolkit"
    return " ".join(words[at : at + 2]) if words[at] == "rules" else words[at]
