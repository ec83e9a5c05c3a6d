"""A Dockerfile as instructions: continued lines joined, comments and heredocs left out, words
expanded.

The rules are those of BuildKit's parser, odd ones included, because a line that is read otherwise
is a source that is missed.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

from msgspec import Struct

from toolkit.init.patterns import UNKNOWN

LONGEST_VALUE = 4096
"""A variable that holds more is as good as unknown; values that double themselves stop here."""

DEEPEST = 20
"""How deep `${A:-${B:-…}}` is followed."""

_DIRECTIVE = re.compile(r"#\s*(escape|syntax|check)\s*=(.*)", re.IGNORECASE | re.DOTALL)
_HEREDOC = re.compile(r"(?<!\S)\d*<<(-?)(?:\"([^\"\s]+)\"|'([^'\s]+)'|([^\s\"'<]+))(?!\S)")
_FLAG = re.compile(r"\s*--([A-Za-z][\w-]*)(=(?:\"[^\"]*\"|'[^']*'|[^\s\"'])*)?(?!\S)")
_NAME = re.compile(r"\w+", re.ASCII)


class Instruction(Struct, frozen=True):
    """One instruction: its keyword in capitals, the rest as written, and the line where it
    starts.
    """

    keyword: str
    rest: str
    line: int

    def flags(self) -> tuple[list[tuple[str, str]], str]:
        """The `--name=value` flags in front, quotes taken off, and what follows them."""
        found, at = [], 0
        while match := _FLAG.match(self.rest, at):
            found.append((match[1].lower(), re.sub("[\"']", "", (match[2] or "")[1:])))
            at = match.end()
        return found, self.rest[at:].strip()


def escape_of(text: str) -> str:
    """The character that continues a line: a backslash, or what `# escape=` at the very top
    says.
    """
    for line in _lines(text):
        directive = _DIRECTIVE.match(line)
        if not directive:
            break
        if directive[1].lower() == "escape":
            return "`" if directive[2].strip() == "`" else "\\"
    return "\\"


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, in order. Any text gives some."""
    escape, lines = escape_of(text), _lines(text)
    ends = _Terminators(lines)
    at = 0
    while at < len(lines):
        start = at
        parts, at = _joined(lines, at, escape)
        keyword, rest = [*"".join(parts).split(None, 1), "", ""][:2]
        if keyword:
            one = Instruction(keyword.upper(), rest.strip(), start + 1)
            yield one
            at = _after_heredocs(one, ends, at)


def is_heredoc(word: str) -> bool:
    """Whether a source stands in the Dockerfile itself."""
    return _HEREDOC.fullmatch(word) is not None


def words(rest: str) -> list[str]:
    """The arguments of COPY and ADD: a JSON list, or split at white space (quotes do not hold words
    together there).
    """
    if rest.startswith("["):
        try:
            listed = json.loads(rest)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
            return listed
    return rest.split()


def expanded(word: str, value: Callable[[str], str | None], escape: str = "\\") -> str:
    """A word with its quotes and escapes taken off and its variables filled in; UNKNOWN where that
    cannot be known.

    `value` gives a variable's value, UNKNOWN parts in it, and None for one that is not set as far
    as anybody knows.
    """
    return _Word(word, value, escape).read()


def _lines(text: str) -> list[str]:
    return [
        line.removesuffix("\r")
        for line in text.removeprefix("\ufeff").replace("\0", "").split("\n")
    ]


def _joined(lines: list[str], at: int, escape: str) -> tuple[list[str], int]:
    """The parts of the instruction that starts at line `at`, and where the next one may start."""
    parts: list[str] = []
    continued = True
    while continued and at < len(lines):
        line = lines[at]
        at += 1
        if line.lstrip().startswith("#") or (parts and not line.strip()):
            continued = bool(parts)
            continue
        part, continued = _continued(line, escape)
        parts.append(part)
    return parts, at


