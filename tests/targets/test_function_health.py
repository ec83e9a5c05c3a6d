"""How a Lambda function is told: real ones in the emulator, and scripted answers for what it does
not do.
"""

import io
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import aws_cli
from tests.support.aws import AwsError, Endpoint
from tests.support.moment import at_one_moment
from tests.support.sandbox import Cloud
from tests.targets.permissions import by_action
from toolkit.advice import ShellCommand, advice_parts
from toolkit.errors import CloudError
from toolkit.model import Version
from toolkit.operations import Finding, HealthStatus, Job, JobAction, LiveVersion, Location
from toolkit.ports.aws import metrics
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.show.advice import command_line, sentence
from toolkit.targets.function.kind import kind

ACCOUNT, REGION = "111111111111", "eu-west-1"
COMMIT = "c0ffee" + "0" * 34
GROUP = "/aws/lambda/mail"
LOGS = (
    "fix what its log says, and deploy it again; its log: aws logs tail /aws/lambda/mail --since 1h"
)


def job(**settings: Any) -> Job:
    result = kind.Settings(**{"function": "mail", "source": "mail", **settings})
    return Job(
        "mail",
        "mail",
        "function",
        JobAction.DEPLOY,
        Location("dev", REGION, ACCOUNT),
        result,
        Version(COMMIT, COMMIT, "print"),
        "r1",
        "0" * 24,
    )


def told(aws: Aws, **settings: Any) -> tuple[dict[str, Finding], LiveVersion | None]:
    """What is told of the function, by what it is about, and what runs."""
    findings: list[Finding] = []
    live = kind.health(
        job(**settings), Ports("", "", SystemClock(), lambda profile, region: aws), findings.append
    )
    assert len({entry.what for entry in findings}) == len(findings)
    for item in findings:
        assert isinstance(item.status, HealthStatus)
        assert (item.status == "ok") is (not item.cause) is (not item.next), item
    return {entry.what: entry for entry in findings}, live


# --- real


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    return cloud.aws()


