"""Is a port open, and what does it say?"""

from collections.abc import Callable
from time import monotonic

from toolkit.ports.net.dial import Connection, dial, failed, late, shown, within
from toolkit.ports.net.policy import Policy

MOST_BYTES = 64 << 10
_CHUNK = 8 << 10


def talk(
    host: str,
    port: int,
    policy: Policy,
    seconds: float,
    send: bytes | None,
    wanted: Callable[[bytes], bool] | None,
) -> tuple[bytes, float]:
    """Connect, send, and receive until `wanted` is true of all that has come; the bytes, and how
    many seconds it took.

    Without `wanted` nothing is waited for. The bytes may be other than wanted: the other side has
    closed, MOST_BYTES are there, or the time is over. Raises ProbeRefused; ProbeError if there is
    no connection, or not a single byte in time.
    """
    began, deadline, at, found = monotonic(), within(seconds), shown(host, port), bytearray()
    with Connection(dial(host, port, policy, deadline), deadline) as line:
        try:
            if send is not None:
                line.sock.sendall(send)
            while wanted is not None and len(found) < MOST_BYTES:
                part = line.sock.recv(min(_CHUNK, MOST_BYTES - len(found)))
                found += part
                if not part or wanted(bytes(found)):
                    break
        except OSError as error:
            if not found:
                raise failed(error, at, deadline) from None
        if wanted is not None and not found and deadline.over():
            raise late(deadline)
    return bytes(found), monotonic() - began
