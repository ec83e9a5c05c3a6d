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
        flags, end = [], 0
        while match := _FLAG.match(self.rest, end):
            flags.append((match[1].lower(), re.sub("[\"']", "", (match[2] or "")[1:])))
            end = match.end()
        return flags, self.rest[end:].strip()


def escape_character(text: str) -> str:
    """The character that continues a line: a backslash, or what `# escape=` at the very top
    says.
    """
    for line in _split_lines(text):
        directive = _DIRECTIVE.match(line)
        if not directive:
            break
        if directive[1].lower() == "escape":
            return "`" if directive[2].strip() == "`" else "\\"
    return "\\"


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, in order. Any text gives some."""
    escape, lines = escape_character(text), _split_lines(text)
    ends = _Terminators(lines)
    end = 0
    while end < len(lines):
        start = end
        parts, end = _join_continued(lines, end, escape)
        keyword, rest = [*"".join(parts).split(None, 1), "", ""][:2]
        if keyword:
            instruction = Instruction(keyword.upper(), rest.strip(), start + 1)
            yield instruction
            end = _after_heredocs(instruction, ends, end)


def is_heredoc(word: str) -> bool:
    """Whether a source stands in the Dockerfile itself."""
    return _HEREDOC.fullmatch(word) is not None


def split_words(rest: str) -> list[str]:
    """The arguments of COPY and ADD: a JSON list, or split at white space (quotes do not hold words
    together there).
    """
    if rest.startswith("["):
        try:
            listed = json.loads(rest)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and all(isinstance(word, str) for word in listed):
            return listed
    return rest.split()


def expand(word: str, value: Callable[[str], str | None], escape: str = "\\") -> str:
    """A word with its quotes and escapes taken off and its variables filled in; UNKNOWN where that
    cannot be known.

    `value` gives a variable's value, UNKNOWN parts in it, and None for one that is not set as far
    as anybody knows.
    """
    return _Word(word, value, escape).read()


def _split_lines(text: str) -> list[str]:
    return [
        line.removesuffix("\r")
        for line in text.removeprefix("\ufeff").replace("\0", "").split("\n")
    ]


def _join_continued(lines: list[str], number: int, escape: str) -> tuple[list[str], int]:
    """The parts of the instruction that starts at line `number`, and where the next may start."""
    parts: list[str] = []
    continued = True
    while continued and number < len(lines):
        line = lines[number]
        number += 1
        if line.lstrip().startswith("#") or (parts and not line.strip()):
            continued = bool(parts)
            continue
        part, continued = _split_continuation(line, escape)
        parts.append(part)
    return parts, number


def _split_continuation(line: str, escape: str) -> tuple[str, bool]:
    body = line.rstrip(" \t")
    if body.endswith(escape) and not body.endswith(escape * 2):
        return body[:-1], True
    return line, False


class _Terminators:
    """Where a heredoc ends, without reading the file again for each one that never does."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        # tabs stripped or not -> text of a line -> the numbers of the lines
        self._numbers: dict[bool, dict[str, list[int]]] = {}

    def after(self, name: str, tabs: bool, start: int) -> int | None:
        """The line after the first one from `start` on that is `name` (behind tabs, if `tabs`)."""
        numbers = self._line_numbers(tabs).get(name, [])
        index = bisect_right(numbers, start - 1)
        if index < len(numbers):
            return numbers[index] + 1
        return None

    def _line_numbers(self, tabs: bool) -> dict[str, list[int]]:
        if tabs not in self._numbers:
            numbers = self._numbers[tabs] = {}
            for number, line in enumerate(self._lines):
                text = line.lstrip("\t") if tabs else line
                numbers.setdefault(text, []).append(number)
        return self._numbers[tabs]


def _after_heredocs(instruction: Instruction, ends: _Terminators, start: int) -> int:
    if (
        instruction.keyword not in ("ADD", "COPY", "RUN", "ONBUILD")
        or "<<" not in instruction.rest
        or instruction.flags()[1].startswith("[")
    ):
        return start
    for chomp, *names in _HEREDOC.findall(instruction.rest):
        start = ends.after("".join(names), bool(chomp), start) or start
    return start


class _Word:
    """Reads one word from left to right."""

    def __init__(self, text: str, value: Callable[[str], str | None], escape: str) -> None:
        self.text, self.value, self.escape = text, value, escape
        self.position = 0

    def read(self, until: str = "", depth: int = 0) -> str:
        parts: list[str] = []
        size = 0
        while self.position < len(self.text) and self.text[self.position] not in until:
            part = self._part(depth, quoted=until == '"')
            size += len(part)
            parts.append(part)
            # `ENV A=$A$A` in a few lines would fill the memory.
            if size > LONGEST_VALUE:
                self.position = len(self.text)
                return UNKNOWN
        return "".join(parts)

    def _part(self, depth: int, quoted: bool) -> str:
        char = self._next()
        if char == "$":
            return self._variable(depth)
        if char == self.escape:
            following = self._next()
            # In double quotes an escape only counts before these.
            if quoted and following not in ('"', "$", self.escape):
                return char + following
            return following
        if quoted:
            return char
        if char == "'":
            return self._quoted()
        if char == '"':
            return self._inner('"', depth)
        return char

    def _inner(self, end: str, depth: int) -> str:
        """The word up to `end`, which is skipped."""
        inside = self.read(end, depth + 1) if depth < DEEPEST else UNKNOWN
        self._next()
        return inside

    def _next(self) -> str:
        char = self.text[self.position : self.position + 1]
        self.position += 1
        return char

    def _quoted(self) -> str:
        end = self.text.find("'", self.position)
        if end < 0:
            end = len(self.text)
        inside = self.text[self.position : end]
        self.position = end + 1
        return inside

    def _variable(self, depth: int) -> str:
        braced = self.text.startswith("{", self.position)
        self.position += braced
        name = _NAME.match(self.text, self.position)
        if not name:
            return UNKNOWN if braced else "$"
        self.position = name.end()
        value = self.value(name[0])
        if braced:
            return self._modified(value, depth)
        return UNKNOWN if value is None else value

    def _modified(self, value: str | None, depth: int) -> str:
        """What `${NAME…}` stands for, read up to its closing brace."""
        colon = self.text.startswith(":", self.position)
        self.position += colon
        operator = self._next()
        if operator == "}":
            return UNKNOWN if colon or value is None else value
        alternative = self._inner("}", depth)
        if value == UNKNOWN:
            return UNKNOWN
        present = bool(value) if colon else value is not None
        if operator == "-":
            if present:
                return value or ""
            return alternative
        if operator == "+" and value is not None:
            return alternative if present else ""
        if operator == "?" and value is not None:
            return value
        return UNKNOWN
