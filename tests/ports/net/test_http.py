"""What an HTTP address answers: hostile addresses, redirects and answers, all stopped at the cap or
the deadline.
"""

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.ports.net.servers import (
    HERE,
    Authority,
    Peer,
    Raw,
    Spy,
    answer,
    answering,
    bomb,
    measured,
    redirect,
    resolving,
)
from toolkit.errors import ProbeError, ProbeRefused
from toolkit.ports.net.http import MOST_BODY, HttpRequest, ask
from toolkit.ports.net.policy import Policy

SECRETS = {
    "Authorization": "Bearer canary",
    "Cookie": "session=canary",
    "X-Api-Key": "canary",
    "Accept": "text/plain",
}
MEGABYTE = 1 << 20


PIECES = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 301 \r\n",
    b"\r\n",
    b"\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"5",
    b"-1",
    b"\xff",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: deflate\r\n",
    b"Set-Cookie: a=b; Max-Age=\r\n",
    b" folded\r\n",
    b": \r\n",
    b"x" * 70000,
    gzip.compress(b"hello"),
    b"\x78\x9c",
)
"""What answers are made of, for answers that are none."""


@pytest.fixture(scope="module")
def server() -> Iterator[Raw]:
    """Says `said`, whatever it is asked."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.say(raw.said)

    with Raw(script) as raw:
        yield raw


def get(url: str, **headers: str) -> HttpRequest:
    return HttpRequest(
        "GET", url, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def at(**servers: Raw) -> Policy:
    """`a=server`: a.example.com is there."""
    return Policy(
        (),
        instead={
            f"{name}.example.com": ("127.0.0.1", server.port) for name, server in servers.items()
        },
    )


# What may be asked


def test_an_answer_has_status_headers_body_and_time() -> None:
    with answering(lambda head: answer(b"hello", "201 Created", X_Said="yes")) as server:
        actual = ask(get(f"{server.url}/a?b=c#d"), HERE, 5)
    assert (actual.status, actual.body, actual.cut, actual.redirects) == (201, b"hello", False, ())
    assert actual.header("x-said") == "yes"
    assert actual.header("x-other") is None
    assert 0 < actual.took_s < 2
    assert actual.url == f"{server.url}/a?b=c"
    assert actual.certificate_ends is None


def test_a_request_is_as_it_was_asked_for() -> None:
    with answering(lambda head: answer()) as server:
        ask(
            HttpRequest(
                "POST", f"{server.url}/ü/%C3%BC?q=ä b".replace(" ", "+"), {"X-One": "ö"}, b"content"
            ),
            HERE,
            5,
        )
        ask(HttpRequest("PUT", "http://a.example.com"), at(a=server), 5)
    first, second = (head.split("\r\n") for head in server.heads)
    assert first[0] == "POST /%C3%BC/%C3%BC?q=%C3%A4+b HTTP/1.1"
    assert {
        f"Host: 127.0.0.1:{server.port}",
        "Accept-Encoding: identity",
        "Content-Length: 7",
        "X-One: Ã¶",
    } <= set(first)
    assert second[0] == "PUT / HTTP/1.1"
    assert len([line for line in second if line.lower().startswith("host:")]) == 1
    assert {"Host: a.example.com", "Content-Length: 0"} <= set(second)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "javascript:alert(1)",
        "//example.com/",
        "example.com",
        "",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/latest/meta-data",
        "http://169.254.169.254/",
        "http://2852039166/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0x7f.1/",
        "http://0/",
        "http://flip.example.com/",
        "http://user:password@example.com/",
        "http://good.example.com\\@127.0.0.1/",
        "http://good.example.com:0/",
        "http://good.example.com:99999/",
        "http://good.example.com/a b",
        "http://good.example.com/a\r\nX-Injected: 1",
        "http://good.example.com/\x00",
        "http://[::1%25lo]/",
        "http://[/",
        "http:///path",
    ],
)
def test_a_hostile_address_is_refused_with_no_connection_made(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """S18. All of these hosts are on the list, as a rules file that names them would have it."""
    listed = (
        "127.0.0.1",
        "::1",
        "::ffff:169.254.169.254",
        "169.254.169.254",
        "2852039166",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "0",
    )
    spy, names = Spy(monkeypatch), url.startswith("http://flip")
    if names:
        resolving(monkeypatch, "127.0.0.1")
    with pytest.raises(ProbeRefused):
        ask(get(url), Policy((*listed, "*.example.com", "example.com")), 5)
    assert not spy.connected


@pytest.mark.parametrize(
    "http_request",
    [
        HttpRequest("GET /x HTTP/1.1\r\nX: 1\r\n\r\nGET", "http://127.0.0.1/"),
        HttpRequest("", "http://127.0.0.1/"),
        HttpRequest("CONNECT", "http://127.0.0.1/"),
        get("http://127.0.0.1/", X="a\r\nX-Injected: 1"),
        get("http://127.0.0.1/", X="a\x00"),
        HttpRequest("GET", "http://127.0.0.1/", {"X: 1\r\nY": "1"}),
        get("http://127.0.0.1/", Host="other.example.com"),
        get("http://127.0.0.1/", Content_Length="5"),
        get("http://127.0.0.1/", transfer_encoding="chunked"),
    ],
)
def test_a_request_that_is_more_than_it_seems_is_refused(
    monkeypatch: pytest.MonkeyPatch, http_request: HttpRequest
) -> None:
    spy = Spy(monkeypatch)
    with pytest.raises(ProbeRefused):
        ask(http_request, HERE, 5)
    assert not spy.connected


def test_a_refusal_never_tells_the_query() -> None:
    for url in (
        "http://a.example.com/?canary",
        "file:///?canary",
        "http://u:canary@a.example.com/",
        "http://a.example.com:x/?canary",
    ):
        with pytest.raises(ProbeRefused) as actual:
            ask(get(url), HERE, 5)
        assert "canary" not in f"{actual.value}{actual.value.facts}"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with answering(lambda head: answer(b"direct")) as server:
        assert ask(get(server.url), HERE, 5).body == b"direct"


# Answers that do not end, or are none


def stopped(script: Callable[[Peer], None], words: str, seconds: float = 0.4) -> None:
    """The probe ends at its deadline with these words."""
    with Raw(script) as server:
        began = time.monotonic()
        with pytest.raises(ProbeError, match=words):
            ask(get(server.url), HERE, seconds)
        assert seconds - 0.05 < time.monotonic() - began < seconds + 4


def test_a_silent_host_is_left_at_the_deadline() -> None:
    stopped(lambda peer: peer.hang(), r"^no answer within 0.4 s$")


def test_headers_byte_by_byte_end_at_the_deadline() -> None:
    stopped(
        lambda peer: peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 80),
        r"^no answer within 0.4 s$",
    )


def test_one_continue_after_the_other_ends_at_the_deadline() -> None:
    stopped(
        lambda peer: peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0.001), r"^no answer within 0.4 s$"
    )


@pytest.mark.parametrize(
    "how",
    [
        "Content-Length: 1000",
        "Transfer-Encoding: chunked",
        "X: until it closes",
        "Content-Encoding: gzip",
    ],
)
def test_a_body_byte_by_byte_ends_at_the_deadline(how: str) -> None:
    """S20."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.say(f"HTTP/1.1 200 OK\r\n{how}\r\n\r\n".encode())
        peer.drip(b"1\r\nx\r\n")

    stopped(script, r"^the answer did not end within 0.4 s$")


