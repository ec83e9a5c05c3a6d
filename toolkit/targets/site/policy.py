"""The IAM statements that a look at a static site needs. Pure."""

from toolkit.model import Job, Statement
from toolkit.ports.aws.partition import partition
from toolkit.targets import alarms


def statements(job: Job) -> tuple[Statement, ...]:
    """See targets/base.py."""
    arn, account = f"arn:{partition(job.location.region or '*')}", job.location.account or "*"
    bucket, name = f"{arn}:s3:::{job.settings.bucket}", job.settings.distribution
    needed = [
        Statement("see that its bucket exists", ("s3:ListBucket",), (bucket,)),
        Statement("see that its first page exists", ("s3:GetObject",), (f"{bucket}/index.html",)),
    ]
    if name:
        needed += [
            Statement(
                f"see the state of distribution {name}",
                ("cloudfront:GetDistribution",),
                (f"{arn}:cloudfront::{account}:distribution/{name}",),
            ),
            Statement(
                "see when its certificate expires",
                ("acm:DescribeCertificate",),
                (f"{arn}:acm:*:{account}:certificate/*",),
            ),
        ]
    return (*needed, alarms.STATEMENT)
