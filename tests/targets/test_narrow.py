"""Permissions that are as narrow as IAM allows, in every part of AWS."""

from __future__ import annotations

import re
from typing import Any

import pytest

from toolkit import targets
from toolkit.checks import secrets
from toolkit.config import rules as rules_file
from toolkit.model import Secret, Version
from toolkit.operations import Job, JobAction, Location, Statement
from toolkit.ports.aws.names import partition, suffix
from toolkit.record.permissions import statements as record
from toolkit.targets.app.settings import AppSettings as App
from toolkit.targets.function.settings import FunctionSettings as Function
from toolkit.targets.site.settings import SiteSettings as Site
from toolkit.targets.stack.settings import StackSettings as Stack

REGIONS = {
    "eu-west-1": "aws",
    "us-gov-west-1": "aws-us-gov",
    "cn-north-1": "aws-cn",
    "us-iso-east-1": "aws-iso",
    "us-isob-east-1": "aws-iso-b",
    "eu-isoe-west-1": "aws-iso-e",
    "us-isof-south-1": "aws-iso-f",
    "eusc-de-east-1": "aws-eusc",
}


def job(kind: str, settings: Any, region: str | None = "eu-west-1") -> Job:
    location = Location("dev", region, "111111111111", None, False, "s3://store/prefix")
    return Job(
        "x", "x", kind, JobAction.DEPLOY, location, settings, Version("v", None, ""), "r", "t"
    )


def of(kind: str, settings: Any, region: str | None = "eu-west-1") -> tuple[Statement, ...]:
    permissions: tuple[Statement, ...] = targets.kind(kind).permissions(job(kind, settings, region))
    return permissions


def resources(statements: tuple[Statement, ...], action: str) -> set[str]:
    return {
        resource
        for statement in statements
        if action in statement.actions
        for resource in statement.resources
    }


KINDS: dict[str, Any] = {
    "app": App(cluster="c", service="s", repository="r"),
    "stack": Stack(stack="web", template="t.json"),
    "function": Function(function="f", source="src"),
    "site": Site(source="dist", bucket="b", distribution="E1"),
}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_arn_is_of_the_regions_own_part_of_aws(kind: str, region: str) -> None:
    actual = [*of(kind, KINDS[kind], region), *record(job(kind, KINDS[kind], region).location)]
    location = Location("dev", region, "111111111111")
    actual += secrets.permissions(Secret("a", ssm="/p"), location, {})
    actual += secrets.permissions(
        Secret("a", secret="s"), Location("dev", region, "111111111111"), {}
    )
    arns = [resource for statement in actual for resource in statement.resources if resource != "*"]
    assert arns
    assert {arn.split(":")[1] for arn in arns} == {REGIONS[region]}


def test_addresses_end_as_the_regions_part_of_aws_has_them() -> None:
    assert (partition(None), suffix(None)) == ("aws", "amazonaws.com")
    assert (partition("us-isolated-1"), suffix("cn-north-1")) == ("aws", "amazonaws.com.cn")


def fits(pattern: str, arn: str) -> bool:
    return (
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), arn) is not None
    )


@pytest.mark.parametrize("text", ["web-prod", "web-prod-Worker1A2B3C4D5E6F", "website", "we"])
@pytest.mark.parametrize(
    "settings", [Stack(stack="web", template="t.json"), Stack(stack="web", cdk="infra")]
)
def test_no_stack_of_another_name_can_be_changed_or_deleted(settings: Stack, text: str) -> None:
    statements = of("stack", settings)
    arn = f"arn:aws:cloudformation:eu-west-1:111111111111:stack/{text}/0a1b"
    output = arn.replace(f"/{text}/", "/web/")
    for action in (
        "DeleteStack",
        "CreateChangeSet",
        "ExecuteChangeSet",
        "CancelUpdateStack",
        "RollbackStack",
        "ContinueUpdateRollback",
    ):
        allowed = resources(statements, f"cloudformation:{action}")
        assert any(fits(item, output) for item in allowed)
        assert not any(fits(item, arn) for item in allowed)


def test_what_nested_stacks_say_can_be_read() -> None:
    arn = "arn:aws:cloudformation:eu-west-1:111111111111:stack/web-Inner-1A2B3C4D5E6F/0a1b"
    assert any(
        fits(resource, arn)
        for resource in resources(of("stack", KINDS["stack"]), "cloudformation:DescribeStackEvents")
    )


@pytest.mark.parametrize(
    ("context", "qualifier"),
    [
        ({}, "hnb659fds"),
        ({"@aws-cdk/core:bootstrapQualifier": "team1"}, "team1"),
        ({"@aws-cdk/core:bootstrapQualifier": "*"}, "hnb659fds"),
    ],
)
def test_the_cdks_bucket_role_and_version_are_those_of_one_bootstrap(
    context: dict[str, str], qualifier: str
) -> None:
    statements = of("stack", Stack(stack="web", cdk="infra", context=context))
    roles = resources(statements, "iam:PassRole")
    assert roles == {
        f"arn:aws:iam::111111111111:role/cdk-{qualifier}-cfn-exec-role-111111111111-eu-west-1"
    }
    assert resources(statements, "ssm:GetParameter") == {
        f"arn:aws:ssm:eu-west-1:111111111111:parameter/cdk-bootstrap/{qualifier}/version"
    }
    bucket = f"arn:aws:s3:::cdk-{qualifier}-assets-111111111111-eu-west-1"
    assert resources(statements, "s3:PutObject") == {bucket, f"{bucket}/*"}


def test_a_role_is_handed_on_to_one_service_only() -> None:
    for kind, settings in (("app", KINDS["app"]), ("stack", Stack(stack="web", cdk="infra"))):
        for statement in of(kind, settings):
            if "iam:PassRole" in statement.actions:
                assert "iam:PassedToService" in statement.conditions["StringEquals"]


def test_roles_that_are_named_are_the_only_ones_that_are_handed_on() -> None:
    named = App(cluster="c", service="s", repository="r", roles=("service/task", "execution"))
    assert resources(of("app", named), "iam:PassRole") == {
        "arn:aws:iam::111111111111:role/service/task",
        "arn:aws:iam::111111111111:role/execution",
    }
    assert "roles" in next(
        statement.why
        for statement in of("app", KINDS["app"])
        if "iam:PassRole" in statement.actions
    )


@pytest.mark.parametrize("role", ["*", "a*", "", "arn:aws:iam::1:role/x", "a b"])
def test_a_role_is_named_without_stars(role: str) -> None:
    text = (
        'version = 1\n[targets.a]\nkind = "app"\ncluster = "c"\nservice = "s"\nrepository ='
        f' "r"\nroles = ["{role}"]\n'
    )
    with pytest.raises(Exception, match="roles"):
        rules_file.load(text.encode(), "rules.toml", targets.kind, tuple(targets.KINDS))
