"""Stacks deployed into the emulator: what a person asked for is what AWS has afterwards, and what
is said is what happened.
"""

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.report import Crash, Report, lines
from tests.support.sandbox import Cloud
from tests.support.stacks import ACCOUNT, REGION, Stacks, parameter, queue, template
from toolkit.errors import CloudError, FileProblem, Refused, Stopped, WrongAccount
from toolkit.operations import Job
from toolkit.show.advice import sentence
from toolkit.targets.stack import deployed
from toolkit.targets.stack.kind import kind
from toolkit.targets.stack.options import StackOptions

FIX = "fix what failed, then: toolkit deploy-stack shop"
PLAIN = ["cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet"]
ONE = template(
    {"Jobs": queue("jobs")}, Outputs={"Url": {"Value": {"Ref": "Jobs"}}, "Hidden": {"Value": "x"}}
)
TWO = template({"Jobs": queue("jobs", VisibilityTimeout=60)})
NEVER = {
    "Type": "Custom::Never",
    "Properties": {"ServiceToken": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"},
}
FAILS = template({"Jobs": queue("jobs", VisibilityTimeout=61), "Never": NEVER})

FUNCTION = """
import json, time, urllib.request
def handler(event, context):
    asked, was = event["ResourceProperties"], event.get("OldResourceProperties", {})
    time.sleep(float(asked.get("Sleep", 0)))
    stuck = was.get("Fail") == "yes" and was.get("Stuck") == "yes" and __STUCK__
    failed = asked.get("Fail") == "yes" or stuck
    answer = {"Status": "FAILED" if failed else "SUCCESS", "Reason": "the tap is closed",
              "PhysicalResourceId": "tap",
              "StackId": event["StackId"], "RequestId": event["RequestId"],
              "LogicalResourceId": event["LogicalResourceId"]}
    body = json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], body, method="PUT"))
"""


@pytest.fixture
def stacks(cloud: Cloud, tmp_path: Path) -> Stacks:
    folder = tmp_path / "repo"
    folder.mkdir()
    return Stacks(folder, cloud.aws())


def zipped(stuck: bool = True) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("index.py", FUNCTION.replace("__STUCK__", str(stuck)))
    return body.getvalue()


@pytest.fixture
def tap(stacks: Stacks) -> Any:
    """A custom resource whose function sleeps, fails and sticks as its properties say."""
    arn = stacks.aws.write(
        "lambda",
        "create_function",
        FunctionName="tap",
        Runtime="python3.11",
        Handler="index.handler",
        Timeout=30,
        Role=f"arn:aws:iam::{ACCOUNT}:role/tap",
        Code={"ZipFile": zipped()},
    )["FunctionArn"]
    until = time.monotonic() + 20
    while (
        stacks.aws.read("lambda", "get_function", FunctionName="tap")["Configuration"]["State"]
        != "Active"
    ):
        assert time.monotonic() < until
    return lambda **properties: template(
        {"Tap": {"Type": "Custom::Tap", "Properties": {"ServiceToken": arn, **properties}}}
    )


def refusal(stacks: Stacks, job: Job, yes: frozenset[str] = frozenset()) -> tuple[Refused, Report]:
    report = Report(yes=yes, on_event=lambda event: time.sleep(0.01 if event[0] == "wait" else 0))
    with pytest.raises(Refused) as refused:
        stacks.apply(job, report)
    return refused.value, report


# --- create, change, nothing


def test_a_stack_that_is_not_there_is_created_with_our_tags_and_the_outputs_that_may_be_shown(
    stacks: Stacks,
) -> None:
    stacks.write(ONE)
    job = stacks.job(outputs=("Url",))
    assert kind.live(job, stacks.ports) is None
    report = stacks.apply(job)
    observed, _ = stacks.follow(job, report)
    assert (observed.state, observed.verdict) == ("done", "succeeded")
    assert observed.outputs.keys() == {"Url"}
    assert report.intents == PLAIN
    live = kind.live(job, stacks.ports)
    assert live is not None
    assert observed.live is not None
    assert live.deployed.same(observed.live.deployed) is True
    assert live == replace(observed.live, deployed=live.deployed)
    assert live is not None
    assert (live.version, live.commit, live.fingerprint, live.run) == (
        job.version.name,
        job.version.commit,
        "print1",
        "run1",
    )
    assert live.since


def test_a_change_is_made_and_a_second_deploy_of_it_is_unchanged_without_a_call(
    stacks: Stacks,
) -> None:
    stacks.deploy(ONE)
    assert stacks.deploy(TWO).verdict == "succeeded"
    job = stacks.job()
    preview = stacks.preview(job)
    assert (preview.unchanged, preview.calls) == (True, ())
    report = stacks.apply(job)
    observed, _ = stacks.follow(job, report)
    assert (observed.state, observed.verdict, report.intents) == ("done", "unchanged", [])
    assert observed.live is not None
    assert observed.live.run == "run2"


def test_the_preview_names_the_calls_that_are_made(stacks: Stacks) -> None:
    stacks.write(ONE)
    for text in (ONE, TWO):
        stacks.write(text)
        job = stacks.job()
        preview = stacks.preview(job)
        assert [call.name for call in preview.calls] == stacks.apply(job).intents == PLAIN
        stacks.follow(
            job,
            Report(
                {
                    "executed": True,
                    "stack_id": stacks.aws.read("cloudformation", "describe_stacks")["Stacks"][0][
                        "StackId"
                    ],
                }
            ),
        )
    assert preview.calls[0].what["type"] == "UPDATE"


def test_an_unchanged_template_with_a_nested_stack_is_compared_by_cloudformation(
    stacks: Stacks,
) -> None:
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket="inner",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    stacks.aws.write(
        "s3",
        "put_object",
        Bucket="inner",
        Key="t.json",
        Body=template({"In": parameter("/in")}).encode(),
    )
    url = f"https://s3.{REGION}.amazonaws.com/inner/t.json"
    text = template(
        {"Nest": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}}
    )
    assert stacks.deploy(text).verdict == "succeeded"
    job = stacks.job()
    assert not stacks.preview(job).unchanged
    report = stacks.apply(job)
    assert stacks.follow(job, report)[0].verdict == "unchanged"
    assert "cloudformation:ExecuteChangeSet" not in report.intents
    assert (
        stacks.aws.read("cloudformation", "list_change_sets", StackName="Shop")["Summaries"][1:]
        == []
    )


