"""The statements that targets need, as an IAM policy and as a table for people."""

import json
from collections.abc import Sequence

from toolkit.model import Statement
from toolkit.show.text import line, wrapped


def policy(statements: Sequence[Statement]) -> str:
    """The policy document, ready to be attached."""
    found = [
        {
            "Sid": f"Toolkit{at}",
            "Effect": "Allow",
            "Action": list(one.actions),
            "Resource": list(one.resources),
            **(
                {"Condition": {test: dict(pairs) for test, pairs in one.conditions.items()}}
                if one.conditions
                else {}
            ),
        }
        for at, one in enumerate(statements, 1)
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": found}, indent=2)


def text(statements: Sequence[Statement], width: int = 80) -> str:
    """What is needed, and what for."""
    lines: list[str] = []
    for one in statements:
        lines += wrapped(line(one.why), width)
        lines += [part for action in one.actions for part in wrapped(f"  {action}", width)]
        lines += [
            part
            for resource in one.resources
            for part in wrapped(f"    on {line(resource)}", max(width, len(resource) + 7))
        ]
        lines += [
            f"    if {test} {key} = {line(value)}"
            for test, pairs in one.conditions.items()
            for key, value in pairs.items()
        ]
    return (
        "\n".join([*lines, "", "As a policy document: toolkit permissions --json"])
        if lines
        else "No target needs anything."
    )
