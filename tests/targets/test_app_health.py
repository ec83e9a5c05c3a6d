"""How an app is told: each part in each state, with its cause and what mends it, on the scripted
AWS.
"""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint, Outcome
from tests.targets.apps import COMMIT, AppStage
from toolkit.operations import Finding, HealthStatus, Job, LiveVersion
from toolkit.ports.aws import client
from toolkit.ports.aws.balancers import TargetHealth
from toolkit.show.advice import sentence
from toolkit.targets.app import health
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.task_logs import TaskLog

LOGS = "fix what its log says: aws logs tail /ecs/web --since 1h; then `toolkit deploy-app web`"
ASK = "fix what ECS reports; its events: aws ecs describe-services --cluster main --services web"
WAIT = "wait for it: aws ecs wait services-stable --cluster main --services web"
SCALE = "aws ecs update-service --cluster main --service web"
AGAIN = "toolkit deploy-app web"
BY_SERVICE = {"ClusterName": "main", "ServiceName": "web"}


def told(
    stage: AppStage, job: Job | None = None, **settings: Any
) -> tuple[dict[str, Finding], LiveVersion | None]:
    """What is told, by what it is about, and what runs."""
    findings: list[Finding] = []
    live = app.health(job or stage.job(settings), stage.ports, findings.append)
    return checked(findings), live


def checked(findings: list[Finding]) -> dict[str, Finding]:
    """By what they are about, once it is sure that each says all that it has to."""
    assert len({item.what for item in findings}) == len(findings)
    for finding in findings:
        assert isinstance(finding.status, HealthStatus)
        assert (finding.status == "ok") is (not finding.cause) is (not finding.next), finding
        assert "\n" not in finding.cause
        assert finding.since is None or datetime.fromisoformat(
            finding.since
        ).utcoffset() == timedelta(0)
    return {item.what: item for item in findings}


def words(signs: Mapping[str, Finding]) -> dict[str, str]:
    return {what: item.status for what, item in signs.items()}


def fail(stage: AppStage, cause: str = "exit", count: int = 1, **more: Any) -> None:
    """Tasks of what runs fail, and are replaced."""
    for _ in range(count):
        stage.endpoint.ecs.fail_task(
            stage.service, stage.service.latest, Outcome("fail", cause=cause, **more)
        )


def short(stage: AppStage) -> None:
    """Nothing of what should run does."""
    stage.service.latest.running = 0


def unwatched(stage: AppStage) -> None:
    """Deploy, and leave it to ECS how it ends."""
    stage.applied()
    while stage.service.latest.open:
        stage.clock.advance(5)
        stage.endpoint.ecs.describe_services({"cluster": "main", "services": ["web"]})


def group(stage: AppStage, name: str = "web") -> dict[tuple[str, int], Any]:
    return stage.endpoint.elbv2.group(name).targets


@pytest.fixture
def balanced(endpoint: Endpoint, tmp_path: Path) -> AppStage:
    """Two tasks behind a load balancer."""
    return AppStage(endpoint, tmp_path, group="web", desired=2)


# all is well


def test_an_app_in_order_is_ok_in_every_part_and_its_version_is_what_runs(
    balanced: AppStage,
) -> None:
    signs, live = told(balanced)
    assert {what: (item.status, item.detail) for what, item in signs.items()} == {
        "service": ("ok", "2 of 2 tasks running"),
        "deployment": ("ok", "web:1 is deployed"),
        "tasks": ("ok", "no task failed in the last hour"),
        "image": ("ok", f"{balanced.old.digest[:19]} is in ECR"),
        "targets": ("ok", "2 of 2 targets healthy"),
    }
    assert live is not None
    assert live == app.live(balanced.job(), balanced.ports)
    assert (live.version, live.commit, live.detail["digest"]) == (
        "old",
        "0" * 40,
        balanced.old.digest,
    )


def test_each_thing_is_asked_for_once_and_nothing_is_changed(balanced: AppStage) -> None:
    told(balanced)
    assert sorted(balanced.endpoint.calls.names()) == [
        "cloudwatch:DescribeAlarms",
        "ecr:DescribeImages",
        "ecs:DescribeServices",
        "ecs:DescribeTaskDefinition",
        "ecs:ListTasks",
        "elbv2:DescribeTargetHealth",
    ]


def test_after_a_deploy_all_is_well_again(balanced: AppStage) -> None:
    fail(balanced, count=2)
    balanced.clock.advance(60)
    assert balanced.deployed()[0].verdict == "succeeded"
    signs, live = told(balanced)
    assert set(words(signs).values()) == {"ok"}, signs
    assert live is not None
    assert live.version == COMMIT


# the service


def test_a_service_that_is_not_there_is_one_failure(stage: AppStage) -> None:
    signs, live = told(stage, service="gone")
    assert (words(signs), live) == ({"service": "failing"}, None)
    assert signs["service"].cause == "there is no ECS service gone in cluster main (eu-west-1)"
    assert sentence(signs["service"].next) == "correct its name in rules.toml, or create it first"


