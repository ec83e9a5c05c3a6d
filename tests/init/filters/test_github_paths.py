"""GitHub's path patterns in ours, against a short reading of the published regular expressions."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.impact.matcher import Matcher
from toolkit.init.filters.github_paths import from_github, from_paths, from_paths_ignore
from toolkit.init.filters.pieces import Inexact

_NAMES = (
    "a",
    "b",
    "ab",
    "aab",
    ".a",
    "a.",
    "a.ts",
    "x.test.ts",
    ".ts",
    "[ab]",
    "{a,b}",
    "é",
    "!a",
    "+",
    "?",
    "^",
)
_PATHS = [
    "/".join(names)
    for length in (1, 2, 3)
    for names in product(_NAMES[: (16, 11, 6)[length - 1]], repeat=length)
]

_PARTS = [
    "*",
    "**",
    "**/",
    "/",
    "a",
    "b",
    ".",
    ".ts",
    "?",
    "+",
    "[ab]",
    "[a-c]",
    "[^a]",
    "[^a-c]",
    "{a,b}",
    r"\*",
    r"\?",
    "é",
    "!",
    "***",
]
_SIMPLE = [
    "a/**",
    "**",
    "b/**",
    "*.ts",
    "**/*.ts",
    "a/b/**",
    "a/*",
    "**.ts",
    "a",
    "a?",
    "[ab]/**",
    "/a",
    "b/a",
    ".*",
]


def _expression(pattern: str) -> re.Pattern[str]:
    """The regular expression that a pattern is in disguise."""
    document = {"**/": "(.+/)?", "**": ".*", "*": "[^/]*", "?": "?", "+": "+"}
    parts = []
    for result in re.finditer(r"\\.|\*\*/|\*\*|\*|\[[^\]]*\]|.", pattern, re.DOTALL):
        part = result[0]
        if part[0] == "[" and len(part) > 1:
            parts.append(part.replace("^", r"\^"))
        elif part in document and (result.start() or part not in "?+"):
            parts.append(document[part])
        else:
            parts.append(re.escape(part[-1]))
    return re.compile("".join(parts), re.DOTALL)


def _said(pattern: str) -> tuple[str, ...] | None:
    try:
        return from_github(pattern)
    except Inexact:
        return None


def _matched(*rules: tuple[str, ...]) -> set[str]:
    matcher = Matcher([rule for rule in rules if rule])
    return {path for path in _PATHS if matcher.match(path)}


@given(
    st.lists(st.sampled_from(_PARTS), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda text: text[0] != "!")
)
def test_a_pattern_that_can_be_said_matches_what_its_regular_expression_does(pattern: str) -> None:
    lines = _said(pattern)
    if lines is None:
        assert "+" in pattern or "?" in pattern
        return
    expression = _expression(pattern)
    assert _matched(lines) == {path for path in _PATHS if expression.fullmatch(path)}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(_SIMPLE)), min_size=1, max_size=6))
def test_in_paths_the_last_pattern_that_matches_decides(items: list[tuple[bool, str]]) -> None:
    translated = from_paths([f"{'!' * negative}{pattern}" for negative, pattern in items])
    expected = set()
    for path in _PATHS:
        verdicts = [
            not negative for negative, pattern in items if _expression(pattern).fullmatch(path)
        ]
        expected |= {path} if verdicts and verdicts[-1] else set()
    assert translated.inexact == ()
    assert _matched(*translated.rules) == expected


@given(
    st.lists(
        st.tuples(st.sampled_from([False, False, True]), st.sampled_from(_SIMPLE)),
        min_size=1,
        max_size=4,
    )
)
def test_in_paths_ignore_a_path_counts_unless_a_pattern_matches_it(
    items: list[tuple[bool, str]],
) -> None:
    translated = from_paths_ignore([f"{'!' * negative}{pattern}" for negative, pattern in items])
    expected = {
        path
        for path in _PATHS
        if not any(
            bool(_expression(pattern).fullmatch(path)) != negative for negative, pattern in items
        )
    }
    if translated.inexact:
        assert translated.rules == ()
    else:
        assert _matched(*translated.rules) == expected


@pytest.mark.parametrize(
    ("pattern", "ours"),
    [
        ("api/**", ("api/**/*",)),
        ("**", ("**",)),
        ("**/*.go", ("**/*.go",)),
        ("**.yml", ("**.yml",)),
        ("dpc-**", ("dpc-**",)),
        ("*.jsx?", ("*.js", "*.jsx")),
        ("a**/b", ("ab", "a/*/**/b", "a?**/b")),
        ("{a,b}", (r"\{a,b\}",)),
        ("[ab]", ("{a,b}",)),
        ("/a", ()),
        ("docs/", ()),
        ("./a", ()),
    ],
)
def test_a_pattern_is_written_in_the_form_that_is_exact(
    pattern: str, ours: tuple[str, ...]
) -> None:
    assert from_github(pattern) == ours


@pytest.mark.parametrize(
    "pattern",
    [
        "[0-9]+",
        "a+b",
        "a++",
        "**+",
        "a???",
        "[",
        "[]",
        "[!a]",
        "[é]",
        "a\\",
        "a?" * 20,
        "a**/" * 200 + "b",
        "x" * 2000,
    ],
)
def test_what_cannot_be_said_is_refused(pattern: str) -> None:
    with pytest.raises(Inexact):
        from_github(pattern)


def test_a_folder_that_is_included_again_gets_a_rule_of_its_own() -> None:
    translated = from_paths(["a/**", "!a/b/**", "a/b/c/**", "d"])
    assert translated.rules == (("a/**/*", "!a/b/**/*"), ("a/b/c/**/*", "d"))


def test_a_list_of_exclusions_that_no_path_can_match_ignores_nothing() -> None:
    translated = from_paths_ignore(["/docs"])
    assert (translated.rules, translated.dead) == ((("**",),), ("/docs",))


def test_what_cannot_be_said_is_told_beside_the_rest() -> None:
    translated = from_paths(["a/**", "v[0-9]+", "!b/"])
    assert (translated.rules, translated.dead) == ((("a/**/*",),), ("!b/",))
    assert [pattern for pattern, _ in translated.inexact] == ["v[0-9]+"]