def test_a_request_that_nobody_reads_ends_at_the_deadline() -> None:
    with (
        Raw(lambda peer: peer.hang()) as server,
        pytest.raises(ProbeError, match=r"^no answer within 0.3 s$"),
    ):
        ask(HttpRequest("POST", server.url, {}, bytes(32 * MEGABYTE)), HERE, 0.3)


def pouring(head: bytes, block: bytes, times: int = 1 << 30) -> Callable[[Peer], None]:
    """A head, then the same block again and again."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.say(head)
        for _ in range(times):
            peer.say(block)

    return script


@pytest.mark.parametrize(
    ("head", "block"),
    [
        (b"X: until it closes", bytes(MEGABYTE)),
        (b"Content-Length: 1073741824", bytes(MEGABYTE)),
        (b"Content-Length: 999999999999999999999999", bytes(MEGABYTE)),
        (b"Transfer-Encoding: chunked", b"100000\r\n" + bytes(MEGABYTE) + b"\r\n"),
        (b"Transfer-Encoding: chunked", b"-1\r\n" + bytes(MEGABYTE)),
        (b"Transfer-Encoding: chunked", b"-5\r\n" + bytes(MEGABYTE)),
        (b"Transfer-Encoding: chunked", b"f" * 60 + b"\r\n" + bytes(MEGABYTE)),
    ],
)
def test_an_endless_body_is_cut_and_costs_nothing(head: bytes, block: bytes) -> None:
    """S20: endless, 1 GB, and chunks of an impossible size."""
    with (
        Raw(pouring(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", block)) as server,
        measured() as peak,
    ):
        actual = ask(get(server.url), HERE, 10)
        assert peak() < 2 * MEGABYTE
    assert actual.cut
    assert len(actual.body) == MOST_BODY
    assert actual.took_s < 2


def test_a_body_stays_packed_for_who_wants_it_so() -> None:
    packed = gzip.compress(b"hello")
    with answering(lambda head: answer(packed, Content_Encoding="gzip")) as server:
        asked = get(server.url)
        assert ask(asked, HERE, 10).body == b"hello"
        assert ask(replace(asked, unpacks=False), HERE, 10).body == packed
        assert ask(replace(asked, unpacks=False, most_body=5), HERE, 10).cut


@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP", "deflate"])
def test_a_gzip_bomb_is_cut_and_costs_nothing(encoding: str) -> None:
    """S20. 64 MB in 64 KB, and a stream of it that does not end."""
    packed = bomb(64) if encoding != "deflate" else zlib.compress(bytes(64 * MEGABYTE), 9)
    with (
        answering(lambda head: answer(packed, Content_Encoding=encoding)) as server,
        measured() as peak,
    ):
        actual = ask(get(server.url), HERE, 10)
        assert peak() < 2 * MEGABYTE
    assert actual.cut
    assert actual.body == bytes(MOST_BODY)
    assert actual.took_s < 2


def test_a_packed_stream_of_nothing_is_cut() -> None:
    begin, empty = (
        zlib.compressobj(9, zlib.DEFLATED, 31).flush(zlib.Z_SYNC_FLUSH),
        b"\x00\x00\x00\xff\xff" * 1000,
    )
    with Raw(
        pouring(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + begin, empty)
    ) as server:
        actual = ask(get(server.url), HERE, 10)
    assert (actual.cut, actual.body) == (True, b"")
    assert actual.took_s < 2


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
def test_a_packed_answer_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    with answering(lambda head: answer(pack(b"hello" * 100), Content_Encoding=encoding)) as server:
        actual = ask(get(server.url), HERE, 5)
    assert (actual.body, actual.cut) == (b"hello" * 100, False)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"hello", "not the gzip that it says"),
        (gzip.compress(b"hello", mtime=0)[:-9], "in the middle of its"),
    ],
    ids=["no gzip", "cut off"],
)
def test_a_broken_packed_answer_is_told(body: bytes, words: str) -> None:
    with (
        answering(lambda head: answer(body, Content_Encoding="gzip")) as server,
        pytest.raises(ProbeError, match=words),
    ):
        ask(get(server.url), HERE, 5)


def test_a_body_of_just_the_cap_is_whole_and_one_byte_more_is_not() -> None:
    with answering(lambda head: answer(bytes(MOST_BODY + ("more" in head)))) as server:
        assert not ask(get(server.url), HERE, 5).cut
        more = ask(get(f"{server.url}/more"), HERE, 5)
    assert more.cut
    assert len(more.body) == MOST_BODY


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("HEAD", "200 OK"),
        ("GET", "204 No Content"),
        ("GET", "304 Not Modified"),
        ("HEAD", "404 Not Found"),
    ],
)
def test_an_answer_without_a_body_is_not_waited_for(method: str, status: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.say(
            f"HTTP/1.1 {status}\r\nContent-Length: 1000\r\nContent-Encoding: gzip\r\n\r\n".encode()
        )
        peer.hang()

    with Raw(script) as server:
        actual = ask(HttpRequest(method, server.url), HERE, 5)
    assert (actual.status, actual.body, actual.cut) == (int(status[:3]), b"", False)
    assert actual.took_s < 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "127.0.0.1:PORT has closed the connection"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
            "has closed the connection before the end of its answer",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "before the end of its answer",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "before the end of its answer",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "127.0.0.1:PORT does not speak HTTP"),
        (b"HTTP/2 x\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 9999 No\r\n\r\n", "does not speak HTTP"),
        (b"\x00\xff" * 100, "does not speak HTTP"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            "the headers of the answer of 127.0.0.1:PORT are too long or too many",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "too long or too many"),
        (b"HTTP/1.1 " + b"2" * 70000, "too long or too many|does not speak HTTP"),
    ],
)
def test_what_is_no_answer_is_told_in_plain_words(data: bytes, words: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.say(data)

    with (
        Raw(script) as server,
        pytest.raises(ProbeError, match=words.replace("PORT", str(server.port))) as actual,
    ):
        ask(get(f"{server.url}/?canary"), HERE, 5)
    assert "canary" not in str(actual.value)


@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=9)), max_size=12),
    st.sampled_from([b"", *PIECES]),
)
@settings(max_examples=60)
def test_whatever_bytes_come_it_is_an_answer_or_told(
    server: Raw, parts: list[bytes], first: bytes
) -> None:
    server.said = first + b"".join(parts)
    try:
        actual = ask(get(server.url), HERE, 5, CookieJar(), follow=False)
    except ProbeError:
        return
    assert len(actual.body) <= MOST_BODY


def test_a_reset_is_told_in_plain_words() -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()

    with (
        Raw(script) as server,
        pytest.raises(ProbeError, match=f"^127.0.0.1:{server.port} has closed the connection$"),
    ):
        ask(get(server.url), HERE, 5)


def test_a_folded_header_is_one_line() -> None:
    with answering(
        lambda head: b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"
    ) as server:
        assert ask(get(server.url), HERE, 5).header("X") == "a b"


# Redirects


def test_a_redirect_within_an_origin_takes_everything_along() -> None:
    with answering(
        lambda head: (
            redirect("/there?x=1", 307) if head.startswith("POST /here") else answer(b"there")
        )
    ) as server:
        actual = ask(HttpRequest("POST", f"{server.url}/here", SECRETS, b"content"), HERE, 5)
    assert actual.body == b"there"
    assert actual.url == f"{server.url}/there?x=1"
    assert actual.redirects == (actual.url,)
    assert server.heads[1].startswith("POST /there?x=1 ")
    assert server.heads[1].count("canary") == 3
    assert "Content-Length: 7" in server.heads[1]


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("PUT", 303, "GET"),
        ("PUT", 302, "PUT"),
        ("HEAD", 303, "HEAD"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("GET", 302, "GET"),
    ],
)
def test_a_redirect_changes_the_method_as_browsers_do(method: str, status: int, then: str) -> None:
    with answering(
        lambda head: redirect("there", status) if "/here" in head else answer()
    ) as server:
        ask(
            HttpRequest(
                method,
                f"{server.url}/here",
                {"Content-Type": "text/plain"},
                None if method == "HEAD" else b"content",
            ),
            HERE,
            5,
        )
    assert server.heads[1].startswith(f"{then} /there ")
    assert ("Content-Type" in server.heads[1]) == (method == then)


def test_a_redirect_to_another_host_takes_no_credentials_along() -> None:
    """S19."""
    with (
        answering(lambda head: answer(b"there")) as raw,
        answering(lambda head: redirect("http://b.example.com/")) as server,
    ):
        http_request = HttpRequest(
            "POST", "http://a.example.com/", SECRETS, b"content", frozenset(["x-api-key"])
        )
        actual = ask(http_request, at(a=server, b=raw), 5)
    assert (actual.body, actual.url) == (b"there", "http://b.example.com/")
    assert server.heads[0].count("canary") == 3
    assert raw.heads[0].startswith("GET / ")
    assert "canary" not in raw.heads[0]
    assert "Accept: text/plain" in raw.heads[0]
    assert "content" not in raw.heads[0].lower()


def test_another_port_is_another_host_and_the_way_back_has_no_credentials_either() -> None:
    first: Raw
    with (
        answering(lambda head: redirect(f"{first.url}/back")) as raw,
        answering(lambda head: answer(b"back") if "/back" in head else redirect(raw.url)) as first,
    ):
        assert (
            ask(HttpRequest("GET", first.url, {"Authorization": "canary"}), HERE, 5).body == b"back"
        )
    assert "canary" not in raw.heads[0] + first.heads[1]


@pytest.mark.parametrize("status", [307, 308])
def test_content_is_never_sent_to_another_host(status: int) -> None:
    with (
        answering(lambda head: answer()) as raw,
        answering(lambda head: redirect("http://b.example.com/?canary", status)) as server,
        pytest.raises(
            ProbeRefused,
            match=r"redirects to b.example.com:80, which is not allowed for a request with content",
        ) as actual,
    ):
        ask(HttpRequest("POST", "http://a.example.com/", {}, b"content"), at(a=server, b=raw), 5)
    assert "canary" not in str(actual.value)
    assert not raw.connections


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            "http://169.254.169.254/latest/meta-data?canary",
            "it redirects to 169.254.169.254:80, which is not allowed",
        ),
        ("http://[::ffff:169.254.169.254]/", "it redirects to "),
        ("http://2852039166/", "it redirects to 2852039166:80, which is not allowed"),
        ("//evil.example.org/?canary", "it redirects to evil.example.org:80, which is not allowed"),
        ("https://evil.example.org", "it redirects to evil.example.org:443, which is not allowed"),
        ("http://a.example.com@evil.example.org/", "it redirects to where nothing is asked"),
        ("file:///etc/passwd?canary", "it redirects to file:, which is not allowed"),
        ("FTP://a.example.com/", "it redirects to ftp:, which is not allowed"),
        ("javascript:alert('canary')", "it redirects to javascript:, which is not allowed"),
        ("data:text/plain,canary", "it redirects to data:, which is not allowed"),
        ("http://[::1", "it redirects to an address that cannot be read"),
        ("http://a.example.com:0/?canary", "it redirects to where nothing is asked"),
        (
            "http://inside.example.com/",
            "inside.example.com is at 169.254.169.254, which is a link-local address",
        ),
    ],
)
def test_a_redirect_to_where_nothing_is_asked_is_refused(
    monkeypatch: pytest.MonkeyPatch, location: str, words: str
) -> None:
    """S18: also the metadata of a cloud machine, by number and by name."""
    resolving(monkeypatch, "169.254.169.254")
    spy = Spy(monkeypatch)
    with answering(lambda head: redirect(location)) as server:
        policy = Policy(
            ("inside.example.com",), True, {"a.example.com": ("127.0.0.1", server.port)}
        )
        with pytest.raises(ProbeRefused, match=words) as actual:
            ask(get("http://a.example.com/"), policy, 5)
    assert "canary" not in str(actual.value)
    assert spy.connected == [("127.0.0.1", server.port)]


def test_a_location_may_hold_spaces_and_bytes_of_any_kind() -> None:
    with answering(
        lambda head: redirect(" /a b/é\x01 ") if "GET / " in head else answer(b"there")
    ) as server:
        assert ask(get(server.url), HERE, 5).body == b"there"
    assert server.heads[1].startswith("GET /a%20b/%C3%A9%01 ")


def test_a_circle_is_told_and_so_are_too_many_redirects() -> None:
    with answering(lambda head: redirect("/")) as server:
        with pytest.raises(ProbeError, match=f"redirect loop: 127.0.0.1:{server.port}"):
            ask(get(server.url), HERE, 5)
        assert server.connections == 6
    with (
        answering(lambda head: redirect(f"{head.split()[1]}x")) as server,
        pytest.raises(ProbeError, match="redirects more than 5 times"),
    ):
        ask(get(server.url), HERE, 5)


def test_five_redirects_are_followed() -> None:
    with answering(
        lambda head: redirect(f"{head.split()[1]}x") if "xxxxx" not in head else answer(b"there")
    ) as server:
        actual = ask(get(server.url), HERE, 5)
    assert actual.body == b"there"
    assert len(actual.redirects) == 5
    assert actual.redirects[-1] == actual.url


def test_the_time_is_for_all_redirects_together() -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.rest(0.15)
        peer.say(redirect("/"))

    stopped(script, r"^no answer within 0.4 s$")


def test_the_content_of_a_redirect_is_not_read() -> None:
    def script(peer: Peer) -> None:
        if "/there" in peer.head():
            peer.say(answer(b"there"))
        else:
            peer.say(redirect("/there", Content_Length="1000"))
            peer.hang()

    with Raw(script) as server:
        assert ask(get(server.url), HERE, 5).took_s < 1


def test_a_redirect_that_is_not_to_be_followed_is_the_answer() -> None:
    with answering(lambda head: redirect("file:///etc/passwd")) as server:
        actual = ask(get(server.url), HERE, 5, follow=False)
    assert (actual.status, actual.header("Location"), actual.redirects) == (
        302,
        "file:///etc/passwd",
        (),
    )


# Cookies


def test_a_jar_keeps_the_cookies_of_every_answer_and_gives_them_to_their_host_only() -> None:
    def first(head: str) -> bytes:
        return (
            redirect("/next", Set_Cookie="one=1; Path=/")
            if "GET / " in head
            else redirect("http://b.example.com/", Set_Cookie="two=2")
        )

    jar = CookieJar()
    with (
        answering(lambda head: answer(Set_Cookie="three=3; Domain=a.example.com")) as raw,
        answering(first) as server,
    ):
        ask(get("http://a.example.com/"), at(a=server, b=raw), 5, jar)
        ask(
            get("http://a.example.com/next", Accept="*/*"),
            at(a=server, b=raw),
            5,
            jar,
            follow=False,
        )
    assert sorted(f"{cookie.name}={cookie.value}" for cookie in jar) == ["one=1", "two=2"]
    assert "Cookie: one=1\r\n" in server.heads[1]
    assert "Cookie" not in raw.heads[0]
    assert "Cookie: one=1; two=2\r\n" in server.heads[2]


@pytest.mark.parametrize("value", ["a=b\r\n\tc\r\n X-Evil: 1", "a=b\x00c", "a=b\x0bc", "a=b\x1cc"])
def test_a_cookie_that_could_be_more_than_one_is_not_sent_again(value: str) -> None:
    jar = CookieJar()
    with answering(lambda head: answer(Set_Cookie=value)) as server:
        ask(get(server.url), HERE, 5, jar)
        ask(get(server.url), HERE, 5, jar)
    assert list(jar) == []
    assert "Cookie" not in server.heads[1]


def test_cookies_of_the_request_win_over_those_of_the_jar() -> None:
    jar = CookieJar()
    with answering(lambda head: answer(Set_Cookie="one=1")) as server:
        ask(get(server.url), HERE, 5, jar)
        ask(get(server.url, cookie="mine=1"), HERE, 5, jar)
    assert server.heads[1].lower().count("cookie:") == 1
    assert "mine=1" in server.heads[1]


# TLS


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    result = Authority(tmp_path)
    result.trust(monkeypatch)
    return result


def test_an_encrypted_answer_tells_when_its_certificate_ends(authority: Authority) -> None:
    with answering(
        lambda head: answer(b"hello"), authority.context("a.example.com", ends=timedelta(days=5))
    ) as server:
        actual = ask(get("https://a.example.com/"), at(a=server), 5)
    assert (actual.body, actual.url) == (b"hello", "https://a.example.com/")
    assert actual.certificate_ends is not None
    assert abs(actual.certificate_ends - datetime.now(UTC) - timedelta(days=5)) < timedelta(
        minutes=1
    )
    assert "Host: a.example.com\r\n" in server.heads[0]


def test_an_expired_certificate_gets_no_request(authority: Authority) -> None:
    with (
        answering(lambda head: answer(), authority.context(ends=timedelta(days=-1))) as server,
        pytest.raises(ProbeError, match="expired on"),
    ):
        ask(HttpRequest("GET", server.url, SECRETS), HERE, 5)
    assert not "".join(server.heads)


def test_an_encrypted_body_byte_by_byte_ends_at_the_deadline(authority: Authority) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.drip(b"x")

    with Raw(script, authority.context()) as server:
        began = time.monotonic()
        with pytest.raises(ProbeError, match=r"^the answer did not end within 0.5 s$"):
            ask(get(server.url), HERE, 0.5)
        assert 0.45 < time.monotonic() - began < 4


def test_a_way_out_of_encryption_is_refused_for_a_request_with_credentials(
    authority: Authority,
) -> None:
    with (
        answering(lambda head: answer(b"plain")) as plain,
        answering(
            lambda head: redirect(plain.url, Set_Cookie="one=1"), authority.context()
        ) as server,
    ):
        assert ask(get(server.url), HERE, 5).body == b"plain"
        jar = CookieJar()
        ask(get(server.url), HERE, 5, jar, follow=False)
        for request, cookies in (
            (get(server.url, authorization="canary"), None),
            (HttpRequest("GET", server.url, {"X-Key": "canary"}, None, frozenset(["x-key"])), None),
            (get(server.url), jar),
        ):
            with pytest.raises(
                ProbeRefused, match=f"it redirects to 127.0.0.1:{plain.port} without encryption"
            ):
                ask(request, HERE, 5, cookies)
    assert plain.connections == 1


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


@pytest.mark.parametrize(
    "interim", [INTERIM, INTERIM * 3, b"HTTP/1.1 100 Continue\r\n\r\n" + INTERIM]
)
def test_an_interim_answer_is_not_the_answer(server: Raw, interim: bytes) -> None:
    server.said = interim + answer(b"hello", X_Real="yes")
    actual = ask(HttpRequest("GET", server.url), HERE, 2)
    assert (actual.status, actual.body, actual.header("x-real"), actual.header("link")) == (
        200,
        b"hello",
        "yes",
        None,
    )


def test_interim_answers_that_do_not_end_are_an_error(server: Raw) -> None:
    server.said = INTERIM * 50
    with pytest.raises(ProbeError, match="sends more than 20 interim answers"):
        ask(HttpRequest("GET", server.url), HERE, 2)


def test_an_interim_answer_and_then_nothing_is_an_error(server: Raw) -> None:
    server.said = INTERIM
    with pytest.raises(ProbeError, match="has closed the connection"):
        ask(HttpRequest("GET", server.url), HERE, 2)


def test_a_request_may_ask_for_more_of_the_body(server: Raw) -> None:
    body = bytes(3 * MEGABYTE)
    for said in (answer(body), answer(gzip.compress(body), Content_Encoding="gzip")):
        server.said = said
        actual = ask(HttpRequest("GET", server.url, most_body=2 * MEGABYTE), HERE, 5)
        assert (len(actual.body), actual.cut) == (2 * MEGABYTE, True)
        whole = ask(HttpRequest("GET", server.url, most_body=4 * MEGABYTE), HERE, 5)
        assert (len(whole.body), whole.cut) == (len(body), False)