def test_a_service_that_was_deleted_is_not_there(stage: AppStage) -> None:
    stage.service.status = "INACTIVE"
    signs, live = told(stage)
    assert (words(signs), live) == ({"service": "failing"}, None)
    assert signs["service"].cause.startswith("there is no ECS service web")


def test_a_cluster_that_is_not_there_is_one_failure(stage: AppStage) -> None:
    signs, live = told(stage, cluster="gone")
    assert (words(signs), live) == ({"service": "failing"}, None)
    assert signs["service"].cause == "there is no ECS cluster gone in eu-west-1"


def test_a_service_that_is_being_deleted_is_failing(stage: AppStage) -> None:
    stage.service.status = "DRAINING"
    signs, _ = told(stage)
    assert words(signs) == {"service": "failing"}
    assert signs["service"].cause == "service web is DRAINING: it is being deleted"


def test_a_service_that_is_scaled_to_none_is_failing(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, desired=0, group="web")
    signs, live = told(stage)
    assert words(signs) == {"service": "failing", "deployment": "ok", "tasks": "ok", "image": "ok"}
    assert (signs["service"].cause, live) == ("the desired count is 0: nothing runs", None)
    assert sentence(signs["service"].next) == f"{SCALE} --desired-count 1"


@pytest.mark.parametrize(
    ("desired", "least", "status", "cause"),
    [
        (0, 0, "ok", ""),
        (1, 0, "ok", ""),
        (1, 1, "ok", ""),
        (0, 2, "failing", "the desired count is 0: nothing runs"),
        (1, 2, "failing", "the desired count is 1: rules.toml says `min_tasks = 2`"),
        (2, 2, "ok", ""),
    ],
)
def test_fewer_tasks_than_rules_toml_allows_are_failing(
    endpoint: Endpoint, tmp_path: Path, desired: int, least: int, status: str, cause: str
) -> None:
    finding = told(AppStage(endpoint, tmp_path, desired=desired), min_tasks=least)[0]["service"]
    assert (finding.status, finding.cause) == (status, cause)
    assert not cause or sentence(finding.next).endswith(f" --desired-count {least}")


def test_a_service_without_machines_to_run_on_is_told_to_get_some(stage: AppStage) -> None:
    service = {"status": "ACTIVE", "desiredCount": 0, "schedulingStrategy": "DAEMON"}
    finding = health.service_finding(stage.job(), service, None, TaskLog())
    assert (finding.status, sentence(finding.next)) == (
        "failing",
        "add a container instance to the cluster",
    )


def test_a_log_in_another_region_is_shown_with_the_region(stage: AppStage) -> None:
    for definition in stage.endpoint.ecs.definitions.values():
        options = definition.body["containerDefinitions"][0]["logConfiguration"]["options"]
        options["awslogs-region"] = "us-west-2"
    fail(stage, exit_code=7)
    short(stage)
    finding = told(stage)[0]["service"]
    assert sentence(finding.next) == LOGS.replace("1h", "1h --region us-west-2")


def test_too_few_tasks_are_failing_for_what_a_task_says(stage: AppStage) -> None:
    fail(stage, exit_code=7)
    short(stage)
    stage.endpoint.ecs.event(
        stage.service, "is unable to consistently start tasks successfully."
    )  # and this says nothing
    finding = told(stage)[0]["service"]
    assert (finding.status, finding.detail, sentence(finding.next)) == (
        "failing",
        "0 of 1 tasks running",
        LOGS,
    )
    assert finding.cause == "container app exited with code 7"


def test_too_few_tasks_are_failing_for_what_ecs_says_where_no_task_does(stage: AppStage) -> None:
    stage.endpoint.ecs.event(stage.service, "is unable to consistently start tasks successfully.")
    short(stage)
    assert told(stage)[0]["service"].cause == "is unable to consistently start tasks successfully."


def test_that_there_is_no_place_for_a_task_says_more_than_one_that_failed_before(
    stage: AppStage,
) -> None:
    fail(stage)
    fail(stage, "place")
    short(stage)
    assert told(stage)[0]["service"].cause.startswith(
        "was unable to place a task because no container instance met all"
    )


def test_trouble_from_before_the_last_steady_state_is_no_cause(stage: AppStage) -> None:
    fail(stage, "place")
    stage.endpoint.ecs.event(stage.service, "has reached a steady state.")
    short(stage)
    assert told(stage)[0]["service"].cause == "ECS does not say why"


