"""Patterns of dorny/paths-filter in ours: the recorded answers of the real picomatch 2.3.1, and how
they are written.
"""

import contextlib
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats.glob import alternatives
from toolkit.impact.matcher import Matcher
from toolkit.init.filters.picomatch import Inexact, from_picomatch, negates

_RECORDED = Path(__file__).parents[2] / "data" / "picomatch.json.gz"


def _matched(pattern: str, paths: list[str]) -> set[str]:
    """The paths that a pattern matches, said in ours."""
    lines = from_picomatch(pattern)
    if not lines:
        return set(paths) if negates(pattern) else set()
    matcher = Matcher([lines])
    return {path for path in paths if matcher.match(path)}


def test_every_pattern_that_can_be_said_matches_what_picomatch_matches() -> None:
    recorded = json.loads(gzip.decompress(_RECORDED.read_bytes()))
    paths: list[str] = recorded["paths"]
    wrong, number = {}, 0
    for pattern, bits in recorded["answers"].items():
        real = {path for position, path in enumerate(paths) if int(bits, 36) >> position & 1}
        try:
            ours = _matched(pattern, paths)
        except Inexact:
            continue
        number += 1
        if real ^ ours:
            wrong[pattern] = real ^ ours
    assert wrong == {}
    assert number > 2500


@pytest.mark.parametrize(
    "pattern",
    [
        "api/**",
        "**/*.go",
        "**.go",
        "go.*",
        "src/{a,b}/**/*.{ts,tsx}",
        "a/[id].ts",
        "[a-c]*",
        ".github/workflows/ci.yml",
        "{{name}}/x",
        "v{1..3}/a",
    ],
)
def test_a_pattern_that_means_the_same_stays_as_it_is(pattern: str) -> None:
    assert from_picomatch(pattern) == (pattern,)


@pytest.mark.parametrize(
    ("pattern", "ours"),
    [
        ("./a/**", ("a/**",)),
        ("a**/b", ("a*/b",)),
        ("src/**.ts", ("src/*.ts",)),
        ("**.{ts,js}", ("*.ts", "*.js")),
        ("{**/*.json,a}", ("*/**/*.json", "a")),
        ("{a/**,b}", ("a/**/*", "b")),
        ("[!a]b", (r"[\!a]b", r"\[!a\]b")),
        ("a/@(b|c)/*", ("a/b/*", "a/c/*")),
        ("a?(b)", ("a", "ab")),
        ("app/(auth)/page.tsx", ("app/auth/page.tsx", r"app/\(auth\)/page.tsx")),
        ("*/**", ("*/**",)),
        ("{a,b*}/**", ("a/**", "b*", "b*/**")),
        ("a/**/{*,b}", ("a", "a/**/*", "a/**/b")),
        ("a/**/{*,b}/**", ("a", "a/**/*", "a/**/*/**", "a/**/b/**")),
        ("a{b", (r"a\{b",)),
        ("!**.md", ("!*.md",)),
        ("**/!(*.md)", ("**/*", "!**/*.md")),
        ("!(docs)/**", ("*", "*/**", "!docs**")),
        ("src/**/!(*.test).ts", ("src/**/*.ts", "!src/**/*.test.ts*")),
    ],
)
def test_a_pattern_that_means_something_else_is_written_out(
    pattern: str, ours: tuple[str, ...]
) -> None:
    assert from_picomatch(pattern) == ours


@pytest.mark.parametrize("pattern", ["/a", "a//b", "a/", "../a", "a/./b", "a/**/", "./", "{a/,b/}"])
def test_a_pattern_that_no_path_can_match_is_none(pattern: str) -> None:
    assert from_picomatch(pattern) == ()


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "+(a)",
            "*(a)",
            "a!(b)c",
            "**/!(a)/**",
            "{a,a/b}/!(c)/**",
            "(?:a)",
            "(a)+",
            "[ab]+",
            "(a)?",
            "c++",
        ),
        *(
            "a(b",
            "a)/b",
            "!{a",
            'a"b"',
            "a/x|b",
            "!!a",
            r"a\d",
            "{a..bc}",
            "{01..10}",
            "x.y{1..2}",
            "[[:punct:]]",
            "[z-a]",
            "[a/b]",
        ),
        *(
            "x" * 2000,
            "{a,b}" * 20,
            "(a.*)/" * 100 + "a",
            "(" * 300 + ")" * 300,
            "{" * 300 + "a,b" + "}" * 300,
        ),
    ],
)
def test_what_cannot_be_said_is_refused(pattern: str) -> None:
    with pytest.raises(Inexact):
        from_picomatch(pattern)


@given(st.text('ab*?[]{}()!|,./\\+@-^"1:', max_size=12).map(lambda text: text or "a"))
def test_whatever_a_pattern_is_the_answer_is_usable_patterns_or_a_refusal(pattern: str) -> None:
    with contextlib.suppress(Inexact):
        assert all(alternatives(text.removeprefix("!")) for text in from_picomatch(pattern))
