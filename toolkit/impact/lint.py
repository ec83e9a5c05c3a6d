"""What is odd about the rules, seen against the files that there are: dead, shadowed and
overlapping rules, unowned files.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from toolkit.impact.matcher import Matcher
from toolkit.impact.touch import RuleBook
from toolkit.model import Change, Lint, LintFinding

MOST_HINTS = 20
MOST_COMPARED = 2000
"""For how many patterns the nearest name is looked for, and among how many."""

GENERATED = "generated"
INFORMATION = ("overlap", "dead-exclusion", GENERATED)
"""The findings that may well be meant."""


def lint(book: RuleBook, paths: Sequence[str], groups: Iterable[str] = ()) -> Lint:
    """Look at the rules against the paths that are tracked. `groups` are targets that cover
    others.
    """
    seen = _Seen(book, paths)
    findings = [
        *_dead(book, seen, paths),
        *_shadowed(book, seen),
        *_overlaps(book, seen, frozenset(groups)),
    ]
    return Lint(
        tuple(sorted(findings, key=lambda finding: finding.line or 0)),
        len(paths),
        tuple(count_by_folder(seen.unowned)),
    )


def generated(
    book: RuleBook, found: Mapping[str, Sequence[str]], images: Collection[str]
) -> tuple[LintFinding, ...]:
    """A finding for each target whose build takes files that git does not know. `images` are the
    targets that are built by a Dockerfile.
    """
    return tuple(
        LintFinding(
            GENERATED,
            book.line("targets", name),
            f"{_files(len(paths))} that git ignores {'goes' if len(paths) == 1 else 'go'} into the"
            f" build of {name} (such as {paths[0]})",
            "keep them out with .dockerignore, or commit them" if name in images else "",
        )
        for name, paths in found.items()
    )


class _Seen:
    """What matched in one pass over the paths."""

    def __init__(self, book: RuleBook, paths: Sequence[str]) -> None:
        self.patterns: Counter[tuple[int, int]] = Counter()
        self.rules: Counter[int] = Counter()
        self.useful: Counter[int] = Counter()
        self.ignored: Counter[int] = Counter()
        self.together: Counter[tuple[int, int]] = Counter()
        self.unowned: list[str] = []
        keys = [
            (rule, at) for rule, one in enumerate(book.rules.rules) for at in range(len(one.paths))
        ]
        single = Matcher(
            [[book.rules.rules[rule].paths[at].removeprefix("!")] for rule, at in keys]
        )
        for path in paths:
            self.patterns.update(keys[hit] for hit, _ in single.match(path))
            self._rules(book, path)

    def _rules(self, book: RuleBook, path: str) -> None:
        hits = [rule for rule, _ in book.matching(Change(path, "unknown"))]
        self.rules.update(hits)
        if book.ignores(path):
            self.ignored.update(hits)
            return
        if not hits:
            self.unowned.append(path)
        narrow = book.narrowed(name for rule in hits for name in book.rules.rules[rule].deploy)
        self.useful.update(
            rule
            for rule in hits
            if book.rules.rules[rule].run
            or not set(book.rules.rules[rule].deploy).isdisjoint(narrow)
        )
        self.together.update(combinations(hits, 2))


def _dead(book: RuleBook, seen: _Seen, paths: Sequence[str]) -> Iterator[LintFinding]:
    nearest = _Nearest(paths)
    for index, rule in enumerate(book.rules.rules):
        dead = [at for at in range(len(rule.paths)) if not seen.patterns[index, at]]
        if not seen.rules[index]:
            hint = next((hint for at in dead if (hint := nearest.to(rule.paths[at]))), "")
            yield LintFinding(
                "dead-rule",
                book.line("rules", index),
                f"rule {rule.name!r} matches no tracked file",
                hint,
            )
            continue
        for at in dead:
            hint = nearest.to(rule.paths[at])
            code, does = (
                ("dead-exclusion", "excludes")
                if rule.paths[at].startswith("!")
                else ("dead-pattern", "matches")
            )
            yield LintFinding(
                code,
                book.line("rules", index, "paths", at),
                f"{rule.paths[at]!r} {does} no tracked file",
                hint,
            )


def _shadowed(book: RuleBook, seen: _Seen) -> Iterator[LintFinding]:
    for index, rule in enumerate(book.rules.rules):
        matched = seen.rules[index]
        if matched and seen.ignored[index] == matched:
            yield LintFinding(
                "ignored-rule",
                book.line("rules", index),
                f"all files of rule {rule.name!r} are ignored, so it never calls for anything",
            )
        elif matched and not seen.useful[index]:
            message = (
                f"rule {rule.name!r} never counts: narrower rules match all that it matches"
                f" ({_files(matched)})"
            )
            yield LintFinding("shadowed-rule", book.line("rules", index), message)


def _overlaps(book: RuleBook, seen: _Seen, groups: frozenset[str]) -> Iterator[LintFinding]:
    """Rules with files in common and other targets. One that deploys a group is meant to be wider
    than others.
    """
    for (one, other), number in sorted(seen.together.items()):
        first, second = book.rules.rules[one], book.rules.rules[other]
        both = {*first.deploy, *second.deploy}
        if (
            first.deploy
            and second.deploy
            and set(first.deploy) != set(second.deploy)
            and groups.isdisjoint(both)
        ):
            message = (
                f"{first.name!r} and {second.name!r} share {_files(number)}; each makes both deploy"
            )
            yield LintFinding("overlap", book.line("rules", other), message)


def _files(number: int) -> str:
    return f"{number:,} {'file' if number == 1 else 'files'}"


def _folders(paths: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        at = path.rfind("/")
        while at > 0 and path[:at] not in found:
            found.add(path[:at])
            at = path.rfind("/", 0, at)
    return found


class _Nearest:
    """What patterns that match nothing may have meant; told of the first ones only, since looking
    for it takes time.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._folders = _folders(paths)
        self._names = {*paths, *self._folders}
        self._left = MOST_HINTS

    def to(self, pattern: str) -> str:
        """A folder's content, another case, or a name that is nearly the same."""
        from difflib import get_close_matches

        pattern = pattern.removeprefix("!")
        literal = pattern.removesuffix("/**")
        if not self._left or any(char in literal for char in "*?[{\\"):
            return ""
        self._left -= 1
        if literal in self._folders and literal == pattern:
            return f"it is a folder; did you mean '{literal}/**'?"
        tail = pattern[len(literal) :]
        names = self._folders if tail else self._names
        same = [
            one for one in names if one.lower() == literal.lower() or one.endswith(f"/{literal}")
        ]
        close = sorted(same) or get_close_matches(
            literal, sorted(names) if len(names) < MOST_COMPARED else [], 1, 0.75
        )
        return (
            f"did you mean '{close[0]}{tail or ('/**' if close[0] in self._folders else '')}'?"
            if close
            else ""
        )


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
