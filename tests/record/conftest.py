"""The bucket of these tests, and calls to it through the product's own port."""

from collections.abc import Iterator

import pytest

from tests.record.bucket import OWNER, BucketState, serving
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.s3 import Bucket


@pytest.fixture(scope="session")
def _served() -> Iterator[tuple[BucketState, Aws]]:
    """One server and one client for all tests: making them takes longer than most tests."""
    with serving() as s3, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": s3.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.delenv("AWS_SESSION_TOKEN", raising=False)
        aws = Aws(None, "eu-west-1")
        aws.warm("s3")
        aws.write("s3", "put_object", Bucket="state", Key="once", Body=b"")
        patch.undo()
        yield s3, aws
        for client in aws._clients.values():
            client.close()


@pytest.fixture
def s3(_served: tuple[BucketState, Aws]) -> BucketState:
    """A bucket `state`, empty."""
    _served[0].reset()
    return _served[0]


@pytest.fixture
def aws(_served: tuple[BucketState, Aws]) -> Aws:
    """The product's own calls, to that bucket."""
    return _served[1]


@pytest.fixture
def bucket(s3: BucketState, aws: Aws) -> Bucket:
    """That bucket, empty."""
    return Bucket(aws, "s3://state/team", OWNER)
