"""Lambda: functions and their aliases. Their environment is left out, since it may be secret."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws

LAMBDA = "lambda"


class Function(Struct, frozen=True):
    """A function, or one version of it. `modified` is Lambda's time, None if that cannot be read.

    `state` is Pending, Active, Inactive or Failed, `update` (the result of the last change)
    Successful, InProgress or Failed; empty if Lambda does not say.
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
    params = {"Qualifier": qualifier} if qualifier else {}
    answer = _read(aws, "get_function_configuration", FunctionName=name, **params)
    if answer is None:
        return None
    return Function(
        name,
        str(answer.get("Version", "")),
        str(answer.get("Description", "")),
        str(answer.get("CodeSha256", "")),
        _moment(str(answer.get("LastModified", ""))),
        str(answer.get("State", "")),
        _reason(answer, "StateReason"),
        str(answer.get("LastUpdateStatus", "")),
        _reason(answer, "LastUpdateStatusReason"),
    )


def alias(aws: Aws, function_name: str, name: str) -> Alias | None:
    """An alias; None if there is none, or no such function. Raises CloudError."""
    answer = _read(aws, "get_alias", FunctionName=function_name, Name=name)
    if answer is None:
        return None
    return Alias(
        name,
        str(answer["FunctionVersion"]),
        (answer.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {},
    )


def _read(aws: Aws, operation: str, **params: str) -> dict[str, Any] | None:
    try:
        return aws.read(LAMBDA, operation, **params)
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            return None
        raise


def _reason(answer: Mapping[str, Any], name: str) -> str:
    """`the words (TheCode)`."""
    words = " ".join(str(answer.get(name) or "").split())
    code = str(answer.get(f"{name}Code") or "")
    if words and code:
        return f"{words} ({code})"
    return words or code


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
