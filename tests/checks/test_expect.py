"""What is expected of an answer: what holds, what does not, and how that is told."""

from typing import Any

import pytest
from msgspec import UNSET

from toolkit.checks import charsets, expect
from toolkit.checks.expect import Expect
from toolkit.operations import Mismatch

CARS = {
    "cars": [{"id": "c1", "price": 30}, {"id": "c2", "price": 45.5}],
    "next": None,
    "open": True,
    "n": 2,
}


def of_json(path: str, expected: Any, content: Any = CARS) -> list[Mismatch]:
    return list(expect.json_mismatches(content, {path: expected}))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.cars[0].id", "c1"),
        ("$.cars[-1].price", 45.5),
        ("$.n", 2.0),
        ("$.open", True),
        ("$.next", {"equals": None}),
        ("$.cars", {"length": 2}),
        ("$.cars[*].id", {"equals": ["c1", "c2"]}),
        ("$.cars[*].id", {"contains": "c2"}),
        ("$..price", {"length": 2}),
        ("$.cars[0]", {"equals": {"id": "c1", "price": 30}}),
        ("$.n", {"min": 2, "max": 2}),
        ("$.cars[0].id", {"like": "c?"}),
        ("$.cars[0].id", {"not": "c2"}),
        ("$.gone", {"exists": False}),
        ("$.cars[?@.price > 40].id", ["c2"]),
        ("$['a..b..c'].x", {"exists": False}),
        ('$.cars[?@.id == "c1..$..,"]', {"exists": False}),
        ("$.cars[0]['id','price']", ["c1", 30]),
        ("$.n", {"type": "number"}),
        ("$.n", {"type": "integer"}),
        ("$.n", {"min": "2", "max": "2.5"}),
        ("$.cars[?@.price > 100]", {"length": 0}),
        ("$.cars[?@.price > 100].id", []),
        ("$.cars[?@.price > 100].id", {"exists": False}),
        ("$.cars", {"length": {"min": 1, "max": 2}}),
        ("$.cars", {"length": "2"}),
        ("$.cars[*].price", {"every": {"min": 30, "type": "number"}}),
        ("$.cars", {"every": {"type": "object"}}),
        ("$.cars[*].id", {"every": {"matches": "^c[0-9]$"}}),
        ("$.cars[0].id", {"matches": "1"}),
        ("$.cars[0].id", {"excludes": "2"}),
        ("$.cars[*].id", {"excludes": "c3"}),
        ("$.next", {"type": "null"}),
    ],
)
def test_a_condition_that_holds_is_no_miss(path: str, expected: Any) -> None:
    assert of_json(path, expected) == []


@pytest.mark.parametrize(
    ("path", "expected", "miss"),
    [
        ("$.n", 3, ("3", "2")),
        ("$.n", "2", ('"2"', "2")),
        ("$.n", True, ("true", "2")),
        ("$.open", 1, ("1", "true")),
        ("$.gone", "x", ('"x"', "nothing")),
        ("$.n", {"exists": False}, ("nothing", "2")),
        (
            "$.cars",
            {"length": 3},
            ("3 items", '[{"id": "c1", "price": 30}, {"id": "c2", "price": 45.5}]'),
        ),
        ("$.n", {"min": 3}, ("at least 3", "2")),
        ("$.open", {"min": 0}, ("at least 0", "true")),
        ("$.n", {"max": 1, "type": "string"}, ('at most 1, a value of type "string"', "2")),
        ("$.cars[0].id", {"contains": "x"}, ('contains "x"', '"c1"')),
        ("$.cars[0].id", {"like": "d*"}, ('like "d*"', '"c1"')),
        ("$.open", {"type": "number"}, ('a value of type "number"', "true")),
    ],
)
def test_one_that_does_not_hold_is_told_with_both_sides(
    path: str, expected: Any, miss: tuple[str, str]
) -> None:
    assert of_json(path, expected) == [Mismatch(path, *miss)]


