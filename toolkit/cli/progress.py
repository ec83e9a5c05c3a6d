"""How a run looks while it goes on: a line for each step on a terminal, plain lines everywhere
else. All of it on stderr.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import RLock
from time import monotonic
from typing import Any

from toolkit.cli import output
from toolkit.formats.words import count
from toolkit.operations import Job, JobAction, Outcome
from toolkit.ports import debug
from toolkit.run.events import (
    HookBegan,
    HookEnded,
    LogLine,
    Notice,
    PhaseChanged,
    RunEvent,
    RunPlanned,
    StepBegan,
    StepEnded,
)
from toolkit.show import run as show
from toolkit.show import style
from toolkit.show.advice import advice_lines
from toolkit.show.text import duration, line, shortened

REFRESHES = 8
"""How often per second the lines are drawn again."""
_VERBS = {
    JobAction.DEPLOY: "deploying",
    JobAction.ROLLBACK: "rolling back to",
    JobAction.BUILD: "building",
}


class PlainProgress:
    """For pipes and CI: what happens, line by line, with the step's name in front."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._stream = output.unbuffered()

    def take(self, event: RunEvent) -> None:
        """Write a line, if it is worth one. Of log lines only with -v."""
        match event:
            case StepBegan(job):
                self._say(job.step, f"{_VERBS[job.action]} {show.version(job)}")
            case HookEnded(step, took_s, cause, stopped):
                self._say(step, show.hook_ended(took_s, cause, stopped))
            case PhaseChanged(step, phase):
                self._say(step, phase)
            case LogLine(step, text) if self._verbose:
                self._say(step, f"| {text}")
            case Notice(step, text):
                self._write(advice_lines(text, before=f"[{step}] "))
            case StepEnded(outcome):
                self._say(outcome.step, show.ended(outcome))

    def asked(self, step: str, question: str) -> bool | None:
        """Nobody can be asked."""
        return None

    def close(self) -> None:
        """Nothing has to be removed."""

    def _say(self, step: str, text: str) -> None:
        self._write([f"[{step}] {line(text)}"])

    def _write(self, lines: Sequence[str]) -> None:
        with suppress(OSError):  # a terminal that was closed ends no deploy
            self._stream.write("\n".join((*lines, "")))


class QuietProgress(PlainProgress):
    """For -q: only what has to be seen; how a step ended, the answer says."""

    def take(self, event: RunEvent) -> None:
        """Write a line for a notice."""
        if isinstance(event, Notice):
            super().take(event)


