"""The IAM permissions for locks and the record in a bucket."""

from toolkit.operations import Location, Statement
from toolkit.ports.aws.names import arn, bucket_and_prefix


def statements(location: Location) -> tuple[Statement, ...]:
    """The statements; empty if both are only kept on this machine."""
    if location.store is None:
        return ()
    bucket, prefix = bucket_and_prefix(location.store)
    whole = arn(location, "s3", bucket)
    return (
        Statement(
            "locks and the record of what is live",
            ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            (f"{whole}/{prefix}*",),
        ),
        Statement("the list of both", ("s3:ListBucket",), (whole,)),
    )
