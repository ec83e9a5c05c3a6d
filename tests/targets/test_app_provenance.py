"""What somebody else has put in the place of what toolkit deployed: told, never taken over in
silence.
"""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.aws.ecs import REGISTERED
from tests.targets.apps import COMMIT, AppStage
from toolkit.errors import Refused
from toolkit.model import Version
from toolkit.operations import DeployedState, Job, LiveVersion, RecordedDeploy
from toolkit.show.advice import sentence
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import provenance
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.options import AppOptions, AppRestore

SECRET = "hunter2-never-shown"


def as_recorded(live: LiveVersion | None, run: str = "r1") -> RecordedDeploy:
    assert live is not None
    return RecordedDeploy(run, live.version or "", live.deployed, live.detail)


@pytest.fixture
def known(stage: AppStage) -> RecordedDeploy:
    """What run r1 deployed, as it is recorded."""
    recorded = as_recorded(stage.deployed()[0].live)
    stage.endpoint.calls.clear()
    return recorded


def copied(stage: AppStage, tags: bool = False, **container: Any) -> str:
    """A copy of the running task definition with another member of its container, which somebody
    registers and moves the service to.
    """
    body = {key: value for key, value in copy.deepcopy(stage.runs).items() if key not in REGISTERED}
    body["containerDefinitions"][0].update(container)
    if tags:
        body["tags"] = list(stage.endpoint.ecs.definitions[stage.service.definition].tags)
    created = str(
        stage.endpoint.ecs.register_task_definition(body)["taskDefinition"]["taskDefinitionArn"]
    )
    stage.endpoint.ecs.foreign_update(stage.service, created)
    stage.endpoint.ecs.describe_services({"cluster": "main", "services": ["web"]})
    stage.endpoint.calls.clear()
    return created


def tampered(stage: AppStage, tags: bool = False) -> str:
    return copied(stage, tags, environment=[{"name": "EXTRA", "value": SECRET}])


def again(stage: AppStage, known: RecordedDeploy | None, **fields: Any) -> Job:
    return stage.job(recorded=known, **{"run": "r2", "token": "t-2", **fields})


def environment(stage: AppStage) -> list[str]:
    return [item["name"] for item in stage.runs["containerDefinitions"][0].get("environment", ())]


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize("options", [{}, {"force": True}, {"image": "old"}])
def test_a_hand_made_change_is_told_by_name_and_gives_way(
    stage: AppStage, known: RecordedDeploy, options: dict[str, Any], tags: bool
) -> None:
    tampered(stage, tags)
    job = again(stage, known, options=AppOptions(**options))
    preview = app.preview(job, stage.ports)
    words = (
        "web:3 is running, but toolkit did not deploy it: variable EXTRA added; the new revision is"
        " based on web:2 of run r1; "
    )
    assert preview.warnings == (words + "to keep what runs, add --take-over",)
    assert (preview.unchanged, preview.calls[0].what["based_on"]) == (False, "web:2")
    assert SECRET not in repr(preview)
    observed, report = stage.deployed(job)
    assert (observed.verdict, environment(stage)) == ("succeeded", [])
    assert SECRET not in repr(report.events)


def test_a_hand_made_change_is_kept_where_somebody_says_so(
    stage: AppStage, known: RecordedDeploy
) -> None:
    tampered(stage)
    job = again(stage, known, options=AppOptions(take_over=True, image="old"))
    preview = app.preview(job, stage.ports)
    assert "variable EXTRA added; it will be taken over" in sentence(preview.warnings[0])
    observed, _ = stage.deployed(job)
    assert (observed.verdict, environment(stage)) == ("succeeded", ["EXTRA"])


def test_what_is_taken_over_is_no_longer_foreign_to_who_has_recorded_it(
    stage: AppStage, known: RecordedDeploy
) -> None:
    tampered(stage)
    observed, _ = stage.deployed(
        again(stage, known, options=AppOptions(take_over=True, image="old"))
    )
    job = again(
        stage,
        as_recorded(observed.live, "r2"),
        options=AppOptions(image="old"),
        run="r3",
        token="t-3",
    )
    assert app.preview(job, stage.ports).unchanged


def test_without_the_definition_of_the_record_nothing_is_guessed(
    stage: AppStage, known: RecordedDeploy
) -> None:
    tampered(stage)
    gone = known.detail["task definition"].replace("web:2", "web:99")
    job = again(stage, replace(known, detail={**known.detail, "task definition": gone}))
    for act in (lambda: app.preview(job, stage.ports), lambda: stage.applied(job)):
        with pytest.raises(
            Refused,
            match="toolkit did not deploy it, and the task definition that it did deploy is gone",
        ) as caught:
            act()
        assert sentence(caught.value.next) == "to keep what is running: add --take-over"
    assert stage.writes == []
    assert (
        stage.deployed(replace(job, options=AppOptions(take_over=True, image="old")))[0].verdict
        == "succeeded"
    )


def test_a_definition_that_was_deregistered_is_still_the_base(
    stage: AppStage, known: RecordedDeploy
) -> None:
    tampered(stage)
    stage.endpoint.ecs.deregister_task_definition(
        {"taskDefinition": known.detail["task definition"]}
    )
    assert stage.deployed(again(stage, known))[0].verdict == "succeeded"
    assert environment(stage) == []


