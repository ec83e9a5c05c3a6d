"""ECS. Shapes are AWS's own (dicts of the API's names), but for tags, which are a mapping.

Deployments of services and their revisions are newer than some SDKs, endpoints and policies. What
asks for them says None where nobody can tell, and the caller falls back on the service's own
`deployments`.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from toolkit.errors import CloudError, Missing, NotAllowed, Unexpected
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
    """A service with its tags, None if there is none. Ten services that are asked for at one moment
    are one call. Raises Missing.
    """
    found: Shape | None = aws.gathered(
        ("ecs:DescribeServices", cluster),
        name,
        SERVICES_A_CALL,
        lambda names: _services(aws, cluster, names)[0],
    )
    return _known(found, name)


def service_now(aws: Aws, cluster: str, name: str) -> tuple[Shape | None, datetime]:
    """The same, by a call of its own, and what AWS's clock said then."""
    found, when = _services(aws, cluster, [name])
    return _known(found.get(name), name), when


def _known(found: Shape | None, name: str) -> Shape | None:
    """A service, None if AWS says that there is none. Raises Unexpected where the answer says
    neither: nobody knows then.
    """
    if found is None:
        raise Unexpected(call="ecs:DescribeServices", reason=f"it says nothing of service {name}")
    return found or None


def _services(aws: Aws, cluster: str, names: Sequence[str]) -> tuple[dict[str, Shape], datetime]:
    """The services by name, an empty one for each that AWS says is not there, and what its clock
    says.
    """
    try:
        answer = aws.read(
            "ecs", "describe_services", cluster=cluster, services=list(names), include=["TAGS"]
        )
    except CloudError as problem:
        raise _no_cluster(aws, cluster, problem) from None
    services = part(answer, "services", "ecs:DescribeServices")
    found: dict[str, Shape] = {}
    for failure in answer.get("failures") or ():
        if failure.get("reason") == "MISSING":
            found[str(failure.get("arn", "")).rpartition("/")[2]] = {}
    for one in services:
        gone = one.get("status") == "INACTIVE"
        found[str(one["serviceName"])] = {} if gone else one | {"tags": tags(one.get("tags"))}
    return found, server_date(answer)


def _no_cluster(aws: Aws, cluster: str, problem: CloudError) -> CloudError:
    gone = problem.aws_code == "ClusterNotFoundException"
    return (
        Missing(what="ECS cluster", name=cluster, where=f" in {aws.region_name}")
        if gone
        else problem
    )


def definition(aws: Aws, arn: str) -> Shape | None:
    """A task definition with its tags, None if there is none."""
    try:
        answer = aws.read("ecs", "describe_task_definition", taskDefinition=arn, include=["TAGS"])
    except CloudError as problem:
        if problem.aws_code == "ClientException" and "unable to describe" in str(problem).lower():
            return None
        raise
    found: Shape = part(answer, "taskDefinition", "ecs:DescribeTaskDefinition")
    return found | {"tags": tags(answer.get("tags"))}


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
    """The service deployments that are not over, newest first; None if nobody can tell."""
    answer = _told(aws, "ListServiceDeployments", cluster=cluster, service=name, status=list(GOING))
    return (
        None
        if answer is None
        else _newest_first(part(answer, "serviceDeployments", "ecs:ListServiceDeployments"))
    )


def deployments_since(aws: Aws, cluster: str, name: str, when: datetime) -> list[Shape] | None:
    """The service deployments that were created after a moment of AWS's clock, newest first; None
    if nobody can tell.
    """
    answer = _told(
        aws, "ListServiceDeployments", cluster=cluster, service=name, createdAt={"after": when}
    )
    return (
        None
        if answer is None
        else _newest_first(part(answer, "serviceDeployments", "ecs:ListServiceDeployments"))
    )


def deployments(aws: Aws, cluster: str, name: str) -> list[Shape] | None:
    """The service deployments that ECS remembers, newest first; None if nobody can tell."""
    answer = _told(aws, "ListServiceDeployments", cluster=cluster, service=name)
    return (
        None
        if answer is None
        else _newest_first(part(answer, "serviceDeployments", "ecs:ListServiceDeployments"))
    )


def deployment(aws: Aws, arn: str) -> Shape | None:
    """A service deployment, None if there is none or nobody can tell. Twenty at one moment are one
    call.
    """
    found: Shape | None = aws.gathered(
        "ecs:DescribeServiceDeployments",
        arn,
        DEPLOYMENTS_A_CALL,
        lambda arns: _deployments(aws, arns),
    )
    return found


def _deployments(aws: Aws, arns: Sequence[str]) -> dict[str, Shape]:
    answer = _told(aws, "DescribeServiceDeployments", serviceDeploymentArns=list(arns))
    found = (
        ()
        if answer is None
        else part(answer, "serviceDeployments", "ecs:DescribeServiceDeployments")
    )
    return {one["serviceDeploymentArn"]: one for one in found}