def test_tags_of_others_stay_on_the_stack(stacks: Stacks) -> None:
    stacks.aws.write(
        "cloudformation",
        "create_stack",
        StackName="Shop",
        TemplateBody=ONE,
        Tags=[{"Key": "team", "Value": "a"}],
    )
    stacks.deploy(TWO)
    tags = stacks.aws.read("cloudformation", "describe_stacks", StackName="Shop")["Stacks"][0][
        "Tags"
    ]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "team": "a",
        "toolkit:version": "c0ffee" + "0" * 34,
        "toolkit:commit": "c0ffee" + "0" * 34,
        "toolkit:fingerprint": "print1",
        "toolkit:template": deployed.template_digest(TWO),
        "toolkit:run": "run1",
    }


def test_a_parameter_that_is_not_given_keeps_its_value(stacks: Stacks) -> None:
    text = template(
        {"Jobs": queue("jobs", VisibilityTimeout={"Ref": "Seconds"})},
        Parameters={"Seconds": {"Type": "Number"}, "Other": {"Type": "String", "Default": "a"}},
    )
    assert stacks.deploy(text, parameters={"Seconds": "30"}).verdict == "succeeded"
    assert stacks.deploy(parameters={"Other": "b"}).state == "done"
    actual = stacks.aws.read("cloudformation", "describe_stacks", StackName="Shop")["Stacks"][0][
        "Parameters"
    ]
    assert {item["ParameterKey"]: item["ParameterValue"] for item in actual} == {
        "Seconds": "30",
        "Other": "b",
    }
    with pytest.raises(Refused, match="no parameter Third"):
        stacks.preview(stacks.job(parameters={"Third": "x"}))


