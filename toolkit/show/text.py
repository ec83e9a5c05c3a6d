"""Words for people. Whatever comes from outside is quoted, so that no file name can move a cursor
or forge a line.
"""

import re
from collections.abc import Callable, Iterable
from unicodedata import bidirectional, category

from toolkit.errors import Declined, RulesError, ToolkitError

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
    return (
        f"\\x{code:02x}"
        if code < 0x80
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def line(text: str) -> str:
    """A whole sentence that may hold foreign words: harmless in one line of a terminal, and in
    several when it is broken between words.
    """
    shown = "".join(
        char if char.isprintable() and bidirectional(char) not in _BIDI else _escaped(char)
        for char in text
    )
    return _WORKFLOW.sub(r"\\x3a:", _disarmed(shown))


def harmless(text: str) -> str:
    """Several lines without what moves a cursor or rewrites what is there: the last look before a
    terminal, whoever forgot to quote.
    """
    return _CONTROL.sub(lambda found: _escaped(found[0]), text)


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
    left = max((width - 3) // 3, 0)
    return (
        f"{text[:left]}...{text[len(text) - (width - 3 - left) :]}" if width > 6 else text[:width]
    )


def shortened(sentence: str, width: int) -> str:
    """Cut behind a word, since the first ones say most; a word that is too long itself is cut."""
    if len(sentence) <= width:
        return sentence
    kept = sentence[: max(width - 3, 0)]
    if sentence[len(kept)] != " " and " " in kept.strip():
        kept = kept[: kept.rindex(" ")]
    return f"{kept.rstrip(' ,;:(')}..."[:width]


def wrapped(sentence: str, width: int, indent: str = "  ") -> list[str]:
    """A sentence in lines of at most `width`, broken between words only (a path is never
    broken).
    """
    if len(sentence) <= width:
        return [sentence]
    lines = [sentence[: len(sentence) - len(sentence.lstrip(" "))]]
    for word in sentence.strip(" ").split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if len(longer) > width and lines[-1].strip():
            lines.append(indent + word)
        else:
            lines[-1] = longer
    return lines


def with_command(sentence: str, width: int, indent: str = "  ") -> list[str]:
    """The same of a sentence that may end in a command of ours, which stands whole on a line of its
    own then: it can be pasted.
    """
    before, mark, command = sentence.rpartition(": toolkit ")
    if not mark or len(sentence) <= width:
        return wrapped(sentence, width, indent)
    return [*wrapped(f"{before}:", width, indent), f"{indent}toolkit {command}"]


def duration(seconds: int) -> str:
    """`2m30s`, as rules.toml writes it."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def count(number: int, one: str, more: str = "") -> str:
    """`1 file`, `2 files`, `1,000 files`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def listing(names: Iterable[str], most: int) -> list[str]:
    """The first names quoted, a line each, and how many there are besides."""
    names = list(names)
    shown = [quote(name) for name in names[:most]]
    return shown + ([f"and {len(names) - most:,} more"] if len(names) > most else [])


def error(problem: ToolkitError, advised: Callable[[str], str] = str) -> list[str]:
    """An error in one line (a wrong rules.toml: one for each problem) and the next thing to do."""
    if isinstance(problem, Declined):
        return [str(problem)]  # it is no error: somebody has decided
    if isinstance(problem, RulesError):
        lines = [line(str(RulesError(problem.file, [one]))) for one in problem.problems]
        lines = lines[:10] + ([f"and {len(lines) - 10} more"] if len(lines) > 10 else [])
    else:
        lines = [line(problem.template.format(**_facts(problem)))]
    hint = line(advised(problem.hint.format(**_facts(problem))))
    return [
        f"error: {lines[0]}",
        *(f"       {one}" for one in lines[1:]),
        *([f"hint: {hint}"] if hint else []),
    ]


_SENTENCES = frozenset(
    (
        "problem",
        "next",
        "reason",
        "fetch",
        "profile",
        "option",
        "where",
        "what",
        "call",
        "owner",
        "since",
        "command",
        "denied",
        "off",
    )
)


def _facts(problem: ToolkitError) -> dict[str, str]:
    """Names are quoted; sentences of our own or of git's are only made harmless."""
    return {
        name: line(fact) if name in _SENTENCES else quote(fact)
        for name, fact in problem.facts.items()
    }
