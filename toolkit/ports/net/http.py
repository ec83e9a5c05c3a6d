"""What does an HTTP address answer? One request and the redirects that follow from it, with an end
to bytes and time.
"""

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

MOST_BODY = 64 << 10
"""Bytes of an answer that are read, packed or unpacked."""
MOST_REDIRECTS = 5
_GZIP = ("gzip", "x-gzip")
_WITH_CONTENT = ("POST", "PUT", "PATCH")
_FOLDED = re.compile(r"[\r\n]+[ \t]*")


class HttpResponse(Struct, frozen=True):
    """An answer. `cut` says that `body` is only its beginning; `took_s` is from before connecting
    to the end of the body, redirects included; `url` is where it ended, `redirects` the addresses
    that it was sent on to.
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
    """What one address answered. `onward` is where it redirects to, `cookies` whether it was sent
    any.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut: bool
    onward: str | None
    cookies: bool
    certificate_ends: datetime | None


def ask(
    asked: HttpRequest,
    policy: Policy,
    seconds: float,
    jar: "CookieJar | None" = None,
    follow: bool = True,
) -> HttpResponse:
    """Ask once, and follow redirects. `seconds` are for all of it; `jar` sends its cookies and
    keeps those of every answer.

    Raises ProbeRefused for what may not be asked, ProbeError if there is no whole answer in time.
    """
    check(asked)
    if where(asked.url).scheme == "https":
        trusted()  # reading the certificates is not the other side's time
    began, deadline = monotonic(), within(seconds)
    redirects: list[str] = []
    while True:
        with _from_an_answer() if redirects else nullcontext():
            heard = _exchange(asked, policy, deadline, jar, follow)
        if heard.onward is None:
            break
        if len(redirects) == MOST_REDIRECTS:
            raise ProbeError(
                f"redirect loop: {where(asked.url).at}"
                if len(set(redirects)) < len(redirects)
                else f"it redirects more than {MOST_REDIRECTS} times"
            )
        with _from_an_answer():
            asked = onward(asked, heard.status, heard.onward, heard.cookies)
            _check_redirect(where(asked.url), policy)
        redirects.append(asked.url)
    return HttpResponse(
        status=heard.status,
        headers=heard.headers,
        body=heard.body,
        cut=heard.cut,
        took_s=monotonic() - began,
        url=where(asked.url).url,
        redirects=tuple(redirects),
        certificate_ends=heard.certificate_ends,
    )


@contextmanager
def _from_an_answer() -> Iterator[None]:
    """What is refused here is refused because of what was answered."""
    try:
        yield
    except ProbeRefused as refused:
        refused.error_class = ErrorClass.INVALID
        raise


def _check_redirect(there: HttpAddress, policy: Policy) -> None:
    try:
        check_host(there.host, policy)
    except ProbeRefused as refused:
        next_ = "" if is_never(there.host) else refused.facts["next"]
        raise ProbeRefused(f"it redirects to {there.at}, which is not allowed", next_) from None


def _exchange(
    asked: HttpRequest, policy: Policy, deadline: Deadline, jar: "CookieJar | None", follow: bool
) -> _ResponseParts:
    there = where(asked.url)
    with Connection(dial(there.host, there.port, policy, deadline), deadline) as line:
        ends = certificate_ends(line.encrypt(there.host)) if there.scheme == "https" else None
        connection = HTTPConnection(there.host, there.port)
        connection.auto_open = 0
        connection.sock = line.sock
        response: HTTPResponse | None = None
        try:
            cookies = _send(connection, asked, there, jar)
            response = connection.getresponse()
            if (
                deadline.over()
            ):  # what was cut off in the middle of the headers passes for their end
                raise late(deadline)
            return _heard(response, there, asked, jar, follow, cookies, ends, deadline)
        except OSError as error:
            raise failed(error, there.at, deadline, response is not None) from None
        except HTTPException as error:
            raise _garbled(error, there.at, deadline, response is not None) from None
        finally:
            if response is not None:
                response.close()
            connection.close()


def _send(
    connection: HTTPConnection, asked: HttpRequest, there: HttpAddress, jar: "CookieJar | None"
) -> bool:
    """Send the request; whether there were cookies of the jar in it."""
    connection.putrequest(asked.method, there.target, skip_host=True, skip_accept_encoding=True)
    headers = {"Host": there.named, "Connection": "close", **asked.headers}
    if "accept-encoding" not in {name.lower() for name in asked.headers}:
        headers["Accept-Encoding"] = "identity"
    cookies = _cookies(asked, jar)
    if cookies is not None:
        headers["Cookie"] = cookies
    if asked.body is not None or asked.method.upper() in _WITH_CONTENT:
        headers["Content-Length"] = str(len(asked.body or b""))
    for name, value in headers.items():
        connection.putheader(name, value.encode("utf-8", "replace"))
    with suppress(BrokenPipeError):  # it may have answered already: too much, not allowed
        connection.endheaders(asked.body)
    return cookies is not None


