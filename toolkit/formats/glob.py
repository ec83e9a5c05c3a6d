"""What does a pattern mean? One pattern becomes plain alternatives, and each of those a regular
expression in linear time.

The dialect is picomatch's with dotfiles matching (docs/patterns.md): anchored at the repository's
root, `*` and `?` stay inside one segment, `**` crosses segments, `[a-z]`, `{a,b}`, `\\` before a
special character. Braces, `[id]` (a class, or a folder of that very name) and a `**` inside a
segment are written out first, so that what is left is a list of segments, each a literal, `**`, or
single characters between stars. For such a list the earliest match of every part is as good as any
later one, which is what makes the atomic groups below right, and the match free of exponential
backtracking.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, islice, pairwise, product

LONGEST = 1024
"""The most characters a pattern may have."""

MOST_ALTERNATIVES = 1024
"""The most plain alternatives that one pattern may stand for."""

MOST_INNER = 4
"""The most `**` that a pattern may have inside of names: each doubles what it stands for, and what
that costs.
"""

MOST_NESTING = 16
"""How deep braces may stand in braces."""

# No pattern may hold a NUL, so these are never taken for characters of one.
GLOBSTAR = "\0**"
STAR = "\0*"
ANY = "\0[^/]"

Segment = str | tuple[str, ...]
"""A literal or GLOBSTAR, or a tuple of characters, STAR, and NUL + a regular expression for one
character.
"""

Plain = tuple[Segment, ...]

_TOO_MANY = (
    f"its braces, `[…]` and `**` inside of names stand for more than {MOST_ALTERNATIVES} patterns;"
    " split it"
)
_SPECIAL = frozenset("*?[]{}()!\\, ")
_UNUSUAL = frozenset("?[{(\\")
_NO_LITERAL_BRACKET = frozenset("-*+?.^${}(|)[]\\!")
_NO_NAMES = ((), (".",), (".", "."))
_POSIX = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "word": "a-zA-Z0-9_",
    "xdigit": "a-fA-F0-9",
}


class PatternError(ValueError):
    """An invalid pattern; the message says what to write instead."""


@lru_cache(maxsize=8192)
def alternatives(pattern: str) -> list[Plain]:
    """The plain alternatives of one pattern (without a leading `!`). Raises PatternError."""
    _refuse_what_never_matches(pattern)
    # Most patterns have nothing but stars; the parser is far slower.
    if _UNUSUAL.isdisjoint(pattern):
        simple = _simple(pattern)
        if simple is not None:
            return [simple]
    # Lazily, and one more than is allowed: a short pattern may stand for billions.
    plains = chain.from_iterable(map(_segments, _Parser(pattern).parse()))
    listed = list(islice(plains, MOST_ALTERNATIVES + 1))
    if not listed:
        raise PatternError("it can never match: every alternative has an empty, `.` or `..` folder")
    if len(listed) > MOST_ALTERNATIVES:
        raise PatternError(_TOO_MANY)
    return list(dict.fromkeys(listed))


def _simple(pattern: str) -> Plain | None:
    """The one alternative of a pattern that has no magic but stars; None if a `**` is inside a
    segment, or if it is repeated.
    """
    plain: list[Segment] = []
    for segment in pattern.split("/"):
        if "*" not in segment:
            plain.append(segment)
        elif segment == "**":
            if plain and plain[-1] is GLOBSTAR:
                return None
            plain.append(GLOBSTAR)
        elif "**" in segment:
            return None
        else:
            plain.append(tuple([STAR if char == "*" else char for char in segment]))
    return tuple(plain)


def _refuse_what_never_matches(pattern: str) -> None:
    if not pattern:
        raise PatternError("it is empty; to match everything write `**`")
    if len(pattern) > LONGEST:
        raise PatternError(f"it has {len(pattern)} characters; {LONGEST} are the most")
    if "\0" in pattern:
        raise PatternError("it has a NUL, which no path has")
    if pattern[0] == "!":
        raise PatternError("it has more than one `!`; write one or none")
    if pattern[0] == "/":
        raise PatternError(
            "it can never match: paths start at the repository's root without a slash; write"
            f" `{_corrected(pattern)}`"
        )
    if pattern[-1] == "/":
        raise PatternError(
            f"it can never match: git names files, not folders; write `{_corrected(pattern)}`"
        )
    if pattern[-1].isspace() and not pattern.endswith("\\ "):
        raise PatternError(f"it ends in white space; write `{_corrected(pattern)}`")
    if "." in pattern or "//" in pattern:
        _refuse_dots(pattern)


def _refuse_dots(pattern: str) -> None:
    segments = pattern.split("/")
    if ".." in segments:
        raise PatternError(
            "it can never match: `..` leaves the repository; write the path from the repository's"
            " root"
        )
    if "." in segments or "" in segments:
        raise PatternError(
            f"it can never match: no path has an empty or `.` folder; write `{_corrected(pattern)}`"
        )


def _corrected(pattern: str) -> str:
    """The pattern without empty and `.` folders and white space at its end, and with all that is in
    a folder for the folder.
    """
    *folders, last = pattern.rstrip().split("/")
    segments = [segment for segment in (*folders, last or "**") if segment not in ("", ".")]
    return "/".join(segments) or "**"


class _Parser:
    """Turns a pattern into its alternatives, each a tuple of tokens: characters, `/`, STAR,
    GLOBSTAR, NUL + regex.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def parse(self) -> list[tuple[str, ...]]:
        return self._sequence(0, len(self.pattern))

    def _sequence(self, start: int, end: int) -> list[tuple[str, ...]]:
        sequences: list[tuple[str, ...]] = [()]
        run: list[str] = []  # what all of them go on with
        position = start
        while position < end:
            options, position = self._element(position, end)
            if len(options) == 1:
                run += options[0]
                continue
            # Checked before the product is made: each brace multiplies it.
            if len(sequences) * len(options) > MOST_ALTERNATIVES:
                raise PatternError(_TOO_MANY)
            pairs = product(sequences, options)
            sequences = [(*sequence, *run, *option) for sequence, option in pairs]
            run.clear()
        if run:
            return [(*sequence, *run) for sequence in sequences]
        return sequences

    def _element(self, start: int, end: int) -> tuple[list[tuple[str, ...]], int]:
        text, char = self.pattern, self.pattern[start]
        if char == "\\":
            return self._escape(start, end)
        if char in "*?@+!" and start + 1 < end and text[start + 1] == "(":
            raise PatternError(
                f"`{char}(…)` is not supported; write the alternatives in braces, `{{a,b}}`, or"
                " `\\(` for a parenthesis"
            )
        if char == "*":
            stop = start
            while stop < end and text[stop] == "*":
                stop += 1
            return [(STAR if stop - start == 1 else GLOBSTAR,)], stop
        if char == "?":
            return [(ANY,)], start + 1
        if char == "[":
            return self._bracket(start, end)
        if char == "{":
            return self._brace(start, end)
        if char == "(" and "|" in text[start : self._closing_parenthesis(start, end)]:
            raise PatternError(
                "`(a|b)` is not supported; write `{a,b}`, or `\\(` for a parenthesis"
            )
        return [(char,)], start + 1

    def _closing_parenthesis(self, start: int, end: int) -> int:
        close = self.pattern.find(")", start, end)
        return end if close < 0 else close

    def _escape(self, start: int, end: int) -> tuple[list[tuple[str, ...]], int]:
        if start + 1 >= end or self.pattern[start + 1] not in _SPECIAL:
            raise PatternError(
                "a backslash may only stand before one of *?[]{}()!,\\ or a space; between folders"
                " write `/`"
            )
        return [(self.pattern[start + 1],)], start + 2

    def _bracket(self, start: int, end: int) -> tuple[list[tuple[str, ...]], int]:
        inner, close = self._bracket_end(start, end)
        content = self.pattern[inner:close]
        if "/" in content:
            raise PatternError("a character class cannot hold `/`")
        options: list[tuple[str, ...]] = [
            ("\0" + _char_class(content, negated=self.pattern[start + 1] in "!^"),)
        ]
        # Frameworks name folders so: `[id]` is then also that very name.
        if _NO_LITERAL_BRACKET.isdisjoint(self.pattern[start + 1 : close]):
            options.append(tuple(self.pattern[start : close + 1]))
        return options, close + 1

    def _bracket_end(self, start: int, end: int) -> tuple[int, int]:
        """Where the content of the class at `at` starts, and where its closing bracket is."""
        text, inner = self.pattern, start + 1
        if inner < end and text[inner] in "!^":
            inner += 1
        stop = inner
        while stop < end and (text[stop] != "]" or stop == inner):
            if text[stop] == "\\":
                stop += 1
            elif text.startswith("[:", stop) and (posix := text.find(":]", stop, end)) > 0:
                stop = posix + 1
            stop += 1
        if stop >= end:
            raise PatternError("its `[` is never closed; write `\\[` for a bracket")
        return inner, stop

    def _brace(self, start: int, end: int) -> tuple[list[tuple[str, ...]], int]:
        close, commas = self._brace_end(start, end)
        content = self.pattern[start + 1 : close]
        if not commas and ".." in content:
            return [("\0" + _range(content),)], close + 1
        if not commas:
            # picomatch takes `{a}` as it stands, and so do templates' `{{name}}` folders.
            inside = self._sequence(start + 1, close)
            return [("{", *sequence, "}") for sequence in inside], close + 1
        options: list[tuple[str, ...]] = []
        for before, after in pairwise([start, *commas, close]):
            options += self._sequence(before + 1, after)
        return options, close + 1

    def _brace_end(self, start: int, end: int) -> tuple[int, list[int]]:
        """Where the brace at `at` is closed, and the commas that are its own."""
        text, depth, stop = self.pattern, 0, start
        commas: list[int] = []
        while stop < end:
            char = text[stop]
            if char == "\\":
                stop += 1
            elif char == "[":
                stop = self._bracket_end(stop, end)[1]
            elif char == "{":
                depth += 1
                if depth > MOST_NESTING:
                    raise PatternError(
                        f"its braces are nested deeper than {MOST_NESTING} levels; split it"
                    )
            elif char == "}":
                depth -= 1
                if depth == 0:
                    return stop, commas
            elif char == "," and depth == 1:
                commas.append(stop)
            stop += 1
        raise PatternError("its `{` is never closed; write `\\{` for a brace")


