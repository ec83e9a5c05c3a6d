"""CloudFormation: stacks, change sets and events. What is not there is None, not an error."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.errors import CloudError, Unexpected
from toolkit.ports.aws.client import Aws

CFN = "cloudformation"
MOST_LOOKED_UP = 3
"""Up to so many stacks are described one by one: each has to be asked for by itself. More are
picked from the list of all.
"""

_INCOMPLETE = "[WARN] --include-property-values option can return incomplete ChangeSet data"


def stack(aws: Aws, name: str) -> dict[str, Any] | None:
    """A stack by its name or id; a deleted one is found by its id only. Raises CloudError."""
    try:
        found: list[dict[str, Any]] = aws.read(CFN, "describe_stacks", StackName=name)["Stacks"]
    except CloudError as problem:
        if _not_there(problem):
            return None
        raise
    if not found:  # of one that is not there AWS says so
        raise Unexpected(call="cloudformation:DescribeStacks", reason=f"it says nothing of {name}")
    return found[0]


def watched_stack(aws: Aws, name: str) -> dict[str, Any] | None:
    """A stack by its name or id, as `stack` has it; several that are asked for at one moment cost
    one call. Raises CloudError.
    """

    def read(names: Sequence[str]) -> Mapping[str, Any]:
        if len(names) <= MOST_LOOKED_UP:
            return {one: stack(aws, one) for one in names}
        listed = {
            one[by]: one
            for one in aws.pages(CFN, "describe_stacks", "Stacks")
            for by in ("StackId", "StackName")
        }
        return {one: listed.get(one) or stack(aws, one) for one in names}

    found: dict[str, Any] | None = aws.gathered((CFN, "describe_stacks"), name, 200, read)
    return found


def events(aws: Aws, stack_id: str) -> Iterator[dict[str, Any]]:
    """The events of a stack, newest first, read page by page. None at all if there is no such
    stack. Raises CloudError.
    """
    try:
        yield from aws.pages(CFN, "describe_stack_events", "StackEvents", StackName=stack_id)
    except CloudError as problem:
        if not _not_there(problem):
            raise


def resources(aws: Aws, stack_id: str) -> dict[str, dict[str, Any]]:
    """Logical id -> what DescribeStackResources says of it. Raises CloudError."""
    try:
        found = aws.read(CFN, "describe_stack_resources", StackName=stack_id)["StackResources"]
    except CloudError as problem:
        if _not_there(problem):
            return {}
        raise
    return {one["LogicalResourceId"]: one for one in found}


def template(aws: Aws, stack_id: str) -> Any:
    """The template as it was sent: a mapping if it was JSON, else its text. Raises CloudError."""
    return aws.read(CFN, "get_template", StackName=stack_id, TemplateStage="Original").get(
        "TemplateBody"
    )


def summary(aws: Aws, **where: str) -> dict[str, Any]:
    """What CloudFormation makes of a template: its parameters, types and capabilities. `where` is
    TemplateBody or TemplateURL.
    """
    return aws.read(CFN, "get_template_summary", **where)


def change_set(aws: Aws, name: str, stack_name: str | None = None) -> dict[str, Any] | None:
    """A change set by its id, or by its name and its stack's, with the changes of all pages. Raises
    CloudError.

    CloudFormation may leave changes out when it is asked for property values; it says so, and then
    the two answers are put together.
    """
    where = {"ChangeSetName": name, **({"StackName": stack_name} if stack_name else {})}
    try:
        found = _whole(aws, {**where, "IncludePropertyValues": True})
        if _INCOMPLETE in found.get("StatusReason", ""):
            found = {**found, "Changes": _joined(_whole(aws, where)["Changes"], found["Changes"])}
    except CloudError as problem:
        if problem.aws_code in ("ChangeSetNotFound", "ChangeSetNotFoundException") or _not_there(
            problem
        ):
            return None
        raise
    return found


def refused_validations(aws: Aws, change_set_id: str) -> list[str]:
    """Why a change set did not pass early validation, one line a reason, with the place in the
    template. Raises CloudError.
    """
    found = aws.pages(
        CFN,
        "describe_events",
        "OperationEvents",
        ChangeSetName=change_set_id,
        Filters={"FailedEvents": True},
    )
    return [
        _validation(one)
        for one in found
        if one.get("ValidationStatusReason") or one.get("ValidationName")
    ]


def _validation(event: Mapping[str, Any]) -> str:
    at = event.get("ValidationPath") or event.get("LogicalResourceId") or ""
    reason = " ".join(
        str(event.get("ValidationStatusReason") or event.get("ValidationName")).split()
    )
    return f"{at}: {reason}" if at else reason


def _whole(aws: Aws, where: Mapping[str, Any]) -> dict[str, Any]:
    first = found = aws.read(CFN, "describe_change_set", **where)
    changes: list[Any] = list(found.get("Changes") or ())
    while found.get("NextToken"):
        found = aws.read(CFN, "describe_change_set", **where, NextToken=found["NextToken"])
        changes += found.get("Changes") or ()
    return {**first, "Changes": changes}


def _joined(complete: list[dict[str, Any]], valued: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The complete list, with the values that the other one has."""
    values = {
        one["ResourceChange"]["LogicalResourceId"]: one for one in valued if "ResourceChange" in one
    }
    return [
        values.get(one.get("ResourceChange", {}).get("LogicalResourceId", ""), one)
        for one in complete
    ]


def _not_there(problem: CloudError) -> bool:
    return problem.aws_code == "ValidationError" and "does not exist" in str(problem)
