"""YAML from strangers: plain data, or a refusal in one line, whatever it is."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats.documents import load_yaml


def test_a_workflow_keeps_its_on_as_a_word() -> None:
    assert load_yaml("on: [push]\nno: yes\nOff: 012") == {"on": ["push"], "no": "yes", "Off": "012"}


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = (
        "[true, null, ~, 3, -4, 0x1f, 0o17, 1.5, .5, 1e3, 2024-01-01, 2024-99-99, '1', 1_000,"
        " 12:30]"
    )
    assert load_yaml(text) == [
        True,
        None,
        None,
        3,
        -4,
        31,
        15,
        1.5,
        0.5,
        1000.0,
        "2024-01-01",
        "2024-99-99",
        "1",
        "1_000",
        "12:30",
    ]


def test_the_tags_of_cloudformation_are_read_as_their_values() -> None:
    text = (
        "a: !Ref X\nb: !Sub ['${x}', {x: !GetAtt A.B}]\nc: !If {d: !!python/object/apply:os.system"
        " [x]}"
    )
    assert load_yaml(text) == {"a": "X", "b": ["${x}", {"x": "A.B"}], "c": {"d": ["x"]}}


def test_aliases_and_merges_are_written_out() -> None:
    assert load_yaml("a: &a [x]\nb: [*a, y]\nc: &c {d: 1}\ne: {<<: *c, f: 2}") == {
        "a": ["x"],
        "b": [["x"], "y"],
        "c": {"d": 1},
        "e": {"d": 1, "f": 2},
    }


def _layers(layer: str) -> str:
    """Twelve names, each of which holds the one before nine times."""
    lines = [
        f"a{item}: &a{item} {layer.format(', '.join([f'*a{item - 1}'] * 9))}"
        for item in range(1, 12)
    ]
    return "\n".join(["a0: &a0 {k: 1}", *lines])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 120_000, "inside each other"),
        ("- " * 120_000, "inside each other"),
        ("a: &a [*a]", "holds itself"),
        ("&a {b: *a}", "holds itself"),
        ("a: &a {<<: *a}", "holds itself"),
        (_layers("[{}]"), "its aliases stand for more than"),
        (_layers("{{<<: [{}], x: 1}}"), "its merges copy more than"),
        ("x" * 300_000, "more than 256 kB"),
        ("é" * 140_000, "more than 256 kB"),
        ("a: [\nb: c", "line 3:"),
        ("a: 1\n---\nb: 2", "line 2:"),
        ("a: *b", "line 1:"),
        ("? [a]\n: b", "line 1:"),
        ("!!int x", "cannot be read"),
        ("!!bool x", "cannot be read"),
        ("9" * 5000, "cannot be read"),
        ("\x07", "control characters"),
        ("\udcff", "cannot be read"),
    ],
)
def test_what_would_hurt_its_reader_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load_yaml(text)
    assert "\n" not in str(caught.value)


@given(st.text("ab:-[]{}&*!?<'\"|>#%@,\n \t\udc80", max_size=40))
def test_any_text_is_data_or_a_value_error(text: str) -> None:
    try:
        value = load_yaml(text)
    except ValueError:
        return
    assert isinstance(value, str | int | float | list | dict | set | bytes | None)


_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9999) | st.text("abc on/*!:#-'\"é", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcno", min_size=1, max_size=4), inner, max_size=3)
    ),
)


@given(_DATA)
def test_data_that_was_written_is_read_again(data: object) -> None:
    assert load_yaml(yaml.safe_dump(data)) == data
