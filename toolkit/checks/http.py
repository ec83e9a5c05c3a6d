"""A check of an HTTP address: method, headers and content; expected status, headers, content and
time; values for later checks.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import UNSET, Meta, field

from toolkit.checks import base, charsets, content, expect, patterns
from toolkit.checks.expect import Expect
from toolkit.errors import ProbeError
from toolkit.formats.variables import as_text
from toolkit.operations import Mismatch

if TYPE_CHECKING:
    from toolkit.ports.net.http import HttpRequest, HttpResponse

_WHERE = re.compile(r"\$.*|body|url|header:[A-Za-z0-9_-]+|cookie:[^\s=;]+|regex:.+", re.DOTALL)
_LIMIT = re.compile(r"([0-9]{1,8}) ?(kB|KB|MB)")
_UNITS = {"kB": 1 << 10, "KB": 1 << 10, "MB": 1 << 20}
_AGENT = "toolkit"
MOST_BODY = 10 << 20
"""The largest `body_limit`: an answer and all that is made of it has to fit into memory."""
LINES = 12
"""So many lines of an answer are shown."""
MOST_SHOWN = 64 << 10
"""So many characters of an answer are looked through for lines to show, or captured: all that is
captured is looked for in all that is shown.
"""
_PARTLY = ("contains", "exists")
"""The conditions that hold for a body if they hold for its beginning."""

Request = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z]{3,10} (?:/|https?://|\{)[^\s]*$(?!\n)",
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
    query: Annotated[
        content.Fields, Meta(description="Fields to add to the address; a list repeats its field.")
    ] = field(default_factory=dict)
    basic: Annotated[
        content.Basic | None, Meta(description="A user and a password for basic authentication.")
    ] = None
    json: Annotated[Any, Meta(description="What to send as JSON.")] = None
    form: Annotated[
        content.Fields | None,
        Meta(description="What to send as a form; a list repeats its field."),
    ] = None
    multipart: Annotated[
        content.Parts | None,
        Meta(description='What to send as a multipart form: texts, and files `{ file = "…" }`.'),
    ] = None
    body: Annotated[str | None, Meta(description="What to send as it is.")] = None
    body_file: Annotated[base.FileName | None, Meta(description="A file to send as it is.")] = None
    follow: Annotated[bool, Meta(description="Whether to follow redirects.")] = True
    body_limit: Annotated[
        str | None,
        Meta(
            description=(
                "How much of the answer is read, such as `5MB`; by default `64kB`, at most `10MB`."
            )
        ),
    ] = None
    expect: Annotated[Expect, Meta(description="What the answer has to be like.")] = Expect()
    capture: base.Captures = field(default_factory=dict)


Settings = HttpSettings


def problem(settings: HttpSettings) -> str | None:
    """What is wrong with conditions, captures and content."""
    return (
        _wrong_content(settings)
        or _wrong_limit(settings.body_limit)
        or expect.problem(settings.expect)
        or wrong_captures(settings.capture)
    )


def _wrong_content(settings: HttpSettings) -> str | None:
    contents = (
        settings.json,
        settings.form,
        settings.multipart,
        settings.body,
        settings.body_file,
    )
    if sum(sent is not None for sent in contents) > 1:
        return "only one of `json`, `form`, `multipart`, `body` and `body_file` can be sent"
    names = {name.lower() for name in settings.headers}
    if settings.multipart is not None and "content-type" in names:
        return "`multipart` sets Content-Type, which says where its parts end"
    if settings.basic is not None and "authorization" in names:
        return "`basic` sets Authorization, and so does `headers`"
    return None


def _wrong_limit(limit: str | None) -> str | None:
    if limit is None:
        return None
    match = _LIMIT.fullmatch(limit)
    if match is None:
        return f'`body_limit` is {limit!r}; expected a size such as "500kB" or "5MB"'
    if not 0 < int(match[1]) * _UNITS[match[2]] <= MOST_BODY:
        return f"`body_limit` is {limit!r}; it can be up to 10MB"
    return None


def wrong_captures(captures: Mapping[str, str]) -> str | None:
    """What is wrong with the places that values are taken from, None if nothing is."""
    for name, where in captures.items():
        if not _WHERE.fullmatch(where):
            return (
                f"capture.{name}: {where!r} is not a place in an answer; write a JSON path"
                " (`$.token`), `header:NAME`, `cookie:NAME`, `regex:PATTERN`, `url` or `body`"
            )
        wrong: str | None = None
        if where.startswith("$"):
            wrong = expect.wrong_path(where)
        elif where.startswith("regex:"):
            wrong = patterns.problem(where.removeprefix("regex:"))
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


def files(settings: HttpSettings) -> tuple[str, ...]:
    """The files that it sends, and its schema."""
    names = [settings.body_file, settings.expect.schema]
    for part in (settings.multipart or {}).values():
        if not isinstance(part, str):
            names.append(part.file)
    return tuple(name for name in names if name is not None)


def wrong_contents(settings: HttpSettings, contents: Mapping[str, bytes]) -> str | None:
    """What is wrong with its schema."""
    name = settings.expect.schema
    if name is None or name not in contents:
        return None
    from toolkit.checks import schemas

    return schemas.problem(name, contents[name])


def ask(settings: HttpSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Send it once, and judge what comes back."""
    from toolkit.ports.net import http

    response = http.ask(
        request(settings, context.base, context.contents),
        context.policy,
        context.seconds,
        context.jar,
        settings.follow,
    )
    answer = _Answer(response)
    values, missing = _captured(settings.capture, answer)
    misses = tuple(_misses(settings.expect, answer, context.contents))
    # Another status than the expected one says more than that its body lacks a value.
    if not any(expect.status_mismatches(response.status, settings.expect.status)):
        misses += missing
    return base.CheckAnswer(
        response.took_s,
        misses,
        values,
        lines(answer.text) if misses else (),
        _detail(answer),
        _limit_advice(answer, misses),
    )


