"""A program of the repository that is run to its end while somebody watches: the app of a stack, a
build, an installer.
"""

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from toolkit.ports import process

MOST_LINES = 400
"""How many of the last lines of a failed program are searched for the cause."""
LONGEST_LINE = 2000
"""The most bytes of a line that are kept: its last."""


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
) -> tuple[int | None, list[str]]:
    """Run a program to its end: its exit code, and the last lines of its output. Raises what `log`
    raises, after the program was stopped.
    """
    output: deque[str] = deque(maxlen=MOST_LINES)
    try:
        program = process.LineProgram(argv, folder, env)
    except OSError as error:
        return 127, [error.strerror or str(error)]
    try:
        for line in program.lines():
            log.check()
            if line is not None and line.strip():
                text = line[-LONGEST_LINE:].decode("utf-8", "replace").rstrip()
                output.append(text)
                log.log(text)
    finally:
        program.stop()
    return program.code, list(output)
