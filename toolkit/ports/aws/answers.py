"""What AWS answers, held against its own models: what is missing or of another type is unknown, and
never read as something else.

An emulator, a proxy or a service that is not well may answer anything. botocore lets most of it
through: a text where a list is wanted becomes a list of letters, and null is simply not there.
"""

from collections.abc import Iterator, Mapping
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
    "elbv2:DescribeTargetHealth": ("TargetHealthDescriptions[].TargetHealth.State",),
}
"""What an answer has to say so that "0 of 0", "not there" and "nothing rings" are what AWS says,
and not what it left out.
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
    """A part of an answer. What is not in it and is asked for by name is an answer that was not
    expected. Raises Unexpected then.
    """

    __slots__ = ("call", "path")

    def __init__(self, found: Mapping[str, Any] = {}, call: str = "AWS", path: str = "") -> None:
        super().__init__(found)
        self.call, self.path = call, path

    def __missing__(self, key: str) -> Any:
        raise Unexpected(call=self.call, reason=f"{self.path}{key} is missing")

    def __or__(self, other: Any) -> "AwsResponse":  # type: ignore[override]
        return AwsResponse({**self, **other}, self.call, self.path)


def read(found: Any, call: str, path: str = "") -> Any:
    """An answer of which every part is an `Answer`."""
    if isinstance(found, dict):
        return AwsResponse(
            {name: read(value, call, f"{path}{name}.") for name, value in found.items()}, call, path
        )
    if isinstance(found, list):
        return [read(value, call, f"{path[:-1]}[{at}].") for at, value in enumerate(found)]
    return found


def wrong(shape: Any, found: Any, path: str = "") -> str:
    """What is wrong with a JSON answer by botocore's model of it, empty if nothing is."""
    kind: str = shape.type_name
    if not _fits(kind, found):
        return (
            ""
            if getattr(shape, "is_document_type", False)
            else f"{path[:-1] or 'it'} is {_said(found)}, not {_WORDS[_TYPES[kind][0]]}"
        )
    if kind == "structure":
        return _wrong_member(shape, found, path)
    if kind == "list":
        parts = (wrong(shape.member, one, f"{path[:-1]}[{at}].") for at, one in enumerate(found))
    elif kind == "map":
        parts = (
            wrong(shape.value, one, f"{path}{name}.")
            for name, one in found.items()
            if one is not None
        )
    else:
        return ""
    return next((said for said in parts if said), "")


def _fits(kind: str, found: Any) -> bool:
    if kind not in _TYPES:
        return True
    if isinstance(found, bool):
        return kind == "boolean"
    return isinstance(found, _TYPES[kind]) or (
        kind in ("integer", "long") and isinstance(found, float) and found.is_integer()
    )


def _wrong_member(shape: Any, value: Mapping[str, Any], path: str) -> str:
    for name, member in shape.members.items():
        one = value.get(member.serialization.get("name", name))
        if one is None or member.serialization.get("location"):
            continue
        if said := wrong(member, one, f"{path}{name}."):
            return said
    return ""


def impossible(found: Any, path: str = "") -> str:
    """A count below zero: what is wrong, empty if nothing is."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name.endswith("Count") and isinstance(value, int) and value < 0:
                return f"{path}{name} is {value}"
            if isinstance(value, (dict, list)) and (said := impossible(value, f"{path}{name}.")):
                return said
    elif isinstance(found, list):
        for at, value in enumerate(found):
            if said := impossible(value, f"{path[:-1]}[{at}]."):
                return said
    return ""


def lacking(found: Mapping[str, Any], call: str) -> str:
    """The first thing that an answer to this call has to say, and does not; empty if it says
    all.
    """
    for needed in NEEDED.get(call, ()):
        if missing := next(_lacking(found, needed.split("."), ""), ""):
            return missing
    return ""


def _lacking(found: Any, names: list[str], path: str) -> Iterator[str]:
    if not names or not isinstance(found, dict):
        return
    name = names[0].removesuffix("[]")
    value = found.get(name)
    if value is None:
        yield f"{path}{name}"
    elif names[0].endswith("[]"):
        for at, one in enumerate(value):
            yield from _lacking(one, names[1:], f"{path}{name}[{at}].")
    else:
        yield from _lacking(value, names[1:], f"{path}{name}.")


def _said(value: Any) -> str:
    return "null" if value is None else _WORDS.get(type(value), type(value).__name__)