def test_a_mere_copy_changes_nothing(stage: AppStage, known: RecordedDeploy) -> None:
    copied(stage)
    preview = app.preview(again(stage, known), stage.ports)
    assert (preview.unchanged, preview.warnings) == (True, ())


def test_an_old_record_knows_its_definition_by_name(stage: AppStage, known: RecordedDeploy) -> None:
    old = replace(known, deployed=DeployedState())
    assert app.preview(again(stage, old), stage.ports).unchanged
    copied(stage)
    assert app.preview(again(stage, old), stage.ports).unchanged
    tampered(stage)
    assert "variable EXTRA added" in sentence(
        app.preview(again(stage, old), stage.ports).warnings[0]
    )


def test_what_a_stack_has_put_there_is_the_base_and_told(
    stage: AppStage, known: RecordedDeploy
) -> None:
    text = tampered(stage)
    stage.endpoint.ecs.definitions[text].tags.append(
        {"key": "aws:cloudformation:stack-name", "value": "infra"}
    )
    preview = app.preview(again(stage, known), stage.ports)
    assert preview.warnings == (
        "web:3 is running: a stack has deployed it since run r1; the new revision is based on it",
    )
    assert not preview.unchanged
    assert stage.deployed(again(stage, known))[0].verdict == "succeeded"
    assert environment(stage) == ["EXTRA"]


def test_what_a_colleague_has_deployed_is_the_base_though_it_is_not_recorded_here(
    stage: AppStage, known: RecordedDeploy
) -> None:
    theirs = stage.job(
        {"env": {"MODE": "b"}},
        run="r2",
        token="t-2",
        options=AppOptions(image="old"),
        recorded=known,
    )
    assert stage.deployed(theirs)[0].verdict == "succeeded"
    preview = app.preview(again(stage, known, run="r3", token="t-3"), stage.ports)
    assert (preview.warnings, preview.calls[0].what["based_on"]) == ((), "web:3")


def test_what_a_run_that_failed_has_left_running_is_no_stranger(
    stage: AppStage, known: RecordedDeploy
) -> None:
    text = tampered(stage)
    preview = app.preview(
        again(stage, replace(known, later=(text,)), options=AppOptions(image="old")), stage.ports
    )
    assert (preview.warnings, preview.calls[0].what["based_on"]) == ((), "web:3")


def test_a_service_that_was_moved_back_by_hand_is_told_and_moved_on(
    stage: AppStage, known: RecordedDeploy
) -> None:
    stage.endpoint.ecs.foreign_update(stage.service, stage.first.arn)
    stage.endpoint.ecs.describe_services({"cluster": "main", "services": ["web"]})
    job = again(stage, replace(known, earlier=(stage.first.arn,)))
    preview = app.preview(job, stage.ports)
    assert (
        "web:1 is running, which toolkit deployed before run r1: someone moved the service back"
        in sentence(preview.warnings[0])
    )
    assert preview.calls[0].what["based_on"] == "web:2"
    assert stage.deployed(job)[0].verdict == "succeeded"


def test_a_record_that_cannot_be_read_takes_nothing_over(
    stage: AppStage, known: RecordedDeploy
) -> None:
    broken = RecordedDeploy(problem="it is damaged")
    assert app.preview(
        again(stage, broken), stage.ports
    ).unchanged  # what toolkit registered says so itself
    tampered(stage)
    with pytest.raises(
        Refused,
        match="whether toolkit deployed web:3, which is running, is not known: it is damaged",
    ):
        app.preview(again(stage, broken), stage.ports)
    job = again(stage, broken, options=AppOptions(take_over=True))
    assert "is not known: it is damaged; it will be taken over" in sentence(
        app.preview(job, stage.ports).warnings[0]
    )


def test_where_nothing_is_recorded_what_runs_is_the_base(stage: AppStage) -> None:
    preview = app.preview(again(stage, None), stage.ports)
    assert (preview.warnings, preview.calls[0].what["based_on"]) == ((), "web:1")


def test_a_rollback_puts_the_recorded_definition_back_and_says_what_gives_way(
    stage: AppStage, known: RecordedDeploy
) -> None:
    tampered(stage)
    restore = AppRestore(
        image_digest=known.detail["digest"], task_definition=known.detail["task definition"]
    )
    job = again(stage, known, action="rollback", restore=restore)
    [warning] = app.preview(job, stage.ports).warnings
    assert sentence(warning).endswith("variable EXTRA added; web:2 will replace it")
    observed, report = stage.deployed(job)
    assert (observed.verdict, report.intents, stage.service.definition) == (
        "succeeded",
        ["ecs:UpdateService"],
        known.detail["task definition"],
    )


def test_a_rollback_whose_definition_is_gone_does_not_copy_a_foreign_one(
    stage: AppStage, known: RecordedDeploy
) -> None:
    tampered(stage)
    restore = AppRestore(
        image_digest=stage.old.digest, task_definition=stage.first.arn.replace("web:1", "web:99")
    )
    job = again(
        stage, known, action="rollback", version=Version("old", None, "d" * 64), restore=restore
    )
    observed, _ = stage.deployed(job)
    assert (observed.verdict, environment(stage)) == ("succeeded", [])
    assert stage.runs["containerDefinitions"][0]["image"].endswith(stage.old.digest)


