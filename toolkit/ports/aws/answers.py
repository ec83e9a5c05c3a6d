"""Checks AWS's answers against its models: what is missing or of another type is unknown, and never
read as something else.

An emulator, a proxy or a faulty service may answer anything. botocore lets most of it through: a
text in place of a list becomes a list of letters, and null becomes a missing member.
"""

from collections.abc import Mapping
from typing import Any

from toolkit.errors import Unexpected

NEEDED: Mapping[str, tuple[str, ...]] = {
    "ecs:DescribeServices": (
        "services[].serviceName",
        "services[].status",
        "services[].desiredCount",
        "services[].runningCount",
        "services[].deployments[].id",
        "services[].deployments[].status",
        "services[].deployments[].desiredCount",
        "services[].deployments[].runningCount",
    ),
    "ecs:DescribeTasks": ("tasks[].taskArn", "tasks[].lastStatus"),
    "ecs:DescribeServiceDeployments": (
        "serviceDeployments[].serviceDeploymentArn",
        "serviceDeployments[].status",
    ),
    "ecs:ListServiceDeployments": (
        "serviceDeployments[].serviceDeploymentArn",
        "serviceDeployments[].status",
    ),
    "cloudformation:DescribeStacks": ("Stacks[].StackName", "Stacks[].StackStatus"),
    "cloudformation:DescribeChangeSet": ("Status",),
    "cloudformation:DescribeStackResources": (
        "StackResources[].LogicalResourceId",
        "StackResources[].ResourceStatus",
    ),
    "cloudformation:GetTemplate": ("TemplateBody",),
    "cloudwatch:DescribeAlarms": ("MetricAlarms[].AlarmName", "MetricAlarms[].StateValue"),
    "lambda:GetFunctionConfiguration": ("Version",),
    "lambda:GetAlias": ("Name", "FunctionVersion"),
    "lambda:UpdateFunctionCode": ("CodeSha256",),
    "lambda:PublishVersion": ("Version", "CodeSha256"),
    "elbv2:DescribeTargetHealth": ("TargetHealthDescriptions[].TargetHealth.State",),
}
"""What an answer must have, so that "0 of 0", "missing" and "no alarm" are what AWS says, and not
what it left out.
"""
_TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "character": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float, str),
    "double": (int, float, str),
    "blob": (str, bytes),
    "timestamp": (int, float, str),
}
_WORDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


class AwsResponse(dict[str, Any]):
    """A part of an answer. Reading a member that is missing raises Unexpected."""

    __slots__ = ("call", "path")

    def __init__(self, members: Mapping[str, Any] = {}, call: str = "AWS", path: str = "") -> None:
        super().__init__(members)
        self.call, self.path = call, path

    def __missing__(self, key: str) -> Any:
        raise Unexpected(call=self.call, reason=f"{self.path}{key} is missing")

    def __or__(self, more: Any) -> "AwsResponse":  # type: ignore[override]
        return AwsResponse({**self, **more}, self.call, self.path)


def read(answer: Any, call: str, path: str = "") -> Any:
    """An answer in which every object is an `AwsResponse`."""
    if isinstance(answer, dict):
        members = {name: read(value, call, f"{path}{name}.") for name, value in answer.items()}
        return AwsResponse(members, call, path)
    if isinstance(answer, list):
        return [read(value, call, f"{path[:-1]}[{index}].") for index, value in enumerate(answer)]
    return answer


def mismatch(shape: Any, value: Any, path: str = "") -> str:
    """Where a JSON answer does not fit botocore's model of it, empty if it does."""
    kind: str = shape.type_name
    if not _fits(kind, value):
        if getattr(shape, "is_document_type", False):
            return ""
        return f"{path[:-1] or 'it'} is {_type_name(value)}, not {_WORDS[_TYPES[kind][0]]}"
    if kind == "structure":
        return _member_mismatch(shape, value, path)
    parts: list[tuple[Any, Any, str]] = []
    if kind == "list":
        for index, element in enumerate(value):
            parts.append((shape.member, element, f"{path[:-1]}[{index}]."))
    elif kind == "map":
        for name, element in value.items():
            if element is not None:
                parts.append((shape.value, element, f"{path}{name}."))
    return _first_mismatch(parts)


def _first_mismatch(parts: list[tuple[Any, Any, str]]) -> str:
    for shape, value, path in parts:
        if problem := mismatch(shape, value, path):
            return problem
    return ""


def _fits(kind: str, value: Any) -> bool:
    if kind not in _TYPES:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    if kind in ("integer", "long") and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _member_mismatch(shape: Any, value: Mapping[str, Any], path: str) -> str:
    parts = []
    for name, member in shape.members.items():
        element = value.get(member.serialization.get("name", name))
        # What has a location is in the headers, not in this JSON.
        if element is not None and not member.serialization.get("location"):
            parts.append((member, element, f"{path}{name}."))
    return _first_mismatch(parts)


def negative_count(value: Any, path: str = "") -> str:
    """The first count below zero in an answer, in words; empty if there is none."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name.endswith("Count") and isinstance(member, int) and member < 0:
                return f"{path}{name} is {member}"
            if problem := negative_count(member, f"{path}{name}."):
                return problem
    elif isinstance(value, list):
        for index, element in enumerate(value):
            if problem := negative_count(element, f"{path[:-1]}[{index}]."):
                return problem
    return ""


def missing_member(answer: Mapping[str, Any], call: str) -> str:
    """The path of the first member that an answer to this call must have and lacks; empty if it has
    all.
    """
    for needed in NEEDED.get(call, ()):
        if path := _missing_below(answer, needed.split("."), ""):
            return path
    return ""


def _missing_below(value: Any, names: list[str], path: str) -> str:
    if not names or not isinstance(value, dict):
        return ""
    name = names[0].removesuffix("[]")
    member = value.get(name)
    if member is None:
        return f"{path}{name}"
    if not names[0].endswith("[]"):
        return _missing_below(member, names[1:], f"{path}{name}.")
    for index, element in enumerate(member):
        if missing := _missing_below(element, names[1:], f"{path}{name}[{index}]."):
            return missing
    return ""


def _type_name(value: Any) -> str:
    return "null" if value is None else _WORDS.get(type(value), type(value).__name__)
