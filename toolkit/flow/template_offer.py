"""Whether it is worth to offer that templates are compared, and how long that takes."""

import hashlib
import os
from contextlib import suppress

from toolkit import targets
from toolkit.errors import FileProblem, StateDamaged
from toolkit.model import DiffResult
from toolkit.plan.graph import Graph
from toolkit.ports import disk, files

FOLDER = "syntheses"
"""The folder of the cache for all that templates were synthesized to."""


def can_narrow(answer: DiffResult) -> bool:
    """Whether templates could say more of something that is due."""
    graph = Graph(answer.rules.targets)
    for step in answer.plan.steps:
        for name in graph.leaves(step.target):
            target = answer.rules.targets[name]
            if targets.kind(target.kind).synthesis_source(target.settings) is not None:
                return True
    return False


def last_duration_s(root: str, cache: str) -> float:
    """How long it took the last time in this repository, in seconds; 0 where that is not known."""
    with suppress(FileProblem, ValueError):
        return float(files.read(_duration_file(root, cache), 100))
    return 0.0


def note_duration(seconds: float, root: str, cache: str) -> None:
    """Remember how long it took. It is only for people: what cannot be written is left out."""
    with suppress(FileProblem, StateDamaged):
        disk.write(_duration_file(root, cache), f"{seconds:.1f}".encode())


def _duration_file(root: str, cache: str) -> str:
    """In the cache: it is only for people. Raises FileProblem."""
    folder = hashlib.sha256(root.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return os.path.join(files.own_cache(cache, FOLDER), f"{folder}.seconds")
