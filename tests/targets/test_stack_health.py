"""How a stack is told: every state in words with its cause and the next command, real ones in the
emulator, the others scripted.
"""

import io
import threading
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.moment import at_one_moment
from tests.support.sandbox import Cloud
from tests.support.stacks import ACCOUNT, REGION, Stacks, queue, template
from tests.targets.permissions import by_action
from tests.targets.test_stack_scripted import STATES
from toolkit.advice import NextCommand
from toolkit.operations import DeployedState, Finding, HealthStatus, LiveVersion
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.show.advice import sentence
from toolkit.targets.stack import deployed
from toolkit.targets.stack.kind import kind

ONE = template({"Jobs": queue("jobs")})
NEVER = {
    "Type": "Custom::Never",
    "Properties": {"ServiceToken": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"},
}
FAILS = template({"Jobs": queue("jobs", VisibilityTimeout=61), "Never": NEVER})
OK = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
)
BACK = ("UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
TAP = """
import json, urllib.request
def handler(event, context):
    asked, was = event["ResourceProperties"], event.get("OldResourceProperties", {})
    on = event["RequestType"]
    failed = on in asked.get("Fail", "") or (on == "Update" and "Stuck" in was)
    answer = {"Status": "FAILED" if failed else "SUCCESS", "Reason": "the tap is closed",
              "PhysicalResourceId": "tap",
              "StackId": event["StackId"], "RequestId": event["RequestId"],
              "LogicalResourceId": event["LogicalResourceId"]}
    body = json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], body, method="PUT"))
"""
EVENTS = "aws cloudformation describe-stack-events --stack-name Shop"
WAIT = "wait for it: aws cloudformation wait stack-{}-complete --stack-name Shop"
STUCK = f"fix what it waits for; its events: {EVENTS}"
DEPLOY = "toolkit deploy-stack shop"
FIX = "fix what failed, then: "


def told(stacks: Stacks, **settings: Any) -> tuple[dict[str, Finding], LiveVersion | None]:
    """What is told of the stack, by what it is about, and what runs."""
    findings: list[Finding] = []
    live = kind.health(stacks.job(**settings), stacks.ports, findings.append)
    assert len({entry.what for entry in findings}) == len(findings)
    for item in findings:
        assert isinstance(item.status, HealthStatus)
        assert (item.status == "ok") is (not item.cause) is (not item.next), item
        assert "\n" not in item.cause
    return {entry.what: entry for entry in findings}, live


def state(stacks: Stacks) -> Finding:
    return told(stacks)[0]["stack"]


def ringing(name: str, **dimensions: str) -> dict[str, Any]:
    """An alarm as CloudWatch has it."""
    documents = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    return {
        "AlarmName": name,
        "StateValue": "ALARM",
        "StateReason": "it is over 5",
        "Dimensions": documents,
    }


class Moved:
    """A clock that is ahead of this machine's."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC) + self.ahead

    def elapsed(self) -> float:
        """Seconds."""
        return time.monotonic()

    def wait(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Nobody waits here."""
        raise AssertionError


# --- scripted


@pytest.fixture
def scripted(aws_endpoint: Endpoint, tmp_path: Path) -> Stacks:
    return Stacks(tmp_path, Aws(None, REGION))


@pytest.mark.parametrize("status", STATES)
def test_every_state_has_one_word_a_cause_and_a_next_command(
    scripted: Stacks, aws_endpoint: Endpoint, status: str
) -> None:
    aws_endpoint.cloudformation.stack("Shop", status)
    finding = state(scripted)
    expected = (
        "ok"
        if status in OK
        else "warning"
        if status.endswith("_IN_PROGRESS") or status in BACK
        else "failing"
    )
    assert (finding.status, finding.detail) == (expected, status)
    assert datetime.fromisoformat(finding.since or "").utcoffset() == timedelta(0)
    assert "being changed since" not in finding.cause  # there are better words for each


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("ROLLBACK_COMPLETE", f"{FIX}{DEPLOY} --recreate"),
        ("ROLLBACK_FAILED", f"{FIX}{DEPLOY} --recreate"),
        ("CREATE_FAILED", f"{FIX}{DEPLOY} --recreate"),
        ("UPDATE_FAILED", f"{FIX}{DEPLOY} --continue-rollback"),
        ("UPDATE_ROLLBACK_FAILED", f"{FIX}{DEPLOY} --continue-rollback"),
        ("UPDATE_ROLLBACK_COMPLETE", DEPLOY),
        ("IMPORT_ROLLBACK_COMPLETE", DEPLOY),
        ("REVIEW_IN_PROGRESS", DEPLOY),
        ("UPDATE_IN_PROGRESS", WAIT.format("update")),
        ("UPDATE_ROLLBACK_IN_PROGRESS", WAIT.format("rollback")),
        ("CREATE_IN_PROGRESS", WAIT.format("create")),
        ("DELETE_IN_PROGRESS", WAIT.format("delete")),
        ("IMPORT_IN_PROGRESS", WAIT.format("import")),
        ("ROLLBACK_IN_PROGRESS", f"wait for it; its events: {EVENTS}"),
        ("IMPORT_ROLLBACK_IN_PROGRESS", f"wait for it; its events: {EVENTS}"),
        ("IMPORT_ROLLBACK_FAILED", f"fix what its events say: {EVENTS}"),
        (
            "DELETE_FAILED",
            "aws cloudformation delete-stack --stack-name Shop --deletion-mode FORCE_DELETE_STACK",
        ),
    ],
)
def test_the_next_command_mends_the_state(
    scripted: Stacks, aws_endpoint: Endpoint, status: str, command: str
) -> None:
    aws_endpoint.cloudformation.stack("Shop", status)
    assert sentence(state(scripted).next) == command


