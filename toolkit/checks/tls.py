"""A check of a certificate: trusted, for this name, and not about to end."""

from datetime import UTC, datetime
from time import monotonic
from typing import Annotated

from msgspec import Meta, Struct

from toolkit.checks import base
from toolkit.checks.tcp import Port, split
from toolkit.operations import Mismatch


class CertificateExpectation(Struct, frozen=True, forbid_unknown_fields=True):
    """What the certificate has to be like."""

    days: Annotated[int, Meta(ge=0, description="For how many more days it has to be valid.")] = 14


class TlsSettings(base.CheckSettings, frozen=True, kw_only=True):
    """A certificate that has to stay valid for a while."""

    tls: Annotated[Port, Meta(description="`host:port`.")]
    expect: Annotated[
        CertificateExpectation, Meta(description="What the certificate has to be like.")
    ] = CertificateExpectation()


Settings = TlsSettings


problem = base.no_problem
files = base.no_files
wrong_contents = base.any_contents
based = base.never_needs_base_url


def asks(settings: TlsSettings) -> str:
    """`TLS host:port`."""
    return f"TLS {settings.tls}"


def host(settings: TlsSettings) -> str:
    """The host in its address."""
    return settings.tls.rpartition(":")[0].strip("[]")


def ask(settings: TlsSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Shake hands, and look at the dates."""
    from toolkit.ports.net import tls

    host, port = split(settings.tls)
    began = monotonic()
    certificate = tls.look(host, port, context.policy, context.seconds)
    days = (certificate.ends - datetime.now(UTC)).days
    misses: tuple[Mismatch, ...] = ()
    if days < settings.expect.days:
        expected = f"good for {settings.expect.days} days"
        got = f"expires in {days} days, on {certificate.ends:%Y-%m-%d}"
        misses = (Mismatch("certificate", expected, got),)
    detail = f"certificate until {certificate.ends:%Y-%m-%d}, by {certificate.issuer}"
    return base.CheckAnswer(monotonic() - began, misses, detail=detail)
