"""Which alarms are told of a thing, and with how many calls."""

from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest

from tests.support.aws import Endpoint
from toolkit.advice import ShellCommand
from toolkit.errors import NotAllowed
from toolkit.operations import Depth, Finding, HealthStatus
from toolkit.ports.aws import alarms as port
from toolkit.ports.aws import client
from toolkit.ports.aws.client import Aws
from toolkit.show.advice import sentence
from toolkit.targets import alarms

MAIL = {"FunctionName": "mail"}
SCALING = (
    "arn:aws:autoscaling:eu-west-1:111111111111:scalingPolicy:0"
    ":resource/ecs/service/main/web:policyName/cpu"
)
TOPIC = "arn:aws:sns:eu-west-1:111111111111:calls"


@pytest.fixture
def aws(aws_endpoint: Endpoint) -> Aws:
    return Aws(None, "eu-west-1")


def told(aws: Aws, *named: str) -> dict[str, Finding]:
    """What is told of function `mail`."""
    findings = alarms.read_findings(aws, named, MAIL)
    assert len({item.what for item in findings}) == len(findings)
    assert all((item.status == "ok") is (not item.cause) is (not item.next) for item in findings)
    return {item.what: item for item in findings}


def test_without_names_and_without_one_that_rings_nothing_is_told(
    aws: Aws, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudwatch.alarm("fine", "OK", dimensions=MAIL)
    assert told(aws) == {}
    assert aws_endpoint.calls.names() == ["cloudwatch:DescribeAlarms"]


def test_what_all_who_ask_get_nobody_can_change(aws: Aws, aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudwatch.alarm("errors", "ALARM", "x", MAIL)
    assert isinstance(port.in_alarm(aws), tuple)


def test_one_that_rings_is_told_with_its_reason_and_since(aws: Aws, aws_endpoint: Endpoint) -> None:
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    aws_endpoint.cloudwatch.alarm(
        "it's on fire", "ALARM", "Threshold\n  crossed", MAIL, since=since
    )
    assert told(aws) == {
        "alarm it's on fire": Finding(
            "alarm it's on fire",
            HealthStatus.FAILING,
            "ALARM",
            "2026-03-01T12:00:00+00:00",
            "alarm it's on fire: Threshold crossed",
            (
                "fix what it measures, then it ends by itself; its history:",
                ShellCommand(
                    "aws cloudwatch describe-alarm-history --alarm-name", ("it's on fire",)
                ),
            ),
            depth=Depth.ALARM,
        )
    }


def test_a_long_reason_is_clipped_to_one_short_line(aws: Aws, aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudwatch.alarm("errors", "ALARM", "x" * 1000, MAIL)
    assert told(aws)["alarm errors"].cause == "alarm errors: " + "x" * 199 + "…"


@pytest.mark.parametrize(
    ("dimensions", "is_about"),
    [
        (MAIL, True),
        ({**MAIL, "Resource": "mail:live"}, True),
        ({"FunctionName": "mailer"}, False),
        ({"Resource": "mail"}, False),
        ({}, False),
    ],
)
def test_one_that_nobody_named_is_told_if_it_has_all_dimensions(
    aws: Aws, aws_endpoint: Endpoint, dimensions: dict[str, str], is_about: bool
) -> None:
    aws_endpoint.cloudwatch.alarm("errors", "ALARM", dimensions=dimensions)
    assert bool(told(aws)) is is_about


def metric(**dimensions: str) -> dict[str, Any]:
    documents = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return {
        "Metric": {"MetricName": "Errors", "Namespace": "AWS/Lambda", "Dimensions": documents},
        "Period": 60,
        "Stat": "Sum",
    }


def test_one_of_several_metrics_is_about_each_of_them(aws: Aws, aws_endpoint: Endpoint) -> None:
    metrics = [
        {"Id": "a", "MetricStat": metric(FunctionName="other"), "ReturnData": False},
        {
            "Id": "b",
            "MetricStat": metric(FunctionName="mail", Resource="mail:live"),
            "ReturnData": False,
        },
        {"Id": "sum", "Expression": "a + b"},
    ]
    aws_endpoint.cloudwatch.alarm("both", "ALARM", Metrics=metrics)
    assert told(aws).keys() == {"alarm both"}
    assert port.in_alarm(aws)[0].dimensions == {"FunctionName": "other", "Resource": "mail:live"}
    assert (
        alarms.read_findings(aws, (), {"FunctionName": "other", "Resource": "mail:live"}) == []
    )  # no metric has both


def test_what_an_alarm_is_about_can_be_decided_by_a_function(
    aws: Aws, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudwatch.alarm("one", "ALARM")
    aws_endpoint.cloudwatch.alarm("two", "ALARM")
    ringing = alarms.read_findings(aws, (), lambda alarm: alarm.name == "two")
    assert [item.what for item in ringing] == ["alarm two"]


@pytest.mark.parametrize(
    ("actions", "is_told"), [([SCALING], False), ([SCALING, TOPIC], True), ([], True)]
)
def test_one_that_only_scales_is_no_trouble(
    aws: Aws, aws_endpoint: Endpoint, actions: list[str], is_told: bool
) -> None:
    aws_endpoint.cloudwatch.alarm(
        "TargetTracking-AlarmLow", "ALARM", dimensions=MAIL, AlarmActions=actions
    )
    assert bool(told(aws)) is is_told
    assert (
        told(aws, "TargetTracking-AlarmLow")["alarm TargetTracking-AlarmLow"].status == "failing"
    )  # somebody wants to know


def test_named_ones_that_are_well_are_one_sign(aws: Aws, aws_endpoint: Endpoint) -> None:
    for name in ("a", "b"):
        aws_endpoint.cloudwatch.alarm(name)
    aws_endpoint.cloudwatch.alarm("c", composite=True)
    assert told(aws, "a", "b", "c", "a") == {
        "alarms": Finding("alarms", HealthStatus.OK, "3 alarms OK")
    }
    assert told(aws, "a")["alarms"].detail == "1 alarm OK"


def test_a_named_one_that_rings_is_missing_or_has_no_data_is_told(
    aws: Aws, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudwatch.alarm("fine")
    unchecked = "Unchecked: Initial alarm creation"
    aws_endpoint.cloudwatch.alarm("new", "INSUFFICIENT_DATA", unchecked)
    aws_endpoint.cloudwatch.alarm("all", "ALARM", "ALARM(errors)", composite=True)
    findings = told(aws, "fine", "new", "all", "gone")
    assert {what: (item.status, item.detail, item.cause) for what, item in findings.items()} == {
        "alarm new": ("warning", "insufficient data", f"alarm new: {unchecked}"),
        "alarm all": ("failing", "ALARM", "alarm all: ALARM(errors)"),
        "alarm gone": ("failing", "missing", "there is no alarm gone"),
    }
    assert sentence(findings["alarm gone"].next) == "correct `alarms` in rules.toml"


def test_all_pages_are_read(aws: Aws, aws_endpoint: Endpoint) -> None:
    for number in range(150):
        aws_endpoint.cloudwatch.alarm(f"a{number}", "ALARM")
    aws_endpoint.cloudwatch.alarm("last", "ALARM", dimensions=MAIL)
    assert told(aws).keys() == {"alarm last"}
    assert aws_endpoint.calls.count("DescribeAlarms") == 2


def test_many_names_are_asked_for_a_hundred_at_a_time(aws: Aws, aws_endpoint: Endpoint) -> None:
    names = [f"a{number}" for number in range(120)]
    for name in names:
        aws_endpoint.cloudwatch.alarm(name)
    assert told(aws, *names)["alarms"].detail == "120 alarms OK"
    assert sorted(len(call.params.get("AlarmNames", ())) for call in aws_endpoint.calls) == [
        0,
        20,
        100,
    ]


def test_many_who_ask_at_one_moment_cost_one_call_of_each_sort(
    aws: Aws, aws_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WINDOW_S", 0.2)
    for number in range(50):
        aws_endpoint.cloudwatch.alarm(f"a{number}")
    findings: list[Finding] = []
    asking = [
        Thread(
            target=lambda name=f"a{number}": findings.extend(
                alarms.read_findings(aws, [name], MAIL)
            )
        )
        for number in range(50)
    ]
    for item in asking:
        item.start()
    for item in asking:
        item.join()
    assert [entry.status for entry in findings] == ["ok"] * 50
    assert sorted(len(call.params.get("AlarmNames", ())) for call in aws_endpoint.calls) == [0, 50]


def test_who_may_not_see_them_is_told(aws: Aws, aws_endpoint: Endpoint) -> None:
    aws_endpoint.fault("DescribeAlarms", times=None, kind="denied")
    with pytest.raises(NotAllowed, match="cloudwatch:DescribeAlarms"):
        alarms.read_findings(aws, (), MAIL)