def request(
    settings: HttpSettings, base_url: str, contents: Mapping[str, bytes] = {}
) -> "HttpRequest":
    """The request; a path is put behind the base address. `contents` are those of its files.
    Raises ProbeRefused, ValueError.
    """
    from toolkit.ports.net import http

    method, _, address = settings.http.partition(" ")
    url = base_url.rstrip("/") + address if base.is_path(address) else address
    body, content_type = _content(settings, contents)
    headers = {"User-Agent": _AGENT, "Accept": "*/*"}
    if content_type:
        headers["Content-Type"] = content_type
    if settings.basic is not None:
        headers["Authorization"] = content.authorization(settings.basic)
    own = {name.lower() for name in settings.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own}
    most = http.MOST_BODY
    if settings.body_limit is not None and (match := _LIMIT.fullmatch(settings.body_limit)):
        most = int(match[1]) * _UNITS[match[2]]
    return http.HttpRequest(
        method,
        content.with_query(url, settings.query),
        {**headers, **settings.headers},
        body,
        # Any of the team's own headers may hold a token: none is sent on to another host.
        frozenset(own),
        most,
    )


def _content(settings: HttpSettings, contents: Mapping[str, bytes]) -> tuple[bytes | None, str]:
    """What is sent, and its type."""
    if settings.json is not None:
        return content.encoded_json(settings.json), "application/json"
    if settings.form is not None:
        return content.form(settings.form).encode(), "application/x-www-form-urlencoded"
    if settings.multipart is not None:
        return content.multipart(settings.multipart, contents)
    if settings.body_file is not None:
        return contents[settings.body_file], content.type_of(settings.body_file)
    if settings.body is not None:
        return settings.body.encode(), "text/plain; charset=utf-8"
    return None, ""


class _Answer:
    """A response with what its body says, read once."""

    def __init__(self, response: "HttpResponse") -> None:
        self.response, self.body = response, response.body
        content_type = response.header("Content-Type") or ""
        self.text = charsets.text(response.body, content_type)
        self.json = UNSET if response.cut else charsets.parsed(response.body, content_type)

    @property
    def size(self) -> str:
        """How much of the body was read."""
        size = len(self.body)
        return f"{size / (1 << 20):g} MB" if size >= 1 << 20 else f"{size / (1 << 10):g} kB"


def _misses(expected: Expect, answer: _Answer, contents: Mapping[str, bytes]) -> Iterator[Mismatch]:
    """What does not hold. With a wrong status the content is not judged: it is an error page, and
    nothing in it can be as expected.
    """
    response = answer.response
    wrong = list(expect.status_mismatches(response.status, expected.status))
    yield from wrong
    yield from expect.time_mismatches(response.took_s, expected.within)
    if wrong:
        return
    yield from expect.header_mismatches(response.headers, expected.headers)
    yield from _body_misses(expected.body, answer)
    if expected.sha256 is not None:
        yield from _digest_misses(expected.sha256, answer)
    if expected.json or expected.schema is not None:
        yield from _json_misses(expected, answer, contents)


def _body_misses(expected: Any, answer: _Answer) -> Iterator[Mismatch]:
    """What does not hold for the text. Of the beginning of one only that it has something is
    known.
    """
    if not answer.response.cut or expected is None:
        yield from expect.body_mismatches(answer.text, expected)
        return
    what = f"the first {answer.size} of the body"
    if isinstance(expected, Mapping) and not expected.keys() <= set(_PARTLY):
        condition = expect.shown_condition(expect.to_condition(expected))
        yield Mismatch("body", condition, f"more than the {answer.size} that were read")
        return
    for mismatch in expect.body_mismatches(answer.text, expected):
        yield Mismatch(what, mismatch.wanted, mismatch.found)