def revision(aws: Aws, arn: str) -> Shape | None:
    """A service revision: what a deployment wants the service to be. None if there is none or
    nobody can tell.
    """
    found: Shape | None = aws.gathered(
        "ecs:DescribeServiceRevisions", arn, DEPLOYMENTS_A_CALL, lambda arns: _revisions(aws, arns)
    )
    return found


def _revisions(aws: Aws, arns: Sequence[str]) -> dict[str, Shape]:
    answer = _told(aws, "DescribeServiceRevisions", serviceRevisionArns=list(arns))
    found = (
        () if answer is None else part(answer, "serviceRevisions", "ecs:DescribeServiceRevisions")
    )
    return {one["serviceRevisionArn"]: one for one in found}


def tasks(aws: Aws, cluster: str, status: str, **of: str) -> list[Shape]:
    """The tasks `of` a serviceName or a family that are RUNNING or STOPPED (for about an hour), at
    most 100.
    """
    answer = aws.read(
        "ecs", "list_tasks", cluster=cluster, desiredStatus=status, maxResults=TASKS_A_CALL, **of
    )
    arns = part(answer, "taskArns", "ecs:ListTasks")
    return (
        list(
            part(
                aws.read("ecs", "describe_tasks", cluster=cluster, tasks=arns),
                "tasks",
                "ecs:DescribeTasks",
            )
        )
        if arns
        else []
    )


def stopped(aws: Aws, cluster: str, name: str) -> list[Shape]:
    """The tasks of a service that have stopped; ECS forgets them after about an hour.

    One list of the cluster's is for all of its services that ask at one moment. Raises Missing.
    """
    found: list[Shape] | None = aws.gathered(
        ("ecs:ListTasks", cluster), name, SERVICES_A_LIST, lambda names: _stopped(aws, cluster)
    )
    return found or []


def _stopped(aws: Aws, cluster: str) -> dict[str, list[Shape]]:
    """The stopped tasks of a cluster by their services."""
    try:
        arns = list(
            aws.pages("ecs", "list_tasks", "taskArns", cluster=cluster, desiredStatus="STOPPED")
        )
    except CloudError as problem:
        raise _no_cluster(aws, cluster, problem) from None
    parts = [arns[at : at + TASKS_A_CALL] for at in range(0, len(arns), TASKS_A_CALL)]
    found: dict[str, list[Shape]] = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for answer in pool.map(
            lambda some: aws.read("ecs", "describe_tasks", cluster=cluster, tasks=some), parts
        ):
            for task in part(answer, "tasks", "ecs:DescribeTasks"):
                found.setdefault(str(task.get("group", "")).removeprefix("service:"), []).append(
                    task
                )
    return found


def register(aws: Aws, request: Mapping[str, Any]) -> Shape:
    """A new revision. No token of AWS's protects this call: it is made once, and a lost answer is
    looked for by our own tag.
    """
    answer = aws.write(
        "ecs", "register_task_definition", **{**request, "tags": pairs(request["tags"])}
    )
    found: Shape = part(answer, "taskDefinition", "ecs:RegisterTaskDefinition")
    return found | {"tags": tags(answer.get("tags"))}


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
    found: Shape = part(answer, "service", "ecs:UpdateService")
    return found


def stop(aws: Aws, arn: str) -> bool | None:
    """Stop a service deployment and roll it back. False if it is over already, None if nobody may
    or can.
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


def part(answer: Mapping[str, Any], key: str, call: str) -> Any:
    """A member that every answer to this call has. Raises Unexpected for one that has not: the SDK
    takes it for empty.
    """
    if key not in answer:
        raise Unexpected(call=call, reason=f"{key} is missing")
    return answer[key]


def _told(aws: Aws, operation: str, **params: Any) -> dict[str, Any] | None:
    """The answer to a question that not every SDK, endpoint and policy allows."""
    if not aws.knows("ecs", operation):
        return None
    try:
        return aws.read(
            "ecs",
            "".join(f"_{char.lower()}" if char.isupper() else char for char in operation).lstrip(
                "_"
            ),
            **params,
        )
    except CloudError as problem:
        if isinstance(problem, NotAllowed) or problem.aws_code in _UNSUPPORTED:
            return None
        raise


def _newest_first(deployments: Sequence[Shape]) -> list[Shape]:
    return sorted(deployments, key=lambda one: one["createdAt"], reverse=True)


def tags(found: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Tags as a mapping; what has no key is none."""
    return {one["key"]: one.get("value") or "" for one in found or () if one and one.get("key")}


def pairs(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as ECS wants them."""
    return [{"key": key, "value": value} for key, value in found.items()]


def family_of(arn: str) -> str:
    """`…:task-definition/web:7` -> `web`."""
    return arn.rpartition("/")[2].rpartition(":")[0]


def revision_of(arn: str) -> str:
    """`…:task-definition/web:7` -> `web:7`, as people say it."""
    return arn.rpartition("/")[2]


def server_date(answer: Mapping[str, Any]) -> datetime:
    """What AWS's clock said: two machines' clocks are no order of events."""
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(said).astimezone(UTC) if said else datetime.now(UTC)
    except ValueError:
        return datetime.now(UTC)
