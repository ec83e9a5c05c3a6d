"""What a person sees while templates are synthesized, which takes seconds: on stderr."""

import sys
from contextlib import suppress
from time import monotonic
from typing import Any

from toolkit.cli import output
from toolkit.ports import debug
from toolkit.show.text import duration, line


class SynthesisProgress:
    """For the programs that synthesize templates: what they do, on a terminal; elsewhere one line
    once it takes longer than a second. A context manager. `estimate_s` is how long it took the last
    time, 0 where nobody knows.
    """

    def __init__(self, silent: bool, estimate_s: float) -> None:
        self._silent, self._began, self._said = silent, monotonic(), False
        self._words = "synthesizing the templates"
        if estimate_s:
            self._words += f" (took {duration(round(estimate_s) or 1)} the last time)"
        self._status: Any = None

    def __enter__(self) -> "SynthesisProgress":
        return self

    def __exit__(self, *problem: object) -> None:
        if self._status is not None:
            with suppress(OSError):
                self._status.stop()

    def check(self) -> None:
        """Called all the time: say what goes on, once it takes longer than a second."""
        if self._said or self._silent or monotonic() - self._began < 1:
            return
        self._said = True
        if not sys.stderr.isatty() or debug.on_stderr:
            output.note(f"{self._words} ...")
            return
        from rich.console import Console

        self._status = Console(stderr=True, highlight=False, markup=False).status(
            f"{self._words} ...", spinner="line"
        )
        self._status.start()

    def log(self, words: str) -> None:
        """The last line that a program has written."""
        self.check()
        if self._status is not None:
            with suppress(OSError):
                self._status.update(f"{self._words} ...  {line(words)[:40]}")