def test_a_long_template_goes_through_the_store_or_is_refused(stacks: Stacks) -> None:
    stacks.write(template({"Jobs": queue("jobs")}, Metadata={"long": "x" * 52_000}))
    with pytest.raises(Refused, match="no bucket"):
        stacks.preview(stacks.job())
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket="store",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    job = stacks.job(store="s3://store/team")
    names = [call.name for call in stacks.preview(job).calls]
    report = stacks.apply(job)
    assert report.intents == names == ["s3:PutObject", *PLAIN]
    assert stacks.follow(job, report)[0].verdict == "succeeded"
    assert stacks.apply(stacks.job(store="s3://store/team")).intents == []


def test_a_long_template_in_yaml_is_read_by_cloudformation_alone(stacks: Stacks) -> None:
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket="store",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    lines = [
        "Parameters: {Seconds: {Type: Number}}",
        "Resources:",
        "  Jobs:",
        "    Type: AWS::SQS::Queue",
        "    Properties:",
    ]
    lines += ["      VisibilityTimeout: !Ref Seconds", "# " + "x" * 52_000]
    stacks.write("\n".join(lines))
    observed = stacks.deploy(store="s3://store", parameters={"Seconds": "30"})
    assert observed.verdict == "succeeded"
    job = stacks.job(store="s3://store", parameters={"Seconds": "30"})
    report = stacks.apply(job)
    assert (stacks.follow(job, report)[0].verdict, report.intents) == ("unchanged", [])


def test_a_masked_parameter_is_compared_by_cloudformation(stacks: Stacks) -> None:
    reference = "{{resolve:secretsmanager:db:SecretString:password}}"
    text = template(
        {"Jobs": queue("jobs")}, Parameters={"Password": {"Type": "String", "NoEcho": True}}
    )
    assert stacks.deploy(text, parameters={"Password": reference}).verdict == "succeeded"
    job = stacks.job(parameters={"Password": reference})
    report = stacks.apply(job)
    assert stacks.follow(job, report)[0].verdict == "unchanged"
    assert report.intents == ["cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"]


