"""Words for people: no foreign string can move a cursor, forge a line or speak to a CI system."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.errors import NotARepository, Problem, RulesError, UnknownRef, UsageError
from toolkit.formats.durations import seconds
from toolkit.formats.words import count
from toolkit.show.problem import error
from toolkit.show.text import (
    clipped,
    duration,
    line,
    listing,
    quote,
    shortened,
    wrapped,
)

ODD = st.text(
    st.one_of(
        st.characters(exclude_categories=()),
        st.sampled_from('\x1b\n\r\t"\\ :#[x\x7f\u202e\u2028\u200b\udc80\udcff\xa0é\x9b'),
    )
)

COMMAND = re.compile(r"##\w*\[")
"""What Azure, TeamCity and GitHub's old syntax find anywhere in a line."""


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b.c",
        "a b",
        "é",
        "日本.ts",
        "a'b",
        'a"b',
        "a\\b",
        "a::b",
        "-x",
        "#a",
        "##a",
        "[a]",
        "👍",
        "a=$(b)",
        "*",
    ],
)
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert quote(name) == name


QUOTED = {
    "": '""',
    "a\nb": '"a\\nb"',
    "a\tb\r": '"a\\tb\\r"',
    "\x1b[31mred": '"\\x1b[31mred"',
    "\x07": '"\\x07"',
    "\x7f": '"\\x7f"',
    "\x9b31m": '"\\u009b31m"',
    "caf\udce9": '"caf\\xe9"',
    "\ud800": '"\\ud800"',
    "a\u202eb": '"a\\u202eb"',
    "a\u2066b": '"a\\u2066b"',
    "a\u200bb": '"a\\u200bb"',
    "a\u2028b": '"a\\u2028b"',
    "a\xa0b": '"a\\u00a0b"',
    "\U000e0041": '"\\U000e0041"',
    " a": '" a"',
    "a ": '"a "',
    " é": '" é"',
    '"a"': '"\\"a\\""',
    '"é"': '"\\"é\\""',
    '"a\\n': '"\\"a\\\\n"',
    "::error::a": '"::error::a"',
    "::error::é": '"::error::é"',
    "##[error]a": '"##\\x5berror]a"',
    "a##vso[task.setvariable]b": '"a##vso\\x5btask.setvariable]b"',
    "é##[group]": '"é##\\x5bgroup]"',
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error file=a.py,line=1::pwned", "\\x3a:error file=a.py,line=1::pwned"),
        ("see ::add-mask::x", "see \\x3a:add-mask::x"),
        ("host is at ::1, which", "host is at ::1, which"),
        ("std::vector ::ffff:1.2.3.4", "std::vector ::ffff:1.2.3.4"),
    ],
)
def test_a_workflow_command_that_a_line_could_begin_with_is_none_any_more(
    text: str, shown: str
) -> None:
    assert line(text) == shown


@pytest.mark.parametrize("name", QUOTED)
def test_an_odd_name_is_quoted_with_escapes(name: str) -> None:
    assert quote(name) == QUOTED[name]


@given(ODD)
def test_a_quoted_name_is_one_printable_line_that_is_no_command(name: str) -> None:
    quoted = quote(name)
    assert quoted.isprintable()
    assert len(quoted.splitlines()) == 1
    assert not quoted.startswith(("::", " "))
    assert not COMMAND.search(quoted)


@given(ODD, ODD)
def test_different_names_have_different_quotes(first: str, text: str) -> None:
    assert (quote(first) == quote(text)) == (first == text)


@given(st.text("abcz09._-/ABCé日", min_size=1))
def test_a_name_of_letters_digits_and_signs_is_never_quoted(name: str) -> None:
    assert quote(name) == name


@given(ODD)
def test_a_sentence_is_one_printable_line_that_is_no_command(text: str) -> None:
    assert line(text).isprintable()
    assert not COMMAND.search(line(text))
    assert line(text) == text or not text.isprintable() or COMMAND.search(text)


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abcdefghij", 10, "abcdefghij"),
        ("abcdefghijk", 10, "ab...ghijk"),
        ("backend/src/components/login/Login.tsx", 30, "backend/.../login/Login.tsx"),
        ("backend/src/components/login/Login.tsx", 25, "backend/.../Login.tsx"),
        ("backend/src/components/login/Login.tsx", 20, "backe...in/Login.tsx"),
        ("abcdefghijk", 6, "abcdef"),
        ("abcdefghijk", 0, ""),
        ("", 0, ""),
    ],
)
def test_a_long_text_is_shortened_in_its_middle_by_whole_folders_first(
    text: str, width: int, expected: str
) -> None:
    assert clipped(text, width) == expected


@given(st.text("abc/é", max_size=40), st.integers(0, 50))
def test_a_clipped_text_has_room_and_keeps_its_ends(text: str, width: int) -> None:
    short = clipped(text, width)
    assert len(short) <= width
    assert (short == text) == (len(text) <= width)
    before, _, after = short.partition("...")
    assert text.startswith(before)
    assert text.endswith(after)


