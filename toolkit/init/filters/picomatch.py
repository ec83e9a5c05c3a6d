"""picomatch's patterns in ours: the dialect of dorny/paths-filter, which is picomatch 2.3.1 with
`{dot: true}`.

Ours was modelled on it, so that most patterns stay as they are. The difference is in what its
regular expressions do beside what its documentation says, measured by comparison with the real one
(tests/data/picomatch.json.gz): a `**` is only whole folders between slashes, and otherwise any
characters or a plain `*`, by what follows it; `[!a]` is not a negation; `(a|b)` is a group. What
would need more than a union of our patterns is Inexact, and so are shapes where picomatch has a
bug that nobody can have meant.

Two differences stay: `*` and `**` match a newline here, and a path that reads like a pattern with
wildcards is not matched for that.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import product

from toolkit.formats.glob import PatternError, alternatives, regex
from toolkit.init.filters.pieces import (
    ANY,
    DEEP,
    FOLDERS,
    STAR,
    TREE,
    Inexact,
    Pieces,
    choice,
    literal,
    means_same,
    to_patterns,
)

__all__ = ["Inexact", "from_picomatch"]

LONGEST = 1024
"""The most characters of a pattern."""

DEEPEST = 20
"""The most braces and parentheses inside each other."""

MOST = 256
"""The most alternatives that one pattern may stand for where it cannot stay as it is."""

_LAX = "\0*?"
"""A star that may stand for nothing even where a segment starts."""

_DOTTED = "\0.*"
"""A star after a dot in braces: what follows the dot is neither nothing nor one more dot."""

_WHOLE = {"***": "*", "**/**": "**", "**/**/**": "**"}
"""Patterns that picomatch replaces as a whole."""

_CROSSING = re.compile(r"\*\*((?:\.\w+)+)", re.ASCII)
_NO_MAGIC_GROUP = re.compile(r"[/()\[\]{}\"]|^[*!]")
_REBUILT_WRONG = re.compile(r"[@!$^|\\()]|[^/*?}\],+]\.")
"""Where picomatch loses characters, or backslashes of dots, of a pattern that has a range or a
named class.
"""
_RANGE = re.compile(r"([A-Za-z0-9])\.\.([A-Za-z0-9])")
_IN_CLASS = re.compile(
    r"\[:(?P<posix>alnum|alpha|digit|lower|upper|word|xdigit):\]|(?P<low>[A-Za-z0-9])-(?P<high>[A-Za-z0-9])|[^\\/\[\]^\U00010000-\U0010ffff-]"
)


def from_picomatch(pattern: str) -> tuple[str, ...]:
    """Our patterns whose union matches what picomatch matches; none if no path of git can match.

    For a negation (`!a`, which matches all that `a` does not) they are those of `a`, each with its
    `!`. For a pattern with one `!(…)`, what it leaves out comes after what it includes, each with
    its `!`. Raises Inexact.
    """
    body = pattern.removeprefix("./")
    if not negates(pattern):
        try:
            translated = _translate(body, fast=pattern[:1] in (".", "*"), negated=False)
            return (*translated, *_literal_path(pattern, translated))
        except (
            _NeverClosed
        ):  # the regular expression is broken, so that only the path of this very name matches
            return to_patterns([tuple(pattern)])
    if body.startswith("!!"):
        raise Inexact("it has more than one `!`")
    try:
        translated = _translate(body[1:], fast=False, negated=True)
        return tuple(f"!{excluded}" for excluded in translated)
    except _NeverClosed:
        raise Inexact("its `{` is never closed") from None


def negates(pattern: str) -> bool:
    """Whether a pattern is a negation."""
    body = pattern.removeprefix("./")
    return body.startswith("!") and not body.startswith("!(")


def _translate(body: str, fast: bool, negated: bool) -> tuple[str, ...]:
    """`fast`: picomatch has a shortcut for patterns that begin with a dot or a star, and reads a
    few of them otherwise there.
    """
    if len(body) > LONGEST:
        raise Inexact(f"it has more than {LONGEST} characters")
    if not body:
        return ()
    if fast and body in ("*.*", "**/*.*"):  # here, and only here, something has to follow the dot
        return (f"{body[:-1]}?*",)
    crossing = _CROSSING.fullmatch(body) if fast else None
    if crossing:
        return to_patterns([(DEEP, *crossing[1])])
    body = _WHOLE.get(body, body)
    stripped = re.sub(r"^(?:\./)+", "", body)
    if not stripped:
        return ()
    if not negated and "!(" in stripped:
        return _translate_negative_group(stripped)
    group_free = not (negated or _NO_MAGIC_GROUP.search(body))
    patterns = _alternatives(stripped, group_free)
    if patterns == (stripped,) or means_same(stripped, patterns):
        return (stripped,)
    if len(patterns) > MOST:
        raise Inexact(f"it stands for more than {MOST} patterns here; split it")
    return patterns


def _translate_negative_group(text: str) -> tuple[str, ...]:
    """A pattern with one `!(…)` that starts a segment: what it would be with a star there, less
    what that must not be.

    picomatch looks at the rest of the path only where nothing, or nothing but an extension,
    follows; elsewhere what it leaves out is all that *begins* so. Where folders follow, and those
    before may be more or fewer, that can happen at several places: Inexact.
    """
    before, _, rest = text.partition("!(")
    inner, closed, after = rest.partition(")")
    is_simple = (
        closed
        and not re.search(r"[()/{}\[\]\\]", inner)
        and not re.search(r"^[^./\w-]|[()]", after)
    )
    starts_segment = before == "" or before.endswith("/")
    is_ambiguous = "/" in after and re.search(r"\*\*|[{(]", before)
    has_magic = "*" in inner and re.fullmatch(r"\.[^/.]*[*?][^/.]*", after)
    has_only_stars = any(set(option) <= {"*"} for option in inner.split("|"))
    if not is_simple or not starts_segment or is_ambiguous or has_magic or has_only_stars:
        raise Inexact("`!(…)` cannot be expressed at this place, or with this in it")
    if "/" in after:
        left_out = f"{before}@({inner})**"
    elif not after:
        left_out = f"{before}@({inner})"
    elif "*" in inner and re.fullmatch(r"\.[^\\/.*?]+", after):
        left_out = f"{before}@({inner}){after}*"
    else:
        left_out = f"{before}@({inner})*"
    included = _alternatives(f"{before}@(*){after}", group_free=False)
    if not included:
        return ()
    excluded = _alternatives(left_out, group_free=False)
    return (*included, *(f"!{pattern}" for pattern in excluded))


def _alternatives(text: str, group_free: bool) -> tuple[str, ...]:
    """Our patterns for a pattern without negations."""
    return to_patterns(_alternative_pieces(text, group_free))


def _alternative_pieces(text: str, group_free: bool) -> Iterator[Pieces]:
    # One at a time: there may be exponentially many, and `to_patterns` stops at its limit.
    for pieces in _Parser(text, group_free).parse():
        yield from _replace_own_pieces(pieces)


def _literal_path(text: str, patterns: tuple[str, ...]) -> Iterable[str]:
    """picomatch also matches the path that reads like the pattern: `app/(auth)/page.tsx`,
    `[...slug].tsx`.
    """
    if not re.search(r"[\[(]", text) or re.search(r"[*?\\]|\{.*,", text) or text.startswith("./"):
        return
    pattern = literal(text)
    try:
        for ours in patterns:
            for plain in alternatives(ours):
                if re.fullmatch(regex(plain), text):
                    return
        alternatives(pattern)
    except PatternError:
        return
    yield pattern


class _NeverClosed(Exception):
    """A brace is opened and not closed."""


class _Parser:
    """Takes a pattern apart into its alternatives, as picomatch's parser would."""

    def __init__(self, text: str, group_free: bool) -> None:
        self.text, self.group_free = text, group_free
        self.braces = self.parentheses = 0
        self.rebuilt = False
        """Whether picomatch puts its regular expression together a second time."""

    def parse(self) -> list[Pieces]:
        self._refuse()
        sequences, end = self._sequence(0, "")
        if end < len(self.text):
            raise Inexact("a `)` is never opened")
        rest = _RANGE.sub("", self.text)
        if self.rebuilt and (_REBUILT_WRONG.search(rest) or rest.count("[") != rest.count("]")):
            raise Inexact("picomatch loses characters of it, for its range or its named class")
        return sequences

    def _refuse(self) -> None:
        if self.group_free and re.search(r"([+|^$])\1", self.text):
            raise Inexact("a sign that repeats itself is read as a regular expression's")
        if '"' in self.text:
            raise Inexact("it has a double quote")
        if "\0" in self.text or "\n" in self.text:
            raise Inexact("it has a control character")

    def _sequence(self, start: int, ends: str) -> tuple[list[Pieces], int]:
        """The alternatives from `start` to one of the characters in `ends`, or to the end; and
        where that is.
        """
        if self.braces + self.parentheses > DEEPEST:
            raise Inexact(f"more than {DEEPEST} braces and parentheses are inside each other")
        sequences: list[Pieces] = [()]
        position = start
        while position < len(self.text) and self.text[position] not in ends:
            if self.text[position] == ")" and not ends:
                break
            options, position = self._element(position, ends)
            sequences = [before + after for before, after in product(sequences, options)]
            if len(sequences) > 4 * MOST:
                raise Inexact(f"it stands for more than {4 * MOST} patterns")
        return sequences, position

    def _element(self, start: int, ends: str) -> tuple[list[Pieces], int]:
        char = self.text[start]
        if char in "*+!?@" and self.text.startswith("(", start + 1):
            return self._extended_group(start)
        match char:
            case "\\":
                return self._escape(start)
            case "*":
                return self._stars(start)
            case "?":
                return self._question(start)
            case "+":
                return self._plus(start, ends)
            case "[":
                return self._bracket(start)
            case "{":
                return self._brace(start)
            case "(":
                return self._parenthesis(start)
        return self._plain_char(start)

    def _plain_char(self, start: int) -> tuple[list[Pieces], int]:
        char = self.text[start]
        if char == "|" and not self.group_free:
            raise Inexact("a `|` stands outside of parentheses")
        if self.braces and re.match(r"\.\\?\.", self.text[start:]):
            raise Inexact("a `..` in braces is not between two letters or digits")
        return [(char,)], start + 1

    def _extended_group(self, start: int) -> tuple[list[Pieces], int]:
        """`?(…)` or `@(…)`."""
        char = self.text[start]
        if char in "*+!":
            raise Inexact(f"`{char}(…)` cannot be expressed")
        options, end = self._parenthesis(start + 1)
        if char == "?":
            options = [(), *options]
        return options, end

    def _escape(self, start: int) -> tuple[list[Pieces], int]:
        char = self.text[start + 1 : start + 2]
        if (
            not char
            or char.isalnum()
            or char in "\\/_"
            or ord(char) > 127
            or self.text[start + 2 : start + 3] == char
        ):
            raise Inexact("a backslash stands before something that needs none")
        return [(char,)], start + 2

    def _question(self, start: int) -> tuple[list[Pieces], int]:
        if self.text[start - 1 : start] in ("(", ")"):
            raise Inexact("a `?` beside a parenthesis is a regular expression's")
        return [(ANY,)], start + 1

    def _plus(self, start: int, ends: str) -> tuple[list[Pieces], int]:
        if ")" in ends or (start and self.text[start - 1] in "[](){}"):
            raise Inexact("a `+` after a bracket, or in parentheses, is a regular expression's")
        return [("+",)], start + 1

    def _stars(self, start: int) -> tuple[list[Pieces], int]:
        end = start
        while self.text[end : end + 1] == "*":
            end += 1
        if self.text[end : end + 1] == "(":
            raise Inexact("`*(…)` cannot be expressed")
        if end - start == 2:
            return self._globstar(start)
        before = self.text[start - 1 : start]
        starts_segment = before in ("", "/")
        if end - start > 2 and (starts_segment or self._opens(start)):
            self.rebuilt = True
            return [(_LAX,)], end
        if before == ".":
            return [(_DOTTED if self.braces or self.parentheses else STAR,)], end
        return [(STAR if starts_segment else _LAX,)], end

    def _globstar(self, start: int) -> tuple[list[Pieces], int]:
        """`**`: whole folders between slashes; any characters at the edge of a group; else one
        star.
        """
        text, end = self.text, start + 2
        starts_segment = start == 0 or text[start - 1] == "/"
        if not (starts_segment or self._opens(start)):
            return [(STAR,)], end
        while re.match(r"/\*\*(?:/|\Z)", text[end:]):
            end += 3
        following = text[end : end + 1]
        if starts_segment and not following:
            is_after_star = start > 1 and self._star_before(start - 1)
            return [(DEEP if start == 0 or is_after_star else TREE,)], end
        if starts_segment and following == "/":
            return [(FOLDERS,) if text[end + 1 :] else (FOLDERS, "/")], end + 1
        crosses_folders = (
            following in ("/", "", ")", "{")
            or (self.braces and following in (",", "}"))
            or text.startswith("@(", end)
        )
        return [(DEEP if crosses_folders else _LAX,)], end

    def _opens(self, start: int) -> bool:
        """Whether this is the edge of a group: after a parenthesis or, inside braces, after a brace
        or a comma.
        """
        before = self.text[max(start - 2, 0) : start]
        return before[:1] != "\\" and (
            before[-1:] in ("(", ")") or (before[-1:] in ("{", "}", ",") and self.braces > 0)
        )

    def _star_before(self, position: int) -> bool:
        return self.text[position - 1] == "*" and self.text[position - 2 : position - 1] != "\\"

    def _bracket(self, start: int) -> tuple[list[Pieces], int]:
        text = self.text
        if "]" not in text[start + 1 :]:
            if text[start + 1 : start + 2] == "+":
                raise Inexact("a `+` after a bracket is a regular expression's")
            return [("[",)], start + 1
        is_negated = text.startswith("[^", start)
        inner = start + 2 if is_negated else start + 1
        end, has_named_class = inner, False
        while end < len(text) and text[end] != "]":
            if text.startswith("-]", end) or (text[end] == "-" and end == inner):
                end += 1  # a `-` at an edge is a plain character
                continue
            member = _IN_CLASS.match(text, end)
            if not member or (member["low"] and member["low"] > member["high"]):
                raise Inexact("it has an unusual character class")
            has_named_class |= bool(member["posix"])
            end = member.end()
        if end == inner or end >= len(text) or (has_named_class and is_negated):
            raise Inexact("it has an unusual character class")
        self.rebuilt |= has_named_class
        return self._class(text[start : end + 1]), end + 1

    @staticmethod
    def _class(written: str) -> list[Pieces]:
        """A class as ours; with a `!`, which only ours takes for a negation or a reason not to
        match the text itself.
        """
        ours = f"[\\{written[1:]}" if written.startswith("[!") else written
        options: list[Pieces] = [(choice(ours),)]
        if "!" in written and not re.search(r"[-*+?.^${}(|)\[\]]", written[1:-1]):
            options.append(tuple(written))
        return options

    def _brace(self, start: int) -> tuple[list[Pieces], int]:
        ranged = _RANGE.match(self.text, start + 1)
        if ranged and self.text.startswith("}", ranged.end()):
            self.rebuilt = True
            low, high = sorted((ranged[1], ranged[2]))
            return [(choice(f"[{low}-{high}]"),)], ranged.end() + 1
        self.braces += 1
        options, end = self._sequence(start + 1, ",})|")
        has_commas = self.text[end : end + 1] == ","
        while self.text[end : end + 1] == ",":
            more, end = self._sequence(end + 1, ",})|")
            options += more
        self.braces -= 1
        if end >= len(self.text):
            raise _NeverClosed
        if self.text[end] != "}":
            raise Inexact(f"a `{self.text[end]}` in braces is not in parentheses")
        if not has_commas:  # braces without a comma are plain characters
            options = [("{", *option, "}") for option in options]
        return options, end + 1

    def _parenthesis(self, start: int) -> tuple[list[Pieces], int]:
        if self.text.startswith("(?", start):
            raise Inexact("`(?` starts a regular expression's group")
        self.parentheses += 1
        ends = "|)}" if self.braces else "|)"
        options, end = self._sequence(start + 1, ends)
        while self.text[end : end + 1] == "|":
            more, end = self._sequence(end + 1, ends)
            options += more
        self.parentheses -= 1
        if self.text[end : end + 1] != ")":
            raise Inexact("a `(` is never closed")
        return options, end + 1


