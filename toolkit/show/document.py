"""JSON for programs: one object, ASCII only, so that a name that is not UTF-8 survives as
`\\udcXX`.
"""

import json
from typing import Any

from toolkit.advice import SameOptions
from toolkit.errors import RulesError, ToolkitError
from toolkit.show.advice import sentence


def dumps(document: dict[str, Any]) -> str:
    """The document as text. It always opens with `{"toolkit": 1, "command": …`."""
    # Azure takes these for commands wherever they stand in a log.
    return json.dumps(document).replace("##[", "#\\u0023[").replace("##vso", "#\\u0023vso")


def error(command: str, problem: ToolkitError, same: SameOptions) -> dict[str, Any]:
    """A failed command's document."""
    hint = sentence(problem.next, same)
    details: dict[str, Any] = {"code": problem.code, "message": str(problem), "hint": hint}
    if isinstance(problem, RulesError):
        details["problems"] = [
            {
                "file": wrong.file or problem.file,
                "line": wrong.line,
                "key": wrong.key,
                "message": wrong.message,
            }
            for wrong in problem.problems
        ]
    return {
        "toolkit": 1,
        "command": command,
        "status": "error",
        "exit": int(problem.exit),
        "error": details,
    }
