"""Whether the repository's own programs that a look would start are those of the trusted base: what
is judged must not bring the program that judges it.
"""

from collections.abc import Iterable

from toolkit.changes import trusted
from toolkit.errors import FileProblem, ToolkitError
from toolkit.ports import files
from toolkit.ports.git import Git

MOST_BYTES = 1 << 20
"""A larger program counts as a different one."""


def difference(paths: Iterable[str], git: Git | None) -> str:
    """Why these files must not be started, empty if they may: all are as at the trusted base, or
    there is no repository that could bring others.
    """
    paths = tuple(paths)
    if git is None or git.bare or not paths:
        return ""
    try:
        base = trusted.find(git)
        for path in paths:
            if _bytes_at(base.commit, path, git) != _bytes_here(path, git):
                return f"{path} is not as in {base.ref}"
    except ToolkitError as problem:
        return str(problem)
    return ""


def _bytes_at(commit: str, path: str, git: Git) -> bytes | None:
    return git.blob(commit, path) if commit else None


def _bytes_here(path: str, git: Git) -> bytes | None:
    """None where there is no such file, as for a word of a command that names none."""
    try:
        return files.read_inside(git.root, path, MOST_BYTES)
    except FileProblem:
        return None
