"""What do the changes touch? Changes x rules -> impact."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit.impact.matcher import Hit, Matcher
from toolkit.impact.toml import TomlLines
from toolkit.model import STATUSES, Change, ChangeMatch, Impact, Reason, Rule, Rules

Reasons = dict[str, list[Reason]]


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
        self._narrowed: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._called: dict[tuple[str, str], ChangeImpact] = {}
        self._lines: TomlLines | None = None
        self._locations: dict[Hit, tuple[str, str, int | None]] = {}

    def ignores(self, path: str) -> bool:
        """Whether a change of this path never calls for anything."""
        hits = self._matcher.match(path)
        return bool(hits) and hits[0][0] == 0

    def matching(self, change: Change) -> tuple[Hit, ...]:
        """The rules that match a change: index of the rule, and of its pattern (-1: it only has `!`
        patterns).
        """
        return tuple(
            (rule - 1, pattern)
            for rule, pattern in self._matcher.match(change.path)
            if rule and _counts(self.rules.rules[rule - 1], change.status)
        )

    def narrowed(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The targets without those that cover another one of them."""
        key = tuple(dict.fromkeys(targets))
        if len(key) < 2:
            return key
        found = self._narrowed.get(key)
        if found is None:
            found = tuple(one for one in key if self._covered.get(one, frozenset()).isdisjoint(key))
            self._narrowed[key] = found
        return found

    def narrower(self, name: str, targets: Iterable[str]) -> str:
        """Which of the targets a group covers, so that it was dropped for it."""
        return next((one for one in targets if one in self._covered.get(name, ())), "")

    def called(self, path: str, status: str) -> ChangeImpact:
        """What a change of a path calls for, without the reasons: for many changes at once."""
        key = (path, status)
        found = self._called.get(key)
        if found is None:
            found = self._called[key] = self._call(Change(path, status))
        return found

    def _call(self, change: Change) -> ChangeImpact:
        if self.ignores(change.path):
            return ChangeImpact((), (), False)
        rules = [self.rules.rules[rule] for rule, _ in self.matching(change)]
        if not rules:
            return ChangeImpact(self.fallback, (), True)
        return ChangeImpact(
            self.narrowed(name for rule in rules for name in rule.deploy),
            tuple(name for rule in rules for name in rule.run),
            False,
        )

    @property
    def fallback(self) -> tuple[str, ...]:
        """What a path calls for that no rule matches: the target that `unmatched` names, if it
        names one.
        """
        return () if self.rules.unmatched in ("warn", "fail") else (self.rules.unmatched,)

    def leaves(self, name: str) -> frozenset[str]:
        """A target itself, or the targets in a group that are no groups."""
        return (
            self._covered[name] - self._covered.keys()
            if name in self._covered
            else frozenset((name,))
        )

    def in_terms_of(self, today: "RuleBook") -> dict[str, tuple[str, ...]]:
        """For each group of these rules that is another one today, or none: the targets that it
        stood for.
        """
        return {
            name: tuple(sorted(self.leaves(name)))
            for name in self._covered
            if name not in today.rules.targets or self.leaves(name) != today.leaves(name)
        }

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
        if self._lines is None:
            self._lines = TomlLines(self.rules.text)
        return self._lines.of(*keys)


Users = Callable[[str], Collection[str]]
"""The targets that a path is an input of (their Dockerfile, their template), whatever rule owns
it.
"""


def nobody(path: str) -> Collection[str]:
    """Where nothing is known of inputs."""
    return ()


def touch(
    changes: Sequence[Change],
    book: RuleBook,
    old: Sequence[RuleBook] = (),
    own: Collection[str] = (),
    users: Users = nobody,
) -> Impact:
    """The impact of changes under the rules of today and, if rules.toml itself changed, also those
    that were in force before.

    Each path calls for the narrowest of its candidates; what no rule matches and `ignore` does not
    cover is unmatched. What no rule of one version matches calls for that version's fallback
    target, also where a rule of another version matches it. `own` are the paths of rules.toml
    itself, which is never unmatched. The `users` of a path are called for as well, unless `ignore`
    covers it.
    """
    books = [(book, {}), *((one, one.in_terms_of(book)) for one in old)]
    targets: Reasons = {}
    checks: Reasons = {}
    touched = [
        _with_users(_touch_one(change, books, targets, checks, own), book, users, targets)
        for change in changes
    ]
    removed = tuple(sorted(name for name in targets if name not in book.rules.targets))
    return Impact(
        touched=tuple(touched),
        targets={
            name: tuple(reasons) for name, reasons in targets.items() if name in book.rules.targets
        },
        checks={name: tuple(reasons) for name, reasons in checks.items()},
        removed=removed,
    )


class Leaves(Protocol):
    """Who covers whom (plan.graph.Graph)."""

    def leaves(self, name: str) -> frozenset[str]: ...


