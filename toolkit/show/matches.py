"""Where paths go, one line per path."""

from collections.abc import Iterable
from typing import Any

from toolkit.model import ChangeMatch, MatchVerdict
from toolkit.show.text import line, quote


def text(match: ChangeMatch) -> str:
    """`path: targets (rules)`, or why there are none."""
    path, targets = quote(match.change.path), ", ".join(match.targets)
    if match.verdict == MatchVerdict.MATCHED:
        return f"{path}: {targets or 'nothing to deploy'} ({line(', '.join(match.rules))})"
    if targets:
        return f"{path}: {match.verdict}, falls back to {targets}"
    return f"{path}: {match.verdict}"


def document(matches: Iterable[ChangeMatch]) -> dict[str, Any]:
    """The same for programs."""
    paths = [
        {
            "path": match.change.path,
            "verdict": match.verdict,
            "targets": match.targets,
            "rules": match.rules,
        }
        for match in matches
    ]
    return {"toolkit": 1, "command": "rules match", "status": "done", "exit": 0, "paths": paths}
