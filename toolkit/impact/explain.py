"""Why does a path go where it goes, and why nowhere else? Each rule with hit or miss."""

from collections.abc import Sequence

from toolkit.impact.matcher import Matcher
from toolkit.impact.touch import RuleBook, Users, no_users
from toolkit.model import Explained, Reason, Rule, RuleVerdict


def explain(path: str, book: RuleBook, users: Users = no_users) -> Explained:
    """What every rule says of a path, whatever its change was."""
    rules = book.rules
    verdicts = tuple(_verdict(path, index, rule, book) for index, rule in enumerate(rules.rules))
    candidates: dict[str, None] = {}
    for verdict in verdicts:
        if verdict.hit:
            candidates.update(dict.fromkeys(verdict.deploy))
    if book.ignores(path):
        index = _ignoring_pattern(path, rules.ignore)
        reason = Reason(path, "ignore", rules.ignore[index], book.line("ignore", index))
        return Explained(path, reason, verdicts, targets=(), dropped=(), fallback=None)
    targets = book.narrowest(candidates)
    used_by = tuple(sorted(users(path)))
    # A group gives way to the member that is called for as well.
    dropped = [(name, book.narrower(name, targets)) for name in candidates if name not in targets]
    is_matched = any(verdict.hit for verdict in verdicts)
    return Explained(
        path=path,
        ignored=None,
        verdicts=verdicts,
        targets=tuple(dict.fromkeys((*targets, *used_by))),
        users=used_by,
        dropped=tuple(dropped),
        fallback=None if is_matched else rules.fallback,
    )


def _verdict(path: str, index: int, rule: Rule, book: RuleBook) -> RuleVerdict:
    included, excluded = _first_matches(path, rule.paths)
    only_excludes = all(pattern.startswith("!") for pattern in rule.paths)
    is_included = included is not None or only_excludes
    hit = is_included and excluded is None
    # The pattern to show: an exclusion only counts for a path that would match without it.
    decisive = excluded if is_included and excluded is not None else included
    if decisive is None:
        pattern, line = None, book.line("rules", index, "name")
    else:
        pattern, line = rule.paths[decisive], book.line("rules", index, "paths", decisive)
    why = _why(rule, hit, pattern)
    return RuleVerdict(rule.name, hit, pattern, line, why, rule.deploy, rule.run)


def _why(rule: Rule, hit: bool, pattern: str | None) -> str:
    if not hit:
        if pattern:
            return f"excluded by {pattern}"
        return "no pattern matches"
    why = f"matches {pattern}" if pattern else "matches: nothing excludes it"
    if rule.changes:
        why += f", if it is {' or '.join(rule.changes)}"
    return why


def _first_matches(path: str, patterns: Sequence[str]) -> tuple[int | None, int | None]:
    """The indices of the first pattern that includes a path, and of the first that excludes it."""
    included: int | None = None
    excluded: int | None = None
    for index, pattern in enumerate(patterns):
        if not Matcher([[pattern.removeprefix("!")]]).match(path):
            continue
        if not pattern.startswith("!"):
            included = index if included is None else included
        elif excluded is None:
            excluded = index
    return included, excluded


def _ignoring_pattern(path: str, ignore: Sequence[str]) -> int:
    """The pattern of `ignore` that makes a path ignored: the first without `!`, unless there are
    only such.
    """
    included, _ = _first_matches(path, ignore)
    return 0 if included is None else included
