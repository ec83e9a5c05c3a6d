"""picomatch's patterns in ours: the dialect of dorny/paths-filter, which is picomatch 2.3.1 with
`{dot: true}`.

Ours was modelled on it, so that most patterns stay as they are. The difference is in what its
regular expressions do beside what its documentation says, measured by comparison with the real one
(tests/data/picomatch.json.gz): a `**` is only whole folders between slashes, and otherwise any
characters or a plain `*`, by what follows it; `[!a]` is no negation; `(a|b)` is a group. What would
need more than a union of our patterns is Inexact, and so are shapes where picomatch has a bug that
nobody can have meant.

Two differences stay: `*` and `**` match a newline here, and a path that reads like a pattern with
wildcards is not matched for that.
"""

import re
from collections.abc import Iterable

from toolkit.impact.glob import PatternError, alternatives, regex
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
            found = _translate(body, fast=pattern[:1] in (".", "*"), negated=False)
            return (*found, *_literal_path(pattern, found))
        except (
            _NeverClosed
        ):  # the regular expression is broken, so that only the path of this very name matches
            return to_patterns([tuple(pattern)])
    if body.startswith("!!"):
        raise Inexact("it has more than one `!`")
    try:
        return tuple(f"!{one}" for one in _translate(body[1:], fast=False, negated=True))
    except _NeverClosed:
        raise Inexact("its `{` is never closed") from None


def negates(pattern: str) -> bool:
    """Whether a pattern is a negation."""
    body = pattern.removeprefix("./")
    return body.startswith("!") and not body.startswith("!(")


def _translate(body: str, fast: bool, negated: bool) -> tuple[str, ...]:
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
    parser = _Parser(stripped, group_free=not (negated or _NO_MAGIC_GROUP.search(body)))
    patterns = to_patterns(one for pieces in parser.parse() for one in _replace_own_pieces(pieces))
    if patterns != (stripped,) and means_same(stripped, patterns):
        patterns = (stripped,)
    elif len(patterns) > MOST:
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
    simple = (
        closed
        and not re.search(r"[()/{}\[\]\\]", inner)
        and not re.search(r"^[^./\w-]|[()]", after)
    )
    starts = before == "" or before.endswith("/")
    several = "/" in after and re.search(r"\*\*|[{(]", before)
    magic = "*" in inner and re.fullmatch(r"\.[^/.]*[*?][^/.]*", after)
    if (
        not simple
        or not starts
        or several
        or magic
        or any(set(one) <= {"*"} for one in inner.split("|"))
    ):
        raise Inexact("`!(…)` cannot be said at this place, or with this in it")
    if "/" in after:
        left_out = f"{before}@({inner})**"
    elif not after:
        left_out = f"{before}@({inner})"
    elif "*" in inner and re.fullmatch(r"\.[^\\/.*?]+", after):
        left_out = f"{before}@({inner}){after}*"
    else:
        left_out = f"{before}@({inner})*"
    included = _alternatives(f"{before}@(*){after}")
    return (*included, *(f"!{one}" for one in _alternatives(left_out))) if included else ()


def _alternatives(text: str) -> tuple[str, ...]:
    return to_patterns(
        one
        for pieces in _Parser(text, group_free=False).parse()
        for one in _replace_own_pieces(pieces)
    )


