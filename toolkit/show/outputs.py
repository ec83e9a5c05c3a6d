"""The outputs of what runs, as people and scripts read them."""

from collections.abc import Sequence
from typing import Any

from toolkit.advice import SameOptions
from toolkit.operations import Job, TargetOutputs
from toolkit.show.advice import NO_OPTIONS, advice_lines, sentence
from toolkit.show.run import location
from toolkit.show.style import Role, marked
from toolkit.show.table import table
from toolkit.show.text import line, wrapped

NONE, UNKNOWN = "none", "unknown"


def text(
    jobs: Sequence[Job],
    answers: Sequence[TargetOutputs],
    same: SameOptions = NO_OPTIONS,
    width: int = 80,
) -> str:
    """Where was looked, a row for each output, and why something is unknown. A value is never cut:
    it is there to be copied.
    """
    if not answers:
        return "rules.toml has no targets."
    rows: list[tuple[str, str, str]] = []
    for answer in answers:
        if answer.problem:
            rows.append((line(answer.name), "-", marked(UNKNOWN, Role.BAD)))
        elif not answer.outputs:
            rows.append((line(answer.name), "-", NONE))
        for name, value in answer.outputs.items():
            rows.append((line(answer.name), line(name), line(value)))
    where = location(jobs)
    lines: list[str] = []
    if where:
        lines += [where, ""]
    lines.append(table(("target", "output", "value"), rows))
    for answer in answers:
        if answer.problem:
            lines += ["", *wrapped(f"{line(answer.name)}: {line(answer.problem)}", width)]
            lines += advice_lines(answer.next, same, width, "  next: ")
    return "\n".join(lines)


def document(
    environment: str | None,
    answers: Sequence[TargetOutputs],
    code: int,
    same: SameOptions = NO_OPTIONS,
) -> dict[str, Any]:
    """The same for programs."""
    status = "ok"
    if code:
        status = UNKNOWN
    return {
        "toolkit": 1,
        "command": "outputs",
        "status": status,
        "exit": int(code),
        "environment": environment,
        "targets": [_target_document(answer, same) for answer in answers],
    }


def _target_document(answer: TargetOutputs, same: SameOptions) -> dict[str, Any]:
    document: dict[str, Any] = {
        "target": answer.target,
        "kind": answer.kind,
        "region": answer.location.region,
        "outputs": None,
        "problem": None,
        "next": None,
    }
    if answer.problem:
        document |= {"problem": answer.problem, "next": sentence(answer.next, same) or None}
    else:
        document["outputs"] = dict(answer.outputs)
    return document
