"""A .dockerignore as docker reads it, which is not as git reads a .gitignore: every pattern starts at the context's root."""

import re
from collections.abc import Iterator
from posixpath import normpath

from msgspec import Struct

from toolkit.errors import Refused


class Ignore(Struct, frozen=True):
    """The patterns in order, and for each whether it takes back in."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()

    @property
    def takes_back(self) -> bool:
        """Whether something inside of a folder that stays out may come in again."""
        return any(back for _, back in self.patterns)

    def keeps_out(self, path: str) -> bool:
        """The last pattern that matches the path, or a folder above it, decides."""
        above = list(_with_parents(path))
        found = [back for pattern, back in self.patterns if any(pattern.fullmatch(one) for one in above)]
        return bool(found) and not found[-1]


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
                found.append((re.compile(regex(_clean(path)), re.DOTALL), back))
            except re.error:
                raise Refused(f".dockerignore line {number}: the pattern cannot be read") from None
    return Ignore(tuple(found))


def regex(pattern: str, deep: bool = True) -> str:
    """A regular expression for a pattern of Go's filepath.Match; `**` crosses folders only if `deep`."""
    if deep and re.fullmatch(r"\*\*[^/*?\[\]\\][^*?\[\]\\]*", pattern):
        return f".*{re.escape(pattern[2:])}"  # docker's own exception: `**x` is everything that ends in x
    found, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            stars = pattern.startswith("*", at)
            at += stars
            if stars and deep:
                at += pattern.startswith("/", at)
                found += ".*" if at >= len(pattern) else "(?:.*/)?"
            else:
                found += "[^/]*"
        elif char == "?":
            found += "[^/]"
        elif char == "[":
            end = _end_of_class(pattern, at)
            found += f"[{_class(pattern[at:end])}]"
            at = end + 1
        elif char == "\\":
            found += re.escape(pattern[at : at + 1])
            at += 1
        else:
            found += re.escape(char)
    return found


def _end_of_class(pattern: str, at: int) -> int:
    """Where a `[` is closed; the first character of a class may not be the closing one in Go either."""
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
    return "^/" * negated + re.sub(r"([\[&~|])", r"\\\1", inside)


def _clean(path: str) -> str:
    """Go's filepath.Clean, and without the slash in front."""
    return normpath(path).lstrip("/") or "/"


def _with_parents(path: str) -> Iterator[str]:
    yield path
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
