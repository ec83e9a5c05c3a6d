"""What templates have said of the targets, for people and for programs."""

from collections.abc import Iterator
from typing import Any

from toolkit.advice import Advice
from toolkit.formats.cdk_manifest import Level
from toolkit.formats.words import count
from toolkit.model import DiffResult
from toolkit.show import templates
from toolkit.show.advice import advice_lines, sentence, shown_command
from toolkit.show.text import duration, line, listing, quote, wrapped
from toolkit.templates.model import StackState
from toolkit.templates.refinement import RefinedDiff, RefinedState, Refinement

MOST_PATHS = 3
"""How many paths without a rule are named."""
_LEVELS = (Level.ERROR, Level.WARNING, Level.INFO)


def lines(refined: RefinedDiff, width: int, verbose: bool) -> Iterator[str]:
    """What the templates say, with an empty line behind; the worst first. What is as deployed, and
    no rule called for, is only counted.
    """
    yield from wrapped(_heading(refined), width)
    yield from _without_answer(refined, RefinedState.UNKNOWN, width)
    yield from _remarks(refined, width)
    for name, refinement in sorted(refined.refinements.items()):
        if refinement.state is RefinedState.CHANGED:
            yield from _changes(name, refinement, refined, width, verbose)
    yield from _without_answer(refined, RefinedState.NOT_COMPARED, width)
    same = [
        name
        for name, refinement in refined.refinements.items()
        if refinement.state is RefinedState.UNCHANGED
    ]
    if refined.dropped:
        names = ", ".join(map(quote, refined.dropped))
        yield from wrapped(f"  {names}: unchanged, so left out", width, "    ")
    quiet = len(set(same) - set(refined.dropped))
    if quiet:
        yield f"  {count(quiet, 'target')} unchanged"
    yield ""


def _heading(refined: RefinedDiff) -> str:
    if refined.seconds < 1:
        return "Templates:"
    return f"Templates (compared in {duration(round(refined.seconds))}):"


def _without_answer(refined: RefinedDiff, state: RefinedState, width: int) -> Iterator[str]:
    """The targets of which nothing was found out, each reason once."""
    by_reason: dict[tuple[Advice, tuple[str, ...]], list[str]] = {}
    for name, refinement in sorted(refined.refinements.items()):
        if refinement.state is state:
            by_reason.setdefault((refinement.why, refinement.output), []).append(name)
    for (why, output), names in by_reason.items():
        due = ", so due" if state is RefinedState.UNKNOWN else ""
        yield from wrapped(f"  {', '.join(map(quote, names))}: {state}{due}", width, "    ")
        yield from advice_lines(why, refined.result.same, width, "    ")
        if len(output) > 1:  # a single line is the reason itself
            yield "    it wrote:"
            yield from (f"      {line(written)}" for written in output)


def _remarks(refined: RefinedDiff, width: int) -> Iterator[str]:
    """What apps remark about their constructs, the worst first and each remark once."""
    every = {remark for each in refined.refinements.values() for remark in each.remarks}
    if every:
        yield "  The app remarks:"
    for remark in sorted(every, key=lambda each: (_LEVELS.index(each.level), each.text)):
        yield from wrapped(f"    {remark.level.name.lower()}: {line(remark.text)}", width, "      ")


def _changes(
    name: str, refinement: Refinement, refined: RefinedDiff, width: int, verbose: bool
) -> Iterator[str]:
    answer = refined.result
    yield f"  {quote(name)}: changes"
    texts = list(templates.stacks_lines(refinement.stacks, width - 4, verbose))
    first = next(iter(refinement.stacks), None)
    # Of a target with one stack the heading says nothing new.
    if len(refinement.stacks) == 1 and first and first.comparison.state is StackState.CHANGED:
        texts = [text.removeprefix("  ") for text in texts[1:]]
    for text in texts:
        yield f"    {text}".rstrip()
    if name in refined.narrower:
        told: Advice = ("only code differs; to deploy just that:", *refined.narrower[name])
        yield from advice_lines(told, answer.same, width, "    ")
    yield from _missing_rule(name, refined, answer, width)


def _missing_rule(name: str, refined: RefinedDiff, answer: DiffResult, width: int) -> Iterator[str]:
    """That no rule called for it, and the files that may need one."""
    if name not in refined.added:
        return
    paths = refined.added[name]
    words = f"    no rule in {answer.rules.file} sends what changed to {name}"
    if paths:
        words += f"; a rule is missing for one of: {', '.join(listing(paths, MOST_PATHS))}"
    yield from wrapped(words, width, "    ")


def document(refined: RefinedDiff) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    return {
        "seconds": round(refined.seconds, 1),
        "dropped": list(refined.dropped),
        "added": {name: list(paths) for name, paths in refined.added.items()},
        "narrower": {
            name: [shown_command(command, refined.result.same) for command in commands]
            for name, commands in refined.narrower.items()
        },
        "targets": {
            name: {
                "state": refinement.state,
                "why": sentence(refinement.why, refined.result.same) or None,
                "output": list(refinement.output),
                "remarks": [
                    {"level": remark.level.name.lower(), "text": remark.text}
                    for remark in refinement.remarks
                ],
                "stacks": templates.document(refinement.stacks),
            }
            for name, refinement in refined.refinements.items()
        },
    }