def test_a_template_that_is_a_link_out_of_the_repository_is_not_read(
    stacks: Stacks, tmp_path: Path
) -> None:
    (tmp_path / "secret.json").write_text(ONE)
    (stacks.folder / "template.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(FileProblem):
        stacks.preview(stacks.job())


def test_the_wrong_account_is_refused_before_anything_is_done(stacks: Stacks, cloud: Cloud) -> None:
    stacks.write(ONE)
    second = Stacks(stacks.folder, cloud.aws("222222222222"))
    with pytest.raises(WrongAccount):
        second.apply(second.job())
    assert second.status() == ""


def test_a_secret_among_the_parameters_is_refused(stacks: Stacks) -> None:
    stacks.write(template({"Jobs": queue("jobs")}, Parameters={"Password": {"Type": "String"}}))
    with pytest.raises(Refused) as refused:
        stacks.apply(stacks.job(parameters={"Password": "hunter2"}))
    assert "hunter2" not in str(refused.value)
    assert "{{resolve:secretsmanager:" in sentence(refused.value.next)
    assert stacks.status() == ""


# --- what goes wrong


def test_an_update_that_fails_is_rolled_back_and_its_first_real_cause_is_told(
    stacks: Stacks,
) -> None:
    stacks.deploy(TWO)
    stacks.write(FAILS)
    job = stacks.job()
    observed, looks = stacks.follow(job, stacks.apply(job))
    assert (observed.state, observed.verdict) == ("failed", "rolled-back")
    assert observed.cause.startswith("Never (Custom::Never): ")
    assert "cancelled" not in observed.cause
    assert sentence(observed.next) == FIX
    failed = "Custom::Never Never UPDATE_FAILED: Custom"
    assert [line for line in lines(looks) if line.startswith(failed)]
    live = kind.live(job, stacks.ports)
    assert live is not None
    assert live.run == "run1"


def test_the_cause_is_told_while_the_stack_is_still_rolling_back(stacks: Stacks, tap: Any) -> None:
    good = json.loads(tap(Sleep="0"))
    stacks.deploy(json.dumps(good))
    good["Resources"]["Tap"]["Properties"]["Sleep"] = "1"
    good["Resources"]["Never"] = {**NEVER, "DependsOn": "Tap"}
    stacks.write(json.dumps(good))
    job = stacks.job()
    _, looks = stacks.follow(job, stacks.apply(job))
    assert [
        look.phase for look in looks if look.state == "running" and "waiting for Tap" in look.phase
    ]


def test_a_failed_creation_is_deleted_and_made_again_after_consent_only(stacks: Stacks) -> None:
    assert sentence(stacks.deploy(FAILS).next) == f"{FIX} --recreate"
    assert stacks.status() == "ROLLBACK_COMPLETE"
    stacks.write(ONE)
    refused, report = refusal(stacks, stacks.job())
    assert sentence(refused.next) == "add --recreate"
    assert (report.intents, stacks.status()) == ([], "ROLLBACK_COMPLETE")
    job = stacks.job(options=StackOptions(recreate=True))
    preview = stacks.preview(job)
    assert preview.warnings == (
        "its creation failed, so Shop will be deleted and created again; --recreate confirms this"
        " in advance",
    )
    report = stacks.apply(job, Report(yes=frozenset()))
    assert (
        report.intents
        == [call.name for call in preview.calls]
        == ["cloudformation:DeleteStack", *PLAIN]
    )
    assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_a_protected_stack_is_not_deleted(stacks: Stacks) -> None:
    stacks.deploy(FAILS)
    stacks.aws.write(
        "cloudformation",
        "update_termination_protection",
        StackName="Shop",
        EnableTerminationProtection=True,
    )
    stacks.write(ONE)
    with pytest.raises(Refused, match="protected against deletion"):
        stacks.preview(stacks.job())
    assert "protected against deletion" in str(
        refusal(stacks, stacks.job(options=StackOptions(recreate=True)))[0]
    )


def test_a_stuck_rollback_is_continued_after_consent_and_then_the_stack_is_updated(
    stacks: Stacks, tap: Any
) -> None:
    stacks.deploy(tap(Step="1"))
    observed = stacks.deploy(tap(Step="2", Fail="yes", Stuck="yes"))
    assert (observed.verdict, stacks.status()) == ("failed", "UPDATE_ROLLBACK_FAILED")
    assert "the tap is closed" in observed.cause
    assert sentence(observed.next) == f"{FIX} --continue-rollback"
    stacks.write(tap(Step="3"))
    assert sentence(refusal(stacks, stacks.job())[0].next) == "add --continue-rollback"

    still, report = refusal(stacks, stacks.job(options=StackOptions(continue_rollback=True)))
    assert "stuck at Tap" in str(still)
    assert "--resources-to-skip Tap" in sentence(still.next)
    assert report.intents == ["cloudformation:ContinueUpdateRollback"]

    stacks.aws.write(
        "lambda", "update_function_code", FunctionName="tap", ZipFile=zipped(stuck=False)
    )
    job = stacks.job(options=StackOptions(continue_rollback=True))
    names = [call.name for call in stacks.preview(job).calls]
    report = stacks.apply(job)
    assert report.intents == names == ["cloudformation:ContinueUpdateRollback", *PLAIN]
    assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_an_update_that_failed_without_rollback_is_rolled_back_first(
    stacks: Stacks, tap: Any
) -> None:
    stacks.deploy(tap(Step="1"))
    cfn = stacks.aws
    cfn.write(
        "cloudformation",
        "update_stack",
        StackName="Shop",
        TemplateBody=tap(Step="2", Fail="yes"),
        DisableRollback=True,
    )
    until = time.monotonic() + 20
    while stacks.status() != "UPDATE_FAILED":
        assert time.monotonic() < until
    stacks.write(tap(Step="3"))
    job = stacks.job(options=StackOptions(continue_rollback=True))
    report = stacks.apply(job)
    assert report.intents == ["cloudformation:RollbackStack", *PLAIN]
    assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_somebody_elses_update_is_waited_for_and_shown(stacks: Stacks, tap: Any) -> None:
    stacks.deploy(tap(Step="1"))
    stacks.aws.write(
        "cloudformation", "update_stack", StackName="Shop", TemplateBody=tap(Step="2", Sleep="1.5")
    )
    stacks.write(tap(Step="3"))
    job = stacks.job()
    assert any("another operation" in line for line in map(sentence, stacks.preview(job).warnings))
    report = stacks.apply(job)
    assert any("UPDATE_IN_PROGRESS" in words for words in report.of("phase"))
    assert "Custom::Tap Tap UPDATE_COMPLETE" in report.of("log")
    assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_a_failure_of_a_nested_stack_is_named(stacks: Stacks) -> None:
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket="inner",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    stacks.aws.write("s3", "put_object", Bucket="inner", Key="t.json", Body=FAILS.encode())
    url = f"https://s3.{REGION}.amazonaws.com/inner/t.json"
    observed = stacks.deploy(
        template(
            {"Nest": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}}
        )
    )
    assert observed.verdict == "rolled-back"
    assert observed.cause.startswith(
        "Nest (AWS::CloudFormation::Stack): Custom resource ServiceToken"
    )


