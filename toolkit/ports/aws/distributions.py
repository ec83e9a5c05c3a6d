"""CloudFront's distributions and their certificates. The rest of their configuration is left out,
since headers for an origin may be secret.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError, Missing, Unexpected
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.names import parse_arn


class Distribution(Struct, frozen=True):
    """A distribution. `status` is Deployed or InProgress, `certificate` the ARN of ACM's
    certificate, empty if it shows another one.
    """

    id: str
    enabled: bool
    status: str
    changed: datetime | None
    domain: str
    certificate: str
    origins: tuple["DistributionOrigin", ...] = ()


class DistributionOrigin(Struct, frozen=True):
    """Where a distribution takes files from: a host, and the path that it puts before each."""

    domain: str
    path: str


class AcmCertificate(Struct, frozen=True):
    """A certificate. `status` is ISSUED, EXPIRED, REVOKED, PENDING_VALIDATION …, `renewal` how
    ACM's own renewal stands, with the reason if it failed; empty if there was none. `imported` says
    that ACM does not renew it.
    """

    domain: str
    status: str
    expires: datetime | None
    renewal: str
    imported: bool


def distribution(aws: Aws, name: str) -> Distribution | None:
    """A distribution by its id; None if there is none. Raises CloudError."""
    try:
        answer = aws.read("cloudfront", "get_distribution", Id=name)["Distribution"]
    except CloudError as problem:
        if problem.aws_code == "NoSuchDistribution":
            return None
        raise
    config = answer["DistributionConfig"]
    shown = (config.get("ViewerCertificate") or {}).get("ACMCertificateArn") or ""
    return Distribution(
        name,
        bool(config["Enabled"]),
        str(answer["Status"]),
        answer.get("LastModifiedTime"),
        str(answer["DomainName"]),
        str(shown),
        tuple(_origins(config)),
    )


def invalidate(aws: Aws, name: str, reference: str, paths: Sequence[str]) -> str:
    """Have a distribution forget paths; the invalidation's id. The same reference with the same
    paths is the same invalidation. Raises CloudError, TooManyInvalidations.
    """
    batch = {
        "CallerReference": reference,
        "Paths": {"Quantity": len(paths), "Items": list(paths)},
    }
    try:
        answer = aws.write(
            "cloudfront",
            "create_invalidation",
            tokened=True,
            DistributionId=name,
            InvalidationBatch=batch,
        )
    except CloudError as problem:
        if problem.aws_code == "TooManyInvalidationsInProgress":
            raise TooManyInvalidations from None
        if problem.aws_code == "NoSuchDistribution":
            raise Missing(what="distribution", name=name, where="") from None
        raise
    return str(answer["Invalidation"]["Id"])


def is_invalidated(aws: Aws, name: str, invalidation: str) -> bool:
    """Whether an invalidation has reached all of the distribution. One that is not known any more
    has. Raises CloudError, Missing where there is no such distribution.
    """
    try:
        answer = aws.read("cloudfront", "get_invalidation", DistributionId=name, Id=invalidation)
    except CloudError as problem:
        if problem.aws_code == "NoSuchInvalidation":
            return True
        if problem.aws_code == "NoSuchDistribution":
            raise Missing(what="distribution", name=name, where="") from None
        raise
    return bool(answer["Invalidation"]["Status"] == "Completed")


class TooManyInvalidations(Exception):
    """CloudFront has as many paths to forget as it takes at a time."""


def region(certificate: str) -> str:
    """Where a certificate is, from its ARN. Raises Unexpected for what is none."""
    named = parse_arn(certificate)
    if named is None:
        raise Unexpected(
            call="cloudfront:GetDistribution", reason="ACMCertificateArn is not an ARN"
        )
    return named.region


def certificate(aws: Aws, arn: str) -> AcmCertificate | None:
    """A certificate, asked for in its own region; None if there is none. Raises CloudError."""
    try:
        answer = aws.read("acm", "describe_certificate", CertificateArn=arn)["Certificate"]
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            return None
        raise
    renewed = answer.get("RenewalSummary") or {}
    renewal = ": ".join(
        str(renewed[key]) for key in ("RenewalStatus", "RenewalStatusReason") if renewed.get(key)
    )
    return AcmCertificate(
        str(answer.get("DomainName", "")),
        str(answer.get("Status", "")),
        answer.get("NotAfter"),
        renewal,
        answer.get("Type") == "IMPORTED",
    )


def _origins(config: Mapping[str, Any]) -> Iterator[DistributionOrigin]:
    for origin in (config.get("Origins") or {}).get("Items") or ():
        domain, path = str(origin.get("DomainName", "")), str(origin.get("OriginPath") or "")
        yield DistributionOrigin(domain, path)
