"""`{name}`: what it stands for in targets and in checks."""

from typing import Any

import pytest
from msgspec import Struct

from toolkit.checks import expect
from toolkit.errors import ProbeError
from toolkit.formats.variables import (
    DATES,
    dated_in_check,
    fill,
    fill_all,
    fill_check,
    names,
    names_in_check,
)


class HttpText(Struct, frozen=True):
    http: str
    json: Any = None


def test_only_known_variables_of_a_text_are_filled_in() -> None:
    text = "{a}-{b}-{{a}}-{a+1}-{1}-{}"
    assert names(text) == {"a", "b"}
    assert fill(text, {"a": "{b}", "1": "x"}) == "{b}-{b}-{{b}}-{a+1}-{1}-{}"


def test_texts_are_filled_in_at_any_depth_and_keys_stay() -> None:
    value = {"{a}": ["{a}", ("{a}", 1, None)]}
    assert fill_all(value, {"a": "x"}) == {"{a}": ["x", ["x", 1, None]]}


def test_names_are_found_wherever_they_stand() -> None:
    settings = HttpText(
        "GET /cars/{car}", {"{key}": ["{token}", {"deep": "a {b} {day+2}"}], "n": 1}
    )
    assert names_in_check(settings) == {"car", "key", "token", "b", "day"}


def test_doubled_braces_are_plain_ones() -> None:
    settings = HttpText("GET /", '{{"car": "{car}"}}')
    assert names_in_check(settings) == {"car"}
    assert fill_check(settings, {"car": "c1"}).json == '{"car": "c1"}'


def test_json_in_a_body_needs_no_doubling() -> None:
    assert fill_check(HttpText("GET /", '{"car": 1}'), {}).json == '{"car": 1}'


def test_days_are_added_to_a_day() -> None:
    assert (
        fill_check(HttpText("GET /{day}/{day+2}"), {"day": "2026-12-31"}).http
        == "GET /2026-12-31/2027-01-02"
    )


def test_days_are_added_to_nothing_else() -> None:
    settings = HttpText("GET /{day+1}/{today+1}/{token+1}/{other}")
    assert dated_in_check(settings).keys() - DATES == {"token"}


def test_a_name_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError, match="token"):
        fill_check(HttpText("GET /{token}"), {})


def test_a_value_with_braces_is_put_in_as_it_is() -> None:
    assert fill_check(HttpText("GET /{a}"), {"a": "{b}", "b": "never"}).http == "GET /{b}"


@pytest.mark.parametrize("value", ["it's", 'say "x"', "a\\b", "x']..*..*['"])
def test_a_value_in_a_json_path_stays_in_the_text_that_it_stands_in(value: str) -> None:
    settings = fill_check(expect.Expect(json={"$.cars[?@.name == '{car}'].n": 1}), {"car": value})
    [path] = settings.json
    assert expect.value_at(
        {"cars": [{"name": value, "n": 7}, {"name": "other", "n": 8}]}, path
    ) == [7]


def test_a_value_that_makes_a_json_path_none_is_no_answer_and_not_nothing() -> None:
    settings = fill_check(expect.Expect(json={"$.{name}": {"exists": False}}), {"name": "a..*..*"})
    with pytest.raises(ProbeError, match="with its values filled in"):
        list(expect.json_mismatches({"a": 1}, settings.json))


class Typed(Struct, frozen=True):
    http: str
    headers: dict[str, str] = {}
    json: Any = None
    status: int | str | tuple[int | str, ...] | None = None
    form: dict[str, str | tuple[str, ...]] | None = None


VALUES = {"n": 5, "yes": True, "list": [1, {"a": "b"}], "text": "x'y"}


def test_a_text_that_is_exactly_one_name_keeps_the_type_of_its_value() -> None:
    filled = fill_check(
        Typed("GET /", json={"n": "{n}", "deep": ["{list}", "{yes}", "{text}"], "{text}": "{n}1"}),
        VALUES,
    )
    assert filled.json == {"n": 5, "deep": [[1, {"a": "b"}], True, "x'y"], "x'y": "51"}
    assert type(filled.json["n"]) is int
    assert filled.json["deep"][1] is True


def test_where_only_text_is_allowed_a_value_is_written_as_json_has_it() -> None:
    filled = fill_check(
        Typed("GET /{n}/{yes}", {"X": "{n}", "Y": "{list}"}, form={"a": "{n}", "b": ("{yes}",)}),
        VALUES,
    )
    assert (filled.http, filled.headers) == (
        "GET /5/true",
        {"X": "5", "Y": '[1,{"a":"b"}]'},
    )
    assert filled.form == {"a": "5", "b": ("true",)}


def test_a_field_that_may_be_a_number_takes_one() -> None:
    assert fill_check(Typed("GET /", status="{n}"), VALUES).status == 5
    assert fill_check(Typed("GET /", status=("{n}", "2xx")), VALUES).status == (5, "2xx")


def test_a_value_in_a_regular_expression_stands_for_itself() -> None:
    expected = expect.Expect(
        json={
            "$.a": {"matches": "^{text}.{dot}$", "every": {"matches": "{dot}"}},
            "$.b": {"equals": {"matches": "{dot}"}},
        },
        body={"matches": "{dot}"},
    )
    filled = fill_check(expected, {"text": "a b", "dot": "."})
    assert filled.json == {
        "$.a": {"matches": r"^a\ b.\.$", "every": {"matches": r"\."}},
        "$.b": {"equals": {"matches": "."}},
    }
    assert filled.body == {"matches": r"\."}
