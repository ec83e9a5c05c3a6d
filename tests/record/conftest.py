"""The bucket of these tests, and calls to it through the product's own port."""

from collections.abc import Iterator

import pytest

from tests.record.bucket import OWNER, S3, serving
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.s3 import Bucket


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A bucket `state`, empty; AWS tools of this process mean it."""
    with serving() as found:
        for name, value in {
            "AWS_ENDPOINT_URL": found.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield found


@pytest.fixture
def aws(s3: S3) -> Iterator[Aws]:
    made = Aws(None, "eu-west-1")
    yield made
    for client in made._clients.values():
        client.close()


@pytest.fixture
def bucket(aws: Aws) -> Bucket:
    return Bucket(aws, "s3://state/team", OWNER)
