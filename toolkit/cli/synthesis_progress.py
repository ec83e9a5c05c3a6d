"""What a person sees while templates are synthesized, which takes seconds: on stderr."""

import sys
from contextlib import suppress
from time import monotonic
from typing import Any

from toolkit.cli import output
from toolkit.cli.redaction import redactor
from toolkit.errors import Refused
from toolkit.ports import debug
from toolkit.show.text import duration, line

LONGEST_S = 3600
"""How long all programs together may take, in seconds."""
SPINNER = 2
"""The columns of the spinner."""


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
        self._redact = redactor()

    def __enter__(self) -> "SynthesisProgress":
        return self

    def __exit__(self, *problem: object) -> None:
        if self._status is not None:
            with suppress(OSError):
                self._status.stop()

    def check(self) -> None:
        """Called all the time: say what goes on, once it takes longer than a second. Raises Refused
        when it takes longer than anybody waits.
        """
        if monotonic() - self._began > LONGEST_S:
            raise Refused(f"it was stopped after {duration(LONGEST_S)}")
        if self._said or self._silent or monotonic() - self._began < 1:
            return
        self._said = True
        if not sys.stderr.isatty() or debug.on_stderr:
            output.note(f"{self._words} ...")
            return
        from toolkit.cli.progress import spinner  # only here: it loads what a run needs

        self._status = spinner(f"{self._words} ...")

    def log(self, words: str) -> None:
        """The last line that a program has written."""
        self.check()
        if self._status is not None:
            with suppress(OSError):
                shown = f"{self._words} ...  {line(self._redact(words))}"
                self._status.update(shown[: output.width() - SPINNER])