def _digest_misses(expected: str, answer: _Answer) -> Iterator[Mismatch]:
    from hashlib import sha256

    digest = sha256(answer.body).hexdigest()
    if answer.response.cut:
        digest = f"more than the {answer.size} that were read"
    if digest != expected.lower():
        yield Mismatch("sha256", expected.lower(), digest)


def _json_misses(
    expected: Expect, answer: _Answer, contents: Mapping[str, bytes]
) -> Iterator[Mismatch]:
    if answer.response.cut:
        yield Mismatch("body", "JSON", f"larger than {answer.size}, not parsed")
    elif answer.json is UNSET:
        yield not_json(answer.text)
    else:
        yield from expect.json_mismatches(answer.json, expected.json)
        if expected.schema is not None:
            from toolkit.checks import schemas

            yield from schemas.mismatches(contents[expected.schema], answer.json)


def not_json(text: str) -> Mismatch:
    """The mismatch of a body that is expected to be JSON."""
    return Mismatch("body", "JSON", expect.shown(text) if text else "nothing")


def _limit_advice(answer: _Answer, misses: tuple[Mismatch, ...]) -> str:
    """What to do where it failed, maybe because the body was cut."""
    if not misses or not answer.response.cut:
        return ""
    if len(answer.body) >= MOST_BODY:
        return "ask for less: no more than 10MB of an answer can be read"
    return 'raise `body_limit` of the check, as in body_limit = "5MB"'


def _captured(
    captures: Mapping[str, str], answer: _Answer
) -> tuple[dict[str, Any], tuple[Mismatch, ...]]:
    """The captured values by name, and what is missing of them."""
    values: dict[str, Any] = {}
    missing: list[Mismatch] = []
    for name, where in captures.items():
        value = _value(where, answer)
        if value is not None and len(as_text(value)) > MOST_SHOWN:
            longest = f"a value for {{{name}}} of at most {MOST_SHOWN:,} characters"
            missing.append(Mismatch(where, longest, f"{len(as_text(value)):,}"))
        elif value is None:
            found = "nothing"
            if answer.response.cut and not where.startswith(("header:", "cookie:")):
                found = f"nothing in the {answer.size} that were read"
            missing.append(Mismatch(where, f"a value for {{{name}}}", found))
        else:
            values[name] = value
    return values, tuple(missing)


def _value(where: str, answer: _Answer) -> Any:
    """The value at a place of an answer, None if there is none."""
    response = answer.response
    source, _, name = where.partition(":")
    if where.startswith("$"):
        return captured_at(answer.json, where)
    if source == "header":
        return response.header(name)
    if source == "cookie":
        return _cookie(name, response)
    if source == "regex":
        return _matched(name, answer.text)
    if source == "url":
        return response.url
    return None if response.cut else answer.text


def _matched(pattern: str, text: str) -> str | None:
    """What a pattern's first group matches, or all of it where it has none."""
    match = patterns.search(pattern, text)
    if match is None:
        return None
    value: str | None = match[1] if match.re.groups else match[0]
    return value


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


def captured_at(content: Any, path: str) -> Any:
    """What is at a JSON path, with its type, None if nothing is, or null. `content` is UNSET where
    the answer is not JSON. JSON may have halves of characters, which cannot be sent: they become
    question marks.
    """
    value = UNSET if content is UNSET else expect.value_at(content, path)
    if value is UNSET or value is None or isinstance(value, (bool, int, float)):
        return None if value is UNSET else value
    try:
        whole = as_text(value).encode("utf-8", "replace").decode()
    except RecursionError:
        return None
    if isinstance(value, str):
        return whole
    document = charsets.parsed(whole.encode())
    return None if document is UNSET else document


def lines(text: str) -> tuple[str, ...]:
    """The first lines of an answer, for people. They are shortened only after secrets were removed
    (`checks.tries`).
    """
    every = tuple(text[:MOST_SHOWN].splitlines())
    return every if len(every) <= LINES else (*every[:LINES], "...")


def _detail(answer: _Answer) -> str:
    response = answer.response
    words = f"{response.status} in {response.took_s * 1000:.0f}ms"
    redirects = len(response.redirects)
    if redirects:
        words += f" after {redirects} redirects" if redirects > 1 else " after a redirect"
    return f"{words}, the first {answer.size} read" if response.cut else words


def reachable(url: str, context: base.CheckContext) -> tuple["HttpResponse", Any]:
    """The answer of a health address, and the JSON in it (UNSET if it is none). Raises ProbeError,
    also for a status that is not 2xx.
    """
    from toolkit.ports.net import http

    headers = {"User-Agent": _AGENT, "Accept": "*/*"}
    response = http.ask(http.HttpRequest("GET", url, headers), context.policy, context.seconds)
    for mismatch in expect.status_mismatches(response.status, None):
        raise ProbeError(f"it returned {mismatch.found}")
    return response, charsets.parsed(response.body)
