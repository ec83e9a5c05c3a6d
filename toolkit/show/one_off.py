"""A one-off task, as people and programs read it."""

from collections.abc import Sequence
from typing import Any

from toolkit.advice import SameOptions
from toolkit.operations import Job, PlannedCall
from toolkit.show.advice import advice_lines, sentence
from toolkit.show.run import location
from toolkit.show.text import line, wrapped


def intention(job: Job, call: PlannedCall, command: str, width: int = 80) -> list[str]:
    """What is about to be run, where, and with what."""
    where = location([job])
    words = [f"{name}={line(value)}" for name, value in call.what.items()]
    return [
        *wrapped(f"Run once in {where or 'your AWS account'}:", width),
        f"  {line(command)}",
        *wrapped(f"  {line(call.name)} {' '.join(words)}", width, "      "),
    ]


def document(outcome: Any, job: Job, command: str, same: SameOptions) -> dict[str, Any]:
    """How it ended, for programs."""
    return {
        "toolkit": 1,
        "command": "run-task",
        "status": outcome.status,
        "exit": outcome.exit,
        "name": outcome.name,
        "target": job.target,
        "environment": job.location.environment,
        "region": job.location.region,
        "task": outcome.task or None,
        "ran": command,
        "exit_code": outcome.exit_code,
        "output_problem": outcome.output_problem or None,
        "cause": outcome.cause or None,
        "next": sentence(outcome.next, same) or None,
    }


def ended(outcome: Any, same: SameOptions, width: int = 80) -> Sequence[str]:
    """How it ended, for people; nothing where the command ended well, for its own words say so."""
    lines: list[str] = []
    if outcome.cause:
        words = f"{line(outcome.status)}: {line(outcome.cause)}"
        if outcome.exit_code is not None:
            words += f" (exit code {outcome.exit_code})"
        lines += wrapped(words, width)
    if outcome.output_problem:
        words = f"its output is incomplete: {line(outcome.output_problem)}"
        if not outcome.cause:
            words = f"{line(outcome.status)}, but {words}"
        lines += wrapped(words, width)
    return [*lines, *advice_lines(outcome.next, same, width, "next: ")]
