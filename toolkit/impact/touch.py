"""What do the changes touch? Changes x rules -> impact."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit.formats.toml import TomlLines
from toolkit.impact.matcher import Hit, Matcher
from toolkit.model import (
    STATUSES,
    Change,
    ChangeMatch,
    ChangeStatus,
    Impact,
    MatchVerdict,
    Reason,
    ReasonOrigin,
    Rule,
    Rules,
)

Reasons = dict[str, list[Reason]]

_MATCHED, _IGNORED, _UNMATCHED, _RULES = MatchVerdict
_FALLBACK = ReasonOrigin.UNMATCHED
"""By themselves, for each of many paths: Python 3.11 takes long to find a member in its class."""


class ChangeImpact(Struct, frozen=True, gc=False):
    """What one change calls for."""

    targets: tuple[str, ...]
    run: tuple[str, ...]
    unmatched: bool


class RuleBook:
    """One version of the rules, ready to be asked. `covered` tells of each group all the targets
    that it covers, at any depth.
    """

    def __init__(self, rules: Rules, covered: Mapping[str, frozenset[str]]) -> None:
        self.rules = rules
        self._covered = covered
        self._matcher = Matcher([rules.ignore, *(rule.paths for rule in rules.rules)])
        self._narrowest: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._impacts: dict[tuple[tuple[Hit, ...], str], ChangeImpact] = {}
        self._lines: TomlLines | None = None
        self._locations: dict[Hit, tuple[str, str, int | None]] = {}

    def ignores(self, path: str) -> bool:
        """Whether a change of this path never calls for anything."""
        return _is_ignored(self._matcher.match(path))

    def matching(self, change: Change) -> tuple[Hit, ...]:
        """The rules that match a change: index of the rule, and of its pattern (-1: it only has `!`
        patterns).
        """
        return self._counting(self._matcher.match(change.path), change.status)

    def _counting(self, hits: tuple[Hit, ...], status: ChangeStatus) -> tuple[Hit, ...]:
        return tuple(
            (rule - 1, pattern)
            for rule, pattern in hits
            if rule and _counts(self.rules.rules[rule - 1], status)
        )

    def narrowest(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The targets without those that cover another one of them."""
        key = tuple(dict.fromkeys(targets))
        if len(key) < 2:
            return key
        narrowest = self._narrowest.get(key)
        if narrowest is None:
            narrowest = tuple(
                name for name in key if self._covered.get(name, frozenset()).isdisjoint(key)
            )
            self._narrowest[key] = narrowest
        return narrowest

    def narrower(self, name: str, targets: Iterable[str]) -> str:
        """Which of the targets a group covers, so that it was dropped for it."""
        covered = self._covered.get(name, ())
        return next((target for target in targets if target in covered), "")

    def impact_of(self, path: str, status: ChangeStatus) -> ChangeImpact:
        """What a change of a path calls for, without the reasons: for many changes at once."""
        key = (self._matcher.match(path), status)
        impact = self._impacts.get(key)
        if impact is None:
            impact = self._impacts[key] = self._find_impact(*key)
        return impact

    def _find_impact(self, hits: tuple[Hit, ...], status: ChangeStatus) -> ChangeImpact:
        if _is_ignored(hits):
            return ChangeImpact((), (), False)
        rules = [self.rules.rules[rule] for rule, _ in self._counting(hits, status)]
        if not rules:
            return ChangeImpact(self.fallback, (), True)
        return ChangeImpact(
            self.narrowest(chain.from_iterable(rule.deploy for rule in rules)),
            tuple(chain.from_iterable(rule.run for rule in rules)),
            False,
        )

    @property
    def fallback(self) -> tuple[str, ...]:
        """What a path calls for that no rule matches: the target that `unmatched` names, if it
        names one.
        """
        name = self.rules.fallback
        return () if name is None else (name,)

    def leaves(self, name: str) -> frozenset[str]:
        """A target itself, or the targets in a group that are no groups."""
        if name not in self._covered:
            return frozenset((name,))
        return self._covered[name] - self._covered.keys()

    def changed_groups(self, today: "RuleBook") -> dict[str, tuple[str, ...]]:
        """For each group of these rules that is another one today, or none: the targets that it
        stood for.
        """
        groups: dict[str, tuple[str, ...]] = {}
        for name in self._covered:
            leaves = self.leaves(name)
            if name not in today.rules.targets or leaves != today.leaves(name):
                groups[name] = tuple(sorted(leaves))
        return groups

    def reason(self, path: str, hit: Hit) -> Reason:
        """Why a rule matched a path, with the line of the pattern."""
        location = self._locations.get(hit)
        if location is None:
            rule, pattern = self.rules.rules[hit[0]], max(hit[1], 0)
            location = self._locations[hit] = (
                rule.name,
                rule.paths[pattern],
                self.line("rules", hit[0], "paths", pattern),
            )
        return Reason(path, *location)

    def line(self, *keys: str | int) -> int | None:
        """Where a value stands in rules.toml."""
        # Positions are only needed where a reason is shown.
        if self._lines is None:
            self._lines = TomlLines(self.rules.text)
        return self._lines.line_of(*keys)


