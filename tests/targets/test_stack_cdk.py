"""A CDK app deployed into the emulator: one stack of it, with its assets, its role and its
protection.
"""

import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.ports.test_cdk import APP
from tests.support.report import Report
from tests.support.run import ROOT
from tests.support.sandbox import Cloud
from tests.support.stacks import ACCOUNT, REGION, Stacks
from toolkit.errors import Missing, ProgramFailed, Refused
from toolkit.ports import process
from toolkit.show.advice import sentence

BUCKET = f"assets-{ACCOUNT}-{REGION}"
ALL = [
    "s3:PutObject",
    "cloudformation:CreateChangeSet",
    "cloudformation:UpdateTerminationProtection",
    "cloudformation:ExecuteChangeSet",
]


@pytest.fixture
def stacks(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stacks:
    monkeypatch.setattr(process, "which", lambda name: None)
    folder = tmp_path / "repo"
    app = APP.replace(
        '"Resources": {}',
        '"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q"}}}',
    )
    for name, text in {
        "cdk/app.py": app,
        "lambda/handler.py": "one",
        "cdk/cdk.json": json.dumps({"app": f"{sys.executable} app.py"}),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Stacks(folder, cloud.aws())


def bootstrap(
    stacks: Stacks,
    version: str = "21",
    parameter: str = "/cdk-bootstrap/x/version",
    bucket: str = BUCKET,
) -> None:
    stacks.aws.write(
        "ssm", "put_parameter", Name=parameter, Value=version, Type="String", Overwrite=True
    )
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )


def test_an_account_that_is_not_bootstrapped_is_told_how(stacks: Stacks) -> None:
    with pytest.raises(Missing) as missing:
        stacks.preview(stacks.job(cdk="cdk"))
    command = (
        f"run: npx cdk bootstrap aws://{ACCOUNT}/{REGION} --qualifier x --toolkit-stack-name"
        " CDKToolkit-x"
    )
    assert sentence(missing.value.next) == command
    bootstrap(stacks, "5")
    with pytest.raises(Refused, match="has version 5, the app needs 6") as refused:
        stacks.preview(stacks.job(cdk="cdk"))
    assert sentence(refused.value.next) == command


def test_the_usual_bootstrap_is_told_without_a_qualifier_and_with_the_profile(
    stacks: Stacks,
) -> None:
    path = stacks.folder / "cdk/app.py"
    path.write_text(
        path.read_text().replace("/cdk-bootstrap/x/version", "/cdk-bootstrap/hnb659fds/version")
    )
    job = stacks.job(cdk="cdk")
    with pytest.raises(Missing) as missing:
        stacks.preview(replace(job, location=replace(job.location, profile="two words")))
    assert (
        sentence(missing.value.next)
        == f"run: npx cdk bootstrap aws://{ACCOUNT}/{REGION} --profile 'two words'"
    )


def test_what_the_app_warns_of_is_told_before_the_deploy(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap(stacks)
    monkeypatch.setenv("STAGE", "prod")
    path = stacks.folder / "cdk/app.py"
    path.write_text(path.read_text() + "\nos.environ.get('STAGE')\n")
    before, *_ = stacks.preview(stacks.job(cdk="cdk", context={"remarks": "warning"})).warnings
    assert before == "/Shop: old runtime"
    warnings = stacks.preview(stacks.job(cdk="cdk")).warnings
    stage = [line for line in map(sentence, warnings) if "STAGE" in line]
    assert stage == [
        "the CDK app reads STAGE, which is set here and not handed on to it; to hand it on:"
        ' pass_env = ["STAGE"] in rules.toml'
    ]
    assert not [
        line
        for line in map(
            sentence, stacks.preview(stacks.job(cdk="cdk", pass_env=("STAGE",))).warnings
        )
        if "reads STAGE" in line
    ]


def test_an_app_that_says_that_a_stack_must_not_be_deployed_changes_nothing(stacks: Stacks) -> None:
    bootstrap(stacks)
    report = Report()
    with pytest.raises(Refused, match="must be encrypted; /Shop/Q: must be private"):
        stacks.apply(stacks.job(cdk="cdk", context={"remarks": "file", "stage": "yes"}), report)
    assert report.intents == []
    assert stacks.status() == ""


def test_what_a_failed_app_wrote_is_in_the_log_of_its_step(stacks: Stacks) -> None:
    report = Report()
    with pytest.raises(ProgramFailed, match="NameError"):
        stacks.apply(stacks.job(cdk="cdk", context={"broken": "yes"}), report)
    assert report.of("log") == ["warning: one", "NameError: name 'bucket' is not defined"]


def test_an_app_is_deployed_with_its_assets_and_then_is_unchanged(stacks: Stacks) -> None:
    bootstrap(stacks)
    job = stacks.job(cdk="cdk")
    assert [call.name for call in stacks.preview(job).calls] == ALL
    report = stacks.apply(job)
    assert report.intents == ALL
    assert stacks.follow(job, report)[0].verdict == "succeeded"

    body = stacks.aws.streamed("s3", "get_object", 1 << 20, Bucket=BUCKET, Key="abc.zip")[1]
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.read("handler.py") == b"one"
    stack = stacks.aws.read("cloudformation", "describe_stacks", StackName="Shop")["Stacks"][0]
    assert stack["EnableTerminationProtection"] is True
    assert {"Key": "team", "Value": "x"} in stack["Tags"]

    job = stacks.job(cdk="cdk")
    assert stacks.preview(job).unchanged
    assert stacks.follow(job, stacks.apply(job, Report()))[0].verdict == "unchanged"


def test_context_values_reach_the_app(stacks: Stacks) -> None:
    bootstrap(stacks)
    stacks.name = "Shop-prod"
    job = stacks.job(cdk="cdk", context={"suffix": "-prod"})
    assert stacks.follow(job, stacks.apply(job))[0].verdict == "succeeded"
    assert stacks.status() == "CREATE_COMPLETE"


def test_a_long_template_is_uploaded_where_the_assembly_says(stacks: Stacks) -> None:
    bootstrap(stacks)
    path = stacks.folder / "cdk/app.py"
    path.write_text(path.read_text().replace('"Metadata": {', '"Metadata": {"long": "x" * 52000, '))
    job = stacks.job(cdk="cdk")
    names = [call.name for call in stacks.preview(job).calls]
    report = stacks.apply(job)
    assert report.intents == names == ["s3:PutObject", *ALL]
    assert {
        event[2]["key"] for event in report.events if event[:2] == ("intend", "s3:PutObject")
    } == {
        "abc.zip",
        "t.json",
    }
    assert stacks.follow(job, report)[0].verdict == "succeeded"


REAL = os.environ.get("TOOLKIT_TEST_CDK", "")


@pytest.mark.skipif(not REAL, reason="TOOLKIT_TEST_CDK names no folder with the CDK")
def test_the_example_is_deployed_stack_by_stack(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(ROOT / "examples/car-rental", tmp_path / "repo")
    monkeypatch.setenv("PATH", f"{REAL}/python/bin:{os.environ['PATH']}")
    stacks = Stacks(tmp_path / "repo", cloud.aws())
    bootstrap(
        stacks,
        parameter="/cdk-bootstrap/hnb659fds/version",
        bucket=f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}",
    )
    for name in ("Network", "Api"):
        stacks.name = f"CarRental{name}Stack"
        job = stacks.job(cdk="cdk")
        observed, _ = stacks.follow(job, stacks.apply(job))
        assert observed.verdict == "succeeded", observed
        assert stacks.preview(stacks.job(cdk="cdk")).unchanged
