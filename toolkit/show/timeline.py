"""When the steps of a run were at work, and which of them would have to be faster."""

from collections.abc import Mapping, Sequence

from toolkit.operations import Job, Outcome, Span
from toolkit.show.text import duration, line, shortened, wrapped

LEAST_S = 10.0
"""A run that took less than this, in seconds, needs no timeline."""
SHORT_S = 0.5
"""A step that took less than this, in seconds, is not in it."""
SLOW_S = 5.0
"""After how many seconds of its slowest resource a step's resources are shown."""
NARROWEST = 10
"""The fewest columns of a bar."""


def timeline(
    jobs: Sequence[Job], spans: Mapping[str, Span], took_s: float, width: int
) -> list[str]:
    """A bar for each step, by its begin, and the chain of steps that the run has taken its time
    for; nothing where there is nothing to compare.
    """
    steps = [job.step for job in jobs if job.step in spans and spans[job.step].took_s >= SHORT_S]
    if took_s < LEAST_S or len(steps) < 2:
        return []
    steps.sort(key=lambda step: (spans[step].began_s, spans[step].ended_s))
    longest = min(max(map(len, steps)), width // 3)
    times = {step: duration(round(spans[step].took_s)) for step in steps}
    columns = max(width - longest - max(map(len, times.values())) - 8, NARROWEST)
    lines: list[str] = []
    for step in steps:
        bar = _bar(spans[step], took_s, columns)
        lines.append(f"  {shortened(line(step), longest):<{longest}}  |{bar}| {times[step]}")
    chain = critical_path(jobs, spans)
    total = sum(spans[step].took_s for step in chain)
    text = f"The longest chain took {duration(round(total))} of {duration(round(took_s))}: "
    parts = [f"{line(step)} ({duration(round(spans[step].took_s))})" for step in chain]
    text += ", then ".join(parts)
    return ["When each step ran:", *lines, *wrapped(f"{text}.", width)]


def slowest_resources(outcomes: Sequence[Outcome], width: int) -> list[str]:
    """What took longest in the steps that are made of several things, such as stacks."""
    lines: list[str] = []
    for outcome in outcomes:
        if not outcome.slowest or outcome.slowest[0].took_s < SLOW_S:
            continue
        lines.append(f"Slowest in {line(outcome.step)}:")
        for resource in outcome.slowest:
            took = duration(round(resource.took_s))
            text = f"  {took:>6}  {line(resource.name)}  {line(resource.type)}"
            lines.append(shortened(text, width))
    return lines


def critical_path(jobs: Sequence[Job], spans: Mapping[str, Span]) -> list[str]:
    """The steps that a run waited for, in order: the one that ended last, the last that ended of
    those that it waited for, and so on. A faster step beside them saves no time.
    """
    needs = {job.step: [need for need in job.needs if need in spans] for job in jobs}
    path: list[str] = []
    among = [step for step in needs if step in spans]
    while among:
        step = max(among, key=lambda name: (spans[name].ended_s, name))
        if spans[step].took_s >= SHORT_S:
            path.append(step)
        among = needs[step]
    path.reverse()
    return path


def _bar(span: Span, took_s: float, columns: int) -> str:
    """Where a step stands in the time of its run: at least one sign."""
    first = min(int(span.began_s / took_s * columns), columns - 1)
    last = min(max(int(span.ended_s / took_s * columns), first + 1), columns)
    return f"{' ' * first}{'#' * (last - first)}{' ' * (columns - last)}"
