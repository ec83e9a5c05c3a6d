"""What does a WebSocket say? The only door to the package websockets."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from socket import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

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


class NotSeen(ProbeError):
    """{reason}"""

    def __init__(self, reason: str, seen: tuple[Message, ...], took_s: float) -> None:
        """`seen` are the messages that came instead of the wanted one, in `took_s` seconds."""
        super().__init__(reason)
        self.seen, self.took_s = seen, took_s


def talk(
    url: str,
    policy: Policy,
    seconds: float,
    headers: Mapping[str, str],
    send: Sequence[str],
    wanted: Callable[[Message], bool] | None,
    most: int = 100,
) -> tuple[tuple[Message, ...], float]:
    """Connect, send all, and receive until `wanted` is true of a message; the messages, the wanted
    one last, and the seconds it took.

    Without `wanted` nothing is waited for. Raises ProbeRefused; NotSeen if the deadline, the other
    side's close or `most` messages come first; ProbeError if it does not even come to a
    conversation.
    """
    from websockets.exceptions import ConnectionClosed

    there = where(url, _SCHEMES)
    check_headers(headers)
    if there.scheme == "wss":
        trusted()  # reading the certificates is not the other side's time
    began, deadline = monotonic(), within(seconds)
    seen: list[Message] = []
    with (
        Connection(dial(there.host, there.port, policy, deadline), deadline) as line,
        ExitStack() as end,
    ):
        connection = _opened(end, there, line.sock, headers, deadline)
        try:
            found = _converse(connection, deadline, send, wanted, most, seen)
        except (ConnectionClosed, TimeoutError) as error:
            raise NotSeen(
                _why(error, seen, there, deadline), tuple(seen), monotonic() - began
            ) from None
        took = monotonic() - began
    if not found:
        raise NotSeen(f"none of the first {most} messages is as expected", tuple(seen), took)
    return tuple(seen), took


def _opened(
    end: ExitStack, there: HttpAddress, sock: socket, headers: Mapping[str, str], deadline: Deadline
) -> "ClientConnection":
    """Shake hands; the connection is closed with `end`. TLS is the package's as well, for it needs
    to know of it, with what we trust.
    """
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    secure = trusted() if there.scheme == "wss" else None
    agent = None if "user-agent" in {name.lower() for name in headers} else "toolkit"
    peer: Any = None
    try:
        peer = sock.getpeername()
        return end.enter_context(
            connect(
                there.url,
                sock=sock,
                ssl=secure,
                server_hostname=there.host if secure else None,
                proxy=None,
                compression=None,
                additional_headers=dict(headers),
                user_agent_header=agent,
                max_size=MOST_BYTES,
                open_timeout=deadline.left(),
                close_timeout=CLOSE_S,
                ping_interval=None,
            )
        )
    except OSError as error:
        raise (
            unencrypted(error, there.host, peer, deadline)
            if secure
            else failed(error, there.at, deadline)
        ) from None
    except (WebSocketException, ValueError) as error:
        raise _refused(error, there, deadline) from None


def _converse(
    connection: "ClientConnection",
    deadline: Deadline,
    send: Sequence[str],
    wanted: Callable[[Message], bool] | None,
    most: int,
    seen: list[Message],
) -> bool:
    """Send and receive; whether the wanted message has come. Raises ConnectionClosed,
    TimeoutError.
    """
    for message in send:
        connection.send(message)
    while wanted is not None and len(seen) < most:
        seen.append(connection.recv(timeout=deadline.left()))
        if wanted(seen[-1]):
            return True
    return wanted is None


def _why(
    error: "ConnectionClosed | TimeoutError",
    seen: Sequence[Message],
    there: HttpAddress,
    deadline: Deadline,
) -> str:
    """Why the wanted message has not come."""
    if isinstance(error, TimeoutError) or deadline.over():
        return f"no message{' as expected' if seen else ''} within {deadline.seconds:.3g} s"
    if error.rcvd is not None:
        return (
            f"{there.at} has closed the connection:"
            f" {error.rcvd.code}{f' {error.rcvd.reason}' if error.rcvd.reason else ''}"
        )
    if error.sent is not None:  # by the package, for what it received
        return (
            f"{there.at} has sent what is no good message: {error.sent.reason or error.sent.code}"
        )
    return f"{there.at} has closed the connection"


def _refused(error: Exception, there: HttpAddress, deadline: Deadline) -> ProbeError:
    """Why no conversation has come about. A redirect is refused as well, and the package wraps its
    status into errors of other kinds.
    """
    from websockets.exceptions import InvalidStatus

    status = error if isinstance(error, InvalidStatus) else error.__context__
    if isinstance(status, InvalidStatus):
        return ProbeError(
            f"{there.at} has refused the handshake with status {status.response.status_code}"
        )
    if deadline.over():
        return late(deadline)
    if isinstance(error.__cause__, EOFError | OSError):
        return ProbeError(f"{there.at} has closed the connection")
    return ProbeError(f"{there.at} does not speak WebSocket")
