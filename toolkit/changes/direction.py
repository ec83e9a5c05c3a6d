"""Which way a deploy goes: whether it would take out of what is live what HEAD's history does not
hold.
"""

from collections.abc import Callable, Sequence

from toolkit.errors import GitError
from toolkit.model import Direction, Standing
from toolkit.ports.git import Git

Owns = Callable[[str], bool]
"""Whether a path is one of the target's inputs."""

PATHS_ASKED = 200
"""How many paths a question to git is narrowed to; with more it is asked of all, and the answer is
the wider one.
"""


def standing(live: str, head: str, owns: Owns, git: Git) -> Standing:
    """How HEAD stands to a live commit, for the target whose inputs `owns` tells. Raises
    GitError.
    """
    if live == head:
        return Standing(Direction.SAME, live)
    if not git.has(live):
        return Standing(Direction.UNKNOWN, live, fetch=git.fetch_all())
    bases = git.common(live, head)
    if live in bases:
        return Standing(Direction.AHEAD, live)
    if not bases and git.shallow:
        return Standing(Direction.UNKNOWN, live, fetch=git.fetch_all())
    direction = Direction.DIVERGED if bases else Direction.UNRELATED
    if head in bases:
        direction = Direction.BEHIND
    return Standing(direction, live, _lost(live, head, bases, owns, git))


def _lost(live: str, head: str, bases: Sequence[str], owns: Owns, git: Git) -> tuple[str, ...]:
    """The live commits whose content HEAD's history lacks.

    A squash or a rebase has other commits with the same content: so each file that is live counts
    as held where HEAD's own history has had it, and each commit where HEAD's history has a commit
    that makes the same change.
    """
    missing = _contents(live, bases, owns, git)
    if missing:
        held = _held(head, bases, set(missing), git)
        for path, content in list(missing.items()):
            if (path, content) in held:
                del missing[path]
    if not missing:
        return ()
    paths = sorted(missing) if len(missing) <= PATHS_ASKED else []
    return git.only_in(live, head, paths)


def _contents(live: str, bases: Sequence[str], owns: Owns, git: Git) -> dict[str, str]:
    """The target's files at the live commit that differ from where the histories parted: path ->
    content (zeros: deleted).
    """
    if not bases:
        return {path: meta for path, meta in git.tree(live) if owns(path)}
    changed: dict[str, str] = {}
    for base in bases:
        for change in git.diff_trees(base, live):
            if owns(change.path):
                changed[change.path] = f"{change.new_mode} {change.new_id}"
    return changed


def _held(head: str, bases: Sequence[str], paths: set[str], git: Git) -> set[tuple[str, str]]:
    """What HEAD's own history, since they parted, has had of these paths: path and content."""
    in_head = {path: meta for path, meta in git.tree(head) if path in paths}
    held = set(in_head.items())
    gone = f"000000 {'0' * len(head)}"
    held |= {(path, gone) for path in paths - in_head.keys()}
    narrow = sorted(paths) if len(paths) <= PATHS_ASKED else []
    parted = [f"^{base}" for base in bases]
    for change in git.history([head, *parted], narrow):
        if change.path in paths:
            held.add((change.path, f"{change.new_mode} {change.new_id}"))
    return held


def unanswered(problem: GitError, live: str) -> Standing:
    """How HEAD stands to a live commit where git has no answer."""
    return Standing(Direction.UNKNOWN, live, fetch=problem.next)
