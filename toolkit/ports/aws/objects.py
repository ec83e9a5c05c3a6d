"""Many objects of one bucket: listed, put, copied and deleted. One thread makes one call at a time;
`parallel.py` has several of them.
"""

import base64
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from toolkit import errors
from toolkit.ports import usage
from toolkit.ports.aws.client import Aws, ObjectSender
from toolkit.ports.aws.s3 import parse_date

MOST_DELETED = 1000
"""How many objects one call deletes."""
IN_MEMORY = 1 << 20
"""Bytes of a file that are read at once; a larger one is read while it is sent."""
_HEADERS = {
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentType": "Content-Type",
}
_ETAG = re.compile(rb"<ETag>([^<]+)</ETag>")
_UNMET = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "412", "409"))


class Objects:
    """The objects below a prefix of a bucket. `owner` is the account that has to own it, None if
    that is not known. Keys are without the prefix.
    """

    def __init__(self, aws: Aws, bucket: str, prefix: str, owner: str | None) -> None:
        self._aws, self.bucket, self.prefix = aws, bucket, prefix
        self._common: dict[str, Any] = {"Bucket": bucket}
        self._owner: dict[str, str] = {}
        if owner:
            self._common["ExpectedBucketOwner"] = owner
            self._owner = {"x-amz-expected-bucket-owner": owner}

    @cached_property
    def _sender(self) -> ObjectSender | None:
        return self._aws.sender(self.bucket)

    def address(self, key: str) -> str:
        """The address of an object, for people."""
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def etags(self) -> dict[str, str]:
        """Key -> etag of all objects. Raises CloudError."""
        listing = self._sent_listing()
        if listing is not None:
            return listing
        with self._explained():
            listed = self._aws.pages(
                "s3", "list_objects_v2", "Contents", **self._common, Prefix=self.prefix
            )
            start = len(self.prefix)
            return {str(item["Key"])[start:]: str(item.get("ETag", "")) for item in listed}

    def _sent_listing(self) -> dict[str, str] | None:
        """The same without all that a call does besides, which takes ten times the processor time;
        None for anything but a success.
        """
        sender = self._sender
        etags: dict[str, str] = {}
        token = ""
        while sender is not None:
            query = {"list-type": "2", "encoding-type": "url", "prefix": self.prefix}
            if token:
                query["continuation-token"] = token
            page = sender.listing(query, self._owner)
            if page is None:
                return None
            try:
                more = _read_page(page, len(self.prefix), etags)
            except (ElementTree.ParseError, _WrongPage):
                return None
            if more is None:
                return etags
            token = more
        return None

    def put(
        self, key: str, body: bytes | IO[bytes], size: int, digest: str, headers: Mapping[str, str]
    ) -> str:
        """Put an object there; its etag. `digest` is the SHA-256 of its content in hexadecimal: S3
        refuses anything else. `headers` are parameters of PutObject. Raises CloudError.
        """
        checksum = base64.b64encode(bytes.fromhex(digest)).decode()
        if isinstance(body, bytes) and self._sender is not None:
            sent = {
                **self._owner,
                **_http_headers(headers),
                "x-amz-checksum-sha256": checksum,
                "Content-Length": str(size),
            }
            answered = self._sender.put(self.prefix + key, sent, body)
            if answered is not None and answered[0]:
                usage.sent(size)
                return answered[0]
        with self._explained():
            # The same content under the same key: a second attempt changes nothing.
            answer = self._aws.write(
                "s3",
                "put_object",
                True,
                **self._common,
                Key=self.prefix + key,
                Body=body,
                ContentLength=size,
                ChecksumSHA256=checksum,
                **headers,
            )
        usage.sent(size)
        return str(answer["ETag"])

    def copy(self, source: str, etag: str, key: str, headers: Mapping[str, str]) -> str | None:
        """Copy an object that still has this etag, with other headers; the copy's etag, None if it
        has another one or is gone. Raises CloudError.
        """
        if (copied := self._sent_copy(source, etag, key, headers)) is not None:
            return copied
        whose = {}
        if "ExpectedBucketOwner" in self._common:
            whose = {"ExpectedSourceBucketOwner": self._common["ExpectedBucketOwner"]}
        try:
            with self._explained():
                answer = self._aws.write(
                    "s3",
                    "copy_object",
                    True,
                    **self._common,
                    **whose,
                    Key=self.prefix + key,
                    CopySource={"Bucket": self.bucket, "Key": self.prefix + source},
                    CopySourceIfMatch=etag,
                    MetadataDirective="REPLACE",
                    **headers,
                )
        except errors.CloudError as problem:
            if problem.aws_code in (*_UNMET, "NoSuchKey", "404"):
                return None
            raise
        return str(answer["CopyObjectResult"]["ETag"])

    def _sent_copy(
        self, source: str, etag: str, key: str, headers: Mapping[str, str]
    ) -> str | None:
        """The same without all that a call does besides; None for anything but a success."""
        if self._sender is None:
            return None
        sent = {
            **self._owner,
            **_http_headers(headers),
            "x-amz-copy-source": quote(f"{self.bucket}/{self.prefix}{source}", safe="/~"),
            "x-amz-copy-source-if-match": etag,
            "x-amz-metadata-directive": "REPLACE",
            "Content-Length": "0",
        }
        if self._owner:
            owner = self._owner["x-amz-expected-bucket-owner"]
            sent["x-amz-source-expected-bucket-owner"] = owner
        answered = self._sender.put(self.prefix + key, sent, b"")
        # A copy that fails on the way answers as if it had not.
        if answered is None or b"<Error>" in answered[1]:
            return None
        found = _ETAG.search(answered[1])
        return None if found is None else html.unescape(found[1].decode())

    def body(self, key: str, most: int) -> tuple[bytes, str] | None:
        """At most `most` and one more bytes of an object, and its etag; None if there is none.
        Raises CloudError.
        """
        try:
            with self._explained():
                answer, body = self._aws.streamed(
                    "s3", "get_object", most + 1, **self._common, Key=self.prefix + key
                )
        except errors.CloudError as problem:
            if problem.aws_code in ("NoSuchKey", "404"):
                return None
            raise
        return body, str(answer["ETag"])

    def age_s(self, key: str) -> float | None:
        """How long ago an object was written, in seconds by S3's own clock; None if there is none.
        Raises CloudError.
        """
        try:
            with self._explained():
                answer = self._aws.read("s3", "head_object", **self._common, Key=self.prefix + key)
        except errors.CloudError as problem:
            if problem.aws_code in ("NoSuchKey", "NotFound", "404"):
                return None
            raise
        now = parse_date(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - answer["LastModified"]).total_seconds())

    def replace(self, key: str, body: bytes, etag: str | None) -> str | None:
        """Write a document over the one with this etag, or where there is none if that is None; the
        new etag. None if somebody else was faster. Raises CloudError.
        """
        condition = {"IfNoneMatch": "*"}
        if etag is not None:
            condition = {"IfMatch": etag}
        try:
            with self._explained():
                answer = self._aws.write(
                    "s3",
                    "put_object",
                    True,
                    **self._common,
                    **condition,
                    Key=self.prefix + key,
                    Body=body,
                    ContentType="application/json",
                    CacheControl="no-store",
                )
        except errors.CloudError as problem:
            if problem.aws_code in (*_UNMET, "NoSuchKey", "404"):
                return None
            raise
        return str(answer["ETag"])

    def write(self, key: str, body: bytes) -> None:
        """Write a document, whatever was there before. Raises CloudError."""
        with self._explained():
            self._aws.write(
                "s3",
                "put_object",
                True,
                **self._common,
                Key=self.prefix + key,
                Body=body,
                ContentType="application/json",
                CacheControl="no-store",
            )

    def delete(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """Delete at most MOST_DELETED objects; those that S3 has refused, each with the code.

        Raises CloudError.
        """
        listed = [{"Key": self.prefix + key} for key in keys]
        with self._explained():
            answer = self._aws.write(
                "s3",
                "delete_objects",
                True,
                **self._common,
                Delete={"Objects": listed, "Quiet": True},
            )
        return [
            (str(entry.get("Key", ""))[len(self.prefix) :], str(entry.get("Code", "")))
            for entry in answer.get("Errors") or ()
        ]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Names the bucket where AWS's own message does not."""
        try:
            yield
        except errors.NotAllowed as problem:
            if problem.facts["resource"] != "*":
                raise
            denied = errors.NotAllowed(
                problem.facts["action"],
                f"s3://{self.bucket}/{self.prefix}*",
                problem.facts["denied"],
            )
            denied.aws_code = problem.aws_code
            raise denied from None
        except errors.CloudError as problem:
            if problem.aws_code == "NoSuchBucket":
                raise errors.Missing(what="bucket", name=self.bucket, where="") from None
            raise


class _WrongPage(Exception):
    """A page of a list is not as S3 writes them."""


def _read_page(page: bytes, start: int, etags: dict[str, str]) -> str | None:
    """Take in a page of a bucket's list; how the next one is asked for, None after the last.
    `start` is how many characters of each key are left out. Raises ParseError, _WrongPage.
    """
    root = ElementTree.fromstring(page)  # noqa: S314 (as botocore reads the same answer)
    space = root.tag.removesuffix("ListBucketResult")
    encoded = root.findtext(f"{space}EncodingType") == "url"
    cut, token = root.findtext(f"{space}IsTruncated"), None
    if root.tag == space or cut not in ("true", "false"):
        raise _WrongPage
    for item in root.iterfind(f"{space}Contents"):
        key = item.findtext(f"{space}Key")
        if not key:
            raise _WrongPage
        if encoded:
            key = unquote_plus(key)
        etags[key[start:]] = item.findtext(f"{space}ETag") or ""
    if cut == "true":
        token = root.findtext(f"{space}NextContinuationToken")
        if not token:
            raise _WrongPage
    return token


def _http_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Parameters of PutObject as the headers that they are sent as."""
    return {_HEADERS[name]: value for name, value in headers.items()}


def batches(keys: Iterable[str]) -> Iterator[list[str]]:
    """Keys in as many as one call deletes."""
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == MOST_DELETED:
            yield batch
            batch = []
    if batch:
        yield batch
