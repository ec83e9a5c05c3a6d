"""A check of a name: it is known, and perhaps for the right addresses."""

from time import monotonic
from typing import Annotated

from msgspec import Meta, Struct

from toolkit.checks import base
from toolkit.operations import Mismatch


class AddressExpectation(Struct, frozen=True, forbid_unknown_fields=True):
    """What the name has to resolve to."""

    addresses: Annotated[
        tuple[str, ...], Meta(description="Exactly these addresses; by default any.")
    ] = ()


class DnsSettings(base.CheckSettings, frozen=True, kw_only=True):
    """A host name that has to resolve."""

    dns: Annotated[str, Meta(pattern=r"^[^\s:/@]+$(?!\n)", description="A host's name.")]
    expect: Annotated[AddressExpectation, Meta(description="What the name has to resolve to.")] = (
        AddressExpectation()
    )


Settings = DnsSettings


problem = base.no_problem
files = base.no_files
wrong_contents = base.any_contents
based = base.never_needs_base_url


def asks(settings: DnsSettings) -> str:
    """`DNS api.example.com`."""
    return f"DNS {settings.dns}"


def host(settings: DnsSettings) -> str:
    """The host itself."""
    return settings.dns


def ask(settings: DnsSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Look it up once."""
    from toolkit.ports.net import dns

    began = monotonic()
    addresses = dns.addresses(settings.dns, context.policy, context.seconds)
    expected = tuple(sorted(settings.expect.addresses))
    misses: tuple[Mismatch, ...] = ()
    if expected and expected != addresses:
        misses = (Mismatch("addresses", ", ".join(expected), ", ".join(addresses)),)
    detail = ", ".join((*addresses[:3], "...") if len(addresses) > 3 else addresses)
    return base.CheckAnswer(monotonic() - began, misses, detail=detail)
