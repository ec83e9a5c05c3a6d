"""The policy of which addresses may be probed. Nothing here touches the network."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from re import compile as pattern
from re import split

from msgspec import Struct

from toolkit.errors import ProbeRefused, UsageError

Ip = IPv4Address | IPv6Address

CONNECT_TO = "TOOLKIT_CONNECT_TO"
_ADD_HOST = "add it to `hosts` of the environment in rules.toml"
_ADD_PRIVATE = "add `private = true` to the environment in rules.toml, if that is intended"
_NAME = pattern(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_LONGEST_NAME = 253

_NEVER = tuple(
    (ip_network(network), words)
    for network, words in (
        ("0.0.0.0/8", "an unspecified address"),
        ("169.254.0.0/16", "a link-local address"),
        # EC2's metadata, credentials of EKS, resolver, clock
        ("fd00:ec2::/32", "an address for the services of a cloud machine"),
        ("fd20:ce::254/128", "an address for the metadata of a cloud machine"),  # Google
        ("100.100.100.200/32", "an address for the metadata of a cloud machine"),  # Alibaba
        ("168.63.129.16/32", "an address for the metadata of a cloud machine"),  # Azure
        ("192.0.0.192/32", "an address for the metadata of a cloud machine"),  # Oracle
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_ISATAP = 0x5EFE
"""Bits 32 to 63 of an address that ends in an IPv4 address, without the bit that says whether that
one is unique.
"""
_ISATAP_UNIQUE = 0x02000000


class Policy(Struct, frozen=True):
    """Which addresses may be probed.

    `hosts`: exact names, IP addresses, or `*.example.com` for one or more labels before it; case
    and a dot at the end do not matter. `private`: whether loopback and private addresses are
    allowed. `instead`: host -> address and port to connect to in its place, whatever the port. It
    comes from the person and not from the repository, so such a host is allowed, and its address
    may be private.
    """

    hosts: tuple[str, ...]
    private: bool = False
    instead: Mapping[str, tuple[str, int]] = {}


def ascii_name(host: str) -> str:
    """The normal form of a host: lower case, IDNA in ASCII, no dot at the end; an IP address in its
    shortest form. Raises ProbeRefused for what is neither.
    """
    bare = _without_brackets(host)
    try:
        if not bare.isascii() and len(bare) <= _LONGEST_NAME:
            bare = bare.encode("idna").decode("ascii")
    except UnicodeError:
        raise ProbeRefused(f"{host[:_LONGEST_NAME]!r} is not the name of a host") from None
    ip = literal(bare)
    if ip is not None:
        return str(ip)
    bare = bare.lower().removesuffix(".")
    if len(bare) > _LONGEST_NAME or not _NAME.fullmatch(bare):
        raise ProbeRefused(f"{host[:_LONGEST_NAME]!r} is not the name of a host")
    return bare


def literal(host: str) -> Ip | None:
    """The IP address that a host is written as; None for a name, and for an address with a scope
    (`fe80::1%eth0`).
    """
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def _without_brackets(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def replacement_of(host: str, policy: Policy) -> tuple[str, int] | None:
    """The address and port to connect to in place of a host, None if there is none."""
    name = ascii_name(host)
    for replaced, address in policy.instead.items():
        if _same(replaced, name):
            return address
    return None


def check_host(host: str, policy: Policy) -> None:
    """Raises ProbeRefused for a host that is not on the list."""
    name = ascii_name(host)
    allowed = any(_covers(entry, name) for entry in policy.hosts)
    if not allowed and replacement_of(name, policy) is None:
        raise ProbeRefused(f"host {name} is not allowed", _ADD_HOST)


def check_address(ip: str, host: str, policy: Policy) -> None:
    """Raises ProbeRefused for an address that a host must not lead to: some never, private ones
    unless the policy allows them.
    """
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        raise ProbeRefused(f"{ip[:_LONGEST_NAME]!r} is not an address") from None
    name = ascii_name(host)
    subject = name
    if name != str(address):
        subject = f"host {name} is at {address}, which"
    replacement = replacement_of(host, policy)
    private = policy.private
    if replacement is not None and ip_address(replacement[0]) == address:
        private = True
    for reached in _reached_by(address):
        words = _never(reached)
        if words:
            raise ProbeRefused(f"{subject} is {words}: it is never asked")
        words = _private(reached)
        if words and not private:
            raise ProbeRefused(f"{subject} is {words}", _ADD_PRIVATE)


def is_never(host: str) -> bool:
    """Whether a host is an IP address that is never probed, whatever the policy says."""
    address = literal(host)
    return address is not None and any(_never(reached) for reached in _reached_by(address))


def parse_instead(text: str) -> Mapping[str, tuple[str, int]]:
    """`api.example.com=127.0.0.1:8080,web.example.com=[::1]:8443`, with commas or spaces between.
    Raises UsageError.
    """
    return dict(_pair(word) for word in split(r"[\s,]+", text) if word)


def _pair(word: str) -> tuple[str, tuple[str, int]]:
    host, _, replacement = word.partition("=")
    address, _, port = replacement.rpartition(":")
    if address == "localhost":
        address = "127.0.0.1"
    ip = literal(_without_brackets(address))
    bracketed = address.startswith("[") and address.endswith("]")
    if ip is not None and bracketed == (ip.version == 6) and _is_port(port):
        with suppress(ProbeRefused):
            return ascii_name(host), (str(ip), int(port))
    raise UsageError(
        f"{CONNECT_TO}: {word!r} is not HOST=ADDRESS:PORT",
        "write it like `api.example.com=127.0.0.1:8080`",
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536


def _covers(entry: str, name: str) -> bool:
    """Whether an entry of the list matches a host; a star never matches a part of an IP address."""
    if not entry.startswith("*."):
        return _same(entry, name)
    try:
        return literal(name) is None and name.endswith(f".{ascii_name(entry[2:])}")
    except ProbeRefused:
        return False


def _same(entry: str, name: str) -> bool:
    try:
        return ascii_name(entry) == name
    except ProbeRefused:
        return False


def _reached_by(ip: Ip) -> Iterator[Ip]:
    """The addresses that one reaches: itself, or the IPv4 address inside of it, or both where that
    depends on the network.
    """
    if isinstance(ip, IPv4Address):
        yield ip
        return
    # Otherwise a forbidden IPv4 address could be written as an allowed IPv6 one.
    low = int(ip) & 0xFFFFFFFF
    if ip.ipv4_mapped or ip in _NAT64 or (ip in _COMPATIBLE and low > 1):
        yield IPv4Address(low)
    elif ip.sixtofour:
        yield ip.sixtofour
    else:
        yield ip
        if ip.teredo:
            yield from ip.teredo
        if (int(ip) >> 32) & 0xFFFFFFFF & ~_ISATAP_UNIQUE == _ISATAP:
            yield IPv4Address(low)


def _never(ip: Ip) -> str:
    """The kind of an address that is never probed, empty for others."""
    for network, words in _NEVER:
        if ip in network:
            return words
    if ip.is_unspecified:
        return "an unspecified address"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_reserved and not ip.is_loopback:
        return "a reserved address"
    return ""


def _private(ip: Ip) -> str:
    """The kind of an address outside of the public internet, empty for others."""
    if ip.is_loopback:
        return "a loopback address"
    if not ip.is_global or (isinstance(ip, IPv6Address) and ip.is_site_local):
        return "a private address"
    return ""
