"""Which certificate does a port show?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.ports.net.dial import Connection, certificate_ends, dial, names_in, trusted, within
from toolkit.ports.net.policy import Policy


class Certificate(Struct, frozen=True):
    """A certificate that is trusted and fits. `ends` is in UTC, `names` are those that it is for,
    `protocol` is such as `TLSv1.3`.
    """

    ends: datetime
    issuer: str
    names: tuple[str, ...]
    protocol: str


def look(host: str, port: int, policy: Policy, seconds: float) -> Certificate:
    """Shake hands once. Raises ProbeRefused; ProbeError for a certificate that is not to be
    trusted, and for no answer.
    """
    trusted()  # reading the certificates is not the other side's time
    deadline = within(seconds)
    with Connection(dial(host, port, policy, deadline), deadline) as line:
        sock = line.encrypt(host)
        found: Mapping[str, Any] = sock.getpeercert() or {}
        return Certificate(
            certificate_ends(sock), _issuer(found), names_in(found), sock.version() or ""
        )


def _issuer(certificate: Mapping[str, Any]) -> str:
    """The organization that issued it, else its common name."""
    said = {key: value for pairs in certificate.get("issuer", ()) for key, value in pairs}
    return str(said.get("organizationName") or said.get("commonName") or "somebody without a name")
