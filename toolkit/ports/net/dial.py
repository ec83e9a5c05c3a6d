"""How is a host reached? Every address is vetted before it is connected to, and everything ends at
the deadline.
"""

import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from errno import EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENOTCONN
from functools import cache
from threading import Timer
from time import monotonic
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from toolkit.errors import NoWay, ProbeError
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.net.policy import (
    Policy,
    ascii_name,
    check_address,
    check_host,
    instead_of,
    literal,
)

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for."""
_EXPIRED, _NOT_YET, _WRONG_NAME, _WRONG_IP = 10, 9, 62, 64
_SELF_SIGNED = (18, 19)
_MOST_NAMES = 5
_LEAST_S = 0.001
"""A time-out of 0 would mean not to wait at all."""


class Deadline(Struct, frozen=True):
    """When a probe is over: `at` in seconds of `time.monotonic`, and the `seconds` that it was
    given, for people.
    """

    at: float
    seconds: float

    def left(self) -> float:
        """Seconds that are left, 0 if none are."""
        return max(0.0, self.at - monotonic())

    def over(self) -> bool:
        """Whether none are."""
        return monotonic() >= self.at


def within(seconds: float) -> Deadline:
    """So many seconds from now."""
    return Deadline(monotonic() + seconds, seconds)


def late(deadline: Deadline, begun: bool = False) -> ProbeError:
    """What to raise at the deadline; `begun` if a part of the answer has come."""
    return ProbeError(
        f"{'the answer did not end' if begun else 'no answer'} within {deadline.seconds:.3g} s"
    )


def shown(host: str, port: int) -> str:
    """`host:port`, for people."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def failed(error: OSError, at: str, deadline: Deadline, begun: bool = False) -> ProbeError:
    """An error of a socket in plain words. `at` is the `host:port`, `begun` as for `late`."""
    if isinstance(error, TimeoutError) or deadline.over():
        return late(deadline, begun)
    if isinstance(error, ConnectionRefusedError):
        return ProbeError(f"nothing listens at {at}")
    if isinstance(error, ssl.SSLError):
        return ProbeError(_handshake(error, at))
    if isinstance(error, ConnectionError) or error.errno == ENOTCONN:
        return ProbeError(f"{at} has closed the connection")
    if error.errno in (ENETDOWN, ENETUNREACH):
        return NoWay(f"this machine has no network to reach {at}")
    if error.errno == EHOSTUNREACH:
        return ProbeError(f"there is no way to {at} from here")
    return ProbeError(f"{at} cannot be reached: {error.strerror or type(error).__name__}")


class Connection:
    """A connected socket that is shut down at the deadline, whatever somebody is waiting for. It is
    closed at the end of its `with`.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        sock.settimeout(None)
        self.sock = sock
        self._deadline = deadline
        self._end = (
            sock.dup()
        )  # stays the same connection when `sock` is wrapped for TLS or closed by others
        self._timer = Timer(deadline.left(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        self._cut()
        self._end.close()
        self.sock.close()

    def encrypt(self, host: str) -> ssl.SSLSocket:
        """From here on all is encrypted. Raises ProbeError as `encrypted` does."""
        self.sock = found = encrypted(self.sock, host, self._deadline)
        return found

    def _cut(self) -> None:
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)


def dial(host: str, port: int, policy: Policy, deadline: Deadline) -> socket.socket:
    """A connection to a host that is allowed, at an address that is allowed.

    One forbidden address among several refuses the host. Raises ProbeRefused before any connection
    is made; ProbeError.
    """
    check_host(host, policy)
    there = instead_of(host, policy)
    addresses = (there[0],) if there else resolved(host, deadline)
    for address in addresses:
        check_address(address, host, policy)
    at = shown(ascii_name(host), port)
    if there is None:
        return _connected(addresses, port, at, deadline)
    instead = shown(*there)
    return _connected(
        addresses, there[1], at if instead == at else f"{instead}, which stands for {at}", deadline
    )


def resolved(host: str, deadline: Deadline) -> tuple[str, ...]:
    """The addresses of a host, in the order in which to try them. Raises ProbeError."""
    name = ascii_name(host)
    if literal(name):
        return (name,)
    try:
        found = BackgroundTask(
            lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        ).within(deadline.left())
    except Timeout:
        raise NoWay(f"the name {name} was not looked up within {deadline.seconds:.3g} s") from None
    except OSError as error:
        raise _unknown(error, name) from None
    addresses = tuple(
        dict.fromkeys(
            str(one[4][0]) for one in found if one[0] in (socket.AF_INET, socket.AF_INET6)
        )
    )
    if not addresses:
        raise ProbeError(f"the name {name} has no address")
    return addresses


def _unknown(error: OSError, name: str) -> ProbeError:
    """A resolver that does not answer says nothing of the name."""
    if error.errno == socket.EAI_AGAIN:
        return NoWay(f"the name {name} cannot be looked up: the resolver does not answer")
    return ProbeError(f"the name {name} is not known here")


def _connected(addresses: Sequence[str], port: int, at: str, deadline: Deadline) -> socket.socket:
    """Try one after the other, each for its share of the time that is left."""
    problem: OSError = TimeoutError()
    for tried, address in enumerate(addresses):
        if deadline.over():
            raise late(deadline)
        sock = socket.socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM
        )
        try:
            sock.settimeout(max(_LEAST_S, deadline.left() / (len(addresses) - tried)))
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise failed(problem, at, deadline) from None


def trusted() -> ssl.SSLContext:
    """What is trusted on this machine, or what SSL_CERT_FILE and SSL_CERT_DIR say instead."""
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Kept, for reading all certificates takes longer than many a probe; the ssl module itself
    looks at the variables.
    """
    return ssl.create_default_context()


