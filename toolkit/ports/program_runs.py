"""A program of the repository that is run to its end while somebody watches: the app of a stack, a
build, an installer.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from toolkit.formats.words import count
from toolkit.ports import process

MOST_LINES = 400
"""How many of the last lines of a failed program are searched for the cause."""
LONGEST_LINE = 2000
"""The most bytes of a line that are kept: its last, from the next word on, since the end of a word
may be that of a secret which nothing would recognize.
"""
_SEPARATOR = re.compile("[\\s\"',;&]")


class ProgramEnd(Struct, frozen=True):
    """How a program has ended: its exit code, and the last lines that it wrote; `earlier` is the
    number of those before.
    """

    code: int | None
    lines: tuple[str, ...]
    earlier: int = 0

    @property
    def output(self) -> tuple[str, ...]:
        """The lines for people: they say what is not among them."""
        if not self.earlier:
            return self.lines
        are = "is" if self.earlier == 1 else "are"
        return (f"[{count(self.earlier, 'earlier line')} {are} left out]", *self.lines)


class ProgramLog(Protocol):
    """Watches a program: `check` is called all the time and may raise, `log` gets each line that
    the program writes.
    """

    def check(self) -> None: ...
    def log(self, line: str) -> None: ...


class SilentLog:
    """Drops everything."""

    def check(self) -> None:
        """Never raises."""

    def log(self, line: str) -> None:
        """Dropped."""


def run_program(
    argv: list[str], folder: str, env: Mapping[str, str], log: ProgramLog
) -> ProgramEnd:
    """Run a program to its end. Raises what `log` raises, after the program was stopped."""
    written = 0
    output: deque[str] = deque(maxlen=MOST_LINES)
    try:
        program = process.LineProgram(argv, folder, env)
    except OSError as error:
        return ProgramEnd(127, (error.strerror or str(error),))
    try:
        for line in program.lines():
            log.check()
            if line is not None and line.strip():
                text = line[-LONGEST_LINE:].decode("utf-8", "replace").rstrip()
                if len(line) > LONGEST_LINE:
                    text = "..." + "".join(_SEPARATOR.split(text, maxsplit=1)[1:])
                written += 1
                output.append(text)
                log.log(text)
    finally:
        program.stop()
    return ProgramEnd(program.code, tuple(output), written - len(output))
