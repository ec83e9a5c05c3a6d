"""Whether something of AWS is there: one look each, or one for several where AWS has a call for
that.
"""

from collections.abc import Callable, Mapping, Sequence

from toolkit.errors import CloudError, Missing
from toolkit.ports.aws.client import Aws

PARAMETERS_A_CALL = 10
ACTIONS = {
    "bucket": ("s3:ListBucket",),
    "table": ("dynamodb:DescribeTable",),
    "queue": ("sqs:GetQueueUrl", "sqs:GetQueueAttributes"),
    "topic": ("sns:ListTopics",),
    "parameter": ("ssm:GetParameters",),
    "secret": ("secretsmanager:DescribeSecret",),
}
"""What IAM has to allow for each."""

_GONE = frozenset(
    (
        "404",
        "NoSuchBucket",
        "NotFound",
        "ResourceNotFoundException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    )
)


def look(aws: Aws, what: str, name: str, owner: str | None) -> str:
    """A few words on something that is there. Raises Missing, CloudError; KeyError for what nobody
    knows.
    """
    try:
        return _LOOKS[what](aws, name, owner)
    except CloudError as problem:
        if problem.aws_code in _GONE:
            raise _missing(aws, what, name) from None
        raise


def _missing(aws: Aws, what: str, name: str) -> Missing:
    return Missing(what=what, name=name, where="" if what == "bucket" else f" in {aws.region_name}")


def _bucket(aws: Aws, name: str, owner: str | None) -> str:
    of = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        aws.read("s3", "head_bucket", Bucket=name, **of)
    except CloudError as problem:
        if problem.aws_code != "400":
            raise
        aws.read(
            "s3", "list_objects_v2", Bucket=name, MaxKeys=1, **of
        )  # an answer to HEAD has no words for why: expired credentials
    return "there"


def _table(aws: Aws, name: str, owner: str | None) -> str:
    found = aws.read("dynamodb", "describe_table", TableName=name)["Table"]
    status = str(found["TableStatus"])
    if status not in ("ACTIVE", "UPDATING"):
        raise CloudError(call="dynamodb:DescribeTable", reason=f"table {name} is {status}")
    return status.lower()


def _queue(aws: Aws, name: str, owner: str | None) -> str:
    url = aws.read(
        "sqs",
        "get_queue_url",
        QueueName=name,
        **({"QueueOwnerAWSAccountId": owner} if owner else {}),
    )["QueueUrl"]
    found = aws.read(
        "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    waiting = (found.get("Attributes") or {}).get("ApproximateNumberOfMessages", "0")
    return f"{waiting} messages waiting"


def _topic(aws: Aws, name: str, owner: str | None) -> str:
    """Topics have no call that looks one up by its name; the list is read once for all who ask."""
    found = aws.gathered("sns:ListTopics", name, 1000, lambda names: _topics(aws))
    if not found:
        raise _missing(aws, "topic", name)
    return "there"


def _topics(aws: Aws) -> Mapping[str, bool]:
    return {
        str(one["TopicArn"]).rpartition(":")[2]: True
        for one in aws.pages("sns", "list_topics", "Topics")
    }


def _parameter(aws: Aws, name: str, owner: str | None) -> str:
    found = aws.gathered(
        "ssm:GetParameters", name, PARAMETERS_A_CALL, lambda names: _parameters(aws, names)
    )
    if not found:
        raise _missing(aws, "parameter", name)
    return f"version {found}"


def _parameters(aws: Aws, names: Sequence[str]) -> Mapping[str, int]:
    """The versions; values are not decrypted, and not kept."""
    answer = aws.read("ssm", "get_parameters", Names=list(names), WithDecryption=False)
    return {str(one["Name"]): int(one.get("Version", 1)) for one in answer.get("Parameters") or ()}


def _secret(aws: Aws, name: str, owner: str | None) -> str:
    found = aws.read("secretsmanager", "describe_secret", SecretId=name)
    if found.get("DeletedDate"):
        raise CloudError(
            call="secretsmanager:DescribeSecret", reason=f"secret {name} is to be deleted"
        )
    return "there"


_LOOKS: Mapping[str, Callable[[Aws, str, str | None], str]] = {
    "bucket": _bucket,
    "table": _table,
    "queue": _queue,
    "topic": _topic,
    "parameter": _parameter,
    "secret": _secret,
}
