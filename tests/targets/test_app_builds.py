"""The image of an app as a step of its own: pushed once, taken from there, and never on trust."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.builders import CountingBuilder
from tests.support.report import Crash, Report
from tests.targets.apps import AppStage
from tests.targets.test_app_apply import BUILD, unbuilt
from tests.targets.test_app_images import both
from tests.targets.test_app_images import engine as engine
from tests.targets.test_app_images import twins as twins
from toolkit.artifacts.images import copying
from toolkit.errors import Refused, Stopped, TagTaken, Throttled, ToolkitError
from toolkit.flow.builds import with_builds
from toolkit.operations import Job, JobAction, Location
from toolkit.ports.sharing import SharedWork
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.options import AppOptions
from toolkit.targets.app.settings import Build

TAG = "b" * 40


def apart(stage: AppStage) -> tuple[Job, Job]:
    """The jobs of web and worker, which has a repository of its own now."""
    stage.endpoint.ecr.repository("jobs")
    web, worker = both(stage)
    return web, replace(worker, settings=replace(worker.settings, repository="jobs"))


def planned(stage: AppStage, *jobs: Job) -> tuple[Job, ...]:
    """The jobs of a run, with its builds."""
    previews = {job.step: app.preview(job, stage.ports) for job in jobs}
    return with_builds(jobs, previews)[0]


def carried_out(stage: AppStage, job: Job) -> Report:
    """One step of it, as a run does it."""
    report = stage.report()
    (app.build if job.is_build else app.apply)(job, stage.ports, report)
    return report


def test_jobs_with_one_recipe_have_one_build_before_the_first_of_them(twins: AppStage) -> None:
    web, worker = apart(twins)
    other = replace(worker, step="cron", settings=replace(worker.settings, build=Build()))
    (twins.folder / "Dockerfile").write_text("FROM scratch\nCOPY src /\n")
    jobs = planned(twins, web, other, worker)
    assert [(job.step, job.needs) for job in jobs] == [
        ("web:build", ()),
        ("web", ("web:build",)),
        ("cron:build", ()),
        ("cron", ("cron:build",)),
        ("worker", ("web:build",)),
    ]
    assert len({job.token for job in jobs}) == len(jobs) - 1  # cron is a copy of worker
    assert [job.action for job in jobs if job.is_build] == [JobAction.BUILD] * 2


@pytest.mark.parametrize(
    "change",
    [
        {"version": "c" * 40},
        {"target": "last"},
        {"args": {"A": "b"}},
        {"dockerfile": "src/Other"},
        {"cpu": "ARM64"},
    ],
)
def test_what_decides_the_image_decides_whether_it_is_shared(
    twins: AppStage, change: dict[str, Any]
) -> None:
    (twins.folder / "src/Other").write_text("FROM scratch AS last\nCOPY hello /hello\n")
    (twins.folder / "src/Dockerfile").write_text("FROM scratch AS last\nCOPY hello /hello\n")
    web, worker = apart(twins)
    if name := change.pop("version", None):
        worker = replace(worker, version=replace(worker.version, name=name))
    if cpu := change.pop("cpu", None):
        service = twins.endpoint.ecs.find("worker")
        running = twins.endpoint.ecs.definitions[service.definition]
        running.body["runtimePlatform"] = {"cpuArchitecture": cpu}
    worker = replace(
        worker, settings=replace(worker.settings, build=replace(worker.settings.build, **change))
    )
    keys = [app.preview(job, twins.ports).artifact.key for job in (web, worker)]  # type: ignore[union-attr]
    assert keys[0] != keys[1]


def test_what_runs_an_image_that_is_there_has_nothing_to_build(twins: AppStage) -> None:
    for job in (
        twins.job(BUILD),
        unbuilt(twins, options=AppOptions(image="old")),
        twins.job(action=JobAction.ROLLBACK),
    ):
        assert app.preview(job, twins.ports).artifact is None
        assert planned(twins, job) == (job,)


def test_what_a_build_step_has_pushed_is_deployed_and_copied_with_its_digest(
    twins: AppStage, engine: CountingBuilder
) -> None:
    build, web, worker = planned(twins, *apart(twins))
    reports = [carried_out(twins, job) for job in (build, web, worker)]
    digests = {report.receipt["digest"] for report in reports}
    assert (engine.builds, len(digests)) == (1, 1)
    assert [report.prepared[0] for report in reports[::2]] == ["ecr:PutImage"] * 2
    assert "ecr:PutImage" not in reports[1].prepared
    [digest] = digests
    jobs = twins.endpoint.ecr.repositories["jobs"]
    assert (jobs.found(TAG).digest, jobs.blobs.keys()) == (  # type: ignore[union-attr]
        digest,
        twins.repository.blobs.keys(),
    )


def test_a_build_only_prepares(twins: AppStage, engine: CountingBuilder) -> None:
    build, _ = planned(twins, unbuilt(twins, options=AppOptions(create=True)))
    report = carried_out(twins, build)
    assert report.intents == report.prepared == ["ecr:PutImage"]


def test_a_build_step_creates_the_repository_with_consent(
    twins: AppStage, engine: CountingBuilder
) -> None:
    del twins.endpoint.ecr.repositories["backend"]
    build, _ = planned(twins, unbuilt(twins, options=AppOptions(create=True)))
    report = carried_out(twins, build)
    assert report.prepared == ["ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:PutImage"]
    assert twins.endpoint.ecr.repositories["backend"].found(TAG) is not None


def test_two_regions_have_one_build_and_one_digest(
    twins: AppStage, engine: CountingBuilder
) -> None:
    ecr, ecs = (twins.endpoint.at("us-east-1", name) for name in ("ecr", "ecs"))
    ecs.service("web", f"{ecr.repository('backend').uri}@{ecr.image('backend', 'old').digest}")
    from toolkit.ports.aws.client import Aws

    clients = {region: Aws(None, region) for region in ("eu-west-1", "us-east-1")}
    twins.ports = replace(
        twins.ports, clouds=lambda profile, region: clients[str(region)], shared=SharedWork()
    )
    here = unbuilt(twins)
    there = replace(
        here, step="web@us", token="t-us", location=Location("dev", "us-east-1", "111111111111")
    )
    build, *jobs = planned(twins, here, there)
    reports = [carried_out(twins, job) for job in (build, *jobs)]
    assert engine.builds == 1
    assert {report.receipt["digest"] for report in reports} == {
        ecr.repository("backend").found(TAG).digest
    }


@pytest.mark.parametrize("problem", [Throttled(call="ecr:PutImage"), Stopped()])
def test_a_build_that_one_step_could_not_finish_is_made_by_the_next_and_copied_by_the_others(
    twins: AppStage, engine: CountingBuilder, problem: ToolkitError
) -> None:
    def lost() -> None:
        if engine.builds == 1:
            raise problem

    engine.before = lost
    web, worker = apart(twins)
    with pytest.raises(type(problem)):
        twins.applied(web)
    twins.applied(worker)
    twins.applied(web)
    assert engine.builds == 2


# What became of it


def test_a_build_is_found_where_it_was_pushed(twins: AppStage) -> None:
    build, *_ = planned(twins, unbuilt(twins))
    assert app.built(build, {}, twins.ports).state == "absent"
    report = carried_out(twins, build)
    for receipt in (report.receipt, {}):
        seen = app.built(build, receipt, twins.ports)
        assert (seen.state, dict(seen.outputs)) == (
            "done",
            {"image": f"backend@{report.receipt['digest']}"},
        )


def test_a_build_in_a_repository_that_is_gone_is_absent(twins: AppStage) -> None:
    build, *_ = planned(twins, unbuilt(twins))
    del twins.endpoint.ecr.repositories["backend"]
    assert app.built(build, {}, twins.ports).state == "absent"


def test_after_a_crash_behind_the_push_it_is_not_built_again(
    twins: AppStage, engine: CountingBuilder
) -> None:
    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "keep":
            raise Crash()

    build, *_ = planned(twins, unbuilt(twins))
    with pytest.raises(Crash):
        app.build(build, twins.ports, Report(clock=twins.clock, on_event=on_event))
    twins.ports = replace(twins.ports, shared=SharedWork())
    assert app.built(build, {}, twins.ports).state == "done"
    carried_out(twins, build)
    assert engine.builds == 1


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, None])
def test_another_image_of_the_tag_is_no_build_of_ours(twins: AppStage, digest: str | None) -> None:
    build, *_ = planned(twins, unbuilt(twins))
    otherwise = replace(
        build, settings=replace(build.settings, build=Build(context="src", args={"A": "b"}))
    )
    carried_out(twins, otherwise)
    receipt = {} if digest is None else {"digest": digest}
    with pytest.raises(Refused, match="was built in another way"):
        app.built(build, receipt, twins.ports)


# What is not taken


def test_another_image_in_its_place_is_not_copied(twins: AppStage, engine: CountingBuilder) -> None:
    """Somebody moves the tag to another image: what was built is copied, by its digest."""
    build, _, worker = planned(twins, *apart(twins))
    digest = carried_out(twins, build).receipt["digest"]
    twins.endpoint.ecr.image("backend", TAG, content="theirs")
    assert carried_out(twins, worker).receipt["digest"] == digest
    assert engine.builds == 1


def test_what_stands_under_the_tag_by_then_is_not_deployed_in_place_of_what_was_built(
    twins: AppStage, engine: CountingBuilder
) -> None:
    build, web, _ = planned(twins, *apart(twins))
    carried_out(twins, build)
    twins.endpoint.ecr.image("backend", TAG, content="theirs")
    with pytest.raises(TagTaken, match="but step web:build has pushed"):
        carried_out(twins, web)


def test_an_image_that_is_gone_is_built_again(twins: AppStage, engine: CountingBuilder) -> None:
    build, _, worker = planned(twins, *apart(twins))
    carried_out(twins, build)
    twins.repository.images.clear()
    report = carried_out(twins, worker)
    assert (engine.builds, bool(report.receipt["digest"])) == (2, True)
    assert [line for line in report.of("log") if "is not used, and is built again" in line]


def test_what_another_process_has_pushed_is_not_copied_on_trust(
    twins: AppStage, engine: CountingBuilder
) -> None:
    """Its journal may be a colleague's, and whoever may push there could name any image."""
    build, _, worker = planned(twins, *apart(twins))
    carried_out(twins, build)
    twins.ports = replace(twins.ports, shared=SharedWork())
    carried_out(twins, worker)
    assert engine.builds == 2
    assert twins.endpoint.calls.count("registry:PutManifest") == 2


