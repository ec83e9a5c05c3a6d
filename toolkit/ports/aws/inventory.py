"""What runs in an account and region, as lists: services, stacks, functions, buckets and what is
behind distributions. It only reads. Environments of functions are left out, since they may be
secret.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.ports.aws import ecs
from toolkit.ports.aws.client import Aws

MOST_KEYS = 200
"""The most objects of a bucket whose names are read."""


class ListedFunction(Struct, frozen=True):
    """A Lambda function. `code_size` are the bytes of its package, 0 of an image."""

    name: str
    arn: str
    handler: str
    code_size: int
    is_image: bool


def service_names(aws: Aws) -> Iterator[tuple[str, str]]:
    """Cluster and name of every service. Raises CloudError."""
    for cluster_arn in aws.pages("ecs", "list_clusters", "clusterArns"):
        cluster = str(cluster_arn).rpartition("/")[2]
        for arn in aws.pages("ecs", "list_services", "serviceArns", cluster=cluster):
            yield cluster, str(arn).rpartition("/")[2]


def service_images(aws: Aws, cluster: str, name: str) -> Mapping[str, str]:
    """Container -> image of the task definition of a service. Raises CloudError."""
    arn = str((ecs.service(aws, cluster, name) or {}).get("taskDefinition") or "")
    definition = (ecs.definition(aws, arn) if arn else None) or {}
    return {
        str(each.get("name", "")): str(each.get("image", ""))
        for each in definition.get("containerDefinitions") or ()
    }


def stack_names(aws: Aws) -> Iterator[str]:
    """The stacks that stand for themselves: those inside of others, and those that were never made
    or are deleted, are left out. Raises CloudError.
    """
    for stack in aws.pages("cloudformation", "describe_stacks", "Stacks"):
        status = str(stack.get("StackStatus", ""))
        if not stack.get("ParentId") and status not in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
            yield str(stack["StackName"])


def functions(aws: Aws) -> Iterator[ListedFunction]:
    """All functions. Raises CloudError."""
    for answer in aws.pages("lambda", "list_functions", "Functions"):
        yield ListedFunction(
            str(answer["FunctionName"]),
            str(answer.get("FunctionArn", "")),
            str(answer.get("Handler") or ""),
            int(answer.get("CodeSize") or 0),
            answer.get("PackageType") == "Image",
        )


def function_image(aws: Aws, name: str) -> str:
    """The image of a function, with its tag or digest; empty if it has none. Raises CloudError."""
    code = aws.read("lambda", "get_function", FunctionName=name).get("Code") or {}
    return str(code.get("ImageUri") or "")


def function_owner(aws: Aws, arn: str) -> tuple[str, str]:
    """The stack that a function belongs to, and its name in the template; empty if it belongs to
    none. Raises CloudError.
    """
    tags = aws.read("lambda", "list_tags", Resource=arn).get("Tags") or {}
    return (
        str(tags.get("aws:cloudformation:stack-name", "")),
        str(tags.get("aws:cloudformation:logical-id", "")),
    )


def object_size(aws: Aws, bucket: str, key: str) -> int | None:
    """The bytes of an object; None if there is none. Raises CloudError."""
    try:
        return int(aws.read("s3", "head_object", Bucket=bucket, Key=key)["ContentLength"])
    except CloudError as problem:
        if problem.aws_code in ("404", "NoSuchKey", "NotFound", "NoSuchBucket"):
            return None
        raise


def buckets(aws: Aws) -> Iterator[str]:
    """The buckets of the account in this region. Raises CloudError."""
    # S3 says where a bucket is only to those who ask for something.
    answer = aws.read("s3", "list_buckets", BucketRegion=aws.region_name)
    for bucket in answer.get("Buckets") or ():
        if bucket.get("BucketRegion") in (None, aws.region_name):
            yield str(bucket["Name"])


def object_keys(aws: Aws, bucket: str) -> tuple[str, ...]:
    """The first names of objects in a bucket. Raises CloudError."""
    answer = aws.read("s3", "list_objects_v2", Bucket=bucket, MaxKeys=MOST_KEYS)
    return tuple(str(each["Key"]) for each in answer.get("Contents") or ())


def origins(aws: Aws) -> Iterator[tuple[str, str]]:
    """The distributions, each with the hosts that it takes files from. Raises CloudError."""
    where: dict[str, Any] = {}
    while True:
        listed = aws.read("cloudfront", "list_distributions", **where)["DistributionList"]
        for each in listed.get("Items") or ():
            for origin in (each.get("Origins") or {}).get("Items") or ():
                yield str(each["Id"]), str(origin.get("DomainName", ""))
        if not listed.get("IsTruncated") or not listed.get("NextMarker"):
            return
        where = {"Marker": listed["NextMarker"]}
