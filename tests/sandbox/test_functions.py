"""What the sandbox corrects of the emulator's functions: weights, versions, and updates."""

import io
import json
import time
import zipfile
from collections import Counter
from typing import Any

import pytest

from tests.support.sandbox import ACCOUNT, REGION, Cloud
from toolkit.errors import CloudError
from toolkit.operations import Location
from toolkit.ports.aws.client import Aws
from toolkit.targets.function.kind import kind as function

CODE = "def handler(event, context):\n    return {answer!r}\n"


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    return cloud.aws()


def zipped(answer: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("index.py", CODE.format(answer=answer))
    return body.getvalue()


def at_rest(aws: Aws) -> dict[str, Any]:
    """The function once nothing of it is in progress."""
    until = time.monotonic() + 20
    while True:
        function = aws.read("lambda", "get_function_configuration", FunctionName="mail")
        if function["State"] == "Active" and function.get("LastUpdateStatus") == "Successful":
            return function
        assert time.monotonic() < until
        time.sleep(0.05)


def create(aws: Aws) -> None:
    aws.write(
        "lambda",
        "create_function",
        FunctionName="mail",
        Runtime="python3.11",
        Handler="index.handler",
        Role=f"arn:aws:iam::{ACCOUNT}:role/mail",
        Code={"ZipFile": zipped("one")},
    )
    at_rest(aws)


def update(aws: Aws, answer: str) -> None:
    aws.write("lambda", "update_function_code", FunctionName="mail", ZipFile=zipped(answer))


def publish(aws: Aws, **more: Any) -> str:
    return str(aws.write("lambda", "publish_version", FunctionName="mail", **more)["Version"])


def call(aws: Aws, qualifier: str) -> tuple[str, str]:
    """What a call answers, and which version did."""
    answer = aws.read("lambda", "invoke", FunctionName="mail", Qualifier=qualifier)
    return json.loads(answer["Payload"].read()), answer["ExecutedVersion"]


def test_weights_of_an_alias_route_its_calls_to_both_versions(aws: Aws) -> None:
    create(aws)
    first = publish(aws)
    update(aws, "two")
    at_rest(aws)
    second = publish(aws)
    routing = {"AdditionalVersionWeights": {second: 0.5}}
    name: dict[str, Any] = {"FunctionName": "mail", "Name": "live"}
    aws.write("lambda", "create_alias", **name, FunctionVersion=first, RoutingConfig=routing)
    answers = Counter(call(aws, "live") for _ in range(40))
    assert answers.keys() == {("one", first), ("two", second)}
    aws.write("lambda", "update_alias", **name, RoutingConfig={"AdditionalVersionWeights": {}})
    assert {call(aws, "live") for _ in range(10)} == {("one", first)}
    assert call(aws, second) == ("two", second)


def test_other_code_than_was_asked_for_is_not_published(aws: Aws) -> None:
    create(aws)
    sha256 = at_rest(aws)["CodeSha256"]
    with pytest.raises(CloudError, match="is different from current CodeSHA256") as refused:
        publish(aws, CodeSha256="wrong")
    assert refused.value.aws_code == "InvalidParameterValueException"
    assert publish(aws, CodeSha256=sha256) == "1"


def test_nothing_is_published_while_an_update_is_in_progress(aws: Aws) -> None:
    create(aws)
    update(aws, "two")
    with pytest.raises(CloudError, match="An update is in progress") as refused:
        publish(aws)
    assert refused.value.aws_code == "ResourceConflictException"
    at_rest(aws)
    assert publish(aws) == "1"


def test_a_stack_publishes_a_version_of_code_that_it_has_just_changed(aws: Aws) -> None:
    def template(answer: str) -> str:
        function = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": "mail",
                "Runtime": "python3.11",
                "Handler": "index.handler",
                "Role": f"arn:aws:iam::{ACCOUNT}:role/mail",
                "Code": {"ZipFile": CODE.format(answer=answer)},
            },
        }
        version = {
            "Type": "AWS::Lambda::Version",
            "Properties": {"FunctionName": {"Ref": "Mail"}},
        }
        return json.dumps({"Resources": {"Mail": function, f"Version{answer}": version}})

    for call_name, answer in (("create_stack", "one"), ("update_stack", "two")):
        aws.write("cloudformation", call_name, StackName="Mail", TemplateBody=template(answer))
        until = time.monotonic() + 20
        while not (stack := aws.read("cloudformation", "describe_stacks", StackName="Mail"))[
            "Stacks"
        ][0]["StackStatus"].endswith("_COMPLETE"):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "ROLLBACK" not in stack["Stacks"][0]["StackStatus"], stack
    versions = aws.read("lambda", "list_versions_by_function", FunctionName="mail")["Versions"]
    assert len(versions) >= 2


def stacked(aws: Aws) -> tuple[str, str]:
    """How a stack with a function `mail` ends that is created, and all reasons that it gives."""
    resource = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": "mail",
            "Runtime": "python3.11",
            "Handler": "index.handler",
            "Role": f"arn:aws:iam::{ACCOUNT}:role/mail",
            "Code": {"ZipFile": CODE.format(answer="stack")},
        },
    }
    body = json.dumps({"Resources": {"Mail": resource}})
    aws.write("cloudformation", "create_stack", StackName="Shop", TemplateBody=body)
    until = time.monotonic() + 30
    while True:
        [stack] = aws.read("cloudformation", "describe_stacks", StackName="Shop")["Stacks"]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            break
        assert time.monotonic() < until
        time.sleep(0.05)
    events = aws.pages("cloudformation", "describe_stack_events", "StackEvents", StackName="Shop")
    reasons = " ".join(str(event.get("ResourceStatusReason", "")) for event in events)
    return stack["StackStatus"], reasons


def test_a_stack_does_not_take_the_name_of_a_function_that_is_there(aws: Aws) -> None:
    create(aws)
    version = publish(aws)
    before = at_rest(aws)["CodeSha256"]
    status, reasons = stacked(aws)
    assert status == "ROLLBACK_COMPLETE"
    assert "Function already exist: mail" in reasons
    assert at_rest(aws)["CodeSha256"] == before
    assert call(aws, version) == ("one", version)


def test_a_function_that_the_sandbox_has_made_gives_way_to_a_stacks(cloud: Cloud, aws: Aws) -> None:
    settings = function.Settings(function="mail", source="mail")
    provisions = function.provisions(settings)
    cloud.emulator.provide(aws, Location("dev", REGION, ACCOUNT), *provisions)
    assert stacked(aws)[0] == "CREATE_COMPLETE"
    assert call(aws, "$LATEST")[0] == "stack"
