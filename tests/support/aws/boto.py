"""boto3 as a test of the endpoint uses it."""

import os
from functools import lru_cache
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

ONCE = {"mode": "standard", "total_max_attempts": 1}


def client(service: str, read_s: float = 10, retries: Any = ONCE, region: str | None = None) -> Any:
    """A client by the environment; without retries unless said."""
    return _client(service, read_s, tuple(retries.items()), region, os.environ["AWS_ENDPOINT_URL"])


@lru_cache(maxsize=16)
def _client(
    service: str, read_s: float, retries: tuple[tuple[str, Any], ...], region: str | None, url: str
) -> Any:
    """Made once for an endpoint: reading a service's model takes longer than all calls of a
    test.
    """
    config = Config(retries=dict(retries), read_timeout=read_s, connect_timeout=5)
    return boto3.Session(region_name=region).client(service, config=config, endpoint_url=url)


def refused(call: Any, *args: Any, **params: Any) -> dict[str, Any]:
    """The error of a call that has to fail: Code, Message and status."""
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    document: dict[str, Any] = {
        **caught.value.response["Error"],
        "status": caught.value.response["ResponseMetadata"]["HTTPStatusCode"],
    }
    return document