class ScreenProgress:
    """For a terminal: a line for each running step, with its phase, its time against the estimate,
    and its last log line.
    """

    def __init__(self, several: bool) -> None:
        """`several`: each step's end stays on the screen; that of a single one is the answer
        itself, and told on stdout.
        """
        from rich.console import Console

        self._lock = RLock()
        self._several = several
        self._rows: dict[str, _Row] = {}
        self._waiting: dict[str, list[str]] = {}
        """The steps that have not begun, each with those that it waits for."""
        self._console = Console(
            file=output.unbuffered(),
            highlight=False,
            markup=False,
            emoji=False,
            no_color=not output.has_colours(sys.stderr),
        )
        self._live = self._new_live()

    def _new_live(self) -> Any:
        """The lines, which nothing is above yet. One that was stopped takes them for drawn: started
        again, it would begin by removing as many lines, and those are somebody else's by then.
        """
        from rich.live import Live

        return Live(
            get_renderable=self._drawn,
            console=self._console,
            refresh_per_second=REFRESHES,
            transient=True,
            # Else what is said at the end would have to pass a terminal that takes nothing.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def take(self, event: RunEvent) -> None:
        """Change the line of a step. A notice, and how a step ended, stay above the lines."""
        with suppress(OSError):  # a terminal that was closed ends no deploy
            self._live.start()
            match event:
                case RunPlanned(_, jobs):
                    self._planned(jobs)
                case StepBegan(job):
                    self._begin(job.step, job.estimate_s)
                case HookBegan(step):
                    self._begin(step, 0)
                case HookEnded(step, took_s, cause, stopped):
                    with self._lock:
                        self._rows.pop(step, None)
                    self._print(f"{step}: {show.hook_ended(took_s, cause, stopped)}")
                case PhaseChanged(step, phase):
                    self._change(step, phase, "")
                case LogLine(step, text):
                    self._change(step, None, text)
                case Notice(step, text):
                    width = self._console.width
                    self._print("\n".join(advice_lines(text, width=width, before=f"{step}: ")))
                case StepEnded(outcome):
                    self._ended(outcome)

    def _begin(self, step: str, estimate_s: int) -> None:
        with self._lock:
            self._waiting.pop(step, None)
            self._rows[step] = _Row(step, estimate_s)

    def _planned(self, jobs: Sequence[Job]) -> None:
        # A step that undoes another one waits for nothing: mostly it never begins.
        planned = [job for job in jobs if not job.undoes]
        steps = {job.step for job in planned}
        with self._lock:
            self._waiting = {
                job.step: [need for need in job.needs if need in steps] for job in planned
            }

    def _ended(self, outcome: Outcome) -> None:
        with self._lock:
            self._rows.pop(outcome.step, None)
            self._waiting.pop(outcome.step, None)
            for needs in self._waiting.values():
                if outcome.step in needs:
                    needs.remove(outcome.step)
        if not self._several:
            return
        shown = f"{line(outcome.step)}: {show.ended(outcome)}"
        self._print(style.marked(shown, show.ROLES.get(outcome.verdict)))

    def _print(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(output.rendered(text, sys.stderr)), soft_wrap=True)

    def asked(self, step: str, question: str) -> bool | None:
        """Ask, with the lines put away as long. No event is taken meanwhile."""
        if not output.interactive():
            return None
        from toolkit.cli.prompt import confirm

        self._live.stop()
        try:
            return bool(confirm(f"{step}: {question}", default=False))
        except KeyboardInterrupt:  # asked in a step's thread: the main one has to know
            os.kill(os.getpid(), signal.SIGINT)
            return False
        finally:
            self._live = self._new_live()
            self._live.start()

    def close(self) -> None:
        """Put the lines away."""
        with suppress(OSError):
            self._live.stop()

    def _change(self, step: str, phase: str | None, last: str) -> None:
        """Change what the line of a step says, if it is still there."""
        with self._lock:
            row = self._rows.get(step)
            if row is not None:
                row.phase, row.last = phase or row.phase, last

    def _drawn(self) -> Any:
        from rich.text import Text

        with self._lock:
            width, height = self._console.size
            lines = [row.text(width) for row in self._rows.values()]
            lines += waiting_lines(self._waiting, width, height - len(lines) - 2)
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def waiting_lines(waiting: Mapping[str, Sequence[str]], width: int, most: int) -> list[str]:
    """A line for each step that has not begun, with what it waits for, but no more than `most`."""
    lines: list[str] = []
    for step, needs in waiting.items():
        what = ", ".join(map(line, needs)) or "another step to end (--parallel)"
        lines.append(shortened(f"  {line(step)}  waits for {what}", width))
    if len(lines) > most:
        hidden = len(lines) - max(most - 1, 0)
        lines = [*lines[: max(most - 1, 0)], f"  {count(hidden, 'more step')} waiting"]
    return lines


class _Row:
    """What the line of one step says."""

    def __init__(self, step: str, estimate_s: int) -> None:
        self._step, self._estimate_s, self._began = step, estimate_s, monotonic()
        self.phase, self.last = "starting", ""

    def text(self, width: int) -> str:
        took = duration(int(monotonic() - self._began))
        if self._estimate_s:
            took += f" of about {duration(self._estimate_s)}"
        spinner = "-\\|/"[int(monotonic() * 4) % 4]
        text = f"{spinner} {self._step}  {took}  {line(self.phase)}"
        if self.last and len(text) < width - 12:
            text += f"  {line(self.last)}"
        return text[:width]


class CountProgress:
    """For many small things: how many of them are done, on a terminal; nothing elsewhere. A context
    manager.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._done, self._failed = total, 0, 0
        self._status: Any = None
        if not quiet and sys.stderr.isatty() and not debug.on_stderr:
            from rich.console import Console

            self._status = Console(stderr=True, highlight=False, markup=False).status(
                self._words(), spinner="line"
            )

    def __enter__(self) -> "CountProgress":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._status is not None:
            with suppress(OSError):
                self._status.stop()

    def told(self, result: Any) -> None:
        """One more is done; called from several threads."""
        self._done += 1
        self._failed += result.status.is_bad
        if self._status is not None:
            with suppress(OSError):
                self._status.update(self._words())

    def say(self, words: str) -> None:
        """Something that has to be seen."""
        output.note(words)

    def _words(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done} of {self._total}{failed} ..."


class RedrawnText:
    """A text that is drawn again in its place on a terminal; elsewhere one after the other. A
    context manager; the last one stays.
    """

    def __init__(self, silent: bool) -> None:
        self._live: Any = None
        self._console: Any = None
        if not silent and sys.stdout.isatty():
            from rich.console import Console
            from rich.live import Live

            self._console = Console(highlight=False, markup=False, emoji=False)
            self._live = Live(
                console=self._console, auto_refresh=False, screen=False, vertical_overflow="crop"
            )

    @property
    def height(self) -> int | None:
        """How many lines fit now, None where any number does."""
        return None if self._console is None else int(self._console.height) - 1

    def __enter__(self) -> "RedrawnText":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def show(self, text: str) -> None:
        """Draw it. Raises output.ReaderGone."""
        if self._live is None:
            output.say(f"{text}\n")
            output.flush()
            return
        from rich.text import Text

        with suppress(OSError):
            shown = Text.from_ansi(output.rendered(text, sys.stdout), no_wrap=True, overflow="crop")
            self._live.update(shown, refresh=True)


def spinner(words: str) -> Any:
    """A line on a terminal that says what goes on, started; whoever starts it has to stop it."""
    from rich.console import Console

    status = Console(stderr=True, highlight=False, markup=False).status(words, spinner="line")
    status.start()
    return status


def checking(quiet: bool) -> AbstractContextManager[object]:
    """A word on a terminal while the kinds are asked: it can take seconds."""
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True, highlight=False).status("checking ...", spinner="line")


def listener(several: bool, quiet: bool, verbose: bool) -> "PlainProgress | ScreenProgress":
    """The right one for where stderr goes. Log lines (-v) would tear a screen that is redrawn."""
    if quiet:
        return QuietProgress()
    if verbose or debug.on_stderr or not sys.stderr.isatty():
        return PlainProgress(verbose)
    return ScreenProgress(several)
