"""JSON Schema: what an answer has to be, what a schema may not ask, and that it ends."""

import json
from time import process_time
from typing import Any

import pytest

from tests.ports.net.servers import answer, answering
from toolkit.checks import schemas
from toolkit.errors import ProbeRefused

PERSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "id": {"$ref": "#/$defs/id"},
        "tags": {"type": "array", "uniqueItems": True},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {"id": {"type": "string", "pattern": "^[a-z]+-[0-9]{2}$"}},
}


def data(schema: Any) -> bytes:
    return json.dumps(schema).encode()


def misses(schema: Any, content: Any) -> list[tuple[str, str, str]]:
    return [
        (miss.what, miss.wanted, miss.found) for miss in schemas.mismatches(data(schema), content)
    ]


@pytest.mark.parametrize(
    "content",
    [{"id": "ab-12"}, {"id": "ab-12", "tags": [1, "1", True, [1]], "x-note": "y"}],
)
def test_an_answer_that_is_as_the_schema_says_has_no_mismatch(content: Any) -> None:
    assert schemas.problem("s.json", data(PERSON)) is None
    assert misses(PERSON, content) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"id": "AB"}, ("schema: $.id", '{"pattern": "^[a-z]+-[0-9]{2}$"}', '"AB"')),
        ({}, ("schema: $", '{"required": ["id"]}', "{}")),
        ({"id": "ab-12", "more": 1}, ("schema: $.more", '{"additionalProperties": false}', None)),
        ({"id": "ab-12", "x-y": 1}, ("schema: $['x-y']", '{"type": "string"}', "1")),
        (
            {"id": "ab-12", "tags": [1, 1.0]},
            ("schema: $.tags", '{"uniqueItems": true}', "[1, 1.0]"),
        ),
        ([], ("schema: $", '{"type": "object"}', "[]")),
    ],
)
def test_an_answer_that_is_not_is_told_with_its_place(
    content: Any, expected: tuple[str, str, str | None]
) -> None:
    what, rule, found = expected
    places = misses(PERSON, content)
    assert any(
        (miss[0], miss[1]) == (what, rule) and found in (None, miss[2]) for miss in places
    ), places


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "https://example.com/s.json"}, "leads out of the file"),
        ({"items": {"$ref": "other.json"}}, "leads out of the file"),
        ({"$ref": "file:///etc/passwd"}, "leads out of the file"),
        ({"$ref": "#/$defs/gone"}, "leads to nothing"),
        ({"$ref": "#"}, "refers to itself without end"),
        ({"type": "strnig"}, "$.type: 'strnig' is not valid"),
        ({"pattern": "(?=a)"}, "not a regular expression of RE2"),
        ({"patternProperties": {"(": {}}}, "not a regular expression of RE2"),
        (
            {"unevaluatedProperties": False, "allOf": [{"patternProperties": {"a": {}}}]},
            "`unevaluatedProperties` beside `patternProperties`",
        ),
        ([], "is not a JSON Schema"),
        ({"$schema": []}, "its $schema is not a text"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_problem(schema: Any, words: str) -> None:
    assert words in str(schemas.problem("s.json", data(schema)))


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_no_schema(text: bytes) -> None:
    assert schemas.problem("s.json", text) == "s.json is not JSON"


def test_a_schema_nested_without_end_is_a_problem() -> None:
    schema: Any = {}
    for _ in range(80):
        schema = {"not": schema}
    assert "nested more than" in str(schemas.problem("s.json", data(schema)))


def test_a_schema_that_takes_ever_longer_ends_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "SECONDS", 0.2)
    both = {"properties": {"a": {"$ref": "#"}}}
    content: Any = 1
    for _ in range(60):
        content = {"a": content}
    began = process_time()
    with pytest.raises(ProbeRefused, match="takes longer than"):
        misses({"oneOf": [both, both]}, content)
    assert process_time() - began < 3


@pytest.mark.parametrize("number", ["1e999", "1" * 401, "-1e999"])
def test_a_number_that_is_too_large_for_its_schema_decides_nothing(number: str) -> None:
    content = json.loads(number)
    with pytest.raises(ProbeRefused, match="too large"):
        misses({"multipleOf": 0.5}, content)


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        (
            {"allOf": [{"additionalProperties": {}}], "unevaluatedProperties": False},
            {str(number): 1 for number in range(5001)},
        ),
        ({"allOf": [{"items": {}}], "unevaluatedItems": False}, list(range(5001))),
    ],
)
def test_more_than_can_be_compared_with_each_other_in_time_decides_nothing(
    schema: Any, content: Any
) -> None:
    with pytest.raises(ProbeRefused, match="more than 5,000 keys or items"):
        misses(schema, content)
    few = dict(list(content.items())[:9]) if isinstance(content, dict) else content[:9]
    assert misses(schema, few) == []


def test_many_items_are_compared_in_no_time() -> None:
    began = process_time()
    assert misses({"uniqueItems": True}, [{"n": [number]} for number in range(20_000)]) == []
    assert process_time() - began < 5


def test_a_hostile_text_does_not_keep_a_pattern_busy() -> None:
    began = process_time()
    assert misses({"pattern": "^(a+)+$"}, "a" * 50_000 + "!")
    assert process_time() - began < 3


def test_only_the_first_mismatches_are_told() -> None:
    places = misses({"items": {"type": "string"}}, list(range(100)))
    assert len(places) == schemas.MOST_SHOWN + 1
    assert places[-1] == ("schema", "a body as the schema says", "more mismatches")


def test_nothing_is_fetched_for_a_reference() -> None:
    """Such a schema is refused when rules.toml is read; this is what stands behind that."""
    with answering(lambda head: answer(b"{}")) as server:
        with pytest.raises(ProbeRefused, match="refers to nothing"):
            misses({"$ref": f"{server.url}/s.json"}, {})
        assert server.connections == 0
