"""How a deployment of an app ends, and what is said of it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint, Outcome
from tests.support.report import lines
from tests.targets.apps import COMMIT, AppStage
from toolkit.errors import Expired, Unreachable
from toolkit.show.advice import sentence
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.options import AppOptions, AppRestore


def test_a_deployment_that_completes_has_succeeded_and_says_what_is_live(stage: AppStage) -> None:
    stage.endpoint.ecs.next("success", seconds=6)
    observed, report = stage.deployed()
    assert (observed.state, observed.verdict, observed.cause) == ("done", "succeeded", "")
    assert observed.live is not None
    assert (observed.live.version, observed.live.commit, observed.live.run) == (
        COMMIT,
        COMMIT,
        "r1",
    )
    assert (observed.live.since or "").endswith("+00:00")
    assert observed.live.detail["digest"] == stage.new.digest
    assert stage.writes == report.intents == ["ecs:RegisterTaskDefinition", "ecs:UpdateService"]


def test_a_deploy_ends_with_the_health_addresses_unless_nothing_runs_there(
    stage: AppStage,
) -> None:
    addresses = {"health": ("https://web.example.com/health", "https://web.example.com/ready")}
    observed, _ = stage.deployed(stage.job(addresses))
    assert observed.outputs == {
        "HealthUrl": "https://web.example.com/health",
        "HealthUrl2": "https://web.example.com/ready",
    }
    stage.service.desired = 0
    stage.clock.advance(60)
    idle, _ = stage.deployed(stage.job(addresses, token="t-2", run="r2"))
    assert (idle.verdict, idle.outputs) == ("unhealthy", {})


@pytest.mark.parametrize("history", ["unsupported", "denied"])
def test_without_service_deployments_the_service_itself_tells(
    stage: AppStage, history: str
) -> None:
    stage.endpoint.ecs.history = history
    stage.endpoint.ecs.next("success", seconds=6)
    observed, _ = stage.deployed()
    assert (observed.state, observed.verdict) == ("done", "succeeded")


def test_what_goes_on_is_told_while_it_goes_on(stage: AppStage) -> None:
    stage.endpoint.ecs.next("success", seconds=6)
    watched = stage.watched(stage.applied())
    assert [item.state for item in watched[:-1]] == ["running"] * (len(watched) - 1)
    assert "0 of 1 tasks running" in {item.phase for item in watched}
    assert [line for line in lines(watched) if "has started 1 tasks" in line]


def test_an_event_is_told_once_and_none_from_before(stage: AppStage) -> None:
    stage.clock.advance(3600)
    stage.endpoint.ecs.next("success", seconds=6)
    notes = lines(stage.watched(stage.applied()))
    assert len(notes) == len(set(notes)) == 3


def test_a_deployment_that_cannot_be_seen_yet_is_not_mistaken_for_the_one_before(
    stage: AppStage,
) -> None:
    stage.endpoint.ecs.next("success", seconds=2, hidden=4)
    watched = stage.watched(stage.applied())
    assert watched[0].state == "unknown"
    assert (watched[-1].state, watched[-1].verdict) == ("done", "succeeded")
    assert watched[-1].live is not None
    assert watched[-1].live.version == COMMIT


ENDS = {
    "breaker": ("rolled-back", "container app exited with code 3"),
    "alarm": (
        "rolled-back",
        (
            "Service deployment rolled back because one or more CloudWatch alarms were triggered."
            " (alarm too-many-errors)"
        ),
    ),
    "stopped": ("failed", "Service deployment stopped by the user."),
    "superseded": ("superseded", "another deployment replaced it: web:3"),
}


@pytest.mark.parametrize("kind", ENDS)
def test_every_bad_end_has_its_verdict_and_its_cause(stage: AppStage, kind: str) -> None:
    stage.endpoint.ecs.next(kind, seconds=2)
    observed, _ = stage.deployed()
    assert (observed.state, observed.verdict, observed.cause) == ("failed", *ENDS[kind])


@pytest.mark.parametrize("kind", ["breaker", "superseded"])
def test_every_bad_end_is_the_same_without_service_deployments(stage: AppStage, kind: str) -> None:
    stage.endpoint.ecs.history = "unsupported"
    stage.endpoint.ecs.next(kind, seconds=2)
    observed, _ = stage.deployed()
    assert (observed.state, observed.verdict, observed.cause) == ("failed", *ENDS[kind])


def test_a_rollback_that_fails_is_no_rollback(stage: AppStage) -> None:
    stage.endpoint.ecs.next("alarm", seconds=2, rollback="failed")
    observed, _ = stage.deployed()
    assert (observed.state, observed.verdict) == ("failed", "failed")
    assert (
        observed.cause
        == "ECS could not roll back: Service deployment rolled back because one or more CloudWatch"
        " alarms were triggered. (alarm too-many-errors)"
    )


def test_a_breaker_without_rollback_fails_and_nothing_is_rolled_back(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(
        endpoint,
        tmp_path,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": False}},
    )
    endpoint.ecs.history = "unsupported"
    endpoint.ecs.next("fail", cause="spot", seconds=1)
    observed, _ = stage.deployed()
    assert (observed.state, observed.verdict, observed.cause) == (
        "failed",
        "failed",
        "Your Spot Task was interrupted.",
    )


FOR_GOOD = {
    "pull": "not found",
    "pull_denied": "403 Forbidden",
    "secret": "Secrets Manager can't find the specified secret.",
    "log_group": "The specified log group does not exist.",
}


@pytest.mark.parametrize("history", ["on", "unsupported"])
@pytest.mark.parametrize("cause", FOR_GOOD)
def test_what_can_never_start_is_stopped_at_the_first_task(
    endpoint: Endpoint, tmp_path: Path, cause: str, history: str
) -> None:
    stage = AppStage(endpoint, tmp_path, breaker=False)
    endpoint.ecs.history = history
    endpoint.ecs.next("fail", cause=cause, failures=1, seconds=3)
    report = stage.applied()
    watched = stage.watched(report)
    doomed = next(item for item in watched if item.doomed)
    assert FOR_GOOD[cause] in doomed.cause
    assert "\n" not in doomed.cause
    assert (watched[-1].state, watched[-1].verdict, watched[-1].cause) == (
        "failed",
        "rolled-back",
        doomed.cause,
    )
    assert watched[-1].next
    assert stage.runs == stage.first.body
    ends = {"on": "ecs:StopServiceDeployment", "unsupported": "ecs:UpdateService"}
    assert report.intents == ["ecs:RegisterTaskDefinition", "ecs:UpdateService", ends[history]]


def test_a_crash_loop_is_stopped_after_two_with_the_last_lines_of_that_task(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, breaker=False)
    endpoint.ecs.next(
        "fail", cause="exit", failures=5, seconds=2, log=[f"line {n}" for n in range(30)]
    )
    watched = stage.watched(stage.applied())
    doomed = next(item for item in watched if item.doomed)
    assert doomed.cause == "container app exited with code 3"
    assert doomed.log == tuple(f"line {n}" for n in range(10, 30))
    assert sentence(doomed.next) == (
        "fix what its log says: aws logs tail /ecs/web --since 1h; then `toolkit deploy-app web`"
    )
    last = watched[-1]
    assert (last.verdict, last.cause, last.log) == ("rolled-back", doomed.cause, doomed.log)
    crashed = [
        task
        for task in endpoint.ecs.cluster().tasks.values()
        if task.get("stopCode") == "EssentialContainerExited"
    ]
    assert len(crashed) == 2


def test_one_crash_is_not_the_end_but_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, breaker=False)
    endpoint.ecs.next("fail", cause="oom", failures=1, seconds=2)
    watched = stage.watched(stage.applied(), looks=10)
    assert not [item for item in watched if item.doomed]
    assert (
        watched[-1].cause
        == "container app exited with code 137: OutOfMemoryError: Container killed due to memory"
        " usage"
    )


@pytest.mark.parametrize("cause", ["spot", "place"])
def test_what_may_pass_is_not_given_up(endpoint: Endpoint, tmp_path: Path, cause: str) -> None:
    stage = AppStage(endpoint, tmp_path, breaker=False)
    endpoint.ecs.next("fail", cause=cause, failures=5, seconds=2)
    watched = stage.watched(stage.applied(), looks=20)
    assert {item.state for item in watched} == {"running"}
    assert not [item for item in watched if item.doomed or item.cause]
    phase = "0 of 1 tasks running, 5 failed"
    assert (
        watched[-1].phase
        == {"spot": f"{phase}, Your Spot Task was interrupted.", "place": phase}[cause]
    )


def test_logs_that_may_not_be_read_do_not_hide_the_cause(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path)
    endpoint.fault("logs:GetLogEvents", times=None, kind="denied")
    endpoint.ecs.next("breaker", seconds=2, log=["boom"])
    observed, _ = stage.deployed()
    assert (observed.verdict, observed.cause, observed.log) == (
        "rolled-back",
        "container app exited with code 3",
        (),
    )


def test_unhealthy_targets_are_told_with_their_reason_and_stopped_after_three(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, group="web", breaker=False)
    endpoint.ecs.next("fail", cause="unhealthy", failures=5, seconds=3)
    watched = stage.watched(stage.applied())
    assert [
        item
        for item in watched
        if "Target.ResponseCodeMismatch: Health checks failed with these codes: [500]" in item.phase
    ]
    assert watched[-1].verdict == "rolled-back"
    assert watched[-1].cause.startswith("Task failed ELB health checks in (target-group ")
    assert watched[-1].cause.endswith(
        "): 0 of 1 targets healthy (Target.ResponseCodeMismatch: Health checks failed with these"
        " codes: [500])"
    )


def test_it_has_not_succeeded_before_its_targets_are_healthy(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, group="web", desired=2)
    report = stage.applied()
    observed = stage.look(report)
    assert observed.verdict == "succeeded"
    group = endpoint.elbv2.group("web")
    address = next(iter(group.targets))[0]
    endpoint.elbv2.health("web", address, "unhealthy", "Target.Timeout")
    observed = stage.look(report)
    assert (observed.state, observed.phase) == (
        "running",
        "1 of 2 targets healthy (Target.Timeout: Request timed out)",
    )
    endpoint.elbv2.health("web", address, "healthy")
    assert stage.look(report, observed).verdict == "succeeded"


def test_health_that_may_not_be_read_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, group="web")
    endpoint.fault("elbv2:DescribeTargetHealth", times=None, kind="denied")
    observed, _ = stage.deployed()
    assert observed.verdict == "succeeded"
    assert [
        line
        for line in observed.lines
        if line.startswith("warning: could not check whether the targets are healthy")
    ]


@pytest.mark.parametrize("history", ["on", "unsupported"])
def test_tasks_that_run_another_image_are_no_success(stage: AppStage, history: str) -> None:
    stage.endpoint.ecs.history = history
    report = stage.applied()
    report.keep(digest=stage.old.digest)
    observed = stage.look(report)
    assert (observed.state, observed.verdict) == ("failed", "failed")
    assert (
        observed.cause
        == f"container app runs {stage.new.digest}, but {stage.old.digest} was deployed"
    )


IDLE = "the desired count of web is 0: nothing runs"


def test_where_nothing_runs_a_deploy_is_not_good_and_nothing_is_put_back(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    """F2: success is what was observed."""
    stage = AppStage(endpoint, tmp_path, desired=0)
    observed, _ = stage.deployed()
    assert (observed.state, observed.verdict, observed.untouched) == ("done", "unhealthy", True)
    assert observed.cause == f"{IDLE}, and rules.toml does not have `min_tasks = 0`"
    assert (
        sentence(observed.next)
        == "aws ecs update-service --cluster main --service web --desired-count 1"
    )
    assert f"warning: {IDLE}" in observed.lines


def test_a_service_that_may_be_scaled_to_none_succeeds_with_a_warning(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, desired=0)
    observed, _ = stage.deployed(stage.job({"min_tasks": 0}))
    assert (observed.state, observed.verdict, observed.untouched) == ("done", "succeeded", False)
    assert observed.phase == observed.cause == IDLE
    assert f"warning: {IDLE}" in observed.lines


@pytest.mark.parametrize(("least", "verdict"), [(1, "unhealthy"), (0, "unchanged")])
def test_an_unchanged_version_of_which_nothing_runs_is_not_good_either(
    endpoint: Endpoint, tmp_path: Path, least: int, verdict: str
) -> None:
    stage = AppStage(endpoint, tmp_path, desired=0)
    job = stage.job({"min_tasks": least})
    stage.deployed(job)
    observed, report = stage.deployed(replace(job, run="r2", token="t-2"))
    assert (report.receipt.get("unchanged"), observed.state, observed.verdict) == (
        True,
        "done",
        verdict,
    )


def test_a_pause_says_until_when_it_waits_and_what_goes_on_with_it(stage: AppStage) -> None:
    stage.endpoint.ecs.next("pause", seconds=1, timeout_minutes=30)
    report = stage.applied()
    observed = stage.watched(report, looks=15)[-1]
    assert observed.state == "running"
    assert observed.phase.startswith("waits for approval until ")
    assert observed.phase.endswith("then ECS will rollback")
    rollout = stage.service.latest
    command = (
        f"aws ecs continue-service-deployment --service-deployment-arn {rollout.arn} --hook-id"
        f" {rollout.hooks[0]['hookId']}"
    )
    assert sentence(observed.next) == f"{command} --action CONTINUE, or `toolkit rollback web`"
    stage.endpoint.ecs.continue_service_deployment(
        {"serviceDeploymentArn": rollout.arn, "hookId": rollout.hooks[0]["hookId"]}
    )
    assert stage.watched(report)[-1].verdict == "succeeded"


@pytest.mark.parametrize(
    ("kind", "word"), [("blue_green", "blue/green"), ("canary", "canary"), ("linear", "linear")]
)
def test_a_strategy_is_told_as_what_it_is(stage: AppStage, kind: str, word: str) -> None:
    stage.endpoint.ecs.next(kind, seconds=1)
    watched = stage.watched(stage.applied())
    phases = [item.phase for item in watched]
    assert [
        phase
        for phase in phases
        if phase.startswith(f"{word}: shifting traffic, 1 of 1 tasks running, ")
    ]
    assert [phase for phase in phases if phase.startswith(f"{word}: baking")]
    assert watched[-1].verdict == "succeeded"


def test_a_look_that_fails_says_nothing_of_the_step(stage: AppStage) -> None:
    stage.endpoint.ecs.next("success", seconds=3)
    report = stage.applied()
    first = stage.look(report)
    stage.endpoint.fault("ecs:DescribeServices", kind="expired")
    with pytest.raises(Expired):
        stage.look(report, first)
    assert stage.watched(report)[-1].verdict == "succeeded"


@pytest.mark.parametrize(
    "operation",
    ["ecs:DescribeServices", "ecs:DescribeServiceDeployments", "ecs:DescribeServiceRevisions"],
)
@pytest.mark.parametrize("kind", ["throttle", "503", "reset"])
def test_a_poll_that_is_turned_away_is_asked_again(
    stage: AppStage, operation: str, kind: str
) -> None:
    fault = stage.endpoint.fault(operation, kind=kind)
    observed, _ = stage.deployed()
    assert (observed.verdict, fault.hits) == ("succeeded", 1)


@pytest.mark.parametrize(
    "operation",
    [
        "ecs:DescribeServices",
        "ecs:DescribeServiceDeployments",
        "ecs:DescribeTaskDefinition",
        "ecs:ListTasks",
    ],
)
def test_an_answer_that_is_cut_off_is_a_look_that_failed(
    endpoint: Endpoint, tmp_path: Path, operation: str
) -> None:
    stage = AppStage(endpoint, tmp_path, group="web")
    report = stage.applied()
    fault = endpoint.fault(operation, kind="truncated")
    with pytest.raises(Unreachable):
        stage.look(report)
    assert fault.hits == 1
    assert stage.look(report).verdict == "succeeded"


def test_nothing_that_was_begun_is_absent_only_after_ten_seconds(stage: AppStage) -> None:
    report = stage.report()
    first = stage.look(report)
    stage.clock.advance(9)
    second = stage.look(report, first)
    stage.clock.advance(1)
    assert [first.state, second.state, stage.look(report, second).state] == [
        "unknown",
        "unknown",
        "absent",
    ]


def test_a_registered_revision_without_a_move_is_absent_at_once(stage: AppStage) -> None:
    stage.endpoint.ecs.definition("web", "x:1", tags={"toolkit:token": "t-1"})
    assert stage.look(stage.report()).state == "absent"


def test_a_move_that_never_arrived_is_absent_only_after_ten_seconds(stage: AppStage) -> None:
    before = stage.service.latest.id
    report = stage.report(
        {
            "task_definition": "arn:x/web:9",
            "before": before,
            "previous": stage.first.arn,
            "started_at": None,
        }
    )
    first = stage.look(report)
    stage.clock.advance(10)
    assert [first.state, stage.look(report, first).state] == ["unknown", "absent"]


def test_a_service_that_is_gone_has_failed_after_ten_seconds(stage: AppStage) -> None:
    report = stage.applied()
    stage.service.status = "INACTIVE"
    first = stage.look(report)
    stage.clock.advance(10)
    last = stage.look(report, first)
    assert (first.state, last.state, last.cause) == (
        "unknown",
        "failed",
        "service web is being deleted",
    )


def test_after_a_crash_the_kept_facts_alone_are_enough(stage: AppStage) -> None:
    stage.endpoint.ecs.next("breaker", seconds=2, log=["boom"])
    report = stage.applied()
    stage.clock.advance(60)
    observed = stage.look(stage.report(report.receipt))
    stage.clock.advance(60)
    observed = stage.look(stage.report(report.receipt))
    assert (observed.state, observed.verdict, observed.cause, observed.log) == (
        "failed",
        "rolled-back",
        "container app exited with code 3",
        ("boom",),
    )


def test_many_apps_that_are_watched_cost_one_call_a_look(stage: AppStage) -> None:
    names = [f"web{n}" for n in range(8)]
    for name in names:
        stage.endpoint.ecs.service(name, image=f"{stage.repository.uri}@{stage.old.digest}")
        stage.endpoint.ecs.next("never", service=name)
    jobs = [stage.job({"service": name}, token=name) for name in names]
    reports = [stage.applied(job) for job in jobs]
    looks = [stage.look(report, job=job) for report, job in zip(reports, jobs, strict=True)]
    stage.endpoint.calls.clear()
    with ThreadPoolExecutor(len(jobs)) as pool:
        observed = list(
            pool.map(lambda n: stage.look(reports[n], looks[n], jobs[n]), range(len(jobs)))
        )
    assert {item.state for item in observed} == {"running"}
    assert stage.endpoint.calls.count("ecs:DescribeServices") < len(jobs) / 2
    assert stage.endpoint.calls.count("ecs:DescribeServiceDeployments") < len(jobs) / 2


def test_what_runs_is_read_from_the_running_task_definition(stage: AppStage) -> None:
    actual = app.live(stage.job(), stage.ports)
    assert actual is not None
    assert (actual.version, actual.commit, actual.run) == ("old", "0" * 40, "r0")
    assert actual.detail == {
        "image": f"{stage.repository.uri}@{stage.old.digest}",
        "digest": stage.old.digest,
        "task definition": stage.first.arn,
    }


def test_while_a_deployment_goes_on_the_one_before_is_live(stage: AppStage) -> None:
    stage.endpoint.ecs.next("never")
    stage.applied()
    actual = app.live(stage.job(), stage.ports)
    assert actual is not None
    assert actual.version == "old"
    assert actual.in_flight.startswith("the deployment of web:2 (ecs-svc/")
    assert actual.in_flight.endswith(") is running")


def test_where_nothing_runs_nothing_is_live(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, desired=0)
    assert app.live(stage.job(), stage.ports) is None


def test_a_task_that_survives_its_neighbours_is_no_crash_loop(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, desired=2, breaker=False)
    endpoint.ecs.next("never")
    report = stage.applied()
    stage.look(report)
    rollout, began = stage.service.latest, endpoint.clock.now()
    for _ in range(3):
        stage.clock.advance(5)
        rollout.failed += 1
        endpoint.ecs.fail_task(stage.service, rollout, Outcome("fail", cause="exit"))
    tasks = endpoint.ecs.cluster().tasks.values()
    survivor = next(
        task
        for task in tasks
        if task.get("startedBy") == rollout.id and task["desiredStatus"] == "RUNNING"
    )
    survivor |= {"lastStatus": "RUNNING", "startedAt": began}
    observed = stage.look(report)
    assert (observed.state, observed.doomed, observed.cause) == (
        "running",
        False,
        "container app exited with code 3",
    )
    survivor |= {"startedAt": endpoint.clock.now()}
    assert stage.look(report).doomed


def test_the_success_of_an_earlier_deployment_of_the_same_definition_is_not_ours(
    stage: AppStage,
) -> None:
    stage.clock.advance(100)
    stage.endpoint.ecs.next("breaker", seconds=1, hidden=4)
    restore = AppRestore(image_digest=stage.old.digest, task_definition=stage.first.arn)
    job = stage.job(action="rollback", options=AppOptions(force=True), restore=restore)
    report = stage.applied(job)
    assert stage.look(report, job=job).state == "unknown"
