"""The fixture of the scripted AWS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aws.control import Remote, apart, environment
from tests.support.aws.server import Endpoint

UNSET = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "AWS_CA_BUNDLE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""What must not be there."""


@pytest.fixture
def aws_endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Endpoint]:
    """A scripted AWS, with this process's environment set so that boto3 talks to it."""
    with Endpoint() as endpoint:
        for name in UNSET:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment(endpoint.url, endpoint.region).items():
            monkeypatch.setenv(name, value)
        yield endpoint


@pytest.fixture
def aws_process(tmp_path: Path) -> Iterator[Remote]:
    """A scripted AWS as a process of its own, for tests that kill the tool: `remote.environment` is
    for the child.
    """
    with apart(tmp_path) as remote:
        yield remote
