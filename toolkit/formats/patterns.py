"""From a path, or another tool's pattern, to patterns of ours that mean at least as much.

A draft may be too wide, which costs a deploy too many, and never too narrow, which forgets one.
"""

import re
from collections.abc import Iterable, Sequence

from toolkit.formats.dockerfile import UNKNOWN
from toolkit.formats.glob import LONGEST, PatternError, alternatives

_SPECIAL = re.compile(r"[*?\[{(\\]|^!")
_UNSAYABLE = re.compile("[\0\ud800-\udfff]")
_CLASS = re.compile(r"\[\^?(?:[\w.](?:-\w)?)+\]", re.ASCII)
_PART = re.compile(rf"{_CLASS.pattern}|\[[^\]]*\]?|\\.|\*+|.", re.ASCII | re.DOTALL)


def literal(path: str) -> str:
    """The pattern for one path."""
    pattern = _escaped(path)
    # Too long for a pattern: its folder is wider, but never too narrow.
    if len(pattern) > LONGEST:
        return everything_in(path.rpartition("/")[0])
    return _mark_trailing_space(pattern)


def patterns_for_paths(paths: Iterable[str]) -> list[str]:
    """The patterns for some paths: a single one, if their names allow it, so that none looks dead
    while its file does not exist.
    """
    listed = list(dict.fromkeys(paths))
    folders = {path.rpartition("/")[0] for path in listed}
    shared = folders.pop() if len(folders) == 1 else ""
    names = [path[len(shared) :].lstrip("/") for path in listed]
    joint = within(shared, f"{{{','.join(names)}}}")
    is_plain = all(re.fullmatch(r"[\w./-]+", name) for name in names)
    if is_plain and len(joint) <= LONGEST and "{" in joint:
        return [joint]
    return [literal(path) for path in listed]


def everything_in(folder: str) -> str:
    """The pattern for everything in a folder; the empty folder is the root."""
    while folder and len(_escaped(folder)) + 3 > LONGEST:
        folder = folder.rpartition("/")[0]
    if folder:
        return f"{_escaped(folder)}/**"
    return "**"


def within(folder: str, pattern: str) -> str:
    """A pattern that is relative to a folder, from the root."""
    if not folder:
        return pattern
    long = f"{_escaped(folder)}/{pattern}"
    if len(long) <= LONGEST:
        return long
    return everything_in(folder)


def is_valid_pattern(pattern: str) -> bool:
    """Whether our dialect takes the pattern (without a leading `!`)."""
    try:
        return bool(alternatives(pattern))
    except PatternError:
        return False


def from_go(source: str) -> str:
    """The pattern for a path as Go's filepath.Match reads it, UNKNOWN parts in it; `**` is
    everything. Never too narrow.

    It is relative to a root that `..` cannot leave, and whether it ends in a slash is for the
    caller to notice.
    """
    segments: list[str] = []
    # Each `**` inside a segment doubles what a matcher has to try, so there is one at most.
    has_inner_globstar = False
    for segment in _clean_segments(source):
        is_partly_unknown = UNKNOWN in segment and segment.strip(UNKNOWN) != ""
        if is_partly_unknown and has_inner_globstar:
            segments.append("**")
        else:
            segments.append(_translate_segment(segment))
        has_inner_globstar |= is_partly_unknown
    pattern = _mark_trailing_space("/".join(segments) or "**")
    # Callers append `/**` or `/*`, which has to fit as well.
    if len(pattern) < LONGEST - len("/**/*") and is_valid_pattern(pattern):
        return pattern
    return "**"


def is_exact_in_go(source: str) -> bool:
    """Whether `from_go` says no more than what Go means."""
    inner = "/".join(_CLASS.sub("", segment) for segment in source.split("/") if segment != "**")
    return not (
        "**" in inner
        or UNKNOWN in inner
        or "[" in inner
        or "\\" in inner
        or ".." in source.split("/")
    )


def literal_prefix(pattern: str) -> str:
    """The folders (and, without special characters, the file) that a pattern names before its first
    wildcard.
    """
    literals = []
    for segment in pattern.split("/"):
        if set(segment) & set("*?[{\\"):
            break
        literals.append(segment)
    return "/".join(literals)


def simplify(patterns: Sequence[str]) -> tuple[str, ...]:
    """The same patterns without repetition, and without those that a `folder/**` among them
    covers.
    """
    unique = set(patterns)
    merged = dict.fromkeys(_merge_star_pair(pattern, unique) for pattern in patterns)
    if "**" in merged:
        return ("**",)
    trees = {pattern[:-3] for pattern in merged if pattern.endswith("/**")}
    return tuple(pattern for pattern in merged if not _is_covered(pattern, trees))


def _merge_star_pair(pattern: str, patterns: set[str]) -> str:
    """`x/*` and `x/*/**` together are `x/**`."""
    for tail in ("*", "*/**"):
        stem = pattern.removesuffix(tail)
        if (
            pattern.endswith(tail)
            and (not stem or stem.endswith("/"))
            and {f"{stem}*", f"{stem}*/**"} <= patterns
        ):
            return f"{stem}**"
    return pattern


def _is_covered(pattern: str, trees: set[str]) -> bool:
    if pattern in trees and not pattern.endswith("*"):
        return True
    slash = pattern.find("/")
    while slash > 0:
        if pattern[:slash] in trees and pattern[slash:] != "/**":
            return True
        slash = pattern.find("/", slash + 1)
    return False


def _clean_segments(source: str) -> list[str]:
    segments: list[str] = []
    for segment in source.split("/"):
        if segment == ".." and segments and UNKNOWN not in segments[-1]:
            segments.pop()
        elif segment not in ("", ".", ".."):
            segments.append(segment)
    return segments


def _translate_segment(segment: str) -> str:
    """One segment of Go's in our dialect."""
    if segment == "**" or not segment.strip(UNKNOWN):
        return "**"
    wildcard = "**" if UNKNOWN in segment else "*"
    translated: list[str] = []
    for part in _PART.findall(segment):
        if part[0] in ("*", UNKNOWN):
            if translated[-1:] != [wildcard]:
                translated.append(wildcard)
        elif part == "?" or _CLASS.fullmatch(part):
            translated.append(part)
        elif part[0] == "[":
            translated.append("?" if part[-1] == "]" else wildcard)
        else:
            translated.append(_escaped(part[-1]))
    return "".join(translated)


def _escaped(path: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", _UNSAYABLE.sub("?", path))


def _mark_trailing_space(pattern: str) -> str:
    """White space at the end has to be marked, or the dialect takes it for a mistake."""
    if pattern[-1:] == " ":
        return f"{pattern[:-1]}\\ "
    if pattern[-1:].isspace():
        return f"{pattern[:-1]}?"
    return pattern
