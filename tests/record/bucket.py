"""A small S3 on 127.0.0.1 that minds conditions, with a clock that the test moves and faults that
it asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.record.parts import ManualClock

OWNER = "111111111111"


class BucketState:
    """What is in the bucket `state`: key -> body, etag, time of change."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.url = ""
        self.reset()

    def reset(self) -> None:
        """As new."""
        self.clock = ManualClock()
        self.objects: dict[str, tuple[bytes, str, datetime]] = {}
        self.calls: list[str] = []
        self.conditional = True
        """Whether conditions are minded: some other stores take no notice of them."""
        self.lose: list[str] = []
        """Methods whose next answer is lost after the effect."""
        self.refuse: dict[str, tuple[int, str]] = {}
        """Method -> the status and code of every answer to it."""
        self.owners: set[str | None] = set()

    def put(self, key: str, body: bytes) -> None:
        """Write something as somebody else would."""
        with self._lock:
            self._write(key, body)

    def body(self, key: str) -> bytes:
        with self._lock:
            return self.objects[key][0]

    def _write(self, key: str, body: bytes) -> str:
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        self.objects[key] = (body, etag, self.clock.now().replace(microsecond=0))
        return etag

    def answer(
        self, method: str, key: str, query: dict[str, list[str]], headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        with self._lock:
            self.calls.append(f"{method} {key}")
            self.owners.add(headers.get("x-amz-expected-bucket-owner"))
            if method in self.refuse:
                return _error(*self.refuse[method])
            if headers.get("x-amz-expected-bucket-owner", OWNER) != OWNER:
                return _error(403, "AccessDenied")
            if method == "GET" and not key:
                below = query.get("prefix", [""])[0]
                text = "".join(
                    f"<Contents><Key>{escape(name)}</Key><ETag>{escape(item[1])}</ETag></Contents>"
                    for name, item in sorted(self.objects.items())
                    if name.startswith(below)
                )
                return (
                    200,
                    {},
                    f"<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>".encode(),
                )
            remote = self.objects.get(key)
            if self.conditional and headers.get("If-None-Match") == "*" and remote is not None:
                return _error(412, "PreconditionFailed")
            if self.conditional and (expected := headers.get("If-Match")):
                if remote is None:
                    return _error(404, "NoSuchKey")
                if remote[1] != expected:
                    return _error(412, "PreconditionFailed")
            if method == "PUT":
                return 200, {"ETag": self._write(key, body)}, b""
            if method == "DELETE":
                self.objects.pop(key, None)
                return 204, {}, b""
            if remote is None:
                return _error(404, "NoSuchKey")
            return (
                200,
                {"ETag": remote[1], "Last-Modified": format_datetime(remote[2], usegmt=True)},
                remote[0],
            )


def _error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return (
        status,
        {},
        f"<Error><Code>{code}</Code><Message>so it was asked for</Message></Error>".encode(),
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the second part of each answer waits 40 ms
    s3: ClassVar[BucketState]

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix("/state").removeprefix("/")
        status, headers, answer = self.s3.answer(
            self.command, key, parse_qs(parts.query), self.headers, body
        )
        if self.command in self.s3.lose:
            self.s3.lose.remove(self.command)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {
            **headers,
            "Content-Length": str(0 if status == 204 else len(answer)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_DELETE = _serve  # noqa: N815

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.s3.clock.now().replace(microsecond=0), usegmt=True)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[BucketState]:
    """A bucket, as long as it is needed."""
    s3 = BucketState()

    class BucketHandler(_Handler):
        pass

    BucketHandler.s3 = s3

    class Server(ThreadingHTTPServer):
        daemon_threads, block_on_close = True, False

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is nothing to tell of."""

    with Server(("127.0.0.1", 0), BucketHandler) as server:
        s3.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield s3
        finally:
            server.shutdown()
            thread.join()
