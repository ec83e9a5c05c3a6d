"""Reads a .dockerignore as docker does. Unlike in a .gitignore, every pattern starts at the
context's root.
"""

import re
from collections.abc import Iterator
from functools import partial
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
        self._tail = _literal_tail(parts)
        self._positions: dict[str, int] = {}
        self._folders: dict[str, int] = {}

    def matches(self, path: str) -> bool:
        """Whether all of a path fits."""
        return self._fits_from(self._start, path)

    def covers(self, path: str) -> bool:
        """Whether a path fits, or a folder above it. What is known of a folder is kept for the
        other paths in it.
        """
        folder, slash, name = path.rpartition("/")
        if not slash:
            return self._fits_from(self._start, name)
        if folder not in self._folders:
            self._folders[folder] = self._walk(self._start, f"{folder}/", True)
        state = self._folders[folder]
        return state == _COVERED or self._fits_from(state, name)

    def _fits_from(self, state: int, rest: str) -> bool:
        # Most paths end otherwise, which is seen far faster.
        return rest.endswith(self._tail) and bool(self._walk(state, rest) & self._end)

    def _walk(self, state: int, text: str, above: bool = False) -> int:
        """The state after a text; _COVERED if `above`, and a folder in it fits."""
        stay = self._stay
        for char in text:
            if char == "/" and above and state & self._end:
                return _COVERED
            moved = (state & self._fits(char)) << 1
            unmoved = state & stay[DEEP]
            if char == "/":
                moved |= (state & stay[FOLDERS]) << 1
            else:
                unmoved |= state & stay[STAR]
            state = self._closed(moved | unmoved) | (state & stay[FOLDERS])
            if not state:
                return 0
        return state

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


_COVERED = -1
"""The state of a folder that fits, or that lies in one."""


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
    for number, path, back in lines(text):
        if not path:
            raise Refused(f".dockerignore line {number}: `!` without a pattern")
        try:
            patterns.append((Wildcard(path), back))
        except re.error:
            raise Refused(f".dockerignore line {number}: the pattern cannot be read") from None
    return Ignore(tuple(patterns))


def parse_if_possible(text: str) -> Ignore:
    """The same; a file that docker would not take is not trusted to keep anything out."""
    try:
        return parse(text)
    except Refused:
        return Ignore()


def lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """The lines that mean something: the number of each, its pattern from the context's root (empty
    for a `!` alone), and whether it takes back in.
    """
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        words = line.strip()
        if words and not line.startswith("#"):
            path = words.removeprefix("!").strip()
            yield number, _clean(path) if path else "", words.startswith("!")


STAR, DEEP, FOLDERS = "*", "**", "**/"
"""What stands for anything in a name, for anything at all, and for any folders."""


def _parts(pattern: str, deep: bool) -> list[str]:
    """A pattern as wildcards, and regular expressions for one character each; `**` crosses folders
    only if `deep`. Raises re.error.
    """
    if deep and re.fullmatch(r"\*\*[^/*?\[\]\\][^*?\[\]\\]*", pattern):
        # Docker's own exception: `**x` is everything that ends in x.
        return [DEEP, *(re.escape(char) for char in pattern[2:])]
    if deep and _LITERAL.fullmatch(pattern):
        return [re.escape(char) for char in pattern]
    last_named = pattern.rfind(":]") if deep else -1
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
        else:
            part, index = _one_character(pattern, index - 1, deep, last_named)
            parts.append(part)
    return parts


def _one_character(pattern: str, index: int, deep: bool, last_named: int) -> tuple[str, int]:
    """What stands for one character at an index, as a regular expression, and where the rest
    begins. `last_named` is where the last named class could end. Raises re.error.
    """
    char = pattern[index]
    if char == "[":
        end = _end_of_class(pattern, index + 1, last_named)
        part = f"[{_class(pattern[index + 1 : end], deep)}]"
        re.compile(part)
        return part, end + 1
    if char == "\\":
        if index + 1 == len(pattern):
            raise re.error("a backslash at the end")
        return _escape(pattern[index + 1], deep), index + 2
    if char == "^" and deep:
        raise re.error("a ^ that stands for the beginning of the path")
    return re.escape(char), index + 1


def _literal_tail(parts: list[str]) -> str:
    """The characters that all that fits ends in."""
    tail = ""
    for part in reversed(parts):
        if part == STAR or not (len(part) == 1 or (len(part) == 2 and part[0] == "\\")):
            break
        tail = part[-1] + tail
    return tail.rpartition("/")[2]


def _end_of_class(pattern: str, index: int, last_named: int) -> int:
    """The index of the `]` that closes a class. As in Go, a class cannot start with `]`, and in a
    .dockerignore it may hold named ones, such as `[:digit:]`.
    """
    while index < len(pattern) and pattern[index] != "]":
        if index + 2 <= last_named and pattern.startswith("[:", index):
            index = pattern.find(":]", index + 2) + 2
        else:
            index += 1 + (pattern[index] == "\\")
    if index >= len(pattern):
        raise re.error("a [ is not closed")
    return index


_LITERAL = re.compile(r"[^*?\[\]\\]*")
"""A pattern that is compared as it is."""
_ESCAPES = {
    "d": "0-9",
    "s": r"\t\n\f\r ",
    "w": "0-9A-Za-z_",
    **{char: f"\\{char}" for char in "aftnrv"},
}
"""What docker's regular expressions mean by a letter behind a backslash, as part of a class."""
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\t ",
    "digit": "0-9",
    "lower": "a-z",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}


def _escape(char: str, deep: bool) -> str:
    """What a backslash and a character stand for: docker makes a regular expression of a pattern of
    a .dockerignore. Raises re.error for an expression that is not for one character.
    """
    if not deep or not (char.isascii() and char.isalnum()):
        return re.escape(char)
    if char in _ESCAPES:
        return f"[{_ESCAPES[char]}]"
    if char.lower() in "dsw":
        return f"[^{_ESCAPES[char.lower()]}]"
    raise re.error(f"\\{char} is not a character")


def _class(inside: str, deep: bool) -> str:
    """A class for Python. As in Go, a negated one stands for a slash, too."""
    negated = inside.startswith("^")
    inside = inside[negated:]
    if not inside:
        raise re.error("an empty class")
    # Go refuses such a class, Python gives it a meaning of its own.
    if re.search(r"(?<!\\)--", inside):
        raise re.error("a - that is neither escaped nor between two characters")
    text = re.sub(r"\[:(\^?)(\w+):\]|\\(.)|([\[&~|])", partial(_in_class, deep=deep), inside)
    return "^" * negated + text


def _in_class(match: re.Match[str], deep: bool) -> str:
    """A part of a class that Python would take for another one. Raises re.error."""
    posix, escaped = match[2], match[3]
    if posix is not None and deep:
        if match[1] or posix not in _POSIX:
            raise re.error(f"[:{posix}:] is not understood")
        return _POSIX[posix]
    if escaped is not None and deep and escaped.isascii() and escaped.isalnum():
        if escaped not in _ESCAPES:
            raise re.error(f"\\{escaped} is not a character")
        return _ESCAPES[escaped]
    return re.escape(escaped or match[4] or match[0])


def _clean(path: str) -> str:
    """Go's filepath.Clean, and without the slash in front."""
    return normpath(path).lstrip("/") or "/"
