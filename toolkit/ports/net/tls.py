"""Reads the certificate of a port."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.ports.net.dial import Connection, certificate_ends, dial, names_in, trusted, within
from toolkit.ports.net.policy import Policy


class Certificate(Struct, frozen=True):
    """A certificate that is trusted and matches the host. `ends` is in UTC, `names` are those that
    it is for, `protocol` is such as `TLSv1.3`.
    """

    ends: datetime
    issuer: str
    names: tuple[str, ...]
    protocol: str


def look(host: str, port: int, policy: Policy, seconds: float) -> Certificate:
    """Do a TLS handshake. Raises ProbeRefused; ProbeError for a certificate that is not trusted,
    and for no answer.
    """
    trusted()  # the time that reading the certificates takes is not the other side's
    deadline = within(seconds)
    with Connection(dial(host, port, policy, deadline), deadline) as line:
        sock = line.encrypt(host)
        details: Mapping[str, Any] = sock.getpeercert() or {}
        return Certificate(
            certificate_ends(sock), _issuer(details), names_in(details), sock.version() or ""
        )


def _issuer(certificate: Mapping[str, Any]) -> str:
    """The organization that issued it, else its common name."""
    names: dict[str, str] = {}
    for pairs in certificate.get("issuer", ()):
        names.update(pairs)
    name = names.get("organizationName") or names.get("commonName")
    return str(name or "somebody without a name")
