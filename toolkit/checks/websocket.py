"""A check of a WebSocket: connect, send, and wait for the message that is expected."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import UNSET, Meta, Struct, field

from toolkit.checks import base, charsets, expect
from toolkit.checks.http import captured_at, lines, not_json, wrong_captures
from toolkit.errors import ProbeError
from toolkit.operations import Mismatch

if TYPE_CHECKING:
    from toolkit.ports.net.websocket import NotSeen


class MessageExpectation(Struct, frozen=True, forbid_unknown_fields=True):
    """What one of the messages must be like."""

    json: Annotated[
        expect.Conditions, Meta(description="JSON path -> a value, or a table of conditions.")
    ] = {}
    body: Annotated[
        expect.OneCondition,
        Meta(description="Text that the message has to contain, or a condition."),
    ] = None
    within: Annotated[str | None, Meta(description="How long it may take to come.")] = None


class WebSocketSettings(base.CheckSettings, frozen=True, kw_only=True):
    """A WebSocket, and the message that has to come."""

    websocket: Annotated[
        str,
        Meta(
            pattern=r"^(?:/|wss?://|\{)[^\s]*$(?!\n)",
            description=(
                "An address: `wss://api.example.com/live`, or a path to request at each of `urls`."
            ),
        ),
    ]
    headers: Annotated[Mapping[str, str], Meta(description="Headers to send.")] = {}
    send: Annotated[
        tuple[str, ...], Meta(description="Messages to send, one after the other.")
    ] = ()
    expect: Annotated[
        MessageExpectation | None,
        Meta(
            description="What one of the messages has to be like; without it, a connection is "
            "enough."
        ),
    ] = None
    capture: base.Captures = field(default_factory=dict)


Settings = WebSocketSettings


files = base.no_files
wrong_contents = base.any_contents


def problem(settings: WebSocketSettings) -> str | None:
    """What is wrong with conditions and captures."""
    expected = settings.expect
    if expected is None and settings.capture:
        return "`capture` needs `expect`: which message has the value?"
    if expected is None:
        return None
    if any(not where.startswith("$") and where != "body" for where in settings.capture.values()):
        return "from a message only a JSON path or `body` can be captured"
    judged = expect.Expect(json=expected.json, body=expected.body, within=expected.within)
    return expect.problem(judged) or wrong_captures(settings.capture)


def asks(settings: WebSocketSettings) -> str:
    """`WS /live`."""
    return f"WS {settings.websocket}"


def based(settings: WebSocketSettings) -> bool:
    """Whether it asks a path."""
    return base.is_path(settings.websocket)


def host(settings: WebSocketSettings) -> str:
    """The host in its address."""
    return base.host_of(settings.websocket)


def ask(settings: WebSocketSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Connect, send, and look at each message until one is as expected."""
    from toolkit.ports.net import websocket

    address = settings.websocket
    url = address
    if base.is_path(address):
        url = _socket_address(context.base).rstrip("/") + address
    expected = settings.expect
    fits = None if expected is None else lambda message: not _misses(expected, message)
    try:
        messages, took_s = websocket.talk(
            url,
            context.policy,
            context.seconds,
            settings.headers,
            websocket.Conversation(settings.send, fits),
        )
    except websocket.NotSeen as problem:
        if expected is None or not problem.seen:
            raise
        return _unexpected(settings, expected, problem)
    if not messages:
        return base.CheckAnswer(took_s, _late(settings, took_s), detail="connected")
    values = _captured(settings.capture, messages[-1])
    detail = f"{len(messages)} messages in {took_s * 1000:.0f}ms"
    return base.CheckAnswer(took_s, _late(settings, took_s), values, detail=detail)


def _late(settings: WebSocketSettings, took_s: float) -> tuple[Mismatch, ...]:
    if settings.expect is None:
        return ()
    return tuple(expect.time_mismatches(took_s, settings.expect.within))


def _unexpected(
    settings: WebSocketSettings, expected: MessageExpectation, problem: "NotSeen"
) -> base.CheckAnswer:
    """No message was as expected: the last one is judged. What would have been captured from it is
    hidden in what is shown.
    """
    message = problem.seen[-1]
    secret: dict[str, Any] = {}
    for name, value in _values(settings.capture, message).items():
        if value is not None:
            secret[name] = value
    misses = tuple(_misses(expected, message))
    return base.CheckAnswer(problem.took_s, misses, secret, lines(_text(message)), str(problem))


def _misses(expected: MessageExpectation, message: str | bytes) -> list[Mismatch]:
    text = _text(message)
    misses = list(expect.body_mismatches(text, expected.body))
    if expected.json:
        document = _document(message)
        if document is UNSET:
            misses.append(not_json(text))
        else:
            misses += expect.json_mismatches(document, expected.json)
    return misses


def _captured(captures: Mapping[str, str], message: str | bytes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in _values(captures, message).items():
        if value is None:
            raise ProbeError(f"the message has nothing at {captures[name]} for {{{name}}}")
        values[name] = value
    return values


def _values(captures: Mapping[str, str], message: str | bytes) -> dict[str, Any]:
    document = _document(message)
    values: dict[str, Any] = {}
    for name, where in captures.items():
        values[name] = _text(message) if where == "body" else captured_at(document, where)
    return values


def _text(message: str | bytes) -> str:
    return message if isinstance(message, str) else charsets.text(message)


def _document(message: str | bytes) -> Any:
    """The JSON in a message, UNSET if it is none."""
    if isinstance(message, str):
        message = message.encode("utf-8", "surrogatepass")
    return charsets.parsed(message)


def _socket_address(url: str) -> str:
    """`https://…` -> `wss://…`."""
    if url.startswith(("http://", "https://")):
        return "ws" + url.removeprefix("http")
    return url
