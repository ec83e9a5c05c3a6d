"""The roles of words, as a second signal beside the words themselves: what is good, what needs
attention, what is bad.

A role is a mark around the words: a control character that nothing else can bring into a text, for
`line` and `quote` escape each. Only `cli/output.py` turns marks into colours, or takes them out;
widths are computed without them.
"""

import re
from collections.abc import Iterator
from enum import StrEnum


class Role(StrEnum):
    """What a word means to a reader."""

    GOOD = "g"
    WARNING = "w"
    BAD = "b"
    FAINT = "f"


_COLOURS = {
    Role.GOOD: "\x1b[32m",
    Role.WARNING: "\x1b[33m",
    Role.BAD: "\x1b[31m",
    Role.FAINT: "\x1b[2m",
}
_RESET = "\x1b[0m"
_BEGIN, _END, _JOINT = "\x01", "\x02", "\x03"
_MARKED = re.compile(f"{_BEGIN}([{''.join(Role)}])([^{_BEGIN}{_END}\n]*){_END}")


def marked(words: str, role: Role | None) -> str:
    """The words with a role; without one, and where there are none, as they are."""
    return f"{_BEGIN}{role}{words}{_END}" if role and words else words


def pieces(text: str) -> Iterator[tuple[str, Role | None]]:
    """The text in pieces, each with its role, in order."""
    if _BEGIN not in text:
        yield text, None
        return
    end = 0
    for match in _MARKED.finditer(text):
        yield text[end : match.start()], None
        yield match[2], Role(match[1])
        end = match.end()
    yield text[end:], None


def words(text: str) -> list[str]:
    """The text in words; those with a role stay together."""
    if _BEGIN not in text:
        return text.split(" ")
    joined = _MARKED.sub(lambda match: match[0].replace(" ", _JOINT), text)
    return [word.replace(_JOINT, " ") for word in joined.split(" ")]


def plain(text: str) -> str:
    """The text without roles."""
    if _BEGIN not in text:
        return text
    return "".join(words for words, _ in pieces(text))


def width(text: str) -> int:
    """How many characters of it a reader sees."""
    return len(plain(text))


def coloured(words: str, role: Role | None) -> str:
    """The words in the colour of their role, as terminals understand it."""
    return f"{_COLOURS[role]}{words}{_RESET}" if role else words


def with_escapes(cell: str) -> str:
    """A marked cell for a library that knows escapes to have no width, but not marks."""
    if _BEGIN not in cell:
        return cell
    return "".join(coloured(words, role) for words, role in pieces(cell))


def without_escapes(text: str) -> str:
    """The marks again."""
    for role, colour in _COLOURS.items():
        text = text.replace(colour, f"{_BEGIN}{role}")
    return text.replace(_RESET, _END)