def test_json_that_is_nested_without_end_is_looked_at_without_end() -> None:
    deep: Any = "bottom"
    for _ in range(5000):
        deep = {"a": deep}
    assert of_json("$..b", {"exists": False}, deep) == [
        Mismatch("$..b", "nothing", "unknown: it is nested too deeply")
    ]
    assert charsets.parsed(b"[" * 100_000) is UNSET


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (Expect(json={"status": "ok"}), "start it with `$`, as in `$.status`"),
        (Expect(json={"$.a[": "ok"}), "is not a JSON path"),
        (Expect(json={"$.a[?match(@.b, '(a+)+$')]": 1}), "is not a JSON path"),
        (Expect(json={"$..*..*": 1}), "could take for ever on a hostile answer"),
        (Expect(json={"$[?$..b]": 1}), "could take for ever on a hostile answer"),
        (Expect(json={"$[?@..b]": 1}), "could take for ever on a hostile answer"),
        (Expect(json={"$[*,*][*,*]": 1}), "could take for ever on a hostile answer"),
        (Expect(json={f"$.{'a' * 300}": 1}), "could take for ever on a hostile answer"),
        (Expect(json={"$.a": {"minimum": 1}}), "unknown field `minimum`"),
        (Expect(json={"$.a": {"type": "text"}}), "'text' is not a type of JSON"),
        (Expect(within="fast"), 'such as "800ms"'),
        (Expect(headers={"X": {"is": "y"}}), "X: Object contains unknown field `is`"),
    ],
)
def test_what_cannot_be_expected_is_told_when_rules_are_read(expected: Expect, words: str) -> None:
    assert words in (expect.problem(expected) or "")


@pytest.mark.parametrize(
    ("status", "expected", "miss"),
    [
        (200, None, None),
        (204, None, None),
        (301, None, ("2xx", "301")),
        (404, 404, None),
        (500, 404, ("404", "500")),
        (201, (200, 201), None),
        (500, (200, 201), ("200 or 201", "500")),
    ],
)
def test_a_status_is_the_wanted_one_or_any_good_one(
    status: int, expected: Any, miss: tuple[str, str] | None
) -> None:
    assert list(expect.status_mismatches(status, expected)) == (
        [] if miss is None else [Mismatch("status", *miss)]
    )


def test_of_several_headers_of_a_name_one_has_to_fit() -> None:
    headers = [
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("Content-Type", "text/html; charset=utf-8"),
    ]
    assert (
        list(
            expect.header_mismatches(
                headers, {"Set-Cookie": {"like": "b=*"}, "content-type": {"like": "text/*"}}
            )
        )
        == []
    )
    assert list(expect.header_mismatches(headers, {"X-Frame-Options": "DENY"})) == [
        Mismatch("header X-Frame-Options", '"DENY"', "nothing")
    ]


COOKIES = [("Set-Cookie", "a=1; Secure"), ("Set-Cookie", "debug=1"), ("X", "a"), ("X", "b")]


@pytest.mark.parametrize(
    ("name", "condition", "miss"),
    [
        (
            "set-cookie",
            {"excludes": "debug"},
            Mismatch("header set-cookie", 'without "debug"', '"debug=1"'),
        ),
        (
            "set-cookie",
            {"contains": "a=", "excludes": "debug"},
            Mismatch("header set-cookie", 'without "debug"', '"debug=1"'),
        ),
        ("X", {"not": "b"}, Mismatch("header X", 'not "b"', '"b"')),
        ("X", {"exists": False}, Mismatch("header X", "nothing", '"a"')),
        ("set-cookie", {"contains": "a=", "excludes": "trace"}, None),
        ("X", {"equals": "b", "not": "c"}, None),
    ],
)
def test_what_is_forbidden_is_in_none_of_several_headers_of_a_name(
    name: str, condition: Any, miss: Mismatch | None
) -> None:
    misses = list(expect.header_mismatches(COOKIES, {name: condition}))
    assert misses == ([miss] if miss else [])


@pytest.mark.parametrize("key", ["min", "max"])
def test_a_bound_that_turns_out_to_be_no_number_does_not_hold(key: str) -> None:
    assert of_json("$.n", {key: "abc"}, {"n": 5})
    assert of_json("$.n", {key: "5"}, {"n": 5}) == []


def test_too_late_is_a_miss_with_both_times() -> None:
    assert list(expect.time_mismatches(0.9, "800ms")) == [
        Mismatch("time", "at most 800ms", "900ms")
    ]
    assert list(expect.time_mismatches(0.9, "1s")) == []


def test_a_text_is_what_the_body_holds_and_a_condition_is_about_all_of_it() -> None:
    assert list(expect.body_mismatches("<title>Cars</title>", "Cars")) == []
    assert list(expect.body_mismatches("<title>Cars</title>", {"like": "<title>*"})) == []
    assert list(expect.body_mismatches("oh", "Cars")) == [
        Mismatch("body", 'contains "Cars"', '"oh"')
    ]


