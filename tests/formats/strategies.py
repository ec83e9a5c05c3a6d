"""Paths and patterns that meet each other: most patterns are made from a path, so that a match is
as likely as a miss.
"""

from collections.abc import Sequence

from hypothesis import strategies as st

from toolkit.formats.glob import PatternError, alternatives

LETTERS = "aAb.-[] (!{,\n\té\udcff"
"""Little enough to meet again, and everything odd that a name may hold."""

SPECIAL = frozenset("*?[]{}()!\\, ")


def segments(letters: str = LETTERS) -> st.SearchStrategy[str]:
    """A folder's or file's name."""
    return st.text(letters, min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


def paths(letters: str = LETTERS) -> st.SearchStrategy[str]:
    """A path as git writes it."""
    return st.lists(segments(letters), min_size=1, max_size=5).map("/".join)


def escaped(text: str) -> str:
    """The pattern for a name and nothing else."""
    return "".join("\\" + char if char in SPECIAL else char for char in text)


def usable(pattern: str) -> bool:
    try:
        return bool(alternatives(pattern))
    except PatternError:
        return False


@st.composite
def wider(draw: st.DrawFn, path: str) -> str:
    """A pattern that matches a path, since all it did was to let go of some of it."""
    names: list[str] = []
    for name in path.split("/"):
        how = draw(
            st.sampled_from(
                (
                    "same",
                    "same",
                    "star",
                    "start",
                    "end",
                    "ask",
                    "class",
                    "brace",
                    "globstar",
                    "more",
                    "inside",
                )
            )
        )
        names += draw(_wider_name(name, how))
    return "/".join(names)


@st.composite
def _wider_name(draw: st.DrawFn, name: str, how: str) -> list[str]:
    position = draw(st.integers(0, len(name)))
    before, after = escaped(name[:position]), escaped(name[position:])
    ways: dict[str, list[str]] = {
        "same": [escaped(name)],
        "star": ["*"],
        "start": [f"*{after}"],
        "end": [f"{before}*"],
        "ask": ["?" * position + after],
        "class": [
            *(
                [f"{before}[{_in_class(name[position])}]{escaped(name[position + 1 :])}"]
                if position < len(name)
                else [before]
            )
        ],
        "brace": [f"{before}{{{after},zz}}"],
        "globstar": ["**"],
        "more": ["**", escaped(name)],
        "inside": [f"{before}**{after}"],
    }
    return ways[how]


def _in_class(char: str) -> str:
    return "\\" + char if char in "]\\[!^-" else char


def loose(letters: str = "aAb.-é") -> st.SearchStrategy[str]:
    """Any pattern of the dialect, made from its parts."""
    plain = st.text(letters, min_size=1, max_size=3)
    part = st.one_of(
        plain,
        st.sampled_from(
            (
                "*",
                "?",
                "**",
                "[ab]",
                "[!a]",
                "[^.]",
                "[a-z]",
                "[[:alpha:]]",
                "{a,b}",
                "{,a}",
                "{a,b/**}",
                "\\*",
            )
        ),
    )
    name = st.one_of(st.just("**"), st.lists(part, min_size=1, max_size=3).map("".join))
    return st.lists(name, min_size=1, max_size=4).map("/".join).filter(usable)


@st.composite
def questions(draw: st.DrawFn, most: int = 4) -> tuple[list[str], list[list[str]]]:
    """Some paths, and some rules whose patterns (some with `!`) have to do with them."""
    request = draw(st.lists(paths(), min_size=1, max_size=6))
    pattern = st.one_of(st.sampled_from(request).flatmap(wider).filter(usable), loose())
    signed = st.builds(lambda sign, item: sign + item, st.sampled_from(("", "", "!")), pattern)
    return request, draw(st.lists(st.lists(signed, max_size=5), min_size=1, max_size=most))


def any_of(names: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """Some of the names, in some order."""
    return st.lists(st.sampled_from(names), unique=True, max_size=len(names))
