"""Looks up the addresses of a name."""

from ipaddress import ip_address

from toolkit.ports.net.dial import resolved, within
from toolkit.ports.net.policy import Policy, check_host, replacement_of


def addresses(host: str, policy: Policy, seconds: float) -> tuple[str, ...]:
    """The addresses of a host as sorted text; only the replacement if the policy has one `instead`.

    Nothing is connected to, so they may be private. Raises ProbeRefused for a host that is not
    on the list; ProbeError.
    """
    check_host(host, policy)
    replacement = replacement_of(host, policy)
    names = (replacement[0],) if replacement else resolved(host, within(seconds))
    return tuple(sorted({str(ip_address(address.partition("%")[0])) for address in names}))
