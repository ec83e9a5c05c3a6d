"""Deployments of the scripted ECS, as boto3 sees them. The words and enums are checked with
botocore's model by the endpoint itself.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.aws import Endpoint
from tests.support.aws.boto import client, refused
from tests.support.aws.rollout import CAUSES, STAGES


def update(**more: Any) -> dict[str, Any]:
    """UpdateService with a new task definition; the service as it answers."""
    ecs = client("ecs")
    before = ecs.describe_services(cluster="main", services=["api"])["services"][0][
        "taskDefinition"
    ]
    value = ecs.describe_task_definition(taskDefinition=before)["taskDefinition"]
    table = ecs.register_task_definition(
        **{
            key: value[key]
            for key in ("family", "containerDefinitions", "cpu", "memory", "networkMode")
        }
    )
    arn = table["taskDefinition"]["taskDefinitionArn"]
    document: dict[str, Any] = ecs.update_service(
        cluster="main", service="api", taskDefinition=arn, **more
    )["service"]
    return document


def look(service: dict[str, Any]) -> dict[str, Any]:
    """The service deployment of an UpdateService."""
    document = client("ecs").describe_service_deployments(
        serviceDeploymentArns=[service["currentServiceDeployment"]]
    )
    assert document["failures"] == []
    deployment: dict[str, Any] = document["serviceDeployments"][0]
    return deployment


def described() -> dict[str, Any]:
    """The service as it stands."""
    document: dict[str, Any] = client("ecs").describe_services(cluster="main", services=["api"])[
        "services"
    ][0]
    return document


def rollouts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Status and rolloutState of `deployments`."""
    return [(each["status"], each["rolloutState"]) for each in service["deployments"]]


def stopped_tasks(started_by: str) -> list[dict[str, Any]]:
    """The stopped tasks of a deployment."""
    ecs = client("ecs")
    arns = ecs.list_tasks(cluster="main", serviceName="api", desiredStatus="STOPPED")["taskArns"]
    tasks = ecs.describe_tasks(cluster="main", tasks=arns)["tasks"] if arns else []
    return [task for task in tasks if task["startedBy"] == started_by]


def test_a_rolling_deployment_goes_from_pending_to_successful_in_the_looks_that_it_is_given(
    aws_endpoint: Endpoint,
) -> None:
    old = aws_endpoint.ecs.service("api", desired=2).definition
    aws_endpoint.ecs.next("success", looks=2)

    service = update()

    assert rollouts(service) == [("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED")]
    assert [look(service)["status"] for _ in range(3)] == [
        "IN_PROGRESS",
        "IN_PROGRESS",
        "SUCCESSFUL",
    ]
    after = described()
    assert rollouts(after) == [("PRIMARY", "COMPLETED")]
    assert (
        after["deployments"][0]["id"],
        after["runningCount"],
        after["taskDefinition"] != old,
    ) == (
        service["deployments"][0]["id"],
        2,
        True,
    )
    assert after["events"][0]["message"] == "(service api) has reached a steady state."


