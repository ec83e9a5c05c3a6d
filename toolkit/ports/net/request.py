"""Requests: which are valid, and what becomes of one at a redirect. Nothing here touches the
network.
"""

from collections.abc import Mapping, Sequence
from re import compile as pattern
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import ProbeRefused
from toolkit.ports.net.policy import ascii_name

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
HTTP = ("http", "https")
CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization"))
REDIRECTS = (301, 302, 303, 307, 308)
_OF_CONTENT = "content-"
_OURS = frozenset(
    (
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "keep-alive",
        "proxy-connection",
    )
)
"""Headers about the framing and the receiver of a request, which are ours to set."""
_TOKEN = pattern(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_METHOD = pattern(r"[A-Za-z][A-Za-z-]{0,19}")
_CONTROL = pattern(r"[\x00-\x20\x7f]")
MOST_BODY = 64 << 10
"""Bytes of an answer that are read where the request does not say."""
NO_VALUE = pattern(r"[\x00-\x08\x0a-\x1f\x7f]")


class HttpRequest(Struct, frozen=True):
    """A request. `secret_headers` are the names, in lower case, of headers that hold credentials
    besides those that always do. `most_body` is how many bytes of the answer are read, packed or
    unpacked; without `unpacks` the body stays as its Content-Encoding has it.
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    secret_headers: frozenset[str] = frozenset()
    most_body: int = MOST_BODY
    unpacks: bool = True


class HttpAddress(Struct, frozen=True):
    """An address in its parts. `host` is in ASCII, `target` the path with the query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def at(self) -> str:
        """`host:port`, which is all that messages show of an address."""
        return f"{self._host}:{self.port}"

    @property
    def named(self) -> str:
        """The host with its port if that is not the usual one, as a Host header has it."""
        return self._host if self.port == PORTS[self.scheme] else self.at

    @property
    def url(self) -> str:
        """The whole address again."""
        return f"{self.scheme}://{self.named}{self.target}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials belong to."""
        return (self.scheme, self.host, self.port)

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def where(url: str, schemes: Sequence[str] = HTTP) -> HttpAddress:
    """An address in its parts. Raises ProbeRefused, which never shows the whole address: it may
    contain secrets.
    """
    if _CONTROL.search(url):
        raise ProbeRefused("the address has a space or a control character in it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ProbeRefused("the address cannot be read") from None
    if parts.scheme not in schemes:
        what = f"{parts.scheme[:20]}:" if parts.scheme else "an address without a scheme"
        raise ProbeRefused(
            f"{what} is not allowed here",
            f"use {' or '.join(f'{scheme}://' for scheme in schemes)}",
        )
    if "@" in parts.netloc:
        raise ProbeRefused("the address has a user name in it", "send credentials in a header")
    if not host:
        raise ProbeRefused("the address has no host")
    if port == 0:
        raise ProbeRefused("0 is not a port")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    return HttpAddress(
        parts.scheme, ascii_name(host), port or PORTS[parts.scheme], _percent(target)
    )


def check(request: HttpRequest) -> None:
    """Raises ProbeRefused for a method or headers that could change the request's framing."""
    if not _METHOD.fullmatch(request.method) or request.method.upper() == "CONNECT":
        raise ProbeRefused(f"{request.method[:20]!r} is not a method that can be used")
    check_headers(request.headers)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises ProbeRefused for headers that cannot be sent."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ProbeRefused(f"{name!r} is not a name of a header")
        if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
            raise ProbeRefused(
                f"the header {name} cannot be set: it follows from the address and the content"
            )
        if NO_VALUE.search(value):
            raise ProbeRefused(f"the header {name} has a control character in its value")


def onward(request: HttpRequest, status: int, location: str, cookies: bool = False) -> HttpRequest:
    """The next request after a redirect; `cookies` says that the last one had some besides its
    headers.

    Within one origin (scheme, host, port) everything is sent again. Another one gets no credentials
    and no content. Raises ProbeRefused.
    """
    before = where(request.url)
    after = _target(before.url, location)
    method = _method(request.method, status)
    headers, body = dict(request.headers), request.body
    if method != request.method:
        body = None
        for name in request.headers:
            if name.lower().startswith(_OF_CONTENT):
                del headers[name]
    if after.origin != before.origin:
        hidden = CREDENTIALS | {name.lower() for name in request.secret_headers}
        secret = {name for name in headers if name.lower() in hidden}
        if before.scheme == "https" and after.scheme == "http" and (secret or cookies):
            raise ProbeRefused(
                f"it redirects to {after.at} without encryption, which is not allowed for a request"
                " with credentials"
            )
        if body is not None:
            raise ProbeRefused(
                f"it redirects to {after.at}, which is not allowed for a request with content",
                "ask that address itself",
            )
        headers = {name: value for name, value in headers.items() if name not in secret}
    return replace(request, method=method, url=after.url, headers=headers, body=body)


def _target(url: str, location: str) -> HttpAddress:
    """The address that a redirect leads to; http.client decodes its bytes as Latin-1."""
    quoted = ""
    for char in location.strip(" \t"):
        quoted += char if "!" <= char <= "~" else f"%{ord(char) & 0xFF:02X}"
    try:
        joined = urljoin(url, quoted)
        scheme = urlsplit(joined).scheme
    except ValueError:
        raise ProbeRefused("it redirects to an address that cannot be read") from None
    if scheme not in HTTP:
        raise ProbeRefused(f"it redirects to {scheme[:20]}:, which is not allowed")
    try:
        return where(joined)
    except ProbeRefused as refused:
        raise ProbeRefused(f"it redirects to where nothing is asked: {refused}") from None


def _method(method: str, status: int) -> str:
    """As browsers do it."""
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        return "GET"
    return method


def _percent(text: str) -> str:
    return "".join(char if char.isascii() else quote(char, errors="replace") for char in text)
