"""What is known of a template before it is deployed: parameters, secrets, tags, sameness, images,
and the permissions of it all.
"""

import inspect
import re
from typing import Any

import pytest

from tests.support.stacks import ACCOUNT, REGION
from tests.targets.permissions import by_action
from toolkit.errors import Refused
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location
from toolkit.show.advice import sentence
from toolkit.targets.stack import apply, images, sources, stack_status
from toolkit.targets.stack import template as templates
from toolkit.targets.stack.kind import kind
from toolkit.targets.stack.observe import stack_name

DECLARED = [
    {"ParameterKey": "Size"},
    {"ParameterKey": "Name", "DefaultValue": "shop"},
    {"ParameterKey": "Old"},
]


def test_parameters_are_what_is_given_and_the_previous_values_of_the_rest() -> None:
    before = [
        {"ParameterKey": "Old", "ParameterValue": "1"},
        {"ParameterKey": "Gone", "ParameterValue": "2"},
    ]
    assert templates.parameters({"Size": "3"}, DECLARED, before) == [
        {"ParameterKey": "Size", "ParameterValue": "3"},
        {"ParameterKey": "Old", "UsePreviousValue": True},
    ]


def test_a_parameter_without_a_value_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="parameter Old, Size has no value"):
        templates.parameters({}, DECLARED, None)


def test_a_parameter_that_the_template_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(Refused, match="no parameter Sise") as refused:
        templates.parameters({"Sise": "3"}, DECLARED, None)
    assert "it has Name, Old, Size" in sentence(refused.value.next)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DbPassword", "hunter2"),
        ("ApiKey", "qq7q"),
        ("API_KEY", "qq7q"),
        ("GithubToken", "abc"),
        ("Note", "AKIAIOSFODNN7EXAMPLE"),
        ("Note", "-----BEGIN RSA PRIVATE KEY-----"),
        ("Database", "postgres://ada:pw@db/x"),
        ("Hidden", "qq7q"),
    ],
)
def test_a_value_that_looks_like_a_credential_is_refused_with_the_way_to_give_one(
    name: str, value: str
) -> None:
    with pytest.raises(Refused) as refused:
        templates.refuse_secrets({name: value}, [{"ParameterKey": "Hidden", "NoEcho": True}])
    assert value not in str(refused.value)
    assert "{{resolve:secretsmanager:" in sentence(refused.value.next)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DbPassword", "{{resolve:secretsmanager:db:SecretString:password}}"),
        ("DbPassword", ""),
        ("TokenSecret", "arn:aws:ssm:x"),
        ("SecretName", "db"),
        ("TokenTtl", "60"),
        ("KeyPair", "ada"),
        ("Url", "https://example.com/x"),
    ],
)
def test_a_reference_to_a_secret_is_none(name: str, value: str) -> None:
    templates.refuse_secrets({name: value}, [])


def test_tags_of_the_stack_are_kept_and_ours_are_renewed() -> None:
    before = [
        {"Key": "team", "Value": "a"},
        {"Key": "aws:x", "Value": "b"},
        {"Key": "toolkit:commit", "Value": "old"},
    ]
    version = Version("v1-dirty-abc", None, "f", settings="s")
    ours = templates.marks(version, "run1", "t")
    assert {tag["Key"]: tag["Value"] for tag in templates.tags(before, {"app": "x"}, ours)} == {
        "team": "a",
        "app": "x",
        "toolkit:version": "v1-dirty-abc",
        "toolkit:fingerprint": "f",
        "toolkit:settings": "s",
        "toolkit:template": "t",
        "toolkit:run": "run1",
    }
    assert {tag["Key"] for tag in templates.tags(before, {}, {})} == {"team", "toolkit:commit"}


STACK = {
    "Parameters": [{"ParameterKey": "A", "ParameterValue": "1"}],
    "Tags": [{"Key": "team", "Value": "x"}, {"Key": "toolkit:run", "Value": "r"}],
}
TEXT = '{"Resources": {}, "Parameters": {"A": {"Type": "String"}}}'
SUMMARY: dict[str, Any] = {"Parameters": [{"ParameterKey": "A", "ParameterType": "String"}]}