def test_a_template_that_is_wrong_is_told_in_cloudformations_words_and_leaves_nothing(
    stacks: Stacks,
) -> None:
    stacks.write(template({"Jobs": {"Type": "AWS::No::Such"}}))
    with pytest.raises(CloudError, match="AWS::No::Such"):
        stacks.apply(stacks.job())
    assert stacks.status() == ""


# --- what a person has to agree to


def test_a_deletion_is_shown_and_refused_until_it_is_agreed_to(stacks: Stacks) -> None:
    stacks.deploy(template({"Jobs": queue("jobs"), "Flag": parameter("/flag")}))
    stacks.write(template({"Flag": parameter("/flag")}))
    job = stacks.job()
    refused, report = refusal(stacks, job)
    assert sentence(refused.next) == "add --allow-delete"
    assert report.of("tell")[0].startswith("DELETES      Jobs")
    assert "LOSES ITS DATA" in report.of("tell")[0]
    assert report.intents == ["cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"]
    names = [
        item["ChangeSetName"]
        for item in stacks.aws.read("cloudformation", "list_change_sets", StackName="Shop")[
            "Summaries"
        ]
    ]
    assert f"tk-{job.token}" not in names
    assert (
        stacks.deploy(
            options=StackOptions(allow_delete=True), report=Report(yes=frozenset())
        ).verdict
        == "succeeded"
    )


def test_a_replacement_is_shown_and_refused_until_it_is_agreed_to(stacks: Stacks) -> None:
    stacks.deploy(template({"Flag": parameter("/flag")}))
    stacks.write(template({"Flag": parameter("/other")}))
    refused, report = refusal(stacks, stacks.job())
    assert sentence(refused.next) == "add --allow-replace"
    assert report.of("tell") == ["REPLACES     Flag  AWS::SSM::Parameter  Name"]
    assert (
        stacks.deploy(
            options=StackOptions(allow_replace=True), report=Report(yes=frozenset())
        ).verdict
        == "succeeded"
    )


def test_a_new_stack_that_is_refused_leaves_no_empty_stack(stacks: Stacks) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
    stacks.write(template({"Role": role}))
    refused, report = refusal(stacks, stacks.job())
    assert sentence(refused.next) == "add --allow-broadening"
    assert report.of("tell") == ["adds         Role  AWS::IAM::Role  GRANTS PERMISSIONS"]
    assert stacks.status() == ""
    assert (
        stacks.deploy(
            options=StackOptions(allow_broadening=True), report=Report(yes=frozenset())
        ).verdict
        == "succeeded"
    )


def test_values_of_properties_are_never_shown(stacks: Stacks) -> None:
    stacks.deploy(template({"Flag": parameter("/flag", "canary-before")}))
    stacks.write(template({"Flag": parameter("/flag", "canary-after")}))
    job = stacks.job()
    report = stacks.apply(job)
    _, looks = stacks.follow(job, report)
    shown = [
        replace(look, live=None) for look in looks
    ]  # the template itself is for the record, to be put back
    assert "canary" not in repr(report.events) + repr(report.receipt) + repr(shown)


# --- crashes and stops


