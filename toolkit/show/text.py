"""Words for people. Whatever comes from outside is quoted, so that no file name can move a cursor
or forge a line.
"""

import re
from collections.abc import Iterable
from unicodedata import bidirectional, category

from toolkit.show import style

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_COMMAND = re.compile(r"(##\w*)\[")
_WORKFLOW = re.compile(r"(?<!\S)::(?=[A-Za-z-]+(?:\s.*)?::)")
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")
_BIDI = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))


def quote(name: str) -> str:
    """A foreign string as it is if it is plain, else in quotes with escapes, so that a person can
    tell it apart and paste it.

    Bytes that are not UTF-8 become `\\xNN`. What a CI system takes for a command at the start of a
    line (`::error::`) or anywhere in it (`##vso[`) is quoted, too.
    """
    plain = name.isprintable() and not (
        name[:1] in (" ", '"') or name[-1:] == " " or name.startswith("::") or _COMMAND.search(name)
    )
    if plain and not name.isascii():
        plain = not any(
            bidirectional(char) in _BIDI or category(char) == "Zs" for char in name if char > "\x7f"
        )
    if plain and name:
        return name
    return '"' + _disarmed("".join(map(_escaped, name))) + '"'


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    if char.isprintable() and bidirectional(char) not in _BIDI:
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"


def line(text: str) -> str:
    """A whole sentence that may hold foreign words: harmless in one line of a terminal, and in
    several when it is broken between words.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_visible, text))
    return _WORKFLOW.sub(r"\\x3a:", _disarmed(text))


def _visible(char: str) -> str:
    if char.isprintable() and bidirectional(char) not in _BIDI:
        return char
    return _escaped(char)


def harmless(text: str) -> str:
    """Several lines without what moves a cursor or rewrites the screen: the last guard before a
    terminal, should anything have been forgotten to be quoted.
    """
    return _CONTROL.sub(lambda match: _escaped(match[0]), text)


def _disarmed(text: str) -> str:
    """Without the commands that GitHub, Azure and TeamCity find anywhere in a line."""
    return _COMMAND.sub(r"\1\\x5b", text)


def clipped(text: str, width: int) -> str:
    """Shortened in the middle, since both ends of a path tell more than its middle: whole folders
    go first.
    """
    if len(text) <= width:
        return text
    first, *rest = text.split("/")
    while len(rest) > 1:
        rest = rest[1:]
        shorter = "/".join((first, "...", *rest))
        if len(shorter) <= width:
            return shorter
    if width <= 6:
        return text[:width]
    start = (width - 3) // 3
    end = len(text) - (width - 3 - start)
    return f"{text[:start]}...{text[end:]}"


def shortened(sentence: str, width: int) -> str:
    """Cut behind a word, since the first ones say most; a word that is too long itself is cut."""
    if len(sentence) <= width:
        return sentence
    beginning = sentence[: max(width - 3, 0)]
    if sentence[len(beginning)] != " " and " " in beginning.strip():
        beginning = beginning[: beginning.rindex(" ")]
    return f"{beginning.rstrip(' ,;:(')}..."[:width]


def wrapped(sentence: str, width: int, indent: str = "  ") -> list[str]:
    """A sentence in lines of at most `width`, broken between words only (a path is never
    broken). What is marked with a role stays together.
    """
    if style.width(sentence) <= width:
        return [sentence]
    lines = [sentence[: len(sentence) - len(sentence.lstrip(" "))]]
    for word in style.words(sentence.strip(" ")):
        if not lines[-1].strip():  # only the indent so far
            lines[-1] += word
        elif style.width(lines[-1]) + 1 + style.width(word) > width:
            lines.append(indent + word)
        else:
            lines[-1] += f" {word}"
    return lines


def duration(seconds: int) -> str:
    """`2m30s`, as rules.toml writes it."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def listing(names: Iterable[str], most: int) -> list[str]:
    """The first names quoted, a line each, and how many there are besides."""
    names = list(names)
    lines = [quote(name) for name in names[:most]]
    if len(names) > most:
        lines.append(f"and {len(names) - most:,} more")
    return lines
