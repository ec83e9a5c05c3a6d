"""How a host is reached: no connection to what is refused, no second look-up, an end at the
deadline.
"""

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.ports.net.servers import HERE, Authority, Raw, Spy, resolving
from toolkit.errors import ProbeError, ProbeRefused
from toolkit.ports.net.dial import Connection, certificate_ends, dial, encrypted, within
from toolkit.ports.net.policy import Policy

EVERY = Policy(("*.example.com", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "2852039166"))


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trust"))


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1"])
def test_a_number_that_means_the_loopback_is_refused_as_the_loopback(spy: Spy, host: str) -> None:
    """S18."""
    with pytest.raises(ProbeRefused, match=r"127.0.0.1, which is a loopback address"):
        dial(host, 80, EVERY, within(5))
    assert not spy.connected


def test_a_number_that_means_the_metadata_is_refused_whatever_the_policy(spy: Spy) -> None:
    with pytest.raises(ProbeRefused, match=r"169.254.169.254, which is a link-local address"):
        dial("2852039166", 80, Policy(("2852039166",), private=True), within(5))
    assert not spy.connected


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("1.1.1.1", "127.0.0.1"),
        ("::1", "1.1.1.1"),
        ("1.1.1.1", "169.254.169.254"),
        ("::ffff:10.0.0.1",),
        ("fe80::1%2",),
    ],
)
def test_a_name_with_one_forbidden_address_is_refused_and_nothing_is_connected_to(
    spy: Spy, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    """S18: a name that flips."""
    resolving(monkeypatch, *addresses)
    with pytest.raises(ProbeRefused):
        dial("a.example.com", 80, EVERY, within(5))
    assert not spy.connected


def test_a_host_that_is_not_listed_is_not_even_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    with pytest.raises(ProbeRefused):
        dial("a.example.org", 80, EVERY, within(5))


def test_a_name_is_looked_up_once_and_connected_to_by_number(
    spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Raw(lambda peer: peer.hang()) as server:
        looked_up: list[object] = []

        def once(host: object, *_: object, **__: object) -> list[object]:
            looked_up.append(host)
            return [
                (
                    socket.AF_INET,
                    socket.SOCK_STREAM,
                    6,
                    "",
                    ("127.0.0.1" if len(looked_up) == 1 else "127.0.0.2", 0),
                )
            ]

        monkeypatch.setattr(socket, "getaddrinfo", once)
        with dial(
            "a.example.com", server.port, Policy(("a.example.com",), private=True), within(5)
        ) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert looked_up == ["a.example.com"]
        assert spy.connected == [("127.0.0.1", server.port)]


def test_the_next_address_is_tried_if_the_first_does_not_answer(
    spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Raw(lambda peer: peer.hang()) as server:
        resolving(monkeypatch, "127.0.0.9", "127.0.0.1")
        dial(
            "a.example.com", server.port, Policy(("a.example.com",), private=True), within(5)
        ).close()
        assert [address for address, _ in spy.connected] == ["127.0.0.9", "127.0.0.1"]


def test_a_host_with_something_instead_goes_there_whatever_the_port(
    spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    with Raw(lambda peer: peer.hang()) as server:
        policy = Policy((), instead={"api.example.com": ("127.0.0.1", server.port)})
        for port in (80, 443):
            dial("API.example.com", port, policy, within(5)).close()
        assert spy.connected == [("127.0.0.1", server.port)] * 2


def test_what_stands_instead_may_not_be_the_metadata(spy: Spy) -> None:
    with pytest.raises(ProbeRefused):
        dial(
            "a.example.com",
            80,
            Policy((), instead={"a.example.com": ("169.254.169.254", 80)}),
            within(5),
        )
    assert not spy.connected


def test_a_resolver_that_hangs_does_not_pass_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hanging(*_: object, **__: object) -> list[object]:
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    began = time.monotonic()
    with pytest.raises(ProbeError, match=r"a.example.com was not looked up within 0.2 s"):
        dial("a.example.com", 80, EVERY, within(0.2))
    assert time.monotonic() - began < 4
    over.set()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "the name a.example.com is not known here"),
        (socket.EAI_AGAIN, "resolver does not answer"),
    ],
)
def test_a_name_that_is_not_found_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(number, "some words")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ProbeError, match=words):
        dial("a.example.com", 80, EVERY, within(5))


def test_a_port_where_nothing_listens_is_told_with_host_and_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ProbeError, match=f"^nothing listens at 127.0.0.1:{port}$"):
        dial("127.0.0.1", port, HERE, within(5))
    with pytest.raises(
        ProbeError,
        match=f"^nothing listens at 127.0.0.1:{port}, which stands for a.example.com:80$",
    ):
        dial(
            "a.example.com",
            80,
            Policy((), instead={"a.example.com": ("127.0.0.1", port)}),
            within(5),
        )


def test_a_host_that_takes_no_connection_is_given_up_at_the_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for item in waiting:
            item.setblocking(False)
            item.connect_ex(("127.0.0.1", port))
        began = time.monotonic()
        with pytest.raises(ProbeError, match=r"^no answer within 0.3 s$"):
            dial("127.0.0.1", port, HERE, within(0.3))
        assert 0.25 < time.monotonic() - began < 4
        for item in waiting:
            item.close()