def _continued(line: str, escape: str) -> tuple[str, bool]:
    body = line.rstrip(" \t")
    if body.endswith(escape) and not body.endswith(escape * 2):
        return body[:-1], True
    return line, False


class _Terminators:
    """Where a heredoc ends, without reading the file again for each one that never does."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at: dict[bool, dict[str, list[int]]] = {}

    def after(self, name: str, tabs: bool, at: int) -> int | None:
        """The line after the first one from `at` on that is `name` (behind tabs, if those are let
        go).
        """
        locations = self._locations(tabs).get(name, [])
        found = bisect_right(locations, at - 1)
        return locations[found] + 1 if found < len(locations) else None

    def _locations(self, tabs: bool) -> dict[str, list[int]]:
        if tabs not in self._at:
            locations = self._at[tabs] = {}
            for at, line in enumerate(self._lines):
                locations.setdefault(line.lstrip("\t") if tabs else line, []).append(at)
        return self._at[tabs]


def _after_heredocs(one: Instruction, ends: _Terminators, at: int) -> int:
    if (
        one.keyword not in ("ADD", "COPY", "RUN", "ONBUILD")
        or "<<" not in one.rest
        or one.flags()[1].startswith("[")
    ):
        return at
    for chomp, *names in _HEREDOC.findall(one.rest):
        at = ends.after("".join(names), bool(chomp), at) or at
    return at


class _Word:
    """Reads one word from left to right."""

    def __init__(self, text: str, value: Callable[[str], str | None], escape: str) -> None:
        self.text, self.value, self.escape = text, value, escape
        self.at = 0

    def read(self, until: str = "", depth: int = 0) -> str:
        found: list[str] = []
        size = 0
        while self.at < len(self.text) and self.text[self.at] not in until:
            part = self._part(depth, quoted=until == '"')
            size += len(part)
            found.append(part)
            if size > LONGEST_VALUE:
                self.at = len(self.text)
                return UNKNOWN
        return "".join(found)

    def _part(self, depth: int, quoted: bool) -> str:
        char = self._next()
        if char == "$":
            return self._variable(depth)
        if char == self.escape:
            following = self._next()
            return (
                following
                if not quoted or following in ('"', "$", self.escape)
                else char + following
            )
        if quoted:
            return char
        if char == "'":
            return self._quoted()
        if char == '"':
            inside = self.read('"', depth + 1) if depth < DEEPEST else UNKNOWN
            self._next()
            return inside
        return char

    def _next(self) -> str:
        char = self.text[self.at : self.at + 1]
        self.at += 1
        return char

    def _quoted(self) -> str:
        end = self.text.find("'", self.at)
        end = len(self.text) if end < 0 else end
        inside = self.text[self.at : end]
        self.at = end + 1
        return inside

    def _variable(self, depth: int) -> str:
        braced = self.text.startswith("{", self.at)
        self.at += braced
        name = _NAME.match(self.text, self.at)
        if not name:
            return UNKNOWN if braced else "$"
        self.at = name.end()
        known = self.value(name[0])
        return self._modified(known, depth) if braced else _or_unknown(known)

    def _modified(self, known: str | None, depth: int) -> str:
        """What `${NAME…}` stands for, read up to its closing brace."""
        colon = self.text.startswith(":", self.at)
        self.at += colon
        operator = self._next()
        if operator == "}":
            return UNKNOWN if colon else _or_unknown(known)
        other = self.read("}", depth + 1) if depth < DEEPEST else UNKNOWN
        self._next()
        if known == UNKNOWN:
            return UNKNOWN
        present = bool(known) if colon else known is not None
        if operator == "-":
            return known or "" if present else other
        if operator == "+" and known is not None:
            return other if present else ""
        if operator == "?" and known is not None:
            return known
        return UNKNOWN


def _or_unknown(known: str | None) -> str:
    return UNKNOWN if known is None else known
