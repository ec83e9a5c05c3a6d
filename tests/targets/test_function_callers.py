"""Who calls a function past its alias: `doctor --aws` asks, and nothing else does."""

import json
from pathlib import Path

import pytest

from tests.names.test_functions import FILES, RULES
from tests.support.aws import Endpoint
from tests.support.aws.functions import Function
from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit.targets.function.callers import allowed_callers


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "repo", FILES, RULES)


@pytest.fixture
def function(aws_endpoint: Endpoint) -> Function:
    return aws_endpoint.functions.function("mail")


def allowed(service: str, source: str) -> dict[str, object]:
    condition = {"ArnLike": {"AWS:SourceArn": source}}
    principal = {"Service": service}
    return {"Effect": "Allow", "Principal": principal, "Condition": condition}


def test_callers_of_the_alias_are_in_order(
    repo: Repo, function: Function, toolkit: Toolkit
) -> None:
    function.sources, function.urls = ["live"], ["live", "other"]
    result = toolkit(repo.path, "doctor", "--aws")
    assert result.code == 0, result.out
    clean = "nothing is known to use a target in a way that its deploys do not reach"
    assert clean in result.out


def test_each_caller_of_latest_is_told(repo: Repo, function: Function, toolkit: Toolkit) -> None:
    function.sources, function.urls = ["", "live"], [""]
    function.policy = json.dumps(
        {"Statement": [allowed("apigateway.amazonaws.com", "arn:aws:execute-api:x:1:a/*")]}
    )
    expected = [
        "event source arn:aws:sqs:eu-west-1:111111111111:queue0 calls $LATEST of mail",
        "its function URL calls $LATEST of mail",
        "apigateway.amazonaws.com (arn:aws:execute-api:x:1:a/*) may call $LATEST of mail",
    ]
    result = toolkit(repo.path, "doctor", "--aws", "--json")
    lines = [f"{words}, past alias live" for words in expected]
    assert (result.code, result.json["bypassed"]) == (1, {"mail": lines})
    text = toolkit(repo.path, "doctor", "--aws").out
    assert all(f"mail: {words}" in text for words in lines)
    assert "hint: let them call the alias; deploys reach nothing else" in text


ROLE = "arn:aws:iam::222222222222:role/batch"


@pytest.mark.parametrize(
    ("statement", "callers"),
    [
        ({"Principal": {"Service": ["s3.amazonaws.com", "sns.amazonaws.com"]}}, ("s3.", "sns.")),
        ({"Principal": {"AWS": ROLE}}, (f"{ROLE} may call",)),
        ({"Principal": {"AWS": [ROLE, "222222222222"]}}, (f"{ROLE} may", "222222222222 may")),
        ({"Principal": {"AWS": "*"}}, ("everybody may call",)),
        ({"Principal": "*"}, ("everybody may call",)),
        (
            {"Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": ["arn:a", "arn:b"]}}},
            ("everybody (arn:a, arn:b) may call",),
        ),
        ({"Principal": {"Federated": "accounts.google.com"}}, ("accounts.google.com may call",)),
        ({"Principal": {"Service": "a.b", "AWS": ROLE}}, ("a.b may", f"{ROLE} may")),
        ({"Principal": "*", "Action": ["lambda:Get*", "LAMBDA:Invoke*"]}, ("everybody may",)),
        ({"Principal": "*", "Action": "*"}, ("everybody may call",)),
        ({"Principal": "*", "NotAction": "lambda:GetPolicy"}, ("everybody may call",)),
        ({"Principal": "*", "Action": "lambda:GetFunction"}, ()),
        ({"Principal": "*", "Effect": "Deny"}, ()),
    ],
)
@pytest.mark.parametrize("is_alone", [True, False])
def test_whoever_a_policy_lets_call_is_told(
    statement: dict[str, object], callers: tuple[str, ...], is_alone: bool
) -> None:
    whole = {"Effect": "Allow", **statement}
    lines = allowed_callers(json.dumps({"Statement": whole if is_alone else [whole]}))
    for line, caller in zip(lines, callers, strict=True):
        assert line.startswith(caller)
        assert line.endswith(" may call")


@pytest.mark.parametrize(
    "policy",
    [
        "no JSON",
        "[]",
        '{"Statement": 5}',
        '{"Statement": [{"Effect": "Allow"}]}',
        '{"Statement": [{"Effect": "Allow", "Principal": {"AWS": [5]}}]}',
        '{"Statement": [{"Effect": "Allow", "NotPrincipal": {"AWS": "1"}}]}',
        '{"Statement": [{"Principal": "*"}]}',
    ],
)
def test_a_policy_that_cannot_be_read_may_let_anybody_call(policy: str) -> None:
    assert [*allowed_callers(policy)] == ["its policy, which cannot be read, may let others call"]


def test_a_policy_that_cannot_be_read_is_not_in_order(
    repo: Repo, function: Function, toolkit: Toolkit
) -> None:
    function.policy = "no JSON"
    result = toolkit(repo.path, "doctor", "--aws")
    assert result.code == 1
    assert "mail: its policy, which cannot be read, may let others call $LATEST" in result.out


def test_what_may_not_be_read_is_not_in_order(
    repo: Repo, function: Function, aws_endpoint: Endpoint, toolkit: Toolkit
) -> None:
    aws_endpoint.fault("lambda:GetPolicy", times=None, kind="denied")
    result = toolkit(repo.path, "doctor", "--aws")
    assert result.code == 1
    assert "mail: who uses it could not be checked: " in result.out
    assert "hint: let them" not in result.out


def test_without_the_option_nobody_is_asked(
    repo: Repo, function: Function, aws_endpoint: Endpoint, toolkit: Toolkit
) -> None:
    function.urls = [""]
    result = toolkit(repo.path, "doctor", "--json")
    assert (result.code, result.json["bypassed"]) == (0, None)
    assert len(aws_endpoint.calls) == 0
