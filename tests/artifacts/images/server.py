"""Two servers of few lines: a proxy that breaks connections, and a registry that answers whatever a
test wants.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import urllib3
from msgspec import Struct


class RegistryRequest(Struct, frozen=True):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


class Scripted:
    """An HTTP server on the loopback that answers by a function, and remembers what it was asked.

    Answering None breaks the connection.
    """

    def __init__(self, answer: Callable[[RegistryRequest], Answer | None]) -> None:
        self.asked: list[RegistryRequest] = []
        outer = self

        class RegistryHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or the second part of each answer waits 40 ms
            timeout = 10

            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                registry_request = RegistryRequest(
                    self.command, self.path, dict(self.headers.items()), self.rfile.read(length)
                )
                outer.asked.append(registry_request)
                answered = answer(registry_request)
                if answered is None:
                    self.close_connection = True
                    self.connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    return
                status, headers, body = answered
                self.send_response(status)
                self.send_header("Connection", "close")  # so that `close` has nobody to wait for
                self.close_connection = True
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_one  # noqa: N815 (http.server's names)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), RegistryHandler)
        self._server.daemon_threads = False
        self.netloc = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.netloc}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def told(self, *methods: str) -> list[str]:
        """`METHOD path` of each request of these methods."""
        return [f"{item.method} {item.path}" for item in self.asked if item.method in methods]


@contextmanager
def scripted(answer: Callable[[RegistryRequest], Answer | None]) -> Iterator[Scripted]:
    server = Scripted(answer)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def never_ending(answer: bytes, every_s: float) -> Iterator[str]:
    """The address of a registry that sends this to everybody, and then a byte every so often; none
    at all if that is 0.
    """
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    threads: list[threading.Thread] = []

    def send(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(answer)
            while not over.wait(every_s or None):
                connection.sendall(b"x")

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection = server.accept()[0]
                threads.append(threading.Thread(target=send, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for thread in (accepting, *threads):
            thread.join()


def passing(url: str) -> Callable[[RegistryRequest], Answer | None]:
    """Answers what another server answers: put something before it."""

    def answer(registry_request: RegistryRequest) -> Answer | None:
        document = {
            name: value
            for name, value in registry_request.headers.items()
            if name.lower() in ("authorization", "content-type", "accept", "content-range")
        }
        with urllib3.PoolManager() as pool:
            request = pool.request(
                registry_request.method,
                f"{url}{registry_request.path}",
                headers=document,
                body=registry_request.body,
                redirect=False,
                retries=False,
            )
            table = {
                name: value for name, value in request.headers.items() if name.lower() in _PASSED
            }
            if registry_request.method == "HEAD" and "content-length" in request.headers:
                table["Content-Length"] = request.headers["content-length"]
            return request.status, table, request.data

    return answer


_PASSED = ("content-type", "location", "docker-content-digest", "range", "docker-upload-uuid")


class Cutting:
    """A TCP proxy that resets the first connection that has brought more than so many bytes."""

    def __init__(self, url: str, after: int) -> None:
        self._to = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self._after, self.cut = after, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if not self._after:
                near.close()
                return
            far = socket.create_connection(self._to)
            near.settimeout(1)
            far.settimeout(1)
            for source, target, up in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=self._pass, args=(source, target, up))
                thread.start()
                self._threads.append(thread)

    def _pass(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        count = 0
        try:
            while chunk := source.recv(16384):
                count += len(chunk)
                if up and not self.cut and count > self._after:
                    self.cut = count
                    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                target.sendall(chunk)
        except OSError:
            pass
        finally:
            for item in (source, target):
                with suppress(OSError):
                    item.shutdown(socket.SHUT_RDWR)
                if item is source:
                    item.close()

    def close(self) -> None:
        self._after = 0
        socket.create_connection(self._server.getsockname()).close()
        for thread in self._threads:
            thread.join()
        self._server.close()
