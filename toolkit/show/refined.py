"""What templates have said of the targets, for people and for programs."""

from collections.abc import Iterator
from typing import Any

from toolkit.advice import Advice
from toolkit.formats.words import count
from toolkit.model import DiffResult
from toolkit.show import templates
from toolkit.show.advice import advice_lines, sentence, shown_command
from toolkit.show.text import duration, listing, wrapped
from toolkit.templates.refinement import RefinedDiff, RefinedState, Refinement

MOST_PATHS = 3
"""How many paths without a rule are named."""
_ORDER = (
    RefinedState.UNKNOWN,
    RefinedState.CHANGED,
    RefinedState.NOT_COMPARED,
    RefinedState.UNCHANGED,
)


def lines(refined: RefinedDiff, width: int, verbose: bool) -> Iterator[str]:
    """What the templates say, with an empty line behind; the worst first. What is as deployed, and
    no rule called for, is only counted.
    """
    yield from wrapped(_heading(refined), width)
    quiet = 0
    for name, refinement in _sorted(refined):
        if refinement.state is RefinedState.UNCHANGED and name not in refined.dropped:
            quiet += 1
            continue
        yield from _target(name, refinement, refined, width, verbose)
    if quiet:
        yield f"  {count(quiet, 'target')} unchanged"
    yield ""


def _heading(refined: RefinedDiff) -> str:
    if refined.seconds < 1:
        return "Templates:"
    return f"Templates (compared in {duration(round(refined.seconds))}):"


def _sorted(refined: RefinedDiff) -> list[tuple[str, Refinement]]:
    return sorted(
        refined.refinements.items(), key=lambda item: (_ORDER.index(item[1].state), item[0])
    )


def _target(
    name: str, refinement: Refinement, refined: RefinedDiff, width: int, verbose: bool
) -> Iterator[str]:
    answer = refined.result
    if refinement.state is RefinedState.UNCHANGED:
        yield from wrapped(f"  {name}: unchanged, so it is left out", width, "    ")
        return
    if refinement.state is not RefinedState.CHANGED:
        words = f"  {name}: {refinement.state}"
        if refinement.state is RefinedState.UNKNOWN:
            words += ", so it is due"
        yield words
        yield from advice_lines(refinement.why, answer.same, width, "    ")
        return
    yield f"  {name}: changes"
    for stack in refinement.stacks:
        for text in templates.stack_lines(stack, width - 4, verbose):
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
                "stacks": templates.document(refinement.stacks),
            }
            for name, refinement in refined.refinements.items()
        },
    }
