"""From a path, or another tool's pattern, to patterns of ours that mean at least as much.

A draft may be too wide, which costs a deploy too many, and never too narrow, which forgets one.
"""

import re
from collections.abc import Iterable

from toolkit.impact.glob import LONGEST, PatternError, alternatives

UNKNOWN = "\0"
"""Stands in a source for a part that nobody can know before the build."""

_SPECIAL = re.compile(r"[*?\[{(\\]|^!")
_UNSAYABLE = re.compile("[\0\ud800-\udfff]")
_CLASS = re.compile(r"\[\^?(?:[\w.](?:-\w)?)+\]", re.ASCII)
_PART = re.compile(rf"{_CLASS.pattern}|\[[^\]]*\]?|\\.|\*+|.", re.ASCII | re.DOTALL)


def literal(path: str) -> str:
    """The pattern for one path."""
    pattern = _escaped(path)
    if len(pattern) > LONGEST:
        return below(path.rpartition("/")[0])
    return _ended(pattern)


def one_of(paths: Iterable[str]) -> list[str]:
    """The patterns for some paths: a single one, if their names allow it, so that none seems dead
    while it is not there.
    """
    listed = list(dict.fromkeys(paths))
    folders = {path.rpartition("/")[0] for path in listed}
    shared = folders.pop() if len(folders) == 1 else ""
    names = [path[len(shared) :].lstrip("/") for path in listed]
    joint = within(shared, f"{{{','.join(names)}}}")
    plain = all(re.fullmatch(r"[\w./-]+", name) for name in names)
    return (
        [joint]
        if plain and len(joint) <= LONGEST and "{" in joint
        else [literal(path) for path in listed]
    )


def below(folder: str) -> str:
    """The pattern for everything in a folder; the empty folder is the root."""
    while folder and len(_escaped(folder)) + 3 > LONGEST:
        folder = folder.rpartition("/")[0]
    return f"{_escaped(folder)}/**" if folder else "**"


def within(folder: str, pattern: str) -> str:
    """A pattern that is relative to a folder, from the root."""
    if not folder:
        return pattern
    long = f"{_escaped(folder)}/{pattern}"
    return long if len(long) <= LONGEST else below(folder)


def sayable(pattern: str) -> bool:
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
    said: list[str] = []
    spent = (
        False  # each `**` inside a segment doubles what a matcher has to look at, so there is one
    )
    for segment in _cleaned(source):
        inside = UNKNOWN in segment and segment.strip(UNKNOWN) != ""
        said.append("**" if inside and spent else _segment(segment))
        spent |= inside
    pattern = _ended("/".join(said) or "**")
    return pattern if len(pattern) < LONGEST - len("/**/*") and sayable(pattern) else "**"


def exact(source: str) -> bool:
    """Whether `from_go` says no more than what Go means."""
    inner = "/".join(_CLASS.sub("", segment) for segment in source.split("/") if segment != "**")
    return not (
        "**" in inner
        or UNKNOWN in inner
        or "[" in inner
        or "\\" in inner
        or ".." in source.split("/")
    )


def plain_lead(pattern: str) -> str:
    """The folders (and, without special characters, the file) that a pattern names before anything
    is left open.
    """
    segments = pattern.split("/")
    open_at = next(
        (at for at, segment in enumerate(segments) if set(segment) & set("*?[{\\")), len(segments)
    )
    return "/".join(segments[:open_at])


def simplest(patterns: Iterable[str]) -> tuple[str, ...]:
    """The same patterns without repetition, and without those that a `folder/**` among them
    covers.
    """
    given = set(patterns)
    merged = dict.fromkeys(_merged(one, given) for one in patterns)
    trees = {one[:-3] for one in merged if one.endswith("/**")}
    return ("**",) if "**" in merged else tuple(one for one in merged if not _covered(one, trees))


def shown(text: str) -> str:
    """Somebody else's words on one line of ours."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _merged(pattern: str, given: set[str]) -> str:
    """`x/*` and `x/*/**` together are `x/**`."""
    for tail in ("*", "*/**"):
        stem = pattern.removesuffix(tail)
        if (
            pattern.endswith(tail)
            and (not stem or stem.endswith("/"))
            and {f"{stem}*", f"{stem}*/**"} <= given
        ):
            return f"{stem}**"
    return pattern


def _covered(pattern: str, trees: set[str]) -> bool:
    if pattern in trees and not pattern.endswith("*"):
        return True
    at = pattern.find("/")
    while at > 0:
        if pattern[:at] in trees and pattern[at:] != "/**":
            return True
        at = pattern.find("/", at + 1)
    return False


def _cleaned(source: str) -> list[str]:
    segments: list[str] = []
    for segment in source.split("/"):
        if segment == ".." and segments and UNKNOWN not in segments[-1]:
            segments.pop()
        elif segment not in ("", ".", ".."):
            segments.append(segment)
    return segments


def _segment(segment: str) -> str:
    """One segment of Go's in our dialect."""
    if segment == "**" or not segment.strip(UNKNOWN):
        return "**"
    wide = "**" if UNKNOWN in segment else "*"
    said: list[str] = []
    for part in _PART.findall(segment):
        if part[0] in ("*", UNKNOWN):
            if said[-1:] != [wide]:
                said.append(wide)
        elif part == "?" or _CLASS.fullmatch(part):
            said.append(part)
        elif part[0] == "[":
            said.append("?" if part[-1] == "]" else wide)
        else:
            said.append(_escaped(part[-1]))
    return "".join(said)


def _escaped(path: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", _UNSAYABLE.sub("?", path))


def _ended(pattern: str) -> str:
    """White space at the end has to be marked, or the dialect takes it for a slip."""
    if pattern[-1:] == " ":
        return f"{pattern[:-1]}\\ "
    return f"{pattern[:-1]}?" if pattern[-1:].isspace() else pattern