def limited(impact: Impact, leaves: frozenset[str], graph: Leaves) -> Impact:
    """The part of an impact that concerns these targets; a group that they are not all of is
    written out. What is no longer in rules.toml concerns none of them.
    """

    def inside(name: str) -> tuple[str, ...]:
        if name in impact.removed:
            return ()
        own = graph.leaves(name)
        return (name,) if own <= leaves else tuple(sorted(own & leaves))

    targets: dict[str, tuple[Reason, ...]] = {}
    for name, reasons in impact.targets.items():
        for one in inside(name):
            targets[one] = targets.get(one, ()) + reasons

    def written_out(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part for name in names for part in inside(name)))

    return replace(
        impact,
        targets=targets,
        touched=tuple(replace(one, targets=written_out(one.targets)) for one in impact.touched),
    )


def merged(impacts: Sequence[Impact]) -> Impact:
    """Several impacts as one: of each path everything that any of them makes of it, of each target
    all reasons.
    """
    if len(impacts) == 1:
        return impacts[0]
    touched: dict[str, ChangeMatch] = {}
    targets: dict[str, dict[Reason, None]] = {}
    checks: dict[str, dict[Reason, None]] = {}
    for impact in impacts:
        for one in impact.touched:
            before = touched.get(one.change.path)
            touched[one.change.path] = one if before is None else _both(before, one)
        for name, reasons in impact.targets.items():
            targets.setdefault(name, {}).update(dict.fromkeys(reasons))
        for name, reasons in impact.checks.items():
            checks.setdefault(name, {}).update(dict.fromkeys(reasons))
    return Impact(
        touched=tuple(touched[path] for path in sorted(touched)),
        targets={name: tuple(reasons) for name, reasons in targets.items()},
        checks={name: tuple(reasons) for name, reasons in checks.items()},
        removed=tuple(sorted({name for impact in impacts for name in impact.removed})),
    )


def _both(one: ChangeMatch, other: ChangeMatch) -> ChangeMatch:
    """What two comparisons make of one path. Its status is unknown where they disagree."""
    change = one.change if one.change == other.change else replace(one.change, status="unknown")
    rules, targets = (
        tuple(dict.fromkeys((*a, *b)))
        for a, b in ((one.rules, other.rules), (one.targets, other.targets))
    )
    return ChangeMatch(
        change, rules, targets, one.verdict if one.rules or not other.rules else other.verdict
    )


Version = tuple[RuleBook, Mapping[str, tuple[str, ...]]]
"""One version of the rules, and what its targets are called today where that differs."""


def _touch_one(
    change: Change,
    books: Sequence[Version],
    targets: Reasons,
    checks: Reasons,
    own: Collection[str],
) -> ChangeMatch:
    names: dict[str, None] = {}
    called: dict[str, None] = {}
    for book, today in books:
        if book.ignores(change.path):
            continue
        hits = book.matching(change)
        narrow = book.narrowed(name for rule, _ in hits for name in book.rules.rules[rule].deploy)
        for hit in hits:
            rule = book.rules.rules[hit[0]]
            names[rule.name] = None
            wanted = [
                one for name in rule.deploy if name in narrow for one in today.get(name, (name,))
            ]
            _note(change.path, book.reason(change.path, hit), wanted, targets)
            _note(change.path, book.reason(change.path, hit), rule.run, checks)
            called.update(dict.fromkeys(wanted))
        if not hits and change.path not in own:
            wanted = [one for name in book.fallback for one in today.get(name, (name,))]
            _note(
                change.path,
                Reason(change.path, "unmatched", "", book.line("unmatched")),
                wanted,
                targets,
            )
            called.update(dict.fromkeys(wanted))
    if names:
        return ChangeMatch(change, tuple(names), tuple(called), "matched")
    if change.path in own:
        return ChangeMatch(change, (), (), "rules")
    if books[0][0].ignores(change.path) and not called:
        return ChangeMatch(change, (), (), "ignored")
    return ChangeMatch(change, (), tuple(called), "unmatched")


def _with_users(one: ChangeMatch, book: RuleBook, users: Users, targets: Reasons) -> ChangeMatch:
    """What a change calls for, and besides the targets that are built from its path."""
    path = one.change.path
    names = users(path)
    if not names or book.ignores(path):
        return one
    for name in sorted(names):
        reason = Reason(path, f"{name} is built from {path}", "", book.line("targets", name))
        _note(path, reason, (name,), targets)
    return replace(one, targets=tuple(dict.fromkeys((*one.targets, *sorted(names)))))


def _note(path: str, reason: Reason, names: Iterable[str], into: Reasons) -> None:
    for name in names:
        reasons = into.setdefault(name, [])
        if not (
            reasons and reasons[-1].path == path
        ):  # a second rule for the same path adds nothing to know
            reasons.append(reason)


def _counts(rule: Rule, status: str) -> bool:
    return not rule.changes or status in rule.changes or status not in STATUSES
