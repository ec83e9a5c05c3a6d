"""The IAM policy of a function: what it calls, and nothing else."""

from pathlib import Path

import pytest

from tests.support.aws import Endpoint
from tests.targets.functions import FunctionStage
from tests.targets.permissions import by_action
from toolkit.operations import JobAction, Location
from toolkit.targets.function.kind import kind as function
from toolkit.targets.function.options import FunctionRestore


def called(stage: FunctionStage) -> set[str]:
    """The actions of a first deploy that loses an answer, one that makes the alias anew, a
    rollback, and looks at all of it.
    """
    stage.endpoint.fault("lambda:PublishVersion", kind="reset", when="after")
    assert stage.deployed().verdict == "succeeded"
    del stage.function.aliases["live"]
    stage.write("newer")
    assert stage.deployed(stage.another(2)).verdict == "succeeded"
    stage.write("newest")
    assert stage.deployed(stage.another(3)).verdict == "succeeded"
    assert function.restorable(stage.job(), [{"alias version": "2"}], stage.ports) == (True,)
    restore = FunctionRestore(function_version="2")
    back = stage.job(action=JobAction.ROLLBACK, restore=restore, run="back", token="back")
    assert stage.deployed(back).verdict == "succeeded"
    function.live(stage.job(), stage.ports)
    function.health(stage.job(), stage.ports, lambda sign: None)
    function.bypasses(stage.job(), stage.ports)
    function.logs(stage.job(), stage.ports, stage.clock.now()).read()
    names = set(stage.endpoint.calls.names())
    return {name for name in names if not name.startswith("sts:")}


def test_what_it_calls_is_what_it_asks_for(aws_endpoint: Endpoint, tmp_path: Path) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path, signing="Warn")
    assert called(stage) == set(by_action(function.permissions(stage.job())))


def test_nothing_is_open_that_iam_can_close(aws_endpoint: Endpoint, tmp_path: Path) -> None:
    document = by_action(function.permissions(FunctionStage(aws_endpoint, tmp_path).job()))
    arn = "arn:aws:lambda:eu-west-1:111111111111:function:mail"
    for action in ("UpdateFunctionCode", "PublishVersion", "UpdateAlias", "CreateAlias"):
        assert document[f"lambda:{action}"].resources == (arn,)
    for value in document.values():
        assert value.why
        closed = value.resources != ("*",) or "narrow" in value.why
        assert closed, value


@pytest.mark.parametrize(
    ("location", "name", "arn"),
    [
        (Location(), "mail", "arn:aws:lambda:*:*:function:mail"),
        (
            Location(region="cn-north-1", account="1"),
            "mail",
            "arn:aws-cn:lambda:cn-north-1:1:function:mail",
        ),
    ],
)
def test_what_the_environment_does_not_say_stays_open(
    aws_endpoint: Endpoint, tmp_path: Path, location: Location, name: str, arn: str
) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path)
    job = stage.job({"function": name}, location=location)
    document = by_action(function.permissions(job))
    assert document["lambda:UpdateAlias"].resources == (arn,)
    assert not stage.endpoint.calls


def test_the_services_that_are_warmed_are_the_ones_that_are_called(
    aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path)
    stage.deployed()
    function.health(stage.job(), stage.ports, lambda sign: None)
    names = {name.partition(":")[0] for name in aws_endpoint.calls.names()}
    assert names == set(function.services())