def _literal_path(text: str, patterns: tuple[str, ...]) -> Iterable[str]:
    """picomatch also matches the path that reads like the pattern: `app/(auth)/page.tsx`,
    `[...slug].tsx`.
    """
    if not re.search(r"[\[(]", text) or re.search(r"[*?\\]|\{.*,", text) or text.startswith("./"):
        return
    pattern = literal(text)
    try:
        known = any(
            re.fullmatch(regex(plain), text) for one in patterns for plain in alternatives(one)
        )
        alternatives(pattern)
    except PatternError:
        return
    if not known:
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
        found, at = self._sequence(0, "")
        if at < len(self.text):
            raise Inexact("a `)` is never opened")
        rest = _RANGE.sub("", self.text)
        if self.rebuilt and (_REBUILT_WRONG.search(rest) or rest.count("[") != rest.count("]")):
            raise Inexact("picomatch loses characters of it, for its range or its named class")
        return found

    def _refuse(self) -> None:
        if self.group_free and re.search(r"([+|^$])\1", self.text):
            raise Inexact("a sign that repeats itself is read as a regular expression's")
        if '"' in self.text:
            raise Inexact("it has a double quote")
        if "\0" in self.text or "\n" in self.text:
            raise Inexact("it has a control character")

    def _sequence(self, at: int, ends: str) -> tuple[list[Pieces], int]:
        """The alternatives from `at` to one of the characters in `ends`, or to the end; and where
        that is.
        """
        if self.braces + self.parentheses > DEEPEST:
            raise Inexact(f"more than {DEEPEST} braces and parentheses are inside each other")
        found: list[Pieces] = [()]
        while at < len(self.text) and self.text[at] not in ends:
            if self.text[at] == ")" and not ends:
                break
            options, at = self._element(at, ends)
            found = [one + option for one in found for option in options]
            if len(found) > 4 * MOST:
                raise Inexact(f"it stands for more than {4 * MOST} patterns")
        return found, at

    def _element(self, at: int, ends: str) -> tuple[list[Pieces], int]:
        text, char = self.text, self.text[at]
        following = text[at + 1 : at + 2]
        if char in "*+!" and following == "(":
            raise Inexact(f"`{char}(…)` cannot be said")
        if char in "?@" and following == "(":
            options, stop = self._parenthesis(at + 1)
            return ([(), *options] if char == "?" else options), stop
        match char:
            case "\\":
                return self._escape(at)
            case "*":
                return self._stars(at)
            case "?":
                return self._question(at)
            case "+":
                return self._plus(at, ends)
            case "[":
                return self._bracket(at)
            case "{":
                return self._brace(at)
            case "(":
                return self._parenthesis(at)
            case "|" if not self.group_free:
                raise Inexact("a `|` stands outside of parentheses")
            case "." if self.braces and re.match(r"\.\\?\.", text[at:]):
                raise Inexact("a `..` in braces is not between two letters or digits")
        return [(char,)], at + 1

    def _escape(self, at: int) -> tuple[list[Pieces], int]:
        char = self.text[at + 1 : at + 2]
        if (
            not char
            or char.isalnum()
            or char in "\\/_"
            or ord(char) > 127
            or self.text[at + 2 : at + 3] == char
        ):
            raise Inexact("a backslash stands before something that needs none")
        return [(char,)], at + 2

    def _question(self, at: int) -> tuple[list[Pieces], int]:
        if self.text[at - 1 : at] in ("(", ")"):
            raise Inexact("a `?` beside a parenthesis is a regular expression's")
        return [(ANY,)], at + 1

    def _plus(self, at: int, ends: str) -> tuple[list[Pieces], int]:
        if ")" in ends or (at and self.text[at - 1] in "[](){}"):
            raise Inexact("a `+` after a bracket, or in parentheses, is a regular expression's")
        return [("+",)], at + 1

    def _stars(self, at: int) -> tuple[list[Pieces], int]:
        stop = at
        while self.text[stop : stop + 1] == "*":
            stop += 1
        if self.text[stop : stop + 1] == "(":
            raise Inexact("`*(…)` cannot be said")
        if stop - at == 2:
            return self._globstar(at)
        before = self.text[at - 1 : at]
        if stop - at > 2 and (before in ("", "/") or self._opens(at)):
            self.rebuilt = True
            return [(_LAX,)], stop
        if before == ".":
            return [(_DOTTED if self.braces or self.parentheses else STAR,)], stop
        return [(STAR if before in ("", "/") else _LAX,)], stop

    def _globstar(self, at: int) -> tuple[list[Pieces], int]:
        """`**`: whole folders between slashes; any characters at the edge of a group; else one
        star.
        """
        text, stop = self.text, at + 2
        starts, opens = at == 0 or text[at - 1] == "/", self._opens(at)
        if not (starts or opens):
            return [(STAR,)], stop
        while re.match(r"/\*\*(?:/|\Z)", text[stop:]):
            stop += 3
        following = text[stop : stop + 1]
        if starts and at == 0 and not following:
            return [(DEEP,)], stop
        if starts and not following:
            return [(DEEP,) if at > 1 and self._star_before(at - 1) else (TREE,)], stop
        if starts and following == "/":
            return [(FOLDERS,) if text[stop + 1 :] else (FOLDERS, "/")], stop + 1
        kept = (
            following in ("/", "", ")", "{")
            or (self.braces and following in (",", "}"))
            or text.startswith("@(", stop)
        )
        return [(DEEP if kept else _LAX,)], stop

    def _opens(self, at: int) -> bool:
        """Whether this is the edge of a group: after a parenthesis or, inside braces, after a brace
        or a comma.
        """
        before = self.text[max(at - 2, 0) : at]
        return before[:1] != "\\" and (
            before[-1:] in ("(", ")") or (before[-1:] in ("{", "}", ",") and self.braces > 0)
        )

    def _star_before(self, at: int) -> bool:
        return self.text[at - 1] == "*" and self.text[at - 2 : at - 1] != "\\"

    def _bracket(self, at: int) -> tuple[list[Pieces], int]:
        text = self.text
        if "]" not in text[at + 1 :]:
            if text[at + 1 : at + 2] == "+":
                raise Inexact("a `+` after a bracket is a regular expression's")
            return [("[",)], at + 1
        inner = at + 2 if text.startswith("[^", at) else at + 1
        stop, posix = inner, False
        while stop < len(text) and text[stop] != "]":
            found = _IN_CLASS.match(text, stop)
            last = text.startswith("-]", stop) or (text[stop] == "-" and stop == inner)
            if not (found or last) or (
                found and found["low"] and not found["low"] <= found["high"]
            ):
                raise Inexact("it has an unusual character class")
            posix |= bool(found and found["posix"])
            stop = found.end() if found else stop + 1
        if stop == inner or stop >= len(text) or (posix and inner == at + 2):
            raise Inexact("it has an unusual character class")
        self.rebuilt |= posix
        return self._class(text[at : stop + 1]), stop + 1

    @staticmethod
    def _class(written: str) -> list[Pieces]:
        """A class as ours; with a `!`, which only ours takes for a negation or a reason not to
        match the text itself.
        """
        options: list[Pieces] = [
            (choice(f"[\\{written[1:]}" if written.startswith("[!") else written),)
        ]
        if "!" in written and not re.search(r"[-*+?.^${}(|)\[\]]", written[1:-1]):
            options.append(tuple(written))
        return options

    def _brace(self, at: int) -> tuple[list[Pieces], int]:
        ranged = _RANGE.match(self.text, at + 1)
        if ranged and self.text.startswith("}", ranged.end()):
            self.rebuilt = True
            low, high = sorted((ranged[1], ranged[2]))
            return [(choice(f"[{low}-{high}]"),)], ranged.end() + 1
        self.braces += 1
        options, stop = self._sequence(at + 1, ",})|")
        commas = 0
        while self.text[stop : stop + 1] == ",":
            more, stop = self._sequence(stop + 1, ",})|")
            options += more
            commas += 1
        self.braces -= 1
        if stop >= len(self.text):
            raise _NeverClosed
        if self.text[stop] != "}":
            raise Inexact(f"a `{self.text[stop]}` in braces is not in parentheses")
        return (options if commas else [("{", *one, "}") for one in options]), stop + 1

    def _parenthesis(self, at: int) -> tuple[list[Pieces], int]:
        if self.text.startswith("(?", at):
            raise Inexact("`(?` starts a regular expression's group")
        self.parentheses += 1
        ends = "|)}" if self.braces else "|)"
        options, stop = self._sequence(at + 1, ends)
        while self.text[stop : stop + 1] == "|":
            more, stop = self._sequence(stop + 1, ends)
            options += more
        self.parentheses -= 1
        if self.text[stop : stop + 1] != ")":
            raise Inexact("a `(` is never closed")
        return options, stop + 1


