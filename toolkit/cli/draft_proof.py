"""What `init` finds out about its own draft: `rules check`, `doctor`, and a replay of history."""

from collections.abc import Sequence

from msgspec import Struct

from toolkit import flow
from toolkit.cli.doctor import image_rows
from toolkit.errors import GitError, RulesError
from toolkit.flow.replays import replay, tally
from toolkit.impact.lint import lint
from toolkit.model import LintFinding, Rules, Tally
from toolkit.ports.git import Git

COMMITS = 50
"""So many commits are replayed."""


class DraftProof(Struct, frozen=True):
    """`holes` are variables that are still empty, which `rules check` refuses; `findings` are its
    findings; `uncovered` are the lines of Dockerfiles whose files no rule knows; `history` is what
    the last commits would have called for (None without a commit).
    """

    holes: tuple[str, ...]
    findings: tuple[LintFinding, ...]
    uncovered: tuple[str, ...]
    history: Tally | None


def prove(text: str, rules: Rules, paths: Sequence[str], git: Git) -> DraftProof:
    """Run the checks over a draft and its rules."""
    holes: tuple[str, ...] = ()
    try:
        flow.read_rules(text.encode(), "the draft")
    except RulesError as error:
        holes = tuple(map(str, error.problems))
    groups = [name for name, target in rules.targets.items() if target.members]
    findings = lint(flow.rule_book(rules), paths, groups).findings
    rows = image_rows(rules, git)
    uncovered = tuple(f"{row.dockerfile}:{row.line}: {row.source}" for row in rows.uncovered)
    history = None
    if git.head is not None:
        try:
            history = tally(replay(git, rules, [git.require_head()], COMMITS), rules)
        except GitError:  # a shallow clone has the history that it has
            history = None
    return DraftProof(holes, findings, uncovered, history)
