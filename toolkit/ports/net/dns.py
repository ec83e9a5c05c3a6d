"""Which addresses does a name stand for?"""

from ipaddress import ip_address

from toolkit.ports.net.dial import resolved, within
from toolkit.ports.net.policy import Policy, check_host, instead_of


def addresses(host: str, policy: Policy, seconds: float) -> tuple[str, ...]:
    """Its addresses as text, sorted as such; what stands `instead` of it is all that is told then.

    Nothing is connected to, so that they may be private. Raises ProbeRefused for a host that is not
    on the list; ProbeError.
    """
    check_host(host, policy)
    there = instead_of(host, policy)
    found = (there[0],) if there else resolved(host, within(seconds))
    return tuple(sorted({str(ip_address(one.partition("%")[0])) for one in found}))
