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
from toolkit.model import Mismatch

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
            "A method and an address: `GET https://api.example.com/health`, or a path that is put"
            " behind each of `urls`."
        ),
    ),
]


class Settings(base.Settings, frozen=True, kw_only=True):
    """An HTTP request, and what its answer must be like."""

    http: Request
    headers: Annotated[Mapping[str, str], Meta(description="Headers to send.")] = {}
    json: Annotated[Any, Meta(description="What to send as JSON.")] = None
    form: Annotated[Mapping[str, str] | None, Meta(description="What to send as a form.")] = None
    body: Annotated[str | None, Meta(description="What to send as it is.")] = None
    follow: Annotated[bool, Meta(description="Whether redirects are followed.")] = True
    expect: Annotated[Expect, Meta(description="What the answer must be like.")] = Expect()
    capture: base.Captures = field(default_factory=dict)


def problem(settings: Settings) -> str | None:
    """What is wrong with conditions, captures and content."""
    if sum(one is not None for one in (settings.json, settings.form, settings.body)) > 1:
        return "only one of `json`, `form` and `body` can be sent"
    return expect.problem(settings.expect) or wrong_captures(settings.capture)


def wrong_captures(captures: Mapping[str, str]) -> str | None:
    """What is wrong with the places that values are taken from, None if nothing is."""
    for name, where in captures.items():
        if not _WHERE.fullmatch(where):
            return (
                f"capture.{name}: {where!r} is no place in an answer; write a JSON path"
                " (`$.token`), `header:NAME`, `cookie:NAME` or `body`"
            )
        wrong = expect.wrong_path(where) if where.startswith("$") else None
        if wrong:
            return f"capture.{name}: {wrong}"
    return None


def asks(settings: Settings) -> str:
    """`GET /health`."""
    return settings.http


def based(settings: Settings) -> bool:
    """Whether it asks a path."""
    return base.is_path(settings.http.partition(" ")[2])


def host(settings: Settings) -> str:
    """The host in its address."""
    return base.host_of(settings.http.partition(" ")[2])


def ask(settings: Settings, around: base.CheckContext) -> base.CheckAnswer:
    """Send it once, and judge what comes back."""
    from toolkit.ports.net import http

    answered = http.ask(
        asked(settings, around.base), around.policy, around.seconds, around.jar, settings.follow
    )
    values, missing = _captured(settings.capture, answered)
    misses = (
        *_misses(settings.expect, answered),
        *(missing if not _unexpected(settings.expect, answered) else ()),
    )
    return base.CheckAnswer(
        answered.took_s, misses, values, lines(answered.body) if misses else (), _detail(answered)
    )


def asked(settings: Settings, where: str) -> "HttpRequest":
    """The request; a path is put behind the base address `where`."""
    from toolkit.ports.net import http

    method, _, address = settings.http.partition(" ")
    url = where.rstrip("/") + address if base.is_path(address) else address
    body, kind = _content(settings)
    headers = {
        "User-Agent": _AGENT,
        "Accept": "*/*",
        **({"Content-Type": kind} if kind else {}),
        **settings.headers,
    }
    return http.HttpRequest(
        method, url, headers, body, frozenset(name.lower() for name in settings.headers)
    )  # any of them may hold a token


def _content(settings: Settings) -> tuple[bytes | None, str]:
    """What is sent, and its type."""
    if settings.json is not None:
        return msgspec.json.encode(settings.json), "application/json"
    if settings.form is not None:
        return urlencode(settings.form).encode(), "application/x-www-form-urlencoded"
    return (
        (None, "")
        if settings.body is None
        else (settings.body.encode(), "text/plain; charset=utf-8")
    )


def _misses(wanted: Expect, answered: "HttpResponse") -> Iterator[Mismatch]:
    """What does not hold; the content of an answer with a wrong status is not looked at, for it is
    another thing.
    """
    wrong = list(expect.of_status(answered.status, wanted.status))
    yield from wrong
    yield from expect.of_time(answered.took_s, wanted.within)
    if wrong:
        return
    yield from expect.of_headers(answered.headers, wanted.headers)
    yield from expect.of_body(expect.text(answered.body), wanted.body)
    yield from of_content(answered.body, wanted.json, answered.cut)


def _unexpected(wanted: Expect, answered: "HttpResponse") -> bool:
    return any(expect.of_status(answered.status, wanted.status))


def of_content(body: bytes, wanted: Mapping[str, Any], cut: bool = False) -> Iterator[Mismatch]:
    """The JSON conditions that do not hold; all at once if it is no JSON."""
    if not wanted:
        return
    content = expect.parsed(body)
    if content is UNSET:
        found = (
            "more than is read of it"
            if cut
            else expect.shown(expect.text(body))
            if body
            else "nothing"
        )
        yield Mismatch("body", "JSON", found)
    else:
        yield from expect.of_json(content, wanted)


def _captured(
    wanted: Mapping[str, str], answered: "HttpResponse"
) -> tuple[dict[str, str], tuple[Mismatch, ...]]:
    content = expect.parsed(answered.body)
    found = {name: _value(where, answered, content) for name, where in wanted.items()}
    missing = tuple(
        Mismatch(where, f"a value for {{{name}}}", "nothing is there")
        for name, where in wanted.items()
        if found[name] is None
    )
    return {name: value for name, value in found.items() if value is not None}, missing


def _value(where: str, answered: "HttpResponse", content: Any) -> str | None:
    sort, _, name = where.partition(":")
    if where.startswith("$"):
        return as_text(UNSET if content is UNSET else expect.at(content, where))
    if sort == "header":
        return next((value for key, value in answered.headers if key.lower() == name.lower()), None)
    if sort == "cookie":
        return _cookie(name, answered)
    return expect.text(answered.body)


def _cookie(name: str, answered: "HttpResponse") -> str | None:
    """The value of a cookie that the answer sets."""
    from http.cookies import CookieError, SimpleCookie

    for key, value in answered.headers:
        if key.lower() == "set-cookie":
            try:
                found = SimpleCookie(value)
            except CookieError:
                continue
            if name in found:
                return found[name].value
    return None


def as_text(value: Any) -> str | None:
    """A captured value as text that can be sent, None if there is none: JSON may have halves of
    characters, which cannot.
    """
    if value is UNSET or value is None:
        return None
    found = (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    )
    return found.encode("utf-8", "replace").decode()


def lines(body: bytes) -> tuple[str, ...]:
    """The first lines of an answer, for people. They are cut where nothing in them is secret any
    more (`verify.tries`).
    """
    found = expect.text(body).splitlines()
    return (*found[:LINES], *(("...",) if len(found) > LINES else ()))


def _detail(answered: "HttpResponse") -> str:
    went = (
        f" after {len(answered.redirects)} redirects"
        if len(answered.redirects) > 1
        else " after a redirect"
        if answered.redirects
        else ""
    )
    return f"{answered.status} in {answered.took_s * 1000:.0f}ms{went}"


def reachable(url: str, around: base.CheckContext) -> tuple["HttpResponse", Any]:
    """The answer of a health address, and the JSON in it (UNSET if it is none). Raises ProbeError,
    also for a status that is not 2xx.
    """
    from toolkit.ports.net import http

    answered = http.ask(
        http.HttpRequest("GET", url, {"User-Agent": _AGENT, "Accept": "*/*"}),
        around.policy,
        around.seconds,
    )
    for miss in expect.of_status(answered.status, None):
        raise ProbeError(f"it answers with status {miss.found}")
    return answered, expect.parsed(answered.body)
