"""What a deploy of an app calls: each call once, whatever happens on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.report import Crash, Report
from tests.targets.apps import COMMIT, AppStage
from toolkit.errors import (
    CloudError,
    Missing,
    NotAllowed,
    Refused,
    Stopped,
    Unreachable,
    WrongAccount,
)
from toolkit.model import Version
from toolkit.operations import Job, Location, Preview
from toolkit.ports.aws import ecs
from toolkit.show.advice import sentence
from toolkit.targets.app import definition as definitions
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.options import AppOptions, AppRestore, InProgress
from toolkit.targets.app.settings import Build

DOCKERFILE = 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n'
BUILD = {"build": Build(context="src")}


def previewed(stage: AppStage, job: Job | None = None) -> Preview:
    return app.preview(job or stage.job(), stage.ports)


def names(preview: Preview) -> list[str]:
    return [call.name for call in preview.calls]


@pytest.fixture
def buildable(stage: AppStage) -> AppStage:
    """A folder that becomes an image, which does not exist yet."""
    (stage.folder / "src").mkdir()
    (stage.folder / "src" / "Dockerfile").write_text(DOCKERFILE)
    (stage.folder / "src" / "hello").write_text("hello")
    return stage


def version(name: str, dirty: bool = False) -> Version:
    return Version(name, COMMIT, "e" * 64, dirty)


def unbuilt(stage: AppStage, **fields: Any) -> Job:
    return stage.job(
        BUILD, **{"version": version("b" * 40), "options": AppOptions(builder="built-in"), **fields}
    )


def test_only_the_image_of_the_container_and_our_tags_change(stage: AppStage) -> None:
    stage.applied()
    changed = {key for key in stage.runs if stage.runs[key] != stage.first.body.get(key)}
    assert changed == {"containerDefinitions", "taskDefinitionArn", "revision", "registeredAt"}
    [before], [after] = stage.first.body["containerDefinitions"], stage.runs["containerDefinitions"]
    assert after == {**before, "image": f"{stage.repository.uri}@{stage.new.digest}"}
    tags = {
        tag["key"]: tag["value"]
        for tag in stage.endpoint.ecs.definitions[stage.service.definition].tags
    }
    definition = ecs.definition(stage.ports.aws(stage.job().location), stage.service.definition)
    assert definition is not None
    assert tags == {
        "team": "cars",
        "toolkit:version": COMMIT,
        "toolkit:commit": COMMIT,
        "toolkit:fingerprint": "f" * 64,
        "toolkit:run": "r1",
        "toolkit:token": "t-1",
        "toolkit:definition": definitions.digest(definition),
    }


def test_the_service_is_moved_by_one_call_that_says_nothing_else(stage: AppStage) -> None:
    report = stage.applied()
    [call] = stage.endpoint.calls.of("ecs:UpdateService")
    assert call.params == {
        "cluster": "main",
        "service": "web",
        "taskDefinition": report.receipt["task_definition"],
    }


def test_every_call_that_changes_something_is_intended_right_before(stage: AppStage) -> None:
    observed = []

    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "intend":
            observed.append((event[1], list(stage.writes)))

    stage.applied(report=Report(on_event=on_event))
    assert observed == [
        ("ecs:RegisterTaskDefinition", []),
        ("ecs:UpdateService", ["ecs:RegisterTaskDefinition"]),
    ]


def test_what_is_kept_tells_our_deployment_from_others(stage: AppStage) -> None:
    before = stage.service.latest.id
    receipt = stage.applied().receipt
    assert receipt["digest"] == stage.new.digest
    assert receipt["task_definition"] == stage.service.definition
    assert (receipt["before"], receipt["previous"]) == (before, stage.first.arn)
    assert receipt["deployment"] == stage.service.latest.id
    assert receipt["started_at"].endswith("+00:00")


@pytest.mark.parametrize("options", [{}, {"image": "old"}, {"force": True}, {"image": COMMIT}])
def test_the_preview_has_the_calls_of_the_deploy(stage: AppStage, options: dict[str, Any]) -> None:
    job = stage.job(options=AppOptions(**options))
    expected = names(previewed(stage, job))
    assert stage.writes == []
    assert stage.applied(job).intents == stage.writes == expected


def test_the_preview_of_a_build_has_the_push(buildable: AppStage) -> None:
    job = unbuilt(buildable)
    preview = previewed(buildable, job)
    assert names(preview) == ["ecr:PutImage", "ecs:RegisterTaskDefinition", "ecs:UpdateService"]
    assert buildable.applied(job).intents == names(preview)
    [image] = [value for value in buildable.repository.images.values() if "b" * 40 in value.tags]
    assert (
        buildable.runs["containerDefinitions"][0]["image"]
        == f"{buildable.repository.uri}@{image.digest}"
    )


def test_a_built_image_says_what_it_was_built_from(buildable: AppStage) -> None:
    buildable.applied(unbuilt(buildable))
    image = buildable.repository.found("b" * 40)
    assert image is not None
    config = json.loads(buildable.repository.blobs[json.loads(image.manifest)["config"]["digest"]])
    labels = config["config"]["Labels"]
    assert set(labels) == {"org.opencontainers.image.revision", "toolkit.commit", "toolkit.build"}
    assert (labels["org.opencontainers.image.revision"], labels["toolkit.commit"]) == (
        COMMIT,
        COMMIT,
    )
    assert (config["os"], config["architecture"]) == ("linux", "amd64")


def test_arguments_reach_the_build(buildable: AppStage) -> None:
    (buildable.folder / "src" / "Dockerfile").write_text(
        "FROM scratch\nARG COLOUR\nENV COLOUR=$COLOUR\nCOPY hello /hello\n"
    )
    job = unbuilt(buildable)
    buildable.applied(
        replace(
            job,
            settings=replace(job.settings, build=Build(context="src", args={"COLOUR": "blue"})),
        )
    )
    image = buildable.repository.found("b" * 40)
    assert image is not None
    config = json.loads(buildable.repository.blobs[json.loads(image.manifest)["config"]["digest"]])
    assert "COLOUR=blue" in config["config"]["Env"]


def test_an_image_that_is_there_is_not_built_again(buildable: AppStage) -> None:
    buildable.applied(unbuilt(buildable))
    buildable.endpoint.calls.clear()
    buildable.applied(unbuilt(buildable, token="t-2", options=AppOptions(force=True)))
    assert buildable.writes == ["ecs:RegisterTaskDefinition", "ecs:UpdateService"]
    assert not buildable.endpoint.calls.count("registry:*")


def test_a_tag_that_means_another_image_than_was_pushed_stops_before_the_service(
    buildable: AppStage,
) -> None:
    describe = buildable.endpoint.ecr.describe_images
    answers = iter([False, True, True, True, True])

    def answer(params: dict[str, Any]) -> Any:
        return (
            {"imageDetails": [{"imageDigest": buildable.old.digest}]}
            if next(answers)
            else describe(params)
        )

    buildable.endpoint.on("ecr", "DescribeImages", answer)
    with pytest.raises(Refused, match="was pushed"):
        buildable.applied(unbuilt(buildable))
    assert buildable.service.definition == buildable.first.arn


def test_what_runs_already_is_unchanged_and_calls_nothing(stage: AppStage) -> None:
    stage.deployed()
    stage.endpoint.calls.clear()
    job = stage.job(token="t-2", run="r2")
    preview = previewed(stage, job)
    assert (preview.unchanged, preview.calls) == (True, ())
    observed, report = stage.deployed(job)
    assert (observed.state, observed.verdict) == ("done", "unchanged")
    assert (stage.writes, report.intents) == ([], [])


def test_what_was_unchanged_and_was_moved_since_by_somebody_else_is_superseded(
    stage: AppStage,
) -> None:
    stage.deployed()
    job = stage.job(token="t-2", run="r2")
    _, report = stage.deployed(job)
    arn = stage.service.definition = stage.first.arn
    observation = app.observe(job, report.receipt, stage.ports)
    assert (observation.state, observation.verdict) == ("failed", "superseded")
    assert (
        observation.cause
        == f"the service runs on {arn.rpartition('/')[2]} now: someone else has deployed it"
    )


@pytest.mark.parametrize(
    "settings",
    [{"env": {"A": "1"}}, {"secrets": {"A": "arn:aws:ssm:eu-west-1:111111111111:parameter/a"}}],
)
def test_variables_that_differ_are_a_change(stage: AppStage, settings: dict[str, Any]) -> None:
    stage.deployed()
    observed, _ = stage.deployed(stage.job(settings, token="t-2"))
    assert observed.verdict == "succeeded"
    container = stage.runs["containerDefinitions"][0]
    assert [
        item["name"] for item in container.get("environment", []) + container.get("secrets", [])
    ] == ["A"]
    assert previewed(stage, stage.job(settings, token="t-3")).unchanged


def test_values_of_variables_are_told_nowhere(stage: AppStage) -> None:
    job = stage.job(
        {
            "env": {"A": "hush-hush"},
            "secrets": {"B": "arn:aws:ssm:eu-west-1:111111111111:parameter/hush-hush"},
        }
    )
    preview = previewed(stage, job)
    observed, report = stage.deployed(job)
    assert "hush-hush" not in repr((preview, observed, report.events, report.receipt))
    assert [
        call.what.get("env") for call in preview.calls if call.name == "ecs:RegisterTaskDefinition"
    ] == ["A"]


def test_force_deploys_what_runs_already(stage: AppStage) -> None:
    stage.deployed()
    stage.endpoint.calls.clear()
    observed, _ = stage.deployed(stage.job(token="t-2", options=AppOptions(force=True)))
    assert observed.verdict == "succeeded"
    [call] = stage.endpoint.calls.of("ecs:UpdateService")
    assert call.params["forceNewDeployment"] is True


@pytest.mark.parametrize(("wish", "version"), [("old", "old"), (COMMIT, COMMIT)])
def test_a_named_image_is_deployed_under_its_own_name(
    stage: AppStage, wish: str, version: str
) -> None:
    observed, _ = stage.deployed(stage.job(options=AppOptions(image=wish, force=True)))
    assert observed.live is not None
    assert (observed.live.version, observed.live.commit) == (
        version,
        COMMIT if version == COMMIT else None,
    )


LOST = [("reset", "after"), ("500", "after"), ("reset", "before"), ("truncated", "before")]


@pytest.mark.parametrize("operation", ["ecs:RegisterTaskDefinition", "ecs:UpdateService"])
@pytest.mark.parametrize(("kind", "when"), LOST)
def test_a_lost_answer_is_looked_for_and_the_call_never_repeated(
    stage: AppStage, operation: str, kind: str, when: str
) -> None:
    fault = stage.endpoint.fault(operation, kind=kind, when=when)
    report = stage.report()
    happened = when == "after" or kind == "truncated"
    if happened:
        stage.applied(report=report)
    else:
        with pytest.raises(Unreachable):
            stage.applied(report=report)
    assert fault.hits == 1
    assert stage.endpoint.calls.count(operation) == 1
    if not happened:  # what a run does then: look, and apply again once it is sure
        assert stage.watched(report)[-1].state == "absent"
        stage.applied(report=report)
    assert stage.watched(report)[-1].verdict == "succeeded"
    assert (
        stage.endpoint.calls.applied("ecs:RegisterTaskDefinition")
        == stage.endpoint.calls.applied("ecs:UpdateService")
        == 1
    )


@pytest.mark.parametrize("operation", ["ecs:RegisterTaskDefinition", "ecs:UpdateService"])
def test_a_call_that_is_turned_away_is_made_again(stage: AppStage, operation: str) -> None:
    stage.endpoint.fault(operation, times=2, kind="throttle")
    observed, report = stage.deployed()
    assert observed.verdict == "succeeded"
    assert (stage.endpoint.calls.applied(operation), report.intents.count(operation)) == (1, 3)


def test_a_call_that_is_refused_is_not_made_again(stage: AppStage) -> None:
    stage.endpoint.fault("ecs:UpdateService", times=None, kind="denied")
    with pytest.raises(NotAllowed, match="ecs:UpdateService"):
        stage.applied()
    assert stage.endpoint.calls.count("ecs:UpdateService") == 1


WORDS = 7
"""How many intents and facts a deploy without a build writes down."""


def crashed(stage: AppStage, number: int) -> Report:
    """What is left of a process that died before its n-th intent or fact was written down."""
    words = 0

    def on_event(event: tuple[Any, ...]) -> None:
        nonlocal words
        words += event[0] in ("intend", "keep")
        if words == number:
            raise Crash()

    report = Report(clock=stage.clock, on_event=on_event)
    with pytest.raises(Crash):
        stage.applied(report=report)
    return stage.report(report.receipt)


def test_a_deploy_writes_down_as_much_as_the_crash_test_thinks(stage: AppStage) -> None:
    assert (
        len([event for event in stage.applied().events if event[0] in ("intend", "keep")]) == WORDS
    )


@pytest.mark.parametrize("number", range(1, WORDS + 1))
def test_after_a_crash_anywhere_nothing_is_done_twice(stage: AppStage, number: int) -> None:
    report = crashed(stage, number)
    stage.clock.advance(30)
    last = stage.watched(report)[-1]
    if last.state == "absent":
        stage.applied(report=report)
        last = stage.watched(report)[-1]
    assert (last.state, last.verdict) == ("done", "succeeded")
    assert (
        stage.endpoint.calls.applied("ecs:RegisterTaskDefinition")
        == stage.endpoint.calls.applied("ecs:UpdateService")
        == 1
    )


def test_apply_twice_is_apply_once(stage: AppStage) -> None:
    report = stage.applied()
    receipt = dict(report.receipt)
    stage.applied(report=report)
    lost = stage.applied(report=stage.report())
    assert (stage.look(report).verdict, stage.look(lost).verdict) == ("succeeded", "succeeded")
    assert stage.writes == ["ecs:RegisterTaskDefinition", "ecs:UpdateService"]
    assert report.receipt == receipt


def test_a_run_that_stops_makes_no_further_call(stage: AppStage) -> None:
    report = stage.report()
    report.stopping = True
    with pytest.raises(Stopped):
        stage.applied(report=report)
    assert stage.writes == []


# Somebody else


def test_another_deployment_is_waited_for_and_named(stage: AppStage) -> None:
    stage.endpoint.ecs.next("success", seconds=30)
    stage.endpoint.ecs.update_service(
        {"cluster": "main", "service": "web", "taskDefinition": foreign(stage)}
    )
    assert (
        "a deployment of web:2 by run r9 of deployer is in progress: toolkit will wait for it"
        in previewed(stage).warnings
    )
    observed, report = stage.deployed()
    assert "waiting for the deployment of web:2 by run r9 of deployer" in report.of("phase")
    assert observed.verdict == "succeeded"
    assert stage.service.rollouts[-2].status == "SUCCESSFUL"


def foreign(stage: AppStage, image: str = "old") -> str:
    return stage.endpoint.ecs.definition(
        "web", f"{stage.repository.uri}:{image}", tags={"toolkit:run": "r9"}
    ).arn


def test_another_deployment_is_replaced_or_refused_on_demand(stage: AppStage) -> None:
    stage.endpoint.ecs.next("never")
    stage.endpoint.ecs.update_service(
        {"cluster": "main", "service": "web", "taskDefinition": foreign(stage)}
    )
    with pytest.raises(Refused, match="by run r9 of deployer is in progress"):
        previewed(stage, stage.job(options=AppOptions(in_progress=InProgress.REFUSE)))
    with pytest.raises(Refused, match="by run r9 of deployer is in progress"):
        stage.applied(stage.job(options=AppOptions(in_progress=InProgress.REFUSE)))
    assert stage.writes == []
    observed, _ = stage.deployed(stage.job(options=AppOptions(in_progress=InProgress.REPLACE)))
    assert observed.verdict == "succeeded"


def test_another_deployment_that_never_ends_is_waited_for_to_the_deadline(stage: AppStage) -> None:
    stage.endpoint.ecs.next("never")
    stage.endpoint.ecs.update_service(
        {"cluster": "main", "service": "web", "taskDefinition": foreign(stage)}
    )
    with pytest.raises(Refused, match="still in progress"):
        stage.applied(stage.job(deadline_s=60))
    assert 60 <= stage.clock.elapsed() < 70
    assert stage.writes == []


def test_a_deployment_that_only_fails_is_not_waited_for(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, breaker=False)
    endpoint.ecs.next("fail", failures=4)
    endpoint.ecs.update_service(
        {"cluster": "main", "service": "web", "taskDefinition": foreign(stage)}
    )
    endpoint.ecs.describe_services({"cluster": "main", "services": ["web"]})
    notes = map(sentence, previewed(stage).warnings)
    assert [word for word in notes if word.endswith("it will be replaced")]
    observed, _ = stage.deployed()
    assert (observed.verdict, stage.clock.elapsed() < 10) == ("succeeded", True)


def test_a_deployment_of_the_same_version_is_only_watched(stage: AppStage) -> None:
    stage.endpoint.ecs.next("success", seconds=20)
    stage.applied()
    stage.endpoint.calls.clear()
    job = stage.job(token="t-2", run="r2")
    preview = previewed(stage, job)
    assert (preview.calls, preview.unchanged) == ((), False)
    assert [
        word
        for word in map(sentence, preview.warnings)
        if "by run r1 of deployer: it is only watched" in word
    ]
    observed, report = stage.deployed(job)
    assert (observed.verdict, stage.writes, report.intents) == ("succeeded", [], [])


# What is refused before anything is changed


def test_the_wrong_account_changes_nothing(stage: AppStage) -> None:
    job = stage.job(location=Location("dev", "eu-west-1", "222222222222"))
    for act in (lambda: previewed(stage, job), lambda: stage.applied(job)):
        with pytest.raises(
            WrongAccount,
            match="account 111111111111, but environment dev uses account 222222222222",
        ):
            act()
    assert stage.writes == []


def test_without_a_configured_account_none_is_asked_for(stage: AppStage) -> None:
    previewed(stage, stage.job(location=Location("dev", "eu-west-1")))
    assert not stage.endpoint.calls.count("sts:*")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cluster": "x"}, "there is no ECS cluster x in eu-west-1"),
        ({"service": "x"}, r"there is no ECS service x in cluster main \(eu-west-1\)"),
        ({"repository": "other"}, "there is no ECR repository other in eu-west-1"),
    ],
)
def test_what_is_not_there_is_named(stage: AppStage, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(Missing, match=words):
        previewed(stage, stage.job(settings))


def test_an_image_that_is_not_there_and_cannot_be_built_is_refused(stage: AppStage) -> None:
    with pytest.raises(Refused, match=r"it has no `build` in rules\.toml"):
        previewed(stage, stage.job(version=version("x")))
    with pytest.raises(Refused, match="--no-build was given"):
        previewed(stage, stage.job(BUILD, version=version("x"), options=AppOptions(no_build=True)))
    with pytest.raises(Missing, match="there is no image x in repository backend"):
        previewed(stage, stage.job(BUILD, options=AppOptions(image="x")))


def test_a_dirty_tree_is_told_and_refused_where_it_is_protected(stage: AppStage) -> None:
    stage.endpoint.ecr.image("backend", "c-dirty-1")
    job = stage.job(version=version("c-dirty-1", dirty=True))
    assert (
        "the files are not as committed: the image is tagged c-dirty-1"
        in previewed(stage, job).warnings
    )
    guarded = replace(job, location=replace(job.location, protected=True))
    for act in (lambda: previewed(stage, guarded), lambda: stage.applied(guarded)):
        with pytest.raises(Refused, match="environment dev is protected"):
            act()
    assert stage.writes == []


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "deployed by CodeDeploy"),
        ({"deploymentController": {"type": "EXTERNAL"}}, "deployed by an external controller"),
        ({"resourceManagementType": "ECS"}, "Express Mode"),
    ],
)
def test_a_service_that_others_manage_is_refused_in_words(
    stage: AppStage, service: dict[str, Any], words: str
) -> None:
    stage.service.settings |= service
    with pytest.raises(Refused, match=words):
        previewed(stage)


def test_a_service_that_is_being_deleted_is_refused(stage: AppStage) -> None:
    stage.service.status = "DRAINING"
    with pytest.raises(Refused, match="DRAINING"):
        previewed(stage)


def test_an_image_for_another_processor_is_refused_before_it_is_built(buildable: AppStage) -> None:
    job = unbuilt(buildable)
    settings = replace(job.settings, build=replace(job.settings.build, platform="linux/arm64"))
    with pytest.raises(Refused, match="built for linux/arm64, but the tasks run on linux/amd64"):
        previewed(buildable, replace(job, settings=settings))


def test_a_dockerfile_that_is_not_there_is_refused_before_anything(stage: AppStage) -> None:
    from toolkit.errors import ToolkitError

    with pytest.raises(ToolkitError, match="context `src` is not a folder"):
        previewed(stage, unbuilt(stage))
    (stage.folder / "src").mkdir()
    with pytest.raises(ToolkitError, match="Dockerfile"):
        previewed(stage, unbuilt(stage))
    assert stage.writes == []


def test_what_to_know_before_is_warned_of(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, desired=0, breaker=False)
    assert previewed(stage).warnings == (
        (
            "the desired count of service web is 0: nothing will run, and the deploy will end as"
            " unhealthy (rules.toml does not have `min_tasks = 0`)"
        ),
        (
            "service web has no circuit breaker with rollback: a bad version is rolled back only"
            " while toolkit watches"
        ),
    )


def test_the_preview_says_what_is_live(stage: AppStage) -> None:
    actual = previewed(stage).live
    assert actual is not None
    assert (actual.version, actual.detail["digest"]) == ("old", stage.old.digest)


# Rollback


def back(stage: AppStage, definition: str | None = None, **fields: Any) -> Job:
    restore = AppRestore(image_digest=stage.old.digest, task_definition=definition)
    return stage.job(
        **{
            "action": "rollback",
            "version": Version("old", None, "d" * 64),
            "restore": restore,
            "token": "t-9",
            "run": "r9",
            **fields,
        }
    )


def test_a_rollback_uses_the_task_definition_of_then(stage: AppStage) -> None:
    stage.deployed()
    stage.endpoint.calls.clear()
    job = back(stage, stage.first.arn)
    preview = previewed(stage, job)
    assert names(preview) == ["ecs:UpdateService"]
    assert preview.calls[0].what["task_definition"] == "web:1"
    observed, report = stage.deployed(job)
    assert (observed.verdict, report.intents) == ("succeeded", ["ecs:UpdateService"])
    assert stage.service.definition == stage.first.arn
    assert observed.live is not None
    assert (observed.live.version, observed.live.run) == ("old", "r0")


@pytest.mark.parametrize("history", ["on", "unsupported"])
def test_a_rollback_that_fails_is_not_taken_for_the_success_of_then(
    stage: AppStage, history: str
) -> None:
    stage.deployed()
    stage.endpoint.ecs.history = history
    stage.clock.advance(100)
    stage.endpoint.ecs.next("breaker", seconds=2)
    observed, _ = stage.deployed(back(stage, stage.first.arn))
    assert (observed.state, observed.verdict) == ("failed", "rolled-back")


@pytest.mark.parametrize("gone", [True, False])
def test_a_rollback_without_a_usable_task_definition_registers_a_copy(
    stage: AppStage, gone: bool
) -> None:
    stage.deployed()
    if gone:
        stage.endpoint.ecs.deregister_task_definition({"taskDefinition": stage.first.arn})
    job = back(stage, stage.first.arn if gone else None)
    assert names(previewed(stage, job)) == ["ecs:RegisterTaskDefinition", "ecs:UpdateService"]
    observed, _ = stage.deployed(job)
    assert observed.verdict == "succeeded"
    assert observed.live is not None
    assert (observed.live.version, observed.live.run, observed.live.detail["digest"]) == (
        "old",
        "r9",
        stage.old.digest,
    )


def test_a_rollback_to_an_image_that_is_gone_is_refused(stage: AppStage) -> None:
    stage.deployed()
    del stage.repository.images[stage.old.digest]
    with pytest.raises(Refused, match="is no longer in repository backend"):
        previewed(stage, back(stage, stage.first.arn))


def test_a_rollback_to_what_runs_is_unchanged(stage: AppStage) -> None:
    assert previewed(stage, back(stage, stage.first.arn)).unchanged


def test_a_rollback_during_a_deployment_stops_it(stage: AppStage) -> None:
    stage.endpoint.ecs.next("never", seconds=2)
    stage.applied()
    stage.endpoint.calls.clear()
    job = back(stage, stage.first.arn)
    assert names(previewed(stage, job)) == ["ecs:StopServiceDeployment"]
    observed, report = stage.deployed(job)
    assert (observed.state, observed.verdict) == ("done", "succeeded")
    assert report.intents == stage.writes == ["ecs:StopServiceDeployment"]
    assert stage.service.definition == stage.first.arn


def test_a_rollback_during_a_deployment_moves_the_service_where_nothing_can_be_stopped(
    stage: AppStage,
) -> None:
    stage.endpoint.ecs.history = "unsupported"
    stage.endpoint.ecs.next("never")
    stage.applied()
    stage.endpoint.calls.clear()
    job = back(stage, stage.first.arn)
    assert names(previewed(stage, job)) == ["ecs:UpdateService"]
    observed, _ = stage.deployed(job)
    assert (observed.verdict, stage.writes) == ("succeeded", ["ecs:UpdateService"])


# Abandon


def test_what_somebody_else_deploys_is_not_abandoned(stage: AppStage) -> None:
    report = stage.applied()
    stage.endpoint.ecs.foreign_update(stage.service)
    stage.endpoint.calls.clear()
    app.abandon(stage.job(), report.receipt, stage.ports, report)
    assert stage.writes == []


def test_what_may_not_be_stopped_is_moved_back(stage: AppStage) -> None:
    stage.endpoint.ecs.next("never")
    report = stage.applied()
    stage.endpoint.fault("ecs:StopServiceDeployment", times=None, kind="denied")
    app.abandon(stage.job(), report.receipt, stage.ports, report)
    assert stage.service.definition == stage.first.arn
    assert report.intents[-2:] == ["ecs:StopServiceDeployment", "ecs:UpdateService"]
    observed = stage.watched(report)[-1]
    assert (observed.state, observed.verdict) == ("failed", "rolled-back")


def test_cloud_errors_of_reads_are_raised_before_anything_is_changed(stage: AppStage) -> None:
    stage.endpoint.fault("ecr:DescribeRepositories", times=None, kind="denied")
    with pytest.raises(CloudError):
        stage.applied()
    assert stage.writes == []
