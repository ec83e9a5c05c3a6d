"""What may be asked for, and what is left of it when an answer sends it on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ProbeRefused
from toolkit.ports.net.request import HttpRequest, check, onward, where

PIECES = st.sampled_from(
    [
        "http://",
        "https://",
        "//",
        "/",
        "\\",
        "@",
        ":",
        "?",
        "#",
        "%",
        "[",
        "]",
        "[::1]",
        "a.example.com",
        "b.example.com",
        "127.0.0.1",
        "80",
        "file:",
        "javascript:",
        ".",
        "..",
        " ",
        "\t",
        "\r\n",
        "\x00",
        "é",
        "ａ",
        "。",
        "℀",
        "\ud800",
        "\u2028",
    ],
)
TEXT = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=40))
LATIN = TEXT.map(lambda text: text.encode("utf-8", "replace").decode("latin-1"))


@given(TEXT)
def test_whatever_is_written_as_an_address_is_one_or_refused(url: str) -> None:
    try:
        address = where(url)
    except ProbeRefused:
        return
    assert address.scheme in ("http", "https")
    assert address.url.isascii()
    assert address.url.isprintable()
    assert " " not in address.url
    assert where(address.url) == address


@given(
    TEXT,
    LATIN,
    st.sampled_from([301, 302, 303, 307, 308]),
    st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
)
def test_wherever_an_answer_sends_it_no_secret_leaves_its_origin(
    url: str, location: str, status: int, method: str
) -> None:
    headers = {
        "AUTHORIZATION": "1",
        "cookie": "1",
        "Proxy-Authorization": "1",
        "X-Mine": "1",
        "Accept": "1",
    }
    http_request = HttpRequest(
        method, f"https://a.example.com/{url.strip()}", headers, b"content", frozenset(["x-mine"])
    )
    try:
        check(http_request)
        request = onward(http_request, status, location)
    except ProbeRefused:
        return
    address = where(request.url)
    if address.origin == ("https", "a.example.com", 443):
        assert request.headers == headers
    else:
        assert (address.scheme, request.headers, request.body) == ("https", {"Accept": "1"}, None)


@pytest.mark.parametrize(
    ("url", "text", "named", "target"),
    [
        (
            "HTTPS://Bücher.example:8443/a?secret",
            "xn--bcher-kva.example:8443",
            "xn--bcher-kva.example:8443",
            "/a?secret",
        ),
        ("http://[0:0::1]", "[::1]:80", "[::1]", "/"),
        ("http://a.example.com.:80?x#y", "a.example.com:80", "a.example.com", "/?x"),
        ("http://１２７.0.0.1/", "127.0.0.1:80", "127.0.0.1", "/"),
    ],
)
def test_an_address_is_known_in_its_parts(url: str, text: str, named: str, target: str) -> None:
    address = where(url)
    assert (address.at, address.named, address.target) == (text, named, target)
