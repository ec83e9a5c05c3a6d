"""The parts of AWS that know nothing of each other: ARNs and addresses name them. Pure."""

_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
)
"""How its regions begin, how ARNs call it, and what its addresses end with; the usual part is none
of these.
"""


def partition(region: str | None) -> str:
    """The part of AWS that a region belongs to, as ARNs name it."""
    for start, name, _ in _PARTITIONS:
        if (region or "").startswith(start):
            return name
    return "aws"


def suffix(region: str | None) -> str:
    """What AWS's addresses in a region end with."""
    for start, _, end in _PARTITIONS:
        if (region or "").startswith(start):
            return end
    return "amazonaws.com"