def _range(content: str) -> str:
    first, _, last = content.partition("..")
    if len(first) != 1 or len(last) != 1 or not (first + last).isalnum():
        raise PatternError(
            f"`{{{content}}}` is not supported; a range is between two letters or digits, or write"
            " `{a,b}`"
        )
    low, high = sorted((first, last))
    return f"[{low}-{high}]"


def _char_class(content: str, negated: bool) -> str:
    """The regular expression for one character of `[content]`; never `/`."""
    parts: list[str] = []
    position, crosses_slash = 0, False
    while position < len(content):
        posix = re.compile(r"\[:([a-z]*):\]").match(content, position)
        if posix:
            if posix[1] not in _POSIX:
                raise PatternError(
                    f"`{posix[0]}` is not a character class; there are {', '.join(sorted(_POSIX))}"
                )
            parts.append(_POSIX[posix[1]])
            position = posix.end()
            continue
        low, position = _class_char(content, position)
        if content[position : position + 1] == "-" and position + 1 < len(content):
            high, position = _class_char(content, position + 1)
            if high < low:
                raise PatternError(f"the range `{low}-{high}` is the wrong way round")
            crosses_slash |= low <= "/" <= high
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            parts.append(re.escape(low))
    body = "".join(parts)
    if negated:
        return f"[^/{body}]"
    # A range such as `+-9` has the slash in it.
    if crosses_slash:
        return f"(?!/)[{body}]"
    return f"[{body}]"


