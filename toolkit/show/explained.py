"""The story of a path, rule by rule."""

from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.model import Commit, Explained
from toolkit.show.people import one
from toolkit.show.text import line, quote


def text(found: Explained, last: Commit | None, file: str, own: bool = False) -> str:
    """The path, where it goes, and each rule with hit or miss. `own` says that it is rules.toml
    itself.
    """
    return "\n".join(_lines(found, last, file, own))


def _lines(found: Explained, last: Commit | None, file: str, own: bool) -> Iterator[str]:
    yield f"{quote(found.path)}: {_outcome(found, file)}"
    if own:
        yield "  it holds the rules: when it changes, its old and its new rules both count"
    if last is not None:
        yield f"  last touched by {one(last)}"
    for name in found.users:
        yield f"  {name} is built from it, whatever rules say"
    for name, narrower in found.dropped:
        yield f"  {name} is dropped: it covers {narrower}, which is narrower"
    for verdict in sorted(found.verdicts, key=lambda verdict: not verdict.hit):
        calls = ", ".join((*verdict.deploy, *verdict.run))
        arrow = f" -> {calls}" if verdict.hit else ""
        yield line(
            f"  {'hit ' if verdict.hit else 'miss'}  {file}:{verdict.line or '?'}  {verdict.rule}:"
            f" {verdict.why}{arrow}"
        )


def _outcome(found: Explained, file: str) -> str:
    checks = sorted({name for verdict in found.verdicts if verdict.hit for name in verdict.run})
    if found.ignored is not None:
        return line(f"ignored, by {found.ignored.pattern} ({file}:{found.ignored.line or '?'})")
    if found.targets:
        return f"deploys {', '.join(found.targets)}" + (
            f", runs {', '.join(checks)}" if checks else ""
        )
    if checks:
        return f"runs {', '.join(checks)}"
    return (
        f"no rule matches; falls back to {found.fallback}" if found.fallback else "no rule matches"
    )


def document(found: Sequence[Explained], last: Sequence[Commit | None]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "toolkit": 1,
        "command": "explain",
        "status": "done",
        "exit": 0,
        "paths": [_document(one, commit) for one, commit in zip(found, last, strict=True)],
    }


def _document(found: Explained, last: Commit | None) -> dict[str, Any]:
    rules = [
        {
            "rule": one.rule,
            "hit": one.hit,
            "pattern": one.pattern,
            "line": one.line,
            "why": one.why,
            "deploy": one.deploy,
            "run": one.run,
        }
        for one in found.verdicts
    ]
    return {
        "path": found.path,
        "ignored": (
            None
            if found.ignored is None
            else {"pattern": found.ignored.pattern, "line": found.ignored.line}
        ),
        "targets": found.targets,
        "built_from_it": found.users,
        "dropped": [{"target": name, "covers": narrower} for name, narrower in found.dropped],
        "fallback": found.fallback,
        "rules": rules,
        "last": None if last is None else _commit(last),
    }


def _commit(last: Commit) -> dict[str, str]:
    return {
        "commit": last.id,
        "author": last.author,
        "when": last.when.isoformat(),
        "summary": last.summary,
    }
