"""Connects to hosts. Every address is checked before it is connected to, and everything ends at the
deadline.
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

from toolkit.errors import CertificateProblem, NoWay, ProbeError
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.net.policy import (
    Policy,
    ascii_name,
    check_address,
    check_host,
    literal,
    replacement_of,
)

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for."""
_EXPIRED, _NOT_YET, _WRONG_NAME, _WRONG_IP = 10, 9, 62, 64
_SELF_SIGNED = (18, 19)
_MOST_NAMES = 5
_LEAST_S = 0.001
"""A time-out of 0 would mean not to wait at all."""


class Deadline(Struct, frozen=True):
    """When a probe ends: `at` in seconds of `time.monotonic`; `seconds` is its time-out, for
    people.
    """

    at: float
    seconds: float

    def remaining(self) -> float:
        """The seconds until it, 0 after it."""
        return max(0.0, self.at - monotonic())

    def over(self) -> bool:
        """Whether it has passed."""
        return monotonic() >= self.at


def within(seconds: float) -> Deadline:
    """The deadline that many seconds from now."""
    return Deadline(monotonic() + seconds, seconds)


def late(deadline: Deadline, begun: bool = False) -> ProbeError:
    """The error for a missed deadline; `begun` if a part of the answer has come."""
    problem = "the answer did not end" if begun else "no answer"
    return ProbeError(f"{problem} within {deadline.seconds:.3g} s")


def shown(host: str, port: int) -> str:
    """`host:port`, for people."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def failed(error: OSError, endpoint: str, deadline: Deadline, begun: bool = False) -> ProbeError:
    """Our error for one of a socket. `endpoint` is the `host:port`, `begun` as for `late`."""
    if isinstance(error, TimeoutError) or deadline.over():
        return late(deadline, begun)
    if isinstance(error, ConnectionRefusedError):
        return ProbeError(f"nothing listens at {endpoint}")
    if isinstance(error, ssl.SSLError):
        return ProbeError(_handshake(error, endpoint))
    if isinstance(error, ConnectionError) or error.errno == ENOTCONN:
        return ProbeError(f"{endpoint} has closed the connection")
    if error.errno in (ENETDOWN, ENETUNREACH):
        return NoWay(f"this machine has no network to reach {endpoint}")
    if error.errno == EHOSTUNREACH:
        return ProbeError(f"there is no way to {endpoint} from here")
    return ProbeError(f"{endpoint} cannot be reached: {error.strerror or type(error).__name__}")


class Connection:
    """A connected socket that is shut down at the deadline, even while a call waits for it. It is
    closed at the end of its `with`.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        sock.settimeout(None)
        self.sock = sock
        self._deadline = deadline
        # A duplicate stays the same connection when `sock` is wrapped for TLS or closed by others.
        self._end = sock.dup()
        # Socket time-outs do not help: a peer that sends a byte now and then never runs into one.
        self._timer = Timer(deadline.remaining(), self._cut)
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
        """Start TLS. Raises ProbeError as `encrypted` does."""
        self.sock = wrapped = encrypted(self.sock, host, self._deadline)
        return wrapped

    def _cut(self) -> None:
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)


def dial(host: str, port: int, policy: Policy, deadline: Deadline) -> socket.socket:
    """A connection to a host that is allowed, at an address that is allowed.

    One forbidden address among several refuses the host. Raises ProbeRefused before any connection
    is made; ProbeError.
    """
    check_host(host, policy)
    replacement = replacement_of(host, policy)
    addresses = (replacement[0],) if replacement else resolved(host, deadline)
    # All are checked before the first connection: the order is the other side's choice.
    for address in addresses:
        check_address(address, host, policy)
    endpoint = shown(ascii_name(host), port)
    if replacement is not None:
        port = replacement[1]
        instead = shown(*replacement)
        if instead != endpoint:
            endpoint = f"{instead}, which stands for {endpoint}"
    return _connect(addresses, port, endpoint, deadline)


