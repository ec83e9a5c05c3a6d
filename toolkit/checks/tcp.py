"""A check of a TCP port: connect, and perhaps send something and wait for an answer."""

from typing import Annotated

from msgspec import Meta, Struct

from toolkit.checks import base, charsets, expect
from toolkit.checks.http import lines
from toolkit.errors import ProbeError
from toolkit.operations import Mismatch

Port = Annotated[
    str,
    Meta(
        pattern=r"^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):(?:\d{1,5}|\{[A-Za-z_][A-Za-z0-9_]*\})$(?!\n)"
    ),
]


class BytesExpectation(Struct, frozen=True, forbid_unknown_fields=True):
    """What the answer has to be like."""

    body: Annotated[
        expect.OneCondition,
        Meta(description="Text that the answer has to contain, or a condition."),
    ] = None
    within: Annotated[str | None, Meta(description="How long it may take.")] = None


class TcpSettings(base.CheckSettings, frozen=True, kw_only=True):
    """A TCP port that has to be open."""

    tcp: Annotated[Port, Meta(description="`host:port`.")]
    send: Annotated[str | None, Meta(description="What to send.")] = None
    expect: Annotated[
        BytesExpectation,
        Meta(description="What the answer has to be like; without it, an open port is enough."),
    ] = BytesExpectation()


Settings = TcpSettings


based = base.never_needs_base_url
files = base.no_files
wrong_contents = base.any_contents


def problem(settings: TcpSettings) -> str | None:
    """What is wrong with the conditions."""
    return expect.problem(expect.Expect(body=settings.expect.body, within=settings.expect.within))


def asks(settings: TcpSettings) -> str:
    """`TCP host:port`."""
    return f"TCP {settings.tcp}"


def host(settings: TcpSettings) -> str:
    """The host in its address."""
    return settings.tcp.rpartition(":")[0].strip("[]")


def split(address: str) -> tuple[str, int]:
    """Host and port. Raises ProbeError."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ProbeError(f"{port!r} is not a port")
    return host.strip("[]"), int(port)


def ask(settings: TcpSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Connect and talk once."""
    from toolkit.ports.net import tcp

    host, port = split(settings.tcp)
    expected = settings.expect

    def fits(answer: bytes) -> bool:
        return not any(expect.body_mismatches(charsets.text(answer), expected.body))

    is_complete = None if expected.body is None else fits
    sent = None if settings.send is None else settings.send.encode()
    answer, took_s = tcp.talk(host, port, context.policy, context.seconds, sent, is_complete)
    misses: tuple[Mismatch, ...] = (
        *expect.body_mismatches(charsets.text(answer), expected.body),
        *expect.time_mismatches(took_s, expected.within),
    )
    first_lines = lines(charsets.text(answer)) if misses else ()
    detail = f"open, {took_s * 1000:.0f}ms"
    return base.CheckAnswer(took_s, misses, shown=first_lines, detail=detail)