def test_what_changes_between_the_question_and_the_call_is_not_taken_over_either(
    stage: AppStage, known: RecordedDeploy
) -> None:
    job = again(stage, known, options=AppOptions(image="old"))
    assert app.preview(job, stage.ports).warnings == ()
    tampered(stage)
    observed, report = stage.deployed(job)
    assert (observed.verdict, environment(stage)) == ("succeeded", [])
    assert [
        line
        for line in report.of("tell")
        if "toolkit did not deploy it: variable EXTRA added" in line
    ]


def test_what_is_live_says_what_was_deployed_without_a_value(stage: AppStage) -> None:
    tampered(stage)
    live = app.live(stage.job(), stage.ports)
    assert live is not None
    assert live.deployed.artifacts == {"app": stage.old.digest}
    assert len(live.deployed.definition) == 64
    assert SECRET not in repr(live)


def test_the_settings_of_what_runs_are_known_until_somebody_else_copies_it_with_our_tags(
    stage: AppStage,
) -> None:
    version = Version(COMMIT, COMMIT, "f" * 64, settings="5" * 64)
    stage.deployed(stage.job(version=version))
    live = app.live(stage.job(), stage.ports)
    assert live is not None
    assert (live.fingerprint, live.settings) == ("f" * 64, "5" * 64)
    tampered(stage, tags=True)
    copy_of_it = app.live(stage.job(), stage.ports)
    assert copy_of_it is not None
    assert (copy_of_it.fingerprint, copy_of_it.settings) == ("f" * 64, None)


# The digest


def task(**container: Any) -> dict[str, Any]:
    return {
        "family": "web",
        "containerDefinitions": [{"name": "app", "image": "h/b@sha256:1", **container}],
        "tags": {},
        "cpu": "256",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"revision": 7},
        {"taskDefinitionArn": "arn:x"},
        {"registeredAt": "now"},
        {"registeredBy": "me"},
        {"status": "INACTIVE"},
        {"tags": {"a": "b"}},
        {"requiresAttributes": [{"name": "x"}]},
        {"compatibilities": ["EC2"]},
        {"volumes": []},
        {"enableFaultInjection": False},
        {"placementConstraints": None},
    ],
)
def test_who_registered_it_and_what_aws_adds_are_not_in_the_digest(change: dict[str, Any]) -> None:
    assert definitions.digest({**task(), **change}) == definitions.digest(task())


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": 64},
        {"essential": False, "memory": 1},
        {"command": ["x"]},
        {"image": "h/b@sha256:2"},
        {"image": "h/b:tag"},
        {"environment": [{"name": "A", "value": ""}]},
        {"secrets": [{"name": "A", "valueFrom": "arn"}]},
        {"user": "root"},
        {"privileged": True},
        {"environmentFiles": [{"value": "arn:f", "type": "s3"}]},
        {"dockerLabels": {"a": "b"}},
    ],
)
def test_all_that_says_how_it_runs_is_in_the_digest(change: dict[str, Any]) -> None:
    assert definitions.digest(task(**change)) != definitions.digest(task())


@given(st.permutations(["A", "B", "C"]), st.booleans())
def test_the_order_of_variables_is_not_in_the_digest(names: list[str], defaults: bool) -> None:
    more = {"mountPoints": [], "cpu": 0, "readonlyRootFilesystem": False} if defaults else {}
    document = task(environment=[{"name": name, "value": name} for name in names], **more)
    assert definitions.digest(document) == definitions.digest(
        task(environment=[{"name": name, "value": name} for name in "ABC"])
    )


def test_every_sort_of_change_is_told_by_name() -> None:
    before = task(
        environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
        secrets=[{"name": "S", "valueFrom": "x"}],
    )
    after = task(
        environment=[{"name": "A", "value": "2"}, {"name": "C", "value": "1"}],
        image="h/b@sha256:2",
        command=["run"],
    )
    after["taskRoleArn"] = "arn:role"
    assert provenance.describe_changes(before, after) == [
        "variable C added",
        "variable B removed",
        "variable A changed",
        "secret S removed",
        "command, image changed",
        "taskRoleArn changed",
    ]


def test_of_many_names_only_some_are_told() -> None:
    after = task(environment=[{"name": f"V{number:02}", "value": "x"} for number in range(30)])
    assert provenance.describe_changes(task(), after) == [
        "variables V00, V01, V02, V03, V04, V05, V06, V07 and 22 more added"
    ]


def test_of_several_containers_it_is_told_which_one_changed() -> None:
    before, after = task(), task()
    before["containerDefinitions"].append({"name": "side", "image": "x"})
    after["containerDefinitions"].append({"name": "side", "image": "y"})
    after["containerDefinitions"].append({"name": "new", "image": "y"})
    assert provenance.describe_changes(before, after) == [
        "container new added",
        "container side: image changed",
    ]