def test_a_service_of_another_controller_is_only_looked_at(stage: AppStage) -> None:
    """CodeDeploy has task sets instead of deployments."""
    arn = stage.endpoint.elbv2.group("green").arn
    stage.endpoint.elbv2.health(arn, "10.0.0.9", "healthy")
    sets = [
        {
            "id": "ecs-svc/2",
            "status": "PRIMARY",
            "taskDefinition": stage.first.arn,
            "runningCount": 1,
            "loadBalancers": [
                {"targetGroupArn": arn, "containerName": "app", "containerPort": 8080}
            ],
            "createdAt": stage.endpoint.clock.now(),
        }
    ]
    document = {
        "serviceName": "web",
        "serviceArn": stage.service.arn,
        "status": "ACTIVE",
        "desiredCount": 1,
        "runningCount": 1,
        "deployments": [],
        "deploymentController": {"type": "CODE_DEPLOY"},
        "taskSets": sets,
        "taskDefinition": stage.first.arn,
        "loadBalancers": [
            {
                "targetGroupArn": stage.endpoint.elbv2.group("blue").arn,
                "containerName": "app",
                "containerPort": 8080,
            }
        ],
    }
    stage.endpoint.on("ecs", "DescribeServices", {"services": [document], "failures": []})
    signs, live = told(stage)
    assert words(signs) == {"service": "ok", "tasks": "ok", "image": "ok", "targets": "ok"}
    assert live is not None
    assert live.version == "old"


# the last deployment


def test_a_deployment_in_progress_is_a_warning_and_the_version_before_runs(stage: AppStage) -> None:
    stage.endpoint.ecs.next("success", seconds=600)
    stage.applied()
    signs, live = told(stage)
    actual = signs.pop("deployment")
    assert set(words(signs).values()) == {"ok"}
    assert (actual.status, actual.detail, sentence(actual.next)) == (
        "warning",
        "0 of 1 tasks running",
        WAIT,
    )
    began = datetime.fromisoformat(actual.since or "")
    assert abs(began - datetime.now(UTC)) < timedelta(minutes=1)
    assert actual.cause == f"a deployment is in progress since {began:%Y-%m-%d %H:%M} UTC"
    assert live is not None
    assert live.version == "old"


def test_one_that_waits_for_a_person_says_how_to_go_on(stage: AppStage) -> None:
    stage.endpoint.ecs.next("pause")
    stage.applied()
    finding = told(stage)[0]["deployment"]
    assert (finding.status, finding.detail[:18]) == ("warning", "waits for approval")
    assert sentence(finding.next).startswith(
        "aws ecs continue-service-deployment --service-deployment-arn "
    )


@pytest.mark.parametrize("history", ["on", "unsupported", "denied"])
def test_one_whose_tasks_only_fail_is_failing_with_their_cause(
    endpoint: Endpoint, tmp_path: Path, history: str
) -> None:
    stage = AppStage(endpoint, tmp_path, breaker=False)
    endpoint.ecs.history = history
    endpoint.ecs.next("fail", cause="exit", failures=3)
    stage.applied()
    told(
        stage
    )  # the scripted tasks fail when the service is looked at, which may be after they were listed
    signs, _ = told(stage)
    actual = signs["deployment"]
    assert (actual.status, actual.cause, sentence(actual.next)) == (
        "failing",
        "its tasks fail: container app exited with code 3",
        LOGS,
    )
    assert actual.detail == "0 of 1 tasks running, 3 failed"
    assert (signs["tasks"].status, signs["tasks"].detail) == (
        "warning",
        "3 tasks failed in the last hour",
    )  # the old one still runs
    assert signs["service"].status == "ok"


ROLLED_BACK = {
    "exit": "container app exited with code 3",
    "pull": "CannotPullContainerError: pull image manifest has been retried 1 time(s)",
    "secret": "ResourceInitializationError: unable to pull secrets",
    "unhealthy": "Task failed ELB health checks in (target-group",
}


@pytest.mark.parametrize("history", ["on", "unsupported", "denied"])
@pytest.mark.parametrize("cause", ROLLED_BACK)
def test_one_that_was_rolled_back_is_a_warning_with_what_its_tasks_say(
    balanced: AppStage, cause: str, history: str
) -> None:
    balanced.endpoint.ecs.history = history
    balanced.endpoint.ecs.next("breaker", cause=cause, seconds=1)
    unwatched(balanced)
    assert balanced.service.latest.status == "ROLLBACK_SUCCESSFUL"
    signs, live = told(balanced)
    actual = signs.pop("deployment")
    assert (actual.status, actual.detail, sentence(actual.next)) == (
        "warning",
        "rolled back",
        AGAIN,
    )
    assert actual.cause.startswith(f"the last deployment was rolled back: {ROLLED_BACK[cause]}")
    assert words(signs) == {"service": "ok", "tasks": "warning", "image": "ok", "targets": "ok"}
    assert live is not None
    assert live.version == "old"


def test_one_that_is_being_rolled_back_is_a_warning(stage: AppStage) -> None:
    stage.endpoint.ecs.next("breaker", cause="exit", seconds=5)
    stage.applied()
    for _ in range(8):
        stage.clock.advance(5)
        if (finding := told(stage)[0]["deployment"]).detail == "rolling back":
            break
    assert (finding.status, finding.detail, sentence(finding.next)) == (
        "warning",
        "rolling back",
        WAIT,
    )
    assert (
        finding.cause
        == "the last deployment is being rolled back: container app exited with code 3"
    )