def _heard(
    response: HTTPResponse,
    there: HttpAddress,
    asked: HttpRequest,
    jar: "CookieJar | None",
    follow: bool,
    cookies: bool,
    ends: datetime | None,
    deadline: Deadline,
) -> _ResponseParts:
    headers = tuple((name, _FOLDED.sub(" ", value)) for name, value in response.getheaders())
    if jar is not None:
        _keep_cookies(response, asked, jar)
    location = response.getheader("Location") if follow and response.status in REDIRECTS else None
    if location is not None:  # nobody needs the content
        return _ResponseParts(response.status, headers, b"", False, location, cookies, ends)
    packed = _read(response, there, deadline)
    cut = len(packed) > MOST_BODY
    body, more = unpacked(packed[:MOST_BODY], response.getheader("Content-Encoding", ""), cut)
    return _ResponseParts(response.status, headers, body, cut or more, None, cookies, ends)


def _read(response: HTTPResponse, there: HttpAddress, deadline: Deadline) -> bytes:
    """The body, or one byte more of it than is kept. Raises ProbeError if it ended before it was
    whole.
    """
    found = bytearray()
    while len(found) <= MOST_BODY:
        part = response.read1(
            MOST_BODY + 1 - len(found)
        )  # not `read`, which believes in chunks of -1 bytes
        if not part:
            break
        found += part
    if deadline.over() and len(found) <= MOST_BODY:
        raise late(deadline, begun=True)
    if len(found) <= MOST_BODY and response.length:
        raise ProbeError(f"{there.at} has closed the connection before the end of its answer")
    return bytes(found[: MOST_BODY + 1])


def unpacked(packed: bytes, encoding: str, cut: bool) -> tuple[bytes, bool]:
    """The content of an answer, and whether there is more of it. `cut` says that `packed` is only a
    beginning. Raises ProbeError.
    """
    how = encoding.strip().lower()
    if not packed or how not in (*_GZIP, "deflate"):
        return packed, False
    wrapped = (
        how in _GZIP or packed[0] & 0x0F == 8
    )  # what is called deflate comes with zlib's header or without
    stream = zlib.decompressobj(47 if wrapped else -15)
    try:
        found = stream.decompress(packed, MOST_BODY + 1)
    except zlib.error:
        raise ProbeError(f"the answer is not the {how} that it says it is") from None
    if not stream.eof and not cut and len(found) <= MOST_BODY:
        raise ProbeError(f"the answer ends in the middle of its {how}")
    return found[:MOST_BODY], len(found) > MOST_BODY


def _garbled(error: HTTPException, at: str, deadline: Deadline, begun: bool) -> ProbeError:
    if deadline.over():
        return late(deadline, begun)
    if isinstance(error, RemoteDisconnected):
        return ProbeError(f"{at} has closed the connection")
    if isinstance(error, IncompleteRead):
        return ProbeError(f"{at} has closed the connection before the end of its answer")
    if isinstance(error, BadStatusLine | UnknownProtocol):
        return ProbeError(f"{at} does not speak HTTP")
    return ProbeError(f"the headers of the answer of {at} are too long or too many")


def _cookies(asked: HttpRequest, jar: "CookieJar | None") -> str | None:
    """What the jar has for this address; the request's own cookies win over it."""
    if jar is None or "cookie" in {name.lower() for name in asked.headers}:
        return None
    request = _as_jars_know_it(asked)
    jar.add_cookie_header(request)
    return request.get_header("Cookie")


def _keep_cookies(response: HTTPResponse, asked: HttpRequest, jar: "CookieJar") -> None:
    """Keep those that can be sent again: one with a folded line or a control character could be
    more than a cookie to somebody.
    """
    found = response.headers.get_all("Set-Cookie") or []
    del response.headers["Set-Cookie"]
    for one in found:
        if not NO_VALUE.search(one):
            response.headers["Set-Cookie"] = one
    jar.extract_cookies(response, _as_jars_know_it(asked))


def _as_jars_know_it(asked: HttpRequest) -> "Request":
    from urllib.request import Request  # only its data: it opens nothing

    return Request(where(asked.url).url, method=asked.method)  # noqa: S310 (http and https only, see `where`)
