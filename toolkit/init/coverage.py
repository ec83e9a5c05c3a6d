"""How much of a repository do rules cover, and which sources of its images do they forget?"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from toolkit.formats.patterns import within
from toolkit.impact.lint import count_by_folder
from toolkit.impact.matcher import Matcher
from toolkit.init.images.contexts import ignore_file
from toolkit.init.images.dockerignore import exclusion_check
from toolkit.init.images.sources import CopySource, copy_sources
from toolkit.init.tree import clean_path, folder_prefix

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


def measure_coverage(
    lists: Sequence[Sequence[str]], paths: Sequence[str], ignore: Sequence[str] = ()
) -> PathCoverage:
    """Count the paths by what the rules (their lists of patterns) make of them. What is ignored is
    ignored, whatever matches.
    """
    matcher = Matcher([ignore, *lists])
    matched = ignored = 0
    unmatched: list[str] = []
    for path in paths:
        hits = matcher.match(path)
        if not hits:
            unmatched.append(path)
        elif hits[0][0] == 0:  # `ignore` is the first list
            ignored += 1
        else:
            matched += 1
    return PathCoverage(
        matched, ignored, len(unmatched), tuple(count_by_folder(unmatched)[:MOST_FOLDERS])
    )


class ImageFiles(Struct, frozen=True):
    """The Dockerfiles to look at: path -> text, and the build context of each (the root if it has
    none here). `owners` are the rules (indices) which deploy an app built from it; a Dockerfile
    that is not in there belongs to no app and is left out. `ignore_files` are path -> text of
    .dockerignore files.
    """

    dockerfiles: Mapping[str, str]
    contexts: Mapping[str, str]
    owners: Mapping[str, frozenset[int]]
    ignore_files: Mapping[str, str] = {}


def uncovered_sources(
    images: ImageFiles,
    lists: Sequence[Sequence[str]],
    ignore: Sequence[str],
    paths: Sequence[str],
    accept: Sequence[str],
) -> tuple[UncoveredSource, ...]:
    """The sources of Dockerfiles whose change would not call for the app that is built from them.

    `lists` are the rules' patterns, `accept` what a person has said needs no rule. What `ignore`
    has is missed, too, unless a rule of the app leaves it out by a `!` pattern of its own.
    """
    matcher = Matcher([ignore, accept, *lists])
    candidates: list[tuple[str, frozenset[int]]] = []
    for path in paths:
        # Two lists come before the rules: -2 is `ignore`, -1 is `accept`.
        rules = frozenset(hit - 2 for hit, _ in matcher.match(path))
        if -1 not in rules:
            candidates.append((path, rules))
    # What a rule leaves out by `!` was left out on purpose.
    exclusions = Matcher(
        [pattern[1:] for pattern in patterns if pattern.startswith("!")] for patterns in lists
    )
    uncovered: list[UncoveredSource] = []
    for dockerfile, text in images.dockerfiles.items():
        if dockerfile not in images.owners:
            continue
        owners = images.owners[dockerfile]
        context = clean_path(images.contexts.get(dockerfile) or ".")
        ignore_path = ignore_file(dockerfile, context, images.ignore_files)
        is_excluded = exclusion_check(images.ignore_files.get(ignore_path or "", ""))
        missed: list[str] = []
        hidden: list[str] = []
        for path, rules in candidates:
            is_ignored = -2 in rules
            if (rules & owners and not is_ignored) or not _is_in_context(
                path, context, is_excluded
            ):
                continue
            if not is_ignored:
                missed.append(path)
            elif not any(rule in owners for rule, _ in exclusions.match(path)):
                hidden.append(path)
        sources = copy_sources(text)
        uncovered += _missed_by_source(dockerfile, context, sources, missed)
        for source in _missed_by_source(dockerfile, context, sources, hidden):
            uncovered.append(replace(source, ignored=True))
    return tuple(uncovered)


def _is_in_context(path: str, context: str, is_excluded: Callable[[str], bool]) -> bool:
    """Whether a file is part of the build context."""
    start = folder_prefix(context)
    return path.startswith(start) and not is_excluded(path[len(start) :])


def _missed_by_source(
    dockerfile: str, context: str, sources: Sequence[CopySource], missed: Sequence[str]
) -> Iterator[UncoveredSource]:
    """The missed files by the first source that brings each of them."""
    lists = []
    for source in sources:
        patterns = [within(context, pattern) for pattern in source.patterns]
        patterns += [f"!{within(context, pattern)}" for pattern in source.without]
        lists.append(patterns)
    matcher = Matcher(lists)
    by_source: dict[int, list[str]] = {}
    for path in missed:
        for index, _ in matcher.match(path)[:1]:
            by_source.setdefault(index, []).append(path)
    for index, paths in sorted(by_source.items()):
        source = sources[index]
        yield UncoveredSource(
            dockerfile, source.line, source.source, len(paths), paths[0], source.uncertain
        )
