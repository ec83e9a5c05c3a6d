"""The names of things in AWS, and its partitions, which are separate from each other: names and
addresses contain them. Pure.
"""

from msgspec import Struct

from toolkit.operations import Location

_WITHOUT_REGION = ("cloudfront", "iam", "s3")

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


class Arn(Struct, frozen=True):
    """The parts of a name."""

    partition: str
    service: str
    region: str
    account: str
    resource: str


def parse_arn(text: str) -> Arn | None:
    """A name in parts, None if it is no ARN."""
    parts = text.split(":", 5)
    return Arn(*parts[1:]) if len(parts) == 6 and parts[0] == "arn" else None


def bucket_and_prefix(address: str) -> tuple[str, str]:
    """The bucket of an address `s3://bucket/prefix`, and what keys below it begin with: `prefix/`,
    or nothing.
    """
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def arn(location: Location, service: str, resource: str, region: str | None = None) -> str:
    """The name of what is in a location; what the location does not say is `*`."""
    region = "" if service in _WITHOUT_REGION else region or location.region or "*"
    account = "" if service == "s3" else location.account or "*"
    return f"arn:{partition(location.region)}:{service}:{region}:{account}:{resource}"
