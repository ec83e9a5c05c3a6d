"""What CloudFormation says of drift, and what of that has a meaning."""

import json
from typing import Any

import pytest

from toolkit.operations import Drift, LiveVersion
from toolkit.targets.stack.drift import read_drift
from toolkit.targets.stack.observe import with_state

COMPLETE = {"DetectionStatus": "DETECTION_COMPLETE", "StackDriftStatus": "IN_SYNC"}


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
                "DifferenceType": kind,
            }
            for path, before, now, kind in differences
        ],
    }


def test_a_stack_in_sync_with_a_modified_resource_has_drifted() -> None:
    resource = modified({"Size": 1}, ("/Size", "1", "2", "NOT_EQUAL"))
    assert read_drift(COMPLETE, [resource]) == Drift(("Thing was changed (Size)",))


def test_a_drifted_stack_without_a_modified_resource_has_drifted() -> None:
    status = {**COMPLETE, "StackDriftStatus": "DRIFTED"}
    assert read_drift(status, []).differences


@pytest.mark.parametrize(
    ("path", "before", "now", "kind"),
    [
        ("/Size", "1", '"1"', "NOT_EQUAL"),
        ("/On", "true", '"true"', "NOT_EQUAL"),
        ("/Names", '["a","b"]', '["b","a"]', "NOT_EQUAL"),
        ("/Policy", '{"Action":["s3:Get"]}', '{"Action":"s3:Get"}', "NOT_EQUAL"),
        ("/Names", "[]", "null", "REMOVE"),
        ("/Default", "null", '"something"', "ADD"),
        ("/Nested/Default", "null", '"something"', "ADD"),
        ("/Tags/1", "null", '{"Key":"aws:cloudformation:stack-id","Value":"x"}', "ADD"),
    ],
)
def test_what_only_is_written_in_another_way_is_left_out_and_counted(
    path: str, before: str, now: str, kind: str
) -> None:
    expected = {"Size": 1, "On": True, "Names": [], "Policy": {}, "Nested": {"Set": 1}, "Tags": []}
    drift = read_drift(COMPLETE, [modified(expected, (path, before, now, kind))])
    assert (drift.differences, drift.unknown, drift.ignored) == ((), "", 1)
    assert "1 differences" in drift.notes[0]


@pytest.mark.parametrize(
    ("path", "before", "now", "kind"),
    [
        ("/Size", "1", "2", "NOT_EQUAL"),
        ("/On", "true", "false", "NOT_EQUAL"),
        ("/On", "false", "null", "REMOVE"),
        ("/Names/2", "null", '"c"', "ADD"),
        ("/Policy/Statement/1", "null", '{"Effect":"Allow"}', "ADD"),
        ("/Tags/1", "null", '{"Key":"owner","Value":"x"}', "ADD"),
        ("/Size", "1", "null", "REMOVE"),
    ],
)
def test_what_the_template_sets_and_somebody_changed_counts(
    path: str, before: str, now: str, kind: str
) -> None:
    expected = {
        "Size": 1,
        "On": True,
        "Names": ["a", "b"],
        "Policy": {"Statement": [{}]},
        "Tags": [{}],
    }
    drift = read_drift(COMPLETE, [modified(expected, (path, before, now, kind))])
    assert (len(drift.differences), drift.ignored) == (1, 0)


def test_what_could_not_be_looked_at_is_unknown_and_never_in_sync() -> None:
    failed = {"LogicalResourceId": "Role", "StackResourceDriftStatus": "UNKNOWN"}
    status = {"DetectionStatus": "DETECTION_FAILED", "StackDriftStatus": "UNKNOWN"}
    assert read_drift(status, [failed]).unknown == "the drift of Role could not be read"
    status["DetectionStatusReason"] = "access\ndenied"
    assert read_drift(status, []).unknown == "its drift could not be detected: access denied"
    unchecked = {"LogicalResourceId": "X", "StackResourceDriftStatus": "NOT_CHECKED"}
    assert "1 resources are of types" in read_drift(COMPLETE, [unchecked]).notes[0]


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
