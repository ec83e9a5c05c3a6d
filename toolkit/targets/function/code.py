"""What the code of a function comes from, and how Lambda is given it."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from msgspec import Struct

from toolkit.artifacts import packages
from toolkit.artifacts.packages import Package
from toolkit.errors import CloudError, Missing, Refused
from toolkit.operations import Job, PlannedCall
from toolkit.ports import files, usage
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import Function
from toolkit.ports.aws.names import bucket_and_prefix
from toolkit.ports.ports import Ports
from toolkit.targets.function.marks import content_mark
from toolkit.targets.function.settings import S3Object


class StoredCode(Struct, frozen=True):
    """Where in S3 a package is, or goes."""

    bucket: str
    key: str
    version: str = ""

    @property
    def request(self) -> dict[str, str]:
        """How UpdateFunctionCode is given it."""
        request = {"S3Bucket": self.bucket, "S3Key": self.key}
        if self.version:
            request["S3ObjectVersion"] = self.version
        return request


class Upload(Struct, frozen=True):
    """A package that is too large to be sent: where it goes, its file, and its size in bytes."""

    place: StoredCode
    file: BinaryIO
    size: int

    @property
    def call(self) -> PlannedCall:
        """The call that brings it there."""
        return PlannedCall("s3:PutObject", {"bucket": self.place.bucket, "key": self.place.key})


class Code(Struct, frozen=True):
    """Code that can be deployed. `content` is the mark of what is in it; `request` gives the
    parameters of UpdateFunctionCode that say which code; `sha256` is the digest that Lambda will
    have of it, empty where only Lambda knows.
    """

    content: str
    request: Callable[[], Mapping[str, Any]]
    sha256: str = ""
    package: Package | None = None
    upload: Upload | None = None


@contextmanager
def packed(job: Job, ports: Ports, folder: str, check: Callable[[], None]) -> Iterator[Code]:
    """A folder of the repository as code. Raises Refused, FileProblem."""
    path = os.path.join(ports.root, files.within(ports.root, folder))
    if not os.path.isdir(path):
        raise Refused(
            f"the folder {folder} of {job.target} does not exist",
            "build it first, or correct its name in rules.toml",
        )
    with tempfile.TemporaryFile() as file:
        package = packages.pack(path, file, check)
        content = content_mark(package.content)
        if package.size <= packages.MOST_DIRECT:
            yield Code(content, partial(_whole, file), package.sha256, package)
            return
        place = _place(job, package)
        upload = Upload(place, file, package.size)
        yield Code(content, partial(_stored, place), package.sha256, package, upload)


def _whole(file: BinaryIO) -> dict[str, Any]:
    file.seek(0)
    return {"ZipFile": file.read()}


def _stored(place: StoredCode) -> dict[str, Any]:
    return dict(place.request)


def _place(job: Job, package: Package) -> StoredCode:
    """Where a package goes that is too large to be sent. Raises Refused."""
    if not job.location.store:
        raise Refused(
            f"the package of {job.target} has {package.size >> 20} MB, and only"
            f" {packages.MOST_DIRECT >> 20} MB can be sent without a bucket",
            'add `store = "s3://bucket/prefix"` to the environment in rules.toml',
        )
    bucket, prefix = bucket_and_prefix(job.location.store)
    digest = packages.hexadecimal(package.sha256)
    return StoredCode(bucket, f"{prefix}functions/{digest}.zip")


def existing_object(named: S3Object, aws: Aws) -> Code:
    """The object of `s3`. Raises Missing."""
    version = {"VersionId": named.version} if named.version else {}
    head = _head(aws, named.bucket, named.key, version)
    if head is None:
        where = f" in bucket {named.bucket}"
        raise Missing(what="object", name=named.key, where=where)
    number = str(head.get("VersionId") or "")
    if number == "null":  # it was written before the bucket had versions
        number = ""
    which = number or str(head["ETag"])
    content = hashlib.sha256(f"s3\0{named.bucket}\0{named.key}\0{which}".encode()).hexdigest()
    place = StoredCode(named.bucket, named.key, number)
    return Code(content_mark(content), partial(_stored, place))


def _head(aws: Aws, bucket: str, key: str, more: Mapping[str, str]) -> Mapping[str, Any] | None:
    try:
        return aws.read("s3", "head_object", Bucket=bucket, Key=key, **more)
    except CloudError as problem:
        if problem.aws_code in ("404", "NoSuchKey", "NotFound", "NoSuchBucket"):
            return None
        raise


def is_uploaded(aws: Aws, upload: Upload, account: str) -> bool:
    """Whether a package is in its bucket; its key is its digest. Raises CloudError."""
    owner = {"ExpectedBucketOwner": account}
    return _head(aws, upload.place.bucket, upload.place.key, owner) is not None


def put(aws: Aws, upload: Upload, account: str) -> None:
    """Put a package into its bucket, if that belongs to the account. Raises CloudError."""
    upload.file.seek(0)
    aws.write(
        "s3",
        "put_object",
        tokened=True,
        Bucket=upload.place.bucket,
        Key=upload.place.key,
        Body=upload.file,
        ContentLength=upload.size,
        ExpectedBucketOwner=account,
    )
    usage.sent(upload.size)


def remarks(code: Code, function: Function) -> list[str]:
    """What a person should know of a package before it is deployed."""
    if code.package is None:
        return []
    lines = []
    if code.package.secrets:
        names = ", ".join(code.package.secrets[:3])
        lines.append(f"the package holds {names}, which may be secret")
    if lacking := _missing_handler(code.package, function):
        lines.append(lacking)
    return lines


_ENDINGS = {"python": (".py", ".pyc", ".so"), "nodejs": (".js", ".mjs", ".cjs")}


def _missing_handler(package: Package, function: Function) -> str:
    """That the handler's file is not in a package, in words; empty if it is, or may be elsewhere:
    in a layer, or in a runtime of one's own.
    """
    language = function.runtime.rstrip("0123456789.x")
    module = function.handler.rpartition(".")[0]
    if language not in _ENDINGS or not module or function.has_layers:
        return ""
    names = [module]
    if language == "python":
        module = module.replace(".", "/")
        names = [module, f"{module}/__init__"]
    for name in package.names:
        if name.startswith(tuple(f"{each}." for each in names)):
            return ""
    first = f"{names[0]}{_ENDINGS[language][0]}"
    return f"the handler {function.handler} needs {first}, which is not in the package"
