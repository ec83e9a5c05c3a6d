"""What characters an answer is made of."""

from typing import Any

import pytest
from msgspec import UNSET

from toolkit.checks import charsets


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("hé".encode(), "text/plain", "hé"),
        ("hé".encode("latin-1"), "text/plain; charset=ISO-8859-1", "hé"),
        ("5 €".encode("cp1252"), 'text/html; charset="windows-1252"', "5 €"),
        ("hé".encode("utf-16"), "text/plain", "hé"),
        ("hé".encode("utf-8-sig"), "text/plain; charset=latin1", "hé"),
        ("日本".encode("shift_jis"), "text/plain;charset=Shift_JIS", "日本"),
        ("中文".encode("gb2312"), "text/plain; charset=gb2312", "中文"),
        ("ł".encode("iso8859-2"), "text/plain; charset=iso-8859-2", "ł"),
        (b"h\xe9", "text/plain", "h�"),
        (b"h\xc3\xa9", "text/plain; charset=unknown", "hé"),
        (b"uryyb", "text/plain; charset=rot13", "uryyb"),
        (b"\\u0041", "text/plain; charset=unicode_escape", "\\u0041"),
        (b"aGk=", "text/plain; charset=base64", "aGk="),
        (b"hi", "text/plain; charset=iso-8859-99", "hi"),
        (b"hi", "text/plain; charset=iso-8859-12", "hi"),
        (b"", "", ""),
    ],
)
def test_a_body_is_read_by_its_mark_or_its_charset(
    body: bytes, content_type: str, text: str
) -> None:
    assert charsets.text(body, content_type) == text


@pytest.mark.parametrize(
    ("body", "content_type", "content"),
    [
        ('{"a": "é"}'.encode(), "", {"a": "é"}),
        ('{"a": "é"}'.encode("utf-8-sig"), "", {"a": "é"}),
        ('{"a": "é"}'.encode("utf-16"), "", {"a": "é"}),
        ('{"a": "é"}'.encode("latin-1"), "application/json; charset=latin1", {"a": "é"}),
        (b"<html>", "", UNSET),
        (b"", "", UNSET),
        (b"1" * 5000, "", UNSET),
    ],
)
def test_json_is_read_whatever_its_characters(body: bytes, content_type: str, content: Any) -> None:
    assert charsets.parsed(body, content_type) == content


def test_a_long_name_of_a_charset_takes_no_time() -> None:
    assert charsets.text(b"a", "text/plain" + "; charset" * 5000) == "a"
