"""What a deploy of an app decides without asking anybody."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.aws.wire import model
from tests.targets.apps import AppStage
from toolkit.errors import Refused
from toolkit.ports.aws import ecr, ecs
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import failures, rollout
from toolkit.targets.app.rollout import DeploymentKey

DESCRIBED_ONLY = {
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
}


# Task definitions


def filled(shape: Any) -> Any:
    """A value with every member that the model has."""
    kinds = {
        "boolean": True,
        "integer": 7,
        "long": 7,
        "double": 7.0,
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    }
    if shape.type_name == "structure":
        return {name: filled(member) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [filled(shape.member)]
    if shape.type_name == "map":
        return {"key": filled(shape.value)}
    return kinds.get(shape.type_name, shape.enum[0] if getattr(shape, "enum", None) else "value")


def test_every_field_of_the_installed_model_survives_a_round_trip(stage: AppStage) -> None:
    aws = stage.ports.aws(stage.job().location)
    full = filled(model("ecs").operation_model("RegisterTaskDefinition").input_shape)
    full["family"] = "full"
    full["tags"] = [{"key": "team", "value": "cars"}, {"key": "toolkit:run", "value": "r0"}]
    first = stage.endpoint.ecs.register_task_definition(copy.deepcopy(full))["taskDefinition"]
    stage.endpoint.ecs.definitions[first["taskDefinitionArn"]].tags.append(
        {"key": "aws:cloudformation:stack-name", "value": "x"}
    )
    definition = ecs.definition(aws, first["taskDefinitionArn"])
    assert definition is not None
    members = aws.members("ecs", "RegisterTaskDefinition")
    request = definitions.revised_definition(
        definition, members, ["value"], "host/name@sha256:1", {}, {}
    )
    shape = ecs.register(aws, request)
    again = ecs.definition(aws, shape["taskDefinitionArn"])
    assert again is not None
    sent = stage.endpoint.calls.of("ecs:RegisterTaskDefinition")[-1].params
    expected = copy.deepcopy(full)
    expected["containerDefinitions"][0]["image"] = "host/name@sha256:1"
    assert sent == expected
    for item in (definition, again):
        for key in DESCRIBED_ONLY & item.keys():
            del item[key]
    definition["containerDefinitions"][0]["image"] = "host/name@sha256:1"
    del definition["tags"]["aws:cloudformation:stack-name"]
    assert again == definition


def test_no_tags_are_no_empty_tags(stage: AppStage) -> None:
    stage.endpoint.ecs.service("plain", image=f"{stage.repository.uri}:old")
    stage.applied(stage.job({"service": "plain"}))
    [call] = stage.endpoint.calls.of("ecs:RegisterTaskDefinition")
    assert {tag["key"].partition(":")[0] for tag in call.params["tags"]} == {"toolkit"}


def task(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"family": "web", "containerDefinitions": list(containers), "tags": {}, **more}


OWN, THEIRS = (
    "111111111111.dkr.ecr.eu-west-1.amazonaws.com",
    "222222222222.dkr.ecr.eu-west-1.amazonaws.com",
)


@pytest.mark.parametrize(
    ("expected", "images", "lines"),
    [
        ("b", {"a": "x/backend:1", "b": "y:1"}, ("b",)),
        (None, {"a": "anything"}, ("a",)),
        (None, {"a": "host/backend:1", "b": "host/proxy:1"}, ("a",)),
        (None, {"a": "host/proxy", "b": "host:5000/backend@sha256:1"}, ("b",)),
        (None, {"a": "h/backend:1", "b": "h/proxy", "c": "h/backend:2"}, ("a", "c")),
        (None, {"a": f"{OWN}/backend:1", "b": f"{THEIRS}/backend:1"}, ("a", "b")),
    ],
)
def test_the_containers_are_the_named_one_the_only_one_or_all_of_the_repository(
    expected: str | None, images: dict[str, str], lines: tuple[str, ...]
) -> None:
    definition = task(*({"name": name, "image": image} for name, image in images.items()))
    assert definitions.containers_to_update(definition, expected, ecr.named("backend")) == lines


@pytest.mark.parametrize(
    "repository", [f"{THEIRS}/backend", "arn:aws:ecr:eu-west-1:222222222222:repository/backend"]
)
def test_a_repository_of_another_account_is_that_accounts_alone(repository: str) -> None:
    definition = task(
        {"name": "a", "image": f"{OWN}/backend:1"}, {"name": "b", "image": f"{THEIRS}/backend:1"}
    )
    assert definitions.containers_to_update(definition, None, ecr.named(repository)) == ("b",)


@pytest.mark.parametrize("images", [{"a": "h/x", "b": "h/y"}, {}])
def test_which_container_is_never_guessed(images: dict[str, str]) -> None:
    definition = task(*({"name": name, "image": image} for name, image in images.items()))
    with pytest.raises(Refused, match=", ".join(images) or "none"):
        definitions.containers_to_update(definition, None, ecr.named("backend"))
    with pytest.raises(Refused, match="the task has no container c, but"):
        definitions.containers_to_update(definition, "c", ecr.named("backend"))


@pytest.mark.parametrize(
    ("image", "repository", "tag", "digest"),
    [
        ("nginx", "nginx", None, None),
        ("nginx:1", "nginx", "1", None),
        ("host:5000/a/b", "host:5000/a/b", None, None),
        ("host:5000/a/b:1@sha256:2", "host:5000/a/b", "1", "sha256:2"),
        ("host/a@sha256:2", "host/a", None, "sha256:2"),
    ],
)
def test_an_image_is_taken_apart(
    image: str, repository: str, tag: str | None, digest: str | None
) -> None:
    assert (
        definitions.repository_of(image),
        definitions.tag_of(image),
        definitions.digest_of(image),
    ) == (repository, tag, digest)


def test_a_variable_is_a_value_or_a_secret_and_the_others_stay() -> None:
    before = {
        "name": "a",
        "image": "x",
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "secrets": [{"name": "C", "valueFrom": "arn:c"}, {"name": "D", "valueFrom": "arn:d"}],
    }
    revised_definition = definitions.revised_definition(
        task(before),
        {"family", "containerDefinitions"},
        ["a"],
        "y",
        {"A": "3", "C": "4"},
        {"B": "arn:b"},
    )
    [after] = revised_definition["containerDefinitions"]
    assert after["environment"] == [{"name": "A", "value": "3"}, {"name": "C", "value": "4"}]
    assert after["secrets"] == [
        {"name": "D", "valueFrom": "arn:d"},
        {"name": "B", "valueFrom": "arn:b"},
    ]


def test_other_containers_are_left_alone() -> None:
    first, document = (
        {"name": "a", "image": "x"},
        {
            "name": "b",
            "image": "x",
            "environment": [{"name": "A", "value": "1"}],
        },
    )
    revised_definition = definitions.revised_definition(
        task(first, document), {"containerDefinitions"}, ["a"], "y", {"A": "3"}, {}
    )
    assert revised_definition["containerDefinitions"][1] == document


variables = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from("12")), unique_by=lambda item: item[0]
).map(lambda pairs: [{"name": name, "value": value} for name, value in pairs])


@given(variables, variables)
def test_definitions_are_equal_if_their_variables_are_in_any_order(
    by_names: list[dict[str, str]], tables: list[dict[str, str]]
) -> None:
    first, second = (
        task({"name": "a", "environment": by_names}),
        task({"name": "a", "environment": tables}),
    )
    as_map = [{each["name"]: each["value"] for each in result} for result in (by_names, tables)]
    assert definitions.is_copy(first, second) == (as_map[0] == as_map[1])


def test_another_image_is_another_definition_and_other_tags_are_not() -> None:
    document = task({"name": "a", "image": "x"}, cpu="256")
    assert definitions.is_copy(
        {**document, "revision": 3}, {**document, "tags": {"toolkit:run": "r"}}
    )
    assert not definitions.is_copy(document, task({"name": "a", "image": "y"}, cpu="256"))
    assert not definitions.is_copy(document, task({"name": "a", "image": "x"}, cpu="512"))


@pytest.mark.parametrize(
    ("runtime", "platform"),
    [
        (None, "linux/amd64"),
        ({"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}, "linux/arm64"),
        ({"cpuArchitecture": "X86_64"}, "linux/amd64"),
        ({"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}, None),
    ],
)
def test_tasks_have_a_platform(runtime: dict[str, str] | None, platform: str | None) -> None:
    assert definitions.platform_of({"runtimePlatform": runtime}) == platform


LOGGED = {"awslogs-group": "g", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "p"}


@pytest.mark.parametrize(
    ("driver", "options", "stream"),
    [
        ("awslogs", LOGGED, ("g", "p/a/1234")),
        ("awslogs", {"awslogs-group": "g"}, None),
        ("awsfirelens", LOGGED, None),
        (None, {}, None),
    ],
)
def test_the_stream_of_a_task_is_only_known_with_a_prefix(
    driver: str | None, options: dict[str, str], stream: object
) -> None:
    container = (
        {"name": "a", "logConfiguration": {"logDriver": driver, "options": options}}
        if driver
        else {"name": "a"}
    )
    assert definitions.log_stream(container, "1234") == stream


# Stopped tasks


def stopped(
    code: str, why: str, reason: str = "", exit_code: int | None = None, name: str = "app"
) -> dict[str, Any]:
    container: dict[str, Any] = (
        {"name": name}
        | ({"reason": reason} if reason else {})
        | ({} if exit_code is None else {"exitCode": exit_code})
    )
    return {
        "taskArn": "arn:aws:ecs:r:a:task/main/1234",
        "stopCode": code,
        "stoppedReason": why,
        "containers": [container],
    }


KINDS = [
    (
        "image",
        stopped(
            "TaskFailedToStart",
            "CannotPullContainerError: pull image manifest: failed to resolve ref x: not found",
        ),
    ),
    (
        "image",
        stopped(
            "TaskFailedToStart", "CannotPullContainerError: status code [manifests]: 403 Forbidden"
        ),
    ),
    (
        "image",
        stopped(
            "TaskFailedToStart",
            "Task failed to start",
            "CannotPullImageManifestError: image Manifest does not match platform",
        ),
    ),
    ("transient", stopped("TaskFailedToStart", "CannotPullContainerError: dial tcp: i/o timeout")),
    (
        "transient",
        stopped(
            "TaskFailedToStart",
            "CannotPullContainerError: toomanyrequests: You have reached your pull rate limit",
        ),
    ),
    (
        "secret",
        stopped(
            "TaskFailedToStart",
            "ResourceInitializationError: unable to pull secrets or registry auth:"
            " ResourceNotFoundException",
        ),
    ),
    (
        "secret",
        stopped(
            "TaskFailedToStart",
            "ResourceInitializationError: unable to retrieve secrets from ssm:"
            " AccessDeniedException",
        ),
    ),
    (
        "transient",
        stopped(
            "TaskFailedToStart",
            "ResourceInitializationError: unable to pull secrets: context deadline exceeded",
        ),
    ),
    (
        "configuration",
        stopped(
            "TaskFailedToStart",
            "ResourceInitializationError: failed to validate logger args: no such log group",
        ),
    ),
    (
        "configuration",
        stopped(
            "TaskFailedToStart",
            "Task failed to start",
            'CannotStartContainerError: exec: "/x": executable file not found',
        ),
    ),
    (
        "configuration",
        stopped(
            "EssentialContainerExited",
            "Essential container in task exited",
            "exec /app: exec format error",
            1,
        ),
    ),
    ("crash", stopped("EssentialContainerExited", "Essential container in task exited", "", 3)),
    ("crash", stopped("EssentialContainerExited", "Essential container in task exited", "", 0)),
    (
        "unhealthy",
        stopped(
            "ServiceSchedulerInitiated",
            "Task failed ELB health checks in (target-group x)",
            "",
            143,
        ),
    ),
    (
        "unhealthy",
        stopped("ServiceSchedulerInitiated", "Task failed container health checks", "", 137),
    ),
    ("transient", stopped("SpotInterruption", "Your Spot Task was interrupted.")),
    ("transient", stopped("UserInitiated", "Task stopped by user", "", 143)),
    ("other", stopped("TaskFailedToStart", "Something new")),
    (
        None,
        stopped(
            "ServiceSchedulerInitiated",
            "Scaling activity initiated by (deployment ecs-svc/1)",
            "",
            143,
        ),
    ),
    (None, stopped("ServiceSchedulerInitiated", "Amazon ECS replaces the task", "", 143)),
]


@pytest.mark.parametrize(
    ("kind", "task"), KINDS, ids=[f"{kind}-{number}" for number, (kind, _) in enumerate(KINDS)]
)
def test_a_stopped_task_is_of_one_kind(kind: str | None, task: dict[str, Any]) -> None:
    failure = failures.failure_of(task)
    assert (failure.sort if failure else None) == kind


@pytest.mark.parametrize(
    ("why", "reason", "cause"),
    [
        ("", "", "a task stopped without a reason"),
        ("", "no such volume", "no such volume"),
        ("Task failed", "", "Task failed"),
        ("Task failed: no such volume", "no such volume", "Task failed: no such volume"),
        ("no such volume", "Task failed: no such volume", "Task failed: no such volume"),
        ("Task failed", "no such volume", "Task failed: no such volume"),
    ],
)
def test_the_cause_has_the_words_of_ecs_and_of_the_container_none_twice(
    why: str, reason: str, cause: str
) -> None:
    task = stopped("TaskFailedToStart", why, reason)
    failure = failures.failure_of(task)
    assert failure is not None
    assert failure.cause == cause


def test_the_cause_names_the_container_that_ended_badly_in_one_line() -> None:
    document = stopped(
        "EssentialContainerExited", "Essential container in task exited", "", 0, "sidecar"
    )
    document["containers"].append(
        {"name": "web", "exitCode": 137, "reason": "OutOfMemoryError:\n killed"}
    )
    failure = failures.failure_of(document)
    assert failure is not None
    assert (failure.container, failure.cause, failure.id) == (
        "web",
        "container web exited with code 137: OutOfMemoryError: killed",
        "1234",
    )


def failed(kind: str, number: int = 0) -> failures.Failure:
    return failures.Failure(f"task/{number}", failures.FailureSort(kind), f"{kind} {number}")


@pytest.mark.parametrize(
    ("kinds", "healthy", "text"),
    [
        (["transient", "image"], True, "image"),
        (["secret"], False, "secret"),
        (["configuration"], True, "configuration"),
        (["crash"], False, None),
        (["crash", "crash"], False, "crash"),
        (["crash", "crash"], True, None),
        (["unhealthy", "unhealthy"], False, None),
        (["unhealthy", "unhealthy", "unhealthy"], False, "unhealthy"),
        (["transient"] * 9, False, None),
        (["other"] * 9, False, None),
        ([], False, None),
    ],
)
def test_only_what_cannot_pass_is_hopeless(
    kinds: list[str], healthy: bool, text: str | None
) -> None:
    permanent_failure = failures.permanent_failure(
        [failed(kind, number) for number, kind in enumerate(kinds)], healthy
    )
    assert (permanent_failure.sort if permanent_failure else None) == text


def test_the_worst_failure_is_the_one_that_tells_most() -> None:
    assert failures.worst_failure(
        [failed("transient"), failed("crash"), failed("other")]
    ) == failed("crash")
    assert failures.worst_failure([]) is None


# Deployments


def entry(
    id: str,
    definition: str,
    status: str = "PRIMARY",
    state: str | None = "COMPLETED",
    running: int = 1,
    **more: Any,
) -> dict[str, Any]:
    document = {
        "id": id,
        "status": status,
        "taskDefinition": definition,
        "runningCount": running,
        "desiredCount": 1,
        **more,
    }
    return document | ({"rolloutState": state} if state else {})


SOUGHT = DeploymentKey("new", id="2", before="1", previous="old")


@pytest.mark.parametrize(
    ("deployments", "state"),
    [
        ([entry("1", "old")], "unseen"),
        ([], "unseen"),
        ([entry("2", "new", state="IN_PROGRESS"), entry("1", "old", "ACTIVE")], "running"),
        ([entry("2", "new")], "complete"),
        (
            [entry("2", "new", running=0)],
            "running",
        ),  # an emulator says COMPLETED before a task runs
        ([entry("2", "new", state="FAILED")], "failed"),
        ([entry("2", "new", state=None)], "complete"),
        ([entry("2", "new", state=None, running=0), entry("1", "old", "ACTIVE", None)], "running"),
        ([entry("2", "new", state=None), entry("1", "old", "ACTIVE", None)], "running"),
        ([entry("2", "new", state=None), entry("1", "old", "ACTIVE", None, 0)], "complete"),
        (
            [entry("3", "old", state="IN_PROGRESS"), entry("2", "new", "ACTIVE", "FAILED")],
            "reverting",
        ),
        (
            [entry("1", "old", state="IN_PROGRESS"), entry("2", "new", "ACTIVE", "FAILED")],
            "reverting",
        ),
        ([entry("3", "old")], "reverted"),
        ([entry("3", "other", state="IN_PROGRESS"), entry("2", "new", "ACTIVE")], "superseded"),
        ([entry("3", "other")], "superseded"),
    ],
)
def test_the_deployments_of_a_service_tell_how_ours_goes(
    deployments: list[dict[str, Any]], state: str
) -> None:
    assert rollout.read_service({"deployments": deployments}, SOUGHT).state == state


def test_a_definition_that_was_live_before_is_only_ours_by_another_id() -> None:
    sought = DeploymentKey("old", before="1")
    assert rollout.own_deployment({"deployments": [entry("1", "old")]}, sought) is None
    assert rollout.own_deployment(
        {"deployments": [entry("2", "old"), entry("1", "old", "ACTIVE")]}, sought
    ) == entry("2", "old")


STATUSES = {
    "PENDING": "running",
    "IN_PROGRESS": "running",
    "STOP_REQUESTED": "running",
    "ROLLBACK_REQUESTED": "reverting",
    "ROLLBACK_IN_PROGRESS": "reverting",
    "ROLLBACK_SUCCESSFUL": "reverted",
    "ROLLBACK_FAILED": "failed",
    "STOPPED": "stopped",
    "SUCCESSFUL": "complete",
}


@pytest.mark.parametrize("status", sorted(model("ecs").shape_for("ServiceDeploymentStatus").enum))
def test_every_status_that_the_model_knows_has_its_meaning(status: str) -> None:
    service = {"deployments": [entry("2", "new", state="IN_PROGRESS")]}
    assert (
        rollout.read_deployment({"status": status}, service, SOUGHT, "web").state
        == STATUSES[status]
    )


def test_a_status_that_nobody_knows_yet_is_no_end() -> None:
    assert (
        rollout.read_deployment({"status": "NEW"}, {"deployments": []}, SOUGHT, "web").state
        == "running"
    )


@pytest.mark.parametrize("status", ["SUCCESSFUL", "STOPPED"])
@pytest.mark.parametrize(("now", "state"), [("other", "superseded"), ("old", "reverted")])
def test_what_moved_on_is_superseded_or_taken_back(status: str, now: str, state: str) -> None:
    reading = rollout.read_deployment(
        {"status": status}, {"deployments": [entry("3", now)]}, SOUGHT, "web"
    )
    assert reading.state == state


def test_the_breaker_the_alarms_and_the_traffic_are_told() -> None:
    deployment = {
        "status": "IN_PROGRESS",
        "lifecycleStage": "BAKE_TIME",
        "deploymentConfiguration": {"strategy": "CANARY", "bakeTimeInMinutes": 5},
        "targetServiceRevision": {
            "requestedProductionTrafficWeight": 12.5,
            "runningTaskCount": 1,
            "requestedTaskCount": 2,
        },
        "deploymentCircuitBreaker": {"failureCount": 1, "threshold": 3},
    }
    reading = rollout.read_deployment(deployment, {"deployments": []}, SOUGHT, "web")
    assert (
        reading.phase
        == "canary: baking for 5 min, 1 of 2 tasks running, 12.5 % of the traffic, the circuit"
        " breaker counts 1 of 3 failures"
    )
    assert reading.failed == 1


@pytest.mark.parametrize(
    "stage", sorted(model("ecs").shape_for("ServiceDeploymentLifecycleStage").enum)
)
def test_every_stage_that_the_model_knows_has_words(stage: str) -> None:
    deployment = {
        "status": "IN_PROGRESS",
        "lifecycleStage": stage,
        "deploymentConfiguration": {"strategy": "BLUE_GREEN"},
    }
    phase = rollout.read_deployment(deployment, {"deployments": []}, SOUGHT, "web").phase
    assert phase.startswith("blue/green: ")
    assert stage.lower().replace("_", " ") not in phase or stage == "NEW"


def test_what_serves_is_the_last_complete_deployment() -> None:
    old, new = entry("1", "old", "ACTIVE"), entry("2", "new", state="IN_PROGRESS")
    assert rollout.serving_deployment({"deployments": [new, old]}) == old
    assert rollout.serving_deployment({"deployments": [new]}) == new
    assert rollout.serving_deployment({"deployments": [entry("2", "new"), old]}) == entry(
        "2", "new"
    )
    assert rollout.serving_deployment({"deployments": [entry("2", "new", running=0)]}) == {}
