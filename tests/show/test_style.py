"""Roles of words: no width, no way in for foreign text, colours only where they are asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.show import style
from toolkit.show.style import Role, marked
from toolkit.show.table import room, table
from toolkit.show.text import line, quote, wrapped

HOSTILE = st.text(st.sampled_from("\x01\x02\x03\x1bgwb[0m ok\n")) | st.text()


def test_a_mark_has_no_width() -> None:
    assert style.width(f"a {marked('failed', Role.BAD)} b") == len("a failed b")
    assert style.plain(marked("failed", Role.BAD)) == "failed"


def test_nothing_is_marked_without_a_role_or_without_words() -> None:
    assert marked("clean", None) == "clean"
    assert marked("", Role.GOOD) == ""


@pytest.mark.parametrize("role", Role)
def test_a_table_with_roles_has_the_columns_of_the_same_table_without(role: Role) -> None:
    headers = ("name", "state", "why")
    cells = [("a", "due", "x"), ("本語", "clean and more", "y"), ("c", "ok", "")]
    roles = [(name, marked(state, role), why) for name, state, why in cells]
    assert style.plain(table(headers, roles)) == table(headers, cells)
    assert room(roles, headers, 2, 80) == room(cells, headers, 2, 80)
    assert marked("clean and more", role) in table(headers, roles)


@given(st.lists(st.tuples(st.text("ab ", min_size=1, max_size=9), st.sampled_from([None, *Role]))))
def test_a_sentence_with_roles_is_wrapped_as_wide_as_one_without(
    pieces: list[tuple[str, Role | None]],
) -> None:
    sentence = " ".join(marked(words, role) for words, role in pieces)
    lines = wrapped(sentence, 20)
    assert all(style.width(text) <= 20 for text in lines)
    # No mark is torn: what is left of them would be shown.
    assert not set("\x01\x02\x03") & set("".join(map(style.plain, lines)))


@given(HOSTILE)
def test_foreign_text_that_was_quoted_has_no_role(text: str) -> None:
    for shown in (quote(text), line(text)):
        assert [role for _, role in style.pieces(shown)] == [None]


@given(HOSTILE)
def test_the_pieces_are_the_whole_text(text: str) -> None:
    assert "".join(words for words, _ in style.pieces(text)) == style.plain(text)
