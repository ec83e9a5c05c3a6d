"""The steps of a run while it goes on, as rows that fit a terminal."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolkit.formats.words import count
from toolkit.show.style import Role, marked
from toolkit.show.text import clipped, duration, line, shortened

BAR, WIDE_BAR = 10, 20
"""Columns of a bar, and of one on a wide terminal."""
WIDE, NARROW, NARROWEST = 110, 56, 40
"""From how many columns on a terminal is wide; below how many there is no room for bars, and none
for estimates.
"""
LEAST_PHASE, LEAST_LOG = 6, 12
"""In fewer columns a phase, or a line of a log, says nothing."""


class RunningStep(Struct):
    """What there is to say of a step in progress. Times are in seconds: `estimate_s` is 0 where
    there is none, and `built_s` is how long the builds took that the estimate includes.
    """

    step: str
    estimate_s: float = 0.0
    built_s: float = 0.0
    phase: str = "starting"
    last: str = ""
    """The last line of its log."""


def running_lines(steps: Sequence[tuple[RunningStep, float]], width: int, most: int) -> list[str]:
    """A row for each step and how long it has been at work, in seconds, but no more than `most`.
    Where they are narrow and there is room, the last lines of the logs have rows of their own.
    """
    shown = steps
    if len(steps) > most:
        shown = steps[: max(most - 1, 0)]
    has_log_rows = width < WIDE and 2 * len(steps) <= most
    longest = min(max((len(line(step.step)) for step, _ in shown), default=0), max(width // 4, 8))
    times = [_time(step, took_s, width) for step, took_s in shown]
    column = max((len(text) for text, _ in times), default=0)
    rows: list[str] = []
    for (step, took_s), (text, role) in zip(shown, times, strict=True):
        spinner = "-\\|/"[int(took_s * 4) % 4]
        before = f"{spinner} {clipped(line(step.step), longest):<{longest}}  "
        room = width - len(before) - column - 2
        time = marked(text, role) + " " * (column - len(text))
        doing = _doing(step.phase, "" if has_log_rows else step.last, room)
        rows.append(f"{before}{time}  {doing}".rstrip())
        if has_log_rows and step.last:
            rows.append(marked(shortened(f"  | {line(step.last)}", width), Role.FAINT))
    if len(shown) < len(steps):
        rows.append(f"  {count(len(steps) - len(shown), 'more step')} in progress")
    return rows


def _time(step: RunningStep, took_s: float, width: int) -> tuple[str, Role | None]:
    """How long a step has been at work against its estimate, and what that means. One that takes
    longer has no bar: a full one would say that it is over.
    """
    took = f"{duration(int(took_s)):>5}"  # so that nothing moves when a minute is over
    left_s = step.estimate_s - step.built_s - took_s
    if not step.estimate_s or width < NARROWEST:
        return took, None
    if left_s < 0:
        return f"{took}, over by {duration(int(-left_s) or 1)}", Role.WARNING
    text = f"{took} of ~{_about(step.estimate_s - step.built_s)}"
    if width < NARROW:
        return text, None
    columns = WIDE_BAR if width >= WIDE else BAR
    full = int((1 - left_s / step.estimate_s) * columns)
    return f"[{'#' * full}{'-' * (columns - full)}] {text}", None


def _about(seconds: float) -> str:
    """A time that nobody knows to the second."""
    step_s = 5 if seconds >= 60 else 1
    return duration(round(seconds / step_s) * step_s)


def _doing(phase: str, last: str, room: int) -> str:
    """The phase of a step and the last line of its log in so many columns; without room for both,
    the phase.
    """
    if room < LEAST_PHASE:
        return ""
    phase = line(phase)
    rest = max(room - len(phase), room * 2 // 5) - 2
    if not last or rest < LEAST_LOG:
        return shortened(phase, room)
    last = shortened(line(last), rest)
    return f"{shortened(phase, room - len(last) - 2)}  {last}"


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
