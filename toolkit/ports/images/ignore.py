"""Reads a .dockerignore as docker does. Unlike in a .gitignore, every pattern starts at the
context's root.
"""

import re
from posixpath import normpath

from msgspec import Struct

from toolkit.errors import Refused


class Wildcard:
    """A pattern of Go's filepath.Match. Its time is linear in the length of pattern and path.

    A search that backtracks would try every split of a path between the wildcards, which a hostile
    pattern makes endless. Instead this is a state machine: the bits of a number are all positions
    in the pattern that the characters so far can lead to.
    """

    def __init__(self, pattern: str, deep: bool = True) -> None:
        self._parts = parts = _parts(pattern, deep)
        self._end = 1 << len(parts)
        self._stay = {STAR: 0, DEEP: 0, FOLDERS: 0}
        for position, part in enumerate(parts):
            if part in self._stay:
                self._stay[part] |= 1 << position
        self._start = self._closed(1)
        self._positions: dict[str, int] = {}

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
            unmoved = state & stay[DEEP]
            if char == "/":
                moved |= (state & stay[FOLDERS]) << 1
            else:
                unmoved |= state & stay[STAR]
            state = self._closed(moved | unmoved) | (state & stay[FOLDERS])
            if not state:
                return False
        return bool(state & self._end)

    def _fits(self, char: str) -> int:
        """The positions of the pattern that stand for this one character."""
        positions = self._positions.get(char)
        if positions is None:
            positions = 0
            for position, part in enumerate(self._parts):
                if part not in self._stay and re.fullmatch(part, char, re.DOTALL):
                    positions |= 1 << position
            self._positions[char] = positions
        return positions

    def _closed(self, state: int) -> int:
        """With the positions that follow without a character: a wildcard may match nothing."""
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
    patterns = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        words = line.strip()
        if not words or line.startswith("#"):
            continue
        back = words.startswith("!")
        path = words.removeprefix("!").strip()
        if not path:
            raise Refused(f".dockerignore line {number}: `!` without a pattern")
        try:
            patterns.append((Wildcard(_clean(path)), back))
        except re.error:
            raise Refused(f".dockerignore line {number}: the pattern cannot be read") from None
    return Ignore(tuple(patterns))


STAR, DEEP, FOLDERS = "*", "**", "**/"
"""What stands for anything in a name, for anything at all, and for any folders."""


def _parts(pattern: str, deep: bool) -> list[str]:
    """A pattern as wildcards, and regular expressions for one character each; `**` crosses folders
    only if `deep`. Raises re.error.
    """
    if deep and re.fullmatch(r"\*\*[^/*?\[\]\\][^*?\[\]\\]*", pattern):
        # Docker's own exception: `**x` is everything that ends in x.
        return [DEEP, *(re.escape(char) for char in pattern[2:])]
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "*":
            double = pattern.startswith("*", index)
            index += double
            if double and deep:
                index += pattern.startswith("/", index)
                wildcard = DEEP if index >= len(pattern) else FOLDERS
            else:
                wildcard = STAR
            if parts[-1:] != [wildcard]:  # twice in a row matches the same
                parts.append(wildcard)
        elif char == "?":
            parts.append("[^/]")
        elif char == "[":
            end = _end_of_class(pattern, index)
            parts.append(f"[{_class(pattern[index:end])}]")
            re.compile(parts[-1])
            index = end + 1
        elif char == "\\":
            if index < len(pattern):
                parts.append(re.escape(pattern[index]))
            index += 1
        else:
            parts.append(re.escape(char))
    return parts


def _end_of_class(pattern: str, index: int) -> int:
    """The index of the `]` that closes a class. As in Go, a class cannot start with `]`."""
    while index < len(pattern) and pattern[index] != "]":
        index += 1 + (pattern[index] == "\\")
    if index >= len(pattern):
        raise re.error("a [ is not closed")
    return index


def _class(inside: str) -> str:
    negated = inside.startswith("^")
    inside = inside[negated:]
    if not inside:
        raise re.error("an empty class")
    # Go refuses such a class, Python gives it a meaning of its own.
    if re.search(r"(?<!\\)--", inside):
        raise re.error("a - that is neither escaped nor between two characters")
    return "^/" * negated + re.sub(r"([\[&~|])", r"\\\1", inside)


def _clean(path: str) -> str:
    """Go's filepath.Clean, and without the slash in front."""
    return normpath(path).lstrip("/") or "/"
