"""CloudFormation: stacks, change sets and events. What does not exist is None, not an error."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.errors import CloudError, Unexpected
from toolkit.ports.aws.client import Aws

CFN = "cloudformation"
MOST_LOOKED_UP = 3
"""Up to this many stacks are described one by one, each by a call. More are picked from the list of
all.
"""

_INCOMPLETE = "[WARN] --include-property-values option can return incomplete ChangeSet data"


def stack(aws: Aws, name: str) -> dict[str, Any] | None:
    """A stack by its name or id; a deleted one is found by its id only. Raises CloudError."""
    try:
        stacks: list[dict[str, Any]] = aws.read(CFN, "describe_stacks", StackName=name)["Stacks"]
    except CloudError as problem:
        if _is_missing(problem):
            return None
        raise
    if not stacks:  # AWS reports a missing stack as an error, never as an empty list
        raise Unexpected(call="cloudformation:DescribeStacks", reason=f"it says nothing of {name}")
    return stacks[0]


def watched_stack(aws: Aws, name: str) -> dict[str, Any] | None:
    """The same as `stack`; several at one moment become one call. Raises CloudError."""

    def read(names: Sequence[str]) -> Mapping[str, Any]:
        if len(names) <= MOST_LOOKED_UP:
            return {name: stack(aws, name) for name in names}
        listed = {}
        for each in aws.pages(CFN, "describe_stacks", "Stacks"):
            listed[each["StackId"]] = listed[each["StackName"]] = each
        # The list has no deleted stacks, which can be described by their id.
        return {name: listed.get(name) or stack(aws, name) for name in names}

    description: dict[str, Any] | None = aws.gathered((CFN, "describe_stacks"), name, 200, read)
    return description


def events(aws: Aws, stack_id: str) -> Iterator[dict[str, Any]]:
    """The events of a stack, newest first, read page by page. None at all if there is no such
    stack. Raises CloudError.
    """
    try:
        yield from aws.pages(CFN, "describe_stack_events", "StackEvents", StackName=stack_id)
    except CloudError as problem:
        if not _is_missing(problem):
            raise


def resources(aws: Aws, stack_id: str) -> dict[str, dict[str, Any]]:
    """Logical id -> its description by DescribeStackResources. Raises CloudError."""
    try:
        answer = aws.read(CFN, "describe_stack_resources", StackName=stack_id)
    except CloudError as problem:
        if _is_missing(problem):
            return {}
        raise
    return {resource["LogicalResourceId"]: resource for resource in answer["StackResources"]}


def resource_summaries(aws: Aws, stack_id: str) -> list[dict[str, Any]]:
    """All resources of a stack, of which `resources` has a hundred at most. Raises CloudError."""
    return list(
        aws.pages(CFN, "list_stack_resources", "StackResourceSummaries", StackName=stack_id)
    )


def template(aws: Aws, stack_id: str) -> Any:
    """The template as it was sent: a mapping if it was JSON, else its text. Raises CloudError."""
    answer = aws.read(CFN, "get_template", StackName=stack_id, TemplateStage="Original")
    return answer.get("TemplateBody")


def detect_drift(aws: Aws, stack_id: str) -> str:
    """Have CloudFormation look at the resources of a stack; the id of that detection. It changes
    nothing but what CloudFormation says of drift. Raises CloudError, also while another one runs.
    """
    answer = aws.read(CFN, "detect_stack_drift", StackName=stack_id)
    return str(answer["StackDriftDetectionId"])


def drift_detection(aws: Aws, detection: str) -> dict[str, Any]:
    """How a detection stands. Raises CloudError."""
    return aws.read(CFN, "describe_stack_drift_detection_status", StackDriftDetectionId=detection)


def resource_drifts(aws: Aws, stack_id: str) -> list[dict[str, Any]]:
    """What the last detection found of each resource. Raises CloudError."""
    drifts: list[dict[str, Any]] = []
    more: dict[str, Any] = {"StackName": stack_id}
    while True:
        page = aws.read(CFN, "describe_stack_resource_drifts", **more)
        drifts += page.get("StackResourceDrifts") or ()
        if not page.get("NextToken"):
            return drifts
        more["NextToken"] = page["NextToken"]


def summary(aws: Aws, **where: str) -> dict[str, Any]:
    """CloudFormation's summary of a template: its parameters, types and capabilities. `where` is
    TemplateBody or TemplateURL.
    """
    return aws.read(CFN, "get_template_summary", **where)


def change_set(aws: Aws, name: str, stack_name: str | None = None) -> dict[str, Any] | None:
    """A change set by its id, or by its name and its stack's, with the changes of all pages. Raises
    CloudError.

    With property values CloudFormation may leave changes out; it says so, and then both answers are
    merged.
    """
    where = {"ChangeSetName": name}
    if stack_name:
        where["StackName"] = stack_name
    try:
        answer = _all_pages(aws, {**where, "IncludePropertyValues": True})
        if _INCOMPLETE in answer.get("StatusReason", ""):
            complete = _all_pages(aws, where)["Changes"]
            answer = {**answer, "Changes": _with_values(complete, answer["Changes"])}
    except CloudError as problem:
        if problem.aws_code in ("ChangeSetNotFound", "ChangeSetNotFoundException"):
            return None
        if _is_missing(problem):
            return None
        raise
    return answer


def change_set_failures(aws: Aws, change_set_id: str) -> list[str]:
    """What failed a change set by its events: validations and hooks, one line for each, with the
    place in the template; none where it failed for another reason. Raises CloudError.
    """
    events = aws.pages(
        CFN,
        "describe_events",
        "OperationEvents",
        ChangeSetName=change_set_id,
        Filters={"FailedEvents": True},
    )
    lines: dict[str, None] = {}
    for event in events:
        if text := _failure(event):
            lines[text] = None
    return list(lines)


def _failure(event: Mapping[str, Any]) -> str:
    """Where something failed, and why; empty where an event does not say why."""
    where = event.get("ValidationPath") or event.get("LogicalResourceId") or ""
    what, reason = event.get("ValidationName"), event.get("ValidationStatusReason")
    if event.get("HookType"):
        what, reason = event["HookType"], event.get("HookStatusReason")
        reason = f"{what}: {reason}" if reason else what
    reason = reason or event.get("ResourceStatusReason") or what
    return ": ".join(" ".join(str(part).split()) for part in (where, reason) if part and reason)


def _all_pages(aws: Aws, where: Mapping[str, Any]) -> dict[str, Any]:
    first = page = aws.read(CFN, "describe_change_set", **where)
    changes: list[Any] = list(page.get("Changes") or ())
    while page.get("NextToken"):
        page = aws.read(CFN, "describe_change_set", **where, NextToken=page["NextToken"])
        changes += page.get("Changes") or ()
    return {**first, "Changes": changes}


def _with_values(
    complete: list[dict[str, Any]], valued: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The complete list, with the property values of the other one."""
    by_id = {}
    for change in valued:
        if "ResourceChange" in change:
            by_id[change["ResourceChange"]["LogicalResourceId"]] = change
    return [
        by_id.get(change.get("ResourceChange", {}).get("LogicalResourceId", ""), change)
        for change in complete
    ]


def _is_missing(problem: CloudError) -> bool:
    return problem.aws_code == "ValidationError" and "does not exist" in str(problem)
