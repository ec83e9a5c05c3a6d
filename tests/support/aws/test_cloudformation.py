"""Stacks and change sets of the scripted CloudFormation, as boto3 sees them."""

from typing import Any

import pytest

from tests.support.aws import Endpoint
from tests.support.aws.boto import client, refused
from tests.support.aws.cloudformation import FIXED
from tests.support.aws.stacks import REASONS

ONE = {"StackName": "web", "ChangeSetName": "one"}


def create(**more: Any) -> Any:
    """A change set named `one`, and a client."""
    cloud = client("cloudformation")
    cloud.create_change_set(**ONE, TemplateBody="{}", **more)
    return cloud


def states(cloud: Any, count: int = 12) -> list[str]:
    """The statuses of the stack over some looks, each once."""
    return list(
        dict.fromkeys(
            cloud.describe_stacks(StackName="web")["Stacks"][0]["StackStatus"] for _ in range(count)
        )
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "success",
            ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"],
        ),
        (
            "rollback",
            [
                "UPDATE_IN_PROGRESS",
                "UPDATE_ROLLBACK_IN_PROGRESS",
                "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
                "UPDATE_ROLLBACK_COMPLETE",
            ],
        ),
        (
            "rollback_failed",
            ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"],
        ),
        ("failed", ["UPDATE_IN_PROGRESS", "UPDATE_FAILED"]),
        ("never", ["UPDATE_IN_PROGRESS"]),
    ],
)
def test_an_update_passes_through_its_states(
    aws_endpoint: Endpoint, kind: str, expected: list[str]
) -> None:
    aws_endpoint.cloudformation.stack("web")
    aws_endpoint.cloudformation.next(kind, looks=1)
    cloud = create()
    assert cloud.describe_change_set(**ONE)["ExecutionStatus"] == "AVAILABLE"

    cloud.execute_change_set(**ONE)

    assert states(cloud) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("success", ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]),
        ("rollback", ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]),
        ("failed", ["CREATE_IN_PROGRESS", "CREATE_FAILED"]),
    ],
)
def test_a_first_change_set_makes_the_stack(
    aws_endpoint: Endpoint, kind: str, expected: list[str]
) -> None:
    aws_endpoint.cloudformation.next(kind, looks=1)
    cloud = create(ChangeSetType="CREATE")
    assert states(cloud) == ["REVIEW_IN_PROGRESS"]

    cloud.execute_change_set(**ONE)

    assert states(cloud) == expected