@pytest.mark.parametrize("history", ["on", "unsupported"])
def test_one_that_toolkit_has_taken_back_says_why_its_tasks_failed(
    endpoint: Endpoint, tmp_path: Path, history: str
) -> None:
    """Without service deployments that is a deployment of the version before, and as good as
    any.
    """
    stage = AppStage(endpoint, tmp_path, breaker=False)
    endpoint.ecs.history = history
    endpoint.ecs.next("fail", cause="pull", failures=1)
    assert stage.deployed()[0].verdict == "rolled-back"
    finding = told(stage)[0]["deployment"]
    assert finding.status == ("warning" if history == "on" else "ok")
    assert finding.cause.startswith(
        "the last deployment was rolled back: CannotPull" if history == "on" else ""
    )


def test_without_its_tasks_the_word_of_ecs_is_told(stage: AppStage) -> None:
    stage.endpoint.ecs.next("breaker", seconds=1)
    unwatched(stage)
    stage.endpoint.ecs.cluster("main").tasks.clear()  # an hour later
    why = "Service deployment rolled back because the circuit breaker threshold was exceeded."
    assert told(stage)[0]["deployment"].cause == f"the last deployment was rolled back: {why}"


def test_one_that_an_alarm_has_taken_back_names_it_and_no_task(stage: AppStage) -> None:
    stage.endpoint.ecs.next("alarm")
    stage.deployed()
    stage.endpoint.ecs.fail_task(stage.service, stage.service.latest, Outcome("fail", cause="exit"))
    finding = told(stage)[0]["deployment"]
    why = (
        "Service deployment rolled back because one or more CloudWatch alarms were triggered."
        " (alarm too-many-errors)"
    )
    assert (finding.status, finding.cause) == (
        "warning",
        f"the last deployment was rolled back: {why}",
    )


def test_a_rollback_that_failed_is_failing(stage: AppStage) -> None:
    stage.endpoint.ecs.next("alarm", rollback="failed")
    stage.deployed()
    finding = told(stage)[0]["deployment"]
    assert (finding.status, sentence(finding.next)) == ("failing", "toolkit rollback web")
    assert finding.cause.startswith(
        "the last deployment failed: ECS could not roll back: Service deployment rolled back"
        " because"
    )


@pytest.mark.parametrize("history", ["on", "unsupported"])
def test_one_that_failed_and_was_not_taken_back_is_failing(
    endpoint: Endpoint, tmp_path: Path, history: str
) -> None:
    stage = AppStage(
        endpoint,
        tmp_path,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": False}},
    )
    endpoint.ecs.history = history
    endpoint.ecs.next("fail", cause="exit", seconds=1)
    unwatched(stage)
    finding = told(stage)[0]["deployment"]
    assert (finding.status, finding.cause.partition(": ")[2]) == (
        "failing",
        "container app exited with code 3",
    )


def test_one_that_somebody_stopped_is_failing(stage: AppStage) -> None:
    stage.endpoint.ecs.next("stopped")
    stage.deployed()
    finding = told(stage)[0]["deployment"]
    assert (finding.status, finding.cause) == (
        "failing",
        "the last deployment was stopped: Service deployment stopped by the user.",
    )


@pytest.mark.parametrize("later", [1, 60])
def test_after_one_that_was_rolled_back_a_good_one_is_ok(stage: AppStage, later: int) -> None:
    stage.endpoint.ecs.next("breaker", seconds=1)
    unwatched(stage)
    stage.clock.advance(later)
    stage.deployed(stage.job(token="t-2"))
    stage.endpoint.calls.clear()
    signs, _ = told(stage)
    assert set(words(signs).values()) == {"ok"}, signs
    assert stage.endpoint.calls.count("DescribeServiceDeployments") == (1 if later == 1 else 0)


def test_a_current_deployment_that_is_the_one_before_is_not_taken_for_the_last(
    stage: AppStage,
) -> None:
    before = stage.service.latest.arn
    stage.endpoint.ecs.next("breaker", cause="exit", seconds=1)
    unwatched(stage)
    whole = stage.endpoint.ecs.describe_services(
        {"cluster": "main", "services": ["web"], "include": ["TAGS"]}
    )
    whole["services"][0]["currentServiceDeployment"] = before
    stage.endpoint.on("ecs", "DescribeServices", whole)
    finding = told(stage)[0]["deployment"]
    assert (finding.status, finding.detail) == ("warning", "rolled back")


def test_one_that_ecs_does_not_show_yet_is_not_taken_for_the_complete_one_before(
    stage: AppStage,
) -> None:
    stage.endpoint.ecs.next("success", seconds=600)
    stage.applied()
    arn = stage.service.rollouts[0].arn
    brief = {
        "serviceDeploymentArn": arn,
        "status": "SUCCESSFUL",
        "createdAt": stage.service.created,
    }
    stage.endpoint.on(
        "ecs", "DescribeServiceDeployments", {"serviceDeployments": [brief], "failures": []}
    )
    stage.endpoint.on("ecs", "ListServiceDeployments", {"serviceDeployments": [brief]})
    assert told(stage)[0]["deployment"].status == "warning"


