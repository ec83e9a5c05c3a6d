"""A bucket as a store of small shared files: reads with the server's time, and conditional
writes.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit import errors
from toolkit.ports.aws.client import Aws

_ADDRESS = re.compile(r"s3://(?P<bucket>[^/]+)(?:/(?P<prefix>.*?))?/*")
_TOO_LATE = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "412", "409"))
_GONE = frozenset(("NoSuchKey", "404", "NotFound"))


def region(aws: Aws, bucket: str, owner: str | None) -> str | None:
    """The region of a bucket; None if there is none. `owner` is the account that has to own it,
    None if that is not known.

    Raises NotAllowed also for a bucket of somebody else, CloudError with the code 301 for one in a
    region that S3 does not name.
    """
    answer = _head(aws, "head_bucket", bucket, owner)
    return None if answer is None else str(answer.get("BucketRegion") or aws.region_name)


def modified(aws: Aws, bucket: str, owner: str | None, key: str) -> datetime | None:
    """When an object was written, by the server's time; None if there is no such object or bucket.
    Raises CloudError.
    """
    answer = _head(aws, "head_object", bucket, owner, Key=key)
    return None if answer is None else answer["LastModified"]


def _head(
    aws: Aws, operation: str, bucket: str, owner: str | None, **more: str
) -> dict[str, Any] | None:
    whose = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        return aws.read("s3", operation, Bucket=bucket, **whose, **more)
    except errors.CloudError as problem:
        if problem.aws_code in (*_GONE, "NoSuchBucket"):
            return None
        raise


class StoredObject(Struct, frozen=True):
    """An object. `modified` and `now` are both the server's time, so that their difference is right
    on any machine.
    """

    body: bytes
    etag: str
    modified: datetime
    now: datetime


class Bucket:
    """The objects below `s3://bucket/prefix`. `owner` is the account that has to own the bucket,
    None if that is not known.
    """

    def __init__(self, aws: Aws, address: str, owner: str | None = None) -> None:
        parts = _ADDRESS.fullmatch(address)
        if parts is None:
            raise errors.Refused(
                f"{address} is not an address of a store", "write it as s3://bucket/prefix"
            )
        self._aws, self._name = aws, parts["bucket"]
        self._prefix = f"{parts['prefix']}/" if parts["prefix"] else ""
        self._common: dict[str, Any] = {"Bucket": self._name}
        if owner:
            self._common["ExpectedBucketOwner"] = owner

    def address(self, key: str) -> str:
        """The address of an object."""
        return f"s3://{self._name}/{self._prefix}{key}"

    def get(self, key: str, most: int) -> StoredObject | None:
        """An object with at most `most` and one more of its bytes; None if there is none. Raises
        CloudError.
        """
        try:
            answer, body = self._aws.streamed(
                "s3", "get_object", most + 1, **self._common, Key=self._prefix + key
            )
        except errors.CloudError as problem:
            if problem.aws_code in _GONE:
                return None
            raise self._explained(problem) from None
        now = parse_date(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return StoredObject(body, str(answer["ETag"]), answer["LastModified"], now)

    def put(self, key: str, body: bytes, match: str | None, patient: bool = True) -> str | None:
        """Write an object over the one with the etag `match`, or where there is none if that is
        None; the new etag.

        None if the condition does not hold; also if it did, and only the answer to the first of
        several attempts was lost: look who wrote it. `patient` allows several attempts. Raises
        CloudError.
        """
        condition = {"IfNoneMatch": "*"} if match is None else {"IfMatch": match}
        try:
            answer = self._aws.write(
                "s3",
                "put_object",
                patient,
                **self._common,
                **condition,
                Key=self._prefix + key,
                Body=body,
                ContentType="application/json",
            )
        except errors.CloudError as problem:
            if problem.aws_code in _TOO_LATE or problem.aws_code in _GONE:
                return None
            raise self._explained(problem) from None
        return str(answer["ETag"])

    def now(self) -> datetime:
        """The time by the server's clock. Raises CloudError."""
        try:
            answer = self._aws.read(
                "s3", "list_objects_v2", **self._common, Prefix=self._prefix, MaxKeys=1
            )
        except errors.CloudError as problem:
            raise self._explained(problem) from None
        return parse_date(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def delete(self, key: str, match: str) -> bool:
        """Delete an object if it still has this etag; whether it had. Raises CloudError."""
        try:
            self._aws.write(
                "s3", "delete_object", True, **self._common, IfMatch=match, Key=self._prefix + key
            )
        except errors.CloudError as problem:
            if problem.aws_code in _TOO_LATE or problem.aws_code in _GONE:
                return False
            raise self._explained(problem) from None
        return True

    def keys(self, below: str) -> Iterator[str]:
        """The keys that begin with `below`. Raises CloudError."""
        try:
            for item in self._aws.pages(
                "s3", "list_objects_v2", "Contents", **self._common, Prefix=self._prefix + below
            ):
                yield str(item["Key"]).removeprefix(self._prefix)
        except errors.CloudError as problem:
            raise self._explained(problem) from None

    def listed(self, below: str) -> Iterator[tuple[str, str]]:
        """The keys that begin with `below`, each with its object's etag. Raises CloudError."""
        try:
            for item in self._aws.pages(
                "s3", "list_objects_v2", "Contents", **self._common, Prefix=self._prefix + below
            ):
                yield str(item["Key"]).removeprefix(self._prefix), str(item.get("ETag", ""))
        except errors.CloudError as problem:
            raise self._explained(problem) from None

    def _explained(self, problem: errors.CloudError) -> errors.ToolkitError:
        """The error for this bucket, where AWS's own message does not name it."""
        if problem.aws_code == "NoSuchBucket":
            return errors.Missing(what="bucket", name=self._name, where="")
        if problem.aws_code == "NotImplemented":
            return self.unfit()
        if isinstance(problem, errors.NotAllowed) and problem.facts["resource"] == "*":
            denied = errors.NotAllowed(
                problem.facts["action"],
                f"s3://{self._name}/{self._prefix}*",
                problem.facts["denied"],
            )
            denied.aws_code = problem.aws_code
            return denied
        return problem

    def unfit(self) -> errors.Refused:
        """The error for a store without conditional writes: a lock in it would lock nothing."""
        return errors.Refused(
            f"the store s3://{self._name} does not do conditional writes",
            "use a bucket of Amazon S3, or leave `store` out of rules.toml",
        )


def parse_date(text: str) -> datetime:
    """The time in an HTTP header."""
    from email.utils import parsedate_to_datetime  # it loads half a mail program

    return parsedate_to_datetime(text)
