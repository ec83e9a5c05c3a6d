"""What commits really changed, beside what the rules would have called for."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from toolkit.formats.words import count
from toolkit.show.advice import sentence
from toolkit.show.table import table
from toolkit.show.text import line, listing, quote, wrapped
from toolkit.templates.refinement import ReplayedTemplates

MOST_PATHS = 3


def json_line(replayed: ReplayedTemplates) -> str:
    """One commit, for programs (docs/json.md)."""
    return json.dumps(
        {
            "commit": replayed.commit,
            "planned": sorted(replayed.planned),
            "changed": sorted(replayed.changed),
            "missed": sorted(replayed.missed),
            "unneeded": sorted(replayed.unneeded),
            "unknown": {name: sentence(why) for name, why in replayed.unknown.items()},
            "without_rule": {name: list(paths) for name, paths in replayed.without_rule.items()},
        }
    )


def text(rows: Sequence[ReplayedTemplates], width: int) -> str:
    """How often the rules are right, each miss with the files that need a rule, and how often each
    target would have been deployed for nothing.
    """
    return "\n".join(_lines(rows, width))


def _lines(rows: Sequence[ReplayedTemplates], width: int) -> Iterator[str]:
    missed = [row for row in rows if row.missed]
    unknown = [row for row in rows if row.unknown]
    exact = sum(row.is_exact for row in rows)
    wide = sum(bool(row.unneeded) and not row.missed for row in rows)
    yield from wrapped(
        f"{count(len(rows), 'commit')}: the rules are exact for {exact:,}, too wide for {wide:,},"
        f" and miss a change in {len(missed):,}. {_not_known(len(unknown))}".rstrip(),
        width,
    )
    for row in missed:
        yield from _miss(row, width)
    yield from _table(rows)
    yield from _reasons(unknown, width)


def _not_known(number: int) -> str:
    return f"Of {count(number, 'commit')} not all is known." if number else ""


def _miss(row: ReplayedTemplates, width: int) -> Iterator[str]:
    for name in sorted(row.missed):
        paths = ", ".join(listing(row.without_rule.get(name, ()), MOST_PATHS))
        words = f"missed: {row.commit[:7]} changes {quote(name)}, and no rule says so"
        if paths:
            words += f"; add a rule that deploys {quote(name)} for one of: {paths}"
        yield from wrapped(words, width)


def _table(rows: Sequence[ReplayedTemplates]) -> Iterator[str]:
    changed, planned, missed = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        changed.update(row.changed)
        planned.update(row.planned)
        missed.update(row.missed)
    names = sorted({*changed, *planned})
    if names:
        yield ""
        yield table(
            ("target", "changed by", "deployed by the rules", "missed"),
            [
                (name, f"{changed[name]:,}", f"{planned[name]:,}", f"{missed[name]:,}")
                for name in names
            ],
            right=(1, 2, 3),
        )


def _reasons(unknown: Sequence[ReplayedTemplates], width: int) -> Iterator[str]:
    """Why something is not known, each reason once, with the first commit that it is about."""
    reasons: dict[str, str] = {}
    for row in unknown:
        for why in row.unknown.values():
            reasons.setdefault(sentence(why), row.commit)
    if reasons:
        yield ""
    for why, commit in reasons.items():
        yield from wrapped(line(f"not known of {commit[:7]}: {why}"), width)
