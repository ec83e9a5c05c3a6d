"""A check of an HTTP address: method, headers and body; expected status, headers, content and time;
values for later checks.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Meta, field

from toolkit.checks import base, expect
from toolkit.checks.expect import Expect
from toolkit.errors import ProbeError
from toolkit.operations import Mismatch

if TYPE_CHECKING:
    from toolkit.ports.net.http import HttpRequest, HttpResponse

_WHERE = re.compile(r"\$.*|body|header:[A-Za-z0-9_-]+|cookie:[^\s=;]+", re.DOTALL)
_AGENT = "toolkit"
LINES = 12
"""So many lines of an answer are shown."""

Request = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z]{3,10} (?:/|https?://|\{)[^\s]*$",
        description=(
            "A method and an address: `GET https://api.example.com/health`, or a path to "
            "request at each of `urls`."
        ),
    ),
]


class HttpSettings(base.CheckSettings, frozen=True, kw_only=True):
    """An HTTP request, and what the answer has to be like."""

    http: Request
    headers: Annotated[Mapping[str, str], Meta(description="Headers to send.")] = {}
    json: Annotated[Any, Meta(description="What to send as JSON.")] = None
    form: Annotated[Mapping[str, str] | None, Meta(description="What to send as a form.")] = None
    body: Annotated[str | None, Meta(description="What to send as it is.")] = None
    follow: Annotated[bool, Meta(description="Whether to follow redirects.")] = True
    expect: Annotated[Expect, Meta(description="What the answer has to be like.")] = Expect()
    capture: base.Captures = field(default_factory=dict)


Settings = HttpSettings


def problem(settings: HttpSettings) -> str | None:
    """What is wrong with conditions, captures and content."""
    contents = (settings.json, settings.form, settings.body)
    if sum(content is not None for content in contents) > 1:
        return "only one of `json`, `form` and `body` can be sent"
    return expect.problem(settings.expect) or wrong_captures(settings.capture)


def wrong_captures(captures: Mapping[str, str]) -> str | None:
    """What is wrong with the places that values are taken from, None if nothing is."""
    for name, where in captures.items():
        if not _WHERE.fullmatch(where):
            return (
                f"capture.{name}: {where!r} is not a place in an answer; write a JSON path"
                " (`$.token`), `header:NAME`, `cookie:NAME` or `body`"
            )
        if where.startswith("$"):
            wrong = expect.wrong_path(where)
            if wrong:
                return f"capture.{name}: {wrong}"
    return None


def asks(settings: HttpSettings) -> str:
    """`GET /health`."""
    return settings.http


def based(settings: HttpSettings) -> bool:
    """Whether it asks a path."""
    return base.is_path(settings.http.partition(" ")[2])


def host(settings: HttpSettings) -> str:
    """The host in its address."""
    return base.host_of(settings.http.partition(" ")[2])


def ask(settings: HttpSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Send it once, and judge what comes back."""
    from toolkit.ports.net import http

    response = http.ask(
        request(settings, context.base),
        context.policy,
        context.seconds,
        context.jar,
        settings.follow,
    )
    values, missing = _captured(settings.capture, response)
    misses = tuple(_misses(settings.expect, response))
    # Another status than the expected one says more than that its body lacks a value.
    if not any(expect.status_mismatches(response.status, settings.expect.status)):
        misses += missing
    first_lines = lines(response.body) if misses else ()
    return base.CheckAnswer(response.took_s, misses, values, first_lines, _detail(response))


def request(settings: HttpSettings, base_url: str) -> "HttpRequest":
    """The request; a path is put behind the base address."""
    from toolkit.ports.net import http

    method, _, address = settings.http.partition(" ")
    url = base_url.rstrip("/") + address if base.is_path(address) else address
    body, content_type = _content(settings)
    headers = {"User-Agent": _AGENT, "Accept": "*/*"}
    if content_type:
        headers["Content-Type"] = content_type
    # Any of the team's own headers may hold a token: none is sent on to another host.
    secret = frozenset(name.lower() for name in settings.headers)
    return http.HttpRequest(method, url, {**headers, **settings.headers}, body, secret)


