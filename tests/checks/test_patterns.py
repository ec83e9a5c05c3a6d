"""Regular expressions on what strangers answer: what they mean, and that they end."""

import re
from time import process_time

import pytest

from toolkit.checks import patterns
from toolkit.errors import ProbeRefused


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(.*)*x", "a?" * 90 + "a" * 90])
def test_a_pattern_that_would_keep_backtracking_ends_at_once(pattern: str) -> None:
    began = process_time()
    patterns.is_match(pattern, "a" * 64_000)
    assert process_time() - began < 5


def test_a_pattern_too_large_for_a_text_is_refused_and_not_tried() -> None:
    with pytest.raises(ProbeRefused, match="too large for a text of this length"):
        patterns.is_match("(?:(?:a|b|c|d|e|.){0,100}x){1,9}y", "a" * (1 << 20))


def test_half_a_character_is_no_error() -> None:
    assert not patterns.is_match("x", "\ud800")


@pytest.mark.parametrize("text", ["a b-c#&~'\"", "x.y*z", "\n\t/\\", "{}()[]|^$+?", "é_9"])
def test_what_stands_for_a_name_in_a_pattern_stands_for_itself(text: str) -> None:
    assert patterns.search(re.escape(text), f"<{text}>")[0] == text


def test_a_name_in_a_pattern_is_no_problem() -> None:
    assert patterns.problem(r"^id-{id}-\d{{2}}$") is None
    assert patterns.problem(r"^id-{id") is None
    assert "not a regular expression of RE2" in str(patterns.problem("({id}"))