def _replace_own_pieces(pieces: Pieces) -> Iterable[Pieces]:
    """The pieces that only picomatch knows, said with those that both know."""
    if FOLDERS in pieces[1:]:
        last = len(pieces) - 1 - pieces[::-1].index(FOLDERS)
        rest = pieces[last + 1 : -2] if pieces[-2:] == ("/", TREE) else pieces[last + 1 :]
        if last > 1 and all(piece in (_LAX, DEEP) for piece in rest) and pieces[last - 1] == "/":
            yield from _replace_own_pieces(
                pieces[: last - 1]
            )  # in picomatch, `a/**/` and then nothing is `a`
    if _DOTTED in pieces:
        at = pieces.index(_DOTTED)
        for rest in _after_dot(pieces, at):
            yield from _replace_own_pieces(pieces[:at] + rest)
        return
    yield tuple(STAR if piece == _LAX else piece for piece in pieces)


def _after_dot(pieces: Pieces, at: int) -> list[Pieces]:
    """What may follow a dot in braces whose star shall neither stand for nothing nor for one more
    dot.
    """
    rest = pieces[at + 1 :]
    if at < 2 or pieces[at - 2] in ("/", FOLDERS):  # `.` and `..` are no names anyway
        return [(STAR, *rest)]
    following = rest[0] if rest else "/"
    if following == "/":
        return [(choice("[!.]"), STAR, *rest), (".", ANY, STAR, *rest)]
    if len(following) == 1 and following != ".":
        return [(STAR, *rest)]
    raise Inexact("a star after a dot in braces is followed by more magic")
