"""A Dockerfile as instructions, and words with their variables filled in. The rules are those of
BuildKit's parser.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from toolkit.errors import Refused

LONGEST = 1 << 16
"""Bytes that a word may grow to: values that double themselves stop here."""
_DEEPEST = 20

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=(.*)$")
_HEREDOC = re.compile(r"(?<!\S)\d*<<-?([\"']?)[^\s\"'<]+\1(?!\S)")
_FLAG = re.compile(r"--([A-Za-z][\w-]*)(?:=(\S*))?(?:\s+|$)")
_NAME = re.compile(r"[A-Za-z_]\w*|\d", re.ASCII)


class Instruction(Struct, frozen=True):
    """One instruction: its keyword in capitals, the flags before its arguments, the rest as
    written, and the line where it starts.
    """

    keyword: str
    flags: Mapping[str, str]
    rest: str
    line: int

    def refuse(self, problem: str, next: str = "") -> Refused:
        """The error that names this line."""
        return Refused(f"Dockerfile line {self.line}: {self.keyword}: {problem}", next)


class Parsed(Struct, frozen=True):
    """The instructions of a Dockerfile, and the character that escapes."""

    instructions: tuple[Instruction, ...]
    escape: str


def parse(text: str) -> Parsed:
    """The instructions in order. What stands in a heredoc is taken for more of them: see
    `no_heredocs`.
    """
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    escape = _escape(lines)
    return Parsed(
        tuple(_instruction(line, words) for line, words in _joined(lines, escape)), escape
    )


def json_list(rest: str) -> list[str] | None:
    """The exec form: a JSON list of strings. None if it is not one, and so the shell form."""
    if not rest.startswith("["):
        return None
    try:
        found = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


def split(rest: str, escape: str) -> list[str]:
    """Words as ENV, LABEL and ARG have them: quotes hold together what white space would part. They
    are still in the words.
    """
    found, word, quote, at = [], "", "", 0
    while at < len(rest):
        char = rest[at]
        at += 1
        if char == escape and quote != "'" and at < len(rest):
            word += char + rest[at]
            at += 1
        elif not quote and char.isspace():
            found += [word] if word else []
            word = ""
        else:
            quote = "" if char == quote else char if not quote and char in "\"'" else quote
            word += char
    return [*found, word] if word else found


def expanded(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A word with its quotes and escapes taken off and its variables filled in; one that is not set
    is empty. Raises ValueError.
    """
    return _Word(word, variables, escape).read()


def _escape(lines: list[str]) -> str:
    """What continues a line: a backslash, or what `# escape=` at the very top says."""
    for line in lines:
        found = _DIRECTIVE.match(line)
        if not found:
            break
        if found[1].lower() == "escape":
            said = found[2].strip()
            if said not in ("\\", "`"):
                raise Refused(f"Dockerfile: escape={said} is neither \\ nor `")
            return said
    return "\\"


def _joined(lines: list[str], escape: str) -> Iterator[tuple[int, str]]:
    """Lines that are continued become one, with the number of the first. Comments and empty lines
    between them are nothing.
    """
    start, parts = 0, ""
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        start = start if parts else number
        body = line.rstrip(" \t")
        if body.endswith(escape) and not body.endswith(escape * 2):
            parts += body[:-1]
            parts = parts or " "
            continue
        if (parts + line).strip():
            yield start, (parts + line).strip()
        parts = ""
    if parts.strip():
        yield start, parts.strip()


def no_heredocs(parsed: Parsed) -> None:
    """Raises Refused for a Dockerfile with a heredoc, which only an engine understands."""
    for one in parsed.instructions:
        if (
            one.keyword in ("ADD", "COPY", "RUN")
            and not one.rest.startswith("[")
            and _HEREDOC.search(one.rest)
        ):
            raise one.refuse(
                "a heredoc is not understood here",
                "write a file and copy it, or install docker, podman or buildah",
            )


def _instruction(line: int, words: str) -> Instruction:
    keyword, rest = [*words.split(None, 1), ""][:2]
    flags, rest = _flags(rest.strip())
    return Instruction(keyword.upper(), flags, rest, line)


def _flags(rest: str) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    while match := _FLAG.match(rest):
        found[match[1].lower()] = match[2] if match[2] is not None else "true"
        rest = rest[match.end() :].lstrip()
    return found, rest


class _Word:
    """Reads one word from left to right."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self._text, self._variables, self._escape = text, variables, escape
        self._at = 0

    def read(self, until: str = "", depth: int = 0, quoted: bool = False) -> str:
        if depth > _DEEPEST:
            raise ValueError("variables are nested too deeply")
        found = ""
        while self._at < len(self._text) and self._text[self._at] != until:
            found += self._part(depth, quoted)
            if len(found) > LONGEST:
                raise ValueError("it grows too long when its variables are filled in")
        return found

    def _part(self, depth: int, quoted: bool) -> str:
        char = self._next()
        if char == "$":
            return self._variable(depth, quoted)
        if char == self._escape:
            following = self._next()
            return (
                following
                if not quoted or following in ('"', "$", self._escape)
                else char + following
            )
        if quoted or char not in "\"'":
            return char
        if char == "'":
            end = self._text.find("'", self._at)
            return self._closed(end, lambda: self._text[self._at : end])
        inside = self.read('"', depth + 1, quoted=True)
        return self._closed(self._at if self._at < len(self._text) else -1, lambda: inside)

    def _closed(self, end: int, inside: Callable[[], str]) -> str:
        if end < 0:
            raise ValueError("a quote is not closed")
        found = inside()
        self._at = end + 1
        return found

    def _next(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _variable(self, depth: int, quoted: bool) -> str:
        braced = self._text.startswith("{", self._at)
        self._at += braced
        name = _NAME.match(self._text, self._at)
        if not name:
            if braced:
                raise ValueError("${ without a name")
            return "$"
        self._at = name.end()
        value = self._variables.get(name[0])
        return self._modified(name[0], value, depth, quoted) if braced else value or ""

    def _modified(self, name: str, value: str | None, depth: int, quoted: bool) -> str:
        """What `${NAME…}` stands for, read up to its closing brace."""
        colon = self._text.startswith(":", self._at)
        self._at += colon
        operator = self._next()
        if operator == "}" and not colon:
            return value or ""
        if operator not in ("-", "+", "?"):
            raise ValueError(f"${{{name}{':' * colon}{operator} is not understood")
        other = self.read("}", depth + 1, quoted)
        if not self._next():
            raise ValueError("${ without }")
        present = bool(value) if colon else value is not None
        if operator == "+":
            return other if present else ""
        if operator == "?" and not present:
            raise ValueError(f"{name}: {other or 'not set'}")
        return (value or "") if present else other
