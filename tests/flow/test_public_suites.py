"""What the examples of hurl's documentation and the suites of newman ask, said as checks and asked
of a real server: all but two of them can be.

Each case states a fact of an example in words of our own: `docs/samples.md` of
Orange-OpenSource/hurl, and `test/integration`, `test/fixtures/run` and `examples` of
postmanlabs/newman. What cannot be said, and why, is in docs/smoke-test.md.
"""

import base64
import email
import email.policy
import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from toolkit.flow import smoke as flow
from toolkit.flow.smoke import SmokeTestRequest
from toolkit.operations import Result
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.run.stop import Stop

ORDER = {
    "validated": True,
    "userInfo": {"firstName": "Franck", "lastName": "Herbert"},
    "hasDevice": False,
    "links": list(range(12)),
    "state": "open",
    "order": "order-00012345",
}
ARCHIVE = bytes(range(256)) * 8
PAGE = (
    '<html><head><title>Example Domain</title><meta name="_csrf_token" content="t0ken-9f3a">'
    "</head><body><p>a</p><p>b</p></body></html>"
)


class EchoHandler(BaseHTTPRequestHandler):
    """Answers with what was asked, as the public echo services do, and with a few fixed pages."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the second part of each answer waits 40 ms

    def answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        name = parts.path.strip("/").replace("-", "_")
        fixed = getattr(self, f"page_{name}", None)
        if fixed is not None:
            fixed(body)
        else:
            self.say(self.echo(body))

    do_GET = do_POST = do_PUT = do_HEAD = do_PATCH = answer  # noqa: N815

    def echo(self, body: bytes) -> bytes:
        parts = urlsplit(self.path)
        content_type = self.headers["Content-Type"] or ""
        answer: dict[str, Any] = {
            "method": self.command,
            "args": {key: _one(values) for key, values in parse_qs(parts.query).items()},
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "data": body.decode("utf-8", "replace"),
            "cookies": {
                key: morsel.value
                for key, morsel in SimpleCookie(self.headers["Cookie"] or "").items()
            },
        }
        if content_type == "application/json":
            answer["json"] = json.loads(body)
        elif content_type == "application/x-www-form-urlencoded":
            answer["form"] = {key: _one(value) for key, value in parse_qs(body.decode()).items()}
        elif content_type.startswith("multipart/form-data"):
            answer |= _parts(content_type, body)
        return json.dumps(answer).encode()

    def say(self, body: bytes, status: int = 200, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        named = {name for name, _ in headers}
        if "Content-Type" not in named:
            self.send_header("Content-Type", "application/json")
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def page_order(self, body: bytes) -> None:
        self.say(json.dumps(ORDER).encode())

    def page_accepted(self, body: bytes) -> None:
        self.say(b"{}", 202)

    def page_protected(self, body: bytes) -> None:
        expected = f"Basic {base64.b64encode(b'bob:s3cret-of-bob').decode()}"
        self.say(b"{}", 200 if self.headers["Authorization"] == expected else 401)

    def page_index(self, body: bytes) -> None:
        html = ("Content-Type", "text/html; charset=UTF-8")
        self.say(PAGE.encode(), 200, html)

    def page_cookies(self, body: bytes) -> None:
        self.say(
            b"{}",
            200,
            ("Set-Cookie", "theme=light"),
            (
                "Set-Cookie",
                "JSESSIONID=8400BAFE2F66; Expires=Wed, 13 Jan 2021 22:23:01 GMT; Secure;"
                " HttpOnly; SameSite=Lax",
            ),
        )

    def page_session(self, body: bytes) -> None:
        self.say(b"{}", 200, ("Set-Cookie", "session=abcdef0123; Path=/"))

    def page_moved(self, body: bytes) -> None:
        self.say(b"", 302, ("Location", "http://www.example.net/new"))

    def page_twice(self, body: bytes) -> None:
        self.say(b"", 302, ("Location", "/once"))

    def page_once(self, body: bytes) -> None:
        self.say(b"", 302, ("Location", "/get"))

    def page_archive(self, body: bytes) -> None:
        self.say(ARCHIVE, 200, ("Content-Type", "application/octet-stream"))

    def page_login(self, body: bytes) -> None:
        good = self.headers["X-CSRF-TOKEN"] == "t0ken-9f3a"
        self.say(b"", 302 if good else 403, ("Location", "/"))

    def page_stock(self, body: bytes) -> None:
        good = b"<m:StockName>GOOG</m:StockName>" in body and self.headers["SOAPAction"]
        self.say(b"<ok/>", 200 if good else 400, ("Content-Type", "application/soap+xml"))

    def page_packed(self, body: bytes) -> None:
        packed = gzip.compress(b'{"gzipped": true}')
        self.say(packed, 200, ("Content-Encoding", "gzip"))

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _one(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _parts(content_type: str, body: bytes) -> dict[str, Any]:
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.default
    )
    assert isinstance(message, EmailMessage)
    form: dict[str, str] = {}
    files: dict[str, str] = {}
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        if part.get_filename() is None:
            form[name] = content.decode()
        else:
            text = base64.b64encode(content).decode()
            files[str(part.get_filename())] = f"data:{part.get_content_type()};base64,{text}"
    return {"form": form, "files": files}


FILES = {
    "data.json": b'{"id": "456", "evaluate": true}',
    "example.txt": b"some text",
    "example.zip": b"PK\x03\x04",
    "with-bom.csv": b"\xef\xbb\xbfname,age\nada,36\nbob,41\n",
    "commas.csv": b'word,times\n"one, two",1\n"three, ""four""",2\n',
}
HURL = {
    "a request": '[checks.x]\nhttp = "GET /get"\n',
    "headers": """
[checks.x]
http = "GET /get"
headers = { Accept = "*/*", Accept-Language = "en-US,en;q=0.5", User-Agent = "Mozilla/5.0" }
[checks.x.expect.json]
"$.headers['accept-language']" = "en-US,en;q=0.5"
"$.headers['user-agent']" = "Mozilla/5.0"
""",
    "fields in the address": """
[checks.x]
http = "GET /get"
query = { order = "newest", search = "something to search", count = "100" }
expect.json."$.args".equals = { order = "newest", search = "something to search", count = "100" }
""",
    "basic authentication": """
[secrets.password]
env = "BOB"
[checks.x]
http = "GET /protected"
basic = { user = "bob", password = "{password}" }
""",
    "a form": """
[checks.x]
http = "POST /post"
form = { default = "false", email = "john.doe@rookie.org", number = "33611223344" }
expect.json = { "$.form.email" = "john.doe@rookie.org", "$.form.default" = "false" }
""",
    "a multipart form with files": """
[checks.x]
http = "POST /post"
[checks.x.multipart]
field1 = "value1"
field2 = { file = "example.txt" }
field3 = { file = "example.zip", type = "application/zip" }
[checks.x.expect.json]
"$.form.field1" = "value1"
"$.files['example.zip']" = { like = "data:application/zip;base64,*" }
"$.files['example.txt']" = { like = "data:text/plain;base64,*" }
""",
    "JSON": """
[checks.x]
http = "POST /post"
json = { id = "456", evaluate = true }
expect.json = { "$.json.evaluate" = true, "$.json.id" = "456" }
""",
    "JSON of a file": """
[checks.x]
http = "POST /post"
body_file = "data.json"
expect.json = { "$.json.evaluate" = true, "$.headers['content-type']" = "application/json" }
""",
    "JSON with values of several types": """
[checks.x]
http = "PUT /put"
json = { key0 = "{word}", key1 = "{flag}", key3 = "{number}" }
rows = [{ word = "apple", flag = true, number = 42 }]
expect.json."$.json" = { equals = { key0 = "apple", key1 = true, key3 = 42 } }
""",
    "headers of the answer, one of them twice": """
[checks.x]
http = "GET /cookies"
expect.headers = { Set-Cookie = "theme=light" }
""",
    "a redirect that is not followed": """
[checks.x]
http = "GET /moved"
follow = false
expect = { status = 302, headers = { Location = { contains = "www.example.net" } } }
""",
    "a REST API": r"""
[checks.x]
http = "GET /order"
headers = { screencapability = "low" }
[checks.x.expect.json]
"$.validated" = true
"$.userInfo.firstName" = "Franck"
"$.userInfo.lastName" = "Herbert"
"$.hasDevice" = false
"$.links" = { length = 12 }
"$.state" = { exists = true, type = "string" }
"$.order" = { matches = '^order-\d{8}$' }
""",
    "a status": '[checks.x]\nhttp = "GET /order"\nexpect.status = 200\n',
    "a status in a range": '[checks.x]\nhttp = "GET /accepted"\nexpect.status = "200-299"\n',
    "attributes of a cookie": """
[checks.x]
http = "GET /cookies"
[checks.x.expect.headers.Set-Cookie]
matches = "^JSESSIONID=8400BAFE2F66; Expires=Wed, 13 Jan 2021.*; Secure; HttpOnly"
like = "*; SameSite=Lax"
""",
    "the digest of a body": f"""
[checks.x]
http = "GET /archive"
expect.sha256 = "{hashlib.sha256(ARCHIVE).hexdigest()}"
""",
    "the time": '[checks.x]\nhttp = "GET /get"\nexpect.within = "1s"\n',
    "SOAP": """
[checks.x]
http = "POST /stock"
headers.Content-Type = "application/soap+xml; charset=utf-8"
headers.SOAPAction = "http://example.org/envelope"
body = '<soap:Body><m:GetStockPrice><m:StockName>GOOG</m:StockName></m:GetStockPrice></soap:Body>'
""",
    "a token of a page": """
[checks.page]
http = "GET /index"
capture = { csrf = 'regex:name="_csrf_token" content="([^"]+)"' }
[checks.x]
http = "POST /login"
query = { user = "toto" }
headers = { X-CSRF-TOKEN = "{csrf}" }
follow = false
expect.status = 302
""",
}
NEWMAN = {
    "a property of the answer": """
[checks.x]
http = "GET /get?source=sample"
expect = { status = 200, json = { "$.args" = { equals = { source = "sample" } } } }
""",
    "text": """
[checks.x]
http = "POST /post"
headers = { Content-Type = "text/plain" }
body = "Lorem ipsum"
expect.json = { "$.data" = "Lorem ipsum" }
""",
    "a list in JSON without quotes": """
[checks.first]
http = "POST /post"
json = { list = [1, "two", { three = 3 }], n = 7 }
capture = { list = "$.json.list", n = "$.json.n" }
[checks.x]
http = "POST /post"
json = { again = "{list}", n = "{n}" }
expect.json = { "$.json.again" = "{list}", "$.json.n" = "{n}", "$.json.again[2].three" = 3 }
""",
    "rows of a CSV file with a byte order mark": """
[checks.x]
http = "GET /get?name={name}&age={age}"
rows = "with-bom.csv"
expect.json = { "$.args.name" = "{name}", "$.args.age" = { matches = "^[0-9]+$" } }
""",
    "rows of a CSV file with commas in its values": """
[checks.x]
http = "POST /post"
rows = "commas.csv"
json = { word = "{word}" }
expect.json = { "$.json.word" = "{word}" }
""",
    "a cookie that the next request sends": """
[checks.login]
http = "GET /session"
[checks.x]
http = "GET /get"
needs = ["login"]
expect.json = { "$.cookies.session" = "abcdef0123" }
""",
    "several values of one field": """
[checks.x]
http = "POST /post"
form = { tag = ["a", "b"], other = "c" }
expect.json = { "$.form.tag" = ["a", "b"], "$.form.other" = "c" }
""",
    "a chain of requests": """
[checks.first]
http = "GET /get?n=17"
capture = { n = "$.args.n" }
[checks.second]
http = "GET /get?m={n}"
capture = { m = "$.args.m" }
[checks.x]
http = "GET /get?m={m}"
expect.json = { "$.args.m" = "17" }
""",
    "a packed answer": """
[checks.x]
http = "GET /packed"
headers = { Accept-Encoding = "gzip" }
expect.json = { "$.gzipped" = true }
""",
    "only the headers": """
[checks.x]
http = "HEAD /get"
expect = { status = "2xx", body = { length = 0 } }
""",
    "redirects": """
[checks.x]
http = "GET /twice"
expect.json = { "$.method" = "GET" }
""",
    "a file that is uploaded": """
[checks.x]
http = "POST /post"
multipart = { somefile = { file = "data.json", type = "application/octet-stream" } }
expect.json = { "$.files['data.json']" = { like = "data:application/octet-stream;base64,*" } }
""",
}
CASES = [(f"hurl: {name}", checks) for name, checks in HURL.items()]
CASES += [(f"newman: {name}", checks) for name, checks in NEWMAN.items()]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def run(checks: str, address: str, folder: Path) -> tuple[Result, ...]:
    head = f'version = 1\n[environments.dev]\nurls = ["{address}"]\nprivate = true\n'
    (folder / "rules.toml").write_text(head + checks)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    request = SmokeTestRequest(folder=str(folder), environment="dev")
    ports = Ports(
        str(folder),
        str(folder),
        SystemClock(),
        lambda profile, region: Aws(profile, region or "eu-west-1"),
    )
    setup = flow.prepare(request, None, ports)
    return flow.run_smoke_test(request, setup, ports, Stop(), lambda result: None).results


@pytest.mark.parametrize(("what", "checks"), CASES, ids=[name for name, _ in CASES])
def test_an_example_of_a_public_suite_can_be_said_and_passes(
    what: str, checks: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOB", "s3cret-of-bob")
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    results = run(checks, address, tmp_path)
    assert [(result.status, result.misses) for result in results if result.cause] == []
    assert {result.status for result in results} == {"passed"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("12", "13"),
        ('true\n"$.userInfo.first', 'false\n"$.userInfo.first'),
        ("{8}", "{9}"),
        ('"Franck"', '"Frank"'),
    ],
)
def test_an_example_that_is_not_so_fails(
    wrong: tuple[str, str], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    checks = HURL["a REST API"]
    assert wrong[0] in checks
    assert run(checks.replace(*wrong), address, tmp_path)[0].status == "failed"