# its tasks


@pytest.mark.parametrize("cause", ["exit", "oom", "pull", "secret", "container_unhealthy"])
def test_tasks_that_failed_beside_ones_that_run_are_a_warning(stage: AppStage, cause: str) -> None:
    fail(stage, cause, 2)
    finding = told(stage)[0]["tasks"]
    assert (finding.status, finding.detail) == ("warning", "2 tasks failed in the last hour")
    expected = {
        "exit": ("container app exited with code 3", LOGS),
        "oom": (
            (
                "container app exited with code 137: OutOfMemoryError: Container killed due to"
                " memory usage"
            ),
            LOGS,
        ),
        "pull": ("CannotPullContainerError: pull image manifest", "check that the image exists"),
        "secret": ("ResourceInitializationError: unable to pull secrets", "create the secret"),
        "container_unhealthy": ("Task failed container health checks", LOGS),
    }
    assert finding.cause.startswith(expected[cause][0])
    assert sentence(finding.next).startswith(expected[cause][1])
    assert finding.since


def test_tasks_that_failed_and_are_not_replaced_are_failing(stage: AppStage) -> None:
    fail(stage)
    short(stage)
    assert told(stage)[0]["tasks"].status == "failing"


def test_the_worst_of_several_failures_is_the_cause(stage: AppStage) -> None:
    fail(stage, "exit")
    fail(stage, "pull")
    finding = told(stage)[0]["tasks"]
    assert (finding.detail, finding.cause[:24]) == (
        "2 tasks failed in the last hour",
        "CannotPullContainerError",
    )


def test_one_that_was_interrupted_and_replaced_is_no_trouble(stage: AppStage) -> None:
    fail(stage, "spot")
    finding = told(stage)[0]["tasks"]
    assert (finding.status, finding.detail) == (
        "ok",
        "1 task interrupted in the last hour and replaced",
    )
    short(stage)
    finding = told(stage)[0]["tasks"]
    assert (finding.status, finding.cause) == ("failing", "Your Spot Task was interrupted.")


def test_tasks_that_were_scaled_away_or_belong_to_others_are_not_told(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, desired=3)
    endpoint.ecs.update_service({"cluster": "main", "service": "web", "desiredCount": 1})
    service = endpoint.ecs.service("other", definition=stage.first.arn)
    endpoint.ecs.fail_task(service, service.latest, Outcome("fail", cause="exit"))
    endpoint.ecs.next_task(exit_code=1)
    endpoint.ecs.run_task({"cluster": "main", "taskDefinition": stage.first.arn})
    assert told(stage)[0]["tasks"].status == "ok"
    assert told(stage, service="other")[0]["tasks"].status == "warning"


def test_tasks_that_failed_before_the_last_deployment_are_over(stage: AppStage) -> None:
    """Also where that is of the same task definition."""
    fail(stage)
    stage.clock.advance(30)
    stage.endpoint.ecs.update_service(
        {"cluster": "main", "service": "web", "forceNewDeployment": True}
    )
    assert told(stage)[0]["tasks"].status == "ok"


def test_without_a_log_group_the_next_command_asks_ecs(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path)
    del stage.first.body["containerDefinitions"][0]["logConfiguration"]
    fail(stage)
    assert sentence(told(stage)[0]["tasks"].next) == ASK


def test_more_than_a_page_of_stopped_tasks_is_read(stage: AppStage) -> None:
    fail(stage, count=230)
    assert told(stage)[0]["tasks"].detail == "230 tasks failed in the last hour"
    assert (
        stage.endpoint.calls.count("ListTasks"),
        stage.endpoint.calls.count("DescribeTasks"),
    ) == (3, 3)


# its image


def test_an_image_that_was_deleted_is_failing_though_all_runs(stage: AppStage) -> None:
    del stage.repository.images[stage.old.digest]
    signs, live = told(stage)
    actual = signs.pop("image")
    assert set(words(signs).values()) == {"ok"}
    assert (actual.status, sentence(actual.next)) == ("failing", AGAIN)
    assert actual.cause == "its image is no longer in ECR: a new task could not start"
    assert live is not None


@pytest.mark.parametrize("answer", [True, False])
def test_an_image_by_tag_is_looked_for_by_tag(stage: AppStage, answer: bool) -> None:
    stage.first.body["containerDefinitions"][0]["image"] = (
        f"{stage.repository.uri}:{'old' if answer else 'older'}"
    )
    finding = told(stage)[0]["image"]
    assert finding.status == ("ok" if answer else "failing")
    assert finding.detail == ("old is in ECR" if answer else "older is missing")


def test_an_archived_image_is_failing(stage: AppStage) -> None:
    detail = {"imageDigest": stage.old.digest, "imageStatus": "ARCHIVED"}
    stage.endpoint.on("ecr", "DescribeImages", {"imageDetails": [detail]})
    finding = told(stage)[0]["image"]
    assert (finding.status, finding.cause) == (
        "failing",
        "its image is archived in ECR: a new task could not start",
    )


