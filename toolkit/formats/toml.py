"""Reads TOML that may be hostile, and says on which line a value stands.

The parser is exact but trusting: a few kilobytes can keep it busy for a minute. So the text is
measured first. It also forgets positions; `TomlLines` finds them again, on demand, in a text that
is known to parse. `tomli` is the source of the standard library's tomllib, compiled: it reads 200
rules in a third of the time.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import tomli

MOST_BYTES = 1024 * 1024
MOST_COLUMNS = 16 * 1024
MOST_NESTING = 16
MOST_DOTS = 16
MOST_HEADERS = 40_000
MOST_VALUES = 200_000
MOST_ALL_DOTS = 100_000
"""How many lines may begin like a table's header, how many values there may be, and how many dots
outside of quotes: each costs the parser the same, however short it is.
"""

# Atomic groups, not possessive quantifiers: on a group the latter match wrongly before Python
# 3.11.4. A string that never ends is taken to the end of its line, or of the text: else its end
# would be looked for again from every quote in it.
_STRING_OR_COMMENT = re.compile(
    r'"""(?>(?:[^"\\]|\\(?s:.)|"(?!""))*)(?:"{3,5}|\\?\Z)'
    r"|'''(?>(?:[^']|'(?!''))*)(?:'{3,5}|\Z)"
    r'|"(?>(?:[^"\\\n]|\\.)*)(?:"|\\?$)'
    r"|'[^'\n]*(?:'|$)"
    r"|\#[^\n]*",
    re.MULTILINE,
)
_NOT_NEWLINE = re.compile(r"[^\n]")
_BRACKET = re.compile(r"[\[\]{}]")
_UNCLOSED = {
    "[": ", in the list that opens on line {line}: is its ] missing?",
    "{": ", in the table that opens on line {line}: is its }} missing?",
    '"""': ", in the text that opens on line {line}",
    "'''": ", in the text that opens on line {line}",
}
_HEADER = re.compile(r"^[ \t]*(\[\[?)([^\[\]\n]+)\]", re.MULTILINE)
_WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*\.?""")
_ELEMENT = re.compile(r"[^\s\[\]{},]+|[\[\]{},]")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class TomlError(ValueError):
    """The text is not TOML, or more than anybody writes; `line` is None where the whole of it is
    meant.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def parse(data: bytes) -> tuple[str, dict[str, Any]]:
    """The text and its tables. Raises TomlError, at the latest after a second or so, whatever
    `data` is.
    """
    text = _decode(data)
    blank = _blank(text)
    # Before the parser sees it: its time and stack grow with nesting and dots.
    _measure(blank)
    try:
        return text, tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        end = len(text)
        if error.pos < len(error.doc):
            end = _start_of(text, error.lineno) + error.colno - 1
        opened = _opened(text, blank, end, error.lineno)
        raise TomlError(error.msg + opened, error.lineno) from None
    except ValueError:  # a number that Python refuses to read
        raise TomlError("a number in it is too long") from None
    except RecursionError:
        raise TomlError(f"it is nested deeper than {MOST_NESTING} levels") from None


def _start_of(text: str, line: int) -> int:
    """Where a line begins; the first one is 1."""
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start


def _opened(text: str, blank: str, end: int, line: int) -> str:
    """Where a list, table or text opens that goes on at the place of an error, if that is an
    earlier line: mostly its end is missing there.
    """
    where: list[tuple[int, str]] = []
    opened: list[re.Match[str]] = []
    for bracket in _BRACKET.finditer(blank, 0, end):
        if bracket[0] in "[{":
            opened.append(bracket)
        elif opened:
            opened.pop()
    for bracket in opened[:1]:
        where.append((bracket.start(), _UNCLOSED[bracket[0]]))
    if end == len(text):
        for match in _STRING_OR_COMMENT.finditer(text):
            if match.end() == end and match[0][:3] in _UNCLOSED:
                where.append((match.start(), _UNCLOSED[match[0][:3]]))
    for start, words in where[-1:]:
        number = text.count("\n", 0, start) + 1
        if number < line:
            return words.format(line=number)
    return ""


def tables(text: str) -> dict[str, Any]:
    """The tables of a text. Raises TomlError."""
    return parse(text.encode("utf-8", "surrogatepass"))[1]


def lock_tables(text: str) -> dict[str, Any]:
    """The tables of a lock file, which a program has written: it may be long. Raises TomlError."""
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise TomlError(str(error)) from None


def _decode(data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise TomlError(too_long(len(data)))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TomlError("it is not UTF-8", data.count(b"\n", 0, error.start) + 1) from None


def too_long(size: int | None) -> str:
    """What is said of a text of this many bytes; None for one of which nobody knows the end."""
    has = f"more than {MOST_BYTES:,}" if size is None else f"{size:,}"
    return f"it has {has} bytes; {MOST_BYTES:,} are the most"


def _blank(text: str) -> str:
    """The text with every string's characters as `x` and comments as spaces, so that what is left
    is structure.
    """
    return _STRING_OR_COMMENT.sub(_filler, text)


def _filler(match: re.Match[str]) -> str:
    whole = match[0]
    if whole[0] == "#":
        return " " * len(whole)
    if "\n" not in whole:  # most strings: this is far faster
        return "x" * len(whole)
    return _NOT_NEWLINE.sub("x", whole)


def _measure(blank: str) -> None:
    for number, line in enumerate(blank.split("\n"), 1):
        if len(line) > MOST_COLUMNS:
            raise TomlError(
                f"the line has {len(line):,} characters; {MOST_COLUMNS:,} are the most", number
            )
        if line.count(".") > MOST_DOTS:
            raise TomlError(f"the line has more than {MOST_DOTS} dots outside of quotes", number)
    headers = sum(1 for _ in _HEADER.finditer(blank))
    if headers > MOST_HEADERS:
        raise TomlError(f"it has {headers:,} tables; {MOST_HEADERS:,} are the most")
    values = blank.count("=") + blank.count(",")
    if values > MOST_VALUES:
        raise TomlError(f"it has {values:,} values; {MOST_VALUES:,} are the most")
    dots = blank.count(".")
    if dots > MOST_ALL_DOTS:
        raise TomlError(f"it has {dots:,} dots outside of quotes; {MOST_ALL_DOTS:,} are the most")
    depth = 0
    for bracket in _BRACKET.finditer(blank):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MOST_NESTING:
            raise TomlError(
                f"it is nested deeper than {MOST_NESTING} levels",
                blank.count("\n", 0, bracket.start()) + 1,
            )


def string(text: str) -> str:
    """A text as a TOML string. Raises ValueError for one that is not UTF-8."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError(f"{text!a} is not UTF-8, and a TOML file can only hold UTF-8")
    if text.isprintable() and "\\" in text and "'" not in text:
        return f"'{text}'"
    escaped = "".join(_escape(char) for char in text)
    return f'"{escaped}"'


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable() or char == " ":
        return char
    if ord(char) < 0x10000:
        return f"\\u{ord(char):04X}"
    return f"\\U{ord(char):08X}"


def with_elements(text: str, keys: Sequence[str | int], elements: Sequence[str]) -> str | None:
    """The text with strings added to the end of an array, all else as it was written; None where
    that cannot be done for sure. The text must parse. Raises ValueError for a string that is not
    UTF-8.
    """
    written = [string(element) for element in elements]
    bounds = TomlLines(text).array(*keys)
    if bounds is None:
        return None
    opening, closing = bounds
    inner = _blank(text)[opening + 1 : closing].rstrip()
    last = opening + 1 + len(inner)
    comma = "" if not inner or inner.endswith(",") else ","
    newline = "\r\n" if "\r\n" in text else "\n"
    if "\n" not in text[opening:closing]:
        space = " " if inner else ""
        changed = f"{text[:last]}{comma}{space}{', '.join(written)}{text[closing:]}"
    else:
        start = text.rfind("\n", 0, last) + 1
        line = text[start:last]
        indent = line[: len(line) - len(line.lstrip(" \t"))] or "  "
        end = text.rfind("\n", last, closing) + 1
        if end:  # the bracket has a line of its own
            added = "".join(f"{indent}{value},{newline}" for value in written)
            changed = f"{text[:last]}{comma}{text[last:end]}{added}{text[end:]}"
        else:
            added = ",".join(f"{newline}{indent}{value}" for value in written)
            changed = f"{text[:last]}{comma}{added}{text[closing:]}"
    return changed if _has_added(text, changed, keys, elements) else None


def _has_added(old: str, new: str, keys: Sequence[str | int], elements: Sequence[str]) -> bool:
    """Whether a text is the old one with these elements at the end of an array, and no more."""
    try:
        before, after = tables(old), tables(new)
    except TomlError:
        return False
    array: Any = before
    for key in keys:
        array = array[key]
    array.extend(elements)
    return before == after


class _Section(NamedTuple):
    """Where a table stands in the text: its name in the header, its first line and its end."""

    header: int
    start: int
    end: int


class TomlLines:
    """Where the values of a TOML text stand. The text must parse."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._blank = _blank(text)
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._sections = self._find_sections()

    def line_of(self, *keys: str | int) -> int | None:
        """The line of a value, by keys and indices (`"rules", 2, "paths", 0`); that of the nearest
        thing around it if it is not found.
        """
        for length in range(len(keys), 0, -1):
            position = self._find(keys[:length])
            if position is not None:
                return bisect_left(self._ends, position) + 1
        return None

    def array(self, *keys: str | int) -> tuple[int, int] | None:
        """Where the brackets of an array stand; None where there is no such array."""
        position = self._find(keys)
        if position is None:
            return None
        depth = 0
        opening: int | None = None
        for match in _ELEMENT.finditer(self._blank, position):
            char = match[0][0]
            if opening is None:
                if char != "[":
                    return None
                opening = match.start()
            if char in "[{":
                depth += 1
            elif char in "]}":
                depth -= 1
                if depth == 0:
                    return opening, match.start()
        return None

    def _find_sections(self) -> dict[tuple[str | int, ...], _Section]:
        """Path of a table -> where it stands. The root's path is empty."""
        headers = list(self._headers())
        starts = [header.start() for header in headers]
        ends = [*starts[1:], len(self._text)]
        sections: dict[tuple[str | int, ...], _Section] = {}
        sections[()] = _Section(0, 0, starts[0] if starts else len(self._text))
        # Each `[[name]]` begins the next element of an array.
        counts: dict[tuple[str | int, ...], int] = {}
        for header, end in zip(headers, ends, strict=False):
            words = self._words(*header.span(2))
            path = self._indexed(words, counts)
            if header[1] == "[[":
                counts[path] = counts.get(path, -1) + 1
                path = (*path, counts[path])
            sections.setdefault(path, _Section(header.start(2), header.end(), end))
        return sections

    def _headers(self) -> Iterator[re.Match[str]]:
        """The headers, without the rows of an array of arrays, which look the same."""
        position = depth = 0
        for header in _HEADER.finditer(self._blank):
            before = self._blank[position : header.start()]
            depth += before.count("[") + before.count("{") - before.count("]") - before.count("}")
            position = header.start()
            if depth == 0:
                yield header

    def _words(self, start: int, end: int) -> list[str]:
        words: list[str] = []
        if end > start:
            for match in _WORD.finditer(self._text, start, end):
                words.append(match[1] or match[2] or match[3] or "")
        return words

    @staticmethod
    def _indexed(
        words: list[str], counts: dict[tuple[str | int, ...], int]
    ) -> tuple[str | int, ...]:
        """A header below an array of tables belongs to its newest element."""
        path: tuple[str | int, ...] = ()
        for position, word in enumerate(words):
            path = (*path, word)
            if path in counts and position + 1 < len(words):
                path = (*path, counts[path])
        return path

    def _find(self, keys: tuple[str | int, ...]) -> int | None:
        if keys in self._sections:
            return self._sections[keys].header
        for length in range(len(keys) - 1, -1, -1):
            section = self._sections.get(keys[:length])
            if section is not None:
                return self._find_in(section, keys[length:])
        return None

    def _find_in(self, section: _Section, keys: tuple[str | int, ...]) -> int | None:
        """A key of a section, and perhaps the n-th element of its array."""
        names = list(takewhile(lambda key: isinstance(key, str), keys))
        for length in range(len(names), 0, -1):
            position = self._key(section, names[:length])
            if position is None:
                continue
            rest = keys[length:]
            if not rest:
                return position
            if len(rest) == 1 and isinstance(rest[0], int):
                return self._element(position, section.end, rest[0])
            return None
        return None

    def _key(self, section: _Section, names: Sequence[str | int]) -> int | None:
        dotted = r"[ \t]*\.[ \t]*".join(_written(str(name)) for name in names)
        key = re.compile(rf"^[ \t]*{dotted}[ \t]*=", re.MULTILINE)
        for match in key.finditer(self._text, section.start, section.end):
            # In a string or a comment, the blanked text has no `=` there.
            if self._blank[match.end() - 1] == "=":
                return match.end()
        return None

    def _element(self, start: int, end: int, index: int) -> int | None:
        """Where the n-th element of the array that starts here stands."""
        depth = count = 0
        expected = False
        for match in _ELEMENT.finditer(self._blank, start, end):
            char = match[0][0]
            if depth == 1 and expected and char != "]":
                if count == index:
                    return match.start()
                count, expected = count + 1, False
            if char in "[{":
                depth += 1
                expected = expected or depth == 1
            elif char in "]}":
                depth -= 1
            elif char == "," and depth == 1:
                expected = True
            if depth == 0:
                return None
        return None


def _written(name: str) -> str:
    """The regular expression for a key as it may be written: in quotes, or bare if that is
    possible.
    """
    forms = [f'"{name}"', f"'{name}'"]
    if _BARE.fullmatch(name):
        forms.append(name)
    return f"(?:{'|'.join(map(re.escape, forms))})"
