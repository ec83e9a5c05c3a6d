"""The registry, the buckets and the logs of the scripted AWS."""

import base64
import json
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.support.aws import Endpoint
from tests.support.aws.boto import client, refused
from tests.support.aws.ecr import MANIFEST, digest_of


class Pusher:
    """Enough of a registry's client to push one image."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._host = endpoint.host
        self._token = client("ecr").get_authorization_token()["authorizationData"][0][
            "authorizationToken"
        ]

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        kind: str = "application/octet-stream",
        token: str | None = None,
    ) -> Any:
        """Status, headers and body."""
        connection = HTTPConnection(self._host, timeout=10)
        try:
            headers = {
                "Authorization": f"Basic {self._token if token is None else token}",
                "Content-Type": kind,
            }
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def blob(self, name: str, content: bytes) -> None:
        """Push content in two requests."""
        status, headers, _ = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert status == 202
        place = headers["Location"].partition(self._host)[2]
        assert self.ask("PATCH", place, content)[0] == 202
        assert self.ask("PUT", f"{place}?digest={digest_of(content)}")[0] == 201

    def manifest(self, name: str, tag: str, layer: bytes, config: bytes = b"{}") -> tuple[int, str]:
        """Push a manifest; status and digest."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"digest": digest_of(config), "size": len(config)},
        }
        text = json.dumps(
            document | {"layers": [{"digest": digest_of(layer), "size": len(layer)}]}
        ).encode()
        return self.ask("PUT", f"/v2/{name}/manifests/{tag}", text, MANIFEST)[0], digest_of(text)


def test_a_real_push_can_be_described_and_pulled(aws_endpoint: Endpoint) -> None:
    aws_endpoint.ecr.repository("team/backend")
    pusher = Pusher(aws_endpoint)
    assert pusher.manifest("team/backend", "v1", b"layer")[0] == 404
    for content in (b"layer", b"{}"):
        pusher.blob("team/backend", content)

    status, digest = pusher.manifest("team/backend", "v1", b"layer")

    assert status == 201
    actual = client("ecr").describe_images(
        repositoryName="team/backend", imageIds=[{"imageTag": "v1"}]
    )["imageDetails"][0]
    assert (actual["imageDigest"], actual["imageTags"], actual["imageSizeInBytes"]) == (
        digest,
        ["v1"],
        7,
    )
    status, headers, body = pusher.ask("GET", "/v2/team/backend/manifests/v1")
    assert (status, headers["Docker-Content-Digest"], digest_of(body)) == (200, digest, digest)
    assert pusher.ask("GET", f"/v2/team/backend/blobs/{digest_of(b'layer')}")[2] == b"layer"
    assert pusher.ask("HEAD", f"/v2/team/backend/blobs/{digest_of(b'none')}")[0] == 404
    assert (
        pusher.ask(
            "POST", f"/v2/team/backend/blobs/uploads/?digest={digest_of(b'other')}", b"layer"
        )[0]
        == 400
    )
    assert aws_endpoint.calls.count("registry:PutManifest") == 2


def test_a_push_without_the_password_is_refused(aws_endpoint: Endpoint) -> None:
    wrong = base64.b64encode(b"AWS:password-of-nowhere").decode()
    status, headers, _ = Pusher(aws_endpoint).ask("GET", "/v2/", token=wrong)

    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Basic realm=")
    assert Pusher(aws_endpoint).ask("GET", "/v2/")[0] == 200


def test_a_push_that_is_cut_leaves_no_blob(aws_endpoint: Endpoint) -> None:
    repository = aws_endpoint.ecr.repository("backend")
    aws_endpoint.fault("registry:PatchUpload", kind="reset")

    with pytest.raises(ConnectionError):
        Pusher(aws_endpoint).blob("backend", b"layer")

    assert repository.blobs == {}
    Pusher(aws_endpoint).blob("backend", b"layer")
    assert list(repository.blobs) == [digest_of(b"layer")]


def test_an_immutable_tag_stays_where_it_is(aws_endpoint: Endpoint) -> None:
    repository = aws_endpoint.ecr.repository("backend", immutable=True)
    first = aws_endpoint.ecr.image("backend", "v1", content="one")
    pusher = Pusher(aws_endpoint)
    for content in (b"layer", b"{}"):
        pusher.blob("backend", content)

    assert pusher.manifest("backend", "v1", b"layer")[0] == 400
    manifest = json.dumps({"schemaVersion": 2, "layers": []})
    again = refused(
        client("ecr").put_image, repositoryName="backend", imageManifest=manifest, imageTag="v1"
    )
    assert again["Code"] == "ImageTagAlreadyExistsException"
    assert repository.found("v1") is first