def test_a_deploy_of_what_is_there_is_the_same() -> None:
    deployed = templates.parse_json(TEXT.replace(" ", ""))
    assert templates.is_unchanged(TEXT, deployed, {"A": "1"}, SUMMARY, STACK, {"team": "x"})
    assert templates.is_unchanged("a: b", "a: b", {}, SUMMARY, STACK, {})
    assert not templates.is_unchanged(TEXT, {"Resources": {}}, {}, SUMMARY, STACK, {})
    assert not templates.is_unchanged(TEXT, deployed, {"A": "2"}, SUMMARY, STACK, {})
    assert not templates.is_unchanged(TEXT, deployed, {}, SUMMARY, STACK, {"team": "y"})
    assert not templates.is_unchanged(TEXT, deployed, {}, {"Parameters": []}, STACK, {})
    assert not templates.is_unchanged("a: c", "a: b", {}, SUMMARY, STACK, {})
    assert templates.is_unchanged(
        "a: b",
        "a: b",
        {"A": "2"},
        {"Parameters": [{"ParameterKey": "A", "NoEcho": True}]},
        STACK,
        {},
    )


@pytest.mark.parametrize(
    "more",
    [
        {"ResourceTypes": ["AWS::CloudFormation::Stack"]},
        {"DeclaredTransforms": ["AWS::Serverless-2016-10-31"]},
        {"ResourceTypes": ["My::Own::Thing::MODULE"]},
        {"Parameters": [{"ParameterKey": "A", "NoEcho": True}]},
        {
            "Parameters": [
                {"ParameterKey": "A", "ParameterType": "AWS::SSM::Parameter::Value<String>"}
            ]
        },
    ],
)
def test_a_template_that_looks_elsewhere_may_mean_something_new(more: dict[str, Any]) -> None:
    assert templates.may_change_meaning("{}", SUMMARY | more, {"A": "1"})


def test_a_template_that_says_everything_itself_means_what_it_did() -> None:
    bootstrap = {
        "ParameterKey": "BootstrapVersion",
        "ParameterType": "AWS::SSM::Parameter::Value<String>",
        "Description": "x [cdk:skip]",
    }
    assert not templates.may_change_meaning(
        "{}", {"Parameters": [bootstrap, *SUMMARY["Parameters"]]}, {"A": "1"}
    )
    assert not templates.may_change_meaning("Value: '{{resolve:secretsmanager:x}}'", {}, {})
    assert templates.may_change_meaning("Value: '{{resolve:ssm:/x}}'", {}, {})
    assert templates.may_change_meaning("Fn::Transform: x", {}, {})


def test_a_long_template_is_summed_up_here() -> None:
    summarize = templates.summarize(
        {
            "Parameters": {"A": {"Type": "String", "Default": 5, "NoEcho": "true"}},
            "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
            "Transform": "T",
        }
    )
    assert summarize["Parameters"] == [
        {
            "ParameterKey": "A",
            "ParameterType": "String",
            "NoEcho": True,
            "DefaultValue": "5",
            "Description": "",
        }
    ]
    assert (summarize["ResourceTypes"], summarize["DeclaredTransforms"]) == (
        ["AWS::SQS::Queue"],
        ["T"],
    )
    assert templates.summarize({"Parameters": [], "Resources": None})["Parameters"] == []


# --- images

KNOWN = images.reference_values(ACCOUNT, REGION, "aws", "amazonaws.com", "Shop", {"Tag": "v2"})
CDK_IMAGE = {
    "Fn::Join": [
        "",
        [
            {"Ref": "AWS::AccountId"},
            ".dkr.ecr.",
            {"Ref": "AWS::Region"},
            ".",
            {"Ref": "AWS::URLSuffix"},
            "/shop:v2",
        ],
    ]
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("nginx:1", "nginx:1"),
        (CDK_IMAGE, f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop:v2"),
        (
            {"Fn::Sub": "${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/shop:${Tag}"},
            f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop:v2",
        ),
        ({"Fn::Sub": ["shop:${T}${!x}", {"T": {"Ref": "Tag"}}]}, "shop:v2${x}"),
        ({"Fn::Select": [1, {"Fn::Split": [":", {"Ref": "Tag"}]}]}, None),
        ({"Fn::Select": ["0", {"Fn::Split": [":", "a:b"]}]}, "a"),
        ({"Ref": "Repository"}, None),
        ({"Fn::GetAtt": ["Repository", "Uri"]}, None),
        ({"Fn::Sub": "${Repository}:v2"}, None),
        ({"Fn::Join": ["", [{"Ref": "Nobody"}, "x"]]}, None),
        (None, None),
    ],
)
def test_an_image_is_read_as_far_as_it_can_be(value: Any, text: str | None) -> None:
    assert images.text(value, KNOWN) == text