def create(aws: Aws, name: str = "mail") -> None:
    """A function that can be called."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("index.py", "def handler(event, context):\n    return 1\n")
    aws.write(
        "lambda",
        "create_function",
        FunctionName=name,
        Runtime="python3.11",
        Handler="index.handler",
        Role=f"arn:aws:iam::{ACCOUNT}:role/mail",
        Code={"ZipFile": body.getvalue()},
        Environment={"Variables": {"TOKEN": "canary"}},
    )
    until = time.monotonic() + 20
    while aws.read("lambda", "get_function_configuration", FunctionName=name)["State"] != "Active":
        assert time.monotonic() < until


def publish(aws: Aws, description: str = "") -> str:
    return str(
        aws.write("lambda", "publish_version", FunctionName="mail", Description=description)[
            "Version"
        ]
    )


def count(aws: Aws, name: str, value: float, ago: timedelta = timedelta()) -> None:
    """Something that CloudWatch has counted."""
    data = {
        "MetricName": name,
        "Dimensions": [{"Name": "FunctionName", "Value": "mail"}],
        "Value": value,
        "Timestamp": datetime.now(UTC) - ago,
    }
    aws.write("cloudwatch", "put_metric_data", Namespace="AWS/Lambda", MetricData=[data])


def test_no_function_is_one_failure(aws: Aws) -> None:
    signs, live = told(aws)
    assert signs.keys() == {"function", "errors"}
    assert (signs["function"].status, signs["function"].cause, live) == (
        "failing",
        "there is no function mail",
        None,
    )


def test_a_function_without_the_alias_is_failing(aws: Aws) -> None:
    create(aws)
    signs, live = told(aws, alias="prod")
    assert signs["function"].status == "ok"
    assert (signs["alias"].status, signs["alias"].cause, live) == (
        "failing",
        "there is no alias prod",
        None,
    )
    assert (
        sentence(signs["alias"].next)
        == "deploy the stack that creates it, or correct `alias` in rules.toml"
    )


def test_a_function_in_order_is_ok_and_its_version_is_what_runs(aws: Aws) -> None:
    create(aws)
    version = publish(aws, f"{COMMIT}-dirty-12ab")
    aws.write("lambda", "create_alias", FunctionName="mail", Name="live", FunctionVersion=version)
    signs, live = told(aws)
    assert [(what, item.status, item.detail) for what, item in sorted(signs.items())] == [
        ("alias", "ok", f"live -> version {version}"),
        ("errors", "ok", "no calls in the last hour"),
        ("function", "ok", "Active"),
    ]
    assert live is not None
    assert (live.version, live.commit) == (f"{COMMIT}-dirty-12ab", COMMIT)
    assert live.detail["alias version"] == version
    assert (
        live.detail["sha256"]
        == aws.read("lambda", "get_function_configuration", FunctionName="mail")["CodeSha256"]
    )
    for when in (live.since, signs["function"].since):
        assert datetime.fromisoformat(when or "").utcoffset() == timedelta(0)
    assert "canary" not in repr((signs, live))


def test_a_description_that_is_no_commit_is_not_taken_for_one(aws: Aws) -> None:
    create(aws)
    aws.write(
        "lambda",
        "create_alias",
        FunctionName="mail",
        Name="live",
        FunctionVersion=publish(aws, "20260301"),
    )
    live = told(aws)[1]
    assert live is not None
    assert (live.version, live.commit) == ("1", None)


def test_a_configuration_that_the_alias_does_not_have_yet_is_a_warning_with_what_publishes_it(
    aws: Aws,
) -> None:
    create(aws)
    aws.write(
        "lambda", "create_alias", FunctionName="mail", Name="live", FunctionVersion=publish(aws)
    )
    signs, _ = told(aws)
    assert "configuration" not in signs
    aws.write("lambda", "update_function_configuration", FunctionName="mail", MemorySize=512)
    signs, _ = told(aws)
    actual = signs["configuration"]
    assert (actual.status, actual.detail) == ("warning", "changed since version 1")
    assert sentence(actual.next) == "to publish it: toolkit deploy-function mail"


def test_calls_that_go_to_another_version_are_a_warning_with_the_way_back(aws: Aws) -> None:
    create(aws)
    first = publish(aws, "one")
    weights = {"AdditionalVersionWeights": {"8": 0.1}}
    aws.write(
        "lambda",
        "create_alias",
        FunctionName="mail",
        Name="live",
        FunctionVersion=first,
        RoutingConfig=weights,
    )
    finding = told(aws)[0]["alias"]
    assert (finding.status, finding.cause) == ("warning", "10 % of the calls go to version 8")
    assert sentence(finding.next).startswith(
        f"to send all calls to version {first}: "
        "aws lambda update-alias --function-name mail --name live "
    )
    [command] = [part for part in advice_parts(finding.next) if isinstance(part, ShellCommand)]
    aws_cli.run(f"{command_line(command)} --region {REGION}")
    assert told(aws)[0]["alias"].status == "ok"


def test_errors_of_the_last_hour_are_counted_and_older_ones_are_not(aws: Aws) -> None:
    create(aws)
    count(aws, "Invocations", 1199)
    count(aws, "Invocations", 1, timedelta(minutes=50))
    count(aws, "Errors", 1, timedelta(minutes=50))
    count(aws, "Errors", 2)
    for name in ("Errors", "Invocations"):
        count(aws, name, 5000, timedelta(minutes=70))
    assert told(aws)[0]["errors"] == Finding("errors", HealthStatus.OK, "3 errors in 1,200 calls")
    count(aws, "Errors", 97)
    finding = told(aws)[0]["errors"]
    assert (finding.status, finding.detail, sentence(finding.next)) == (
        "failing",
        "100 errors in 1,200 calls",
        LOGS,
    )
    assert finding.cause == "8.3 % of the calls in the last hour failed"


def test_a_log_that_is_gone_is_a_warning_with_what_brings_it_back(aws: Aws) -> None:
    create(aws)
    assert "log" not in told(aws)[0]  # nobody has called it, so there is nothing to write yet
    count(aws, "Invocations", 3)
    aws.write("logs", "create_log_group", logGroupName=f"{GROUP}-2")
    finding = told(aws)[0]["log"]
    assert (finding.status, finding.detail) == ("warning", "missing")
    assert finding.cause == f"log group {GROUP} does not exist, so what the function writes is lost"
    [command] = [part for part in advice_parts(finding.next) if isinstance(part, ShellCommand)]
    aws_cli.run(f"{command_line(command)} --region {REGION}")
    assert "log" not in told(aws)[0]


# --- scripted


@pytest.fixture
def scripted(aws_endpoint: Endpoint) -> Aws:
    """A function in order with a version behind its alias; tests change the answers."""
    configured(aws_endpoint)
    aws_endpoint.on("lambda", "GetAlias", {"Name": "live", "FunctionVersion": "7"})
    counted(aws_endpoint, 0, 0)
    aws_endpoint.on("cloudwatch", "DescribeAlarms", {"MetricAlarms": [], "CompositeAlarms": []})
    return Aws(None, REGION)


def configured(endpoint: Endpoint, version: Mapping[str, Any] | None = None, **latest: Any) -> None:
    """What Lambda says of the function, and of the version behind the alias."""
    usual = {
        "FunctionName": "mail",
        "LastModified": "2026-03-01T10:00:00.000+0000",
        "CodeSha256": "abc",
        "State": "Active",
    }
    usual["LastUpdateStatus"] = "Successful"

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        if "Qualifier" in params:
            return {**usual, "Version": params["Qualifier"], **(version or {})}
        return {**usual, "Version": "$LATEST", **latest}

    endpoint.on("lambda", "GetFunctionConfiguration", answer)


def counted(endpoint: Endpoint, errors: float, calls: float, **more: Any) -> None:
    """What CloudWatch says of every function."""

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        values = {"Errors": errors, "Invocations": calls}
        result = [
            (item["Id"], values[item["MetricStat"]["Metric"]["MetricName"]])
            for item in params["MetricDataQueries"]
        ]
        return {
            "MetricDataResults": [
                {"Id": key, "Values": [value] if value else [], "StatusCode": "Complete", **more}
                for key, value in result
            ]
        }

    endpoint.on("cloudwatch", "GetMetricData", answer)


@pytest.mark.parametrize(
    ("document", "status", "detail", "cause"),
    [
        (
            {
                "State": "Failed",
                "StateReason": "The role  is gone",
                "StateReasonCode": "InvalidConfiguration",
            },
            "failing",
            "Failed",
            "The role is gone (InvalidConfiguration)",
        ),
        (
            {"State": "Failed", "LastUpdateStatus": "Failed", "StateReason": "first"},
            "failing",
            "Failed",
            "first",
        ),
        (
            {"LastUpdateStatus": "Failed", "LastUpdateStatusReasonCode": "ImageDeleted"},
            "failing",
            "last update failed",
            "ImageDeleted",
        ),
        ({"State": "Inactive", "StateReasonCode": "Idle"}, "warning", "Inactive", "Idle"),
        ({"State": "Pending"}, "warning", "Pending", "it is Pending"),
        ({"State": "Deactivating"}, "warning", "Deactivating", "it is Deactivating"),
        (
            {"LastUpdateStatus": "InProgress"},
            "warning",
            "being updated",
            "its update is not complete",
        ),
    ],
)
def test_a_state_that_is_not_active_is_told_of_the_function_and_of_the_version_behind_the_alias(
    scripted: Aws,
    aws_endpoint: Endpoint,
    document: dict[str, Any],
    status: str,
    detail: str,
    cause: str,
) -> None:
    configured(aws_endpoint, **document)
    signs, _ = told(scripted)
    actual = signs["function"]
    assert (actual.status, actual.detail, actual.cause, actual.since) == (
        status,
        detail,
        cause,
        None if detail == "Inactive" else "2026-03-01T10:00:00+00:00",
    )
    assert signs["alias"].status == "ok"
    configured(aws_endpoint, version=document)
    signs, _ = told(scripted)
    assert signs["function"].status == "ok"
    assert (signs["alias"].status, signs["alias"].cause) == (status, f"version 7: {cause}")


def test_a_configuration_that_lambda_cannot_read_is_unknown(
    scripted: Aws, aws_endpoint: Endpoint
) -> None:
    configured(aws_endpoint, Environment={"Error": {"ErrorCode": "AccessDeniedException"}})
    signs, _ = told(scripted)
    actual = signs["configuration"]
    assert (actual.status, actual.detail) == ("unknown", "could not be read")
    command = "aws lambda get-function-configuration --function-name mail"
    assert sentence(actual.next) == command


def test_an_alias_to_a_version_that_is_gone_is_failing(
    scripted: Aws, aws_endpoint: Endpoint
) -> None:
    def answer(params: dict[str, Any]) -> dict[str, Any]:
        if "Qualifier" in params:
            raise AwsError("ResourceNotFoundException", "Function not found", 404)
        return {"FunctionName": "mail", "State": "Active"}

    aws_endpoint.on("lambda", "GetFunctionConfiguration", answer)
    signs, live = told(scripted)
    assert (signs["alias"].status, signs["alias"].cause) == ("failing", "there is no version 7")
    assert live == LiveVersion("7", detail={"function": "mail", "alias version": "7"})


@pytest.mark.parametrize(
    ("errors", "calls", "status", "detail"),
    [
        (0, 0, "ok", "no calls in the last hour"),
        (0, 1, "ok", "0 errors in 1 call"),
        (9, 1000, "ok", "9 errors in 1,000 calls"),
        (10, 1000, "warning", "10 errors in 1,000 calls"),
        (49, 1000, "warning", "49 errors in 1,000 calls"),
        (50, 1000, "failing", "50 errors in 1,000 calls"),
        (1, 0, "failing", "1 error in 1 call"),
    ],
)
def test_the_share_of_errors_decides(
    scripted: Aws, aws_endpoint: Endpoint, errors: int, calls: int, status: str, detail: str
) -> None:
    counted(aws_endpoint, errors, calls)
    finding = told(scripted)[0]["errors"]
    assert (finding.status, finding.detail) == (status, detail)


def test_whether_there_is_a_log_is_unknown_where_nobody_may_look(
    scripted: Aws, aws_endpoint: Endpoint
) -> None:
    counted(aws_endpoint, 0, 5)
    aws_endpoint.fault("DescribeLogGroups", times=None, kind="denied")
    signs, _ = told(scripted)
    assert (signs["log"].status, signs["log"].detail) == ("unknown", "not allowed")
    assert signs["errors"].status == "ok"


def test_the_log_of_a_function_is_the_one_that_it_is_configured_to_write_to(
    scripted: Aws, aws_endpoint: Endpoint
) -> None:
    counted(aws_endpoint, 5, 5)
    configured(aws_endpoint, LoggingConfig={"LogGroup": "/shop/mail"})
    signs, _ = told(scripted)
    assert "aws logs tail /shop/mail --since 1h" in sentence(signs["errors"].next)
    assert "log group /shop/mail does not exist" in signs["log"].cause
    aws_endpoint.logs.put("/shop/mail", "stream", "line")
    assert "log" not in told(scripted)[0]


@pytest.mark.parametrize(
    "more",
    [
        {"StatusCode": "InternalError"},
        {"StatusCode": "Forbidden", "Messages": [{"Code": "Error", "Value": "no"}]},
    ],
)
def test_metrics_that_cloudwatch_could_not_read_are_unknown_and_not_zero(
    scripted: Aws, aws_endpoint: Endpoint, more: dict[str, Any]
) -> None:
    counted(aws_endpoint, 0, 0, **more)
    finding = told(scripted)[0]["errors"]
    assert (finding.status, finding.detail) == ("unknown", "no answer")
    assert more["StatusCode"] in finding.cause


def test_metrics_that_are_left_out_are_unknown_and_not_zero(
    scripted: Aws, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.on("cloudwatch", "GetMetricData", {"MetricDataResults": []})
    finding = told(scripted)[0]["errors"]
    assert finding.status == "unknown"
    assert "its answer lacks 2 of 2 metrics" in finding.cause


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ("GetFunctionConfiguration", "function"),
        ("GetAlias", "alias"),
        ("GetMetricData", "errors"),
        ("DescribeAlarms", "alarms"),
    ],
)
def test_a_part_that_may_not_be_looked_at_is_unknown_by_itself(
    scripted: Aws, aws_endpoint: Endpoint, operation: str, what: str
) -> None:
    aws_endpoint.fault(operation, times=None, kind="denied")
    signs, _ = told(scripted)
    assert (signs[what].status, signs[what].detail) == ("unknown", "not allowed")
    assert operation in signs[what].cause
    assert "ok" in {value.status for value in signs.values()}


def test_an_alarm_about_the_function_is_told_without_being_named(
    scripted: Aws, aws_endpoint: Endpoint
) -> None:
    def ringing(name: str, function: str) -> dict[str, Any]:
        return {
            "AlarmName": name,
            "StateValue": "ALARM",
            "Dimensions": [{"Name": "FunctionName", "Value": function}],
        }

    aws_endpoint.on(
        "cloudwatch",
        "DescribeAlarms",
        {"MetricAlarms": [ringing("throttled", "mail"), ringing("other", "mail2")]},
    )
    assert {what for what, item in told(scripted)[0].items() if item.status == "failing"} == {
        "alarm throttled"
    }
    findings = told(scripted, alarms=("gone",))[0]
    assert findings["alarm gone"].cause == "there is no alarm gone"


def together(number: int, ask: Callable[[int], Any]) -> list[Any]:
    """What several threads get that ask at one moment."""
    gate, result = threading.Barrier(number), [None] * number

    def item(code: int) -> None:
        gate.wait()
        result[code] = ask(code)

    threads = [threading.Thread(target=item, args=(position,)) for position in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result


def test_the_metrics_of_several_functions_are_one_call_and_every_page_of_it_counts(
    scripted: Aws, aws_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(params: dict[str, Any]) -> dict[str, Any]:
        """Half of each value on either page; the value is the function's number, and a hundred more
        for calls.
        """
        result = []
        for item in params["MetricDataQueries"]:
            metric = item["MetricStat"]["Metric"]
            value = float(metric["Dimensions"][0]["Value"][1:]) + (
                100 if metric["MetricName"] == "Invocations" else 0
            )
            result.append(
                {
                    "Id": item["Id"],
                    "Values": [value / 4, value / 4],
                    "StatusCode": "Complete" if "NextToken" in params else "PartialData",
                }
            )
        return {"MetricDataResults": result} | ({} if "NextToken" in params else {"NextToken": "2"})

    aws_endpoint.on("cloudwatch", "GetMetricData", answer)
    scripted.warm("cloudwatch")
    end = datetime(2026, 3, 1, tzinfo=UTC)

    def ask(number: int) -> tuple[float, ...]:
        calls = metrics.MetricNames("AWS/Lambda", ("Errors", "Invocations"), "FunctionName")
        return metrics.sums(scripted, calls, f"f{number}", end - timedelta(hours=1), end)

    at_one_moment(monkeypatch, 6)
    assert together(6, ask) == [(float(position), 100.0 + position) for position in range(6)]
    assert aws_endpoint.calls.count("GetMetricData") == 2
    call = aws_endpoint.calls.of("GetMetricData")[0].params
    assert (call["StartTime"], call["EndTime"]) == (end - timedelta(hours=1), end)


def test_an_error_of_the_metrics_is_everybodys(scripted: Aws, aws_endpoint: Endpoint) -> None:
    counted(aws_endpoint, 0, 0, StatusCode="InternalError")
    now = datetime.now(UTC)
    errors = metrics.MetricNames("AWS/Lambda", ("Errors",), "FunctionName")
    with pytest.raises(CloudError):
        metrics.sums(scripted, errors, "f", now - timedelta(hours=1), now)


def test_the_permissions_cover_a_look(
    scripted: Aws, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    counted(aws_endpoint, 5, 5)
    told(scripted)
    statements = kind.permissions(job())
    assert set(aws_endpoint.calls.names()) <= set(by_action(statements))
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:mail"
    assert statements[0].resources == (function, f"{function}:*")
    called = {name.partition(":")[0] for name in aws_endpoint.calls.names()}
    assert called == set(kind.services()) - {"sts"}
