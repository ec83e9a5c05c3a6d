"""GitHub's `on.<event>.paths` and `paths-ignore` in ours, as nektos/act's published reading has
them.

A pattern there is a regular expression in disguise: `?` and `+` repeat what stands before them,
braces and parentheses are plain characters, and `dir/**` does not match `dir`. The order of the
patterns counts there and never here, so that a list becomes several rules: each pattern that
includes, with the exclusions that come after it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product

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
    those that cannot be expressed, with why.
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
    repetitions = _without_absorbed_repetitions(list(_pieces_with_repetition(pattern)))
    options = [_options(piece, times) for piece, times in repetitions]
    # Counted before they are made: thirty `?` would be a billion patterns.
    alternatives = 1
    for option in options:
        alternatives *= len(option)
        if alternatives > MOST:
            raise Inexact(f"its `?` stand for more than {MOST} patterns")
    return to_patterns(_expanded(options))


def _expanded(options: list[list[Pieces]]) -> Iterator[Pieces]:
    """Every way to choose one option of each, as one sequence of pieces."""
    for combination in product(*options):
        yield from _without_inner_folders(tuple(chain.from_iterable(combination)))


def from_paths(patterns: Sequence[str]) -> TranslatedPatterns:
    """`paths`: the last pattern that matches a path decides, and `!` decides against it."""
    reader = _Reader()
    translated = [(pattern.startswith("!"), reader(pattern)) for pattern in patterns]
    # From the end: an inclusion is limited by the exclusions that come after it. Inclusions with
    # the same exclusions become one rule.
    includes: dict[tuple[str, ...], list[str]] = {}
    excluded: dict[str, None] = {}
    for is_negative, ours in reversed(translated):
        if is_negative:
            excluded.update((f"!{pattern}", None) for pattern in reversed(ours))
        elif ours:
            includes.setdefault(tuple(reversed(excluded)), []).extend(reversed(ours))
    rules = []
    for exclusions, included in reversed(includes.items()):
        rules.append((*dict.fromkeys(reversed(included)), *exclusions))
    return reader.result(rules)


def from_paths_ignore(patterns: Sequence[str]) -> TranslatedPatterns:
    """`paths-ignore`: a path counts unless a pattern matches it; a pattern with `!` matches what
    the rest of it does not.
    """
    reader = _Reader()
    ignored: dict[str, None] = {}
    for pattern in patterns:
        if not pattern.startswith("!"):
            ignored.update((f"!{ours}", None) for ours in reader(pattern))
    negated = [(pattern, reader(pattern)) for pattern in patterns if pattern.startswith("!")]
    if not negated:
        return reader.result([tuple(ignored) or ("**",)])
    if len({ours for _, ours in negated}) > 1:
        for pattern, ours in negated:
            if ours:
                reader.inexact.append((pattern, "more than one `!` has to match at once"))
    elif negated[0][1]:
        return reader.result([(*negated[0][1], *ignored)])
    # Without what a `!` says, the rule would be far wider than what GitHub counts.
    return reader.result(())


class _Reader:
    """Translates patterns and remembers those that have no exact translation or never match."""

    def __init__(self) -> None:
        self.dead: list[str] = []
        self.inexact: list[tuple[str, str]] = []

    def __call__(self, pattern: str) -> tuple[str, ...]:
        try:
            translated = from_github(pattern.removeprefix("!"))
        except Inexact as error:
            self.inexact.append((pattern, str(error)))
            return ()
        if not translated:
            self.dead.append(pattern)
        return translated

    def result(self, rules: Iterable[tuple[str, ...]]) -> TranslatedPatterns:
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
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise Inexact(
                "it ends in a backslash or has a `[` that is never closed, which GitHub refuses"
            )
        yield token
        position = token.end()


def _piece(token: re.Match[str]) -> str:
    if token["set"] is not None:
        return _class(token["set"])
    return _PLAIN.get(token.lastgroup or "") or token["escaped"] or token["char"]


def _class(content: str) -> str:
    """One of the characters: no `[^…]`, and never the very text `[id]`, both of which ours has."""
    members, position = [], 0
    while position < len(content):
        member = _MEMBER.match(content, position)
        if member is None or (member["low"] and member["low"] > member["high"]):
            raise Inexact(
                "its character class has more than letters, digits and ranges of them, which GitHub"
                " refuses"
            )
        members.append(member[0])
        position = member.end()
    if not members:
        raise Inexact("it has an empty character class, which GitHub refuses")
    if len(content) == 1:
        return content
    if "-" in content:
        return choice("[" + re.sub(r"[\[\\^]", r"\\\g<0>", content) + "]")
    return choice("{" + re.sub(r"[\[\\]", r"\\\g<0>", ",".join(members)) + "}")


def _without_absorbed_repetitions(repetitions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without the repetitions that a star beside them stands for anyway; a slash is never repeated
    in a path.
    """
    pieces = ["", *(piece for piece, _ in repetitions), ""]
    absorbed = []
    for index, (piece, times) in enumerate(repetitions, 1):
        stars = {pieces[index - 1], pieces[index + 1]} & {STAR, DEEP}
        if times == "+" and (piece == "/" or stars):
            times = ""
        absorbed.append((piece, times))
    return absorbed


def _options(piece: str, times: str) -> list[Pieces]:
    if times == "+":
        raise Inexact("`+` repeats a character, which cannot be expressed")
    if times:
        return [(), (piece,)]
    return [(piece,)]


def _without_inner_folders(pieces: Pieces) -> Iterator[Pieces]:
    """A `**/` in the middle of a segment is nothing, or any characters and a slash: written without
    it.
    """
    for index, piece in enumerate(pieces):
        if piece == FOLDERS and index and pieces[index - 1] not in ("/", DEEP, FOLDERS):
            before, after = pieces[:index], pieces[index + 1 :]
            start = before[:-1] if before[-1] == STAR else before
            yield from _without_inner_folders(before + after)
            if start and start[-1] != "/":
                yield from _without_inner_folders((*start, "/", DEEP, "/", *after))
                yield from _without_inner_folders((*start, ANY, DEEP, "/", *after))
            else:
                yield from _without_inner_folders((*start, DEEP, "/", *after))
            return
    yield pieces