def _class_char(content: str, position: int) -> tuple[str, int]:
    if content[position] == "\\" and position + 1 < len(content):
        position += 1
    return content[position], position + 1


def _segments(tokens: tuple[str, ...]) -> Iterator[Plain]:
    """The plain alternatives of one token sequence: none if a segment is one that no path has,
    several if a `**` is inside a segment.
    """
    split = list(_split(tokens))
    # Such an alternative of braces can never match; the others still can.
    if any(segment in _NO_NAMES for segment in split):
        return
    # `a**b` is `a*b`, or `a*/**/*b`: each `**` inside a name doubles the alternatives.
    inside = _inner_globstars(tokens)
    if len(inside) > MOST_INNER:
        raise PatternError(
            f"it has more than {MOST_INNER} `**` inside of names, which stand for"
            f" {2 ** len(inside)} patterns; split it"
        )
    if inside:
        before, after = tokens[: inside[0]], tokens[inside[0] + 1 :]
        yield from _segments((*before, STAR, *after))
        yield from _segments((*before, STAR, "/", GLOBSTAR, "/", STAR, *after))
        return
    plain: list[Segment] = []
    for segment in split:
        if segment == (GLOBSTAR,):
            if not (plain and plain[-1] is GLOBSTAR):
                plain.append(GLOBSTAR)
        elif any(token[0] == "\0" for token in segment):
            plain.append(_merge_stars(segment))
        else:
            plain.append("".join(segment))
    yield tuple(plain)