def test_an_image_that_somebody_else_has_pushed_meanwhile_is_not_copied(
    twins: AppStage, engine: CountingBuilder
) -> None:
    """Labels are enough for the repository whose writers are trusted anyway, not for another."""
    build, _, worker = planned(twins, *apart(twins))

    def meanwhile() -> None:
        if engine.builds == 1:
            other = replace(twins.ports, shared=SharedWork())
            app.build(replace(build, run="r2"), other, twins.report())
            twins.repository.immutable = True

    engine.before = meanwhile
    theirs = carried_out(twins, build).receipt["digest"]
    assert carried_out(twins, worker).receipt["digest"] != theirs
    assert engine.builds == 3


def test_what_these_credentials_cannot_pull_is_built_again(
    twins: AppStage, engine: CountingBuilder
) -> None:
    build, _, worker = planned(twins, *apart(twins))
    carried_out(twins, build)
    twins.endpoint.fault("registry:GetManifest", times=1, kind="denied")
    assert carried_out(twins, worker).receipt["digest"]
    assert engine.builds == 2


def test_who_is_faster_with_the_same_image_is_not_overwritten(
    twins: AppStage, engine: CountingBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, _, worker = planned(twins, *apart(twins))
    carried_out(twins, build)
    really = copying.copy_image
    twins.endpoint.ecr.repositories["jobs"].immutable = True

    def slow(*args: Any) -> Any:
        other = replace(twins.ports, shared=SharedWork())
        app.apply(replace(worker, run="r2"), other, twins.report())
        return really(*args)

    monkeypatch.setattr(copying, "copy_image", slow)
    report = carried_out(twins, worker)
    jobs = twins.endpoint.ecr.repositories["jobs"]
    assert engine.builds == 2
    assert report.receipt["digest"] == jobs.found(TAG).digest  # type: ignore[union-attr]


def test_a_repository_that_refuses_the_image_is_no_problem_of_another(
    twins: AppStage, engine: CountingBuilder
) -> None:
    """Where both build within their own steps."""
    web, worker = apart(twins)
    twins.repository.immutable = True

    def taken() -> None:
        if engine.builds == 1:
            twins.endpoint.ecr.image("backend", TAG, content="theirs")

    engine.before = taken
    with pytest.raises(ToolkitError):
        carried_out(twins, web)
    assert carried_out(twins, worker).receipt["digest"]
