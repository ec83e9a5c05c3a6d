"""Which image goes where: one build for all that get it, every container that is meant, whosever
registry it is.
"""

import json
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.aws.ecr import digest_of
from tests.support.builders import CountingBuilder
from tests.support.report import Crash, Report
from tests.targets.apps import COMMIT, AppStage
from tests.targets.permissions import by_action
from tests.targets.test_app_apply import BUILD, DOCKERFILE, unbuilt, version
from tests.targets.test_app_health import told, words
from toolkit.artifacts import images
from toolkit.errors import (
    CloudError,
    Missing,
    NoImage,
    NotAllowed,
    ProgramFailed,
    Refused,
    RegistryError,
    Stopped,
    TagTaken,
    ToolkitError,
)
from toolkit.operations import Job
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.sharing import SharedWork
from toolkit.show.advice import sentence
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import provenance
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.options import AppOptions, AppRestore
from toolkit.targets.app.settings import Build
from toolkit.targets.container_test import ContainerTest

THEIRS = "222222222222"
THEIR_HOST = f"{THEIRS}.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture
def twins(endpoint: Endpoint, tmp_path: Path) -> AppStage:
    """Two services, web and worker, with one repository and one context; the image is not there
    yet.
    """
    stage = AppStage(endpoint, tmp_path)
    endpoint.ecs.service(
        "worker",
        definition=endpoint.ecs.definition(
            "worker", f"{stage.repository.uri}@{stage.old.digest}"
        ).arn,
    )
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "src" / "hello").write_text("hello")
    endpoint.calls.clear()
    return stage


def once(
    shared: SharedWork,
    key: str,
    step: str,
    do: Callable[[], object],
    check: Callable[[], None],
) -> Any:
    """What a step gets that needs something done once."""
    with shared.turn(key, step, check) as turn:
        if turn.is_mine:
            turn.value = do()
    return turn.value


def both(stage: AppStage, **fields: Any) -> list[Job]:
    """The jobs of one run, each with a fingerprint of its own: their rules differ."""
    web = unbuilt(stage, **fields)
    worker = replace(
        web,
        step="worker",
        target="worker",
        settings=replace(web.settings, service="worker"),
        token="t-worker",
    )
    return [web, replace(worker, version=replace(worker.version, fingerprint="9" * 64))]


