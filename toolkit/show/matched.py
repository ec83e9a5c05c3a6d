"""Where paths go, a line each."""

from collections.abc import Iterable
from typing import Any

from toolkit.model import ChangeMatch
from toolkit.show.text import line, quote


def text(one: ChangeMatch) -> str:
    """`path: targets (rules)`, or why there are none."""
    if one.verdict != "matched":
        fallback = f", falls back to {', '.join(one.targets)}" if one.targets else ""
        return f"{quote(one.change.path)}: {one.verdict}{fallback}"
    return (
        f"{quote(one.change.path)}: {', '.join(one.targets) or 'nothing to deploy'}"
        f" ({line(', '.join(one.rules))})"
    )


def document(touched: Iterable[ChangeMatch]) -> dict[str, Any]:
    """The same for programs."""
    paths = [
        {
            "path": one.change.path,
            "verdict": one.verdict,
            "targets": one.targets,
            "rules": one.rules,
        }
        for one in touched
    ]
    return {"toolkit": 1, "command": "rules match", "status": "done", "exit": 0, "paths": paths}
