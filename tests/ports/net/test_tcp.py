"""Ports, certificates and names."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.ports.net.servers import HERE, Authority, Peer, Raw, Spy, resolving
from toolkit.errors import ProbeError, ProbeRefused
from toolkit.ports.net import dns, tcp, tls
from toolkit.ports.net.policy import Policy


def test_an_open_port_is_enough() -> None:
    with Raw(lambda peer: peer.hang()) as server:
        actual, took = tcp.talk("127.0.0.1", server.port, HERE, 5, None, None)
    assert actual == b""
    assert took < 1


def test_a_port_answers_what_is_wanted() -> None:
    def script(peer: Peer) -> None:
        peer.say(b"+PONG\r\n" if peer.sock.recv(100) == b"PING\r\n" else b"-ERR\r\n")
        peer.hang()

    with Raw(script) as server:
        actual, took = tcp.talk(
            "127.0.0.1", server.port, HERE, 5, b"PING\r\n", lambda data: b"\n" in data
        )
    assert actual == b"+PONG\r\n"
    assert took < 1


def test_bytes_that_are_not_wanted_come_back_at_the_deadline() -> None:
    with Raw(lambda peer: peer.drip(b"x")) as server:
        actual, took = tcp.talk(
            "127.0.0.1", server.port, HERE, 0.3, None, lambda data: b"y" in data
        )
    assert set(actual) == set(b"x")
    assert 0.25 < took < 0.9


def test_bytes_come_back_when_the_other_side_closes_or_breaks_off() -> None:
    def script(peer: Peer) -> None:
        peer.say(b"hello")
        peer.rest(0.1)
        if server.connections > 1:
            peer.reset()

    with Raw(script) as server:
        for _ in range(2):
            actual, took = tcp.talk("127.0.0.1", server.port, HERE, 5, None, lambda data: False)
            assert actual == b"hello"
            assert took < 1


def test_an_endless_answer_is_cut() -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.say(bytes(1 << 16))

    with Raw(script) as server:
        assert (
            len(tcp.talk("127.0.0.1", server.port, HERE, 5, None, lambda data: False)[0])
            == tcp.MOST_BYTES
        )


def test_a_silent_port_is_left_at_the_deadline() -> None:
    with Raw(lambda peer: peer.hang()) as server:
        began = time.monotonic()
        with pytest.raises(ProbeError, match=r"^no answer within 0.3 s$"):
            tcp.talk("127.0.0.1", server.port, HERE, 0.3, b"PING\r\n", lambda data: True)
        assert 0.25 < time.monotonic() - began < 4


def test_a_port_that_is_not_allowed_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    for talk in (
        lambda: tcp.talk("127.0.0.1", 22, Policy(("127.0.0.1",)), 5, None, None),
        lambda: tls.look("::1", 22, HERE, 5),
    ):
        with pytest.raises(ProbeRefused):
            talk()
    assert not spy.connected


def test_a_certificate_tells_end_issuer_names_and_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    authority.trust(monkeypatch)
    with Raw(
        lambda peer: peer.hang(),
        authority.context("127.0.0.1", "a.example.com", ends=timedelta(days=3)),
    ) as server:
        actual = tls.look("127.0.0.1", server.port, HERE, 5)
    assert abs(actual.ends - datetime.now(UTC) - timedelta(days=3)) < timedelta(minutes=1)
    assert (actual.issuer, set(actual.names), actual.protocol) == (
        "Example Trust",
        {"127.0.0.1", "a.example.com"},
        "TLSv1.3",
    )


def test_addresses_are_told_in_order_even_private_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    resolving(monkeypatch, "9.9.9.9", "10.0.0.1", "10.0.0.1", "2001:DB8:0::1")
    assert dns.addresses("A.example.com", Policy(("a.example.com",)), 5) == (
        "10.0.0.1",
        "2001:db8::1",
        "9.9.9.9",
    )
    assert not spy.connected


def test_a_name_is_told_as_what_stands_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "9.9.9.9")
    assert dns.addresses(
        "a.example.com", Policy((), instead={"a.example.com": ("127.0.0.1", 80)}), 5
    ) == ("127.0.0.1",)


def test_a_name_that_is_not_listed_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "9.9.9.9")
    with pytest.raises(ProbeRefused):
        dns.addresses("secrets.evil.example.org", Policy(("a.example.com",)), 5)