def at_once(stage: AppStage, jobs: list[Job]) -> list[Report | BaseException]:
    """Apply them side by side, as a run does."""
    by_name: dict[str, Report | BaseException] = {}
    together = Barrier(len(jobs))

    def work(job: Job) -> None:
        report = stage.report()
        together.wait()
        try:
            app.apply(job, stage.ports, report)
            by_name[job.step] = report
        except ToolkitError as problem:
            by_name[job.step] = problem

    threads = [Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [by_name[job.step] for job in jobs]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> CountingBuilder:
    counted = CountingBuilder()
    monkeypatch.setattr(images, "builder", lambda name=None: counted)
    return counted


# One build


@pytest.mark.parametrize("immutable", [False, True])
def test_two_services_of_one_repository_share_one_build(
    twins: AppStage, engine: CountingBuilder, immutable: bool
) -> None:
    twins.repository.immutable = immutable
    reports = at_once(twins, both(twins))
    assert [type(report) for report in reports] == [Report, Report], reports
    assert engine.builds == twins.endpoint.calls.count("registry:PutManifest") == 1
    actual = twins.repository.found("b" * 40)
    assert actual is not None
    for name in ("web", "worker"):
        body = twins.endpoint.ecs.definitions[twins.endpoint.ecs.find(name).definition].body
        assert body["containerDefinitions"][0]["image"] == f"{twins.repository.uri}@{actual.digest}"


def test_the_step_that_did_not_build_says_who_did(twins: AppStage, engine: CountingBuilder) -> None:
    web, worker = (twins.report(), twins.report())
    for job, report in zip(both(twins), (web, worker), strict=True):
        once(twins.ports.shared, "warm", job.step, lambda: None, report.check)
    reports = at_once(twins, both(twins))
    lines = [
        line
        for report in reports
        if isinstance(report, Report)
        for line in report.of("log")
        if "was built by step" in line
    ]
    assert lines in (
        [f"image {'b' * 40} was built by step {step}, which uses the same image"]
        for step in ("web", "worker")
    )


def test_a_build_that_fails_fails_once_for_all(twins: AppStage, engine: CountingBuilder) -> None:
    def failing() -> None:
        raise ProgramFailed(program="counted", reason="no")

    engine.before = failing
    assert [str(problem) for problem in at_once(twins, both(twins))] == ["counted failed: no"] * 2
    assert engine.builds == 1


def test_a_build_that_only_one_step_could_not_finish_is_done_by_the_other(
    twins: AppStage, engine: CountingBuilder
) -> None:
    def lost() -> None:
        if engine.builds == 1:
            raise Stopped()

    engine.before = lost
    kinds = sorted(type(report).__name__ for report in at_once(twins, both(twins)))
    assert (kinds, engine.builds) == (["Report", "Stopped"], 2)


def test_another_run_does_not_share_what_is_gone(twins: AppStage, engine: CountingBuilder) -> None:
    twins.applied(both(twins)[0])
    twins.repository.images.clear()
    twins.applied(replace(both(twins)[1], run="r2"))
    assert engine.builds == 2


def test_after_a_crash_behind_the_push_the_other_service_takes_the_image(
    twins: AppStage, engine: CountingBuilder
) -> None:
    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "keep" and "image" in event[1]:
            raise Crash()

    web, worker = both(twins)
    report = Report(clock=twins.clock, on_event=on_event)
    with pytest.raises(Crash):
        twins.applied(web, report)
    twins.ports = replace(twins.ports, shared=SharedWork())  # another process
    twins.applied(web, twins.report(report.receipt))
    twins.applied(worker)
    assert (engine.builds, twins.endpoint.calls.count("registry:PutManifest")) == (1, 1)


def test_the_same_image_has_the_same_labels_in_every_target_and_run(twins: AppStage) -> None:
    web, worker = both(twins)
    twins.applied(web)
    first = twins.repository.found("b" * 40)
    twins.repository.images.clear()
    twins.applied(replace(worker, run="r2"))
    second = twins.repository.found("b" * 40)
    assert first is not None
    assert second is not None
    assert first.digest == second.digest


@pytest.mark.parametrize("immutable", [False, True])
def test_who_is_slower_takes_the_image_of_the_same_commit(
    twins: AppStage, engine: CountingBuilder, immutable: bool
) -> None:
    """Another machine pushes between our look and our push."""
    twins.repository.immutable = immutable
    second = replace(twins.ports, shared=SharedWork())

    def meanwhile() -> None:
        if engine.builds == 1:
            app.apply(replace(both(twins)[1], run="r2"), second, twins.report())

    engine.before = meanwhile
    report = twins.applied(both(twins)[0])
    actual = twins.repository.found("b" * 40)
    assert actual is not None
    assert len([image for image in twins.repository.images.values() if "b" * 40 in image.tags]) == 1
    assert report.receipt["digest"] == actual.digest
    assert [line for line in report.of("log") if line.endswith(f"using {actual.digest}")]


def test_an_image_of_the_same_tag_that_was_built_otherwise_is_not_taken(
    twins: AppStage, engine: CountingBuilder
) -> None:
    web, worker = both(twins)
    second = replace(twins.ports, shared=SharedWork())
    otherwise = replace(worker.settings, build=Build(context="src", args={"COLOUR": "blue"}))

    def meanwhile() -> None:
        if engine.builds == 1:
            app.apply(replace(worker, run="r2", settings=otherwise), second, twins.report())

    engine.before = meanwhile
    with pytest.raises(TagTaken):
        twins.applied(web)
    assert twins.service.definition == twins.first.arn


@pytest.mark.parametrize(
    "build",
    [
        Build(context="src", args={"STAGE": "prod"}),
        Build(context="src", target="last"),
        Build(),
    ],
)
def test_an_image_of_the_same_commit_that_another_target_builds_otherwise_is_not_its(
    twins: AppStage, build: Build
) -> None:
    web, worker = both(twins)
    twins.applied(web)
    otherwise = replace(worker, settings=replace(worker.settings, build=build))
    for act in (lambda: app.preview(otherwise, twins.ports), lambda: twins.applied(otherwise)):
        with pytest.raises(Refused, match="was built in another way"):
            act()
    assert app.preview(worker, twins.ports).warnings == ()
    assert app.preview(
        replace(otherwise, options=AppOptions(image="b" * 40)), twins.ports
    ).calls  # somebody says which image is meant


def test_whether_an_image_was_built_in_the_same_way_is_told_where_nobody_can_see_it(
    twins: AppStage,
) -> None:
    twins.endpoint.ecr.image("backend", "b" * 40)  # its layers and its configuration are not there
    [warning] = app.preview(unbuilt(twins), twins.ports).warnings
    assert sentence(warning).startswith(
        f"whether image {'b' * 40} was built as rules.toml says could not be checked: "
    )


def test_an_image_of_which_nobody_knows_whether_it_was_tested_is_deployed_with_fast_only(
    twins: AppStage,
) -> None:
    twins.endpoint.ecr.image("backend", "b" * 40)  # its layers and its configuration are not there
    job = unbuilt(twins)
    tested = replace(job, settings=replace(job.settings, container_test=ContainerTest()))
    with pytest.raises(RegistryError):
        app.preview(tested, twins.ports)
    fast = replace(tested, options=replace(tested.options, fast=True))
    [warning] = app.preview(fast, twins.ports).warnings
    assert "could not be checked" in sentence(warning)


def test_an_image_that_says_nothing_of_its_build_is_taken(twins: AppStage) -> None:
    twins.applied(both(twins)[0])
    actual = twins.repository.found("b" * 40)
    assert actual is not None
    manifest = json.loads(actual.manifest)
    config = json.dumps({"config": {}, "os": "linux", "architecture": "amd64"}).encode()
    manifest["config"]["digest"] = digest_of(config)
    twins.repository.blobs[digest_of(config)] = config
    twins.endpoint.ecr.push(
        twins.repository, json.dumps(manifest).encode(), actual.media_type, "c" * 40
    )
    preview = app.preview(unbuilt(twins, version=version("c" * 40)), twins.ports)
    assert (preview.warnings, [call.name for call in preview.calls]) == (
        (),
        ["ecs:RegisterTaskDefinition", "ecs:UpdateService"],
    )


def test_a_step_that_waits_for_a_build_can_be_stopped() -> None:
    shared, entered, leave = SharedWork(), Barrier(2), Barrier(2)

    def slow() -> str:
        entered.wait()
        leave.wait()
        return "built"

    def stopped() -> None:
        raise Stopped()

    first = Thread(target=lambda: once(shared, "image", "web", slow, lambda: None))
    first.start()
    entered.wait()
    with pytest.raises(Stopped):
        once(shared, "image", "worker", lambda: "twice", stopped)
    leave.wait()
    first.join()
    assert once(shared, "image", "worker", lambda: "twice", stopped) == "built"


# Several containers


def pair(stage: AppStage, second: str = "") -> None:
    """The task has a second container with an image of the same repository."""
    parts = stage.first.body["containerDefinitions"]
    parts.append({**parts[0], "name": "worker", "image": second or parts[0]["image"]})


def run_by(stage: AppStage) -> dict[str, str]:
    return {
        item["name"]: item["image"].partition("@")[2] for item in stage.runs["containerDefinitions"]
    }


def test_all_containers_of_the_repository_get_the_image(stage: AppStage) -> None:
    pair(stage)
    preview = app.preview(stage.job(), stage.ports)
    assert (preview.calls[0].what["container"], preview.warnings) == ("app, worker", ())
    observed, report = stage.deployed()
    assert (observed.verdict, observed.cause) == ("succeeded", "")
    assert run_by(stage) == {"app": stage.new.digest, "worker": stage.new.digest}
    assert report.receipt["containers"] == ["app", "worker"]
    assert observed.live is not None
    assert observed.live.deployed.artifacts == run_by(stage)


def test_variables_are_set_in_all_containers_that_get_the_image(stage: AppStage) -> None:
    pair(stage)
    stage.applied(stage.job({"env": {"MODE": "a"}}))
    assert [item["environment"] for item in stage.runs["containerDefinitions"]] == [
        [{"name": "MODE", "value": "a"}]
    ] * 2


def test_a_container_that_is_left_out_is_told_with_what_it_runs(stage: AppStage) -> None:
    pair(stage)
    job = stage.job({"container": "app"})
    text = (
        f"container worker has an image of backend, too ({stage.old.digest[:19]}), and is left as"
        " it is: `container` is app"
    )
    assert text in app.preview(job, stage.ports).warnings
    observed, _ = stage.deployed(job)
    assert (observed.verdict, observed.cause, run_by(stage)) == (
        "succeeded",
        text,
        {"app": stage.new.digest, "worker": stage.old.digest},
    )
    live = app.live(job, stage.ports)
    assert live is not None
    assert (live.version, live.doubt, live.notes) == (COMMIT, "", (text,))
    again = stage.job({"container": "app"}, token="t-2", run="r2")
    assert (stage.deployed(again)[0].verdict, stage.deployed(again)[0].cause) == ("unchanged", text)


def test_containers_that_run_different_images_are_no_version(stage: AppStage) -> None:
    pair(stage, f"{stage.repository.uri}@{stage.new.digest}")
    live = app.live(stage.job(), stage.ports)
    assert live is not None
    assert (live.version, live.commit, live.fingerprint) == (None, None, None)
    assert (
        live.doubt == f"its containers run different images: app {stage.old.digest[:19]}, worker"
        f" {stage.new.digest[:19]}"
    )
    signs, _ = told(stage)
    assert (signs["version"].status, signs["version"].cause) == ("warning", live.doubt)
    assert not app.preview(stage.job(), stage.ports).unchanged
    assert stage.deployed()[0].verdict == "succeeded"
    assert run_by(stage) == {"app": stage.new.digest, "worker": stage.new.digest}


def test_a_container_that_runs_another_digest_than_was_deployed_has_failed(stage: AppStage) -> None:
    pair(stage)
    report = stage.applied()
    stage.watched(report)
    for image in stage.service.latest.images:
        if image["containerName"] == "worker":
            image["imageDigest"] = stage.old.digest
    observed = stage.look(report)
    assert (observed.state, observed.cause) == (
        "failed",
        f"container worker runs {stage.old.digest}, but {stage.new.digest} was deployed",
    )


def test_health_says_of_each_container_which_image_it_runs(stage: AppStage) -> None:
    pair(stage)
    signs, _ = told(stage)
    assert (signs["image of app"].detail, signs["image of worker"].detail) == (
        f"{stage.old.digest[:19]} is in ECR",
    ) * 2
    signs, _ = told(stage, container="app")
    assert (
        signs["image of worker"].detail
        == f"{stage.old.digest[:19]} is in ECR, left as it is: `container` is app"
    )
    del stage.repository.images[stage.old.digest]
    assert {words(told(stage)[0])[name] for name in ("image of app", "image of worker")} == {
        "failing"
    }


def test_a_receipt_of_an_earlier_version_is_understood(stage: AppStage) -> None:
    report = stage.applied()
    receipt = {key: value for key, value in report.receipt.items() if key != "containers"}
    assert stage.watched(stage.report(receipt))[-1].verdict == "succeeded"


def test_a_rollback_brings_each_container_back_to_what_it_ran(stage: AppStage) -> None:
    pair(stage, f"{stage.repository.uri}@{stage.new.digest}")
    stage.deployed()
    restore = AppRestore(image_digest=stage.old.digest, task_definition=stage.first.arn)
    job = stage.job(
        action="rollback", version=version("old"), restore=restore, token="t-9", run="r9"
    )
    stage.endpoint.ecs.deregister_task_definition({"taskDefinition": stage.first.arn})
    assert stage.deployed(job)[0].verdict == "succeeded"
    assert run_by(stage) == {"app": stage.old.digest, "worker": stage.new.digest}


# Another account's registry


@pytest.fixture
def abroad(stage: AppStage) -> AppStage:
    """The repository is in another account."""
    theirs = stage.endpoint.ecr.repository(f"{THEIRS}/backend")
    stage.endpoint.ecr.push(theirs, stage.new.manifest, stage.new.media_type, COMMIT)
    del stage.endpoint.ecr.repositories["backend"]
    stage.first.body["containerDefinitions"][0]["image"] = (
        f"{THEIR_HOST}/backend@{stage.old.digest}"
    )
    return stage


@pytest.mark.parametrize(
    "repository", [f"{THEIR_HOST}/backend", f"arn:aws:ecr:eu-west-1:{THEIRS}:repository/backend"]
)
def test_an_image_of_another_account_is_deployed(abroad: AppStage, repository: str) -> None:
    observed, _ = abroad.deployed(abroad.job({"repository": repository}))
    assert observed.verdict == "succeeded"
    documents = [call.params for call in abroad.endpoint.calls.of("ecr:DescribeImages")]
    assert {(item["registryId"], item["repositoryName"]) for item in documents} == {
        (THEIRS, "backend")
    }


def test_a_repository_that_only_another_account_has_is_told_as_that(abroad: AppStage) -> None:
    with pytest.raises(Missing) as caught:
        app.preview(abroad.job(), abroad.ports)
    assert (
        str(caught.value)
        == "there is no ECR repository backend in eu-west-1: the running image is from"
        f" {THEIR_HOST}/backend"
    )
    assert (
        sentence(caught.value.next)
        == f'if that is intended, set `repository = "{THEIR_HOST}/backend"`'
    )


def test_a_repository_that_another_account_does_not_open_is_told_with_the_reason(
    abroad: AppStage,
) -> None:
    abroad.endpoint.fault("ecr:DescribeRepositories", times=None, kind="denied")
    with pytest.raises(
        NotAllowed,
        match=f"it is a repository of account {THEIRS}, and its policy has to allow that",
    ):
        app.preview(abroad.job({"repository": f"{THEIR_HOST}/backend"}), abroad.ports)


def test_the_images_of_another_account_are_listed_there(abroad: AppStage) -> None:
    job = abroad.job({"repository": f"{THEIR_HOST}/backend"}, options=AppOptions(image="x"))
    with pytest.raises(NoImage) as caught:
        app.preview(job, abroad.ports)
    assert sentence(caught.value.next) == (
        "list its images: aws ecr list-images --repository-name backend"
        f" --registry-id {THEIRS} --region eu-west-1"
    )


def test_health_asks_the_account_that_has_the_image(abroad: AppStage) -> None:
    theirs = abroad.endpoint.ecr.repositories[f"{THEIRS}/backend"]
    abroad.endpoint.ecr.push(theirs, abroad.old.manifest, abroad.old.media_type, "old")
    for repository in ("backend", f"{THEIR_HOST}/backend"):
        assert told(abroad, repository=repository)[0]["image"].status == "ok"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("backend", ecr.RepositoryName("backend")),
        ("team/backend", ecr.RepositoryName("team/backend")),
        (f"{THEIR_HOST}/team/backend", ecr.RepositoryName("team/backend", THEIRS, "eu-west-1")),
        (
            f"{THEIRS}.dkr.ecr-fips.us-gov-west-1.amazonaws.com/b",
            ecr.RepositoryName("b", THEIRS, "us-gov-west-1"),
        ),
        (
            f"{THEIRS}.dkr.ecr.cn-north-1.amazonaws.com.cn/b",
            ecr.RepositoryName("b", THEIRS, "cn-north-1"),
        ),
        (f"{THEIRS}.dkr-ecr.eu-west-1.on.aws/b", ecr.RepositoryName("b", THEIRS, "eu-west-1")),
        (
            f"arn:aws-cn:ecr:cn-north-1:{THEIRS}:repository/team/b",
            ecr.RepositoryName("team/b", THEIRS, "cn-north-1"),
        ),
        ("docker.io/library/b", ecr.RepositoryName("docker.io/library/b")),
        (f"{THEIR_HOST}.evil.example/b", ecr.RepositoryName(f"{THEIR_HOST}.evil.example/b")),
    ],
)
def test_a_repository_is_named_in_three_ways(words: str, name: ecr.RepositoryName) -> None:
    assert ecr.named(words) == name


