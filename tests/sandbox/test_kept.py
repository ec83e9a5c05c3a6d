"""What AWS keeps and what it refuses, the sandbox keeps and refuses, too."""

import json
import time
from typing import Any

import pytest

from tests.support.sandbox import ACCOUNT, REGION, Cloud
from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws

SECRET = {"Name": "PASS", "ValueFrom": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:p"}
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app:first"


def queue(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}, **more}


def settled(aws: Aws, name: str) -> str:
    """The state that a stack has come to, or DELETE_COMPLETE where there is none any more."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            stack = aws.read("cloudformation", "describe_stacks", StackName=name)["Stacks"][0]
        except CloudError:
            return "DELETE_COMPLETE"
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return str(stack["StackStatus"])
        time.sleep(0.05)
    raise AssertionError("it did not settle")


def deploy(aws: Aws, resources: dict[str, Any], create: bool = True) -> str:
    call = "create_stack" if create else "update_stack"
    body = json.dumps({"Resources": resources})
    aws.write("cloudformation", call, StackName="kept", TemplateBody=body)
    return settled(aws, "kept")


def queues(aws: Aws) -> set[str]:
    urls = aws.read("sqs", "list_queues").get("QueueUrls", [])
    return {url.rpartition("/")[2] for url in urls}


def events(aws: Aws, status: str) -> set[str]:
    listed = aws.read("cloudformation", "list_stacks")["StackSummaries"]
    [stack] = [entry["StackId"] for entry in listed if entry["StackName"] == "kept"]
    return {
        event["LogicalResourceId"]
        for event in aws.pages(
            "cloudformation", "describe_stack_events", "StackEvents", StackName=stack
        )
        if event["ResourceStatus"] == status
    }


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_what_a_template_retains_outlives_its_stack(cloud: Cloud, policy: str) -> None:
    aws = cloud.aws()
    resources = {"Kept": queue("kept", DeletionPolicy=policy), "Gone": queue("gone")}
    assert deploy(aws, resources) == "CREATE_COMPLETE"
    aws.write("cloudformation", "delete_stack", StackName="kept")
    assert settled(aws, "kept") == "DELETE_COMPLETE"
    assert queues(aws) == {"kept"}
    assert events(aws, "DELETE_SKIPPED") == {"Kept"}


def test_what_a_template_retains_outlives_its_removal(cloud: Cloud) -> None:
    aws = cloud.aws()
    other = {"Other": queue("other")}
    resources = {"Kept": queue("kept", DeletionPolicy="Retain"), "Gone": queue("gone"), **other}
    assert deploy(aws, resources) == "CREATE_COMPLETE"
    assert deploy(aws, other, create=False) == "UPDATE_COMPLETE"
    assert queues(aws) == {"kept", "other"}
    assert events(aws, "DELETE_SKIPPED") == {"Kept"}


def test_what_is_replaced_stays_only_if_its_own_policy_says_so(cloud: Cloud) -> None:
    aws = cloud.aws()

    def named(suffix: str) -> dict[str, Any]:
        return {
            "Kept": queue(f"kept-{suffix}", UpdateReplacePolicy="Retain"),
            "Gone": queue(f"gone-{suffix}", DeletionPolicy="Retain"),
        }

    assert deploy(aws, named("1")) == "CREATE_COMPLETE"
    assert deploy(aws, named("2"), create=False) == "UPDATE_COMPLETE"
    assert queues(aws) == {"kept-1", "kept-2", "gone-2"}


def definition(version: str) -> dict[str, Any]:
    container = {
        "Name": "app",
        "Image": IMAGE,
        "Secrets": [SECRET],
        "Environment": [{"Name": "V", "Value": version}],
    }
    properties = {"Family": "web", "ContainerDefinitions": [container]}
    return {"Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}}


def test_a_containers_secrets_are_kept_when_its_stack_changes_it(cloud: Cloud) -> None:
    aws = cloud.aws()
    assert deploy(aws, definition("1")) == "CREATE_COMPLETE"
    assert deploy(aws, definition("2"), create=False) == "UPDATE_COMPLETE"
    for revision in ("web:1", "web:2"):
        answer = aws.read("ecs", "describe_task_definition", taskDefinition=revision)
        [container] = answer["taskDefinition"]["containerDefinitions"]
        assert container["secrets"] == [{"name": "PASS", "valueFrom": SECRET["ValueFrom"]}]


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    """A cluster with a service."""
    made = cloud.aws()
    made.write("ecr", "create_repository", repositoryName="app")
    cloud.emulator.push("app", "first")
    made.write("ecs", "create_cluster", clusterName="c")
    for _ in range(2):
        made.write(
            "ecs",
            "register_task_definition",
            family="web",
            containerDefinitions=[{"name": "app", "image": IMAGE}],
        )
    made.write("ecs", "deregister_task_definition", taskDefinition="web:1")
    made.write(
        "ecs",
        "create_service",
        cluster="c",
        serviceName="s",
        taskDefinition="web:2",
        desiredCount=0,
    )
    return made


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("nothing:1", "TaskDefinition not found."),
        ("web:9", "TaskDefinition not found."),
        ("web:1", "TaskDefinition is inactive"),
    ],
)
@pytest.mark.parametrize("call", ["create_service", "update_service", "run_task"])
def test_a_task_definition_that_is_unknown_or_inactive_is_refused(
    aws: Aws, call: str, named: str, message: str
) -> None:
    names: dict[str, dict[str, Any]] = {
        "create_service": {"serviceName": "new", "desiredCount": 0},
        "update_service": {"service": "s"},
        "run_task": {},
    }
    with pytest.raises(CloudError, match=message):
        aws.write("ecs", call, cluster="c", taskDefinition=named, **names[call])
    listed = aws.read("ecs", "list_services", cluster="c")["serviceArns"]
    assert [arn.rpartition("/")[2] for arn in listed] == ["s"]
    assert aws.read("ecs", "list_tasks", cluster="c")["taskArns"] == []
    [service] = aws.read("ecs", "describe_services", cluster="c", services=["s"])["services"]
    assert service["taskDefinition"].endswith("/web:2")


@pytest.mark.parametrize("named", ["nothing:1", "web:1"])
def test_a_stack_cannot_make_a_service_of_such_a_task_definition(aws: Aws, named: str) -> None:
    properties = {"Cluster": "c", "ServiceName": "new", "TaskDefinition": named, "DesiredCount": 0}
    service = {"Type": "AWS::ECS::Service", "Properties": properties}
    assert deploy(aws, {"New": service}) == "ROLLBACK_COMPLETE"
    listed = aws.read("ecs", "list_services", cluster="c")["serviceArns"]
    assert [arn.rpartition("/")[2] for arn in listed] == ["s"]
