"""ECS. Shapes are AWS's own (dicts of the API's names), except tags, which are a mapping.

Deployments of services and their revisions are newer than some SDKs, endpoints and policies. The
functions for them return None if they cannot be read, and the caller falls back on the service's
own `deployments`.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from toolkit.errors import CloudError, Missing, NotAllowed, Refused, Unexpected
from toolkit.ports.aws.client import Aws

Shape = dict[str, Any]

SERVICES_A_CALL, DEPLOYMENTS_A_CALL, TASKS_A_CALL = 10, 20, 100
SERVICES_A_LIST, SIDE_BY_SIDE = 1000, 8
GOING = ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
"""A service deployment in one of these is not over."""

_UNSUPPORTED = frozenset(
    (
        "InvalidAction",
        "UnknownOperationException",
        "UnsupportedFeatureException",
        "UnsupportedOperation",
        "UnsupportedOperationException",
        "NotImplemented",
    )
)


def service(aws: Aws, cluster: str, name: str) -> Shape | None:
    """A service with its tags, None if there is none. Up to ten services at one moment become one
    call. Raises Missing.
    """
    description: Shape | None = aws.gathered(
        ("ecs:DescribeServices", cluster),
        name,
        SERVICES_A_CALL,
        lambda names: _services(aws, cluster, names)[0],
    )
    return _require_mentioned(description, name)


def service_now(aws: Aws, cluster: str, name: str) -> tuple[Shape | None, datetime]:
    """The same, by a call of its own, and the time of AWS's clock."""
    services, when = _services(aws, cluster, [name])
    return _require_mentioned(services.get(name), name), when


def _require_mentioned(description: Shape | None, name: str) -> Shape | None:
    """A service, None if AWS says that there is none. Raises Unexpected if the answer does not
    mention it: then it is unknown.
    """
    if description is None:
        raise Unexpected(call="ecs:DescribeServices", reason=f"it says nothing of service {name}")
    return description or None


def _services(aws: Aws, cluster: str, names: Sequence[str]) -> tuple[dict[str, Shape], datetime]:
    """The services by name, an empty dict for each that AWS reports missing, and the time of its
    clock.
    """
    try:
        answer = aws.read(
            "ecs", "describe_services", cluster=cluster, services=list(names), include=["TAGS"]
        )
    except CloudError as problem:
        raise _no_cluster(aws, cluster, problem) from None
    services: dict[str, Shape] = {}
    for description in part(answer, "services", "ecs:DescribeServices"):
        name = str(description["serviceName"])
        if description.get("status") == "INACTIVE":  # ECS remembers deleted ones for a while
            services[name] = {}
        else:
            services[name] = description | {"tags": tags(description.get("tags"))}
    for failure in answer.get("failures") or ():
        if failure.get("reason") == "MISSING":
            services.setdefault(str(failure.get("arn", "")).rpartition("/")[2], {})
    return services, server_date(answer)


def _no_cluster(aws: Aws, cluster: str, problem: CloudError) -> CloudError:
    if problem.aws_code == "ClusterNotFoundException":
        return Missing(what="ECS cluster", name=cluster, where=f" in {aws.region_name}")
    return problem


def definition(aws: Aws, arn: str) -> Shape | None:
    """A task definition with its tags, None if there is none."""
    try:
        answer = aws.read("ecs", "describe_task_definition", taskDefinition=arn, include=["TAGS"])
    except CloudError as problem:
        if problem.aws_code == "ClientException" and "unable to describe" in str(problem).lower():
            return None
        raise
    description: Shape = part(answer, "taskDefinition", "ecs:DescribeTaskDefinition")
    return description | {"tags": tags(answer.get("tags"))}


def newest_revisions(aws: Aws, family: str, most: int) -> list[str]:
    """The ARNs of the newest active revisions of a family, newest first."""
    answer = aws.read(
        "ecs",
        "list_task_definitions",
        familyPrefix=family,
        status="ACTIVE",
        sort="DESC",
        maxResults=most,
    )
    return [
        arn
        for arn in part(answer, "taskDefinitionArns", "ecs:ListTaskDefinitions")[:most]
        if family_of(arn) == family
    ]


def deployments_going(aws: Aws, cluster: str, name: str) -> list[Shape] | None:
    """The service deployments that are not over, newest first; None if they cannot be read."""
    return _list_deployments(aws, cluster=cluster, service=name, status=list(GOING))


def deployments_since(aws: Aws, cluster: str, name: str, when: datetime) -> list[Shape] | None:
    """The service deployments that were created after a moment of AWS's clock, newest first; None
    if they cannot be read.
    """
    return _list_deployments(aws, cluster=cluster, service=name, createdAt={"after": when})


def deployments(aws: Aws, cluster: str, name: str) -> list[Shape] | None:
    """The service deployments that ECS remembers, newest first; None if they cannot be read."""
    return _list_deployments(aws, cluster=cluster, service=name)


