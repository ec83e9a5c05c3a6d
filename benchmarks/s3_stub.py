"""An S3 that keeps objects in memory and answers after a while, as one far away does:
`python -m benchmarks.s3_stub SECONDS` prints its port, and ends with its standard input.

It knows what a client needs that puts a folder there, and says who is calling. It checks no
signature.
"""

import asyncio
import hashlib
import sys
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000
_NOT_FOUND = (
    b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
)
_CALLER = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult>"
    b"<Arn>arn:aws:iam::111111111111:user/ada</Arn><UserId>1</UserId>"
    b"<Account>111111111111</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
)
_UNMET = b"<Error><Code>PreconditionFailed</Code><Message>It does not hold.</Message></Error>"


class Stub:
    """Objects by path; every answer waits for `latency` seconds."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._objects: dict[str, tuple[bytes, str, str]] = {}
        self._modified: dict[str, str] = {}
        self._sorted: list[str] | None = None

    async def serve(self) -> None:
        """Answer until standard input ends."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ", 2)
                headers = {}
                for line in head[1:]:
                    name, _, value = line.partition(":")
                    headers[name.strip().lower()] = value.strip()
                if headers.get("expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await _body(reader, headers)
                await asyncio.sleep(self._latency)
                writer.write(self._answer(method, target, headers, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        split = urlsplit(target)
        path, query = unquote(split.path), parse_qs(split.query, keep_blank_values=True)
        bucket, _, key = path.lstrip("/").partition("/")
        if method == "POST" and not bucket:
            return _response(200, _CALLER)
        if method == "POST" and "delete" in query:
            return self._delete(bucket, body)
        if method == "PUT" and "x-amz-copy-source" in headers:
            source = unquote(headers["x-amz-copy-source"]).lstrip("/")
            return self._copy(source, f"{bucket}/{key}", headers)
        if method == "PUT":
            return self._put(f"{bucket}/{key}", headers, body)
        if method == "GET" and not key:
            if "location" in query:
                return _response(200, b"<LocationConstraint/>")
            return self._list(bucket, query)
        if method in ("GET", "HEAD"):
            return self._get(f"{bucket}/{key}", method == "HEAD")
        if method == "DELETE":
            self._objects.pop(f"{bucket}/{key}", None)
            return _response(204)
        return _response(200)

    def _put(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        present = self._objects.get(path)
        expected = headers.get("if-match")
        if (headers.get("if-none-match") and present) or (
            expected and (present is None or present[1] != expected)
        ):
            return _response(412, _UNMET)
        return _response(200, b"", ETag=self._keep(path, body, headers.get("content-type", "")))

    def _keep(self, path: str, body: bytes, kind: str) -> str:
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if path not in self._objects:
            self._sorted = None
        self._objects[path] = (body, etag, kind)
        self._modified[path] = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        return etag

    def _copy(self, source: str, path: str, headers: dict[str, str]) -> bytes:
        present = self._objects.get(source)
        if present is None:
            return _response(404, _NOT_FOUND)
        if headers.get("x-amz-copy-source-if-match") not in (None, present[1]):
            return _response(412, _UNMET)
        etag = self._keep(path, present[0], headers.get("content-type", present[2]))
        document = (
            f"<CopyObjectResult><ETag>{escape(etag)}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></CopyObjectResult>"
        )
        return _response(200, document.encode())

    def _get(self, path: str, head: bool) -> bytes:
        present = self._objects.get(path)
        if present is None:
            return _response(404, b"" if head else _NOT_FOUND)
        body, etag, kind = present
        headers = {"ETag": etag, "Content-Type": kind, "Last-Modified": formatdate(usegmt=True)}
        answer = _response(200, body, **headers)
        if head:
            return answer[: len(answer) - len(body)]
        return answer

    def _delete(self, bucket: str, body: bytes) -> bytes:
        for part in body.decode().split("<Key>")[1:]:
            self._objects.pop(f"{bucket}/{part.partition('</Key>')[0]}", None)
        self._sorted = None
        return _response(200, b"<DeleteResult/>")

    def _list(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        if self._sorted is None:
            self._sorted = sorted(self._objects)
        begin = f"{bucket}/{query.get('prefix', [''])[0]}"
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        keys = [path for path in self._sorted if path.startswith(begin) and path > after]
        page = keys[:PAGE]
        rows = []
        for path in page:
            body, etag, _ = self._objects[path]
            rows.append(
                f"<Contents><Key>{escape(path.partition('/')[2])}</Key>"
                f"<LastModified>{self._modified[path]}</LastModified>"
                f"<ETag>{escape(etag)}</ETag><Size>{len(body)}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
        more = ""
        if len(keys) > PAGE:
            more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        cut = str(len(keys) > PAGE).lower()
        document = (
            f"<ListBucketResult><Name>{bucket}</Name><Prefix/><KeyCount>{len(page)}</KeyCount>"
            f"<MaxKeys>{PAGE}</MaxKeys><IsTruncated>{cut}</IsTruncated>{more}"
            f"{''.join(rows)}</ListBucketResult>"
        )
        return _response(200, document.encode())


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = int(headers.get("content-length", 0))
    body = await reader.readexactly(length) if length else b""
    if "aws-chunked" not in headers.get("content-encoding", ""):
        return body
    plain = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        number = int(size.partition(b";")[0], 16)
        if number == 0:
            break
        plain += rest[:number]
        body = rest[number + 2 :]
    return plain


def _response(status: int, body: bytes = b"", **headers: str) -> bytes:
    words = {200: "OK", 204: "No Content", 404: "Not Found", 412: "Precondition Failed"}
    lines = [f"HTTP/1.1 {status} {words[status]}", f"Content-Length: {len(body)}"]
    lines += [f"Date: {formatdate(usegmt=True)}", "x-amz-request-id: 1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


if __name__ == "__main__":
    asyncio.run(Stub(float(sys.argv[1])).serve())
