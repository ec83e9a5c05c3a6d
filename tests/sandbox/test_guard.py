"""Who may talk to the sandbox."""

from __future__ import annotations

import http.client
import socket

import pytest

from tests.support.sandbox import Emulator
from toolkit.sandbox import guard

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1234        0 2 1 0000000000000000 20 4 30 10 -1
"""


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://example.com"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "rebound.example.com:4566"},
        {"host": "127.0.0.1.example.com"},
    ],
)
def test_a_web_page_is_refused_but_at_the_persons_own_services(headers: dict[str, str]) -> None:
    assert guard.refusal("/", headers, None)
    assert guard.refusal("/_service/1/2/3/4/", headers, None) is None


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost", "bucket.s3.eu-west-1.amazonaws.com", "abc.execute-api.localhost:4566"])
def test_a_program_is_answered_under_every_name_of_the_sandbox(host: str) -> None:
    assert guard.refusal("/", {"host": host, "sec-fetch-site": "none"}, None) is None


def test_the_table_of_sockets_tells_whose_a_connection_is() -> None:
    assert guard.owner(TABLE.splitlines(), "127.0.0.1", 0xD431) == 1234
    assert guard.owner(TABLE.splitlines(), "127.0.0.1", 0xD432) is None


def test_somebody_else_on_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    with socket.create_connection(("127.0.0.1", emulator.process.port)) as mine:
        assert guard.refusal("/", {}, mine.getsockname()) is None
        monkeypatch.setattr("os.getuid", lambda: 4321)
        monkeypatch.setattr(guard, "owner", lambda *_: 1234)
        assert guard.refusal("/", {}, mine.getsockname()) == "the sandbox belongs to somebody else on this machine"


def test_the_emulator_asks_its_guard(emulator: Emulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.process.port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Origin": "https://example.com"})
        answer = connection.getresponse()
        assert (answer.status, b"web pages" in answer.read()) == (403, True)
    finally:
        connection.close()


def test_the_hosts_of_the_persons_own_services_are_open_and_no_others() -> None:
    page = {"origin": "https://example.com", "host": "Api.Example.com:4566"}
    assert guard.refusal("/", page, None, {"api.example.com"}) is None
    assert guard.refusal("/", {**page, "host": "b.example.com"}, None, {"api.example.com"})
