"""GitHub's `on.<event>.paths` and `paths-ignore` in ours, as nektos/act's published reading has
them.

A pattern there is a regular expression in disguise: `?` and `+` repeat what stands before them,
braces and parentheses are plain characters, and `dir/**` does not match `dir`. The order of the
patterns counts there and never here, so that a list becomes several rules: each pattern that
includes, with the exclusions that come after it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from msgspec import Struct

from toolkit.init.filters.pieces import (
    ANY,
    DEEP,
    FOLDERS,
    STAR,
    Inexact,
    Pieces,
    choice,
    to_patterns,
)

MOST = 64
"""The most alternatives that the optional parts of one pattern may stand for."""

LONGEST = 1024
"""The most characters of a pattern."""

_TOKEN = re.compile(
    r"\\(?P<escaped>.)|(?P<folders>\*\*/)|(?P<deep>\*\*)|(?P<star>\*)|\[(?P<set>[^\]]*)\]|(?P<char>[^\\\[])",
    re.DOTALL,
)
_MEMBER = re.compile(
    r"(?P<low>[A-Z\[\\^_`a-z0-9])-(?P<high>[A-Z\[\\^_`a-z0-9])(?!-)|[A-Z\[\\^_`a-z0-9]"
)
_PLAIN = {"folders": FOLDERS, "deep": DEEP, "star": STAR}


class TranslatedPatterns(Struct, frozen=True):
    """A list of patterns in ours: the paths of each rule, the patterns that no path can match, and
    those that cannot be said, with why.
    """

    rules: tuple[tuple[str, ...], ...]
    dead: tuple[str, ...] = ()
    inexact: tuple[tuple[str, str], ...] = ()


def from_github(pattern: str) -> tuple[str, ...]:
    """Our patterns whose union is one of GitHub's (without a leading `!`); none if no path can
    match. Raises Inexact.
    """
    if len(pattern) > LONGEST:
        raise Inexact(f"it has more than {LONGEST} characters")
    options = [
        _options(piece, times)
        for piece, times in _without_absorbed_repetitions(list(_pieces_with_repetition(pattern)))
    ]
    alternatives = 1
    for option in options:
        alternatives *= len(option)
        if alternatives > MOST:
            raise Inexact(f"its `?` stand for more than {MOST} patterns")
    return to_patterns(
        settled
        for chosen in product(*options)
        for settled in _without_inner_folders(tuple(piece for one in chosen for piece in one))
    )


def from_paths(patterns: Sequence[str]) -> TranslatedPatterns:
    """`paths`: the last pattern that matches a path decides, and `!` decides against it."""
    read = _Reader()
    texts = [(pattern.startswith("!"), read(pattern)) for pattern in patterns]
    rules: dict[tuple[str, ...], list[str]] = {}
    excluded: dict[str, None] = {}
    for negative, found in reversed(texts):
        if negative:
            excluded.update((f"!{one}", None) for one in reversed(found))
        elif found:
            rules.setdefault(tuple(reversed(excluded)), []).extend(reversed(found))
    return read.said(
        (*dict.fromkeys(reversed(found)), *exclusions)
        for exclusions, found in reversed(rules.items())
    )


def from_paths_ignore(patterns: Sequence[str]) -> TranslatedPatterns:
    """`paths-ignore`: a path counts unless a pattern matches it; a pattern with `!` matches what
    the rest of it does not.
    """
    read = _Reader()
    ignored = dict.fromkeys(
        f"!{one}" for pattern in patterns if not pattern.startswith("!") for one in read(pattern)
    )
    kept = [(pattern, read(pattern)) for pattern in patterns if pattern.startswith("!")]
    if len({found for _, found in kept}) > 1:
        read.inexact += [
            (pattern, "more than one `!` has to match at once") for pattern, found in kept if found
        ]
    elif not kept:
        return read.said([tuple(ignored) or ("**",)])
    elif kept[0][1]:
        return read.said([(*kept[0][1], *ignored)])
    return read.said(())  # without what a `!` says, this would be far more than what GitHub counts


class _Reader:
    """Translates patterns and remembers what could not be said, and what can never match."""

    def __init__(self) -> None:
        self.dead: list[str] = []
        self.inexact: list[tuple[str, str]] = []

    def __call__(self, pattern: str) -> tuple[str, ...]:
        try:
            found = from_github(pattern.removeprefix("!"))
        except Inexact as error:
            self.inexact.append((pattern, str(error)))
            return ()
        if not found:
            self.dead.append(pattern)
        return found

    def said(self, rules: Iterable[tuple[str, ...]]) -> TranslatedPatterns:
        return TranslatedPatterns(tuple(rules), tuple(self.dead), tuple(self.inexact))


def _pieces_with_repetition(pattern: str) -> Iterator[tuple[str, str]]:
    """Each piece with how often it stands there: once (the empty string), `?` or `+`."""
    last: tuple[str, str] | None = None
    operators = 0  # a regular expression takes one, and a `?` after it that changes nothing
    for token in _tokens(pattern):
        operator = token["char"] if token.start() and token["char"] in ("?", "+") else ""
        if last is None or not operator:
            if last is not None:
                yield last
            last = (_piece(token), "")
            operators = 1 if last[0] in _PLAIN.values() else 0
            continue
        if operators > 1 or (operators and operator == "+"):
            raise Inexact("it repeats a repetition, which GitHub refuses")
        if not operators:
            last = (last[0], operator)
        operators += 1
    if last is not None:
        yield last


def _tokens(pattern: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(pattern):
        found = _TOKEN.match(pattern, at)
        if found is None:
            raise Inexact(
                "it ends in a backslash or has a `[` that is never closed, which GitHub refuses"
            )
        yield found
        at = found.end()


def _piece(token: re.Match[str]) -> str:
    if token["set"] is not None:
        return _class(token["set"])
    return _PLAIN.get(token.lastgroup or "") or token["escaped"] or token["char"]


def _class(content: str) -> str:
    """One of the characters: no `[^…]`, and never the very text `[id]`, both of which ours has."""
    members, at = [], 0
    while at < len(content):
        found = _MEMBER.match(content, at)
        if found is None or (found["low"] and found["low"] > found["high"]):
            raise Inexact(
                "its character class has more than letters, digits and ranges of them, which GitHub"
                " refuses"
            )
        members.append(found[0])
        at = found.end()
    if not members:
        raise Inexact("it has an empty character class, which GitHub refuses")
    if len(content) == 1:
        return content
    if "-" in content:
        return choice("[" + re.sub(r"[\[\\^]", r"\\\g<0>", content) + "]")
    return choice("{" + re.sub(r"[\[\\]", r"\\\g<0>", ",".join(members)) + "}")


def _without_absorbed_repetitions(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without the repetitions that a star beside them stands for anyway; a slash is never repeated
    in a path.
    """
    pieces = ["", *(piece for piece, _ in found), ""]
    absorbed = []
    for at, (piece, times) in enumerate(found, 1):
        beside = {pieces[at - 1], pieces[at + 1]} & {STAR, DEEP}
        absorbed.append((piece, "" if times == "+" and (piece == "/" or beside) else times))
    return absorbed


def _options(piece: str, times: str) -> list[Pieces]:
    if times == "+":
        raise Inexact("`+` repeats a character, which cannot be said")
    return [(), (piece,)] if times else [(piece,)]


def _without_inner_folders(pieces: Pieces) -> Iterator[Pieces]:
    """A `**/` in the middle of a segment is nothing, or any characters and a slash: said without
    it.
    """
    for at, piece in enumerate(pieces):
        if piece == FOLDERS and at and pieces[at - 1] not in ("/", DEEP, FOLDERS):
            before, after = pieces[:at], pieces[at + 1 :]
            start = before[:-1] if before[-1] == STAR else before
            yield from _without_inner_folders(before + after)
            if start and start[-1] != "/":
                yield from _without_inner_folders((*start, "/", DEEP, "/", *after))
                yield from _without_inner_folders((*start, ANY, DEEP, "/", *after))
            else:
                yield from _without_inner_folders((*start, DEEP, "/", *after))
            return
    yield pieces