Users = Callable[[str], Collection[str]]
"""The targets that a path is an input of (their Dockerfile, their template), whatever rule owns
it.
"""


def no_users(path: str) -> Collection[str]:
    """Where nothing is known of inputs."""
    return ()


def touch(
    changes: Sequence[Change],
    book: RuleBook,
    old: Sequence[RuleBook] = (),
    own: Collection[str] = (),
    users: Users = no_users,
) -> Impact:
    """The impact of changes under the rules of today and, if rules.toml itself changed, also those
    that were in force before.

    Each path calls for the narrowest of its candidates; what no rule matches and `ignore` does not
    cover is unmatched. What no rule of one version matches calls for that version's fallback
    target, also where a rule of another version matches it. `own` are the paths of rules.toml
    itself, which is never unmatched. The `users` of a path are called for as well, unless `ignore`
    covers it.
    """
    books = _versions(book, old)
    targets: Reasons = {}
    checks: Reasons = {}
    touched = []
    for change in changes:
        match = _touch_one(change, books, targets, checks, own)
        touched.append(_with_users(match, book, users, targets))
    current: dict[str, tuple[Reason, ...]] = {}
    removed: list[str] = []
    for name, reasons in targets.items():
        if name in book.rules.targets:
            current[name] = tuple(reasons)
        else:
            removed.append(name)
    return Impact(
        touched=tuple(touched),
        targets=current,
        checks=_tuples(checks),
        removed=tuple(sorted(removed)),
    )


class Leaves(Protocol):
    """Who covers whom (plan.graph.Graph)."""

    def leaves(self, name: str) -> frozenset[str]: ...


class _Limits(dict[str, tuple[str, ...]]):
    """Which of some targets a target is, or covers: itself if they are all that it covers, and
    else those of them that it does. What is no longer in rules.toml is none of them. A dictionary,
    since each is looked up for many paths.
    """

    def __init__(
        self, leaves: frozenset[str], graph: Leaves, removed: Collection[str] = ()
    ) -> None:
        super().__init__(dict.fromkeys(removed, ()))
        self._leaves, self._graph = leaves, graph

    def __missing__(self, name: str) -> tuple[str, ...]:
        own_leaves = self._graph.leaves(name)
        inside: tuple[str, ...] = (name,)
        if not own_leaves <= self._leaves:
            inside = tuple(sorted(own_leaves & self._leaves))
        self[name] = inside
        return inside


def limit_to(impact: Impact, leaves: frozenset[str], graph: Leaves) -> Impact:
    """The part of an impact that concerns these targets; a group that they are not all of is
    written out. What is no longer in rules.toml concerns none of them.
    """
    inside = _Limits(leaves, graph, impact.removed)
    targets: dict[str, tuple[Reason, ...]] = {}
    for name, reasons in impact.targets.items():
        for target in inside[name]:
            targets[target] = targets.get(target, ()) + reasons
    touched: list[ChangeMatch] = []
    for match in impact.touched:
        if match.targets:
            names = _written_out(match.targets, inside)
            if names != match.targets:
                match = replace(match, targets=names)
        touched.append(match)
    return replace(impact, targets=targets, touched=tuple(touched))


def _written_out(names: Iterable[str], inside: _Limits) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(inside[name] for name in names)))


