"""Sends an HTTP request and follows its redirects, with limits on bytes and time."""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    RemoteDisconnected,
    UnknownProtocol,
)
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import ErrorClass, ProbeError, ProbeRefused
from toolkit.ports.net.dial import (
    Connection,
    Deadline,
    certificate_ends,
    dial,
    failed,
    late,
    trusted,
    within,
)
from toolkit.ports.net.policy import Policy, check_host, is_never
from toolkit.ports.net.request import (
    MOST_BODY,
    NO_VALUE,
    REDIRECTS,
    HttpAddress,
    HttpRequest,
    check,
    onward,
    where,
)

if TYPE_CHECKING:
    from http.cookiejar import CookieJar
    from urllib.request import Request

__all__ = ["MOST_BODY", "MOST_REDIRECTS", "HttpRequest", "HttpResponse", "ask"]

MOST_REDIRECTS = 5
MOST_INTERIM = 20
"""So many interim answers (1xx) come before the real one at most."""
_GZIP = ("gzip", "x-gzip")
_WITH_CONTENT = ("POST", "PUT", "PATCH")
_FOLDED = re.compile(r"[\r\n]+[ \t]*")


class HttpResponse(Struct, frozen=True):
    """A response. `cut` says that `body` is only its beginning; `took_s` is from before connecting
    to the end of the body, redirects included; `url` is the last address, `redirects` all that the
    request was redirected to.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut: bool
    took_s: float
    url: str
    redirects: tuple[str, ...]
    certificate_ends: datetime | None = None

    def header(self, name: str) -> str | None:
        """The first header of that name, None if there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class _ResponseParts(Struct, frozen=True):
    """The response of one address. `onward` is where it redirects to, `cookies` whether the request
    had any of the jar.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    cut: bool = False
    onward: str | None = None
    cookies: bool = False
    certificate_ends: datetime | None = None


class _Session(Struct, frozen=True):
    """What all requests of a probe share."""

    policy: Policy
    deadline: Deadline
    jar: "CookieJar | None"
    follow: bool


def ask(
    request: HttpRequest,
    policy: Policy,
    seconds: float,
    jar: "CookieJar | None" = None,
    follow: bool = True,
) -> HttpResponse:
    """Send a request, and follow redirects. `seconds` is the time-out for all of it; `jar` sends
    its cookies and collects those of every response.

    Raises ProbeRefused for what the policy forbids, ProbeError if there is no whole response in
    time.
    """
    check(request)
    if where(request.url).scheme == "https":
        trusted()  # the time that reading the certificates takes is not the other side's
    began = monotonic()
    session = _Session(policy, within(seconds), jar, follow)
    redirects: list[str] = []
    while True:
        with _blame_the_response() if redirects else nullcontext():
            response = _exchange(request, session)
        if response.onward is None:
            break
        if len(redirects) == MOST_REDIRECTS:
            if len(set(redirects)) < len(redirects):
                raise ProbeError(f"redirect loop: {where(request.url).at}")
            raise ProbeError(f"it redirects more than {MOST_REDIRECTS} times")
        with _blame_the_response():
            request = onward(request, response.status, response.onward, response.cookies)
            _check_redirect(where(request.url), policy)
        redirects.append(request.url)
    return HttpResponse(
        status=response.status,
        headers=response.headers,
        body=response.body,
        cut=response.cut,
        took_s=monotonic() - began,
        url=where(request.url).url,
        redirects=tuple(redirects),
        certificate_ends=response.certificate_ends,
    )


@contextmanager
def _blame_the_response() -> Iterator[None]:
    """After a redirect, a refusal is a failure of the system, and not a mistake in rules.toml."""
    try:
        yield
    except ProbeRefused as refused:
        refused.error_class = ErrorClass.INVALID
        raise


def _check_redirect(address: HttpAddress, policy: Policy) -> None:
    try:
        check_host(address.host, policy)
    except ProbeRefused as refused:
        next_ = "" if is_never(address.host) else refused.next
        raise ProbeRefused(f"it redirects to {address.at}, which is not allowed", next_) from None


def _exchange(request: HttpRequest, session: _Session) -> _ResponseParts:
    address, deadline = where(request.url), session.deadline
    with Connection(dial(address.host, address.port, session.policy, deadline), deadline) as line:
        ends = None
        if address.scheme == "https":
            ends = certificate_ends(line.encrypt(address.host))
        connection = HTTPConnection(address.host, address.port)
        connection.auto_open = 0  # it must never connect by itself, to an unchecked address
        connection.sock = line.sock
        response: HTTPResponse | None = None
        try:
            cookies = _send(connection, request, address, session.jar)
            response = _final(connection.getresponse(), address)
            # Headers that were cut off at the deadline look as if they had ended.
            if deadline.over():
                raise late(deadline)
            parts = _read_response(response, request, address, session)
            return replace(parts, cookies=cookies, certificate_ends=ends)
        except OSError as error:
            raise failed(error, address.at, deadline, response is not None) from None
        except HTTPException as error:
            raise _garbled(error, address.at, deadline, response is not None) from None
        finally:
            if response is not None:
                response.close()
            connection.close()


def _send(
    connection: HTTPConnection, request: HttpRequest, address: HttpAddress, jar: "CookieJar | None"
) -> bool:
    """Send the request; whether it has cookies of the jar."""
    connection.putrequest(request.method, address.target, skip_host=True, skip_accept_encoding=True)
    headers = {"Host": address.named, "Connection": "close", **request.headers}
    if "accept-encoding" not in {name.lower() for name in request.headers}:
        headers["Accept-Encoding"] = "identity"
    cookies = _cookies(request, jar)
    if cookies is not None:
        headers["Cookie"] = cookies
    if request.body is not None or request.method.upper() in _WITH_CONTENT:
        headers["Content-Length"] = str(len(request.body or b""))
    for name, value in headers.items():
        connection.putheader(name, value.encode("utf-8", "replace"))
    with suppress(BrokenPipeError):  # it may have answered already: too much, not allowed
        connection.endheaders(request.body)
    return cookies is not None


def _read_response(
    response: HTTPResponse, request: HttpRequest, address: HttpAddress, session: _Session
) -> _ResponseParts:
    headers = tuple((name, _FOLDED.sub(" ", value)) for name, value in response.getheaders())
    if session.jar is not None:
        _store_cookies(response, request, session.jar)
    if session.follow and response.status in REDIRECTS:
        location = response.getheader("Location")
        if location is not None:  # the body of a redirect is not needed
            return _ResponseParts(response.status, headers, onward=location)
    most, encoding = request.most_body, response.getheader("Content-Encoding", "")
    packed = _read_body(response, address, session.deadline, most)
    cut = len(packed) > most
    body, more = packed[:most], False
    if request.unpacks:
        body, more = unpacked(body, encoding, cut, most)
    return _ResponseParts(response.status, headers, body, cut or more)


def _final(response: HTTPResponse, address: HttpAddress) -> HTTPResponse:
    """The answer that follows interim ones, such as 103; http.client skips only 100. Raises
    ProbeError where they do not end.
    """
    for _ in range(MOST_INTERIM):
        if not 100 <= response.status < 200 or response.status == 101:
            return response
        response.headers = None  # type: ignore[assignment]  # what `begin` takes for not begun
        response.begin()
    raise ProbeError(f"{address.at} sends more than {MOST_INTERIM} interim answers")


def _read_body(
    response: HTTPResponse, address: HttpAddress, deadline: Deadline, most: int
) -> bytes:
    """The body, or one byte more than `most` of it. Raises ProbeError if it was cut off."""
    body = bytearray()
    while len(body) <= most:
        # Not `read`, which accepts chunks of -1 bytes.
        part = response.read1(most + 1 - len(body))
        if not part:
            break
        body += part
    if len(body) <= most:
        if deadline.over():
            raise late(deadline, begun=True)
        if response.length:
            raise ProbeError(f"{address.at} has closed the connection before the end of its answer")
    return bytes(body[: most + 1])


def unpacked(packed: bytes, encoding: str, cut: bool, most: int = MOST_BODY) -> tuple[bytes, bool]:
    """The decompressed content, at most `most` bytes of it, and whether it is only the beginning.
    `cut` says that `packed` is only a beginning. Raises ProbeError.
    """
    encoding = encoding.strip().lower()
    if not packed or encoding not in (*_GZIP, "deflate"):
        return packed, False
    # What servers call deflate comes with zlib's header or without it.
    has_header = encoding in _GZIP or packed[0] & 0x0F == 8
    stream = zlib.decompressobj(47 if has_header else -15)
    try:
        content = stream.decompress(packed, most + 1)
    except zlib.error:
        raise ProbeError(f"the answer is not the {encoding} that it says it is") from None
    if not stream.eof and not cut and len(content) <= most:
        raise ProbeError(f"the answer ends in the middle of its {encoding}")
    return content[:most], len(content) > most


def _garbled(error: HTTPException, endpoint: str, deadline: Deadline, begun: bool) -> ProbeError:
    if deadline.over():
        return late(deadline, begun)
    if isinstance(error, RemoteDisconnected):
        return ProbeError(f"{endpoint} has closed the connection")
    if isinstance(error, IncompleteRead):
        return ProbeError(f"{endpoint} has closed the connection before the end of its answer")
    if isinstance(error, BadStatusLine | UnknownProtocol):
        return ProbeError(f"{endpoint} does not speak HTTP")
    return ProbeError(f"the headers of the answer of {endpoint} are too long or too many")


def _cookies(request: HttpRequest, jar: "CookieJar | None") -> str | None:
    """The jar's cookies for this address; the request's own cookies win over them."""
    if jar is None or "cookie" in {name.lower() for name in request.headers}:
        return None
    carrier = _urllib_request(request)
    jar.add_cookie_header(carrier)
    return carrier.get_header("Cookie")


def _store_cookies(response: HTTPResponse, request: HttpRequest, jar: "CookieJar") -> None:
    """Store the cookies that can be sent again: one with a folded line or a control character could
    smuggle a header into the next request.
    """
    cookies = response.headers.get_all("Set-Cookie") or []
    del response.headers["Set-Cookie"]
    for cookie in cookies:
        if not NO_VALUE.search(cookie):
            response.headers["Set-Cookie"] = cookie
    jar.extract_cookies(response, _urllib_request(request))


def _urllib_request(request: HttpRequest) -> "Request":
    """The request in the form that cookie jars take."""
    from urllib.request import Request  # only its data: it opens nothing

    url = where(request.url).url  # which allows http and https only
    return Request(url, method=request.method)  # noqa: S310
