"""Connects to a port, sends bytes and waits for the expected ones."""

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
    is_expected: Callable[[bytes], bool] | None,
) -> tuple[bytes, float]:
    """Connect, send, and receive until `is_expected` is true of all that was received; the bytes,
    and the seconds that it took.

    Without `is_expected` nothing is received. The bytes may be others than expected: if the other
    side has closed, MOST_BYTES have come, or the time is over. Raises ProbeRefused; ProbeError if
    there is no connection, or not a single byte in time.
    """
    began, deadline, received = monotonic(), within(seconds), bytearray()
    with Connection(dial(host, port, policy, deadline), deadline) as line:
        try:
            if send is not None:
                line.sock.sendall(send)
            while is_expected is not None and len(received) < MOST_BYTES:
                part = line.sock.recv(min(_CHUNK, MOST_BYTES - len(received)))
                received += part
                if not part or is_expected(bytes(received)):
                    break
        except OSError as error:
            if not received:
                raise failed(error, shown(host, port), deadline) from None
        if is_expected is not None and not received and deadline.over():
            raise late(deadline)
    return bytes(received), monotonic() - began
