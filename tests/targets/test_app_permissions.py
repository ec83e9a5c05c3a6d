"""The IAM policy of an app: what it calls, and nothing else."""

from pathlib import Path

import pytest

from tests.support.aws import Endpoint
from tests.targets.apps import AppStage
from tests.targets.permissions import by_action
from tests.targets.test_app_apply import BUILD, back, unbuilt, version
from toolkit.errors import ToolkitError
from toolkit.operations import Location
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.options import AppOptions

OTHERS = {
    "iam:PassRole",  # no call of its own
    "ecs:TagResource",  # is asked for by RegisterTaskDefinition with tags
    "ecr:BatchGetImage",  # is what the registry's own calls are authorised by, as are the next ones
    "ecr:BatchCheckLayerAvailability",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
    "ecr:TagResource",  # is asked for by CreateRepository with tags
}


def actions(stage: AppStage, **settings: object) -> set[str]:
    return set(by_action(app.permissions(stage.job(settings))))


def everything(stage: AppStage) -> set[str]:
    """The actions of a build, a deploy, a crash loop, an unhealthy version, a rollback, and a look
    at what is live; of its logs, and of a one-off task.
    """
    (stage.folder / "src").mkdir()
    (stage.folder / "src" / "Dockerfile").write_text('FROM scratch\nCOPY . /\nCMD ["/x"]\n')
    ecs = stage.endpoint.ecs
    stage.deployed(unbuilt(stage))
    del stage.endpoint.ecr.repositories["backend"]
    options = AppOptions(builder="built-in", create=True)
    stage.deployed(unbuilt(stage, version=version("c" * 40), token="t-0", options=options))
    stage.endpoint.ecr.repositories["backend"] = stage.repository
    ecs.next("fail", cause="exit", failures=5, seconds=2, log=["boom"])
    stage.deployed(stage.job(token="t-2"))
    ecs.next("fail", cause="unhealthy", failures=5, seconds=2)
    stage.deployed(stage.job(token="t-3"))
    stage.deployed(back(stage, stage.first.arn))
    app.live(stage.job(), stage.ports)
    app.health(stage.job(), stage.ports, lambda sign: None)
    app.logs(stage.job(), stage.ports, stage.clock.now()).read()
    runner = app.task_runner(stage.job(), stage.ports, None)
    task = runner.start("token", ["ls"])
    assert runner.find("token") == task
    runner.stop(task, "enough")
    with pytest.raises(ToolkitError):
        stage.deployed(stage.job(version=version("x")))
    names = {
        name.replace("elbv2:", "elasticloadbalancing:") for name in stage.endpoint.calls.names()
    }
    return {name for name in names if not name.startswith(("registry:", "sts:"))}


def test_what_it_calls_is_what_it_asks_for(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, group="web", breaker=False)
    assert everything(stage) == actions(stage, **BUILD) - OTHERS


def test_without_a_build_it_does_not_ask_to_push(stage: AppStage) -> None:
    assert not {
        action
        for action in actions(stage)
        if "Upload" in action or action in ("ecr:PutImage", "ecr:GetAuthorizationToken")
    }


def test_nothing_is_open_that_iam_can_close(stage: AppStage) -> None:
    document = by_action(app.permissions(stage.job(BUILD)))
    assert document["ecs:UpdateService"].resources == (
        "arn:aws:ecs:eu-west-1:111111111111:service/main/web",
    )
    assert document["ecs:StopServiceDeployment"].resources == (
        "arn:aws:ecs:eu-west-1:111111111111:service-deployment/main/web/*",
    )
    assert document["ecr:PutImage"].resources == (
        "arn:aws:ecr:eu-west-1:111111111111:repository/backend",
    )
    assert document["iam:PassRole"].conditions == {
        "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    }
    assert document["ecs:ListTasks"].conditions == {
        "ArnEquals": {"ecs:cluster": "arn:aws:ecs:eu-west-1:111111111111:cluster/main"}
    }
    for value in document.values():
        assert value.why
        assert value.resources != ("*",) or value.conditions or "no narrower resource" in value.why


@pytest.mark.parametrize(
    ("location", "arn"),
    [
        (Location(), "arn:aws:ecs:*:*:service/main/web"),
        (
            Location(region="cn-north-1", account="1"),
            "arn:aws-cn:ecs:cn-north-1:1:service/main/web",
        ),
        (Location(region="us-gov-east-1"), "arn:aws-us-gov:ecs:us-gov-east-1:*:service/main/web"),
    ],
)
def test_what_the_environment_does_not_say_stays_open(
    stage: AppStage, location: Location, arn: str
) -> None:
    document = by_action(app.permissions(stage.job(location=location)))
    assert document["ecs:UpdateService"].resources == (arn,)
    assert not stage.endpoint.calls


def test_the_services_that_are_warmed_are_the_ones_that_are_called(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, group="web")
    stage.deployed()
    assert {name.partition(":")[0] for name in endpoint.calls.names()} == set(app.services())