def test_the_images_of_a_templates_services_are_found_through_their_task_definitions() -> None:
    template = {
        "Parameters": {"A": {"Default": 1}, "B": {}},
        "Resources": {
            "Web": {"Type": images.SERVICE, "Properties": {"TaskDefinition": {"Ref": "Task"}}},
            "Other": {"Type": images.SERVICE, "Properties": {"TaskDefinition": "arn:aws:ecs:…"}},
            "Task": {
                "Type": images.DEFINITION,
                "Properties": {"ContainerDefinitions": [{"Name": "app", "Image": CDK_IMAGE}]},
            },
        },
    }
    assert images.service_images(template, KNOWN) == {
        "Web": ("Task", {"app": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop:v2"})
    }
    assert images.defaults(template) == {"A": "1"}


def test_an_older_image_is_told_by_short_names() -> None:
    digest = "@sha256:" + "ab" * 32
    assert images.older_images(
        "backend",
        {"app": "x/shop:v1", "log": "x/log:1"},
        {"app": f"x/shop{digest}", "log": "x/log:1"},
        [],
    ) == ["backend: this would put shop:v1 back instead of shop@abababababab"]
    assert (
        images.older_images(
            "backend",
            {"app": "x/shop:v1"},
            {"app": f"x/shop{digest}"},
            [("x/shop:v1", f"x/shop{digest}")],
        )
        == []
    )
    assert images.older_images("backend", {"app": None}, {"app": "x/shop:v1"}, []) == [
        "backend: this would put the image of its template back instead of shop:v1"
    ]


# --- permissions


def job(location: Location, stack: str = "Shop", **settings: Any) -> Job:
    return Job(
        "s",
        "s",
        "stack",
        JobAction.DEPLOY,
        location,
        kind.Settings(stack=stack, **settings),
        Version("v", None, "f"),
        "r",
        "t",
    )


def test_the_permissions_are_for_this_stack_in_this_place() -> None:
    permissions = kind.permissions(job(Location("dev", REGION, ACCOUNT), cdk="cdk"))
    assert {
        "cloudformation:ExecuteChangeSet",
        "iam:PassRole",
        "s3:PutObject",
        "ssm:GetParameter",
        "ecs:DescribeServices",
    } <= set(by_action(permissions))
    assert f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/Shop/*" in permissions[0].resources
    [role] = [item for item in permissions if item.actions == ("iam:PassRole",)]
    assert role.resources == (
        f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-{REGION}",
    )
    assert role.conditions == {
        "StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}
    }


def test_a_plain_template_needs_no_role_and_says_whose_permissions_count() -> None:
    permissions = kind.permissions(job(Location(), template="t.yaml"))
    assert not set(by_action(permissions)) & {
        "iam:PassRole",
        "s3:PutObject",
        "ssm:GetParameter",
    }
    assert "caller's own permissions" in permissions[0].why
    assert "arn:aws:cloudformation:*:*:stack/Shop/*" in permissions[0].resources


def test_a_store_may_be_written_to_below_its_prefix_only() -> None:
    permissions = kind.permissions(
        job(Location("dev", REGION, ACCOUNT, store="s3://state/team"), template="t.yaml")
    )
    [store] = [item for item in permissions if "s3:PutObject" in item.actions]
    assert store.resources == (
        "arn:aws:s3:::state",
        "arn:aws:s3:::state/team/templates/*",
        "arn:aws:s3:::state/team/artifacts/*",
    )


def test_every_write_call_of_a_deploy_is_permitted() -> None:
    text = inspect.getsource(apply) + inspect.getsource(sources)
    actual = by_action(kind.permissions(job(Location(store="s3://a"), cdk="cdk")))
    calls = {mend.call for mend in stack_status.RECOVERIES.values()} | set(
        re.findall(r'(?:intend|prepare)\(\s*"(\w+:\w+)"', text)
    )
    assert len(calls) >= 9
    assert calls <= set(actual)


def test_the_stack_of_a_stage_is_named_with_a_dash() -> None:
    assert stack_name(job(Location(), "Prod/Shop", cdk="cdk")) == "Prod-Shop"
