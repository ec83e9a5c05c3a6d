"""History under today's rules: a line a commit for programs, sums for people."""

import json
from collections.abc import Iterator, Sequence

from toolkit.model import Commit, Replayed, Tally
from toolkit.show.table import table
from toolkit.show.text import count, duration, line, quote


def json_line(one: Replayed) -> str:
    """One commit."""
    return json.dumps(
        {
            "commit": one.commit,
            "targets": one.targets,
            "run": one.run,
            "unmatched": len(one.unmatched),
        }
    )


def text(found: Tally, revisions: str, ends: Sequence[Commit] = ()) -> str:
    """Totals, the targets with how often, what narrow deploys saved, and where unmatched changes
    pile up.

    `ends` are the newest and the oldest commit.
    """
    return "\n".join(_lines(found, revisions, ends))


def _lines(found: Tally, revisions: str, ends: Sequence[Commit]) -> Iterator[str]:
    commits, rest = count(found.commits, "commit"), found.commits - found.deploying
    yield (
        f"{commits} of {quote(revisions)} (first parents): {found.deploying:,} call for a deploy,"
        f" {rest:,} for none."
    )
    if ends:
        yield line(
            f"From {ends[-1].when:%Y-%m-%d} ({ends[-1].author}) to {ends[0].when:%Y-%m-%d}"
            f" ({ends[0].author})."
        )
    if found.targets:
        yield ""
        yield table(
            ("target", "commits", "share", "estimate"),
            [_row(*row, found) for row in found.targets],
            right=(1, 2, 3),
        )
    if found.full_s:
        saved = found.full_s - found.narrow_s
        yield ""
        yield (
            f"Narrow deploys: {duration(found.narrow_s)}. Full deploys for the same commits:"
            f" {duration(found.full_s)}."
        )
        yield f"Saved: {duration(saved)} ({saved / found.full_s:.0%})."
    for name, number in found.checks:
        yield f"{name}: {count(number, 'commit')}"
    if found.unmatched:
        yield ""
        yield "Unmatched changes, by folder:"
        yield from (f"  {number:>6,}  {quote(folder)}" for folder, number in found.unmatched)


def _row(name: str, number: int, seconds: int, found: Tally) -> tuple[str, str, str, str]:
    return (
        name,
        f"{number:,}",
        f"{number / found.commits:.0%}",
        duration(seconds) if seconds else "-",
    )