def test_the_policy_names_the_repository_of_the_other_account(stage: AppStage) -> None:
    document = by_action(app.permissions(stage.job({"repository": f"{THEIR_HOST}/backend"})))
    assert document["ecr:DescribeImages"].resources == (
        f"arn:aws:ecr:eu-west-1:{THEIRS}:repository/backend",
    )


# A repository that is not there


@pytest.fixture
def bare(twins: AppStage) -> AppStage:
    """Nobody has made the repository."""
    del twins.endpoint.ecr.repositories["backend"]
    twins.endpoint.calls.clear()
    return twins


CREATE = AppOptions(builder="built-in", create=True)
MAKING = ["ecr:CreateRepository", "ecr:PutLifecyclePolicy"]


def test_without_consent_it_is_told_how_to_make_it(bare: AppStage) -> None:
    with pytest.raises(Missing) as caught:
        app.preview(unbuilt(bare), bare.ports)
    assert str(caught.value) == "there is no ECR repository backend in eu-west-1"
    hint = "correct its name in rules.toml, or create it: toolkit deploy-app web --create"
    assert sentence(caught.value.next) == hint


def test_with_consent_it_is_made_so_that_tags_stay_and_versions_are_kept(bare: AppStage) -> None:
    job = unbuilt(bare, options=CREATE)
    preview = app.preview(job, bare.ports)
    assert [call.name for call in preview.calls] == [
        *MAKING,
        "ecr:PutImage",
        "ecs:RegisterTaskDefinition",
        "ecs:UpdateService",
    ]
    assert "backend" not in bare.endpoint.ecr.repositories
    report = bare.applied(job)
    assert report.intents == [call.name for call in preview.calls]
    created = bare.endpoint.ecr.repositories["backend"]
    [rule] = json.loads(created.lifecycle)["rules"]
    assert (created.immutable, created.scanned, rule["selection"]["countNumber"]) == (
        True,
        True,
        500,
    )
    assert created.found("b" * 40) is not None