def test_events_carry_the_token_and_the_first_real_reason(aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.stack("web")
    aws_endpoint.cloudformation.next(
        "rollback", failing="Service", reason="the service never stabilised"
    )
    cloud = create()
    cloud.execute_change_set(**ONE, ClientRequestToken="token")
    states(cloud)

    ours = [
        each
        for each in cloud.describe_stack_events(StackName="web")["StackEvents"]
        if each.get("ClientRequestToken") == "token"
    ]
    failed = [each for each in reversed(ours) if each["ResourceStatus"].endswith("_FAILED")]

    assert failed[0]["ResourceStatusReason"] == "the service never stabilised"
    assert (ours[-1]["ResourceStatus"], ours[-1]["ResourceStatusReason"]) == (
        "UPDATE_IN_PROGRESS",
        "User Initiated",
    )
    assert ours[0]["ResourceStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    last = cloud.describe_stacks(StackName="web")["Stacks"][0]["LastOperations"][0]
    value = cloud.describe_events(
        StackName="web", OperationId=last["OperationId"], Filters={"FailedEvents": True}
    )["OperationEvents"]
    assert [each["LogicalResourceId"] for each in value] == ["Service"]


def test_a_nested_stack_has_the_reason_of_its_parents_failure(aws_endpoint: Endpoint) -> None:
    cloud_state = aws_endpoint.cloudformation
    cloud_state.stack("web")
    cloud_state.next_change_set(changes=[cloud_state.change("Api", "AWS::CloudFormation::Stack")])
    cloud_state.next("rollback", failing="Api", nested="Service", reason="no such image")
    cloud = create()
    cloud.execute_change_set(**ONE)
    states(cloud)

    parent = next(
        each
        for each in cloud.describe_stack_events(StackName="web")["StackEvents"]
        if each["ResourceStatus"] == "UPDATE_FAILED"
    )
    child = cloud.describe_stack_events(StackName=parent["PhysicalResourceId"])["StackEvents"]

    assert parent["ResourceStatusReason"].startswith("Embedded stack arn:aws:cloudformation:")
    assert [
        each["ResourceStatusReason"] for each in child if each["ResourceStatus"] == "UPDATE_FAILED"
    ] == ["no such image"]


def test_stale_reads_show_the_status_before(aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.next("success", stale=2)
    cloud = create(ChangeSetType="CREATE")
    cloud.execute_change_set(**ONE)

    observed = [
        cloud.describe_stacks(StackName="web")["Stacks"][0]["StackStatus"] for _ in range(3)
    ]

    assert observed == ["REVIEW_IN_PROGRESS", "REVIEW_IN_PROGRESS", "CREATE_COMPLETE"]


@pytest.mark.parametrize(
    "plan", ["no_changes", "no_updates", "early_validation", "failed", "nested_failed"]
)
def test_a_change_set_that_fails_says_why_and_cannot_be_executed(
    aws_endpoint: Endpoint, plan: str
) -> None:
    aws_endpoint.cloudformation.stack("web")
    aws_endpoint.cloudformation.next_change_set(plan, looks=1)
    cloud = create()

    assert cloud.describe_change_set(**ONE)["Status"] == "CREATE_IN_PROGRESS"
    document = cloud.describe_change_set(**ONE)

    assert (document["Status"], document["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert document["StatusReason"].startswith(
        REASONS.get(plan, "Nested change set arn:aws:cloudformation:")
    )
    assert refused(cloud.execute_change_set, **ONE)["Code"] == "InvalidChangeSetStatus"
    events = cloud.describe_events(**ONE)["OperationEvents"]
    assert [each["ValidationPath"] for each in events] == [
        "/Resources/Service/Properties/Imagee"
    ] * (plan == "early_validation")


def test_property_values_may_be_incomplete(aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.stack("web")
    aws_endpoint.cloudformation.next_change_set("warn")
    cloud = create()

    assert cloud.describe_change_set(**ONE, IncludePropertyValues=True)["StatusReason"].startswith(
        "[WARN] --include-property-values"
    )
    document = cloud.describe_change_set(**ONE)
    assert ("StatusReason" in document, document["Status"]) == (False, "CREATE_COMPLETE")


def test_changes_come_in_pages(aws_endpoint: Endpoint) -> None:
    state = aws_endpoint.cloudformation
    state.stack("web")
    state.next_change_set(
        changes=[state.change(f"R{n}", "AWS::SSM::Parameter", "Add") for n in range(250)]
    )
    cloud = create()

    pages = list(cloud.get_paginator("describe_change_set").paginate(**ONE))

    assert [len(page["Changes"]) for page in pages] == [100, 100, 50]


def test_the_same_token_is_the_same_change_set_and_the_same_execution(
    aws_endpoint: Endpoint,
) -> None:
    aws_endpoint.cloudformation.stack("web")
    cloud = create(ClientToken="a")
    again = cloud.create_change_set(**ONE, TemplateBody="{}", ClientToken="a")["Id"]
    assert again == cloud.describe_change_set(**ONE)["ChangeSetId"]
    assert (
        refused(cloud.create_change_set, **ONE, TemplateBody="{}", ClientToken="b")["Code"]
        == "AlreadyExistsException"
    )
    cloud.create_change_set(**{**ONE, "ChangeSetName": "two"}, TemplateBody="{}")

    cloud.execute_change_set(**ONE, ClientRequestToken="t")
    cloud.execute_change_set(**ONE, ClientRequestToken="t")

    assert (
        refused(cloud.execute_change_set, **ONE, ClientRequestToken="u")["Code"]
        == "InvalidChangeSetStatus"
    )
    assert (
        cloud.describe_change_set(**{**ONE, "ChangeSetName": "two"})["ExecutionStatus"]
        == "OBSOLETE"
    )
    events = cloud.describe_stack_events(StackName="web")["StackEvents"]
    assert [each.get("ResourceStatusReason") for each in events].count("User Initiated") == 1


@pytest.mark.parametrize("status", sorted(FIXED | {"UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}))
def test_a_stack_that_cannot_be_updated_is_refused(aws_endpoint: Endpoint, status: str) -> None:
    aws_endpoint.cloudformation.stack("web", status)

    no_trusted_base = refused(client("cloudformation").create_change_set, **ONE, TemplateBody="{}")

    assert no_trusted_base["Code"] == "ValidationError"
    assert no_trusted_base["Message"].endswith(f"is in {status} state and can not be updated.")


def test_a_stuck_stack_is_continued_rolled_back_cancelled_or_deleted(
    aws_endpoint: Endpoint,
) -> None:
    state, cloud = aws_endpoint.cloudformation, client("cloudformation")
    stack = state.stack("web", "UPDATE_ROLLBACK_FAILED")
    cloud.continue_update_rollback(StackName="web", ResourcesToSkip=["Service"])
    assert states(cloud) == ["UPDATE_ROLLBACK_COMPLETE"]
    assert refused(cloud.continue_update_rollback, StackName="web")["Code"] == "ValidationError"
    stack.status = "CREATE_FAILED"
    cloud.rollback_stack(StackName="web")
    assert states(cloud) == ["ROLLBACK_COMPLETE"]
    assert refused(cloud.cancel_update_stack, StackName="web")["Code"] == "ValidationError"
    stack.status = "UPDATE_IN_PROGRESS"
    cloud.cancel_update_stack(StackName="web")
    assert states(cloud) == ["UPDATE_ROLLBACK_COMPLETE"]
    state.next("failed")
    cloud.delete_stack(StackName="web")
    assert states(cloud) == ["DELETE_FAILED"]
    cloud.delete_stack(StackName="web")
    assert (
        refused(cloud.describe_stacks, StackName="web")["Message"]
        == "Stack with id web does not exist"
    )
    assert (
        cloud.describe_stacks(StackName=stack.arn)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    )


def test_what_was_executed_is_what_the_stack_is(aws_endpoint: Endpoint) -> None:
    state = aws_endpoint.cloudformation
    state.stack("web", resources={"Old": "AWS::SSM::Parameter"}, parameters={"A": "1", "B": "2"})
    aws_endpoint.s3.put(
        "assets",
        "web.yaml",
        b"Resources: {New: {Type: 'AWS::ECS::Service', Properties: {Cluster: !Ref A}}}",
    )
    state.next_change_set(
        changes=[
            state.change("Old", "AWS::SSM::Parameter", "Remove"),
            state.change("New", action="Add"),
        ]
    )
    state.next(outputs={"Url": "https://example.test"})
    cloud = client("cloudformation")
    url = f"{aws_endpoint.url}/assets/web.yaml"
    parameters = [
        {"ParameterKey": "A", "ParameterValue": "3"},
        {"ParameterKey": "B", "UsePreviousValue": True},
    ]
    cloud.create_change_set(
        **ONE, TemplateURL=url, Parameters=parameters, Tags=[{"Key": "run", "Value": "1"}]
    )
    cloud.execute_change_set(**ONE)
    states(cloud)

    actual = cloud.describe_stacks(StackName="web")["Stacks"][0]
    assert {each["ParameterKey"]: each["ParameterValue"] for each in actual["Parameters"]} == {
        "A": "3",
        "B": "2",
    }
    assert (actual["Outputs"][0]["OutputValue"], actual["Tags"]) == (
        "https://example.test",
        [{"Key": "run", "Value": "1"}],
    )
    value = cloud.describe_stack_resources(StackName="web")["StackResources"]
    assert [each["LogicalResourceId"] for each in value] == ["New"]
    assert cloud.get_template_summary(TemplateURL=url)["ResourceTypes"] == ["AWS::ECS::Service"]
