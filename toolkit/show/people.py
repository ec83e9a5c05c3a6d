"""Who changed what, since when."""

from collections.abc import Iterator, Sequence

from toolkit.formats.words import count
from toolkit.model import Commit
from toolkit.show.text import line


def lines(target: str, commits: Sequence[Commit]) -> Iterator[str]:
    """The commits behind a target, newest first."""
    if not commits:
        return
    authors = list(dict.fromkeys(commit.author for commit in commits))
    since = min(commit.when for commit in commits)
    yield (
        f"{target}: {count(len(commits), 'commit')} by {line(', '.join(authors[:5]))} since"
        f" {since:%Y-%m-%d}"
    )
    yield from (f"  {commit_line(commit)}" for commit in commits[:5])


def commit_line(commit: Commit) -> str:
    """One commit in a line."""
    summary = commit.summary
    if len(summary) > 50:
        summary = summary[:47] + "..."
    return line(f"{commit.id[:7]} {commit.when:%Y-%m-%d} {commit.author}: {summary}")
