"""A caching proxy in front of a bucket, as CloudFront is one: it keeps what `Cache-Control` lets it
keep, keeps errors for a while, too, and forgets what it is told to forget by an invalidation.
"""

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws
from toolkit.targets.site.references import referred_keys

ERROR_S = 10.0
"""How long an error is kept, in seconds."""
_MAX_AGE = re.compile(r"(?:s-maxage|max-age)=(\d+)")
_LAZY = re.compile(r"""import\(["']([^"']+)["']\)""")


class Answer(NamedTuple):
    """What is served for a path, and until when it may be."""

    status: int
    body: bytes
    kind: str
    until: float


class Cdn:
    """The cache. `asked` counts the questions to the bucket."""

    def __init__(self, aws: Aws, bucket: str, distribution: str) -> None:
        self._aws, self._bucket, self._distribution = aws, bucket, distribution
        self._kept: dict[str, Answer] = {}
        self._seen: set[str] = set()
        self._lock = Lock()
        self.asked = self.hits = 0

    def get(self, path: str) -> Answer:
        """What is served at a path."""
        with self._lock:
            self._forget()
            kept = self._kept.get(path)
            if kept is not None and kept.until > time.monotonic():
                self.hits += 1
                return kept
            answer = self._fetch(path)
            self._kept[path] = answer
            return answer

    def _fetch(self, path: str) -> Answer:
        self.asked += 1
        key = unquote(path).lstrip("/")
        if not key or key.endswith("/"):
            key += "index.html"
        now = time.monotonic()
        try:
            found, body = self._aws.streamed(
                "s3", "get_object", 1 << 20, Bucket=self._bucket, Key=key
            )
        except CloudError as problem:
            if problem.aws_code != "NoSuchKey":
                raise
            return Answer(404, b"", "text/plain", now + ERROR_S)
        control = str(found.get("CacheControl", ""))
        age = _MAX_AGE.search(control)
        seconds = 0
        if age is not None and "no-cache" not in control:
            seconds = int(age[1])
        return Answer(200, body, str(found["ContentType"]), now + seconds)

    def _forget(self) -> None:
        listed = self._aws.read(
            "cloudfront", "list_invalidations", DistributionId=self._distribution
        )
        for item in listed["InvalidationList"].get("Items") or ():
            if item["Id"] in self._seen:
                continue
            self._seen.add(item["Id"])
            told = self._aws.read(
                "cloudfront",
                "get_invalidation",
                DistributionId=self._distribution,
                Id=item["Id"],
            )
            for path in told["Invalidation"]["InvalidationBatch"]["Paths"]["Items"]:
                for kept in [name for name in self._kept if _is_meant(name, path)]:
                    del self._kept[kept]


def _is_meant(name: str, path: str) -> bool:
    if path.endswith("*"):
        return name.startswith(path[:-1])
    return fnmatchcase(name, path)


@contextmanager
def served(cdn: Cdn) -> Iterator[int]:
    """The cache at a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = cdn.get(urlsplit(self.path).path)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Crawler:
    """Follows every reference of every page again and again. `wrong` are the addresses that did
    not answer with 200, each with the page that had them.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = False
        self._thread = Thread(target=self._crawl_on, daemon=True)
        self.rounds = 0
        self.wrong: list[tuple[str, str, int]] = []
        self.problem: BaseException | None = None

    def __enter__(self) -> "Crawler":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._over = True
        self._thread.join(30)
        if self.problem is not None:
            raise self.problem

    def _crawl_on(self) -> None:
        try:
            while not self._over:
                self.crawl()
                self.rounds += 1
        except BaseException as problem:
            self.problem = problem

    def crawl(self) -> set[str]:
        """Look at everything once; the paths that were looked at."""
        waiting, seen = [("/", "")], {"/"}
        while waiting:
            path, shown_by = waiting.pop()
            status, body, kind = fetch(self._port, path)
            if status != 200:
                self.wrong.append((path, shown_by, status))
            for found in _references(path, body.decode(), kind):
                if found not in seen:
                    seen.add(found)
                    waiting.append((found, path))
        return seen


def _references(path: str, text: str, kind: str) -> Iterator[str]:
    if kind.startswith("text/javascript"):
        for name in _LAZY.findall(text):
            yield urljoin(path, name)
        return
    key = path.lstrip("/")
    if kind.startswith("text/html") and (not key or key.endswith("/")):
        key += "index.html"
    if kind.startswith("text/css"):
        key = f"{key.removesuffix('.css')}.css"
    for name in referred_keys(key, text, ""):
        yield f"/{name}"


def fetch(port: int, path: str) -> tuple[int, bytes, str]:
    """Status, body and content type of an address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("Content-Type", "")
    finally:
        connection.close()


def built_site(number: int) -> dict[str, str]:
    """A build of a site as vite makes them: release `number`, with a lazy chunk."""
    app, chunk, style = (f"assets/{name}-{number:07}X" for name in ("index", "lazy", "style"))
    manifest = {
        "index.html": {
            "file": f"{app}.js",
            "name": "index",
            "isEntry": True,
            "css": [f"{style}.css"],
            "dynamicImports": ["lazy.js"],
        },
        "lazy.js": {"file": f"{chunk}.js", "name": "lazy"},
    }
    page = (
        f'<link rel="stylesheet" href="/{style}.css"><script src="/{app}.js"></script>'
        f'<script src="/config.js"></script><a href="/docs/page.html">docs</a> release {number}'
    )
    return {
        ".vite/manifest.json": json.dumps(manifest),
        f"{app}.js": f'import("/{chunk}.js")\n// {number}',
        f"{chunk}.js": f"// lazy {number}",
        f"{style}.css": f"a{{background:url(/logo-{number % 3}.svg)}}",
        f"logo-{number % 3}.svg": "<svg/>",
        "config.js": f"release = {number}",
        "docs/page.html": f'<script src="/{app}.js"></script> page {number}',
        "index.html": page,
    }
