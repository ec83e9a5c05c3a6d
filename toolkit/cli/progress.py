"""How a run looks while it goes on: a line for each step on a terminal, plain lines everywhere
else. All of it on stderr.
"""

import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import RLock
from time import monotonic
from typing import Any

from toolkit.cli import output
from toolkit.cli.deploy_options import Detail
from toolkit.formats.words import count
from toolkit.operations import Job, JobAction, Outcome, Verdict
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
from toolkit.show.progress import RunningStep, running_lines, waiting_lines
from toolkit.show.text import line

REFRESHES = 8
"""How often per second the rows are drawn again."""
LONGEST_LOG = 1000
"""How many lines of a step's log are shown at once."""
_STEP_COLOURS = (36, 35, 34, 96, 95, 94)
"""The colours of steps' names, as terminals know them: none that means good or bad."""
_VERBS = {
    JobAction.DEPLOY: "deploying",
    JobAction.ROLLBACK: "rolling back to",
    JobAction.BUILD: "building",
}


class StepLogs:
    """The lines of steps' logs until it is clear whether they are shown. Of a long log only the
    last lines are kept.
    """

    def __init__(self, every: bool) -> None:
        """`every`: not only those of steps that have failed."""
        self._every = every
        self._lines: dict[str, deque[str]] = {}
        self._dropped: Counter[str] = Counter()

    def add(self, step: str, text: str) -> None:
        """Keep a line."""
        lines = self._lines.setdefault(step, deque(maxlen=LONGEST_LOG))
        self._dropped[step] += len(lines) == LONGEST_LOG
        lines.append(text)

    def take(self, step: str, failed: bool, told: Sequence[str] = ()) -> list[str]:
        """The log of a step that has ended, as far as it is shown: without its end if that is
        `told` elsewhere.
        """
        lines, dropped = list(self._lines.pop(step, ())), self._dropped.pop(step, 0)
        if not (failed or self._every):
            return []
        if told and lines[-len(told) :] == list(told):
            del lines[-len(told) :]
        if dropped:
            lines.insert(0, f"({count(dropped, 'earlier line')} only in the log)")
        return [line(text) for text in lines]