def encrypted(sock: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
    """Shake hands over a connected socket, which is used up. A `Line` around it makes it end at the
    deadline. Raises ProbeError.
    """
    name, wrapped = ascii_name(host), None
    peer: Any = None
    try:
        peer = sock.getpeername()
        wrapped = trusted().wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        wrapped.do_handshake()
    except OSError as error:
        (wrapped or sock).close()
        raise unencrypted(error, name, peer, deadline) from None
    return wrapped


def unencrypted(error: OSError, host: str, peer: Any, deadline: Deadline) -> ProbeError:
    """Why no hands were shaken with a host, in plain words. `peer` is the vetted address that was
    connected to.
    """
    if not isinstance(error, ssl.SSLCertVerificationError) or deadline.over():
        return failed(error, host, deadline)
    code = error.verify_code
    if code in (_EXPIRED, _NOT_YET):
        when = _seen(peer, host, deadline).get("notAfter" if code == _EXPIRED else "notBefore")
        day = f"{_moment(when):%Y-%m-%d %H:%M} UTC" if when else ""
        if code == _EXPIRED:
            return ProbeError(f"the certificate of {host} expired" + (f" on {day}" if day else ""))
        return ProbeError(
            f"the certificate of {host} is not valid yet" + (f", but from {day}" if day else "")
        )
    if code in (_WRONG_NAME, _WRONG_IP):
        names = names_in(_seen(peer, host, deadline))
        of = (
            ", but for"
            f" {', '.join(names[:_MOST_NAMES])}{', ...' if len(names) > _MOST_NAMES else ''}"
            if names
            else ""
        )
        return ProbeError(f"the certificate is not for {host}{of}")
    if code in _SELF_SIGNED:
        return ProbeError(
            f"the certificate of {host} is self-signed, or its issuer is, and that is not trusted"
            " here"
        )
    if code in (20, 21):
        return ProbeError(f"the certificate of {host} is from an issuer that is not known here")
    return ProbeError(f"the certificate of {host} is not accepted: {error.verify_message}")


def _handshake(error: ssl.SSLError, at: str) -> str:
    """An error of TLS that is not about the certificate."""
    reason = (error.reason or "").replace("_", " ").lower()
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "unexpected eof" in reason:
        return f"{at} has closed the connection"
    if reason in (
        "wrong version number",
        "packet length too long",
        "record layer failure",
        "http request",
        "unknown protocol",
    ):
        return f"{at} does not speak TLS"
    if reason in ("unsupported protocol", "tlsv1 alert protocol version"):
        return f"{at} speaks no version of TLS that is still good"
    return f"the encryption with {at} fails: {reason or 'the TLS handshake was refused'}"


def _seen(peer: Any, host: str, deadline: Deadline) -> Mapping[str, Any]:
    """The certificate of the same address, looked at a second time without its name and its times,
    which the ssl module tells of no certificate that it has refused. Empty if that fails.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    try:
        with Connection(_connected(peer[:1], peer[1], host, deadline), deadline) as line:
            line.sock = wrapped = context.wrap_socket(
                line.sock, server_hostname=host, do_handshake_on_connect=False
            )
            wrapped.do_handshake()
            return wrapped.getpeercert() or {}
    except (OSError, ProbeError):
        return {}


def certificate_ends(sock: ssl.SSLSocket) -> datetime:
    """When the certificate of the other side ends, in UTC."""
    return _moment(str((sock.getpeercert() or {})["notAfter"]))


def names_in(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """The names and addresses that a certificate, as `getpeercert` has it, is for."""
    return tuple(
        str(value)
        for sort, value in certificate.get("subjectAltName", ())
        if sort in ("DNS", "IP Address")
    )


def _moment(words: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(words), UTC)
