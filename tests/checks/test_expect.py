"""What is expected of an answer: what holds, what does not, and how that is told."""

from typing import Any

import pytest
from msgspec import UNSET

from toolkit.checks import expect
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
    assert of_json("$..b", {"exists": False}, deep) == []
    assert expect.parsed(b"[" * 100_000) is UNSET


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