def test_an_image_of_another_repository_is_not_looked_for(stage: AppStage) -> None:
    assert "image" not in told(stage, repository="elsewhere")[0]
    stage.first.body["containerDefinitions"][0]["image"] = (
        "111111111111.dkr.ecr.us-east-1.amazonaws.com/backend:old"
    )
    assert "image" not in told(stage)[0]
    assert stage.endpoint.calls.count("ecr:*") == 0


def test_an_image_of_another_account_is_looked_for_there(stage: AppStage) -> None:
    stage.first.body["containerDefinitions"][0]["image"] = (
        "222222222222.dkr.ecr.eu-west-1.amazonaws.com/backend:old"
    )
    told(stage)
    assert stage.endpoint.calls.of("DescribeImages")[0].params["registryId"] == "222222222222"


def test_a_repository_that_is_gone_is_failing(stage: AppStage) -> None:
    del stage.endpoint.ecr.repositories["backend"]
    finding = told(stage)[0]["image"]
    assert (finding.status, finding.cause) == (
        "failing",
        "there is no ECR repository backend in eu-west-1: a new task could not start",
    )


def test_of_several_containers_it_is_not_guessed_which_one_is_ours(stage: AppStage) -> None:
    parts = stage.first.body["containerDefinitions"]
    parts[0]["image"] = "host/other:1"
    parts.append({**parts[0], "name": "side"})
    signs, live = told(stage)
    cause = "the task has several containers (app, side), and none has an image of backend"
    assert (signs["image"].status, signs["image"].cause, live) == ("unknown", cause, None)
    assert {what for what, word in words(signs).items() if word != "ok"} == {"image"}


def test_a_task_definition_that_was_deleted_is_failing(stage: AppStage) -> None:
    del stage.endpoint.ecs.definitions[stage.first.arn]
    finding = told(stage)[0]["image"]
    assert (finding.status, finding.cause) == (
        "failing",
        "there is no task definition web:1 any more: a new task could not start",
    )


# its targets


@pytest.mark.parametrize("sick", [1, 2])
def test_targets_that_do_not_answer_are_told_with_their_reason(
    balanced: AppStage, sick: int
) -> None:
    for address, _ in list(group(balanced))[:sick]:
        balanced.endpoint.elbv2.health("web", address, "unhealthy", "Target.ResponseCodeMismatch")
    finding = told(balanced)[0]["targets"]
    assert (finding.status, finding.detail) == (
        "warning" if sick == 1 else "failing",
        f"{2 - sick} of 2 targets healthy",
    )
    assert (
        finding.cause == "Target.ResponseCodeMismatch: Health checks failed with these codes: [500]"
    )
    assert (
        sentence(finding.next)
        == "fix its answer to the target group's health check, or that check; what is wrong there:"
        " aws elbv2 describe-target-health --target-group-arn"
        f" {balanced.endpoint.elbv2.group('web').arn}"
    )


def test_targets_that_nobody_has_registered_are_failing(balanced: AppStage) -> None:
    group(balanced).clear()
    finding = told(balanced)[0]["targets"]
    assert (finding.status, finding.cause) == ("failing", "no target is registered")
    assert sentence(finding.next) == (
        f"start its tasks again, so that they register: {SCALE} --force-new-deployment"
    )


def test_targets_that_are_first_checked_are_a_warning_only_while_deploying(
    balanced: AppStage,
) -> None:
    for address, _ in group(balanced):
        balanced.endpoint.elbv2.health("web", address, "initial", "Elb.InitialHealthChecking")
    finding = told(balanced)[0]["targets"]
    assert (finding.status, finding.cause) == (
        "failing",
        "Elb.InitialHealthChecking: Initial health checks in progress",
    )
    balanced.endpoint.ecs.next("never")
    balanced.applied()
    assert told(balanced)[0]["targets"].status == "warning"


def test_targets_that_nobody_checks_count_as_healthy_and_drained_ones_are_no_reason(
    balanced: AppStage,
) -> None:
    addresses = [address for address, _ in group(balanced)]
    balanced.endpoint.elbv2.health("web", addresses[0], "unavailable", "Target.HealthCheckDisabled")
    balanced.endpoint.elbv2.health("web", "10.9.9.9", "draining", "Target.DeregistrationInProgress")
    assert told(balanced)[0]["targets"].status == "ok"
    balanced.endpoint.elbv2.health(
        "web", addresses[1], "draining", "Target.DeregistrationInProgress"
    )
    finding = told(balanced)[0]["targets"]
    assert (finding.status, finding.cause) == ("warning", "the other tasks are not registered")