def test_a_line_ends_a_wait_at_the_deadline_and_its_thread_with_it() -> None:
    before = threading.active_count()
    with Raw(lambda peer: peer.hang()) as server:
        deadline = within(0.2)
        with Connection(dial("127.0.0.1", server.port, HERE, deadline), deadline) as line:
            assert line.sock.recv(1) == b""
        assert 0 <= time.monotonic() - deadline.at < 0.5
        deadline = within(30)
        with Connection(dial("127.0.0.1", server.port, HERE, deadline), deadline):
            pass
    assert threading.active_count() == before


def shaken(
    server: Raw, host: str = "127.0.0.1", seconds: float = 5.0
) -> tuple[datetime, str | None]:
    """When the certificate ends, and the protocol."""
    deadline, policy = within(seconds), Policy((), instead={host: ("127.0.0.1", server.port)})
    with Connection(dial(host, 443, policy, deadline), deadline) as line:
        sock = line.encrypt(host)
        return certificate_ends(sock), sock.version()


def test_a_certificate_that_is_trusted_tells_when_it_ends(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.trust(monkeypatch)
    with Raw(lambda peer: peer.hang(), authority.context(ends=timedelta(days=3))) as server:
        ends, protocol = shaken(server)
    assert abs(ends - datetime.now(UTC) - timedelta(days=3)) < timedelta(minutes=1)
    assert ends.tzinfo is UTC
    assert protocol == "TLSv1.3"


def test_a_certificate_is_for_the_name_of_the_host_and_not_of_what_stands_instead(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.trust(monkeypatch)
    texts: list[str | None] = []
    context = authority.context("api.example.com")
    context.sni_callback = lambda sock, name, context: texts.append(name)
    with Raw(lambda peer: peer.hang(), context) as server:
        shaken(server, "api.example.com")
        assert texts == ["api.example.com"]


def test_an_expired_certificate_tells_since_when(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.trust(monkeypatch)
    with Raw(lambda peer: peer.hang(), authority.context(ends=timedelta(days=-2))) as server:
        day = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
        with pytest.raises(
            ProbeError, match=rf"^the certificate of 127.0.0.1 expired on {day} \d\d:\d\d UTC$"
        ):
            shaken(server)


def test_a_certificate_of_the_future_tells_from_when(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.trust(monkeypatch)
    with Raw(lambda peer: peer.hang(), authority.context(begins=timedelta(days=2))) as server:
        day = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
        with pytest.raises(
            ProbeError,
            match=rf"^the certificate of 127.0.0.1 is not valid yet, but from {day} \d\d:\d\d UTC$",
        ):
            shaken(server)


def test_a_certificate_for_another_name_tells_which(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.trust(monkeypatch)
    with Raw(lambda peer: peer.hang(), authority.context("www.example.com", "10.0.0.1")) as server:
        for host in ("api.example.com", "127.0.0.1"):
            with pytest.raises(
                ProbeError,
                match=f"^the certificate is not for {host}, but for www.example.com, 10.0.0.1$",
            ):
                shaken(server, host)


def test_an_issuer_that_is_not_trusted_is_told(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority.trust(monkeypatch)
    second = Authority(tmp_path)
    with (
        Raw(lambda peer: peer.hang(), second.context()) as server,
        pytest.raises(ProbeError, match=r"is from an issuer that is not known here"),
    ):
        shaken(server)


def test_what_does_not_speak_tls_is_told() -> None:
    with (
        Raw(lambda peer: peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        pytest.raises(ProbeError, match="does not speak TLS"),
    ):
        shaken(server)


def test_old_tls_is_told(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.trust(monkeypatch)
    context = authority.context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        Raw(lambda peer: peer.hang(), context) as server,
        pytest.raises(ProbeError, match="speaks no version of TLS that is still good"),
    ):
        shaken(server)


@pytest.mark.parametrize("rudely", [True, False])
def test_a_handshake_that_is_broken_off_is_told(rudely: bool) -> None:
    with (
        Raw(lambda peer: peer.reset() if rudely else None) as server,
        pytest.raises(
            ProbeError,
            match=r"^127\.0\.0\.1\S*(, which stands for \S+)? has closed the connection$",
        ),
    ):
        shaken(server)


def test_a_handshake_byte_by_byte_ends_at_the_deadline() -> None:
    with Raw(lambda peer: peer.drip(b"\x16\x03\x03\x40\x00" + bytes(64))) as server:
        began = time.monotonic()
        with pytest.raises(ProbeError, match=r"^no answer within 0.4 s$"):
            shaken(server, seconds=0.4)
        assert 0.35 < time.monotonic() - began < 4


class Leaving(socket.socket):
    """Is connected when it is first asked, and not any more a moment later."""

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 1)


def test_a_socket_that_is_gone_is_not_spoken_to_in_clear_text() -> None:
    """The ssl module takes a socket that is not connected any more for one that is not connected
    yet, and does not encrypt.
    """
    with Raw(lambda peer: peer.hang()) as server:
        sock = dial("127.0.0.1", server.port, HERE, within(5))
        sock.close()
        with pytest.raises(ProbeError):
            encrypted(sock, "127.0.0.1", within(5))
    with (
        Leaving() as sock,
        pytest.raises(ProbeError, match=r"^127.0.0.1 has closed the connection$"),
    ):
        encrypted(sock, "127.0.0.1", within(5))
