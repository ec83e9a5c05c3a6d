"""Lambda: functions and their aliases, without what they are configured with: an environment's
values may be secret.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws

LAMBDA = "lambda"


class Function(Struct, frozen=True):
    """A function, or one version of it. `modified` is Lambda's time, None if that cannot be read.

    `state` is Pending, Active, Inactive or Failed, `update` (how the last change went) Successful,
    InProgress or Failed; empty if Lambda says nothing of it.
    """

    name: str
    version: str
    description: str
    sha256: str
    modified: datetime | None
    state: str
    reason: str
    update: str
    update_reason: str


class Alias(Struct, frozen=True):
    """An alias, the version that it points to, and the share (0 to 1) of its calls that goes to
    other versions.
    """

    name: str
    version: str
    others: Mapping[str, float]


def function(aws: Aws, name: str, qualifier: str = "") -> Function | None:
    """A function, or the version that an alias points to; None if there is none. Raises
    CloudError.
    """
    found = _found(
        aws,
        "get_function_configuration",
        FunctionName=name,
        **({"Qualifier": qualifier} if qualifier else {}),
    )
    if found is None:
        return None
    return Function(
        name,
        str(found.get("Version", "")),
        str(found.get("Description", "")),
        str(found.get("CodeSha256", "")),
        _moment(str(found.get("LastModified", ""))),
        str(found.get("State", "")),
        _reason(found, "StateReason"),
        str(found.get("LastUpdateStatus", "")),
        _reason(found, "LastUpdateStatusReason"),
    )


def alias(aws: Aws, function_name: str, name: str) -> Alias | None:
    """An alias; None if there is none, or no such function. Raises CloudError."""
    found = _found(aws, "get_alias", FunctionName=function_name, Name=name)
    if found is None:
        return None
    return Alias(
        name,
        str(found["FunctionVersion"]),
        (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {},
    )


def _found(aws: Aws, operation: str, **params: str) -> dict[str, Any] | None:
    try:
        return aws.read(LAMBDA, operation, **params)
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            return None
        raise


def _reason(found: Mapping[str, Any], name: str) -> str:
    """`the words (TheCode)`."""
    words, code = " ".join(str(found.get(name) or "").split()), str(found.get(f"{name}Code") or "")
    return f"{words} ({code})" if words and code else words or code


def _moment(said: str) -> datetime | None:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        return None
