"""What a WebSocket says, and what becomes of one that says too much, too little or nonsense."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLContext

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.ports.net.servers import (
    HERE,
    Authority,
    Peer,
    Raw,
    Spy,
    answer,
    answering,
    redirect,
    resolving,
)
from toolkit.errors import ProbeError, ProbeRefused
from toolkit.ports.net.policy import Policy
from toolkit.ports.net.websocket import MOST_BYTES, Conversation, Message, NotSeen
from toolkit.ports.net.websocket import talk as talk_over


def talk(
    url: str,
    policy: Policy,
    seconds: float,
    headers: Mapping[str, str],
    send: Sequence[str],
    is_expected: Callable[[Message], bool] | None,
    most: int = 100,
) -> tuple[tuple[Message, ...], float]:
    return talk_over(url, policy, seconds, headers, Conversation(send, is_expected, most))


@contextmanager
def speaking(
    handler: Callable[[ServerConnection], None], context: SSLContext | None = None
) -> Iterator[int]:
    """A WebSocket server; its port."""

    def handled(connection: ServerConnection) -> None:
        try:
            handler(connection)
        except ConnectionClosed:
            return

    with serve(handled, "127.0.0.1", 0, ssl=context, close_timeout=1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join(10)


def counting(connection: ServerConnection) -> None:
    """1, 2, 3 and so on."""
    number = 0
    while True:
        connection.send(str(number := number + 1))


def echoing(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def silent(connection: ServerConnection) -> None:
    for _ in connection:
        pass


def test_messages_come_until_the_wanted_one() -> None:
    with speaking(echoing) as port:
        messages, took = talk(
            f"ws://127.0.0.1:{port}/a",
            HERE,
            5,
            {},
            ("one", "two", "three"),
            lambda message: message == "two",
        )
    assert messages == ("one", "two")
    assert took < 2


def test_bytes_are_messages_as_well() -> None:
    with speaking(lambda connection: connection.send(b"\x00\x01")) as port:
        assert talk(
            f"ws://127.0.0.1:{port}/a", HERE, 5, {}, (), lambda message: message == b"\x00\x01"
        )[0] == (b"\x00\x01",)


def test_connecting_is_enough_if_nothing_is_wanted() -> None:
    got = threading.Event()

    def handler(connection: ServerConnection) -> None:
        if connection.recv() == "hello":
            got.set()
        silent(connection)

    with speaking(handler) as port:
        messages, took = talk(f"ws://127.0.0.1:{port}", HERE, 5, {}, ("hello",), None)
        assert got.wait(5)
    assert (messages, took < 2) == ((), True)


def test_headers_and_host_are_those_that_were_asked_for() -> None:
    texts: list[tuple[str | None, ...]] = []

    def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = connection.request.headers
        texts.append(
            (
                connection.request.path,
                headers["Host"],
                headers["Authorization"],
                headers["User-Agent"],
            )
        )

    with speaking(handler) as port:
        policy = Policy((), instead={"a.example.com": ("127.0.0.1", port)})
        talk("ws://a.example.com/live?x=1", policy, 5, {"Authorization": "Bearer one"}, (), None)
        talk(
            "ws://a.example.com/", policy, 5, {"Authorization": "x", "user-agent": "mine"}, (), None
        )
    assert texts == [
        ("/live?x=1", "a.example.com", "Bearer one", "toolkit"),
        ("/", "a.example.com", "x", "mine"),
    ]


def test_an_encrypted_one_is_told_by_the_name_of_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    authority.trust(monkeypatch)
    lines: list[str] = []

    def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        lines.append(connection.request.headers["Host"])
        echoing(connection)

    with speaking(handler, authority.context("a.example.com")) as port:
        policy = Policy(
            (), instead={"a.example.com": ("127.0.0.1", port), "b.example.com": ("127.0.0.1", port)}
        )
        assert talk("wss://a.example.com/", policy, 5, {}, ("hello",), lambda message: True)[0] == (
            "hello",
        )
        assert lines == ["a.example.com"]
        with pytest.raises(
            ProbeError, match=r"^the certificate is not for b.example.com, but for a.example.com$"
        ):
            talk("wss://b.example.com/", policy, 5, {}, (), None)


def not_seen(
    url: str, words: str, seconds: float = 5.0, send: tuple[str, ...] = (), most: int = 100
) -> NotSeen:
    with pytest.raises(NotSeen, match=words) as result:
        talk(url, HERE, seconds, {}, send, lambda message: False, most)
    return result.value


def test_the_messages_that_came_instead_are_told_at_the_deadline() -> None:
    with speaking(echoing) as port:
        actual = not_seen(
            f"ws://127.0.0.1:{port}", r"^no message as expected within 0.4 s$", 0.4, ("one", "two")
        )
    assert actual.seen == ("one", "two")
    assert 0.35 < actual.took_s < 1


def test_a_silent_one_is_left_at_the_deadline() -> None:
    with speaking(silent) as port:
        began = time.monotonic()
        assert not_seen(f"ws://127.0.0.1:{port}", r"^no message within 0.3 s$", 0.3).seen == ()
        assert 0.25 < time.monotonic() - began < 4


def test_too_many_messages_are_not_waited_for() -> None:
    with speaking(counting) as port:
        actual = not_seen(
            f"ws://127.0.0.1:{port}", r"^none of the first 10 messages is as expected$", most=10
        )
    assert actual.seen == tuple(str(item) for item in range(1, 11))


def test_a_close_is_told_with_its_code_and_reason() -> None:
    def handler(connection: ServerConnection) -> None:
        connection.send("hello")
        connection.close(4001, "go away")

    with speaking(handler) as port:
        actual = not_seen(
            f"ws://127.0.0.1:{port}", f"^127.0.0.1:{port} has closed the connection: 4001 go away$"
        )
    assert actual.seen == ("hello",)


def test_a_message_that_is_too_large_is_not_taken() -> None:
    with speaking(lambda connection: connection.send("x" * (MOST_BYTES + 1))) as port:
        assert not_seen(f"ws://127.0.0.1:{port}", "has sent an invalid message").seen == ()


def test_a_refused_handshake_tells_its_status() -> None:
    for message, status in (
        (answer(b"no", "403 Forbidden"), 403),
        (redirect("ws://169.254.169.254/"), 302),
        (redirect("ftp://[::1"), 302),
        (answer(b"no"), 200),
    ):
        with answering(lambda head, words=message: words) as server:  # type: ignore[misc]
            with pytest.raises(
                ProbeError,
                match=f"^127.0.0.1:{server.port} has refused the handshake with status {status}$",
            ):
                talk(f"ws://127.0.0.1:{server.port}/?canary", HERE, 5, {}, (), None)
            assert server.connections == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "has closed the connection"),
        (b"SSH-2.0\r\n\r\n", "does not speak WebSocket"),
        (b"HTTP/1.1 101 X\r\n\r\n", "not speak WebSocket"),
    ],
)
def test_what_is_no_websocket_is_told(data: bytes, words: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.say(data)

    with Raw(script) as server, pytest.raises(ProbeError, match=words):
        talk(f"ws://127.0.0.1:{server.port}", HERE, 5, {}, (), None)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_handshake_that_does_not_end_is_left_at_the_deadline(scheme: str) -> None:
    def script(peer: Peer) -> None:
        peer.drip(
            b"HTTP/1.1 101 Switching\r\n" if scheme == "ws" else b"\x16\x03\x03\x40\x00" + bytes(64)
        )

    before = threading.active_count()
    with Raw(script) as server:
        began = time.monotonic()
        with pytest.raises(ProbeError, match=r"^no answer within 0.4 s$"):
            talk(f"{scheme}://127.0.0.1:{server.port}", HERE, 0.4, {}, (), None)
        assert 0.35 < time.monotonic() - began < 4
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "ws://127.0.0.1/",
        "ws://[::ffff:169.254.169.254]/",
        "wss://flip.example.com/",
        "ws://u:p@a.example.com/",
        "ws://2130706433/",
        "ws://a.example.com/\r\nX: y",
    ],
)
def test_a_hostile_address_is_refused_with_no_connection_made(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    if "flip" in url:
        resolving(monkeypatch, "127.0.0.1")
    spy = Spy(monkeypatch)
    with pytest.raises(ProbeRefused):
        talk(
            url,
            Policy(("127.0.0.1", "*.example.com", "::ffff:169.254.169.254", "2130706433")),
            5,
            {},
            (),
            None,
        )
    assert not spy.connected


@pytest.mark.parametrize("headers", [{"Host": "b"}, {"Sec-WebSocket-Key": "x"}, {"X": "a\r\nY: b"}])
def test_headers_that_are_more_than_they_seem_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ProbeRefused):
        talk("ws://127.0.0.1/", HERE, 5, headers, (), None)
