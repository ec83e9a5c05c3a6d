"""Fixtures for what deploys apps."""

from pathlib import Path

import pytest

from tests.support.aws import Endpoint
from tests.targets.apps import AppStage


@pytest.fixture
def endpoint(aws_endpoint: Endpoint) -> Endpoint:
    """The scripted AWS."""
    return aws_endpoint


@pytest.fixture
def stage(endpoint: Endpoint, tmp_path: Path) -> AppStage:
    """A service with one task, and an image for the next version."""
    return AppStage(endpoint, tmp_path)
