"""Fixtures for what a version's name says of what is in it."""

from pathlib import Path

import pytest

from tests.names.shop import Shop
from tests.support.aws import Endpoint
from tests.support.run import Toolkit


@pytest.fixture
def shop(
    tmp_path: Path, aws_endpoint: Endpoint, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    """An app and a stack in a repository, and an AWS that takes what is deployed."""
    return Shop(tmp_path, aws_endpoint, toolkit, monkeypatch)