class PlainProgress:
    """For pipes and CI: what happens, line by line, with the step's name in front."""

    def __init__(self, steps: Sequence[str] = (), detail: Detail = Detail.PHASES) -> None:
        """`steps` are the names to align where the lines of several steps alternate."""
        self._detail = detail
        self._logs = StepLogs(detail is Detail.LOGS)
        self._stream = output.unbuffered()
        self._steps = steps if detail is Detail.STREAM else ()
        self._longest = max(map(len, self._steps), default=0)
        self._has_colours = output.has_colours(sys.stderr)

    def take(self, event: RunEvent) -> None:
        """Write a line, if it is worth one. Log lines come as they are, or once their step has
        ended.
        """
        match event:
            case StepBegan(job):
                self._say(job.step, f"{_VERBS[job.action]} {show.version(job)}")
            case HookEnded(step, took_s, cause, stopped):
                self._say_log(self._logs.take(step, bool(cause)), step)
                self._say(step, show.hook_ended(took_s, cause, stopped))
            case PhaseChanged(step, phase):
                self._say(step, phase)
            case LogLine(step, text) if self._detail is Detail.STREAM:
                self._say(step, f"| {text}")
            case LogLine(step, text):
                self._logs.add(step, text)
            case Notice(step, text):
                self._write(advice_lines(text, before=self._prefix(step)))
            case StepEnded(outcome):
                self._say_log(_log_of(outcome, self._logs), outcome.step)
                self._say(outcome.step, show.ended(outcome))

    def asked(self, step: str, question: str) -> bool | None:
        """Nobody can be asked."""
        return None

    def close(self) -> None:
        """Nothing has to be removed."""

    def _prefix(self, step: str) -> str:
        """The step's name, of which each has a colour where there are any."""
        prefix = f"[{line(step)}]"
        padding = " " * (self._longest + 2 - len(prefix) + 1)
        if self._has_colours and step in self._steps:
            colour = _STEP_COLOURS[self._steps.index(step) % len(_STEP_COLOURS)]
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        return prefix + (padding or " ")

    def _say(self, step: str, text: str) -> None:
        self._write([f"{self._prefix(step)}{line(text)}"])

    def _say_log(self, lines: Sequence[str], step: str) -> None:
        if lines:
            prefix = self._prefix(step)
            self._write([f"{prefix}| {text}" for text in lines])

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
    """For a terminal: a row for each step in progress, with its time against the estimate, its
    phase, and its last log line.
    """

    def __init__(self, several: bool, detail: Detail = Detail.PHASES) -> None:
        """`several`: each step's end stays on the screen; that of a single one is the answer
        itself, and told on stdout.
        """
        from rich.console import Console

        self._lock = RLock()
        self._several = several
        self._logs = StepLogs(detail is Detail.LOGS)
        self._running: dict[str, tuple[RunningStep, float]] = {}
        """The steps in progress, and since when."""
        self._waiting: dict[str, list[str]] = {}
        """The steps that have not begun, each with those that it waits for."""
        self._built: dict[str, float] = {}
        """How long each build took, in seconds."""
        self._console = Console(
            file=output.unbuffered(),
            highlight=False,
            markup=False,
            emoji=False,
            no_color=not output.has_colours(sys.stderr),
        )
        self._live = self._new_live()

    def _new_live(self) -> Any:
        """The rows, which nothing is above yet. One that was stopped takes them for drawn: started
        again, it would begin by removing as many lines, and those are somebody else's by then.
        """
        from rich.live import Live

        return Live(
            _Rows(self._drawn),
            console=self._console,
            refresh_per_second=REFRESHES,
            transient=True,
            # Else what is said at the end would have to pass a terminal that takes nothing.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def take(self, event: RunEvent) -> None:
        """Change the row of a step. A notice, and how a step ended, stay above the rows."""
        with suppress(OSError):  # a terminal that was closed ends no deploy
            self._live.start()
            match event:
                case RunPlanned(_, jobs):
                    self._planned(jobs)
                case StepBegan(job):
                    built_s = max((self._built.get(need, 0.0) for need in job.needs), default=0.0)
                    self._begin(RunningStep(job.step, job.estimate_s, built_s))
                case HookBegan(step):
                    self._begin(RunningStep(step))
                case HookEnded(step, took_s, cause, stopped):
                    with self._lock:
                        self._running.pop(step, None)
                    self._say_log(self._logs.take(step, bool(cause)), step)
                    self._print(f"{line(step)}: {show.hook_ended(took_s, cause, stopped)}")
                case PhaseChanged(step, phase):
                    self._change(step, phase=phase)
                    self._logs.add(step, f"-- {phase}")
                case LogLine(step, text):
                    self._change(step, last=text)
                    self._logs.add(step, text)
                case Notice(step, text):
                    width = self._console.width
                    self._print("\n".join(advice_lines(text, width=width, before=f"{step}: ")))
                case StepEnded(outcome):
                    self._ended(outcome)

    def _begin(self, row: RunningStep) -> None:
        with self._lock:
            self._waiting.pop(row.step, None)
            self._running[row.step] = row, monotonic()

    def _planned(self, jobs: Sequence[Job]) -> None:
        # A step that undoes another one waits for nothing: mostly it never begins.
        planned = [job for job in jobs if not job.undoes]
        steps = {job.step for job in planned}
        with self._lock:
            self._built = {job.step: 0.0 for job in planned if job.is_build}
            self._waiting = {
                job.step: [need for need in job.needs if need in steps] for job in planned
            }

    def _ended(self, outcome: Outcome) -> None:
        with self._lock:
            self._running.pop(outcome.step, None)
            self._waiting.pop(outcome.step, None)
            if outcome.step in self._built:
                self._built[outcome.step] = outcome.took_s
            for needs in self._waiting.values():
                if outcome.step in needs:
                    needs.remove(outcome.step)
        self._say_log(_log_of(outcome, self._logs), outcome.step)
        if not self._several:
            return
        shown = f"{line(outcome.step)}: {show.ended(outcome)}"
        self._print(style.marked(shown, show.ROLES.get(outcome.verdict)))

    def _say_log(self, lines: Sequence[str], step: str) -> None:
        if lines:
            self._print("\n".join(f"{line(step)} | {text}" for text in lines))

    def _print(self, text: str) -> None:
        self._console.print(_shown(text), soft_wrap=True)

    def asked(self, step: str, question: str) -> bool | None:
        """Ask, with the rows put away as long. No event is taken meanwhile."""
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
        """Put the rows away."""
        with suppress(OSError):
            self._live.stop()

    def _change(self, step: str, **facts: str) -> None:
        """Change what the row of a step says, if it is still there."""
        with self._lock:
            if step in self._running:
                for name, value in facts.items():
                    setattr(self._running[step][0], name, value)

    def _drawn(self) -> Any:
        now = monotonic()
        with self._lock:
            width, height = self._console.size
            most = max(height - 2, 1)
            running = [(row, now - began) for row, began in self._running.values()]
            lines = running_lines(running, width, most - min(len(self._waiting), 1))
            if self._waiting:
                lines += waiting_lines(self._waiting, width, most - len(lines))
        return _shown("\n".join(lines), no_wrap=True, overflow="ellipsis")


class _Rows:
    """What rich draws as it is at that moment: also with each line above it, so that no row of a
    step stands there whose end has just been told.
    """

    def __init__(self, drawn: Callable[[], Any]) -> None:
        self._drawn = drawn

    def __rich__(self) -> Any:
        return self._drawn()


def _log_of(outcome: Outcome, logs: StepLogs) -> list[str]:
    """What is shown of the log of a step that has ended. The answer has the last lines of one that
    has failed.
    """
    failed = outcome.verdict in (Verdict.FAILED, Verdict.UNHEALTHY, Verdict.ROLLED_BACK)
    return logs.take(outcome.step, failed, outcome.log)


def _shown(text: str, **how: Any) -> Any:
    """The text as it may be written to the terminal."""
    from rich.text import Text

    return Text.from_ansi(output.rendered(text, sys.stderr), **how)


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


def listener(
    steps: Sequence[str], detail: Detail, several: bool
) -> "PlainProgress | ScreenProgress":
    """The right one for where stderr goes. Log lines that come at once would tear a screen that is
    redrawn.
    """
    if detail is Detail.LEAST:
        return QuietProgress()
    is_dumb = os.environ.get("TERM", "dumb").lower() in ("", "dumb", "unknown")
    if detail is Detail.STREAM or debug.on_stderr or is_dumb or not sys.stderr.isatty():
        return PlainProgress(steps, detail)
    return ScreenProgress(several, detail)
