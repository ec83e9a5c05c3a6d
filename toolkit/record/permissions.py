"""The IAM permissions for locks and the record in a bucket."""

from toolkit.operations import Location, Statement
from toolkit.ports.aws.names import arn


def statements(location: Location) -> tuple[Statement, ...]:
    """The statements; empty if both are only kept on this machine."""
    if location.store is None:
        return ()
    bucket, _, prefix = location.store.removeprefix("s3://").strip("/").partition("/")
    whole = arn(location, "s3", bucket)
    inside = f"{whole}/{prefix}/*" if prefix else f"{whole}/*"
    return (
        Statement(
            "locks and the record of what is live",
            ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            (inside,),
        ),
        Statement("the list of both", ("s3:ListBucket",), (whole,)),
    )