def crashes_at(number: int) -> Report:
    """A report whose process dies at the n-th intent or receipt, before it is written (odd) or
    after (even).
    """
    count = 0

    def die(event: tuple[Any, ...]) -> None:
        nonlocal count
        if event[0] in ("intend", "keep"):
            count += 1
            if count == number:
                raise Crash

    return Report(on_event=die)


def test_a_crash_before_any_line_of_the_journal_is_settled_by_looking_and_one_change_is_made(
    stacks: Stacks,
) -> None:
    for number in range(1, 20):
        stacks.name = f"Shop{number}"
        stacks.write(template({"Flag": parameter(f"/flag{number}")}))
        job, report = stacks.job(), crashes_at(number)
        try:
            stacks.apply(job, report)
        except Crash:
            crashed = True
        else:
            crashed = False
        report = Report(report.receipt)
        if crashed and stacks.observe(job, report).state == "absent":
            stacks.apply(job, report)
        observed, _ = stacks.follow(job, report)
        assert (observed.state, observed.verdict) == ("done", "succeeded"), number
        events = stacks.aws.pages(
            "cloudformation", "describe_stack_events", "StackEvents", StackName=stacks.name
        )
        assert (
            sum(
                event["ResourceStatus"] == "CREATE_IN_PROGRESS"
                and event["LogicalResourceId"] == stacks.name
                for event in events
            )
            == 1
        )
        if not crashed:
            break
    assert 4 < number < 19


def test_apply_twice_is_apply_once(stacks: Stacks) -> None:
    stacks.write(ONE)
    job = stacks.job()
    stacks.follow(job, stacks.apply(job))
    again = stacks.apply(job, Report())
    assert again.intents == []
    assert stacks.follow(job, again)[0].verdict == "succeeded"


def test_a_run_that_is_stopped_while_it_asks_executes_nothing_and_names_the_change_set(
    stacks: Stacks,
) -> None:
    stacks.write(ONE)
    job = stacks.job()
    report = Report()
    report = Report(
        on_event=lambda event: (
            setattr(report, "stopping", True)
            if event[:2] == ("phase", "waiting for confirmation")
            else None
        )
    )
    with pytest.raises(Stopped):
        stacks.apply(job, report)
    assert stacks.status() == "REVIEW_IN_PROGRESS"
    assert (
        report.of("tell")[-1]
        == f"change set tk-{job.token} was not executed; `toolkit resume` continues with it"
    )
    again = Report(report.receipt)
    assert stacks.observe(job, again).state == "absent"
    assert stacks.follow(job, stacks.apply(job, again))[0].verdict == "succeeded"


def test_what_another_deploy_does_later_does_not_change_how_ours_ended(stacks: Stacks) -> None:
    stacks.write(TWO)
    job = stacks.job()
    report = stacks.apply(job)
    stacks.follow(job, report)
    stacks.deploy(FAILS)
    assert stacks.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_a_stack_that_was_deleted_since_is_unknown(stacks: Stacks) -> None:
    stacks.write(ONE)
    job = stacks.job()
    nowhere = Report(
        {"executed": True, "stack_id": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/Shop/gone"}
    )
    assert stacks.observe(job, nowhere).state == "unknown"
    assert stacks.observe(job, Report()).state == "absent"


def test_a_doomed_update_is_cancelled(stacks: Stacks, tap: Any) -> None:
    slow = json.loads(tap(Step="2", Sleep="1"))
    slow["Resources"]["Later"] = {**queue("later"), "DependsOn": "Tap"}
    stacks.deploy(tap(Step="1"))
    stacks.write(json.dumps(slow))
    job = stacks.job()
    report = stacks.apply(job)
    until = time.monotonic() + 20
    while stacks.observe(job, report).phase == "waiting for CloudFormation to begin":
        assert time.monotonic() < until
    kind.abandon(job, report.receipt, stacks.ports, report)
    assert report.intents[-1] == "cloudformation:CancelUpdateStack"
    assert stacks.follow(job, report)[0].verdict == "rolled-back"
    kind.abandon(job, report.receipt, stacks.ports, report)
    assert report.intents.count("cloudformation:CancelUpdateStack") == 1
