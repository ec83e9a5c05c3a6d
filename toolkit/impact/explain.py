"""Why does a path go where it goes, and why nowhere else? Each rule with hit or miss."""

from collections.abc import Sequence

from toolkit.impact.matcher import Matcher
from toolkit.impact.touch import RuleBook, Users, nobody
from toolkit.model import Explained, Reason, Rule, RuleVerdict


def explain(path: str, book: RuleBook, users: Users = nobody) -> Explained:
    """What every rule says of a path, whatever its change was."""
    rules = book.rules
    verdicts = tuple(_verdict(path, index, rule, book) for index, rule in enumerate(rules.rules))
    ignored = _ignoring(path, rules.ignore) if book.ignores(path) else None
    candidates = [name for verdict in verdicts if verdict.hit for name in verdict.deploy]
    targets = () if ignored is not None else book.narrowed(candidates)
    used_by = () if ignored is not None else tuple(sorted(users(path)))
    matched = any(verdict.hit for verdict in verdicts) or ignored is not None
    return Explained(
        path=path,
        ignored=(
            None
            if ignored is None
            else Reason(path, "ignore", rules.ignore[ignored], book.line("ignore", ignored))
        ),
        verdicts=verdicts,
        targets=tuple(dict.fromkeys((*targets, *used_by))),
        users=used_by,
        dropped=tuple(
            (name, book.narrower(name, targets))
            for name in dict.fromkeys(candidates)
            if targets and name not in targets
        ),
        fallback=None if matched or rules.unmatched in ("warn", "fail") else rules.unmatched,
    )


def _verdict(path: str, index: int, rule: Rule, book: RuleBook) -> RuleVerdict:
    positive = _first(
        path, [pattern if not pattern.startswith("!") else None for pattern in rule.paths]
    )
    negative = _first(
        path, [pattern[1:] if pattern.startswith("!") else None for pattern in rule.paths]
    )
    only_negative = all(pattern.startswith("!") for pattern in rule.paths)
    hit = negative is None and (positive is not None or only_negative)
    decides = (
        negative if negative is not None and (positive is not None or only_negative) else positive
    )
    pattern = None if decides is None else rule.paths[decides]
    line = (
        book.line("rules", index, "paths", decides)
        if decides is not None
        else book.line("rules", index, "name")
    )
    return RuleVerdict(
        rule.name, hit, pattern, line, _why(rule, hit, pattern), rule.deploy, rule.run
    )


def _why(rule: Rule, hit: bool, pattern: str | None) -> str:
    if not hit:
        return f"excluded by {pattern}" if pattern else "no pattern matches"
    only = f", if it is {' or '.join(rule.changes)}" if rule.changes else ""
    return (f"matches {pattern}" if pattern else "matches: nothing excludes it") + only


def _first(path: str, patterns: Sequence[str | None]) -> int | None:
    """The index of the first pattern that matches; None stands for a pattern that is not asked."""
    return next(
        (
            at
            for at, pattern in enumerate(patterns)
            if pattern is not None and Matcher([[pattern]]).match(path)
        ),
        None,
    )


def _ignoring(path: str, ignore: Sequence[str]) -> int:
    """The pattern of `ignore` that a path has to thank for it: the first without `!`, unless there
    are only such.
    """
    found = _first(path, [None if pattern.startswith("!") else pattern for pattern in ignore])
    return 0 if found is None else found
