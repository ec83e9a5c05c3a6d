"""The story of a path, rule by rule."""

from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.model import Commit, Explained
from toolkit.show.people import commit_line
from toolkit.show.text import line, quote


def text(explanation: Explained, last: Commit | None, file: str, is_rules: bool = False) -> str:
    """The path, where it goes, and each rule with hit or miss. `is_rules`: it is rules.toml
    itself.
    """
    return "\n".join(_lines(explanation, last, file, is_rules))


def _lines(explanation: Explained, last: Commit | None, file: str, is_rules: bool) -> Iterator[str]:
    yield f"{quote(explanation.path)}: {_outcome(explanation, file)}"
    if is_rules:
        yield "  it holds the rules: when it changes, its old and its new rules both count"
    if last is not None:
        yield f"  last touched by {commit_line(last)}"
    for name in explanation.users:
        yield f"  {name} is built from it, whatever the rules say"
    for name, narrower in explanation.dropped:
        yield f"  {name} is dropped: it covers {narrower}, which is narrower"
    for verdict in sorted(explanation.verdicts, key=lambda verdict: not verdict.hit):
        where = f"{file}:{verdict.line or '?'}  {verdict.rule}: {verdict.why}"
        if verdict.hit:
            yield line(f"  hit   {where} -> {', '.join((*verdict.deploy, *verdict.run))}")
        else:
            yield line(f"  miss  {where}")


def _outcome(explanation: Explained, file: str) -> str:
    checks = {name for verdict in explanation.verdicts if verdict.hit for name in verdict.run}
    if explanation.ignored is not None:
        return line(
            f"ignored, by {explanation.ignored.pattern} ({file}:{explanation.ignored.line or '?'})"
        )
    parts: list[str] = []
    if explanation.targets:
        parts.append(f"deploys {', '.join(explanation.targets)}")
    if checks:
        parts.append(f"runs {', '.join(sorted(checks))}")
    if parts:
        return ", ".join(parts)
    if explanation.fallback:
        return f"no rule matches; falls back to {explanation.fallback}"
    return "no rule matches"


def document(explanations: Sequence[Explained], commits: Sequence[Commit | None]) -> dict[str, Any]:
    """The same for programs. `commits` are those that touched the paths last."""
    return {
        "toolkit": 1,
        "command": "explain",
        "status": "done",
        "exit": 0,
        "paths": [
            _document(explanation, last)
            for explanation, last in zip(explanations, commits, strict=True)
        ],
    }


def _document(explanation: Explained, last: Commit | None) -> dict[str, Any]:
    ignored = None
    if explanation.ignored is not None:
        ignored = {"pattern": explanation.ignored.pattern, "line": explanation.ignored.line}
    rules = [
        {
            "rule": verdict.rule,
            "hit": verdict.hit,
            "pattern": verdict.pattern,
            "line": verdict.line,
            "why": verdict.why,
            "deploy": verdict.deploy,
            "run": verdict.run,
        }
        for verdict in explanation.verdicts
    ]
    return {
        "path": explanation.path,
        "ignored": ignored,
        "targets": explanation.targets,
        "built_from_it": explanation.users,
        "dropped": [{"target": name, "covers": narrower} for name, narrower in explanation.dropped],
        "fallback": explanation.fallback,
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