def _inner_globstars(tokens: tuple[str, ...]) -> list[int]:
    """Where a `**` is only part of a segment."""
    ends = ("/", *tokens, "/")
    indices = []
    for index, token in enumerate(tokens):
        # `ends` is one longer at its front, so these are the neighbours of `token`.
        is_whole_segment = ends[index] == "/" == ends[index + 2]
        if token is GLOBSTAR and not is_whole_segment:
            indices.append(index)
    return indices


def _split(tokens: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    start = 0
    for index, token in enumerate(tokens):
        if token == "/":  # noqa: S105 - no secret
            yield tokens[start:index]
            start = index + 1
    yield tokens[start:]


def _merge_stars(segment: tuple[str, ...]) -> tuple[str, ...]:
    merged: list[str] = []
    for token in segment:
        if not (token is STAR and merged and merged[-1] is STAR):
            merged.append(token)
    return tuple(merged)


def regex(plain: Plain) -> str:
    """The regular expression for all of a path (to be used with `fullmatch`)."""
    expression = _without_last_globstar(plain)
    if plain[-1] is GLOBSTAR and len(plain) > 1:
        expression += "(?:/(?s:.*))?" if names_itself(plain) else "/(?s:.+)"
    return expression


def folder_regex(plain: Plain) -> str:
    """For a pattern that ends in `/**`: the regular expression for the folders whose files it
    matches.
    """
    return _without_last_globstar(plain) + "(?:/(?s:.*))?"


def names_itself(plain: Plain) -> bool:
    """Whether a pattern that ends in `/**` also matches what stands before that (a submodule is one
    path).

    As in picomatch, `*/**` does not: what ends in a star wants something below it.
    """
    return plain[-2][-1] is not STAR


def _without_last_globstar(plain: Plain) -> str:
    """The regular expression for all but a last `/**`."""
    groups = ["/".join(group) for group in _groups(plain)]
    if not groups:
        return "(?s:.+)"
    ends_open = plain[-1] is GLOBSTAR
    parts: list[str] = []
    if plain[0] is not GLOBSTAR:
        parts.append(groups.pop(0))
    for number, group in enumerate(groups, 1):
        between = "/" if parts else ""
        if number < len(groups):
            # Atomic: the earliest match is as good as any, so there is no need to try another.
            parts.append(f"{between}(?>(?:[^/]*/)*?{group}(?=/))")
        elif ends_open:
            parts.append(rf"{between}(?>(?:[^/]*/)*?{group}(?=/|\Z))")
        else:
            # The last group has to reach the end of the path, so here the latest match counts.
            parts.append(f"{between}(?:[^/]*/)*{group}")
    return "".join(parts)


def _groups(plain: Plain) -> list[list[str]]:
    """The runs of segments between the globstars, each segment a regular expression."""
    groups: list[list[str]] = [[]]
    for segment in plain:
        if segment is GLOBSTAR:
            groups.append([])
        else:
            groups[-1].append(_segment_regex(segment))
    return [group for group in groups if group]


def _segment_regex(segment: Segment) -> str:
    # A plain name.
    if isinstance(segment, str):
        return re.escape(segment)
    # A name has at least one character.
    if segment == (STAR,):
        return "[^/]+"
    chunks: list[list[str]] = [[]]
    for token in segment:
        if token is STAR:
            chunks.append([])
        else:
            chunks[-1].append(token[1:] if token[0] == "\0" else re.escape(token))
    texts = ["".join(chunk) for chunk in chunks]
    if len(texts) == 1:
        return texts[0]
    first, *middle, last = texts
    earliest = "".join(f"(?>[^/]*?{chunk})" for chunk in middle)
    return rf"{first}{earliest}[^/]*{last}(?=/|\Z)"