def resolved(host: str, deadline: Deadline) -> tuple[str, ...]:
    """The addresses of a host, in the order in which to try them. Raises ProbeError."""
    name = ascii_name(host)
    if literal(name):
        return (name,)
    try:
        lookup = BackgroundTask(lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
        entries = lookup.within(deadline.remaining())
    except Timeout:
        raise NoWay(f"the name {name} was not looked up within {deadline.seconds:.3g} s") from None
    except OSError as error:
        raise _unknown(error, name) from None
    addresses: dict[str, None] = {}
    for family, _, _, _, sockaddr in entries:
        if family in (socket.AF_INET, socket.AF_INET6):
            addresses[str(sockaddr[0])] = None
    if not addresses:
        raise ProbeError(f"the name {name} has no address")
    return tuple(addresses)


def _unknown(error: OSError, name: str) -> ProbeError:
    """The error for a failed lookup. If the resolver does not answer, nothing is known about the
    name.
    """
    if error.errno == socket.EAI_AGAIN:
        return NoWay(f"the name {name} cannot be looked up: the resolver does not answer")
    return ProbeError(f"the name {name} is not known here")


def _connect(
    addresses: Sequence[str], port: int, endpoint: str, deadline: Deadline
) -> socket.socket:
    """Try one after the other, each for its share of the remaining time."""
    problem: OSError = TimeoutError()
    for tried, address in enumerate(addresses):
        if deadline.over():
            raise late(deadline)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(_LEAST_S, deadline.remaining() / (len(addresses) - tried)))
            # By its checked address: a name could resolve to another one now.
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise failed(problem, endpoint, deadline) from None


def trusted() -> ssl.SSLContext:
    """The certificates that this machine trusts, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Cached, since reading all certificates takes longer than many a probe. The ssl module itself
    reads the variables, which are only the key here.
    """
    return ssl.create_default_context()


def encrypted(sock: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
    """Start TLS over a connected socket, which the result replaces. A `Connection` around it makes
    it end at the deadline. Raises ProbeError.
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


_TRUST = "let the server send its issuer's certificates, too, or add the issuer to SSL_CERT_FILE"


def unencrypted(error: OSError, host: str, peer: Any, deadline: Deadline) -> ProbeError:
    """The error for a failed TLS handshake. `peer` is the checked address that was connected to."""
    if not isinstance(error, ssl.SSLCertVerificationError) or deadline.over():
        return failed(error, host, deadline)
    code = error.verify_code
    if code == _EXPIRED:
        when = _refused_certificate(peer, host, deadline).get("notAfter")
        day = f" on {_moment(when):%Y-%m-%d %H:%M} UTC" if when else ""
        return CertificateProblem(f"the certificate of {host} expired{day}")
    if code == _NOT_YET:
        when = _refused_certificate(peer, host, deadline).get("notBefore")
        day = f", but from {_moment(when):%Y-%m-%d %H:%M} UTC" if when else ""
        return CertificateProblem(f"the certificate of {host} is not valid yet{day}")
    if code in (_WRONG_NAME, _WRONG_IP):
        names = names_in(_refused_certificate(peer, host, deadline))
        if not names:
            return CertificateProblem(f"the certificate is not for {host}")
        more = ", ..." if len(names) > _MOST_NAMES else ""
        return CertificateProblem(
            f"the certificate is not for {host}, but for {', '.join(names[:_MOST_NAMES])}{more}"
        )
    if code in _SELF_SIGNED:
        return CertificateProblem(
            f"the certificate of {host} is self-signed, or its issuer is, and that is not trusted"
            " here",
            _TRUST,
        )
    if code in (20, 21):
        reason = f"the certificate of {host} is from an issuer that is not known here"
        return CertificateProblem(reason, _TRUST)
    return CertificateProblem(f"the certificate of {host} is not accepted: {error.verify_message}")


def _handshake(error: ssl.SSLError, endpoint: str) -> str:
    """An error of TLS that is not about the certificate."""
    reason = (error.reason or "").replace("_", " ").lower()
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "unexpected eof" in reason:
        return f"{endpoint} has closed the connection"
    if reason in (
        "wrong version number",
        "packet length too long",
        "record layer failure",
        "http request",
        "unknown protocol",
    ):
        return f"{endpoint} does not speak TLS"
    if reason in ("unsupported protocol", "tlsv1 alert protocol version"):
        return f"{endpoint} speaks no version of TLS that is still good"
    return f"the encryption with {endpoint} fails: {reason or 'the TLS handshake was refused'}"


def _refused_certificate(peer: Any, host: str, deadline: Deadline) -> Mapping[str, Any]:
    """The certificate of the same address, read by a second connection that does not check name and
    times: the ssl module gives no details of one that it has refused. Empty if that fails.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    try:
        with Connection(_connect(peer[:1], peer[1], host, deadline), deadline) as line:
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
    """The names and addresses that a certificate (of `getpeercert`) is for."""
    return tuple(
        str(value)
        for sort, value in certificate.get("subjectAltName", ())
        if sort in ("DNS", "IP Address")
    )


def _moment(words: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(words), UTC)