def _list_deployments(aws: Aws, **params: Any) -> list[Shape] | None:
    answer = _read_if_supported(aws, "ListServiceDeployments", **params)
    if answer is None:
        return None
    listed = part(answer, "serviceDeployments", "ecs:ListServiceDeployments")
    return sorted(listed, key=lambda deployment: deployment["createdAt"], reverse=True)


def deployment(aws: Aws, arn: str) -> Shape | None:
    """A service deployment, None if there is none or it cannot be read. Up to twenty at one moment
    become one call.
    """
    description: Shape | None = aws.gathered(
        "ecs:DescribeServiceDeployments",
        arn,
        DEPLOYMENTS_A_CALL,
        lambda arns: _deployments(aws, arns),
    )
    return description


def _deployments(aws: Aws, arns: Sequence[str]) -> dict[str, Shape]:
    answer = _read_if_supported(aws, "DescribeServiceDeployments", serviceDeploymentArns=list(arns))
    if answer is None:
        return {}
    described = part(answer, "serviceDeployments", "ecs:DescribeServiceDeployments")
    return {deployment["serviceDeploymentArn"]: deployment for deployment in described}


def revision(aws: Aws, arn: str) -> Shape | None:
    """A service revision: the state that a deployment moves the service to. None if there is none
    or it cannot be read.
    """
    description: Shape | None = aws.gathered(
        "ecs:DescribeServiceRevisions", arn, DEPLOYMENTS_A_CALL, lambda arns: _revisions(aws, arns)
    )
    return description


def _revisions(aws: Aws, arns: Sequence[str]) -> dict[str, Shape]:
    answer = _read_if_supported(aws, "DescribeServiceRevisions", serviceRevisionArns=list(arns))
    if answer is None:
        return {}
    described = part(answer, "serviceRevisions", "ecs:DescribeServiceRevisions")
    return {revision["serviceRevisionArn"]: revision for revision in described}


def tasks(aws: Aws, cluster: str, status: str, **of: str) -> list[Shape]:
    """The tasks `of` a serviceName or a family that are RUNNING or STOPPED (for about an hour), at
    most 100.
    """
    answer = aws.read(
        "ecs", "list_tasks", cluster=cluster, desiredStatus=status, maxResults=TASKS_A_CALL, **of
    )
    arns = part(answer, "taskArns", "ecs:ListTasks")
    return _describe_tasks(aws, cluster, arns) if arns else []


def _describe_tasks(aws: Aws, cluster: str, arns: Sequence[str]) -> list[Shape]:
    answer = aws.read("ecs", "describe_tasks", cluster=cluster, tasks=arns)
    return list(part(answer, "tasks", "ecs:DescribeTasks"))


def service_tasks(aws: Aws, cluster: str, name: str, status: str) -> list[Shape]:
    """All tasks of a service that are to be RUNNING or STOPPED (for about an hour). Raises
    CloudError.
    """
    return _all_tasks(aws, cluster, serviceName=name, desiredStatus=status)


def _all_tasks(aws: Aws, cluster: str, **filters: str) -> list[Shape]:
    """The tasks of a cluster that pass all of these filters of ListTasks."""
    pages = aws.pages("ecs", "list_tasks", "taskArns", cluster=cluster, **filters)
    arns = [str(arn) for arn in pages]
    described: list[Shape] = []
    for start in range(0, len(arns), TASKS_A_CALL):
        described += _describe_tasks(aws, cluster, arns[start : start + TASKS_A_CALL])
    return described


def stopped(aws: Aws, cluster: str, name: str) -> list[Shape]:
    """The tasks of a service that have stopped; ECS forgets them after about an hour.

    Services of a cluster at one moment share one list of its tasks. Raises Missing.
    """
    tasks: list[Shape] | None = aws.gathered(
        ("ecs:ListTasks", cluster), name, SERVICES_A_LIST, lambda names: _stopped(aws, cluster)
    )
    return tasks or []


def _stopped(aws: Aws, cluster: str) -> dict[str, list[Shape]]:
    """The stopped tasks of a cluster by their services."""
    try:
        arns = list(
            aws.pages("ecs", "list_tasks", "taskArns", cluster=cluster, desiredStatus="STOPPED")
        )
    except CloudError as problem:
        raise _no_cluster(aws, cluster, problem) from None
    chunks = [arns[start : start + TASKS_A_CALL] for start in range(0, len(arns), TASKS_A_CALL)]
    by_service: dict[str, list[Shape]] = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for tasks in pool.map(lambda chunk: _describe_tasks(aws, cluster, chunk), chunks):
            for task in tasks:
                service = str(task.get("group", "")).removeprefix("service:")
                by_service.setdefault(service, []).append(task)
    return by_service


