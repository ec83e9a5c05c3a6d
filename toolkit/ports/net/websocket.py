"""Exchanges messages over a WebSocket. Only this module uses the package websockets."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from socket import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from toolkit.errors import ProbeError
from toolkit.ports.net.dial import (
    Connection,
    Deadline,
    dial,
    failed,
    late,
    trusted,
    unencrypted,
    within,
)
from toolkit.ports.net.policy import Policy
from toolkit.ports.net.request import HttpAddress, check_headers, where

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection

MOST_BYTES = 64 << 10
"""The largest message that is taken."""
CLOSE_S = 0.3
_SCHEMES = ("ws", "wss")

Message = str | bytes


class Conversation(Struct, frozen=True):
    """The messages to send, and the one to wait for: the first of at most `most` messages that
    `is_expected` accepts, None to wait for none.
    """

    send: Sequence[str] = ()
    is_expected: Callable[[Message], bool] | None = None
    most: int = 100


class NotSeen(ProbeError):
    """{reason}"""

    def __init__(self, reason: str, seen: tuple[Message, ...], took_s: float) -> None:
        """`seen` are the messages that came instead of the expected one, in `took_s` seconds."""
        super().__init__(reason)
        self.seen, self.took_s = seen, took_s


def talk(
    url: str,
    policy: Policy,
    seconds: float,
    headers: Mapping[str, str],
    conversation: Conversation,
) -> tuple[tuple[Message, ...], float]:
    """Connect, send all messages, and receive until the expected one comes; the received messages,
    the expected one last, and the seconds that it took.

    Raises ProbeRefused; NotSeen if the deadline, the other side's close or `most` messages come
    first; ProbeError if there is no connection.
    """
    from websockets.exceptions import ConnectionClosed

    address = where(url, _SCHEMES)
    check_headers(headers)
    if address.scheme == "wss":
        trusted()  # the time that reading the certificates takes is not the other side's
    began, deadline = monotonic(), within(seconds)
    received: list[Message] = []
    with (
        Connection(dial(address.host, address.port, policy, deadline), deadline) as line,
        ExitStack() as end,
    ):
        connection = _open(end, address, line.sock, headers, deadline)
        try:
            matched = _converse(connection, deadline, conversation, received)
        except (ConnectionClosed, TimeoutError) as error:
            reason = _interruption(error, received, address, deadline)
            raise NotSeen(reason, tuple(received), monotonic() - began) from None
        took = monotonic() - began
    if not matched:
        reason = f"none of the first {conversation.most} messages is as expected"
        raise NotSeen(reason, tuple(received), took)
    return tuple(received), took


def _open(
    end: ExitStack,
    address: HttpAddress,
    sock: socket,
    headers: Mapping[str, str],
    deadline: Deadline,
) -> "ClientConnection":
    """Do the handshake; the connection is closed with `end`. TLS is left to the package, which
    wants to know about it, with our trusted certificates.
    """
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    secure = trusted() if address.scheme == "wss" else None
    agent = None if "user-agent" in {name.lower() for name in headers} else "toolkit"
    peer: Any = None
    try:
        peer = sock.getpeername()
        return end.enter_context(
            connect(
                address.url,
                sock=sock,
                ssl=secure,
                server_hostname=address.host if secure else None,
                proxy=None,  # the connection is made already, to a checked address
                compression=None,  # a small compressed message could be a huge one
                additional_headers=dict(headers),
                user_agent_header=agent,
                max_size=MOST_BYTES,
                open_timeout=deadline.remaining(),
                close_timeout=CLOSE_S,
                ping_interval=None,
            )
        )
    except OSError as error:
        if secure:
            raise unencrypted(error, address.host, peer, deadline) from None
        raise failed(error, address.at, deadline) from None
    except (WebSocketException, ValueError) as error:
        raise _refused(error, address, deadline) from None


def _converse(
    connection: "ClientConnection",
    deadline: Deadline,
    conversation: Conversation,
    received: list[Message],
) -> bool:
    """Send, and receive into `received`; whether the expected message has come. Raises
    ConnectionClosed, TimeoutError.
    """
    is_expected = conversation.is_expected
    for message in conversation.send:
        connection.send(message)
    while is_expected is not None and len(received) < conversation.most:
        received.append(connection.recv(timeout=deadline.remaining()))
        if is_expected(received[-1]):
            return True
    return is_expected is None


def _interruption(
    error: "ConnectionClosed | TimeoutError",
    received: Sequence[Message],
    address: HttpAddress,
    deadline: Deadline,
) -> str:
    """Why the expected message has not come."""
    if isinstance(error, TimeoutError) or deadline.over():
        return f"no message{' as expected' if received else ''} within {deadline.seconds:.3g} s"
    if error.rcvd is not None:
        reason = f" {error.rcvd.reason}" if error.rcvd.reason else ""
        return f"{address.at} has closed the connection: {error.rcvd.code}{reason}"
    if error.sent is not None:  # by the package, for what it received
        reason = error.sent.reason or str(error.sent.code)
        return f"{address.at} has sent an invalid message: {reason}"
    return f"{address.at} has closed the connection"


def _refused(error: Exception, address: HttpAddress, deadline: Deadline) -> ProbeError:
    """The error for a failed handshake. A redirect is refused as well, and the package wraps its
    status into errors of other kinds.
    """
    from websockets.exceptions import InvalidStatus

    status = error if isinstance(error, InvalidStatus) else error.__context__
    if isinstance(status, InvalidStatus):
        return ProbeError(
            f"{address.at} has refused the handshake with status {status.response.status_code}"
        )
    if deadline.over():
        return late(deadline)
    if isinstance(error.__cause__, EOFError | OSError):
        return ProbeError(f"{address.at} has closed the connection")
    return ProbeError(f"{address.at} does not speak WebSocket")
