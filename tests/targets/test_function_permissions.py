"""The IAM policy of a function: what it calls, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.aws import Endpoint
from tests.targets.functions import FunctionStage
from tests.targets.permissions import by_action
from tests.targets.test_function_health import counted
from toolkit.artifacts import packages
from toolkit.operations import Job, JobAction, Location
from toolkit.targets.function.kind import kind as function
from toolkit.targets.function.options import FunctionRestore
from toolkit.targets.function.settings import FunctionImage, S3Object

LAMBDAS_OWN = {
    "ecr:GetRepositoryPolicy",  # is what Lambda does with an image, with these credentials
    "ecr:SetRepositoryPolicy",
}
PUSH = {  # is what the registry's own calls are authorised by
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
}
STORE = Location("dev", "eu-west-1", "111111111111", store="s3://store/team")
ORIGINS: dict[str, dict[str, Any]] = {
    "source": {},
    "image": {"source": None, "image": FunctionImage(repository="mail", context="mail")},
    "s3": {"source": None, "s3": S3Object(bucket="code", key="mail.zip")},
}


class Origin:
    """A function whose code comes from one origin, which changes with each deploy."""

    def __init__(self, endpoint: Endpoint, folder: Path, origin: str) -> None:
        self.name, self.settings, endpoint_s3 = origin, ORIGINS[origin], endpoint.s3
        package = "Image" if origin == "image" else "Zip"
        signing = "" if origin == "image" else "Warn"
        self.stage = FunctionStage(endpoint, folder, package=package, signing=signing)
        for bucket in ("code", "store"):
            endpoint_s3.bucket(bucket)
        endpoint.ecr.repository("mail")
        (folder / "mail" / "Dockerfile").write_text("FROM scratch\nCOPY index.py /\n")
        head = {"ETag": "e", "ContentLength": 1}
        if origin == "s3":  # the bucket has versions, which the scripted one has not
            endpoint.on("s3", "HeadObject", lambda params: {**head, "VersionId": self.version})
        endpoint.calls.clear()
        self.version = ""

    def job(self, number: int, **fields: Any) -> Job:
        """The deploy of other code."""
        self.version = f"v{number}"
        self.stage.endpoint.s3.put("code", "mail.zip", self.version.encode())
        self.stage.write(self.version)
        options = function.Options(builder="built-in")
        return self.stage.another(
            number, settings=self.settings, location=STORE, options=options, **fields
        )

    def called(self) -> set[str]:
        """The actions of all calls by now."""
        actions: set[str] = set()
        for call in self.stage.endpoint.calls:
            service = call.name.partition(":")[0]
            if call.name == "s3:HeadObject":
                actions.add("s3:GetObject")
            elif service == "registry":
                actions |= PUSH
            elif service != "sts":
                actions.add(call.name)
            if call.params.get("S3ObjectVersion"):
                actions.add("s3:GetObjectVersion")
        return actions


def everything(origin: Origin) -> None:
    """A first deploy that loses an answer, one that makes the alias anew, a rollback, and looks at
    all of it.
    """
    stage = origin.stage
    stage.endpoint.fault("lambda:PublishVersion", kind="reset", when="after")
    assert stage.deployed(origin.job(1)).verdict == "succeeded"
    del stage.function.aliases["live"]
    assert stage.deployed(origin.job(2)).verdict == "succeeded"
    assert stage.deployed(origin.job(3)).verdict == "succeeded"
    assert function.restorable(stage.job(), [{"alias version": "2"}], stage.ports) == (True,)
    restore = FunctionRestore(function_version="2")
    back = stage.job(action=JobAction.ROLLBACK, restore=restore, run="back", token="back")
    assert stage.deployed(back).verdict == "succeeded"
    function.live(stage.job(), stage.ports)
    counted(stage.endpoint, 1, 1)
    function.health(stage.job(), stage.ports, lambda sign: None)
    function.bypasses(stage.job(), stage.ports)
    function.logs(stage.job(), stage.ports, stage.clock.now()).read()


@pytest.mark.parametrize("name", ORIGINS)
def test_what_it_calls_is_what_it_asks_for(
    aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(packages, "MOST_DIRECT", 0)  # each package goes through the bucket
    origin = Origin(aws_endpoint, tmp_path, name)
    asked = set(by_action(function.permissions(origin.job(9))))
    everything(origin)
    assert origin.called() == asked - LAMBDAS_OWN


@pytest.mark.parametrize("name", ORIGINS)
def test_what_its_code_comes_from_decides_what_it_may_read_and_write(
    aws_endpoint: Endpoint, tmp_path: Path, name: str
) -> None:
    document = by_action(function.permissions(Origin(aws_endpoint, tmp_path, name).job(1)))
    of_its_own = {
        action: statement.resources
        for action, statement in document.items()
        if action.startswith(("s3:", "ecr:"))
    }
    store, image = ("arn:aws:s3:::store/team/functions/*",), "repository/mail"
    expected = {
        "source": {"s3:GetObject": store, "s3:PutObject": store},
        "s3": dict.fromkeys(
            ("s3:GetObject", "s3:GetObjectVersion"), ("arn:aws:s3:::code/mail.zip",)
        ),
        "image": {
            "ecr:GetAuthorizationToken": ("*",),
            **dict.fromkeys(
                {*PUSH, *LAMBDAS_OWN, "ecr:DescribeImages", "ecr:DescribeRepositories"},
                (f"arn:aws:ecr:eu-west-1:111111111111:{image}",),
            ),
        },
    }
    assert of_its_own == expected[name]


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
    ("location", "arn"),
    [
        (Location(), "arn:aws:lambda:*:*:function:mail"),
        (
            Location(region="cn-north-1", account="1"),
            "arn:aws-cn:lambda:cn-north-1:1:function:mail",
        ),
    ],
)
def test_what_the_environment_does_not_say_stays_open(
    aws_endpoint: Endpoint, tmp_path: Path, location: Location, arn: str
) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path)
    document = by_action(function.permissions(stage.job(location=location)))
    assert document["lambda:UpdateAlias"].resources == (arn,)
    assert not stage.endpoint.calls


def test_the_services_that_are_warmed_are_the_ones_that_are_called(
    aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path)
    stage.deployed()
    counted(stage.endpoint, 1, 1)
    function.health(stage.job(), stage.ports, lambda sign: None)
    names = {name.partition(":")[0] for name in aws_endpoint.calls.names()}
    assert names == set(function.services())
