"""Many objects of a bucket: what is listed, put and copied is the same as with ordinary calls, also
where a request fails that was sent without all that they do.
"""

import hashlib

import pytest

from tests.support.aws import Endpoint
from toolkit.errors import NotAllowed
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.objects import Objects

ODD = ("a b.html", "c+d&e;f.js", "ä/ö%20.css", "q?x=1#y.png", "l<t>.txt", "~t-_.!*'()")


@pytest.fixture
def objects(aws_endpoint: Endpoint) -> Objects:
    """Bucket `www`, below `app/`."""
    aws_endpoint.s3.bucket("www")
    return Objects(Aws(None, "eu-west-1"), "www", "app/", aws_endpoint.account)


def put(objects: Objects, key: str, body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    return objects.put(key, body, len(body), digest, {"ContentType": "text/x", "CacheControl": "c"})


def test_objects_of_any_name_are_put_listed_and_copied(
    objects: Objects, aws_endpoint: Endpoint
) -> None:
    etags = {key: put(objects, key, key.encode()) for key in ODD}
    assert objects.etags() == etags
    for key in ODD:
        copied = objects.copy(key, etags[key], f"copy/{key}", {"ContentType": "text/y"})
        assert copied == etags[key]
    stored = aws_endpoint.s3.bucket("www").objects
    assert {key: stored[f"app/copy/{key}"].body for key in ODD} == {k: k.encode() for k in ODD}
    assert stored[f"app/{ODD[0]}"].headers == {"ContentType": "text/x", "CacheControl": "c"}
    assert stored[f"app/copy/{ODD[0]}"].headers == {"ContentType": "text/y"}


def test_a_list_of_several_pages_is_whole(objects: Objects, aws_endpoint: Endpoint) -> None:
    for number in range(2_345):
        aws_endpoint.s3.put("www", f"app/{number}.js", b"x")
    aws_endpoint.s3.put("www", "other/x.js", b"x")
    assert set(objects.etags()) == {f"{number}.js" for number in range(2_345)}
    assert aws_endpoint.calls.count("s3:ListObjectsV2") == 3


@pytest.mark.parametrize("kind", ["throttle", "500", "reset", "truncated"])
def test_a_request_that_fails_is_made_again_as_an_ordinary_call(
    kind: str, objects: Objects, aws_endpoint: Endpoint
) -> None:
    etag = put(objects, "a", b"1")
    for call in ("s3:ListObjectsV2", "s3:PutObject", "s3:CopyObject"):
        aws_endpoint.fault(call, kind=kind)
    assert objects.etags() == {"a": etag}
    assert put(objects, "b", b"1") == etag
    assert objects.copy("a", etag, "c", {}) == etag
    assert objects.etags() == {"a": etag, "b": etag, "c": etag}


def test_a_copy_of_what_has_another_etag_is_none(objects: Objects) -> None:
    put(objects, "a", b"1")
    assert objects.copy("a", '"other"', "b", {}) is None
    assert objects.copy("gone", '"other"', "b", {}) is None
    assert set(objects.etags()) == {"a"}


def test_what_is_refused_is_told_with_the_place(objects: Objects, aws_endpoint: Endpoint) -> None:
    aws_endpoint.fault("s3:*", kind="denied", times=None)
    with pytest.raises(NotAllowed, match=r"s3://www/app/\*"):
        objects.etags()
    with pytest.raises(NotAllowed, match=r"s3:PutObject.*s3://www/app/\*"):
        put(objects, "a", b"1")