def merge_impacts(impacts: Iterable[Impact]) -> Impact:
    """Several impacts as one: of each path everything that any of them makes of it, of each target
    all reasons. None of them is held longer than it is needed.
    """
    merged: _MergedImpacts | Impact | None = None
    for impact in impacts:
        if merged is None:
            merged = impact
            continue
        if isinstance(merged, Impact):
            merged = _MergedImpacts(merged)
        merged.add(impact)
    if merged is None:
        return Impact((), {}, {})
    return merged if isinstance(merged, Impact) else merged.impact()


class _MergedImpacts:
    """Impacts that are merged one after the other."""

    def __init__(self, first: Impact) -> None:
        self._touched: dict[str, ChangeMatch] = {}
        self._targets: dict[str, dict[Reason, None]] = {}
        self._checks: dict[str, dict[Reason, None]] = {}
        self._removed: set[str] = set()
        self.add(first)

    def add(self, impact: Impact) -> None:
        """Add all that an impact has."""
        self._removed.update(impact.removed)
        touched = self._touched
        for match in impact.touched:
            path = match.change.path
            earlier = touched.get(path)
            if earlier is None:
                touched[path] = match
            elif earlier is not match:
                touched[path] = _merge_matches(earlier, match)
        for name, reasons in impact.targets.items():
            self._targets.setdefault(name, {}).update(dict.fromkeys(reasons))
        for name, reasons in impact.checks.items():
            self._checks.setdefault(name, {}).update(dict.fromkeys(reasons))

    def impact(self) -> Impact:
        """All of them as one."""
        return Impact(
            touched=tuple(self._touched[path] for path in sorted(self._touched)),
            targets={name: tuple(reasons) for name, reasons in self._targets.items()},
            checks={name: tuple(reasons) for name, reasons in self._checks.items()},
            removed=tuple(sorted(self._removed)),
        )


def _merge_matches(first: ChangeMatch, second: ChangeMatch) -> ChangeMatch:
    """What two comparisons make of one path. Its status is unknown where they disagree."""
    change = first.change
    # Most paths are in many comparisons, and concern the targets of few.
    if not second.targets and change is second.change and first.rules is second.rules:
        return first
    if change != second.change:
        change = replace(change, status=ChangeStatus.UNKNOWN)
    verdict = first.verdict
    if second.rules and not first.rules:
        verdict = second.verdict
    rules = tuple(dict.fromkeys((*first.rules, *second.rules)))
    targets = tuple(dict.fromkeys((*first.targets, *second.targets)))
    return ChangeMatch(change, rules, targets, verdict)


class _TouchedPath(Struct, frozen=True, gc=False):
    """What a change calls for: its match, with its targets and without them, and the reasons of
    targets and checks. `removed` are targets that are no longer in rules.toml, which stand nowhere
    else.
    """

    match: ChangeMatch
    bare: ChangeMatch
    targets: tuple[tuple[str, Reason], ...]
    checks: tuple[tuple[str, Reason], ...]
    removed: tuple[str, ...]


class SharedTouch:
    """`touch` for many comparisons by the same rules, each limited to some targets: a change that
    is in several of them is matched once.
    """

    def __init__(
        self,
        book: RuleBook,
        old: Sequence[RuleBook] = (),
        own: Collection[str] = (),
        users: Users = no_users,
    ) -> None:
        self._book, self._own, self._users = book, own, users
        self._books = _versions(book, old)
        self._touched: dict[Change, _TouchedPath] = {}

    def limited(
        self,
        changes: Sequence[Change],
        also: Mapping[str, Sequence[Reason]],
        leaves: frozenset[str],
        graph: Leaves,
    ) -> Impact:
        """What the changes call for of these targets, and what `also` does."""
        targets: Reasons = {}
        checks: Reasons = {}
        touched: list[ChangeMatch] = []
        removed: set[str] = set()
        known, inside = self._touched, _Limits(leaves, graph)
        for change in changes:
            path = known.get(change)
            if path is None:
                path = known[change] = self._touch(change)
            match = path.bare
            for name, reason in path.targets:
                if inside[name]:
                    targets.setdefault(name, []).append(reason)
                    match = path.match
            if match.targets:
                match = replace(match, targets=_written_out(match.targets, inside))
            touched.append(match)
            for name, reason in path.checks:
                checks.setdefault(name, []).append(reason)
            removed.update(path.removed)
        for name, reasons in also.items():
            targets.setdefault(name, []).extend(reasons)
        limited: dict[str, tuple[Reason, ...]] = {}
        for name, reasons in targets.items():
            for target in inside[name]:
                limited[target] = limited.get(target, ()) + tuple(reasons)
        return Impact(tuple(touched), limited, _tuples(checks), tuple(sorted(removed)))

    def _touch(self, change: Change) -> _TouchedPath:
        targets: Reasons = {}
        checks: Reasons = {}
        match = _touch_one(change, self._books, targets, checks, self._own)
        match = _with_users(match, self._book, self._users, targets)
        removed = tuple(name for name in targets if name not in self._book.rules.targets)
        for name in removed:
            del targets[name]
        if removed:
            names = [name for name in match.targets if name not in removed]
            match = replace(match, targets=tuple(names))
        bare = replace(match, targets=()) if match.targets else match
        return _TouchedPath(match, bare, _pairs(targets), _pairs(checks), removed)


