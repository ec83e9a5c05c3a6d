"""A check of a WebSocket: connect, send, and wait for the message that is expected."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, field

from toolkit.checks import base, expect
from toolkit.checks.http import as_text, lines, of_content, wrong_captures
from toolkit.errors import ProbeError
from toolkit.model import Mismatch


class MessageExpectation(Struct, frozen=True, forbid_unknown_fields=True):
    """What one of the messages must be like."""

    json: Annotated[
        Mapping[str, Any], Meta(description="JSON path -> a value, or a table of conditions.")
    ] = {}
    body: Annotated[Any, Meta(description="Text that the message must hold, or a condition.")] = (
        None
    )
    within: Annotated[str | None, Meta(description="How long it may take to come.")] = None


class Settings(base.Settings, frozen=True, kw_only=True):
    """A WebSocket, and the message that must come."""

    websocket: Annotated[
        str,
        Meta(
            pattern=r"^(?:/|wss?://|\{)[^\s]*$",
            description=(
                "An address: `wss://api.example.com/live`, or a path that is put behind each of"
                " `urls`."
            ),
        ),
    ]
    headers: Annotated[Mapping[str, str], Meta(description="Headers to send.")] = {}
    send: Annotated[
        tuple[str, ...], Meta(description="Messages to send, one after the other.")
    ] = ()
    expect: Annotated[
        MessageExpectation | None,
        Meta(description="What one of the messages must be like; connecting is enough without it."),
    ] = None
    capture: base.Captures = field(default_factory=dict)


def problem(settings: Settings) -> str | None:
    """What is wrong with conditions and captures."""
    wanted = settings.expect
    if wanted is None:
        return (
            "`capture` needs `expect`: which message has the value?" if settings.capture else None
        )
    if any(not where.startswith("$") and where != "body" for where in settings.capture.values()):
        return "from a message only a JSON path or `body` can be captured"
    judged = expect.Expect(json=wanted.json, body=wanted.body, within=wanted.within)
    return expect.problem(judged) or wrong_captures(settings.capture)


def asks(settings: Settings) -> str:
    """`WS /live`."""
    return f"WS {settings.websocket}"


def based(settings: Settings) -> bool:
    """Whether it asks a path."""
    return base.is_path(settings.websocket)


def host(settings: Settings) -> str:
    """The host in its address."""
    return base.host_of(settings.websocket)


def ask(settings: Settings, around: base.CheckContext) -> base.CheckAnswer:
    """Connect, send, and look at each message until one is as expected."""
    from toolkit.ports.net import websocket

    address = settings.websocket
    url = _socket_address(around.base).rstrip("/") + address if base.is_path(address) else address
    wanted = settings.expect
    fits = None if wanted is None else lambda message: not _misses(wanted, message)
    try:
        seen, took_s = websocket.talk(
            url, around.policy, around.seconds, settings.headers, settings.send, fits
        )
    except websocket.NotSeen as problem:
        if wanted is None or not problem.seen:
            raise
        last = problem.seen[-1]
        hidden = {
            name: value
            for name, value in _values(settings.capture, last).items()
            if value is not None
        }
        return base.CheckAnswer(
            problem.took_s, tuple(_misses(wanted, last)), hidden, lines(_bytes(last)), str(problem)
        )
    late = () if wanted is None else tuple(expect.of_time(took_s, wanted.within))
    values = _captured(settings.capture, seen[-1]) if settings.capture else {}
    return base.CheckAnswer(
        took_s,
        late,
        values,
        detail=f"{len(seen)} messages in {took_s * 1000:.0f}ms" if seen else "connected",
    )


def _misses(wanted: MessageExpectation, message: str | bytes) -> list[Mismatch]:
    data = _bytes(message)
    return [*expect.of_body(expect.text(data), wanted.body), *of_content(data, wanted.json)]


def _captured(wanted: Mapping[str, str], message: str | bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _values(wanted, message).items():
        if value is None:
            raise ProbeError(f"the message has nothing at {wanted[name]} for {{{name}}}")
        found[name] = value
    return found


def _values(wanted: Mapping[str, str], message: str | bytes) -> dict[str, str | None]:
    data = _bytes(message)
    content = expect.parsed(data)
    return {
        name: (
            expect.text(data)
            if where == "body"
            else as_text(UNSET if content is UNSET else expect.at(content, where))
        )
        for name, where in wanted.items()
    }


def _bytes(message: str | bytes) -> bytes:
    return message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message


def _socket_address(url: str) -> str:
    """`https://…` -> `wss://…`."""
    return "ws" + url.removeprefix("http") if url.startswith(("http://", "https://")) else url