def test_two_services_make_it_once(bare: AppStage) -> None:
    assert [type(report) for report in at_once(bare, both(bare, options=CREATE))] == [
        Report,
        Report,
    ]
    assert [bare.endpoint.calls.count(name) for name in MAKING] == [1, 1]


def test_one_that_is_there_is_left_as_it_is(twins: AppStage) -> None:
    twins.applied(unbuilt(twins, options=CREATE))
    assert (twins.repository.lifecycle, twins.repository.immutable) == ("", False)
    assert not [call for call in twins.endpoint.calls.names() if call in MAKING]


@pytest.mark.parametrize("text", ["ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:PutImage"])
def test_after_a_crash_it_is_found_and_finished(bare: AppStage, text: str) -> None:
    """The process dies when it is about to make the call, or the next one."""

    def on_event(event: tuple[Any, ...]) -> None:
        if event[:2] == ("intend", text):
            raise Crash()

    job = unbuilt(bare, options=CREATE)
    report = Report(clock=bare.clock, on_event=on_event)
    with pytest.raises(Crash):
        bare.applied(job, report)
    bare.ports = replace(bare.ports, shared=SharedWork())
    bare.applied(job, bare.report(report.receipt))
    assert [bare.endpoint.calls.applied(name) for name in MAKING] == [1, 1]
    assert bare.endpoint.ecr.repositories["backend"].lifecycle


