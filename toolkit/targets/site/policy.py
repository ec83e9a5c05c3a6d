"""The IAM statements that a static site needs. Pure."""

from toolkit.operations import Job, Statement
from toolkit.ports.aws.names import arn
from toolkit.targets import alarms
from toolkit.targets.site.settings import SiteSettings, folder_prefix


def statements(job: Job) -> tuple[Statement, ...]:
    """See targets/base.py."""
    settings: SiteSettings = job.settings
    location, name, prefix = job.location, settings.distribution, folder_prefix(settings.prefix)
    bucket = arn(location, "s3", settings.bucket)
    needed = [
        Statement("see which files there are", ("s3:ListBucket",), (bucket,)),
        Statement(
            "read the manifest, put files there, copy them, and delete old ones",
            ("s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
            (f"{bucket}/{prefix}*",),
        ),
    ]
    if name:
        needed += [
            Statement(
                f"see the state of distribution {name}, and have it forget changed pages",
                (
                    "cloudfront:CreateInvalidation",
                    "cloudfront:GetDistribution",
                    "cloudfront:GetInvalidation",
                ),
                (arn(location, "cloudfront", f"distribution/{name}"),),
            ),
            Statement(
                "see when its certificate expires",
                ("acm:DescribeCertificate",),
                (arn(location, "acm", "certificate/*", region="*"),),
            ),
        ]
    return (*needed, alarms.STATEMENT)
