"""JSON for programs: one object, ASCII only, so that a name that is not UTF-8 survives as
`\\udcXX`.
"""

import json
from typing import Any

from toolkit.errors import RulesError, ToolkitError


def dumps(document: dict[str, Any]) -> str:
    """The document as text. It always opens with `{"toolkit": 1, "command": …`."""
    return (
        json.dumps(document).replace("##[", "#\\u0023[").replace("##vso", "#\\u0023vso")
    )  # CI logs take those for commands anywhere


def error(command: str, problem: ToolkitError) -> dict[str, Any]:
    """A failed command's document."""
    found: dict[str, Any] = {"code": problem.code, "message": str(problem), "hint": problem.next}
    if isinstance(problem, RulesError):
        found["problems"] = [
            {
                "file": one.file or problem.file,
                "line": one.line,
                "key": one.key,
                "message": one.message,
            }
            for one in problem.problems
        ]
    return {
        "toolkit": 1,
        "command": command,
        "status": "error",
        "exit": int(problem.exit),
        "error": found,
    }