@pytest.mark.parametrize(
    ("sentence", "width", "expected"),
    [
        ("no deploy is recorded", 21, "no deploy is recorded"),
        ("no deploy is recorded", 20, "no deploy is..."),
        ("no deploy is recorded", 15, "no deploy is..."),
        ("no deploy is recorded", 14, "no deploy..."),
        ("its last deploy (run 2026-aaaa) ended as failed", 21, "its last deploy..."),
        ("unpronounceable", 12, "unpronoun..."),
        ("unpronounceable", 2, ".."),
    ],
)
def test_a_long_sentence_is_cut_behind_a_word(sentence: str, width: int, expected: str) -> None:
    assert shortened(sentence, width) == expected


@given(st.text("ab ,(", max_size=40), st.integers(0, 50))
def test_a_cut_sentence_has_room_and_keeps_its_beginning(sentence: str, width: int) -> None:
    short = shortened(sentence, width)
    assert len(short) <= width
    assert (short == sentence) == (len(sentence) <= width)
    assert sentence.startswith(short.rstrip("."))


WORDS = st.text("ab/-", min_size=1, max_size=30)


@given(st.lists(WORDS, min_size=1, max_size=12), st.integers(0, 4), st.integers(10, 60))
def test_a_wrapped_sentence_keeps_its_words_and_breaks_none(
    words: list[str], indent: int, width: int
) -> None:
    lines = wrapped(" " * indent + " ".join(words), width)
    assert " ".join(lines).split() == words
    assert lines[0].startswith(" " * indent + words[0])
    assert all(len(item) <= width or len(item.split()) == 1 for item in lines)


def test_a_sentence_that_fits_is_left_alone() -> None:
    assert wrapped("  a b  c", 8) == ["  a b  c"]
    assert wrapped("  a b c", 6, "    ") == ["  a b", "    c"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (59, "59s"),
        (60, "1m"),
        (150, "2m30s"),
        (3600, "1h"),
        (3601, "1h1s"),
        (90061, "25h1m1s"),
    ],
)
def test_a_duration_is_said_in_hours_minutes_and_seconds(number: int, text: str) -> None:
    assert duration(number) == text


@given(st.integers(0, 999 * 3600))
def test_a_duration_is_read_as_it_is_written(number: int) -> None:
    assert seconds(duration(number)) == number


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1000, "1,000 files")]
)
def test_things_are_counted_in_their_plural(number: int, text: str) -> None:
    assert count(number, "file") == text


def test_a_plural_may_be_another_word() -> None:
    assert (count(1, "entry", "entries"), count(2, "entry", "entries")) == ("1 entry", "2 entries")


def test_a_long_list_is_cut_and_the_rest_counted() -> None:
    assert listing(["a", "b\n", "c", "d"], 2) == ["a", '"b\\n"', "and 2 more"]
    assert listing(["a", "b"], 2) == ["a", "b"]
    assert listing([], 2) == []


# Errors.


def test_an_error_is_one_line_and_the_next_thing_to_do() -> None:
    assert error(UnknownRef(ref="mian")) == [
        "error: mian is not a commit of this repository",
        "hint: see:",
        "  git branch --all",
        "  git tag",
    ]


def test_an_error_without_a_hint_is_one_line() -> None:
    assert error(UsageError("that cannot be")) == ["error: that cannot be"]


def test_a_foreign_name_in_an_error_is_quoted() -> None:
    assert (
        error(NotARepository(folder="/a\n::error::b"))[0]
        == 'error: "/a\\n::error::b" is not in a git repository'
    )


def test_a_foreign_name_in_a_sentence_of_an_error_is_made_harmless() -> None:
    assert error(UsageError("no 'a\x1b[31m'", "try {this} or ##[that]")) == [
        "error: no 'a\\x1b[31m'",
        "hint: try {this} or ##\\x5bthat]",
    ]


def test_a_wrong_rules_file_is_a_line_for_each_problem() -> None:
    problems = [
        Problem(3, "rules[0].paths", "expected an array"),
        Problem(None, "", "it is not UTF-8"),
    ]
    assert error(RulesError("rules.toml", problems)) == [
        "error: rules.toml:3: rules[0].paths: expected an array",
        "       rules.toml: it is not UTF-8",
        "hint: fix it, then run:",
        "  toolkit rules check",
    ]


def test_only_the_first_problems_of_a_rules_file_are_shown() -> None:
    lines = error(
        RulesError("rules.toml", [Problem(position, "", "wrong") for position in range(1, 16)])
    )
    assert len(lines) == 13
    assert lines[10] == "       and 5 more"


@given(ODD, ODD)
@example("a\n::error::b", "c")
@example("a", "b\n::error::c")
def test_a_key_from_a_strangers_rules_starts_no_line_of_its_own(key: str, message: str) -> None:
    lines = error(RulesError("rules.toml", [Problem(1, key, message)]))
    assert len(lines) == 3
    assert all(item.isprintable() for item in lines)
    assert lines[0].startswith("error: rules.toml:1: ")


@given(ODD)
def test_any_fact_of_an_error_leaves_it_one_line(name: str) -> None:
    lines = error(UnknownRef(ref=name))
    assert lines[0] == f"error: {quote(name)} is not a commit of this repository"
