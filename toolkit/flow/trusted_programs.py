"""Whether what a look would start is as at the trusted base: what is judged must not bring the
program that judges it.
"""

from collections.abc import Collection

from msgspec import Struct

from toolkit.changes import detect, trusted
from toolkit.errors import ToolkitError
from toolkit.flow.rulebook import rules_path
from toolkit.model import Rules
from toolkit.ports.git import Git


class TrustedState(Struct, frozen=True):
    """What differs here from the trusted base. `problem` says why that cannot be known."""

    ref: str = ""
    changed: frozenset[str] = frozenset()
    rules: str | None = None
    """rules.toml, as git names it."""
    problem: str = ""

    def difference(self, paths: Collection[str]) -> str:
        """Why nothing of these files and folders may be started, empty if it may. Pure.

        rules.toml counts, too: it says in which folder the words are looked for.
        """
        if self.problem:
            return self.problem
        for changed in sorted(self.changed):
            if changed == self.rules or any(_overlap(changed, path) for path in paths):
                return f"{changed} differs from {self.ref}"
        return ""


def read_trusted_state(rules: Rules, git: Git | None) -> TrustedState:
    """Two questions to git. Without a repository nothing differs: none can bring a program."""
    if git is None or git.bare:
        return TrustedState()
    try:
        base = trusted.find(git)
        if not base.commit:
            return TrustedState(problem="nothing is committed yet")
        changed = {change.path for change in git.diff_work_tree(base.commit)}
        changed.update(detect.look(git).paths)
    except ToolkitError as problem:
        return TrustedState(problem=str(problem))
    return TrustedState(base.ref, frozenset(changed), rules_path(rules, git))


def _overlap(changed: str, path: str) -> bool:
    """Whether one holds the other. A changed submodule is a folder."""
    return (
        path in (".", changed) or changed.startswith(f"{path}/") or path.startswith(f"{changed}/")
    )
