"""What is lost, and who is let in."""

from typing import Any

import pytest

from tests.templates.parts import BUCKET, TABLE, compared, resource, stack
from toolkit.templates.consequences import broadenings, examine, losses
from toolkit.templates.model import Loss, StackState
from toolkit.templates.replacement import predict

DATABASE = "AWS::RDS::DBInstance"


def lost(before: dict[str, Any], after: dict[str, Any], **sections: Any) -> list[Loss]:
    old = stack(before, **{name: pair[0] for name, pair in sections.items()})
    new = stack(after, **{name: pair[1] for name, pair in sections.items()})
    comparison = compared(old, new)
    return list(losses(comparison, predict(comparison, new), new))


def table(name: str = "a", **attributes: Any) -> dict[str, Any]:
    return {**resource(TABLE, TableName=name), **attributes}


def told(found: list[Loss]) -> list[tuple[str, str, str, bool]]:
    return [(loss.logical_id, loss.cause, loss.kept, loss.certain) for loss in found]


def test_what_holds_data_and_is_deleted_is_lost_without_a_policy() -> None:
    assert told(lost({"T": table()}, {})) == [("T", "deleted", "", True)]
    assert told(lost({"T": table()}, {"U": table()})) == [
        ("U", "deleted under its old name", "", True)
    ]
    assert lost({"R": resource("AWS::IAM::Role")}, {}) == []


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("Retain", "Retain"), ("RetainExceptOnCreate", "Retain"), ("Delete", ""), ("Snapshot", "")],
)
def test_its_policy_keeps_it(policy: str, kept: str) -> None:
    assert told(lost({"T": table(DeletionPolicy=policy)}, {})) == [("T", "deleted", kept, True)]


def test_a_replacement_asks_the_other_policy() -> None:
    before, after = table("a", DeletionPolicy="Retain"), table("b", DeletionPolicy="Retain")
    assert told(lost({"T": before}, {"T": after})) == [("T", "replaced", "", True)]
    keeps = {"UpdateReplacePolicy": "Retain"}
    assert told(lost({"T": {**before, **keeps}}, {"T": {**after, **keeps}})) == [
        ("T", "replaced", "Retain", True)
    ]
    # which of two policies counts nobody has measured
    assert told(lost({"T": before}, {"T": {**after, **keeps}})) == [("T", "replaced", "", True)]


def test_a_database_is_snapshot_by_default_where_it_is_deleted_but_not_where_it_is_replaced() -> (
    None
):
    assert told(lost({"D": resource(DATABASE)}, {})) == [("D", "deleted", "Snapshot", True)]
    member = resource(DATABASE, DBClusterIdentifier="c")
    assert told(lost({"D": member}, {})) == [("D", "deleted", "", True)]
    changed = lost({"D": resource(DATABASE, DBName="a")}, {"D": resource(DATABASE, DBName="b")})
    assert told(changed) == [("D", "replaced", "", True)]


def test_what_may_be_replaced_may_be_lost() -> None:
    found = lost({"D": resource(DATABASE, Port=1)}, {"D": resource(DATABASE, Port=2)})
    assert told(found) == [("D", "may be replaced", "", False)]


def test_a_condition_that_changes_may_delete() -> None:
    conditions = {"IsProd": {"Fn::Equals": ["a", "a"]}}, {"IsProd": {"Fn::Equals": ["a", "b"]}}
    data = {"T": table(Condition="IsProd")}
    after = {"T": table(Condition="IsProd", DependsOn="Other"), "Other": resource("AWS::IAM::Role")}
    by_parameter = {"IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}}
    other = {"Stage": {"Default": "prod"}}, {"Stage": {"Default": "dev"}}
    assert lost(data, data, Conditions=(by_parameter, by_parameter), Parameters=other)
    for new in (data, after):
        assert told(lost(data, new, Conditions=conditions)) == [
            ("T", "may be deleted: its condition changes", "", False)
        ]


def test_of_a_stack_that_the_app_no_longer_has_nothing_is_lost() -> None:
    from toolkit.templates.compare import compare

    [comparison] = compare([stack({"T": table()})], [])
    assert comparison.state is StackState.REMOVED
    assert losses(comparison, {}) == ()


def allow(action: str, **more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": action, "Resource": "*", **more}]}


ROLE, POLICY, GROUP = "AWS::IAM::Role", "AWS::IAM::Policy", "AWS::EC2::SecurityGroup"
OPEN = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
INNER = {**OPEN, "CidrIp": "10.0.0.0/8"}
BLOCKED = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}
BROADER: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a statement": (
        resource(POLICY, PolicyDocument=allow("s3:GetObject")),
        resource(POLICY, PolicyDocument=allow("s3:*")),
        "grants permissions",
    ),
    "a denial less": (
        resource(
            POLICY,
            PolicyDocument={"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]},
        ),
        resource(POLICY, PolicyDocument={"Statement": []}),
        "grants permissions",
    ),
    "ingress": (
        resource(GROUP, SecurityGroupIngress=[INNER]),
        resource(GROUP, SecurityGroupIngress=[INNER, OPEN]),
        "open to the internet",
    ),
    "a bucket without its block": (
        resource(BUCKET, PublicAccessBlockConfiguration=BLOCKED),
        resource(BUCKET, PublicAccessBlockConfiguration={**BLOCKED, "BlockPublicPolicy": False}),
        "may be public",
    ),
    "a public bucket": (
        resource(BUCKET),
        resource(BUCKET, AccessControl="PublicRead"),
        "may be public",
    ),
    "a bucket whose block is taken away": (
        resource(BUCKET, PublicAccessBlockConfiguration=BLOCKED),
        resource(BUCKET),
        "may be public",
    ),
    "a public database": (
        resource(DATABASE, PubliclyAccessible=False),
        resource(DATABASE, PubliclyAccessible="true"),
        "may be public",
    ),
    "everybody": (
        resource(
            "AWS::S3::BucketPolicy",
            PolicyDocument=allow("s3:GetObject", Principal={"AWS": "arn:aws:iam::1:root"}),
        ),
        resource("AWS::S3::BucketPolicy", PolicyDocument=allow("s3:GetObject", Principal="*")),
        "open to everybody",
    ),
    "a function's address": (
        resource("AWS::Lambda::Url", AuthType="AWS_IAM"),
        resource("AWS::Lambda::Url", AuthType="NONE"),
        "grants permissions",
    ),
}


@pytest.mark.parametrize(("before", "after", "what"), BROADER.values(), ids=BROADER.keys())
def test_what_lets_somebody_do_more_is_told_and_the_way_back_is_not(
    before: dict[str, Any], after: dict[str, Any], what: str
) -> None:
    comparison = compared(stack({"A": before}), stack({"A": after}))
    assert [(each.logical_id, each.what) for each in broadenings(comparison)] == [("A", what)]
    if "public" in what or "internet" in what:  # any other statement may grant something
        assert broadenings(compared(stack({"A": after}), stack({"A": before}))) == ()


def test_a_new_role_is_told_and_a_stack_is_examined_with_all_of_it() -> None:
    old, new = stack({"T": table()}), stack({"R": resource(ROLE, ManagedPolicyArns=["a"])})
    [examined] = examine([compared(old, new)], [new])
    assert [each.what for each in examined.broadenings] == ["grants permissions"]
    assert [each.cause for each in examined.losses] == ["deleted"]
