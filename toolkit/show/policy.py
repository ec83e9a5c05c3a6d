"""The statements that targets need, as an IAM policy and as a table for people."""

import json
from collections.abc import Sequence
from typing import Any

from toolkit.advice import NextCommand
from toolkit.operations import Statement
from toolkit.show.advice import advice_lines
from toolkit.show.text import line, wrapped


def policy(statements: Sequence[Statement]) -> str:
    """The policy document, ready to be attached."""
    documents: list[dict[str, Any]] = []
    for number, statement in enumerate(statements, 1):
        document: dict[str, Any] = {
            "Sid": f"Toolkit{number}",
            "Effect": "Allow",
            "Action": list(statement.actions),
            "Resource": list(statement.resources),
        }
        if statement.conditions:
            conditions = statement.conditions.items()
            document["Condition"] = {test: dict(pairs) for test, pairs in conditions}
        documents.append(document)
    return json.dumps({"Version": "2012-10-17", "Statement": documents}, indent=2)


def text(statements: Sequence[Statement], width: int = 80) -> str:
    """What is needed, and what for."""
    if not statements:
        return "No target needs any permission."
    lines: list[str] = []
    for statement in statements:
        lines += wrapped(line(statement.why), width)
        for action in statement.actions:
            lines += wrapped(f"  {action}", width)
        for resource in statement.resources:
            # A resource is never broken: it is there to be copied.
            lines += wrapped(f"    on {line(resource)}", max(width, len(resource) + 7))
        for test, pairs in statement.conditions.items():
            lines += [f"    if {test} {key} = {line(value)}" for key, value in pairs.items()]
    as_json = NextCommand("permissions", options=("--json",))
    return "\n".join([*lines, "", *advice_lines(("As a policy document:", as_json), before="")])