@pytest.mark.parametrize("name", MAKING)
def test_an_answer_that_is_lost_is_not_made_twice(bare: AppStage, name: str) -> None:
    bare.endpoint.fault(name, times=1, kind="reset", when="after")
    bare.applied(unbuilt(bare, options=CREATE))
    assert bare.endpoint.calls.applied("ecr:CreateRepository") == 1
    assert bare.endpoint.ecr.repositories["backend"].lifecycle


def test_a_repository_that_may_not_be_made_changes_nothing(bare: AppStage) -> None:
    bare.endpoint.fault("ecr:CreateRepository", times=None, kind="denied")
    with pytest.raises(CloudError):
        bare.applied(unbuilt(bare, options=CREATE))
    assert bare.writes == []


def test_nothing_is_made_for_an_image_that_cannot_be_built(bare: AppStage) -> None:
    for settings, options in (
        (None, AppOptions(create=True)),
        (BUILD, AppOptions(create=True, image="x")),
        (BUILD, AppOptions(create=True, no_build=True)),
    ):
        with pytest.raises((Refused, Missing)):
            bare.applied(bare.job(settings, options=options))
    assert "backend" not in bare.endpoint.ecr.repositories


# What a running definition says is foreign


FOREIGN: list[Any] = [
    None,
    [],
    [{}],
    [None],
    "text",
    {"name": "A"},
    [{"name": None}],
    [{"name": ""}],
    [{"value": "x"}],
    [{"name": 7}],
    [[]],
]


