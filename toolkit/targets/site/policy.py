"""The IAM statements that a look at a static site needs. Pure."""

from toolkit.operations import Job, Statement
from toolkit.ports.aws.names import arn
from toolkit.targets import alarms


def statements(job: Job) -> tuple[Statement, ...]:
    """See targets/base.py."""
    location, name = job.location, job.settings.distribution
    bucket = arn(location, "s3", job.settings.bucket)
    needed = [
        Statement("see that its bucket exists", ("s3:ListBucket",), (bucket,)),
        Statement("see that its first page exists", ("s3:GetObject",), (f"{bucket}/index.html",)),
    ]
    if name:
        needed += [
            Statement(
                f"see the state of distribution {name}",
                ("cloudfront:GetDistribution",),
                (arn(location, "cloudfront", f"distribution/{name}"),),
            ),
            Statement(
                "see when its certificate expires",
                ("acm:DescribeCertificate",),
                (arn(location, "acm", "certificate/*", region="*"),),
            ),
        ]
    return (*needed, alarms.STATEMENT)
