"""A Dockerfile as instructions, and words with their variables filled in. The rules are those of
BuildKit's parser.
"""

import json
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.model import Advice

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

    def refuse(self, problem: str, next: Advice = "") -> Refused:
        """The error that names this line."""
        return Refused(f"Dockerfile line {self.line}: {self.keyword}: {problem}", next)


class Parsed(Struct, frozen=True):
    """The instructions of a Dockerfile, and the character that escapes."""

    instructions: tuple[Instruction, ...]
    escape: str


def parse(text: str) -> Parsed:
    """The instructions in order. Lines of a heredoc are taken for instructions: see
    `refuse_heredocs`.
    """
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    escape = _escape(lines)
    instructions = [_instruction(line, words) for line, words in _join_lines(lines, escape)]
    return Parsed(tuple(instructions), escape)


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


def split(rest: str, escape: str) -> list[str]:
    """Words as ENV, LABEL and ARG have them, split at white space outside of quotes, which stay in
    the words.
    """
    words, word, quote, index = [], "", "", 0
    while index < len(rest):
        char = rest[index]
        index += 1
        if char == escape and quote != "'" and index < len(rest):
            word += char + rest[index]
            index += 1
            continue
        if not quote and char.isspace():
            if word:
                words.append(word)
            word = ""
            continue
        if char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        word += char
    if word:
        words.append(word)
    return words


def expanded(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A word with its quotes and escapes taken off and its variables filled in; one that is not set
    is empty. Raises ValueError.
    """
    return _Word(word, variables, escape).read()


def _escape(lines: list[str]) -> str:
    """What continues a line: a backslash, or what `# escape=` at the very top says."""
    for line in lines:
        directive = _DIRECTIVE.match(line)
        if not directive:
            break
        if directive[1].lower() == "escape":
            character = directive[2].strip()
            if character not in ("\\", "`"):
                raise Refused(f"Dockerfile: escape={character} is neither \\ nor `")
            return character
    return "\\"


def _join_lines(lines: list[str], escape: str) -> Iterator[tuple[int, str]]:
    """Continued lines become one, with the number of the first. Comments and empty lines between
    them are skipped.
    """
    start, parts = 0, ""
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        if not parts:
            start = number
        body = line.rstrip(" \t")
        if body.endswith(escape) and not body.endswith(escape * 2):
            parts += body[:-1]
            parts = parts or " "  # not empty, or the next line would count as the first
            continue
        if (parts + line).strip():
            yield start, (parts + line).strip()
        parts = ""
    if parts.strip():
        yield start, parts.strip()


def refuse_heredocs(parsed: Parsed) -> None:
    """Raises Refused for a Dockerfile with a heredoc, which only an engine understands."""
    for instruction in parsed.instructions:
        if (
            instruction.keyword in ("ADD", "COPY", "RUN")
            and not instruction.rest.startswith("[")
            and _HEREDOC.search(instruction.rest)
        ):
            raise instruction.refuse(
                "a heredoc is not understood here",
                "write a file and copy it, or install docker, podman or buildah",
            )


def _instruction(line: int, words: str) -> Instruction:
    keyword, rest = [*words.split(None, 1), ""][:2]
    flags, rest = _flags(rest.strip())
    return Instruction(keyword.upper(), flags, rest, line)


def _flags(rest: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while match := _FLAG.match(rest):
        flags[match[1].lower()] = "true" if match[2] is None else match[2]
        rest = rest[match.end() :].lstrip()
    return flags, rest


class _Word:
    """Reads one word from left to right."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self._text, self._variables, self._escape = text, variables, escape
        self._at = 0

    def read(self, until: str = "", depth: int = 0, quoted: bool = False) -> str:
        if depth > _DEEPEST:
            raise ValueError("variables are nested too deeply")
        expansion = ""
        while self._at < len(self._text) and self._text[self._at] != until:
            expansion += self._part(depth, quoted)
            if len(expansion) > LONGEST:
                raise ValueError("it grows too long when its variables are filled in")
        return expansion

    def _part(self, depth: int, quoted: bool) -> str:
        char = self._next()
        if char == "$":
            return self._variable(depth, quoted)
        if char == self._escape:
            following = self._next()
            if quoted and following not in ('"', "$", self._escape):
                return char + following
            return following
        if quoted or char not in "\"'":
            return char
        if char == "'":
            end = self._text.find("'", self._at)
            inside = self._text[self._at : end]
            self._at = len(self._text) if end < 0 else end
        else:
            inside = self.read('"', depth + 1, quoted=True)
        if self._at >= len(self._text):
            raise ValueError("a quote is not closed")
        self._at += 1
        return inside

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
        if braced:
            return self._modified(name[0], value, depth, quoted)
        return value or ""

    def _modified(self, name: str, value: str | None, depth: int, quoted: bool) -> str:
        """What `${NAME…}` stands for, read up to its closing brace."""
        colon = self._text.startswith(":", self._at)
        self._at += colon
        operator = self._next()
        if operator == "}" and not colon:
            return value or ""
        if operator not in ("-", "+", "?"):
            raise ValueError(f"${{{name}{':' * colon}{operator} is not understood")
        alternative = self.read("}", depth + 1, quoted)
        if not self._next():
            raise ValueError("${ without }")
        present = bool(value) if colon else value is not None
        if operator == "+":
            return alternative if present else ""
        if present:
            return value or ""
        if operator == "?":
            raise ValueError(f"{name}: {alternative or 'not set'}")
        return alternative
