"""Servers on the loopback that behave badly, a recorder of connections, and certificates of an
authority of our own.
"""

import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import trustme

from toolkit.ports.net.policy import Policy

HERE = Policy(("127.0.0.1",), private=True)
"""The loopback by its number."""


class Peer:
    """One connection, as the server's script sees it."""

    def __init__(self, sock: socket.socket, same: socket.socket, over: threading.Event) -> None:
        self.sock, self._same, self._over = sock, same, over

    def head(self) -> str:
        """The request up to its empty line."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.sock.recv(65536)
            if not part:
                break
            data += part
        return data.decode("latin-1")

    def say(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def rest(self, seconds: float) -> bool:
        """Wait; False once the test is over."""
        return not self._over.wait(seconds)

    def drip(self, data: bytes, every_s: float = 0.02) -> None:
        """Byte by byte, and again from the start."""
        while True:
            for position in range(len(data)):
                self.say(data[position : position + 1])
                if not self.rest(every_s):
                    return

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self._over.wait()

    def reset(self) -> None:
        """End it rudely."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._same.close()
        self.sock.close()


Script = Callable[[Peer], None]


class Raw:
    """A server whose script has every connection; `heads` are the requests that scripts of
    `answering` have read, `said` is for a script that says what its test wants.
    """

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.heads: list[str] = []
        self.said = b""
        self._script, self._context, self._over = script, context, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for sock in (*self._open, self._listener):
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock.dup())  # to end it from here, also when it is encrypted
            self._threads.append(threading.Thread(target=self._serve, args=(sock, self._open[-1])))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket, same: socket.socket) -> None:
        with suppress(OSError):  # a client that has left, or does not trust us
            if self._context:
                wrapped = self._context.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
                sock = wrapped
                wrapped.do_handshake()
            self._script(Peer(sock, same, self._over))
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def answering(answer: Callable[[str], bytes], context: ssl.SSLContext | None = None) -> Raw:
    """A server that gives the bytes that `answer` makes of a request's head, and keeps the
    heads.
    """
    server: Raw

    def script(peer: Peer) -> None:
        head = peer.head()
        server.heads.append(head)
        peer.say(answer(head))

    server = Raw(script, context)
    return server


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """An answer with its length."""
    document = {
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return (
        f"HTTP/1.1 {status}\r\n".encode()
        + b"".join(f"{name}: {value}\r\n".encode() for name, value in document.items())
        + b"\r\n"
        + body
    )


def redirect(location: str, status: int = 302, **headers: str) -> bytes:
    """An answer that sends its reader on."""
    return answer(b"", f"{status} Go", Location=location, **headers)


def bomb(megabytes: int) -> bytes:
    """So much nothing, packed."""
    packer, block = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


class Spy:
    """Every address that a socket of this process was connected to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connected: list[Any] = []
        for name in ("connect", "connect_ex"):
            real = getattr(socket.socket, name)

            def spying(sock: socket.socket, address: Any, real: Callable[..., Any] = real) -> Any:
                self.connected.append(address)
                return real(sock, address)

            monkeypatch.setattr(socket.socket, name, spying)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """From here on every name stands for these addresses."""

    def result(host: object, port: object, *_: object, **__: object) -> list[Any]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, 0, 0, 0) if ":" in address else (address, 0),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", result)


class Authority:
    """An issuer of certificates; `trust` makes it the only one that is trusted."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._ca = trustme.CA(organization_name="Example Trust")
        self._file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self._file))

    def trust(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Say so in the environment."""
        monkeypatch.setenv("SSL_CERT_FILE", str(self._file))
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    def context(
        self,
        *names: str,
        begins: timedelta = timedelta(days=-90),
        ends: timedelta = timedelta(days=90),
    ) -> ssl.SSLContext:
        """A server with a certificate for these names."""
        now = datetime.now(UTC)
        cert = self._ca.issue_cert(
            *(names or ("127.0.0.1",)), not_before=now + begins, not_after=now + ends
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cert.configure_cert(context)
        return context


@contextmanager
def measured() -> Iterator[Callable[[], int]]:
    """Gives a function that says how many bytes have been in use at once since the start."""
    import tracemalloc

    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
