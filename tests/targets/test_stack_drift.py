"""What CloudFormation says of drift, and what of that has a meaning."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import Cloud
from tests.support.stacks import REGION, Stacks, queue, template
from toolkit.advice import ShellCommand, advice_parts
from toolkit.operations import Drift, LiveVersion
from toolkit.targets.stack.drift import LATE, read_drift
from toolkit.targets.stack.kind import kind
from toolkit.targets.stack.observe import with_state

COMPLETE = {"DetectionStatus": "DETECTION_COMPLETE", "StackDriftStatus": "IN_SYNC"}
EXPECTED = {
    "Size": 1,
    "On": True,
    "Names": ["a", "b"],
    "Policy": {"Statement": [{}]},
    "Nested": {"Set": 1},
    "Tags": [{}],
}


def modified(expected: dict[str, Any], *differences: tuple[str, Any, Any, str]) -> dict[str, Any]:
    """A resource that CloudFormation calls modified: path, expected, actual, type of each."""
    return {
        "LogicalResourceId": "Thing",
        "StackResourceDriftStatus": "MODIFIED",
        "ExpectedProperties": json.dumps(expected),
        "PropertyDifferences": [
            {
                "PropertyPath": path,
                "ExpectedValue": before,
                "ActualValue": now,
                "DifferenceType": difference,
            }
            for path, before, now, difference in differences
        ],
    }


def test_a_stack_in_sync_with_a_modified_resource_has_drifted() -> None:
    resource = modified({"Size": 1}, ("/Size", "1", "2", "NOT_EQUAL"))
    assert read_drift(COMPLETE, [resource]) == Drift(("Thing was changed (Size)",))


def test_a_drifted_stack_without_a_modified_resource_has_drifted() -> None:
    status = {**COMPLETE, "StackDriftStatus": "DRIFTED"}
    assert read_drift(status, []).differences


@pytest.mark.parametrize(
    ("path", "before", "now", "difference"),
    [
        ("/Size", "1", '"1"', "NOT_EQUAL"),
        ("/On", "true", '"true"', "NOT_EQUAL"),
        ("/Names", '["a","b"]', '["b","a"]', "NOT_EQUAL"),
        ("/Policy", '{"Action":["s3:Get"]}', '{"Action":"s3:Get"}', "NOT_EQUAL"),
        ("/Names", "[]", "null", "REMOVE"),
        ("/Default", "null", '"something"', "ADD"),
        ("/Nested/Default", "null", '"something"', "ADD"),
        ("/Tags/1", "null", '{"Key":"aws:cloudformation:stack-id","Value":"x"}', "ADD"),
        ("/Size", "1234567", '"1234567"', "NOT_EQUAL"),
        ("/Size", "2.0", '"2"', "NOT_EQUAL"),
    ],
)
def test_what_only_is_written_in_another_way_is_left_out_and_counted(
    path: str, before: str, now: str, difference: str
) -> None:
    drift = read_drift(COMPLETE, [modified(EXPECTED, (path, before, now, difference))])
    assert (drift.differences, drift.unknown, drift.ignored) == ((), "", 1)
    assert "1 difference without a meaning" in drift.notes[0]


@pytest.mark.parametrize(
    ("path", "before", "now", "difference"),
    [
        ("/Size", "1", "2", "NOT_EQUAL"),
        ("/On", "true", "false", "NOT_EQUAL"),
        ("/On", "false", "null", "REMOVE"),
        ("/Names/2", "null", '"c"', "ADD"),
        ("/Policy/Statement/1", "null", '{"Effect":"Allow"}', "ADD"),
        ("/Tags/1", "null", '{"Key":"owner","Value":"x"}', "ADD"),
        ("/Size", "1", "null", "REMOVE"),
        ("/Size", "1234567.5", "1234568.5", "NOT_EQUAL"),
    ],
)
def test_what_the_template_sets_and_somebody_changed_counts(
    path: str, before: str, now: str, difference: str
) -> None:
    drift = read_drift(COMPLETE, [modified(EXPECTED, (path, before, now, difference))])
    assert (len(drift.differences), drift.ignored) == (1, 0)


def test_what_could_not_be_looked_at_is_unknown_and_never_in_sync() -> None:
    failed = {"LogicalResourceId": "Role", "StackResourceDriftStatus": "UNKNOWN"}
    status = {"DetectionStatus": "DETECTION_FAILED", "StackDriftStatus": "UNKNOWN"}
    assert read_drift(status, [failed]).unknown == "the drift of Role could not be read"
    status["DetectionStatusReason"] = "access\ndenied"
    assert read_drift(status, []).unknown == "its drift could not be detected: access denied"


def resource(name: str, type_: str = "Custom::X") -> dict[str, str]:
    """A resource as a list of all of a stack has it."""
    return {"LogicalResourceId": name, "ResourceType": type_}


def test_what_cloudformation_does_not_check_is_counted() -> None:
    drifts = [
        {**resource("X"), "StackResourceDriftStatus": "NOT_CHECKED"},
        {**resource("Y"), "StackResourceDriftStatus": "IN_SYNC"},
    ]
    [note] = read_drift(COMPLETE, drifts).notes
    assert "1 resource that CloudFormation cannot check" in note
    # It may also say nothing at all of them.
    resources = [resource(name) for name in ("X", "Y", "Z")]
    nested = resource("Nest", "AWS::CloudFormation::Stack")
    [note] = read_drift(COMPLETE, drifts, [*resources, nested]).notes
    assert "2 resources that CloudFormation cannot check" in note
    assert not read_drift(COMPLETE, drifts[1:], [resources[1], nested]).notes


def test_a_stack_has_drifted_if_one_nested_in_it_has(cloud: Cloud, tmp_path: Path) -> None:
    stacks = Stacks(tmp_path, cloud.aws())
    where = {"LocationConstraint": REGION}
    stacks.aws.write("s3", "create_bucket", Bucket="inner", CreateBucketConfiguration=where)

    def nest(name: str, resources: dict[str, Any]) -> dict[str, Any]:
        body = template(resources).encode()
        stacks.aws.write("s3", "put_object", Bucket="inner", Key=name, Body=body)
        url = f"https://s3.{REGION}.amazonaws.com/inner/{name}"
        return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}

    def drift(seconds: float = 60) -> Drift:
        drift = kind.drift(stacks.job(), stacks.ports, stacks.ports.clock.elapsed() + seconds)
        assert drift is not None
        return drift

    inner = nest("inner.json", {"Jobs": queue("jobs", VisibilityTimeout=45)})
    outer = nest("outer.json", {"Inner": inner})
    stacks.deploy(template({"Outer": outer, "Own": queue("own", VisibilityTimeout=45)}))
    assert drift() == Drift()
    for name in ("jobs", "own"):
        url = stacks.aws.read("sqs", "get_queue_url", QueueName=name)["QueueUrl"]
        changed = {"VisibilityTimeout": "99"}
        stacks.aws.write("sqs", "set_queue_attributes", QueueUrl=url, Attributes=changed)
    drifted = drift()
    assert drifted.differences == (
        "Own was changed (VisibilityTimeout)",
        "Outer/Inner: Jobs was changed (VisibilityTimeout)",
    )
    shown = [part.words[0] for part in advice_parts(drifted.next) if isinstance(part, ShellCommand)]
    assert shown[0] == shown[2] == "Shop"
    assert shown[1] == shown[3]
    assert shown[1].startswith(f"arn:aws:cloudformation:{REGION}:")
    assert drift(0) == Drift(unknown=LATE)


@pytest.mark.parametrize(
    ("status", "in_flight", "stuck"),
    [
        ("UPDATE_IN_PROGRESS", True, False),
        ("UPDATE_ROLLBACK_IN_PROGRESS", True, False),
        ("UPDATE_ROLLBACK_FAILED", False, True),
        ("DELETE_FAILED", False, True),
        ("UPDATE_COMPLETE", False, False),
    ],
)
def test_what_is_at_work_on_a_stack_or_stuck_is_named(
    status: str, in_flight: bool, stuck: bool
) -> None:
    now = with_state(LiveVersion("v", "c"), {"StackName": "Shop", "StackStatus": status})
    assert (bool(now.in_flight), bool(now.stuck)) == (in_flight, stuck)
    for words in filter(None, (now.in_flight, now.stuck)):
        assert "stack Shop" in words
        assert status in words
