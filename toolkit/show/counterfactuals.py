"""Which few files widen a plan."""

from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.model import FEW_FILES, Counterfactual, DiffResult, Plan
from toolkit.show.advice import shown_command
from toolkit.show.text import duration, quote, wrapped


def text(answer: DiffResult, several: Sequence[Counterfactual], width: int) -> str:
    """The plan, and what it would be without some files, a line each."""
    return "\n".join(_lines(answer, several, width))


def _lines(answer: DiffResult, several: Sequence[Counterfactual], width: int) -> Iterator[str]:
    if not answer.plan.steps:
        yield "Nothing is due."
        return
    yield from wrapped(f"The plan: {_words(answer.plan)}.", width)
    if not several:
        yield from wrapped(
            f"No {FEW_FILES} files or fewer widen it: each target is called for by more of them, or"
            " not by changed files alone.",
            width,
        )
    for candidate in several:
        files = " and ".join(quote(path) for path in candidate.paths)
        yield from wrapped(f"Without {files}: {_words(candidate.plan)}.", width)


def _words(plan: Plan) -> str:
    if not plan.steps:
        return "nothing to deploy"
    names = ", ".join(step.target for step in plan.steps)
    alone = " alone" if len(plan.steps) == 1 else ""
    about = f", about {duration(plan.estimate_s)}" if plan.estimate_s else ""
    return f"{names}{alone}{about}"


def document(answer: DiffResult, several: Sequence[Counterfactual]) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    return {
        "toolkit": 1,
        "command": "explain",
        "status": "done",
        "exit": 0,
        "plan": _plan(answer.plan, answer),
        "without": [
            {
                "paths": list(candidate.paths),
                "dropped": list(candidate.dropped),
                "plan": _plan(candidate.plan, answer),
            }
            for candidate in several
        ],
    }


def _plan(plan: Plan, answer: DiffResult) -> dict[str, Any]:
    return {
        "targets": [step.target for step in plan.steps],
        "commands": [shown_command(command, answer.same) for command in plan.commands],
        "estimate_s": plan.estimate_s,
    }
