"""A .dockerignore as docker reads it, which is not as git reads a .gitignore: every pattern starts
at the context's root.
"""

import re
from posixpath import normpath

from msgspec import Struct

from toolkit.errors import Refused


class Wildcard:
    """A pattern of Go's filepath.Match, which `matches` a path in a time that grows with both
    lengths, and no faster.

    Its wildcards may stand for anything, so a search that goes back would try every split of a path
    between them. Instead all places of the pattern that a path's first characters can lead to are
    kept at once, as the bits of a number.
    """

    def __init__(self, pattern: str, deep: bool = True) -> None:
        self._parts = parts = _parts(pattern, deep)
        self._end = 1 << len(parts)
        self._stay = {
            kind: sum(1 << at for at, part in enumerate(parts) if part == kind)
            for kind in (STAR, DEEP, FOLDERS)
        }
        self._start = self._closed(1)
        self._known: dict[str, int] = {}

    def matches(self, path: str) -> bool:
        """Whether all of a path fits."""
        return self._walk(path, False)

    def covers(self, path: str) -> bool:
        """Whether a path fits, or a folder above it."""
        return self._walk(path, True)

    def _walk(self, path: str, above: bool) -> bool:
        state, stay = self._start, self._stay
        for char in path:
            if char == "/" and above and state & self._end:
                return True
            moved = (state & self._fits(char)) << 1
            kept = state & stay[DEEP]
            if char == "/":
                moved |= (state & stay[FOLDERS]) << 1
            else:
                kept |= state & stay[STAR]
            state = self._closed(moved | kept) | (state & stay[FOLDERS])
            if not state:
                return False
        return bool(state & self._end)

    def _fits(self, char: str) -> int:
        """The places of the pattern that stand for this one character."""
        found = self._known.get(char)
        if found is None:
            found = 0
            for at, part in enumerate(self._parts):
                if part not in (STAR, DEEP, FOLDERS) and re.fullmatch(part, char, re.DOTALL):
                    found |= 1 << at
            self._known[char] = found
        return found

    def _closed(self, state: int) -> int:
        """With the places that follow without a character: each wildcard may stand for nothing."""
        free = self._stay[STAR] | self._stay[DEEP] | self._stay[FOLDERS]
        while True:
            more = state | ((state & free) << 1)
            if more == state:
                return state
            state = more


class Ignore(Struct, frozen=True):
    """The patterns in order, and for each whether it takes back in."""

    patterns: tuple[tuple[Wildcard, bool], ...] = ()

    @property
    def takes_back(self) -> bool:
        """Whether something inside of a folder that stays out may come in again."""
        return any(back for _, back in self.patterns)

    def keeps_out(self, path: str) -> bool:
        """The last pattern that matches the path, or a folder above it, decides."""
        for pattern, back in reversed(self.patterns):
            if pattern.covers(path):
                return not back
        return False


def parse(text: str) -> Ignore:
    """The patterns of a .dockerignore. Raises Refused for one that docker would not take."""
    found = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        words = "" if line.startswith("#") else line.strip()
        if words:
            back = words.startswith("!")
            path = words.removeprefix("!").strip()
            if not path:
                raise Refused(f".dockerignore line {number}: `!` without a pattern")
            try:
                found.append((Wildcard(_clean(path)), back))
            except re.error:
                raise Refused(f".dockerignore line {number}: the pattern cannot be read") from None
    return Ignore(tuple(found))


STAR, DEEP, FOLDERS = "*", "**", "**/"
"""What stands for anything in a name, for anything at all, and for any folders."""


def _parts(pattern: str, deep: bool) -> list[str]:
    """A pattern as wildcards, and regular expressions for one character each; `**` crosses folders
    only if `deep`. Raises re.error.
    """
    if deep and re.fullmatch(r"\*\*[^/*?\[\]\\][^*?\[\]\\]*", pattern):
        return [
            DEEP,
            *(re.escape(char) for char in pattern[2:]),
        ]  # docker's own exception: `**x` is everything that ends in x
    found: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            stars = pattern.startswith("*", at)
            at += stars
            if stars and deep:
                at += pattern.startswith("/", at)
                found.append(DEEP if at >= len(pattern) else FOLDERS)
            else:
                found.append(STAR)
        elif char == "?":
            found.append("[^/]")
        elif char == "[":
            end = _end_of_class(pattern, at)
            found.append(f"[{_class(pattern[at:end])}]")
            re.compile(found[-1])
            at = end + 1
        elif char == "\\":
            if at < len(pattern):
                found.append(re.escape(pattern[at]))
            at += 1
        else:
            found.append(re.escape(char))
    return [
        part
        for at, part in enumerate(found)
        if part not in (STAR, DEEP, FOLDERS) or found[at - 1 : at] != [part]
    ]


def _end_of_class(pattern: str, at: int) -> int:
    """Where a `[` is closed; the first character of a class may not be the closing one in Go
    either.
    """
    while at < len(pattern) and pattern[at] != "]":
        at += 1 + (pattern[at] == "\\")
    if at >= len(pattern):
        raise re.error("a [ is not closed")
    return at


def _class(inside: str) -> str:
    negated = inside.startswith("^")
    inside = inside[negated:]
    if not inside:
        raise re.error("an empty class")
    if re.search(r"(?<!\\)--", inside):
        raise re.error("a - that is neither escaped nor between two characters")
    return "^/" * negated + re.sub(r"([\[&~|])", r"\\\1", inside)


def _clean(path: str) -> str:
    """Go's filepath.Clean, and without the slash in front."""
    return normpath(path).lstrip("/") or "/"
