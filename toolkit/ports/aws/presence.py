"""Checks that something exists in AWS: one call each, or one for several where AWS allows it."""

from collections.abc import Callable, Mapping, Sequence

from toolkit.errors import CloudError, Missing
from toolkit.operations import ProvisionKind
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
    """A few words on the state of something that exists. Raises Missing, CloudError; KeyError for
    an unknown type.
    """
    try:
        return _LOOKS[what](aws, name, owner)
    except CloudError as problem:
        if problem.aws_code in _GONE:
            raise _missing(aws, what, name) from None
        raise


def _missing(aws: Aws, what: str, name: str) -> Missing:
    return Missing(
        what=what, name=name, where="" if what == ProvisionKind.BUCKET else f" in {aws.region_name}"
    )


def _bucket(aws: Aws, name: str, owner: str | None) -> str:
    of = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        aws.read("s3", "head_bucket", Bucket=name, **of)
    except CloudError as problem:
        if problem.aws_code != "400":
            raise
        # The answer to a HEAD has no body to say why, such as expired credentials: this one has.
        aws.read("s3", "list_objects_v2", Bucket=name, MaxKeys=1, **of)
    return "there"


def _table(aws: Aws, name: str, owner: str | None) -> str:
    status = str(aws.read("dynamodb", "describe_table", TableName=name)["Table"]["TableStatus"])
    if status not in ("ACTIVE", "UPDATING"):
        raise CloudError(call="dynamodb:DescribeTable", reason=f"table {name} is {status}")
    return status.lower()


def _queue(aws: Aws, name: str, owner: str | None) -> str:
    of = {"QueueOwnerAWSAccountId": owner} if owner else {}
    url = aws.read("sqs", "get_queue_url", QueueName=name, **of)["QueueUrl"]
    answer = aws.read(
        "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    waiting = (answer.get("Attributes") or {}).get("ApproximateNumberOfMessages", "0")
    return f"{waiting} messages waiting"


def _topic(aws: Aws, name: str, owner: str | None) -> str:
    """No call finds a topic by its name, so all topics are listed, once for all checks."""
    if not aws.gathered("sns:ListTopics", name, 1000, lambda names: _topics(aws)):
        raise _missing(aws, "topic", name)
    return "there"


def _topics(aws: Aws) -> Mapping[str, bool]:
    return {
        str(topic["TopicArn"]).rpartition(":")[2]: True
        for topic in aws.pages("sns", "list_topics", "Topics")
    }


def _parameter(aws: Aws, name: str, owner: str | None) -> str:
    version = aws.gathered(
        "ssm:GetParameters", name, PARAMETERS_A_CALL, lambda names: _parameters(aws, names)
    )
    if not version:
        raise _missing(aws, "parameter", name)
    return f"version {version}"


def _parameters(aws: Aws, names: Sequence[str]) -> Mapping[str, int]:
    """The versions; values are not decrypted, and not kept."""
    answer = aws.read("ssm", "get_parameters", Names=list(names), WithDecryption=False)
    parameters = answer.get("Parameters") or ()
    return {str(each["Name"]): int(each.get("Version", 1)) for each in parameters}


def _secret(aws: Aws, name: str, owner: str | None) -> str:
    if aws.read("secretsmanager", "describe_secret", SecretId=name).get("DeletedDate"):
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
