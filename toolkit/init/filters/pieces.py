"""A foreign pattern, taken apart into pieces without alternatives, and spelled in our dialect
(formats/glob.py).

Both CI dialects have a `.*` that crosses folders at any place, which ours only has as a whole
segment or inside one. How that is written depends on what stands beside it, and on one fact of git:
no path has an empty, a `.` or a `..` segment.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from toolkit.formats.glob import PatternError, alternatives

STAR = "\0*"
"""Any characters inside a segment."""

ANY = "\0?"
"""One character, not a slash."""

DEEP = "\0**"
"""Any characters, slashes too."""

FOLDERS = "\0**/"
"""At the start of a segment: no folder, or any number of folders."""

TREE = "\0**."
"""At the end, after a slash: anything below, or the path before the slash itself."""

Pieces = tuple[str, ...]
"""Each is one of the above, one of `one_of`, `/`, or one literal character."""

_ABSORBED_BY = {DEEP: (STAR, FOLDERS), STAR: (STAR,), FOLDERS: (FOLDERS,)}
"""Piece -> what adds nothing after it."""

MOST = 1024
"""The most alternatives that one pattern may stand for."""

_MAGIC = frozenset("*?[]{}()\\")


class Inexact(ValueError):
    """A pattern that cannot be expressed exactly; the message says why."""


def choice(written: str) -> str:
    """The piece that is one character of several, by how our dialect writes it: `[a-z]`,
    `{a,b}`.
    """
    return f"\0{written}"


def to_patterns(sequences: Iterable[Pieces]) -> tuple[str, ...]:
    """Our patterns whose union is the union of these; none where no path can match. Raises
    Inexact.
    """
    patterns: dict[str, None] = {}
    for count, pieces in enumerate(sequences):
        # The sequences come one at a time, so that this stops a hostile pattern.
        if count >= MOST:
            raise Inexact(f"it stands for more than {MOST} patterns here")
        patterns.update(dict.fromkeys(_patterns(_without_redundant(pieces))))
    for pattern in patterns:
        try:
            alternatives(pattern)
        except PatternError as error:
            raise Inexact(f"`{pattern}` is not a pattern here: {error}") from None
    return tuple(patterns)


def literal(text: str) -> str:
    """A pattern that matches this very path."""
    return _escape_ends("".join(f"\\{char}" if char in _MAGIC else char for char in text))


def means_same(pattern: str, patterns: Sequence[str]) -> bool:
    """Whether our dialect reads one pattern as it reads these together."""
    try:
        together = chain.from_iterable(map(alternatives, patterns))
        return set(alternatives(pattern)) == set(together)
    except PatternError:
        return False


def _without_redundant(pieces: Pieces) -> Pieces:
    """The same pieces without those that another one beside them stands for anyway."""
    if pieces[-3:] == (DEEP, "/", TREE):
        pieces = pieces[:-2]
    needed: list[str] = []
    for piece in pieces:
        if piece == DEEP:
            while needed and needed[-1] in (STAR, DEEP, FOLDERS):
                needed.pop()
        elif needed and piece in _ABSORBED_BY.get(needed[-1], ()):
            continue
        needed.append(piece)
    return tuple(needed)


def _patterns(pieces: Pieces) -> Iterator[str]:
    if pieces[-3:] == (STAR, "/", TREE):  # here, `x*/**` does not match `x1` itself
        yield from _patterns(pieces[:-2])
        yield from _patterns((*pieces[:-1], DEEP))
    elif _can_match(pieces):
        text = "".join(_spell_piece(pieces, index) for index in range(len(pieces)))
        yield _escape_ends(text)


def _can_match(pieces: Pieces) -> bool:
    """Whether no segment is certain to be empty, `.` or `..`."""
    segments: list[list[str]] = [[]]
    for piece in pieces:
        if piece == "/":
            segments.append([])
        elif piece == FOLDERS and segments[-1]:
            raise Inexact("a `**` that stands for whole folders is inside a segment")
        elif piece != FOLDERS:
            segments[-1].append(piece)
    return all("".join(segment) not in ("", ".", "..") for segment in segments)


def _spell_piece(pieces: Pieces, index: int) -> str:
    piece = pieces[index]
    if piece == DEEP:
        return _spell_deep(pieces, index)
    if piece == TREE:
        return "**"
    if piece[0] == "\0":
        return piece[1:]
    if piece in _MAGIC:
        return f"\\{piece}"
    return piece


def _escape_ends(text: str) -> str:
    """A pattern that neither starts as a negation nor ends as if somebody had forgotten a space."""
    if text.startswith("!"):
        text = f"\\{text}"
    if text.endswith(" "):
        text = f"{text[:-1]}\\ "
    return text


def _spell_deep(pieces: Pieces, index: int) -> str:
    """`.*`, by what stands beside it. Beside a slash it is at least one whole segment: none is
    empty.
    """
    starts = index == 0 or pieces[index - 1] == "/"
    is_last = index + 1 == len(pieces)
    ends = is_last or pieces[index + 1] == "/"
    if not (starts and ends) or len(pieces) == 1:
        return "**"
    if not is_last:
        return "*/**"
    # `x*/**` wants something below, `x/**` does not.
    if index > 1 and pieces[index - 2] == STAR:
        return "**"
    return "**/*"