def register(aws: Aws, request: Mapping[str, Any]) -> Shape:
    """Register a new revision. This call takes no token, so it is made once, and after a lost
    answer the revision is searched for by our own tag.
    """
    answer = aws.write(
        "ecs", "register_task_definition", **{**request, "tags": pairs(request["tags"])}
    )
    description: Shape = part(answer, "taskDefinition", "ecs:RegisterTaskDefinition")
    return description | {"tags": tags(answer.get("tags"))}


def update(aws: Aws, cluster: str, name: str, task_definition: str, force: bool = False) -> Shape:
    """Move a service to a task definition, and nothing else: its count, network and strategy are
    not ours.
    """
    more = {"forceNewDeployment": True} if force else {}
    answer = aws.write(
        "ecs",
        "update_service",
        cluster=cluster,
        service=name,
        taskDefinition=task_definition,
        **more,
    )
    description: Shape = part(answer, "service", "ecs:UpdateService")
    return description


def stop(aws: Aws, arn: str) -> bool | None:
    """Stop a service deployment and roll it back. False if it is over already, None if that is not
    allowed or not supported.
    """
    if not aws.knows("ecs", "StopServiceDeployment"):
        return None
    try:
        aws.write(
            "ecs",
            "stop_service_deployment",
            tokened=True,
            serviceDeploymentArn=arn,
            stopType="ROLLBACK",
        )
    except CloudError as problem:
        if problem.aws_code in ("ConflictException", "ServiceDeploymentNotFoundException"):
            return False
        if isinstance(problem, NotAllowed) or problem.aws_code in _UNSUPPORTED:
            return None
        raise
    return True


def run_task(aws: Aws, request: Mapping[str, Any]) -> Shape:
    """Start one task, by one attempt; whoever repeats the call looks for the task by its
    `startedBy` first, and AWS makes none twice with the same `clientToken`. Raises Refused where
    ECS answers that it cannot be placed.
    """
    answer = aws.write("ecs", "run_task", **request)
    for started in part(answer, "tasks", "ecs:RunTask"):
        task: Shape = started
        return task
    failures = part(answer, "failures", "ecs:RunTask")
    reasons = [str(failure.get("reason") or "no reason") for failure in failures]
    raise Refused(f"ECS could not start the task: {', '.join(reasons)}")


def started_tasks(aws: Aws, cluster: str, started_by: str) -> list[str]:
    """The ARNs of the tasks that were started with this `startedBy`; ECS forgets those that have
    stopped after about an hour.
    """
    # Beside `startedBy`, ECS allows no other filter; alone, it lists what is to run.
    pages = aws.pages("ecs", "list_tasks", "taskArns", cluster=cluster, startedBy=started_by)
    running = [str(arn) for arn in pages]
    stopped = [
        str(task["taskArn"])
        for task in _all_tasks(aws, cluster, desiredStatus="STOPPED")
        if task.get("startedBy") == started_by
    ]
    return [*running, *stopped]


def task(aws: Aws, cluster: str, arn: str) -> Shape | None:
    """A task, None if ECS does not know it."""
    return next(iter(_describe_tasks(aws, cluster, [arn])), None)


def stop_task(aws: Aws, cluster: str, arn: str, reason: str) -> None:
    """Stop a task. Harmless where it has ended."""
    aws.write("ecs", "stop_task", tokened=True, cluster=cluster, task=arn, reason=reason)


def part(answer: Mapping[str, Any], key: str, call: str) -> Any:
    """A member that every answer to this call has. Raises Unexpected if it is missing: the SDK
    would take it for empty.
    """
    if key not in answer:
        raise Unexpected(call=call, reason=f"{key} is missing")
    return answer[key]


def _read_if_supported(aws: Aws, operation: str, **params: Any) -> dict[str, Any] | None:
    """An answer; None if the SDK, the endpoint or our permissions do not have the operation."""
    if not aws.knows("ecs", operation):
        return None
    snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    try:
        return aws.read("ecs", snake_case, **params)
    except CloudError as problem:
        if isinstance(problem, NotAllowed) or problem.aws_code in _UNSUPPORTED:
            return None
        raise


def tags(pairs: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Tags as a mapping; those without a key are dropped."""
    return {tag["key"]: tag.get("value") or "" for tag in pairs or () if tag and tag.get("key")}


def pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the form that ECS takes."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def family_of(arn: str) -> str:
    """`…:task-definition/web:7` -> `web`."""
    return arn.rpartition("/")[2].rpartition(":")[0]


def revision_of(arn: str) -> str:
    """`…:task-definition/web:7` -> `web:7`, as people say it."""
    return arn.rpartition("/")[2]


def server_date(answer: Mapping[str, Any]) -> datetime:
    """The time of AWS's clock: the clocks of two machines cannot be compared. Ours if it has
    none.
    """
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date:
        try:
            return parsedate_to_datetime(date).astimezone(UTC)
        except ValueError:
            pass
    return datetime.now(UTC)