def test_a_missing_image_is_an_error_of_describe_and_a_failure_of_get(
    aws_endpoint: Endpoint,
) -> None:
    image = aws_endpoint.ecr.image("backend", "v1")
    ecr = client("ecr")
    expected = {"repositoryName": "backend", "imageIds": [{"imageTag": "v2"}]}

    missing = refused(ecr.describe_images, **expected)
    assert missing["Code"] == "ImageNotFoundException"
    assert "imageTag:'v2'" in missing["Message"]
    assert ecr.batch_get_image(**expected)["failures"][0]["failureCode"] == "ImageNotFound"
    assert (
        refused(ecr.describe_images, repositoryName="none")["Code"] == "RepositoryNotFoundException"
    )
    actual = ecr.batch_get_image(
        repositoryName="backend", imageIds=[{"imageDigest": image.digest}]
    )["images"][0]
    assert digest_of(actual["imageManifest"].encode()) == image.digest


def test_a_conditional_write_takes_a_key_once(aws_endpoint: Endpoint) -> None:
    aws_endpoint.s3.bucket("b")
    s3 = client("s3")
    item = {"Bucket": "b", "Key": "lock"}

    etag = s3.put_object(**item, Body=b"a", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, **item, Body=b"b", IfNoneMatch="*") | {"Message": ""} == {
        "Code": "PreconditionFailed",
        "Message": "",
        "status": 412,
    }
    renewed = s3.put_object(**item, Body=b"b", IfMatch=etag)["ETag"]
    assert refused(s3.put_object, **item, Body=b"c", IfMatch=etag)["status"] == 412
    assert refused(s3.delete_object, **item, IfMatch=etag)["status"] == 412
    aws_endpoint.s3.conflicts = 1
    assert (
        refused(s3.put_object, **item, Body=b"c", IfMatch=renewed)["Code"]
        == "ConditionalRequestConflict"
    )
    assert s3.get_object(**item)["Body"].read() == b"b"
    s3.delete_object(**item, IfMatch=renewed)
    assert refused(s3.get_object, **item)["Code"] == "NoSuchKey"
    assert refused(s3.put_object, **item, Body=b"c", IfMatch=renewed)["status"] == 404


def test_a_bucket_of_somebody_else_is_not_touched(aws_endpoint: Endpoint) -> None:
    aws_endpoint.s3.bucket("ours")
    aws_endpoint.s3.bucket("theirs", owner="222222222222")
    s3 = client("s3")

    assert (
        refused(s3.put_object, Bucket="ours", Key="k", ExpectedBucketOwner="222222222222")["status"]
        == 403
    )
    assert refused(s3.get_object, Bucket="theirs", Key="k")["status"] == 403
    assert refused(s3.head_bucket, Bucket="none")["status"] == 404
    s3.put_object(Bucket="ours", Key="k", ExpectedBucketOwner="111111111111")


def test_keys_are_listed_in_pages_and_folders(aws_endpoint: Endpoint) -> None:
    for key in ("a/1", "a/2", "b/1", "c"):
        aws_endpoint.s3.put("b", key, b"x")
    s3 = client("s3")

    pages = list(
        s3.get_paginator("list_objects_v2").paginate(Bucket="b", PaginationConfig={"PageSize": 3})
    )
    assert [[each["Key"] for each in page["Contents"]] for page in pages] == [
        ["a/1", "a/2", "b/1"],
        ["c"],
    ]
    document = s3.list_objects_v2(Bucket="b", Delimiter="/")
    assert [each["Prefix"] for each in document["CommonPrefixes"]] == ["a/", "b/"]
    assert [each["Key"] for each in document["Contents"]] == ["c"]
    assert "Contents" not in s3.list_objects_v2(Bucket="b", Prefix="d")


def test_a_log_is_read_on_from_a_token(aws_endpoint: Endpoint) -> None:
    aws_endpoint.logs.put("/ecs/api", "ecs/app/1", "one", "two", "three")
    logs = client("logs")
    stream = {"logGroupName": "/ecs/api", "logStreamName": "ecs/app/1"}

    first = logs.get_log_events(**stream, startFromHead=True, limit=2)
    rest = logs.get_log_events(
        **stream, startFromHead=True, limit=2, nextToken=first["nextForwardToken"]
    )
    none = logs.get_log_events(
        **stream, startFromHead=True, limit=2, nextToken=rest["nextForwardToken"]
    )
    last = logs.get_log_events(**stream, limit=2)

    lists = [[event["message"] for event in page["events"]] for page in (first, rest, none, last)]
    assert lists == [["one", "two"], ["three"], [], ["two", "three"]]
    assert none["nextForwardToken"] == rest["nextForwardToken"]
    assert (
        refused(logs.get_log_events, logGroupName="none", logStreamName="x")["Code"]
        == "ResourceNotFoundException"
    )
    value = logs.filter_log_events(logGroupName="/ecs/api", filterPattern='"thr"')["events"]
    assert [event["message"] for event in value] == ["three"]
