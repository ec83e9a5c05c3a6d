"""Names in checks: what they stand for, and that nobody sees what is secret of it."""

import base64
import html
import json
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.checks.values import BUILT_IN, Redactor, generated

NOW = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        r"my\/sec\/ret+val=x&Y",
        r"my/sec/ret+val=x\u0026Y",
        "my/sec/ret+val=x&amp;Y",
        "my/sec/ret%2Bval%3Dx%26Y",
        "my/sec/ret%2bval%3dx%26Y",
        "my%2Fsec%2Fret%2Bval%3Dx%26Y",
        "my%2fsec%2fret%2bval%3dx%26Y",
        "my/sec/ret+val=x&y.example.com",
    ],
)
def test_a_secret_is_hidden_however_an_answer_writes_it(written: str) -> None:
    assert "ret" not in Redactor({"p": "my/sec/ret+val=x&Y"}).over(written)


def test_built_in_values_are_all_there_and_another_day_in_each_run() -> None:
    answer = generated(NOW, Random(1))
    assert answer.keys() | {"url", "region", "environment"} == set(BUILT_IN)
    assert answer["today"] == "2026-11-27"
    assert len({generated(NOW, Random(seed))["day"] for seed in range(50)}) == 50


@pytest.mark.parametrize(
    "form",
    [
        str,
        lambda value: json.dumps(value)[1:-1],
        lambda value: quote(value, safe=""),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: html.escape(value).replace("&quot;", "&#34;"),
        lambda value: quote(value, safe="!'()*"),
        lambda value: json.dumps(value)[1:-1].replace("\\u00f6", "\\u00F6"),
        lambda value: repr(value)[1:-1],
        lambda value: value.upper(),
        lambda value: value.encode("latin-1").decode("utf-8", "replace"),
    ],
    ids=[
        "raw",
        "json",
        "url",
        "base64",
        "go's page",
        "JavaScript's url",
        "Java's json",
        "Python's",
        "capitals",
        "latin-1",
    ],
)
def test_a_secret_is_hidden_in_every_form(form: Any) -> None:
    secret = 'p&"ss wörd/1'
    over = Redactor({"password": secret}).over(f"Authorization: {form(secret)} end")
    assert over.startswith("Authorization: {password}")
    assert secret not in over


@pytest.mark.parametrize("user", ["u", "ad", "ada", "demo"])
def test_a_secret_is_hidden_behind_a_user_in_base64(user: str) -> None:
    secret = "correct-horse-battery"
    over = Redactor({"password": secret}).over(
        base64.b64encode(f"{user}:{secret}".encode()).decode()
    )
    assert "{password}" in over
    before, _, after = over.partition("{password}")
    assert len(before) <= len(base64.b64encode(f"{user}:co".encode()))
    assert len(after) <= 4


@example("\0", "", "")
@given(st.text(min_size=1, max_size=40), st.text(max_size=60), st.text(max_size=60))
def test_no_text_has_a_secret_once_it_is_hidden(secret: str, before: str, after: str) -> None:
    over = Redactor({"s": secret}).over(before + secret + after)
    mark = next(chr(number) for number in range(100) if chr(number) not in secret)
    assert secret not in over.replace("{s}", mark)


def test_a_longer_secret_is_hidden_before_one_that_is_part_of_it() -> None:
    assert Redactor({"a": "abcd", "b": "abcdefgh"}).over("x abcdefgh y abcd") == "x {b} y {a}"


def test_a_captured_value_is_hidden_from_then_on_unless_it_is_short() -> None:
    veil = Redactor()
    veil.hide("token", "eyJhbGciOi")
    veil.hide("id", "7")
    assert veil.over("Bearer eyJhbGciOi of 7") == "Bearer {token} of 7"


def test_what_is_too_short_to_be_hidden_leaves_room_for_what_is_not() -> None:
    veil = Redactor()
    veil.hide_value("token", [*range(100), *["same-text"] * 5000, {"id": "secret-token-1"}])
    assert veil.over("x secret-token-1 y") == "x {token} y"


def test_what_anybody_knows_to_be_secret_is_hidden_too() -> None:
    assert (
        Redactor(also=lambda text: text.replace("AKIA", "[redacted]")).over("key AKIA")
        == "key [redacted]"
    )