def _replace_own_pieces(pieces: Pieces) -> Iterable[Pieces]:
    """The pieces that only picomatch knows, written with those that both know."""
    if FOLDERS in pieces[1:]:
        last = len(pieces) - 1 - pieces[::-1].index(FOLDERS)
        rest = pieces[last + 1 :]
        if pieces[-2:] == ("/", TREE):
            rest = pieces[last + 1 : -2]
        if last > 1 and all(piece in (_LAX, DEEP) for piece in rest) and pieces[last - 1] == "/":
            # In picomatch, `a/**/` and then nothing is `a`.
            yield from _replace_own_pieces(pieces[: last - 1])
    if _DOTTED in pieces:
        index = pieces.index(_DOTTED)
        for rest in _after_dot(pieces, index):
            yield from _replace_own_pieces(pieces[:index] + rest)
        return
    yield tuple(STAR if piece == _LAX else piece for piece in pieces)


def _after_dot(pieces: Pieces, index: int) -> list[Pieces]:
    """What may follow a dot in braces whose star must not stand for nothing or for one more dot."""
    rest = pieces[index + 1 :]
    if index < 2 or pieces[index - 2] in ("/", FOLDERS):  # `.` and `..` are no names anyway
        return [(STAR, *rest)]
    following = rest[0] if rest else "/"
    if following == "/":
        return [(choice("[!.]"), STAR, *rest), (".", ANY, STAR, *rest)]
    if len(following) == 1 and following != ".":
        return [(STAR, *rest)]
    raise Inexact("a star after a dot in braces is followed by more magic")