def test_a_whole_stack_costs_one_call(scripted: Stacks, aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.stack(
        "Shop", "UPDATE_COMPLETE", tags={"toolkit:run": "r", "toolkit:version": "v"}
    )
    signs, _ = told(scripted)
    assert signs.keys() == {"stack"}
    assert aws_endpoint.calls.names() == ["cloudformation:DescribeStacks"]


def test_a_stack_without_our_tags_is_told_with_what_it_is_made_of(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE", template='{"Resources": {}}')
    live = told(scripted)[1]
    assert live is not None
    assert live.deployed.same(deployed.state_of({"Resources": {}}, {}, {})) is True
    aws_endpoint.fault("GetTemplate", times=None, kind="denied")
    signs, live = told(scripted)
    assert (signs["stack"].status, live is not None and live.deployed) == ("ok", DeployedState())


def test_several_stacks_that_are_looked_at_together_are_one_call(
    scripted: Stacks, aws_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"Shop{number}" for number in range(8)]
    for name in names[:-1]:
        aws_endpoint.cloudformation.stack(name, "UPDATE_COMPLETE")
    document: dict[str, Any] = {}

    def ask(name: str) -> None:
        document[name] = cfn.watched_stack(scripted.aws, name)

    scripted.aws.warm("cloudformation")
    at_one_moment(monkeypatch, len(names))
    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: item and item["StackName"] for name, item in document.items()} == {
        **{name: name for name in names[:-1]},
        names[-1]: None,
    }
    documents = [call.params for call in aws_endpoint.calls.of("DescribeStacks")]
    assert documents == [{}, {"StackName": names[-1]}]


def test_a_name_with_a_slash_is_looked_up_as_cdk_names_it(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.stack("Prod-Shop", "CREATE_COMPLETE")
    assert told(scripted, stack="Prod/Shop")[0]["stack"].status == "ok"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("CREATE_IN_PROGRESS", "created"),
        ("UPDATE_IN_PROGRESS", "updated"),
        ("DELETE_IN_PROGRESS", "deleted"),
        ("ROLLBACK_IN_PROGRESS", "rolled back"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "rolled back"),
    ],
)
def test_an_operation_that_runs_is_told_since_when(
    scripted: Stacks, aws_endpoint: Endpoint, status: str, word: str
) -> None:
    aws_endpoint.clock.stop(datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
    aws_endpoint.cloudformation.stack("Shop", status)
    scripted.ports = replace(
        scripted.ports,
        clock=Moved(datetime(2026, 3, 1, 12, 30, 50, tzinfo=UTC) - datetime.now(UTC)),
    )
    finding = state(scripted)
    assert (finding.status, finding.cause) == (
        "warning",
        f"it is being {word} since 2026-03-01 12:30 UTC",
    )
    assert finding.since == "2026-03-01T12:30:00+00:00"


@pytest.mark.parametrize(
    ("status", "command"),
    [
        (
            "UPDATE_IN_PROGRESS",
            "cancel it, so that it is rolled back: aws cloudformation cancel-update-stack"
            " --stack-name Shop",
        ),
        ("CREATE_IN_PROGRESS", STUCK),
        ("UPDATE_ROLLBACK_IN_PROGRESS", STUCK),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", STUCK),
    ],
)
def test_an_operation_past_the_deadline_is_stuck(
    scripted: Stacks, aws_endpoint: Endpoint, status: str, command: str
) -> None:
    aws_endpoint.cloudformation.stack("Shop", status)
    scripted.ports = replace(scripted.ports, clock=Moved(timedelta(seconds=50)))
    assert state(scripted).status != "failing"
    scripted.ports = replace(scripted.ports, clock=Moved(timedelta(seconds=62)))
    finding = state(scripted)
    assert (finding.status, finding.detail, sentence(finding.next)) == (
        "failing",
        f"{status}, stuck",
        command,
    )
    assert finding.cause.startswith("it is stuck: it is being ")


def test_a_deletion_of_an_old_stack_is_not_taken_for_stuck(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    shop = aws_endpoint.cloudformation.stack(
        "Shop", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"}
    )
    shop.created = shop.updated = datetime.now(UTC) - timedelta(days=90)
    aws_endpoint.cloudformation.next("never")
    scripted.aws.write("cloudformation", "delete_stack", StackName="Shop")
    finding = state(scripted)
    assert (finding.status, finding.detail) == ("warning", "DELETE_IN_PROGRESS")
    assert datetime.now(UTC) - datetime.fromisoformat(finding.since or "") < timedelta(minutes=1)
    aws_endpoint.fault("DescribeStackEvents", times=None, kind="denied")
    assert state(scripted).detail == "DELETE_IN_PROGRESS, stuck"


def test_a_rollback_that_runs_says_why(scripted: Stacks, aws_endpoint: Endpoint) -> None:
    cloud = aws_endpoint.cloudformation
    shop = cloud.stack("Shop", "UPDATE_IN_PROGRESS")
    cloud.event(shop, "Service", "AWS::ECS::Service", "UPDATE_FAILED", "the image is gone", "s")
    shop.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    assert state(scripted).cause.endswith(" UTC: Service (AWS::ECS::Service): the image is gone")


def test_a_deletion_that_failed_names_what_it_failed_at(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    shop = cloud.stack("Shop", "DELETE_IN_PROGRESS")
    cloud.event(shop, "Files", "AWS::S3::Bucket", "DELETE_FAILED", "The bucket is not empty", "f")
    shop.status = "DELETE_FAILED"
    finding = state(scripted)
    assert finding.cause == "Files (AWS::S3::Bucket): The bucket is not empty"
    assert (
        sentence(finding.next)
        == "aws cloudformation delete-stack --stack-name Shop --retain-resources Files"
    )


@pytest.mark.parametrize(
    "status", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"]
)
def test_a_state_is_told_also_where_its_events_may_not_be_read(
    scripted: Stacks, aws_endpoint: Endpoint, status: str
) -> None:
    aws_endpoint.cloudformation.stack(
        "Shop", status
    ).reason = "The following resource(s) failed: [Jobs]."
    aws_endpoint.fault("DescribeStackEvents", times=None, kind="denied")
    finding = state(scripted)
    assert (finding.status, finding.detail) == (
        "warning" if status.endswith("COMPLETE") else "failing",
        status,
    )
    assert finding.cause in (
        "its last update was rolled back",
        "The following resource(s) failed: [Jobs].",
    )


def test_a_stack_that_may_not_be_looked_at_is_unknown_and_not_ok(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE")
    aws_endpoint.fault(
        "DescribeStacks", kind="denied", resource="arn:aws:cloudformation:eu-west-1:1:stack/Shop/*"
    )
    signs, live = told(scripted)
    assert (signs["stack"].status, signs["stack"].detail, live) == ("unknown", "not allowed", None)
    assert "cloudformation:DescribeStacks" in signs["stack"].cause


DAY = datetime(2026, 3, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("drift", "cause", "detail"),
    [
        (
            {"StackDriftStatus": "DRIFTED", "LastCheckTimestamp": DAY},
            "someone changed it by hand (checked 2026-03-01)",
            "",
        ),
        (
            {"StackDriftStatus": "DRIFTED"},
            "someone changed it by hand (checked at an unknown time)",
            "",
        ),
        (
            {"StackDriftStatus": "IN_SYNC", "LastCheckTimestamp": DAY},
            "",
            ", as its template says (checked 2026-03-01)",
        ),
        ({"StackDriftStatus": "NOT_CHECKED"}, "", ""),
        ({"StackDriftStatus": "UNKNOWN"}, "", ""),
    ],
)
def test_drift_is_told_where_somebody_has_looked_for_it(
    scripted: Stacks, aws_endpoint: Endpoint, drift: dict[str, Any], cause: str, detail: str
) -> None:
    shop = aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE")
    shop.drift = drift
    signs, _ = told(scripted)
    assert signs["stack"].detail == f"UPDATE_COMPLETE{detail}"
    assert (signs["drift"].cause if "drift" in signs else "") == cause


def test_drift_from_before_the_last_update_is_told_as_that(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    shop = aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE")
    shop.drift, shop.updated = (
        {
            "StackDriftStatus": "DRIFTED",
            "LastCheckTimestamp": DAY,
        },
        DAY + timedelta(days=1),
    )
    assert (
        told(scripted)[0]["drift"].cause
        == "someone changed it by hand (checked 2026-03-01, before its last update)"
    )


def test_only_alarms_that_are_named_are_about_a_stack(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE")
    rings = [ringing("queue-is-old", QueueName="jobs"), ringing("of-somebody", ClusterName="main")]
    aws_endpoint.on("cloudwatch", "DescribeAlarms", {"MetricAlarms": rings})
    findings = told(scripted, alarms=("queue-is-old",))[0]
    assert findings.keys() == {"stack", "alarm queue-is-old"}
    assert (findings["alarm queue-is-old"].status, findings["alarm queue-is-old"].cause) == (
        "failing",
        "alarm queue-is-old: it is over 5",
    )
    aws_endpoint.fault("DescribeAlarms", times=None, kind="denied")
    findings = told(scripted, alarms=("queue-is-old",))[0]
    assert (findings["stack"].status, findings["alarms"].status) == ("ok", "unknown")


# --- real


@pytest.fixture
def stacks(cloud: Cloud, tmp_path: Path) -> Stacks:
    return Stacks(tmp_path, cloud.aws())


@pytest.fixture
def tap(stacks: Stacks) -> Callable[..., str]:
    """A custom resource that fails at what its property `Fail` names, and at an update back if it
    is `Stuck`.
    """
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("index.py", TAP)
    arn = stacks.aws.write(
        "lambda",
        "create_function",
        FunctionName="tap",
        Runtime="python3.11",
        Handler="index.handler",
        Timeout=30,
        Role=f"arn:aws:iam::{ACCOUNT}:role/tap",
        Code={"ZipFile": body.getvalue()},
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


def test_no_stack_is_a_failure_that_a_deploy_mends(stacks: Stacks) -> None:
    signs, live = told(stacks)
    again = NextCommand("deploy-stack", ("shop",))
    assert signs == {
        "stack": Finding(
            "stack",
            HealthStatus.FAILING,
            "missing",
            cause="there is no stack Shop",
            next=again,
            common="the stack does not exist",
        )
    }
    assert live is None


def test_a_stack_that_was_deployed_is_ok_and_what_runs_is_returned(stacks: Stacks) -> None:
    stacks.deploy(ONE)
    signs, live = told(stacks)
    assert [(value.what, value.status, value.detail) for value in signs.values()] == [
        ("stack", "ok", "CREATE_COMPLETE")
    ]
    now = kind.live(stacks.job(), stacks.ports)
    assert live is not None
    assert now is not None
    assert (live.run, live) == ("run1", replace(now, deployed=live.deployed))


def test_a_creation_that_was_rolled_back_is_failing_with_its_cause(stacks: Stacks) -> None:
    stacks.deploy(FAILS)
    signs, live = told(stacks)
    actual = signs["stack"]
    assert (actual.status, actual.detail, sentence(actual.next), live) == (
        "failing",
        "ROLLBACK_COMPLETE",
        f"{FIX}{DEPLOY} --recreate",
        None,
    )
    assert actual.cause.startswith("Never (Custom::Never): ")


def test_an_update_that_was_rolled_back_is_a_warning_with_its_cause(stacks: Stacks) -> None:
    stacks.deploy(ONE)
    stacks.deploy(FAILS)
    signs, live = told(stacks)
    actual = signs["stack"]
    assert (actual.status, actual.detail, sentence(actual.next)) == (
        "warning",
        "UPDATE_ROLLBACK_COMPLETE",
        f"{FIX}{DEPLOY}",
    )
    assert actual.cause.startswith("its last update was rolled back: Never (Custom::Never): ")
    assert live is not None
    assert live.run == "run1"


def test_a_rollback_that_is_stuck_is_failing_with_its_cause(
    stacks: Stacks, tap: Callable[..., str]
) -> None:
    stacks.deploy(tap(Step="1"))
    stacks.deploy(tap(Step="2", Fail="Update", Stuck="yes"))
    finding = state(stacks)
    assert (finding.status, finding.detail) == ("failing", "UPDATE_ROLLBACK_FAILED")
    assert finding.cause.startswith("Tap (Custom::Tap): ")
    assert "the tap is closed" in finding.cause
    assert sentence(finding.next) == f"{FIX}{DEPLOY} --continue-rollback"


def test_the_command_for_a_deletion_that_failed_deletes_the_stack(
    stacks: Stacks, tap: Callable[..., str]
) -> None:
    stacks.deploy(tap(Fail="Delete"))
    stacks.aws.write("cloudformation", "delete_stack", StackName="Shop")
    until = time.monotonic() + 20
    while stacks.status() != "DELETE_FAILED":
        assert time.monotonic() < until
    finding = state(stacks)
    assert (finding.status, finding.detail) == ("failing", "DELETE_FAILED")
    assert "the tap is closed" in finding.cause
    assert (
        sentence(finding.next)
        == "aws cloudformation delete-stack --stack-name Shop --retain-resources Tap"
    )
    stacks.aws.write("cloudformation", "delete_stack", StackName="Shop", RetainResources=["Tap"])
    while stacks.status():
        assert time.monotonic() < until
    assert state(stacks).cause == "there is no stack Shop"


def test_what_was_changed_by_hand_is_told_once_drift_was_detected(stacks: Stacks) -> None:
    stacks.deploy(ONE)
    url = stacks.aws.read("sqs", "get_queue_url", QueueName="jobs")["QueueUrl"]
    assert told(stacks)[0].keys() == {"stack"}
    stacks.aws.write("sqs", "delete_queue", QueueUrl=url)
    request = stacks.aws.write("cloudformation", "detect_stack_drift", StackName="Shop")[
        "StackDriftDetectionId"
    ]
    until = time.monotonic() + 20
    look = "describe_stack_drift_detection_status"
    while (
        stacks.aws.read("cloudformation", look, StackDriftDetectionId=request)["DetectionStatus"]
        == "DETECTION_IN_PROGRESS"
    ):
        assert time.monotonic() < until
    signs, _ = told(stacks)
    assert signs["stack"].status == "ok"
    assert (signs["drift"].status, signs["drift"].detail) == ("warning", "drifted")
    assert (
        signs["drift"].cause == f"someone changed it by hand (checked {datetime.now(UTC):%Y-%m-%d})"
    )
    assert "describe-stack-resource-drifts --stack-name Shop" in sentence(signs["drift"].next)


def test_the_permissions_cover_a_look(scripted: Stacks, aws_endpoint: Endpoint) -> None:
    aws_endpoint.on("cloudwatch", "DescribeAlarms", {"MetricAlarms": [], "CompositeAlarms": []})
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_ROLLBACK_COMPLETE")
    told(scripted)
    told(scripted, alarms=("queue-is-old",))
    allowed = by_action(kind.permissions(scripted.job(alarms=("queue-is-old",))))
    assert "cloudwatch:DescribeAlarms" not in by_action(kind.permissions(scripted.job()))
    assert set(aws_endpoint.calls.names()) <= set(allowed)
