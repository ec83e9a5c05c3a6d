"""Rows of data: which there are, and what is told of a file that has none."""

import re
from typing import Any

import pytest

from toolkit.config.rows import MOST_ROWS, read_rows, wrong_rows


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [
        ("a.csv", b"x,y\n1,2\n3,4\n", [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}]),
        ("a.csv", b"\xef\xbb\xbfx\r\n1\r\n", [{"x": "1"}]),
        ("a.csv", b'x\n"a, ""b""\nc"\n', [{"x": 'a, "b"\nc'}]),
        ("a.csv", "x\na\u2028b\n".encode(), [{"x": "a\u2028b"}]),
        ("a.CSV", b"x\n\n1\n\n", [{"x": "1"}]),
        ("a.json", b'[{"n": 1, "t": null}, {"n": 2.5}]', [{"n": 1, "t": None}, {"n": 2.5}]),
    ],
)
def test_a_file_has_rows(name: str, data: bytes, rows: Any) -> None:
    assert list(read_rows(name, data)) == rows


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"", "a.csv: there are no rows"),
        ("a.csv", b"x,y\n", "a.csv: there are no rows"),
        ("a.csv", b"x,y\n1\n", "a.csv: row 1 has 1 values, but its first line 2 names"),
        ("a.csv", b"x,x\n1,2\n", "a.csv: its first line has a name twice"),
        ("a.csv", b"a b\n1\n", "'a b' cannot be written `{name}`"),
        ("a.csv", b'x\n"1\n', "a.csv:"),
        ("a.csv", b"\xff", "a.csv is not UTF-8"),
        ("a.csv", b"x\n" + b"1\n" * 600, "500 are the most"),
        ("a.csv", b"x\n" + b"1" * 200_000, "field larger than field limit"),
        ("a.json", b"[1]", "a.json is not a list of tables"),
        ("a.json", b"{}", "a.json is not a list of tables"),
        ("a.json", b"[" * 100_000, "a.json is not JSON"),
        ("a.json", b'[{"a-b": 1}]', "'a-b' cannot be written `{name}`"),
    ],
)
def test_a_file_without_rows_is_told_with_its_reason(name: str, data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_rows(name, data)


def test_too_many_rows_are_a_problem() -> None:
    assert wrong_rows([{"a": 1}] * MOST_ROWS) is None
    assert wrong_rows([{"a": 1}] * (MOST_ROWS + 1)) == "there are 501 rows; 500 are the most"


@pytest.mark.parametrize(
    "name", ["/etc/passwd.csv", "../a.csv", "a/../b.csv", "./a.csv", "a.txt", "{x}.csv", "a//b.csv"]
)
def test_a_data_file_lies_below_the_folder_of_rules_toml(name: str) -> None:
    assert wrong_rows(name)
