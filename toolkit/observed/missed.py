"""Observed inputs against the rules: what was read, and no rule of the target matches, is a missed
deploy in waiting.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from posixpath import basename, dirname, splitext

from msgspec import Struct

from toolkit.formats.patterns import everything_in, literal, simplify
from toolkit.impact.explain import explain
from toolkit.impact.matcher import Matcher
from toolkit.impact.touch import RuleBook
from toolkit.model import ChangeStatus
from toolkit.observed.classes import KnownFiles
from toolkit.operations import InputUse, MissedInput, ObservedInputs, ObservedPatterns

NEW = "toolkit-new"
"""The name of a file that does not exist, without its ending."""
_MANY = 2
"""From how many missed files of one folder on a rule should match all of it."""


class Judge(Struct, frozen=True):
    """What would make targets due: the rules, which targets are built from a path anyway, and which
    paths are not the rules' business (`own`: rules.toml itself).
    """

    book: RuleBook
    users: Callable[[str], Collection[str]]
    own: frozenset[str]

    def due(self, path: str, status: ChangeStatus) -> frozenset[str]:
        """The targets that a change of a path makes due, groups written out."""
        book = self.book
        if book.ignores(path):
            return frozenset()
        called = book.impact_of(path, status).targets
        leaves = (book.leaves(name) for name in (*called, *self.users(path)))
        return frozenset[str]().union(*leaves)

    def why_not(self, path: str, target: str) -> tuple[str, int | None]:
        """Why a path does not make a target due, and the line of rules.toml that decides."""
        book = self.book
        explained = explain(path, book)
        if explained.ignored is not None:
            pattern, line = explained.ignored.pattern, explained.ignored.line
            return f"`ignore` covers it: {pattern}", line
        leaves = book.leaves(target)
        for verdict in explained.verdicts:
            deployed = frozenset[str]().union(*map(book.leaves, verdict.deploy))
            if not leaves <= deployed:
                continue
            if not verdict.hit and verdict.pattern:
                return (
                    f"rule {verdict.rule} excludes it: !{verdict.pattern.lstrip('!')}",
                    verdict.line,
                )
            if verdict.hit:
                return f"rule {verdict.rule} does not count every kind of change", verdict.line
        hits = [verdict for verdict in explained.verdicts if verdict.hit]
        if hits:
            return f"it only belongs to rule {hits[0].rule}", hits[0].line
        return "no rule matches it", None


def missed_inputs(
    inputs: ObservedInputs, target: str, judge: Judge, files: KnownFiles
) -> tuple[MissedInput, ...]:
    """The inputs whose change would not make a target due, those in doubt last."""
    comparison = _Comparison(target, judge)
    missed = [
        *comparison.existing(InputUse.READ, inputs.read),
        *comparison.existing(InputUse.LOCKED, sorted(set(inputs.locks) - set(inputs.read))),
        *comparison.missing(inputs.missing),
        *comparison.listed(inputs.listed, _Listings(inputs, files)),
    ]
    return tuple(sorted(missed, key=lambda each: each.in_doubt))


class _Comparison:
    """Inputs against the rules, for one target."""

    def __init__(self, target: str, judge: Judge) -> None:
        self._target, self._judge = target, judge
        self._leaves = judge.book.leaves(target)
        self._accepted = Matcher([[accept.path for accept in judge.book.rules.accept]])

    def existing(self, use: InputUse, paths: Iterable[str]) -> Iterator[MissedInput]:
        """Files, which may be changed or deleted."""
        for path in paths:
            if self._is_missed(path, ChangeStatus.MODIFIED, ChangeStatus.DELETED):
                yield self._missed(use, path, path, literal(path))

    def missing(self, paths: Iterable[str]) -> Iterator[MissedInput]:
        """Names that may come to be."""
        for path in paths:
            if self._is_new_missed(path):
                yield self._missed(InputUse.MISSING, path, path, literal(path))

    def listed(self, folders: Iterable[str], listings: "_Listings") -> Iterator[MissedInput]:
        """Folders, in which a file may come to be."""
        for folder in folders:
            pattern = everything_in(folder) if folder else "*"
            for names, in_doubt in ((listings.names(folder), False), ([_any(folder)], True)):
                name = next(filter(self._is_new_missed, names), None)
                if name is not None:
                    yield self._missed(InputUse.LISTED, folder, name, pattern, in_doubt)
                    break

    def _is_new_missed(self, path: str) -> bool:
        # What a person ignores is also said of a file that does not exist yet.
        ignored = self._judge.book.ignores(path)
        return not ignored and self._is_missed(path, ChangeStatus.ADDED)

    def _is_missed(self, path: str, *statuses: ChangeStatus) -> bool:
        if path in self._judge.own or self._accepted.match(path):
            return False
        return not all(self._leaves <= self._judge.due(path, status) for status in statuses)

    def _missed(
        self, use: InputUse, path: str, example: str, pattern: str, in_doubt: bool = False
    ) -> MissedInput:
        why, line = self._judge.why_not(example, self._target)
        if self._judge.book.ignores(example):
            pattern = ""  # no rule can help
        return MissedInput(use, path, example, why, line, pattern, in_doubt)


def _any(folder: str) -> str:
    return f"{folder}/{NEW}" if folder else NEW


class _Listings:
    """Of folders whose names a command has read: which new names would it pick up?

    Programs also list folders only to find one file in them. So in the root, which nearly every
    program lists, no new name counts for sure; elsewhere one of each type that the folder has. A
    new folder counts where the command has gone into all that there are, and any name where it has
    read nothing in there: then the names are what it wanted.
    """

    def __init__(self, inputs: ObservedInputs, files: KnownFiles) -> None:
        wanted = {*inputs.listed}
        self._types: dict[str, set[str]] = defaultdict(set)
        self._folders: dict[str, set[str]] = defaultdict(set)
        for path in files.tracked:
            folder = dirname(path)
            if folder in wanted:
                self._types[folder].add(splitext(basename(path))[1])
        for path in files.folders - {""}:
            if dirname(path) in wanted:
                self._folders[dirname(path)].add(path)
        self._entered: set[str] = set(inputs.listed)
        self._read_types: dict[str, set[str]] = defaultdict(set)
        for path in (*inputs.read, *inputs.listed):
            ending = splitext(basename(path))[1]
            folder = path
            while folder:
                folder = dirname(folder)
                self._entered.add(folder)
                if folder in self._folders and path not in wanted:
                    self._read_types[folder].add(ending)
        self._read_in = {dirname(path) for path in inputs.read}

    def names(self, folder: str) -> list[str]:
        """Names of new files that the command would pick up."""
        inside = self._folders[folder]
        entered = {path for path in inside if path in self._entered}
        if folder not in self._read_in and not entered:
            return [_any(folder)]
        if not folder:
            return []
        names = [f"{folder}/{NEW}{ending}" for ending in sorted(self._types[folder] - {""})]
        if inside and entered == inside:
            endings = sorted(self._read_types[folder])
            names += [f"{folder}/{NEW}/{NEW}{ending}" for ending in endings]
        return names


def proposals(
    missed: Iterable[MissedInput], target: str, judge: Judge, inputs: ObservedInputs
) -> tuple[ObservedPatterns, ...]:
    """Patterns that make a target due for what is missed: for the rule of this target alone that
    matches most of what was read, else, and for what that rule excludes, for a rule of its own.
    """
    helped = [each for each in missed if each.pattern]
    if not helped:
        return ()
    book = judge.book
    leaves = book.leaves(target)
    counts: dict[int, int] = {}
    for index, rule in enumerate(book.rules.rules):
        deployed = frozenset[str]().union(*map(book.leaves, rule.deploy))
        if deployed == leaves and not rule.changes and not rule.run:
            matcher = Matcher([rule.paths])
            counts[index] = sum(1 for path in inputs.read if matcher.match(path))
    best = max(counts, key=lambda index: (counts[index], -index), default=None)
    own: list[MissedInput] = []
    extended: list[MissedInput] = []
    excludes: Matcher | None = None
    if best is not None:
        paths = book.rules.rules[best].paths
        excludes = Matcher([[path[1:] for path in paths if path.startswith("!")]])
        if all(path.startswith("!") for path in paths):
            best = None  # a positive pattern would narrow it
    for each in helped:
        fits = best is not None and excludes is not None and not excludes.match(each.example)
        (extended if fits else own).append(each)
    result: list[ObservedPatterns] = []
    if best is not None and extended:
        rule = book.rules.rules[best]
        line = book.line("rules", best, "paths")
        result.append(ObservedPatterns(rule.name, line, _patterns(extended)))
    if own:
        result.append(ObservedPatterns(_new_name(target, book), None, _patterns(own)))
    return tuple(result)


def _new_name(target: str, book: RuleBook) -> str:
    taken = {rule.name for rule in book.rules.rules}
    name, number = f"{target}: observed", 1
    while name in taken:
        number += 1
        name = f"{target}: observed {number}"
    return name


def _patterns(missed: Sequence[MissedInput]) -> tuple[str, ...]:
    """The patterns for all of them, wide where several lie in one folder."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for each in missed:
        if each.use is InputUse.READ:
            by_folder[dirname(each.path)].append(each.path)
    patterns: list[str] = []
    for each in missed:
        folder = dirname(each.path)
        if each.use is InputUse.READ and folder and len(by_folder[folder]) >= _MANY:
            patterns.append(everything_in(folder))
        else:
            patterns.append(each.pattern)
    return simplify(patterns)


def matched_counts(inputs: ObservedInputs, judge: Judge) -> Iterator[tuple[str, int]]:
    """For each target except groups how many of the files that were read make it due."""
    counts: dict[str, int] = defaultdict(int)
    for path in inputs.read:
        for name in judge.due(path, ChangeStatus.MODIFIED):
            counts[name] += 1
    yield from sorted(counts.items(), key=lambda each: (-each[1], each[0]))