def test_each_of_several_target_groups_is_told_by_its_name(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    arns = [endpoint.elbv2.group(name).arn for name in ("public", "private")]
    several = [
        {"targetGroupArn": arn, "containerName": "app", "containerPort": 8080} for arn in arns
    ]
    stage = AppStage(
        endpoint, tmp_path, loadBalancers=several
    )  # the tasks register in the first one
    signs, _ = told(stage)
    assert (signs["targets public"].status, signs["targets private"].status) == ("ok", "failing")
    endpoint.fault("DescribeTargetHealth", kind="denied", resource="*")
    assert sorted(
        item.status for what, item in told(stage)[0].items() if what.startswith("targets")
    ) == ["failing", "unknown"]


def test_with_blue_green_either_group_may_have_the_tasks(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    green = endpoint.elbv2.group("green").arn
    more = {
        "alternateTargetGroupArn": green,
        "productionListenerRule": "arn:aws:x:::rule",
        "roleArn": "arn:aws:iam::1:role/x",
    }
    blue = {
        "targetGroupArn": endpoint.elbv2.group("blue").arn,
        "containerName": "app",
        "containerPort": 8080,
    }
    stage = AppStage(
        endpoint,
        tmp_path,
        strategy="BLUE_GREEN",
        loadBalancers=[{**blue, "advancedConfiguration": more}],
    )
    stage.deployed()
    endpoint.elbv2.group("blue").targets.clear()
    assert endpoint.elbv2.group("green").targets
    assert told(stage)[0]["targets"] == Finding(
        "targets", HealthStatus.OK, "1 of 1 targets healthy"
    )


def test_the_words_for_targets_hold_for_any_mix(stage: AppStage) -> None:
    """Pure: no more healthy ones than wanted are told, and a reason once."""
    sick = [
        TargetHealth(f"10.0.0.{n}", 80, "unhealthy", "Target.Timeout", "Request timed out")
        for n in range(2)
    ]
    well = [TargetHealth(f"10.0.1.{n}", 80, "healthy") for n in range(3)]
    job = stage.job()
    targets = [*sick, *well]
    assert health.targets_finding(job, "targets", "arn", {"desiredCount": 2}, targets) == Finding(
        "targets", HealthStatus.OK, "2 of 2 targets healthy"
    )
    finding = health.targets_finding(job, "targets", "arn", {"desiredCount": 4}, targets)
    assert (finding.status, finding.detail, finding.cause) == (
        "warning",
        "3 of 4 targets healthy",
        "Target.Timeout: Request timed out",
    )


# its alarms


def test_alarms_that_are_about_it_are_told_and_others_are_not(balanced: AppStage) -> None:
    alarm, suffix = (
        balanced.endpoint.cloudwatch.alarm,
        balanced.endpoint.elbv2.group("web").arn.rpartition(":")[2],
    )
    alarm("named", "ALARM", "somebody wants to know")
    alarm("cpu", "ALARM", "90 > 80", BY_SERVICE)
    alarm("5xx", "ALARM", dimensions={"TargetGroup": suffix, "LoadBalancer": "app/web/1"})
    alarm("other service", "ALARM", dimensions={**BY_SERVICE, "ServiceName": "other"})
    alarm("cluster", "ALARM", dimensions={"ClusterName": "main"})
    alarm("other group", "ALARM", dimensions={"TargetGroup": "targetgroup/other/1"})
    signs, _ = told(balanced, alarms=("named",))
    assert {what for what in signs if what.startswith("alarm")} == {
        "alarm named",
        "alarm cpu",
        "alarm 5xx",
    }
    assert signs["alarm cpu"].cause == "alarm cpu: 90 > 80"
    assert {signs[f"alarm {name}"].status for name in ("named", "cpu", "5xx")} == {"failing"}


def test_alarms_that_guard_its_deployments_are_named_by_the_service(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    configured = {"alarms": {"alarmNames": ["guard"], "enable": True, "rollback": True}}
    stage = AppStage(endpoint, tmp_path, deploymentConfiguration=configured)
    assert (
        sentence(told(stage)[0]["alarm guard"].next)
        == "create it, or remove its name from the service"
    )
    endpoint.cloudwatch.alarm("guard")
    assert told(stage)[0]["alarms"].detail == "1 alarm OK"
    endpoint.cloudwatch.alarm("guard", "ALARM")
    assert told(stage)[0]["alarm guard"].status == "failing"
    stage.service.configuration["alarms"]["enable"] = False
    assert not {what for what in told(stage)[0] if what.startswith("alarm")}


def test_alarms_are_told_of_a_service_that_is_gone(stage: AppStage) -> None:
    stage.endpoint.cloudwatch.alarm(
        "no tasks", "ALARM", dimensions={**BY_SERVICE, "ServiceName": "gone"}
    )
    assert words(told(stage, service="gone")[0]) == {
        "service": "failing",
        "alarm no tasks": "failing",
    }


# what cannot be seen

NEEDED = {
    "DescribeTargetHealth": {"targets"},
    "DescribeAlarms": {"alarms"},
    "DescribeImages": {"image"},
    "DescribeTaskDefinition": {"image"},
    "ListTasks": {"tasks"},
    "DescribeTasks": {"tasks"},
}


@pytest.mark.parametrize("operation", NEEDED)
def test_what_may_not_be_seen_is_unknown_and_all_else_is_told(
    balanced: AppStage, operation: str
) -> None:
    fail(balanced)
    whole, _ = told(balanced)
    balanced.endpoint.fault(operation, times=None, kind="denied")
    signs, _ = told(balanced)
    unknown = {what for what, item in signs.items() if item.status == "unknown"}
    assert unknown == NEEDED[operation]
    for what in unknown:
        assert signs[what].detail == "not allowed"
        assert operation in signs[what].cause
        assert sentence(signs[what].next) == "see what is needed: toolkit permissions --json"
    assert words(signs) == words(whole) | dict.fromkeys(unknown, "unknown")


def test_a_service_that_may_not_be_seen_is_one_unknown(balanced: AppStage) -> None:
    balanced.endpoint.fault("DescribeServices", times=None, kind="denied")
    signs, live = told(balanced)
    assert (words(signs), live) == ({"service": "unknown"}, None)


def let_go(stage: AppStage, looking: Thread) -> None:
    """End silent answers until the look ends: on a slow machine a call may begin after others were
    let go.
    """
    until = time.monotonic() + 30
    while looking.is_alive() and time.monotonic() < until:
        stage.endpoint.release()
        looking.join(0.05)
    assert not looking.is_alive()


def test_what_is_silent_keeps_nobody_else_waiting(
    balanced: AppStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    silent = [
        balanced.endpoint.fault(item, times=None, kind="silent")
        for item in ("DescribeTargetHealth", "ListTasks")
    ]
    short(balanced)
    findings: list[Finding] = []
    looking = Thread(target=app.health, args=(balanced.job(), balanced.ports, findings.append))
    looking.start()
    until = time.monotonic() + health.SOON_S + 3
    while (
        len(findings) < 3 or not all(fault.hits for fault in silent)
    ) and time.monotonic() < until:
        time.sleep(0.02)
    assert words(checked(list(findings))) == {
        "service": "failing",
        "deployment": "ok",
        "image": "ok",
    }
    balanced.endpoint.faults.clear()
    let_go(balanced, looking)
    assert words(checked(findings)) == {
        "service": "failing",
        "deployment": "ok",
        "image": "ok",
        "tasks": "unknown",
        "targets": "unknown",
    }


def test_an_endpoint_that_is_silent_tells_nothing(
    stage: AppStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    silent = stage.endpoint.fault("*", times=None, kind="silent")
    findings: list[Finding] = []
    looking = Thread(target=app.health, args=(stage.job(), stage.ports, findings.append))
    looking.start()
    until = time.monotonic() + 30
    while not silent.hits and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    assert (findings, looking.is_alive()) == ([], True)
    let_go(stage, looking)
    assert words(checked(findings)) == {"service": "unknown", "alarms": "unknown"}


def test_fifty_services_are_looked_at_with_as_few_calls_as_aws_allows(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        client, "WINDOW_S", 0.4
    )  # what comes at one moment does so on a machine that is busy with other tests, too
    stage = AppStage(endpoint, tmp_path, group="web")
    jobs = [stage.job()]
    for number in range(1, 50):
        image = endpoint.ecr.image("backend", f"v{number}")
        definition = endpoint.ecs.definition(f"s{number}", f"{stage.repository.uri}@{image.digest}")
        endpoint.ecs.service(f"s{number}", definition=definition.arn, group=f"g{number}")
        jobs.append(
            replace(stage.job({"service": f"s{number}"}), step=f"s{number}", target=f"s{number}")
        )
    fail(stage, count=3)
    gone = endpoint.ecs.find("s7").latest.images[0]["imageDigest"]
    stage.ports.aws(jobs[0].location).warm("ecs", "ecr", "elbv2", "cloudwatch")
    endpoint.latency(0.05)
    endpoint.calls.clear()
    by_name: dict[str, list[Finding]] = {job.target: [] for job in jobs}
    looking = [
        Thread(target=app.health, args=(job, stage.ports, by_name[job.target].append))
        for job in jobs
    ]
    for item in looking:
        item.start()
    for item in looking:
        item.join()
    assert Counter(endpoint.calls.names()) == {
        "ecs:DescribeServices": 5,
        "ecs:DescribeTaskDefinition": 50,
        "elbv2:DescribeTargetHealth": 50,
        "ecs:ListTasks": 1,
        "ecs:DescribeTasks": 1,
        "ecr:DescribeImages": 1,
        "cloudwatch:DescribeAlarms": 1,
        "logs:GetLogEvents": 1,
    }
    assert {
        sign.status for target, signs in by_name.items() for sign in signs if target != "web"
    } == {"ok"}
    assert words(checked(by_name["web"]))["tasks"] == "warning"
    del stage.repository.images[gone]
    by_name = {job.target: [] for job in jobs}
    looking = [
        Thread(target=app.health, args=(job, stage.ports, by_name[job.target].append))
        for job in jobs
    ]
    for item in looking:
        item.start()
    for item in looking:
        item.join()
    assert {
        target for target, signs in by_name.items() if words(checked(signs))["image"] != "ok"
    } == {"s7"}  # the others are told
