"""How much of a repository do rules cover, and which sources of its images do they forget?"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from posixpath import normpath

from msgspec import Struct
from msgspec.structs import replace

from toolkit.impact.matcher import Matcher
from toolkit.init.images.contexts import ignore_file
from toolkit.init.images.dockerfile import CopySource, sources
from toolkit.init.images.dockerignore import keeps_out
from toolkit.init.patterns import within

MOST_FOLDERS = 10
"""The most top folders that are named."""


class PathCoverage(Struct, frozen=True):
    """How many tracked paths a rule matches, `ignore` covers, or nothing does; `folders` are where
    most of the last are (a file that is alone there stands by itself).
    """

    matched: int
    ignored: int
    unmatched: int
    folders: tuple[tuple[str, int], ...] = ()


class UncoveredSource(Struct, frozen=True):
    """A source of a Dockerfile's line that brings `count` files into the image (`example` is one)
    which no rule sends to its app, or which are `ignored`.
    """

    dockerfile: str
    line: int
    source: str
    count: int
    example: str
    uncertain: bool = False
    ignored: bool = False


def coverage(
    lists: Sequence[Sequence[str]], paths: Sequence[str], ignore: Sequence[str] = ()
) -> PathCoverage:
    """Count the paths by what the rules (their lists of patterns) make of them. What is ignored is
    ignored, whatever matches.
    """
    matcher = Matcher([ignore, *lists])
    seen: Counter[str] = Counter()
    folders: dict[str, list[str]] = {}
    for path in paths:
        hits = matcher.match(path)
        verdict = "unmatched" if not hits else "ignored" if hits[0][0] == 0 else "matched"
        seen[verdict] += 1
        if verdict == "unmatched":
            folders.setdefault(path.partition("/")[0] + "/" * ("/" in path), []).append(path)
    counts = (
        (folder if len(inside) > 1 else inside[0], len(inside))
        for folder, inside in folders.items()
    )
    fullest = sorted(counts, key=lambda one: (-one[1], one[0]))
    return PathCoverage(
        seen["matched"], seen["ignored"], seen["unmatched"], tuple(fullest[:MOST_FOLDERS])
    )


def uncovered_sources(
    dockerfiles: Mapping[str, str],
    lists: Sequence[Sequence[str]],
    ignore: Sequence[str],
    paths: Sequence[str],
    accept: Sequence[str],
    contexts: Mapping[str, str],
    owners: Mapping[str, frozenset[int]],
    ignored: Mapping[str, str] | None = None,
) -> tuple[UncoveredSource, ...]:
    """The sources of Dockerfiles whose change would not call for the app that is built from them.

    `dockerfiles` are path -> text, `lists` the rules' patterns, `contexts` the build context of
    each Dockerfile, `owners` the rules (indices in `lists`) which deploy an app built from it; a
    Dockerfile without an entry there is nobody's and is left out. `accept` is what a person has
    said needs no rule. What `ignore` has is missed, too, unless a rule of the app leaves it out by
    a `!` pattern of its own. `ignored` are path -> text of .dockerignore files.
    """
    matcher = Matcher([ignore, accept, *lists])
    hits = ((path, frozenset(rule - 2 for rule, _ in matcher.match(path))) for path in paths)
    asked = [(path, rules) for path, rules in hits if -1 not in rules]
    away = Matcher([one[1:] for one in patterns if one.startswith("!")] for patterns in lists)
    found: list[UncoveredSource] = []
    for dockerfile, text in dockerfiles.items():
        if dockerfile in owners:
            context = _folder(contexts.get(dockerfile, ""))
            ignore_text = (ignored or {}).get(
                ignore_file(dockerfile, context, ignored or {}) or "", ""
            )
            out = keeps_out(ignore_text)
            mine = owners[dockerfile]
            sent = [
                (path, rules)
                for path, rules in asked
                if (-2 in rules or not rules & mine) and _is_sent(path, context, out)
            ]
            missed = [path for path, rules in sent if -2 not in rules]
            hidden = [
                path
                for path, rules in sent
                if -2 in rules and not any(rule in mine for rule, _ in away.match(path))
            ]
            for paths_of, is_ignored in ((missed, False), (hidden, True)):
                found += [
                    replace(one, ignored=is_ignored)
                    for one in _by_source(dockerfile, context, sources(text), paths_of)
                ]
    return tuple(found)


def _folder(written: str) -> str:
    """A folder as rules.toml may write it (`.`, `./backend/`), from the root."""
    clean = normpath(written or ".")
    return "" if clean == "." else clean


def _is_sent(path: str, context: str, keeps_out: Callable[[str], bool]) -> bool:
    """Whether a file is part of the build context."""
    start = f"{context}/" if context else ""
    return path.startswith(start) and not keeps_out(path[len(start) :])


def _by_source(
    dockerfile: str, context: str, taken: Sequence[CopySource], missed: Sequence[str]
) -> Iterator[UncoveredSource]:
    """The missed files by the first source that brings each of them."""
    lists = [
        [
            *(within(context, one) for one in source.patterns),
            *(f"!{within(context, one)}" for one in source.without),
        ]
        for source in taken
    ]
    matcher = Matcher(lists)
    brought: dict[int, list[str]] = {}
    for path in missed:
        for source, _ in matcher.match(path)[:1]:
            brought.setdefault(source, []).append(path)
    for at, paths in sorted(brought.items()):
        yield UncoveredSource(
            dockerfile, taken[at].line, taken[at].source, len(paths), paths[0], taken[at].uncertain
        )