@pytest.mark.parametrize(
    ("path", "expected", "miss"),
    [
        ("$.cars[?@.price > 100].id", {"not": "c1"}, ('not "c1"', "nothing")),
        ("$.cars[?@.price > 100].id", {}, ("something", "nothing")),
        ("$.gone", {"length": 0}, ("0 items", "nothing")),
        ("$.cars[?@.price > 100]", {"every": {"min": 1}}, ("every item at least 1", "nothing")),
        ("$.cars[*].price", {"every": {"max": 40}}, ("every item at most 40", "[30, 45.5]")),
        ("$.n", {"every": 2}, ("every item 2", "2")),
        ("$.cars[0].id", {"matches": "^1"}, ('matches "^1"', '"c1"')),
        ("$.n", {"matches": "2"}, ('matches "2"', "2")),
        ("$.cars[0].price", {"length": 2}, ("2 items", "30")),
        ("$.cars[1].price", {"type": "integer"}, ('a value of type "integer"', "45.5")),
        ("$.cars[*].id", {"excludes": "c2"}, ('without "c2"', '["c1", "c2"]')),
        ("$.n", {"excludes": "c2"}, ('without "c2"', "2")),
        ("$.cars", {"length": {"min": 3}}, ("a length of at least 3", None)),
    ],
)
def test_a_condition_on_several_values_that_does_not_hold_is_told(
    path: str, expected: Any, miss: tuple[str, str | None]
) -> None:
    found = of_json(path, expected)[0]
    assert (found.wanted, found.found if miss[1] is not None else None) == miss


@pytest.mark.parametrize(
    ("expected", "status", "holds"),
    [
        (None, 204, True),
        (None, 304, False),
        ("2xx", 299, True),
        ("2xx", 300, False),
        ("200-204", 204, True),
        ("200-204", 205, False),
        ((404, "5xx"), 503, True),
        ((404, "5xx"), 403, False),
        ("404", 404, True),
        (200, 200, True),
    ],
)
def test_a_status_fits_what_is_expected(expected: Any, status: int, holds: bool) -> None:
    assert (not list(expect.status_mismatches(status, expected))) is holds


def test_an_expected_status_is_told_as_it_was_written() -> None:
    assert list(expect.status_mismatches(403, (404, "5xx"))) == [
        Mismatch("status", "404 or 5xx", "403")
    ]


@pytest.mark.parametrize("status", ["2x", "ok", "600", "20-204", "1000"])
def test_what_is_no_status_is_a_problem(status: str) -> None:
    problem = expect.problem(Expect(status=status))
    assert problem == f'{status!r} is not a status; write 200, "2xx" or "200-204"'


@pytest.mark.parametrize(
    "condition",
    [
        {"matches": "("},
        {"matches": "(?=a)"},
        {"matches": "x" * 1001},
        {"matches": "((a{0,100}){0,10}){0,10}b"},
        {"every": {"matches": "("}},
        {"every": {"mim": 1}},
        {"length": {"mim": 1}},
        {"min": "many"},
        {"length": "1,5"},
    ],
)
def test_a_condition_that_cannot_be_meant_is_a_problem(condition: Any) -> None:
    assert expect.problem(Expect(json={"$.a": condition}))


@pytest.mark.parametrize(
    ("value", "expected", "holds"),
    [
        ("5", 5, True),
        ("5", {"not": 5}, False),
        ("5", {"min": 5, "max": 5}, True),
        ("5", {"min": 6}, False),
        ("abc", {"min": 0}, False),
        ("abc", {"matches": "b"}, True),
    ],
)
def test_a_header_is_text_and_may_be_compared_with_a_number(
    value: str, expected: Any, holds: bool
) -> None:
    misses = expect.header_mismatches([("X-N", value)], {"x-n": expected})
    assert (not list(misses)) is holds


def test_a_body_that_holds_a_number_is_found_by_it() -> None:
    assert not list(expect.body_mismatches("a 5 b", 5))
    assert list(expect.body_mismatches("a b", 5))


def test_every_item_of_an_empty_list_is_no_item() -> None:
    assert of_json("$.none", {"every": {"min": 1}}, {"none": []}) == [
        Mismatch("$.none", "every item at least 1", "[]")
    ]
