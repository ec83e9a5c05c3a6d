"""What a change set is said to do. The changes are as DescribeChangeSet answers them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.targets.base import flag
from toolkit.targets.stack import changes
from toolkit.targets.stack.changes import ResourceChange


def change(
    name: str, kind: str, action: str = "Modify", *touched: str, **more: Any
) -> dict[str, Any]:
    """One entry of `Changes`."""
    details = [{"Target": {"Attribute": "Properties", "Name": item}} for item in touched]
    scope = more.pop("scope", ["Properties"] if touched else [])
    return {
        "Type": "Resource",
        "ResourceChange": {
            "LogicalResourceId": name,
            "ResourceType": kind,
            "Action": action,
            "Scope": scope,
            "Details": details,
            **more,
        },
    }


def known(before: Any = None, after: Any = None) -> changes.Properties:
    return lambda name: (before, after)


def effects(
    *document: dict[str, Any], before: Any = None, after: Any = None
) -> list[ResourceChange]:
    return changes.effects(document, known(before, after))


def asked(stack: str, *documents: dict[str, Any]) -> list[tuple[str, str]]:
    """The questions, and the options that agree in advance."""
    dangers = changes.dangers(stack, effects(*documents))
    return [(danger.question, danger.consent) for danger in dangers]


EVERYTHING = [
    change(
        "Site", "AWS::CloudFront::Distribution", "Modify", "DistributionConfig", Replacement="False"
    ),
    change("Tagged", "AWS::SNS::Topic", "Modify", scope=["Tags"]),
    change("Tagged2", "AWS::SNS::Topic", "Modify", scope=["Tags"]),
    change(
        "Orders",
        "AWS::DynamoDB::Table",
        "Modify",
        "KeySchema",
        "TableName",
        Replacement="True",
        PolicyAction="ReplaceAndDelete",
    ),
    change("Kept", "AWS::S3::Bucket", "Remove", PolicyAction="Retain"),
    change("Archive", "AWS::RDS::DBInstance", "Remove", PolicyAction="Snapshot"),
    change("Uploads", "AWS::S3::Bucket", "Remove", PolicyAction="Delete"),
    change("Alarm", "AWS::CloudWatch::Alarm", "Remove"),
    change("Group", "AWS::EC2::Subnet", "Modify", "CidrBlock", Replacement="Conditional"),
    change(
        "Task", "AWS::ECS::TaskDefinition", "Modify", "ContainerDefinitions", Replacement="True"
    ),
    change("OldVersion", "AWS::Lambda::Version", "Remove"),
    change("Queue", "AWS::SQS::Queue", "Add"),
    change("Adopted", "AWS::SQS::Queue", "Import"),
    change("TaskRole", "AWS::IAM::Role", "Add"),
]


def test_a_change_set_is_shown_with_the_most_dangerous_first() -> None:
    assert changes.effect_lines(effects(*EVERYTHING)) == [
        "DELETES      Uploads  AWS::S3::Bucket  LOSES ITS DATA",
        "DELETES      Alarm  AWS::CloudWatch::Alarm",
        "DELETES      Archive  AWS::RDS::DBInstance",
        "REPLACES     Orders  AWS::DynamoDB::Table  LOSES ITS DATA",
        "MAY REPLACE  Group  AWS::EC2::Subnet  CidrBlock",
        "lets go of   Kept  AWS::S3::Bucket",
        "imports      Adopted  AWS::SQS::Queue",
        "renews       OldVersion  AWS::Lambda::Version",
        "renews       Task  AWS::ECS::TaskDefinition  ContainerDefinitions",
        "changes      Site  AWS::CloudFront::Distribution  DistributionConfig",
        "adds         TaskRole  AWS::IAM::Role  GRANTS PERMISSIONS",
        "adds         Queue  AWS::SQS::Queue",
        "tags         2 resources more",
    ]


def test_each_danger_is_asked_for_by_itself_and_names_what_it_is_about() -> None:
    assert asked("Shop", *EVERYTHING) == [
        ("Shop: delete Uploads, Alarm, Archive, with the data in it?", "allow_delete"),
        ("Shop: replace Orders, Group, with the data in it?", "allow_replace"),
        ("Shop: create TaskRole (grants permissions)?", "allow_broadening"),
    ]


def test_only_what_was_there_before_can_allow_more_than_before() -> None:
    role = change("OldRole", "AWS::IAM::Role", "Modify", "Policies")
    [(question, consent)] = asked("Shop", *EVERYTHING[-1:], role)
    assert (question, consent) == (
        "Shop: let OldRole allow more than before and create TaskRole (grants permissions)?",
        "allow_broadening",
    )
    [danger] = changes.dangers("Shop", effects(role))
    assert danger.statement == "Shop will let OldRole allow more than before"


def test_a_harmless_change_asks_for_nothing() -> None:
    harmless = [
        change("Q", "AWS::SQS::Queue", "Add"),
        change("Task", "AWS::ECS::TaskDefinition", "Modify", "Cpu", Replacement="True"),
    ]
    harmless += [
        change("Role", "AWS::IAM::Role", "Modify", scope=["Tags"]),
        change("V", "AWS::Lambda::Version", "Remove"),
    ]
    assert asked("Shop", *harmless) == []


def test_what_may_be_replaced_is_asked_for_with_a_maybe() -> None:
    [danger] = changes.dangers(
        "Shop",
        effects(
            change("Group", "AWS::EC2::Subnet", "Modify", "CidrBlock", Replacement="Conditional")
        ),
    )
    assert danger.question == "Shop: maybe replace Group?"
    assert danger.statement == "Shop may replace Group"


names = st.text(st.characters(categories=["Lu", "Ll", "Nd"]), min_size=1, max_size=255)


@given(names, names, st.sampled_from(("Add", "Remove", "Modify")), st.lists(names, max_size=5))
def test_a_line_is_never_wider_than_a_terminal(
    name: str, kind: str, action: str, touched: list[str]
) -> None:
    for item in (kind, "AWS::S3::Bucket", "AWS::IAM::Role"):
        lines = changes.effect_lines(effects(change(name, item, action, *touched)))
        assert max(map(len, lines)) <= 80


def test_no_danger_is_cut_and_properties_only_behind_a_name() -> None:
    bucket = change("Vault", "AWS::Backup::BackupVault", "Modify", Replacement="True")
    assert changes.effect_lines(effects(bucket)) == [
        "REPLACES     Vault  AWS::Backup::BackupVault",
        "             LOSES ITS DATA; CHANGES WHO MAY USE IT",
    ]
    touched = [f"Property{number}" for number in range(9)]
    [line] = changes.effect_lines(effects(change("Site", "AWS::X::Y", "Modify", *touched)))
    assert line.endswith("  Property0 and 8 more")


EMPTY: dict[str, Any] = {"Statement": []}
POLICY = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
MORE = {
    "Statement": [
        *POLICY["Statement"],
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
    ]
}
DENIES = {
    "Statement": [
        *POLICY["Statement"],
        {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"},
    ]
}


@pytest.mark.parametrize(
    ("kind", "touched", "before", "after", "text"),
    [
        ("AWS::IAM::Policy", "PolicyDocument", POLICY, MORE, "grants permissions"),
        ("AWS::IAM::Policy", "PolicyDocument", MORE, POLICY, ""),
        ("AWS::IAM::Policy", "PolicyDocument", POLICY, DENIES, ""),
        ("AWS::IAM::Policy", "PolicyDocument", DENIES, POLICY, "grants permissions"),
        (
            "AWS::IAM::Policy",
            "PolicyDocument",
            POLICY,
            {"Fn::If": ["c", POLICY, MORE]},
            "grants permissions",
        ),
        ("AWS::IAM::Role", "ManagedPolicyArns", ["a"], ["a", "b"], "grants permissions"),
        ("AWS::IAM::Role", "ManagedPolicyArns", ["a", "b"], ["b"], ""),
        (
            "AWS::IAM::Role",
            "Policies",
            [{"PolicyDocument": POLICY}],
            [{"PolicyDocument": MORE}],
            "grants permissions",
        ),
        ("AWS::IAM::Role", "PermissionsBoundary", "arn:a", "arn:b", "grants permissions"),
        ("AWS::IAM::Role", "Description", "a", "b", ""),
        ("AWS::Lambda::Permission", "Principal", "a", "*", "grants permissions"),
        ("AWS::S3::BucketPolicy", "PolicyDocument", POLICY, MORE, "grants permissions"),
        (
            "AWS::S3::BucketPolicy",
            "PolicyDocument",
            EMPTY,
            {"Statement": {"Effect": "Allow", "Principal": "*"}},
            "open to everybody",
        ),
        (
            "AWS::SQS::QueuePolicy",
            "PolicyDocument",
            EMPTY,
            {"Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}}},
            "open to everybody",
        ),
        ("AWS::SQS::Queue", "VisibilityTimeout", 1, 2, ""),
        ("AWS::S3::BucketPolicy", "PolicyDocument", EMPTY, "{not JSON", "grants permissions"),
        ("AWS::S3::BucketPolicy", "PolicyDocument", "{not JSON", EMPTY, ""),
    ],
)
def test_permissions_broaden_by_what_is_added_to_them(
    kind: str, touched: str, before: Any, after: Any, text: str
) -> None:
    document = change("It", kind, "Modify", touched)
    [actual] = effects(document, before={touched: before}, after={touched: after})
    assert actual.broadens == text
    resolved = {
        "BeforeContext": {"Properties": {touched: before}},
        "AfterContext": {"Properties": {touched: after}},
    }
    document["ResourceChange"] |= {name: json.dumps(value) for name, value in resolved.items()}
    [actual] = effects(document)
    assert actual.broadens == text


def test_permissions_that_cannot_be_compared_count_as_broader() -> None:
    policy = change("It", "AWS::IAM::Policy", "Modify", "PolicyDocument")
    assert effects(policy)[0].broadens == "grants permissions"
    assert (
        effects(change("It", "AWS::SQS::QueuePolicy", "Modify", "PolicyDocument"))[0].broadens
        == "changes who may use it"
    )
    assert (
        effects(change("It", "AWS::EC2::SecurityGroup", "Modify", "SecurityGroupIngress"))[
            0
        ].broadens
        == "changes who may connect"
    )


RULE = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([], [{**RULE, "CidrIp": "0.0.0.0/0"}], "open to the internet"),
        ([], [{**RULE, "CidrIpv6": "::/0"}], "open to the internet"),
        ([], [{**RULE, "CidrIp": "10.0.0.0/8"}], ""),
        ([], [{**RULE, "SourceSecurityGroupId": "sg-1"}], ""),
        ([{**RULE, "CidrIp": "0.0.0.0/0"}], [{**RULE, "CidrIp": "0.0.0.0/0"}], ""),
        (
            [{**RULE, "CidrIp": "0.0.0.0/0"}],
            [{**RULE, "CidrIp": "0.0.0.0/0", "ToPort": 9999}],
            "open to the internet",
        ),
        ([{**RULE, "CidrIp": "0.0.0.0/0"}], [], ""),
        ([], [{**RULE, "CidrIp": {"Ref": "Office"}}], "changes who may connect"),
        (
            [],
            [{"Fn::If": ["Public", {**RULE, "CidrIp": "0.0.0.0/0"}, {"Ref": "AWS::NoValue"}]}],
            "changes who may connect",
        ),
    ],
)
def test_a_security_group_broadens_by_who_may_connect(before: Any, after: Any, text: str) -> None:
    group = change("Web", "AWS::EC2::SecurityGroup", "Modify", "SecurityGroupIngress")
    [actual] = effects(
        group, before={"SecurityGroupIngress": before}, after={"SecurityGroupIngress": after}
    )
    assert actual.broadens == text
    if len(after) == 1 and not before:
        [actual] = effects(change("In", "AWS::EC2::SecurityGroupIngress", "Add"), after=after[0])
        assert actual.broadens == text


def test_a_value_is_never_part_of_a_line() -> None:
    contexts = {
        name: json.dumps({"Properties": {"MasterUserPassword": "canary"}})
        for name in ("BeforeContext", "AfterContext")
    }
    resource_changes = effects(
        change(
            "Db",
            "AWS::RDS::DBInstance",
            "Modify",
            "MasterUserPassword",
            Replacement="True",
            **contexts,
        )
    )
    assert "canary" not in repr(resource_changes) + repr(
        changes.effect_lines(resource_changes)
    ) + repr(changes.dangers("Shop", resource_changes))


# before there is a change set


def resources(**value: Any) -> dict[str, Any]:
    return {"Resources": value}


ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"Policies": [{"PolicyDocument": {"Statement": [{"Action": "s3:GetObject"}]}}]},
}
WIDER = {
    "Type": "AWS::IAM::Role",
    "Properties": {"Policies": [{"PolicyDocument": {"Statement": [{"Action": "s3:*"}]}}]},
}
QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 5}}
OPEN = {
    "Type": "AWS::EC2::SecurityGroup",
    "Properties": {"SecurityGroupIngress": [{"CidrIp": "0.0.0.0/0"}]},
}
KEPT = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"}


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ({}, resources(Role=ROLE), ["--allow-broadening"]),
        ({}, resources(Group=OPEN), ["--allow-broadening"]),
        ({}, resources(Queue=QUEUE), []),
        (resources(Role=ROLE), resources(Role=ROLE), []),
        (resources(Role=ROLE), resources(Role=WIDER), ["--allow-broadening"]),
        (resources(Role=ROLE), resources(Role={**ROLE, "Metadata": {"path": "x"}}), []),
        (resources(Queue=QUEUE), resources(), ["--allow-delete"]),
        (resources(Bucket=KEPT), resources(), []),
        (resources(Thing=QUEUE), resources(Thing=ROLE), ["--allow-replace", "--allow-broadening"]),
        (resources(Queue=QUEUE), None, []),
        ("YAML", resources(Role=ROLE), []),
        ({}, resources(Role=7), []),
        ({}, {"Resources": ["Role"]}, []),
        ({}, resources(Role={"Type": ["x"], "Properties": 7}), []),
        (
            resources(Role={"Type": "AWS::IAM::Role", "Properties": [1]}),
            resources(Role={"Type": "AWS::IAM::Role", "Properties": "x"}),
            [],
        ),
    ],
)
def test_what_will_be_asked_is_known_from_the_templates(
    before: Any, after: Any, flags: list[str]
) -> None:
    assert [
        flag(danger.consent)
        for danger in changes.dangers("Shop", changes.predict_effects(before, after))
    ] == flags