@pytest.mark.parametrize("listed", FOREIGN)
@pytest.mark.parametrize("key", ["environment", "secrets"])
def test_variables_without_a_name_are_ignored_wherever_they_stand(listed: Any, key: str) -> None:
    container = {"name": "app", "image": "h/b@sha256:1", key: listed}
    foreign = {"family": "web", "containerDefinitions": [container], "tags": {}}
    plain = {**foreign, "containerDefinitions": [{"name": "app", "image": "h/b@sha256:1"}]}
    members = {"family", "containerDefinitions"}
    for env, secrets in (({}, {}), ({"MODE": "a"}, {"PASS": "arn:p"})):
        request = definitions.revised_definition(
            foreign, members, ["app"], "h/b@sha256:2", env, secrets
        )
        assert definitions.is_copy(
            request,
            definitions.revised_definition(plain, members, ["app"], "h/b@sha256:2", env, secrets),
        )
        assert all(item["name"] for item in (*request["containerDefinitions"][0].get(key, ()),))
    assert definitions.digest(foreign) == definitions.digest(plain)
    assert provenance.describe_changes(foreign, plain) == []


@pytest.mark.parametrize(
    "containers", [None, "text", [None], [{}], [{"name": None}], [{"image": "x"}], {}]
)
def test_a_definition_without_a_container_that_has_a_name_is_refused_and_crashes_nothing(
    containers: Any,
) -> None:
    foreign = {"family": "web", "containerDefinitions": containers, "tags": {}}
    with pytest.raises(Refused, match="the task has"):
        definitions.containers_to_update(foreign, None, ecr.named("backend"))
    assert (
        definitions.container_names(foreign),
        definitions.image_digests(foreign),
        definitions.image_of(foreign, "app"),
    ) == ([], {}, "")
    assert definitions.digest(foreign)


@pytest.mark.parametrize("value", [None, "text", [], 7, {}])
def test_settings_of_another_type_say_nothing(value: Any) -> None:
    assert definitions.log_stream({"name": "a", "logConfiguration": value}, "1") is None
    assert (
        definitions.log_stream(
            {"name": "a", "logConfiguration": {"logDriver": "awslogs", "options": value}}, "1"
        )
        is None
    )
    assert definitions.platform_of({"runtimePlatform": value}) == "linux/amd64"
    assert provenance.is_from_stack({"tags": {}, "registeredBy": value}) is False


def test_tags_without_a_key_are_none() -> None:
    listed: Any = [
        {},
        None,
        {"key": "a"},
        {"key": "b", "value": None},
        {"key": "c", "value": "1"},
        {"value": "x"},
    ]
    assert ecs.tags(listed) == {"a": "", "b": "", "c": "1"}
