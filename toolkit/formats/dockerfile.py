"""A Dockerfile as instructions: continued lines joined, comments and heredocs left out, words with
their variables filled in.

The rules are those of BuildKit's parser, odd ones included, because a line that is read otherwise
is a source that is missed.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from msgspec import Struct

from toolkit.advice import Advice
from toolkit.errors import Refused

LONGEST = 1 << 16
"""Characters that a word may grow to: values that double themselves stop here."""

DEEPEST = 20
"""How deep `${A:-${B:-…}}` is followed."""

UNKNOWN = "\0"
"""Stands in a word for a part that nobody can know before the build."""

_DIRECTIVE = re.compile(r"#\s*(escape|syntax|check)\s*=\s*(\S.*)", re.IGNORECASE)
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
_SHELL_WORD = re.compile(
    r"\s*((?:<<[ \t]*|'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|\\\Z|[^\s'\"\\])+)\s*", re.DOTALL
)
"""A word as BuildKit splits a line to look for heredocs. No word begins with a quote that is never
closed.
"""
_HAVE_HEREDOCS = ("ADD", "COPY", "RUN")
_PARAMETERS = frozenset("@*#?$!-")
SPACES = "\t\v\f\r "
_SPACE = re.compile(rf"[{SPACES}]+")
_NAME = re.compile(r"\d+|[@*#?$!-]|\w+")
"""A variable, or a parameter of a shell, such as the second `$` of `$$`."""


class Instruction(Struct, frozen=True):
    """One instruction: its keyword in capitals, the flags before its arguments in order, the rest
    as written, and the line where it starts.
    """

    keyword: str
    options: tuple[tuple[str, str], ...]
    rest: str
    line: int

    @property
    def flags(self) -> dict[str, str]:
        """The flags by name; of one that is repeated, the last."""
        return dict(self.options)

    @property
    def words(self) -> list[str]:
        """The arguments of COPY, ADD or VOLUME: a JSON list, or split at white space, which quotes
        do not hold together there.
        """
        words = json_list(self.rest)
        return split_at_spaces(self.rest) if words is None else words

    @property
    def heredocs(self) -> tuple[tuple[str, bool], ...]:
        """The lines that end its heredocs, and whether tabs before them are dropped."""
        keyword, rest = self.keyword, self.rest
        if keyword == "ONBUILD":
            keyword, rest = [*split_at_spaces(rest, 1), "", ""][:2]
        if keyword.upper() not in _HAVE_HEREDOCS or "<<" not in rest or json_list(rest) is not None:
            return ()
        return tuple(filter(None, map(_heredoc, _shell_words(rest))))

    def refuse(self, problem: str, next: Advice = "") -> Refused:
        """The error that names this line."""
        return Refused(f"Dockerfile line {self.line}: {self.keyword}: {problem}", next)


class Dockerfile(Struct, frozen=True):
    """The instructions of a Dockerfile, and the directives at its very top, such as `syntax`."""

    instructions: tuple[Instruction, ...]
    directives: Mapping[str, str] = {}

    @property
    def escape(self) -> str:
        """The character that escapes, and continues a line."""
        return "`" if self.directives.get("escape") == "`" else "\\"


def parse(text: str) -> Dockerfile:
    """The instructions in order. Any text gives some."""
    lines = [
        line.removesuffix("\r")
        for line in text.removeprefix("\ufeff").replace("\0", "").split("\n")
    ]
    empty = Dockerfile((), _directives(lines))
    return Dockerfile(tuple(_instructions(lines, empty.escape)), empty.directives)


def is_heredoc(word: str) -> bool:
    """Whether a source stands in the Dockerfile itself."""
    return _heredoc(word) is not None


def _shell_words(rest: str) -> list[str]:
    """The words of a line, quotes and escapes still in them; none where a quote is not closed."""
    words: list[str] = []
    end = 0
    while match := _SHELL_WORD.match(rest, end):
        words.append(match[1])
        end = match.end()
    return words if end == len(rest) else []


def _heredoc(word: str) -> tuple[str, bool] | None:
    """The line that ends a word's heredoc, and whether tabs before it are dropped; None if the word
    is not one.
    """
    match = _HEREDOC.fullmatch(word)
    if match is None:
        return None
    try:
        name = expand(match[2].lstrip(), lambda name: f"${name}")
    except ValueError:
        return None
    return (name, bool(match[1])) if name else None


def json_list(rest: str) -> list[str] | None:
    """The exec form: a JSON list of strings. None if it is not one, and so the shell form."""
    if not rest.startswith("["):
        return None
    try:
        words = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return words
    return None


def split_at_spaces(text: str, most: int = 0) -> list[str]:
    """The text split at white space, at most so often. Other spaces of Unicode are part of a
    word.
    """
    text = text.strip(SPACES)
    return _SPACE.split(text, most) if text else []


def split(rest: str, escape: str) -> list[str]:
    """Words as ENV, LABEL and ARG have them, split at white space outside of quotes, which stay in
    the words.
    """
    return _words(escape).findall(rest)


def expand(
    word: str, value: Callable[[str], str | None], escape: str = "\\", *, guess: bool = False
) -> str:
    """A word with its quotes and escapes taken off and its variables filled in. `value` gives a
    variable's value, None for one that is not set.

    One that is not set is empty. Raises ValueError for what docker refuses. To `guess` is to put
    UNKNOWN in the place of both instead: a base image may set what nobody else does.
    """
    return _Word(word, value, escape, guess).read()


def _directives(lines: list[str]) -> dict[str, str]:
    """What the comments at the very top tell the parser."""
    directives: dict[str, str] = {}
    for line in lines[1:] if lines and lines[0].startswith("#!") else lines:
        directive = _DIRECTIVE.match(line)
        if not directive:
            break
        directives.setdefault(directive[1].lower(), directive[2].strip())
    return directives


def _instructions(lines: list[str], escape: str) -> Iterator[Instruction]:
    ends = _Terminators(lines)
    end = 0
    while end < len(lines):
        start = end
        parts, end = _join_continued(lines, end, escape)
        keyword, rest = [*split_at_spaces("".join(parts), 1), "", ""][:2]
        if not keyword:
            continue
        options, rest = _options(rest.strip(SPACES), escape)
        instruction = Instruction(keyword.upper(), options, rest, start + 1)
        yield instruction
        for name, chomp in instruction.heredocs:
            end = ends.after(name, chomp, end) or end


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
        body = line.rstrip(" \t")
        continued = body.endswith(escape) and not body.endswith(escape * 2)
        parts.append(body[:-1] if continued else line)
    return parts, number


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


def _options(rest: str, escape: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """The flags in front, quotes and escapes taken off, and what follows them."""
    flag, mark, escaped = _flag(escape)

    def unmarked(match: re.Match[str]) -> str:
        """Quotes hold the other kind of quote; in them, too, an escape counts."""
        return match[1] or escaped.sub(r"\1", match[2] or match[3] or "")

    options: list[tuple[str, str]] = []
    end = 0
    while match := flag.match(rest, end):
        value = "true" if match[2] is None else mark.sub(unmarked, match[2])
        options.append((match[1].lower(), value))
        end = match.end()
    return tuple(options), rest[end:].strip()


@lru_cache(maxsize=2)
def _flag(escape: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """A flag; what of its value is quoted or escaped; an escape."""
    mark = re.escape(escape)
    double, single = (rf"{quote}(?:{mark}.|[^{quote}{mark}])*{quote}" for quote in "\"'")
    inner = [rf"{quote}((?:{mark}.|[^{quote}{mark}])*){quote}" for quote in "\"'"]
    value = rf"(?:{mark}.|{double}|{single}|[^\s\"'{mark}])*"
    return (
        re.compile(rf"\s*--([A-Za-z][\w-]*)(?:=({value}))?(?!\S)", re.DOTALL),
        re.compile(rf"{mark}(.)|{inner[0]}|{inner[1]}", re.DOTALL),
        re.compile(rf"{mark}(.)", re.DOTALL),
    )


@lru_cache(maxsize=2)
def _words(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    double = rf"\"[^\"{mark}]*(?:{mark}.[^\"{mark}]*)*[\"{mark}]?"
    return re.compile(rf"(?:{double}|'[^']*'?|{mark}.|[^\s\"'])+", re.DOTALL)


def refuse_heredocs(dockerfile: Dockerfile) -> None:
    """Raises Refused for a Dockerfile with a heredoc, which only an engine understands."""
    for instruction in dockerfile.instructions:
        if instruction.keyword != "ONBUILD" and instruction.heredocs:
            raise instruction.refuse(
                "a heredoc is not understood here",
                "write a file and copy it, or install docker, podman or buildah",
            )


class _Word:
    """Reads one word from left to right."""

    def __init__(
        self, text: str, value: Callable[[str], str | None], escape: str, guess: bool
    ) -> None:
        self._text, self._value, self._escape, self._guess = text, value, escape, guess
        self._position = 0

    def read(self, until: str = "", depth: int = 0) -> str:
        parts: list[str] = []
        size = 0
        while self._position < len(self._text) and self._text[self._position] not in until:
            part = self._part(depth, until == '"')
            size += len(part)
            parts.append(part)
            # `ENV A=$A$A` in a few lines would fill the memory.
            if size > LONGEST:
                self._position = len(self._text)
                return self._problem("it grows too long when its variables are filled in")
        return "".join(parts)

    def _problem(self, message: str) -> str:
        """What stands for a part that docker would refuse. Raises ValueError instead if nothing is
        to be guessed.
        """
        if self._guess:
            return UNKNOWN
        raise ValueError(message)

    def _part(self, depth: int, quoted: bool) -> str:
        char = self._next()
        if char == "$":
            return self._variable(depth)
        if char == self._escape:
            following = self._next()
            # In double quotes an escape only counts before these.
            if quoted and following not in ('"', "$", self._escape):
                return char + following
            return following
        if char == "'" and not quoted:
            return self._quoted()
        if char == '"':
            return self._inner('"', depth, "a quote is not closed")
        return char

    def _quoted(self) -> str:
        start, end = self._position, self._text.find("'", self._position)
        self._position = len(self._text) if end < 0 else end + 1
        return self._problem("a quote is not closed") if end < 0 else self._text[start:end]

    def _inner(self, end: str, depth: int, problem: str) -> str:
        """The word up to `end`, which is skipped."""
        if depth >= DEEPEST:
            return self._problem("variables are nested too deeply")
        inside = self.read(end, depth + 1)
        return inside if self._next() else self._problem(problem)

    def _next(self) -> str:
        char = self._text[self._position : self._position + 1]
        self._position += 1
        return char

    def _variable(self, depth: int) -> str:
        braced = self._text.startswith("{", self._position)
        self._position += braced
        name = _NAME.match(self._text, self._position)
        if not name:
            return self._problem("${ without a name") if braced else "$"
        self._position = name.end()
        if name[0] in _PARAMETERS and not braced:
            return ""  # there is no shell, so none of them has a value
        value = self._value(name[0])
        if braced:
            return self._modified(name[0], value, depth)
        return self._unset() if value is None else value

    def _unset(self) -> str:
        return UNKNOWN if self._guess else ""

    def _modified(self, name: str, value: str | None, depth: int) -> str:
        """What `${NAME…}` stands for, read up to its closing brace."""
        colon = self._text.startswith(":", self._position)
        self._position += colon
        operator = self._next()
        if operator == "}" and not colon:
            return self._unset() if value is None else value
        not_understood = f"${{{name}{':' * colon}{operator} is not understood"
        if operator == "}" or not (self._guess or operator in ("-", "+", "?")):
            return self._problem(not_understood)
        alternative = self._inner("}", depth, "${ without }")
        if self._guess and (value == UNKNOWN or (value is None and operator != "-")):
            return UNKNOWN
        present = bool(value) if colon else value is not None
        if operator == "-":
            return (value or "") if present else alternative
        if operator == "+":
            return alternative if present else ""
        if operator != "?":
            return self._problem(not_understood)
        return (value or "") if present else self._problem(f"{name}: {alternative or 'not set'}")
