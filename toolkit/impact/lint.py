"""What is odd about the rules, seen against the files that there are: dead, shadowed and
overlapping rules, unowned files.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations

from toolkit.impact.matcher import Matcher
from toolkit.impact.touch import RuleBook
from toolkit.model import Change, ChangeStatus, Lint, LintCode, LintFinding

MOST_HINTS = 20
MOST_COMPARED = 2000
"""For how many patterns the nearest name is looked for, and among how many."""

_UNKNOWN = ChangeStatus.UNKNOWN
INFORMATION = (LintCode.OVERLAP, LintCode.DEAD_EXCLUSION, LintCode.GENERATED)
"""The findings that may well be meant."""


def lint(
    book: RuleBook,
    paths: Sequence[str],
    groups: Iterable[str] = (),
    awaited: Collection[str] = (),
) -> Lint:
    """Look at the rules against the paths that are tracked. `groups` are targets that cover
    others, `awaited` are paths that do not exist, and that patterns are there for.
    """
    matches = _Matches(book, paths, awaited)
    findings = [
        *_dead(book, matches, paths),
        *_shadowed(book, matches),
        *_overlaps(book, matches, frozenset(groups)),
    ]
    return Lint(
        tuple(sorted(findings, key=lambda finding: finding.line or 0)),
        len(paths),
        tuple(count_by_folder(matches.unowned)),
    )


def generated_findings(
    book: RuleBook, files: Mapping[str, Sequence[str]], images: Collection[str]
) -> tuple[LintFinding, ...]:
    """A finding for each target whose build takes files that git does not know. `images` are the
    targets that are built by a Dockerfile.
    """
    findings = []
    for name, paths in files.items():
        verb = "goes" if len(paths) == 1 else "go"
        message = (
            f"{_files(len(paths))} that git ignores {verb} into the build of {name} (such as"
            f" {paths[0]})"
        )
        hint = "keep them out with .dockerignore, or commit them" if name in images else ""
        findings.append(LintFinding(LintCode.GENERATED, book.line("targets", name), message, hint))
    return tuple(findings)


class _Matches:
    """What matched in one pass over the paths."""

    def __init__(self, book: RuleBook, paths: Sequence[str], awaited: Collection[str] = ()) -> None:
        self.patterns: Counter[tuple[int, int]] = Counter()
        self.rules: Counter[int] = Counter()
        self.useful: Counter[int] = Counter()
        self.ignored: Counter[int] = Counter()
        self.together: Counter[tuple[int, int]] = Counter()
        self.unowned: list[str] = []
        self.awaited: set[int] = set()
        keys: list[tuple[int, int]] = []
        single_patterns: list[list[str]] = []
        for rule_index, rule in enumerate(book.rules.rules):
            for index, pattern in enumerate(rule.paths):
                keys.append((rule_index, index))
                single_patterns.append([pattern.removeprefix("!")])
        matcher = Matcher(single_patterns)
        for path in paths:
            self.patterns.update(keys[hit] for hit, _ in matcher.match(path))
            self._count_rules(book, path)
        for path in awaited:
            self.patterns.update(keys[hit] for hit, _ in matcher.match(path))
            self.awaited.update(index for index, _ in book.matching(Change(path, _UNKNOWN)))

    def _count_rules(self, book: RuleBook, path: str) -> None:
        rules = book.rules.rules
        hits = [index for index, _ in book.matching(Change(path, _UNKNOWN))]
        self.rules.update(hits)
        # An ignored path counts for nothing, whatever matches it.
        if book.ignores(path):
            self.ignored.update(hits)
            return
        if not hits:
            self.unowned.append(path)
        narrowest = book.narrowest(chain.from_iterable(rules[index].deploy for index in hits))
        for index in hits:
            if rules[index].run or not set(rules[index].deploy).isdisjoint(narrowest):
                self.useful[index] += 1
        self.together.update(combinations(hits, 2))


def _dead(book: RuleBook, matches: _Matches, paths: Sequence[str]) -> Iterator[LintFinding]:
    names = _SimilarNames(paths)
    for index, rule in enumerate(book.rules.rules):
        dead = [number for number in range(len(rule.paths)) if not matches.patterns[index, number]]
        if not matches.rules[index] and index not in matches.awaited:
            hint = names.first_hint([rule.paths[number] for number in dead])
            message = f"rule {rule.name!r} matches no tracked file"
            yield LintFinding(LintCode.DEAD_RULE, book.line("rules", index), message, hint)
            continue
        for number in dead:
            pattern = rule.paths[number]
            code, verb = LintCode.DEAD_PATTERN, "matches"
            if pattern.startswith("!"):
                code, verb = LintCode.DEAD_EXCLUSION, "excludes"
            yield LintFinding(
                code,
                book.line("rules", index, "paths", number),
                f"{pattern!r} {verb} no tracked file",
                names.hint(pattern),
            )


def _shadowed(book: RuleBook, matches: _Matches) -> Iterator[LintFinding]:
    for index, rule in enumerate(book.rules.rules):
        matched = matches.rules[index]
        if matched and matches.ignored[index] == matched:
            yield LintFinding(
                LintCode.IGNORED_RULE,
                book.line("rules", index),
                f"all files of rule {rule.name!r} are ignored, so it never calls for anything",
            )
        elif matched and not matches.useful[index]:
            message = (
                f"rule {rule.name!r} never counts: narrower rules match all that it matches"
                f" ({_files(matched)})"
            )
            yield LintFinding(LintCode.SHADOWED_RULE, book.line("rules", index), message)


def _overlaps(book: RuleBook, matches: _Matches, groups: frozenset[str]) -> Iterator[LintFinding]:
    """Rules with files in common and other targets. One that deploys a group is meant to be wider
    than others.
    """
    for (index, other_index), number in sorted(matches.together.items()):
        first, second = book.rules.rules[index], book.rules.rules[other_index]
        if (
            first.deploy
            and second.deploy
            and set(first.deploy) != set(second.deploy)
            and groups.isdisjoint((*first.deploy, *second.deploy))
        ):
            message = (
                f"{first.name!r} and {second.name!r} share {_files(number)}; each makes both deploy"
            )
            yield LintFinding(LintCode.OVERLAP, book.line("rules", other_index), message)


def _files(number: int) -> str:
    return f"{number:,} {'file' if number == 1 else 'files'}"


def _folders(paths: Sequence[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        slash = path.rfind("/")
        while slash > 0 and path[:slash] not in folders:
            folders.add(path[:slash])
            slash = path.rfind("/", 0, slash)
    return folders


class _SimilarNames:
    """Hints for patterns that match nothing; for the first ones only, since looking for a similar
    name takes time.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._folders = _folders(paths)
        self._names = {*paths, *self._folders}
        self._hints_left = MOST_HINTS

    def first_hint(self, patterns: Sequence[str]) -> str:
        """The first hint that there is for one of the patterns."""
        for pattern in patterns:
            hint = self.hint(pattern)
            if hint:
                return hint
        return ""

    def hint(self, pattern: str) -> str:
        """A folder's content, another case, or a name that is nearly the same."""
        pattern = pattern.removeprefix("!")
        literal = pattern.removesuffix("/**")
        # A pattern with wildcards has no single name that could be misspelt.
        if not self._hints_left or any(char in literal for char in "*?[{\\"):
            return ""
        self._hints_left -= 1
        if literal in self._folders and literal == pattern:
            return f"it is a folder; did you mean '{literal}/**'?"
        tail = pattern[len(literal) :]
        name = self._similar(literal, self._folders if tail else self._names)
        if not name:
            return ""
        if not tail and name in self._folders:
            tail = "/**"
        return f"did you mean '{name}{tail}'?"

    @staticmethod
    def _similar(literal: str, names: set[str]) -> str:
        from difflib import get_close_matches

        same: list[str] = []
        for name in names:
            if name.lower() == literal.lower() or name.endswith(f"/{literal}"):
                same.append(name)
        if same:
            return min(same)
        if len(names) >= MOST_COMPARED:  # comparing takes time
            return ""
        close = get_close_matches(literal, sorted(names), 1, 0.75)
        if close:
            return close[0]
        return ""


def count_by_folder(paths: Sequence[str]) -> list[tuple[str, int]]:
    """How many paths are below each top folder, the fullest first; a path that is alone there
    stands by itself.
    """
    folders: dict[str, list[str]] = {}
    for path in paths:
        top, slash, _ = path.partition("/")
        folders.setdefault(top + slash, []).append(path)
    counts = []
    for folder, inside in folders.items():
        name = folder if len(inside) > 1 else inside[0]
        counts.append((name, len(inside)))
    return sorted(counts, key=lambda entry: (-entry[1], entry[0]))