def _content(settings: HttpSettings) -> tuple[bytes | None, str]:
    """What is sent, and its type."""
    if settings.json is not None:
        return msgspec.json.encode(settings.json), "application/json"
    if settings.form is not None:
        return urlencode(settings.form).encode(), "application/x-www-form-urlencoded"
    if settings.body is not None:
        return settings.body.encode(), "text/plain; charset=utf-8"
    return None, ""


def _misses(expected: Expect, response: "HttpResponse") -> Iterator[Mismatch]:
    """What does not hold. With a wrong status the content is not judged: it is an error page, and
    nothing in it can be as expected.
    """
    wrong = list(expect.status_mismatches(response.status, expected.status))
    yield from wrong
    yield from expect.time_mismatches(response.took_s, expected.within)
    if wrong:
        return
    yield from expect.header_mismatches(response.headers, expected.headers)
    yield from expect.body_mismatches(expect.text(response.body), expected.body)
    yield from content_mismatches(response.body, expected.json, response.cut)


def content_mismatches(
    body: bytes, conditions: Mapping[str, Any], cut: bool = False
) -> Iterator[Mismatch]:
    """The JSON conditions that do not hold; all of them if it is not JSON."""
    if not conditions:
        return
    content = expect.parsed(body)
    if content is not UNSET:
        yield from expect.json_mismatches(content, conditions)
    elif cut:
        yield Mismatch("body", "JSON", "larger than 64 kB, not parsed")
    else:
        yield Mismatch("body", "JSON", expect.shown(expect.text(body)) if body else "nothing")


def _captured(
    captures: Mapping[str, str], response: "HttpResponse"
) -> tuple[dict[str, str], tuple[Mismatch, ...]]:
    """The captured values by name, and what is missing of them."""
    content = expect.parsed(response.body)
    values: dict[str, str] = {}
    missing: list[Mismatch] = []
    for name, where in captures.items():
        value = _value(where, response, content)
        if value is None:
            missing.append(Mismatch(where, f"a value for {{{name}}}", "nothing"))
        else:
            values[name] = value
    return values, tuple(missing)


def _value(where: str, response: "HttpResponse", content: Any) -> str | None:
    source, _, name = where.partition(":")
    if where.startswith("$"):
        return text_at(content, where)
    if source == "header":
        return next((value for key, value in response.headers if key.lower() == name.lower()), None)
    if source == "cookie":
        return _cookie(name, response)
    return expect.text(response.body)


def _cookie(name: str, response: "HttpResponse") -> str | None:
    """The value of a cookie that the answer sets."""
    from http.cookies import CookieError, SimpleCookie

    for key, value in response.headers:
        if key.lower() == "set-cookie":
            try:
                cookies = SimpleCookie(value)
            except CookieError:
                continue
            if name in cookies:
                return cookies[name].value
    return None


def text_at(content: Any, path: str) -> str | None:
    """What is at a JSON path as text that can be sent, None if nothing is. `content` is UNSET
    where the answer is not JSON.
    """
    return as_text(UNSET if content is UNSET else expect.value_at(content, path))


def as_text(value: Any) -> str | None:
    """A captured value as text that can be sent, None if there is none: JSON may have halves of
    characters, which cannot.
    """
    if value is UNSET or value is None:
        return None
    text = value
    if not isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(text.encode("utf-8", "replace").decode())


def lines(body: bytes) -> tuple[str, ...]:
    """The first lines of an answer, for people. They are shortened only after secrets were removed
    (`checks.tries`).
    """
    every = tuple(expect.text(body).splitlines())
    return every if len(every) <= LINES else (*every[:LINES], "...")


def _detail(response: "HttpResponse") -> str:
    words = f"{response.status} in {response.took_s * 1000:.0f}ms"
    redirects = len(response.redirects)
    if redirects > 1:
        return f"{words} after {redirects} redirects"
    return f"{words} after a redirect" if redirects else words


def reachable(url: str, context: base.CheckContext) -> tuple["HttpResponse", Any]:
    """The answer of a health address, and the JSON in it (UNSET if it is none). Raises ProbeError,
    also for a status that is not 2xx.
    """
    from toolkit.ports.net import http

    headers = {"User-Agent": _AGENT, "Accept": "*/*"}
    response = http.ask(http.HttpRequest("GET", url, headers), context.policy, context.seconds)
    for mismatch in expect.status_mismatches(response.status, None):
        raise ProbeError(f"it returned {mismatch.found}")
    return response, expect.parsed(response.body)
