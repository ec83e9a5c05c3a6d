"""The partitions of AWS, which are separate from each other: ARNs and addresses contain them.
Pure.
"""

_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
)
"""The prefix of its regions, its name in ARNs, and the suffix of its addresses, for all partitions
but the usual one.
"""


def partition(region: str | None) -> str:
    """The partition of a region, as ARNs name it."""
    for start, name, _ in _PARTITIONS:
        if (region or "").startswith(start):
            return name
    return "aws"


def suffix(region: str | None) -> str:
    """The suffix of AWS's addresses in a region."""
    for start, _, end in _PARTITIONS:
        if (region or "").startswith(start):
            return end
    return "amazonaws.com"
