"""Which addresses may be probed: the list of hosts, and what no list allows."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ProbeRefused, UsageError
from toolkit.ports.net.policy import Policy, ascii_name, check_address, check_host, parse_instead
from toolkit.show.advice import sentence

NEVER_4 = (
    "0.0.0.0/8",
    "169.254.0.0/16",
    "100.100.100.200/32",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "168.63.129.16/32",
)
NEVER_6 = (
    "::/128",
    "fe80::/10",
    "ff00::/8",
    "fd00:ec2::/32",
    "64:ff9b:1::/48",
    "4000::/3",
    "8000::/2",
)
PRIVATE_4 = (
    "10.0.0.0/8",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "192.0.2.0/24",
    "198.18.0.0/15",
)
PRIVATE_6 = ("::1/128", "fc00::/7", "fec0::/10", "2001:db8::/32")


def within(networks: tuple[str, ...]) -> st.SearchStrategy[int]:
    """Any address of these networks, its edges more often than by chance."""
    ranges = [(int(item[0]), int(item[-1])) for item in map(ip_network, networks)]
    return st.one_of(*(st.one_of(st.sampled_from(ends), st.integers(*ends)) for ends in ranges))


def embedded(four: int, how: str, rest: int) -> str:
    """An IPv4 address as it is, or inside of an IPv6 address."""
    return {
        "itself": lambda: str(IPv4Address(four)),
        "mapped": lambda: str(IPv6Address(0xFFFF << 32 | four)),
        "compatible": lambda: str(IPv6Address(four)),
        "6to4": lambda: str(IPv6Address(0x2002 << 112 | four << 80 | rest)),
        "NAT64": lambda: str(IPv6Address(0x64FF9B << 96 | four)),
        "translated": lambda: str(IPv6Address(0xFFFF << 48 | four)),
        "ISATAP": lambda: str(IPv6Address(0x2A00 << 112 | 0x5EFE << 32 | four)),
        "unique ISATAP": lambda: str(IPv6Address(0x2A00 << 112 | 0x02005EFE << 32 | four)),
        "Teredo": lambda: str(
            IPv6Address(0x2001 << 112 | rest << 16 & (1 << 80) - 1 << 16 | four ^ 0xFFFFFFFF)
        ),
        "scoped": lambda: f"{IPv6Address(0xFFFF << 32 | four)}%1",
    }[how]()


HOW = (
    "itself",
    "mapped",
    "compatible",
    "6to4",
    "NAT64",
    "translated",
    "ISATAP",
    "unique ISATAP",
    "Teredo",
    "scoped",
)
REST = st.integers(0, (1 << 80) - 1)


def refused(ip: str, policy: Policy) -> bool:
    try:
        check_address(ip, "a.example.com", policy)
    except ProbeRefused:
        return True
    return False


@given(within(NEVER_4), st.sampled_from(HOW), REST)
def test_a_forbidden_address_in_any_embedding_is_refused_under_every_policy(
    four: int, how: str, rest: int
) -> None:
    ip = embedded(four, how, rest)
    assert refused(ip, Policy(("*.example.com",)))
    assert refused(ip, Policy(("*.example.com",), private=True))
    assert refused(
        ip, Policy((), private=True, instead={"a.example.com": (ip.partition("%")[0], 80)})
    )


@given(within(NEVER_6), st.sampled_from(["", "%eth0", "%2"]))
def test_a_forbidden_address_of_ipv6_is_refused_under_every_policy(six: int, scope: str) -> None:
    assert refused(
        f"{IPv6Address(six)}{scope}",
        Policy((), private=True, instead={"a.example.com": (str(IPv6Address(six)), 80)}),
    )


@given(within(PRIVATE_4), st.sampled_from(HOW), REST)
def test_a_private_address_in_any_embedding_needs_the_policy(
    four: int, how: str, rest: int
) -> None:
    if four != int(IPv4Address("100.100.100.200")):
        assert refused(embedded(four, how, rest), Policy(()))
        assert not refused(embedded(four, "itself", rest), Policy((), private=True))
        assert not refused(embedded(four, "mapped", rest), Policy((), private=True))


@given(within(PRIVATE_6))
def test_a_private_address_of_ipv6_needs_the_policy(six: int) -> None:
    ip = IPv6Address(six)
    assert refused(str(ip), Policy(()))
    if ip not in ip_network("fd00:ec2::/32") and str(ip) != "fd20:ce::254":
        assert not refused(str(ip), Policy((), private=True))


@pytest.mark.parametrize(
    "ip",
    [
        "1.1.1.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "::1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::",
    ],
)
def test_a_public_address_is_allowed(ip: str) -> None:
    check_address(ip, "a.example.com", Policy(()))


def test_a_private_address_stands_in_for_its_host_only() -> None:
    policy = Policy((), instead={"A.example.com.": ("127.0.0.1", 80)})
    check_address("127.0.0.1", "a.example.com", policy)
    check_address("::ffff:127.0.0.1", "a.example.com", Policy((), private=True))
    for ip, host in (
        ("127.0.0.1", "b.example.com"),
        ("127.0.0.2", "a.example.com"),
        ("10.0.0.1", "a.example.com"),
    ):
        with pytest.raises(ProbeRefused):
            check_address(ip, host, policy)


def test_a_refusal_says_what_to_write() -> None:
    with pytest.raises(ProbeRefused, match=r"^host api.example.com is not allowed$") as actual:
        check_host("api.example.com", Policy(()))
    assert sentence(actual.value.next) == "add it to `hosts` of the environment in rules.toml"
    with pytest.raises(
        ProbeRefused, match=r"^host api.example.com is at 10.0.0.1, which is a private address$"
    ) as actual:
        check_address("10.0.0.1", "api.example.com", Policy(()))
    assert (
        sentence(actual.value.next)
        == "add `private = true` to the environment in rules.toml, if that is intended"
    )
    with pytest.raises(
        ProbeRefused, match=r"^169.254.169.254 is a link-local address: it is never asked$"
    ) as actual:
        check_address("169.254.169.254", "169.254.169.254", Policy((), private=True))
    assert not sentence(actual.value.next)


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("api.example.com", "API.Example.COM."),
        ("API.example.com.", "api.example.com"),
        ("*.example.com", "a.example.com"),
        ("*.example.com", "a.b.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.xn--bcher-kva.example", "Www.BÜCHER.example"),
        ("10.1.2.3", "10.1.2.3"),
        ("[::1]", "0:0:0:0:0:0:0:1"),
        ("::1", "[::1]"),
    ],
)
def test_a_host_on_the_list_is_allowed(entry: str, host: str) -> None:
    check_host(host, Policy((entry,)))


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("api.example.com", "example.com"),
        ("api.example.com", "api.example.com.evil.test"),
        ("*.example.com", "example.com"),
        ("*.example.com", "evilexample.com"),
        ("*.example.com", ".example.com"),
        ("*.0.0.1", "127.0.0.1"),
        ("*", "api.example.com"),
        ("*.", "api.example.com"),
        ("", ""),
        ("api.*", "api.example"),
        ("127.0.0.1", "2130706433"),
        ("127.0.0.1", "0177.0.0.1"),
        ("127.0.0.1", "127.1"),
        ("api.example.com", "аpi.example.com"),  # a Cyrillic а
    ],
)
def test_a_host_that_only_looks_like_one_on_the_list_is_refused(entry: str, host: str) -> None:
    with pytest.raises(ProbeRefused):
        check_host(host, Policy((entry,), private=True))


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "a b",
        "a\nb",
        "a/b",
        "a@b",
        "a\\b",
        "fe80::1%eth0",
        "x" * 64,
        "a." * 200,
        "é" * 5000,
    ],
)
def test_what_is_no_host_is_refused_even_if_listed(host: str) -> None:
    with pytest.raises(ProbeRefused, match="is not the name of a host"):
        check_host(host, Policy((host, "*.example.com")))


def test_digits_of_other_scripts_are_the_address_that_they_mean() -> None:
    assert ascii_name("１２７．０．０．１") == "127.0.0.1"


def test_what_stands_in_is_read_with_commas_and_spaces() -> None:
    text = " Api.dev.example.com=127.0.0.1:40123,web.example.com=[::1]:8443\n x=localhost:80 "
    expected = {
        "api.dev.example.com": ("127.0.0.1", 40123),
        "web.example.com": ("::1", 8443),
        "x": ("127.0.0.1", 80),
    }
    assert parse_instead(text) == expected
    assert parse_instead(" ") == {}


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=",
        "=127.0.0.1:1",
        "a=b:1",
        "a=127.0.0.1",
        "a=127.0.0.1:0",
        "a=127.0.0.1:65536",
        "a=::1:80",
        "a=[127.0.0.1]:80",
        "a=[::1]",
        "a=127.0.0.1:x",
        "a=127.0.0.1:99999999999999999999999",
        "a=127.0.0.1:１",
        "a/b=127.0.0.1:1",
        "a=1=127.0.0.1:1",
    ],
)
def test_nonsense_about_what_stands_in_names_the_variable(text: str) -> None:
    with pytest.raises(UsageError, match=r"^TOOLKIT_CONNECT_TO: "):
        parse_instead(text)
