"""Tables fit 80 columns and read well without colour, in a pipe and by a screen reader."""

from hypothesis import given
from hypothesis import strategies as st

from toolkit.show.table import room, table
from toolkit.show.text import clipped

HEADERS = ("target", "files", "reason", "estimate")


def test_a_table_is_its_headers_a_rule_and_a_line_a_row() -> None:
    rows = [("app", 2, "backend/a.py", "2m30s"), ("infrastructure", 10, "cdk/app.py", "18m")]
    assert table(HEADERS, rows, right=(1,)).splitlines() == [
        "target          files  reason        estimate",
        "--------------  -----  ------------  --------",
        "app                 2  backend/a.py  2m30s",
        "infrastructure     10  cdk/app.py    18m",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert table(("target", "files"), [("日本", 1), ("app", 2)]).splitlines() == [
        "target  files",
        "------  -----",
        "日本    1",
        "app     2",
    ]


def test_no_line_ends_in_spaces() -> None:
    assert not [
        line for line in table(HEADERS, [("a", 1, "", "")]).splitlines() if line.endswith(" ")
    ]


def test_what_looks_like_a_number_is_shown_as_it_was_written() -> None:
    assert table(("version",), [("1.10",), ("007",), ("1e5",), ("0x1F",)]).splitlines()[2:] == [
        "1.10",
        "007",
        "1e5",
        "0x1F",
    ]


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(("a", "b"), []).splitlines()[0].split() == ["a", "b"]


def test_room_is_what_the_other_columns_leave() -> None:
    rows = [("a" * 10, 1, "a long reason", "2m30s"), ("b", 100, "another reason", "1h")]
    assert room(rows, HEADERS, 2, 80) == 80 - len("a" * 10) - len("files") - len("estimate") - 6


def test_room_is_never_less_than_can_be_read() -> None:
    rows = [("a" * 100, 1, "a long reason", "2m30s")]
    assert room(rows, HEADERS, 2, 80) == 12
    assert room(rows, ("a", "b", "a header of 20 chars", "c"), 2, 80) == 20


WORDS = st.text("abcdefgh/.-_", min_size=1, max_size=60)


@given(
    st.lists(
        st.tuples(
            st.text("ab-", min_size=1, max_size=30),
            st.integers(0, 99999),
            WORDS,
            st.text("0hms", max_size=8),
        ),
        min_size=1,
    )
)
def test_a_table_with_its_reasons_clipped_fits_eighty_columns(
    rows: list[tuple[str, int, str, str]],
) -> None:
    space = room(rows, HEADERS, 2, 80)
    lines = table(
        HEADERS, [(*row[:2], clipped(row[2], space), row[3]) for row in rows], right=(1,)
    ).splitlines()
    assert len(lines) == len(rows) + 2
    assert max(map(len, lines)) <= 80
