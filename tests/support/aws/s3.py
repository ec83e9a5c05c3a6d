"""S3: objects with conditional writes. The times are the endpoint's clock."""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.support.aws.wire import AwsError

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint

KEPT = ("ContentType", "CacheControl", "ContentEncoding", "ContentDisposition", "ContentLanguage")


@dataclass
class Object:
    """Content, its ETag with quotes, and what was said of it."""

    body: bytes
    etag: str
    modified: datetime
    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Bucket:
    """Objects by key. `owner` is an account."""

    name: str
    owner: str
    region: str
    objects: dict[str, Object] = field(default_factory=dict)


class S3:
    """Buckets by name. `conflicts` is how many of the next conditional writes meet another one at
    the same moment (409).
    """

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint = endpoint
        self.buckets: dict[str, Bucket] = {}
        self.conflicts = 0

    # For tests

    def bucket(self, name: str, owner: str | None = None) -> Bucket:
        """A bucket, made on first use; of the endpoint's account if nobody is named."""
        if name not in self.buckets:
            self.buckets[name] = Bucket(
                name, owner or self._endpoint.account, self._endpoint.region
            )
        return self.buckets[name]

    def put(self, bucket: str, key: str, body: bytes, **headers: str) -> Object:
        """An object that was there before."""
        created = Object(
            body, f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"', self._now(), headers
        )
        self.bucket(bucket).objects[key] = created
        return created

    # Operations

    def create_bucket(self, params: dict[str, Any]) -> dict[str, Any]:
        """CreateBucket."""
        if params["Bucket"] in self.buckets:
            words = (
                "Your previous request to create the named bucket succeeded and you already own it."
            )
            raise AwsError("BucketAlreadyOwnedByYou", words, 409)
        self.bucket(params["Bucket"])
        return {"Location": "/" + params["Bucket"]}

    def list_buckets(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListBuckets with BucketRegion. It says regions only where something is asked for."""
        region = params.get("BucketRegion")
        return {
            "Buckets": [
                {"Name": bucket.name, **({"BucketRegion": bucket.region} if params else {})}
                for bucket in self.buckets.values()
                if bucket.owner == self._endpoint.account and region in (None, bucket.region)
            ]
        }

    def head_bucket(self, params: dict[str, Any]) -> dict[str, Any]:
        """HeadBucket."""
        return {"BucketRegion": self._bucket(params).region}

    def get_bucket_location(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetBucketLocation."""
        return {"LocationConstraint": self._bucket(params).region}

    def put_object(self, params: dict[str, Any]) -> dict[str, Any]:
        """PutObject with IfNoneMatch=* and IfMatch."""
        bucket, key, body = self._bucket(params), params["Key"], params.get("Body", b"")
        self._conditions(bucket, params)
        self._checked(params, body)
        created = self.put(
            bucket.name, key, body, **{name: params[name] for name in KEPT if name in params}
        )
        created.metadata = dict(params.get("Metadata", {}))
        sums = {
            name: value
            for name, value in params.items()
            if name.startswith("Checksum") and name != "ChecksumAlgorithm"
        }
        return {"ETag": created.etag, **sums}

    def get_object(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetObject, also a range, IfMatch and IfNoneMatch."""
        result = self._object(params)
        body, more = result.body, {}
        if "Range" in params:
            first, _, last = params["Range"].removeprefix("bytes=").partition("-")
            end = min(int(last), len(body) - 1) if last else len(body) - 1
            more["ContentRange"] = f"bytes {first}-{end}/{len(body)}"
            body = body[int(first) : end + 1]
        return {"Body": body, **self._said(result), "ContentLength": len(body), **more}

    def head_object(self, params: dict[str, Any]) -> dict[str, Any]:
        """HeadObject."""
        return self._said(self._object(params))

    def delete_object(self, params: dict[str, Any]) -> dict[str, Any]:
        """DeleteObject, also with IfMatch."""
        bucket = self._bucket(params)
        self._conditions(bucket, params)
        bucket.objects.pop(params["Key"], None)
        return {}

    def delete_objects(self, params: dict[str, Any]) -> dict[str, Any]:
        """DeleteObjects."""
        bucket = self._bucket(params)
        keys = [each["Key"] for each in params["Delete"]["Objects"]]
        for key in keys:
            bucket.objects.pop(key, None)
        return {} if params["Delete"].get("Quiet") else {"Deleted": [{"Key": key} for key in keys]}

    def copy_object(self, params: dict[str, Any]) -> dict[str, Any]:
        """CopyObject within the endpoint."""
        source = params["CopySource"]
        name, _, key = (
            (f"{source['Bucket']}/{source['Key']}" if isinstance(source, dict) else unquote(source))
            .lstrip("/")
            .partition("/")
        )
        condition = {}
        if "CopySourceIfMatch" in params:
            condition["IfMatch"] = params["CopySourceIfMatch"]
        result = self._object({"Bucket": name, "Key": key, **condition})
        replaced = params.get("MetadataDirective") == "REPLACE"
        headers = (
            {each: params[each] for each in KEPT if each in params} if replaced else result.headers
        )
        created = self.put(self._bucket(params).name, params["Key"], result.body, **headers)
        created.metadata = dict(params.get("Metadata", {})) if replaced else dict(result.metadata)
        return {"CopyObjectResult": {"ETag": created.etag, "LastModified": created.modified}}

    def list_objects_v2(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListObjectsV2 with prefix, delimiter and pages."""
        bucket, prefix, most = (
            self._bucket(params),
            params.get("Prefix", ""),
            int(params.get("MaxKeys", 1000)),
        )
        after = params.get("ContinuationToken") or params.get("StartAfter", "")
        delimiter = params.get("Delimiter", "")
        contents: list[dict[str, Any]] = []
        folders: list[str] = []
        last = ""
        for key in sorted(key for key in bucket.objects if key.startswith(prefix) and key > after):
            folder = (
                prefix + key[len(prefix) :].split(delimiter)[0] + delimiter
                if delimiter and delimiter in key[len(prefix) :]
                else ""
            )
            if folder and folder in folders:
                last = key
                continue
            if len(contents) + len(folders) == most:
                break
            last = key
            if folder:
                folders.append(folder)
            else:
                result = bucket.objects[key]
                contents.append(
                    {
                        "Key": key,
                        "LastModified": result.modified,
                        "ETag": result.etag,
                        "Size": len(result.body),
                    }
                )
        cut = (
            any(key > last for key in bucket.objects if key.startswith(prefix))
            and len(contents) + len(folders) == most
        )
        answer: dict[str, Any] = {
            "Name": bucket.name,
            "Prefix": prefix,
            "KeyCount": len(contents) + len(folders),
            "IsTruncated": cut,
        }
        answer |= {"MaxKeys": most} | ({"NextContinuationToken": last} if cut else {})
        answer |= {"Contents": contents} if contents else {}
        return answer | (
            {"CommonPrefixes": [{"Prefix": folder} for folder in folders]} if folders else {}
        )

    def _now(self) -> datetime:
        return self._endpoint.clock.now().replace(microsecond=0)

    def _bucket(self, params: dict[str, Any]) -> Bucket:
        bucket = self.buckets.get(params["Bucket"])
        if bucket is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        expected = params.get("ExpectedBucketOwner")
        if bucket.owner != self._endpoint.account or expected not in (None, bucket.owner):
            raise AwsError("AccessDenied", "Access Denied", 403)
        return bucket

    def _object(self, params: dict[str, Any]) -> Object:
        result = self._bucket(params).objects.get(params["Key"])
        if result is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        if params.get("IfMatch") not in (None, result.etag, result.etag.strip('"')):
            raise _unmet()
        if params.get("IfNoneMatch") in (result.etag, result.etag.strip('"')):
            raise AwsError("304", "Not Modified", 304)
        return result

    def _conditions(self, bucket: Bucket, params: dict[str, Any]) -> None:
        """Raises AwsError where a conditional write must not be."""
        if "IfMatch" not in params and "IfNoneMatch" not in params:
            return
        result = bucket.objects.get(params["Key"])
        if self.conflicts > 0:
            self.conflicts -= 1
            words = (
                "The conditional request cannot succeed due to a conflicting operation against this"
                " resource."
            )
            raise AwsError("ConditionalRequestConflict", words, 409)
        if "IfNoneMatch" in params and result is not None:
            raise _unmet()
        if "IfMatch" in params and result is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        if (
            "IfMatch" in params
            and result is not None
            and params["IfMatch"].strip('"') != result.etag.strip('"')
        ):
            raise _unmet()

    def _checked(self, params: dict[str, Any], body: bytes) -> None:
        sums = {
            "ChecksumSHA256": hashlib.sha256(body).digest(),
            "ContentMD5": hashlib.md5(body, usedforsecurity=False).digest(),
        }
        if any(
            name in params and params[name] != base64.b64encode(right).decode()
            for name, right in sums.items()
        ):
            raise AwsError(
                "BadDigest", "The checksum you specified did not match what we received."
            )

    def _said(self, result: Object) -> dict[str, Any]:
        document = {
            "ETag": result.etag,
            "LastModified": result.modified,
            "ContentLength": len(result.body),
            **result.headers,
        }
        return document | ({"Metadata": result.metadata} if result.metadata else {})


def _unmet() -> AwsError:
    return AwsError(
        "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412
    )