def test_a_deployment_can_take_seconds_of_the_endpoints_clock(aws_endpoint: Endpoint) -> None:
    aws_endpoint.clock.stop()
    aws_endpoint.ecs.service("api")
    aws_endpoint.ecs.next("success", seconds=60)
    service = update()
    begun = aws_endpoint.clock.now()

    states = []
    for _ in range(4):
        states.append(look(service)["status"])
        aws_endpoint.clock.advance(20)

    assert states == ["IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS", "SUCCESSFUL"]
    assert (look(service)["finishedAt"].astimezone(UTC) - begun).total_seconds() == pytest.approx(
        60, abs=0.01
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_a_breaker_counts_failures_and_goes_back_to_what_ran(
    aws_endpoint: Endpoint, cause: str
) -> None:
    old = aws_endpoint.ecs.service("api", desired=2, group="api-tg").definition
    aws_endpoint.ecs.next("breaker", cause=cause, looks=1, log=["boom"])
    service = update()
    began = service["deployments"][0]["id"]

    documents = [look(service) for _ in range(7)]

    counts = [each["deploymentCircuitBreaker"]["failureCount"] for each in documents]
    assert counts == sorted(counts)
    assert counts[-1] == 3 == documents[0]["deploymentCircuitBreaker"]["threshold"]
    states = list(dict.fromkeys(each["status"] for each in documents))
    assert states == ["IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]
    assert "circuit breaker" in documents[-1]["rollback"]["reason"]
    after = described()
    assert (after["taskDefinition"], rollouts(after), after["runningCount"]) == (
        old,
        [("PRIMARY", "COMPLETED")],
        2,
    )
    failed = [
        task
        for task in stopped_tasks(began)
        if not task["stoppedReason"].startswith("Scaling activity")
    ]
    assert len(failed) == (0 if cause == "place" else 3)
    health = client("elbv2").describe_target_health(
        TargetGroupArn=after["loadBalancers"][0]["targetGroupArn"]
    )
    assert [each["TargetHealth"]["State"] for each in health["TargetHealthDescriptions"]] == [
        "healthy",
        "healthy",
    ]


@pytest.mark.parametrize(
    ("cause", "code", "reason", "exit_code"),
    [
        ("pull", "TaskFailedToStart", "CannotPullContainerError", None),
        (
            "secret",
            "TaskFailedToStart",
            "ResourceInitializationError: unable to pull secrets",
            None,
        ),
        ("exit", "EssentialContainerExited", "Essential container in task exited", 3),
        ("oom", "EssentialContainerExited", "Essential container in task exited", 137),
        (
            "unhealthy",
            "ServiceSchedulerInitiated",
            "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing",
            143,
        ),
        ("spot", "SpotInterruption", "Your Spot Task was interrupted.", 143),
    ],
)
def test_a_failed_task_says_why(
    aws_endpoint: Endpoint, cause: str, code: str, reason: str, exit_code: int | None
) -> None:
    aws_endpoint.ecs.service("api", group="api-tg", breaker=False)
    aws_endpoint.ecs.next("fail", cause=cause, failures=1, log=["panic: boom"])
    service = update()
    assert look(service)["status"] == "IN_PROGRESS"

    task = stopped_tasks(service["deployments"][0]["id"])[0]

    assert (task["stopCode"], task["containers"][0].get("exitCode")) == (code, exit_code)
    assert task["stoppedReason"].startswith(reason)
    stream = f"ecs/app/{task['taskArn'].rpartition('/')[2]}"
    events = client("logs").get_log_events(
        logGroupName="/ecs/api", logStreamName=stream, startFromHead=True
    )["events"]
    assert [event["message"] for event in events] == ["panic: boom"]


def test_unhealthy_targets_can_be_seen_while_their_tasks_run(aws_endpoint: Endpoint) -> None:
    arn = aws_endpoint.ecs.service("api", group="api-tg").latest.group
    aws_endpoint.ecs.next("breaker", cause="unhealthy", looks=1)
    service = update()
    look(service)
    look(service)

    arns = client("ecs").list_tasks(cluster="main", serviceName="api")["taskArns"]
    tasks = client("ecs").describe_tasks(cluster="main", tasks=arns)["tasks"]
    value = client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]

    new = next(task for task in tasks if task["startedBy"] == service["deployments"][0]["id"])
    address = next(
        each["value"]
        for each in new["attachments"][0]["details"]
        if each["name"] == "privateIPv4Address"
    )
    states = {each["Target"]["Id"]: each["TargetHealth"] for each in value}
    assert (states[address]["State"], states[address]["Reason"]) == (
        "unhealthy",
        "Target.ResponseCodeMismatch",
    )
    assert sorted(each["State"] for each in states.values()) == ["healthy", "unhealthy"]


def test_without_a_breaker_tasks_fail_without_end_until_somebody_stops_it(
    aws_endpoint: Endpoint,
) -> None:
    old = aws_endpoint.ecs.service("api", breaker=False).definition
    aws_endpoint.ecs.next("fail", cause="pull")
    service = update()
    assert [look(service)["status"] for _ in range(9)] == ["IN_PROGRESS"] * 9

    client("ecs").stop_service_deployment(
        serviceDeploymentArn=service["currentServiceDeployment"], stopType="ROLLBACK"
    )

    assert look(service)["status"] == "ROLLBACK_SUCCESSFUL"
    assert described()["taskDefinition"] == old
    again = refused(
        client("ecs").stop_service_deployment,
        serviceDeploymentArn=service["currentServiceDeployment"],
        stopType="ROLLBACK",
    )
    assert again["Code"] == "ConflictException"


def test_a_breaker_without_rollback_leaves_the_deployment_failed(aws_endpoint: Endpoint) -> None:
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    aws_endpoint.ecs.service("api", deploymentConfiguration=breaker)
    aws_endpoint.ecs.next("fail")
    service = update()

    assert look(service)["status"] == "STOPPED"
    assert rollouts(described()) == [("PRIMARY", "FAILED"), ("ACTIVE", "COMPLETED")]


@pytest.mark.parametrize(
    ("kind", "more", "states"),
    [
        (
            "breaker",
            {"rollback": "failed"},
            ["IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED"],
        ),
        ("alarm", {}, ["IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]),
        ("stopped", {}, ["IN_PROGRESS", "STOP_REQUESTED", "STOPPED"]),
        ("superseded", {}, ["IN_PROGRESS", "STOPPED"]),
        ("never", {}, ["IN_PROGRESS"]),
    ],
)
def test_each_outcome_passes_through_its_states(
    aws_endpoint: Endpoint, kind: str, more: dict[str, str], states: list[str]
) -> None:
    aws_endpoint.ecs.service("api")
    aws_endpoint.ecs.next(kind, looks=1, **more)
    service = update()

    assert list(dict.fromkeys(look(service)["status"] for _ in range(9))) == states


def test_a_foreign_deployment_takes_over(aws_endpoint: Endpoint) -> None:
    aws_endpoint.ecs.service("api", "busybox")
    aws_endpoint.ecs.next("superseded", looks=1)
    service = update()
    for _ in range(3):
        look(service)

    after = described()

    assert after["deployments"][0]["id"] != service["deployments"][0]["id"]
    definition = client("ecs").describe_task_definition(taskDefinition=after["taskDefinition"])[
        "taskDefinition"
    ]
    assert definition["containerDefinitions"][0]["image"] == "busybox-foreign"


@pytest.mark.parametrize("action", ["CONTINUE", "ROLLBACK"])
def test_a_pause_waits_for_an_answer(aws_endpoint: Endpoint, action: str) -> None:
    aws_endpoint.clock.stop()
    aws_endpoint.ecs.service("api")
    aws_endpoint.ecs.next("pause", stage="POST_SCALE_UP", timeout_minutes=30)
    service = update()
    for _ in range(5):
        document = look(service)
    hook = document["lifecycleHookDetails"][0]
    assert (document["status"], document["lifecycleStage"]) == ("IN_PROGRESS", "POST_SCALE_UP")
    assert (hook["targetType"], hook["status"], hook["timeoutAction"]) == (
        "PAUSE",
        "AWAITING_ACTION",
        "ROLLBACK",
    )
    assert (
        hook["expiresAt"].astimezone(UTC) - aws_endpoint.clock.now()
    ).total_seconds() == pytest.approx(1800, abs=0.01)

    arn = service["currentServiceDeployment"]
    client("ecs").continue_service_deployment(
        serviceDeploymentArn=arn, hookId=hook["hookId"], action=action
    )

    assert look(service)["status"] == (
        "SUCCESSFUL" if action == "CONTINUE" else "ROLLBACK_SUCCESSFUL"
    )


def test_a_pause_that_nobody_answers_times_out(aws_endpoint: Endpoint) -> None:
    aws_endpoint.clock.stop()
    hooks = [
        {
            "targetType": "PAUSE",
            "lifecycleStages": ["PRE_SCALE_UP"],
            "timeoutConfiguration": {"timeoutInMinutes": 5, "action": "CONTINUE"},
        }
    ]
    aws_endpoint.ecs.service("api", deploymentConfiguration={"strategy": "BLUE_GREEN"})
    service = update(deploymentConfiguration={"strategy": "BLUE_GREEN", "lifecycleHooks": hooks})
    assert look(service)["lifecycleStage"] == "PRE_SCALE_UP"

    aws_endpoint.clock.advance(301)

    document = look(service)
    assert (document["status"], document["lifecycleHookDetails"][0]["status"]) == (
        "SUCCESSFUL",
        "TIMED_OUT",
    )


@pytest.mark.parametrize(
    ("kind", "weights"),
    [("blue_green", [0, 100]), ("canary", [0, 5, 100]), ("linear", [0, *range(10, 101, 10)])],
)
def test_a_strategy_goes_through_the_stages_and_shifts_the_traffic(
    aws_endpoint: Endpoint, kind: str, weights: list[int]
) -> None:
    aws_endpoint.ecs.service("api")
    aws_endpoint.ecs.next(kind, looks=1)
    service = update()

    documents = [look(service) for _ in range(30)]

    assert (
        tuple(
            dict.fromkeys(each["lifecycleStage"] for each in documents if "lifecycleStage" in each)
        )
        == STAGES
    )
    assert (
        list(
            dict.fromkeys(
                each["targetServiceRevision"]["requestedProductionTrafficWeight"]
                for each in documents
            )
        )
        == weights
    )
    assert documents[-1]["status"] == "SUCCESSFUL"
    assert documents[0]["deploymentConfiguration"]["strategy"] == kind.upper()


def test_a_deployment_can_be_invisible_at_first(aws_endpoint: Endpoint) -> None:
    aws_endpoint.ecs.service("api")
    aws_endpoint.ecs.next(hidden=3)
    before = described()
    service = update()
    ecs = client("ecs")

    document = ecs.describe_service_deployments(
        serviceDeploymentArns=[service["currentServiceDeployment"]]
    )
    assert document["failures"][0]["reason"] == "MISSING"
    stale = described()
    assert (stale["taskDefinition"], stale["deployments"]) == (
        before["taskDefinition"],
        before["deployments"],
    )
    assert stale["currentServiceDeployment"] == before["currentServiceDeployment"]
    assert (
        len(ecs.list_service_deployments(cluster="main", service="api")["serviceDeployments"]) == 1
    )
    assert look(service)["status"] == "SUCCESSFUL"


def test_with_nothing_desired_every_deployment_succeeds_without_a_task(
    aws_endpoint: Endpoint,
) -> None:
    aws_endpoint.ecs.service("api", desired=0)
    aws_endpoint.ecs.next("breaker", cause="pull")
    service = update()

    assert look(service)["status"] == "SUCCESSFUL"
    assert described()["runningCount"] == 0


@pytest.mark.parametrize(
    ("history", "code"),
    [("unsupported", "UnsupportedFeatureException"), ("denied", "AccessDeniedException")],
)
def test_without_service_deployments_only_the_list_in_the_service_is_left(
    aws_endpoint: Endpoint, history: str, code: str
) -> None:
    aws_endpoint.ecs.service("api")
    aws_endpoint.ecs.history = history
    service = update()

    assert "currentServiceDeployment" not in service
    assert (
        refused(client("ecs").list_service_deployments, cluster="main", service="api")["Code"]
        == code
    )
    assert rollouts(described()) == [("PRIMARY", "COMPLETED")]


def test_deployments_are_listed_newest_first_by_status_time_and_page(
    aws_endpoint: Endpoint,
) -> None:
    aws_endpoint.clock.stop(datetime(2026, 1, 1, tzinfo=UTC))
    aws_endpoint.ecs.service("api")
    for kind in ("breaker", "success", "never"):
        aws_endpoint.clock.advance(60)
        aws_endpoint.ecs.next(kind)
        update()
    ecs = client("ecs")
    document = {"cluster": "main", "service": "api"}

    every = ecs.list_service_deployments(**document)["serviceDeployments"]
    assert [each["status"] for each in every] == [
        "IN_PROGRESS",
        "SUCCESSFUL",
        "ROLLBACK_SUCCESSFUL",
        "SUCCESSFUL",
    ]
    done = ecs.list_service_deployments(**document, status=["SUCCESSFUL"])["serviceDeployments"]
    assert [each["serviceDeploymentArn"] for each in done] == [
        every[1]["serviceDeploymentArn"],
        every[3]["serviceDeploymentArn"],
    ]
    late = ecs.list_service_deployments(
        **document, createdAt={"after": datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)}
    )["serviceDeployments"]
    assert late == every[:2]
    first = ecs.list_service_deployments(**document, maxResults=3)
    assert first["serviceDeployments"] == every[:3]
    assert (
        ecs.list_service_deployments(**document, maxResults=3, nextToken=first["nextToken"])[
            "serviceDeployments"
        ]
        == every[3:]
    )


def test_a_revision_knows_the_digests_that_its_images_had(aws_endpoint: Endpoint) -> None:
    repository = aws_endpoint.ecr.repository("backend")
    image = aws_endpoint.ecr.image("backend", "v1")
    service = aws_endpoint.ecs.service("api", f"{repository.uri}:v1")
    aws_endpoint.ecr.image("backend", "v1", content="moved")

    actual = client("ecs").describe_service_revisions(
        serviceRevisionArns=[service.latest.revision]
    )["serviceRevisions"][0]

    assert actual["containerImages"] == [
        {"containerName": "app", "image": f"{repository.uri}:v1", "imageDigest": image.digest}
    ]
    assert actual["taskDefinition"] == service.definition


def test_an_update_that_changes_nothing_of_the_tasks_begins_no_deployment(
    aws_endpoint: Endpoint,
) -> None:
    service = aws_endpoint.ecs.service("api", desired=1)
    value = client("ecs").update_service(
        cluster="main", service="api", desiredCount=3, taskDefinition=service.definition
    )["service"]

    assert len(value["deployments"]) == len(service.rollouts) == 1
    assert described()["runningCount"] == 3
    client("ecs").update_service(cluster="main", service="api", forceNewDeployment=True)
    assert len(service.rollouts) == 2


def test_what_is_not_there_is_said_as_aws_says_it(aws_endpoint: Endpoint) -> None:
    service = aws_endpoint.ecs.service("api")
    old = aws_endpoint.ecs.definition("old", "busybox").arn
    ecs = client("ecs")
    ecs.deregister_task_definition(taskDefinition=old)

    assert (
        refused(ecs.describe_services, cluster="none", services=["api"])["Code"]
        == "ClusterNotFoundException"
    )
    assert (
        ecs.describe_services(cluster="main", services=["none"])["failures"][0]["reason"]
        == "MISSING"
    )
    assert (
        refused(ecs.update_service, cluster="main", service="none")["Code"]
        == "ServiceNotFoundException"
    )
    inactive = refused(ecs.update_service, cluster="main", service="api", taskDefinition=old)
    assert (inactive["Code"], inactive["Message"]) == (
        "ClientException",
        "TaskDefinition is inactive",
    )
    assert (
        refused(
            ecs.register_task_definition, family="a", containerDefinitions=[{"name": "a"}], tags=[]
        )["Code"]
        == "InvalidParameterException"
    )
    service.status = "INACTIVE"
    assert (
        refused(ecs.update_service, cluster="main", service="api")["Code"]
        == "ServiceNotActiveException"
    )


def test_a_definition_that_is_registered_again_from_its_description_is_the_same(
    aws_endpoint: Endpoint,
) -> None:
    definition = aws_endpoint.ecs.definition("api", "busybox", tags={"a": "b"})
    ecs = client("ecs")
    described = ecs.describe_task_definition(taskDefinition=definition.arn, include=["TAGS"])
    accepted = ecs.meta.service_model.operation_model("RegisterTaskDefinition").input_shape.members
    again = {key: value for key, value in described["taskDefinition"].items() if key in accepted}

    document = ecs.register_task_definition(**again, tags=described["tags"])

    assert document["taskDefinition"]["revision"] == 2
    assert document["tags"] == [{"key": "a", "value": "b"}]
    assert {key: document["taskDefinition"][key] for key in again} == again


def test_a_task_on_its_own_runs_and_ends_as_the_test_says(aws_endpoint: Endpoint) -> None:
    aws_endpoint.clock.stop()
    aws_endpoint.ecs.service("api")
    aws_endpoint.ecs.next_task(exit_code=3, seconds=10, log=["migrating"])
    aws_endpoint.ecs.next_task(refused="RESOURCE:MEMORY")
    ecs = client("ecs")
    document = {
        "cluster": "main",
        "taskDefinition": "api",
        "clientToken": "token",
        "startedBy": "toolkit-1",
    }
    arn = ecs.run_task(**document)["tasks"][0]["taskArn"]

    assert ecs.run_task(**document)["tasks"][0]["taskArn"] == arn
    assert (
        ecs.run_task(cluster="main", taskDefinition="api")["failures"][0]["reason"]
        == "RESOURCE:MEMORY"
    )
    states = []
    for _ in range(3):
        states.append(ecs.describe_tasks(cluster="main", tasks=[arn])["tasks"][0]["lastStatus"])
        aws_endpoint.clock.advance(5)
    assert states == ["PENDING", "RUNNING", "STOPPED"]
    task = ecs.describe_tasks(cluster="main", tasks=[arn])["tasks"][0]
    assert (task["containers"][0]["exitCode"], task["startedBy"]) == (3, "toolkit-1")
    assert (
        client("logs").filter_log_events(logGroupName="/ecs/api")["events"][0]["message"]
        == "migrating"
    )