def _pairs(reasons: Reasons) -> tuple[tuple[str, Reason], ...]:
    return tuple((name, reason) for name, by_name in reasons.items() for reason in by_name)


def _tuples(reasons: Reasons) -> dict[str, tuple[Reason, ...]]:
    return {name: tuple(by_name) for name, by_name in reasons.items()}


Version = tuple[RuleBook, Mapping[str, tuple[str, ...]]]
"""One version of the rules, and what its targets are called today where that differs."""


def _versions(book: RuleBook, old: Sequence[RuleBook]) -> list[Version]:
    return [(book, {}), *((old_book, old_book.changed_groups(book)) for old_book in old)]


def _touch_one(
    change: Change,
    books: Sequence[Version],
    targets: Reasons,
    checks: Reasons,
    own: Collection[str],
) -> ChangeMatch:
    path = change.path
    names: dict[str, None] = {}
    called: dict[str, None] = {}
    for book, today in books:
        # What is ignored by one version of the rules may still count in another.
        if book.ignores(path):
            continue
        hits = book.matching(change)
        rules = book.rules.rules
        narrowest = book.narrowest(chain.from_iterable(rules[index].deploy for index, _ in hits))
        for hit in hits:
            rule = rules[hit[0]]
            names[rule.name] = None
            reason = book.reason(path, hit)
            deploy = [name for name in rule.deploy if name in narrowest]
            _call_for(deploy, today, reason, targets, called)
            _add_reason(reason, rule.run, checks)
        if not hits and path not in own:
            line = book.line("unmatched")
            reason = Reason(path, _FALLBACK, "", line, _FALLBACK)
            _call_for(book.fallback, today, reason, targets, called)
    if names:
        return ChangeMatch(change, tuple(names), tuple(called), _MATCHED)
    # rules.toml itself: its change is judged by what it does to the rules.
    if path in own:
        return ChangeMatch(change, (), (), _RULES)
    if books[0][0].ignores(path) and not called:
        return ChangeMatch(change, (), (), _IGNORED)
    return ChangeMatch(change, (), tuple(called), _UNMATCHED)


def _call_for(
    names: Iterable[str],
    today: Mapping[str, tuple[str, ...]],
    reason: Reason,
    targets: Reasons,
    called: dict[str, None],
) -> None:
    """Call for targets, by what they are called today."""
    for name in names:
        current = today.get(name, (name,))
        _add_reason(reason, current, targets)
        called.update(dict.fromkeys(current))


def _with_users(match: ChangeMatch, book: RuleBook, users: Users, targets: Reasons) -> ChangeMatch:
    """What a change calls for, and besides the targets that are built from its path."""
    path = match.change.path
    names = users(path)
    if not names or book.ignores(path):
        return match
    for name in sorted(names):
        words, line = f"{name} is built from {path}", book.line("targets", name)
        reason = Reason(path, words, "", line, ReasonOrigin.WORDS)
        _add_reason(reason, (name,), targets)
    return replace(match, targets=tuple(dict.fromkeys((*match.targets, *sorted(names)))))


def _add_reason(reason: Reason, names: Iterable[str], into: Reasons) -> None:
    for name in names:
        reasons = into.setdefault(name, [])
        # A second rule for the same path tells nobody more.
        if not reasons or reasons[-1].path != reason.path:
            reasons.append(reason)


def _is_ignored(hits: tuple[Hit, ...]) -> bool:
    return bool(hits) and hits[0][0] == 0


def _counts(rule: Rule, status: ChangeStatus) -> bool:
    return not rule.changes or status in rule.changes or status not in STATUSES
