"""History under today's rules: one line per commit for programs, sums for people."""

import json
from collections.abc import Iterator, Sequence

from toolkit.formats.words import count
from toolkit.model import Commit, Replayed, Tally
from toolkit.show.table import table
from toolkit.show.text import duration, line, quote


def json_line(replayed: Replayed) -> str:
    """One commit."""
    return json.dumps(
        {
            "commit": replayed.commit,
            "targets": replayed.targets,
            "run": replayed.run,
            "unmatched": len(replayed.unmatched),
        }
    )


def text(tally: Tally, revisions: str, ends: Sequence[Commit] = ()) -> str:
    """Totals, the targets with how often, what narrow deploys saved, and where unmatched changes
    pile up.

    `ends` are the newest and the oldest commit.
    """
    return "\n".join(_lines(tally, revisions, ends))


def _lines(tally: Tally, revisions: str, ends: Sequence[Commit]) -> Iterator[str]:
    commits, rest = count(tally.commits, "commit"), tally.commits - tally.deploying
    yield (
        f"{commits} of {quote(revisions)} (first parents): {tally.deploying:,} call for a deploy,"
        f" {rest:,} for none."
    )
    if ends:
        yield line(
            f"From {ends[-1].when:%Y-%m-%d} ({ends[-1].author}) to {ends[0].when:%Y-%m-%d}"
            f" ({ends[0].author})."
        )
    if tally.targets:
        yield ""
        yield table(
            ("target", "commits", "share", "estimate"),
            [_row(*row, tally.commits) for row in tally.targets],
            right=(1, 2, 3),
        )
    if tally.full_s:
        saved = tally.full_s - tally.narrow_s
        yield ""
        yield (
            f"Narrow deploys: {duration(tally.narrow_s)}. Full deploys for the same commits:"
            f" {duration(tally.full_s)}."
        )
        yield f"Saved: {duration(saved)} ({saved / tally.full_s:.0%})."
    for name, number in tally.checks:
        yield f"{name}: {count(number, 'commit')}"
    if tally.unmatched:
        yield ""
        yield "Unmatched changes, by folder:"
        yield from (f"  {number:>6,}  {quote(folder)}" for folder, number in tally.unmatched)


def _row(name: str, number: int, seconds: int, commits: int) -> tuple[str, str, str, str]:
    estimate = duration(seconds) if seconds else "-"
    return name, f"{number:,}", f"{number / commits:.0%}", estimate
