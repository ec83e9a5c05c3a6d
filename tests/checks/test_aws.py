"""What checks ask AWS, and the secrets that come from it, against the emulator."""

import json
from datetime import UTC, datetime

import pytest

from tests.support.aws import Endpoint
from tests.support.sandbox import REGION, Cloud
from toolkit.checks import secrets
from toolkit.checks.aws import AwsSettings, permissions
from toolkit.errors import CloudError, Missing, NotAllowed, Refused
from toolkit.model import Secret
from toolkit.operations import Location
from toolkit.ports.aws import presence
from toolkit.ports.aws.client import Aws

ACCOUNT = "111111111111"
KINDS = ("bucket", "table", "queue", "topic", "parameter", "secret")


def made(cloud: Cloud) -> Aws:
    """An account with one of each."""
    aws = cloud.aws()
    aws.write(
        "s3",
        "create_bucket",
        Bucket="things",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    key = {"AttributeName": "id"}
    aws.write(
        "dynamodb",
        "create_table",
        TableName="things",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{**key, "KeyType": "HASH"}],
        AttributeDefinitions=[{**key, "AttributeType": "S"}],
    )
    aws.write("sqs", "create_queue", QueueName="things")
    aws.write("sns", "create_topic", Name="things")
    aws.write("ssm", "put_parameter", Name="things", Value="open-sesame", Type="SecureString")
    aws.write(
        "secretsmanager",
        "create_secret",
        Name="things",
        SecretString=json.dumps({"password": "open-sesame", "n": 7}),
    )
    return aws


def test_what_is_there_is_found_and_what_is_not_is_missed(cloud: Cloud) -> None:
    aws = made(cloud)
    for what in KINDS:
        assert presence.look(aws, what, "things", ACCOUNT), what
        with pytest.raises(Missing) as missing:
            presence.look(aws, what, "other", ACCOUNT)
        assert str(missing.value).startswith(f"there is no {what} other"), what


def test_every_sort_has_its_permissions() -> None:
    assert presence.ACTIONS.keys() == set(KINDS)
    for what in KINDS:
        [statement] = permissions(AwsSettings(aws=f"{what}:things"))
        assert (statement.actions, statement.why) == (
            presence.ACTIONS[what],
            f"check that {what} things exists",
        )


def test_what_may_not_be_asked_is_not_missing(aws_endpoint: Endpoint) -> None:
    aws_endpoint.on("ssm", "GetParameters", {"Parameters": []})
    aws_endpoint.fault("ssm:GetParameters", times=None, kind="denied")
    with pytest.raises(NotAllowed):
        presence.look(Aws(None, "eu-west-1"), "parameter", "things", ACCOUNT)


def test_a_secret_that_is_to_be_deleted_is_not_well(aws_endpoint: Endpoint) -> None:
    aws_endpoint.on(
        "secretsmanager",
        "DescribeSecret",
        {"Name": "things", "DeletedDate": datetime(2026, 11, 27, tzinfo=UTC)},
    )
    with pytest.raises(CloudError, match="secret things is to be deleted"):
        presence.look(Aws(None, "eu-west-1"), "secret", "things", ACCOUNT)


@pytest.mark.parametrize(
    ("secret", "value"),
    [
        (Secret("word", ssm="{name}"), "open-sesame"),
        (Secret("word", secret="{name}", key="password"), "open-sesame"),
        (Secret("word", secret="{name}", key="n"), "7"),
        (Secret("word", secret="{name}"), '{"password": "open-sesame", "n": 7}'),
    ],
)
def test_a_secret_comes_from_where_rules_toml_says(
    secret: Secret, value: str, cloud: Cloud
) -> None:
    assert secrets.value(secret, made(cloud), {"name": "things"}) == value


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (
            Secret("word", env="NOT_SET_ANYWHERE"),
            "the variable NOT_SET_ANYWHERE of secret 'word' is not set",
        ),
        (Secret("word", ssm="other"), "there is no parameter other in eu-west-1 for secret 'word'"),
        (Secret("word", secret="other"), "there is no secret other in eu-west-1 for secret 'word'"),
        (Secret("word", secret="things", key="user"), "things has no key user for secret 'word'"),
    ],
)
def test_one_that_is_not_there_is_refused_without_a_word_of_any(
    secret: Secret, words: str, cloud: Cloud
) -> None:
    with pytest.raises(Refused) as refused:
        secrets.value(secret, made(cloud), {})
    assert str(refused.value) == words
    assert "open-sesame" not in str(refused.value.facts)


PLACE = Location("dev", "eu-west-1", ACCOUNT)


def test_what_a_secret_needs_is_said_narrowly() -> None:
    [stored] = secrets.permissions(
        Secret("word", secret="demo{suffix}"), PLACE, {"suffix": "-prod"}
    )
    assert stored.resources == ("arn:aws:secretsmanager:eu-west-1:111111111111:secret:demo-prod-*",)
    [parameter] = secrets.permissions(Secret("word", ssm="/demo/word"), PLACE, {})
    assert parameter.resources == ("arn:aws:ssm:eu-west-1:111111111111:parameter/demo/word",)
    assert secrets.permissions(Secret("word", env="WORD"), PLACE, {}) == ()
