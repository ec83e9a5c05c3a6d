"""boto3 as a test of the endpoint uses it."""

from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

ONCE = {"mode": "standard", "total_max_attempts": 1}


def client(service: str, read_s: float = 10, retries: Any = ONCE, region: str | None = None) -> Any:
    """A client by the environment; without retries unless said."""
    return boto3.Session(region_name=region).client(service, config=Config(retries=retries, read_timeout=read_s, connect_timeout=5))


def refused(call: Any, *args: Any, **params: Any) -> dict[str, Any]:
    """The error of a call that has to fail: Code, Message and status."""
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    found: dict[str, Any] = {**caught.value.response["Error"], "status": caught.value.response["ResponseMetadata"]["HTTPStatusCode"]}
    return found
