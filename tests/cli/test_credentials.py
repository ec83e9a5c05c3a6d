"""Credentials, as commands meet them: asked for before anything is drawn, exit code 7 where AWS
cannot be asked, and where AWS is.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pexpect
import pytest

from tests.cli.test_deploy_errors import Deploys
from tests.cli.test_deploy_errors import shop as shop
from tests.support.run import ROOT
from toolkit.ports.aws import client

pytestmark = pytest.mark.slow("credentials", keep=25, of="file")

KEYS = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI0123456789\n"
MFA = (
    "[default]\nrole_arn = arn:aws:iam::111111111111:role/d\nsource_profile = y\nmfa_serial ="
    f" arn:aws:iam::1:mfa/ada\n[profile y]\n{KEYS}"
)
GREETS = "[default]\ncredential_process = echo hello\n"
PAST = (
    '[default]\ncredential_process = echo \'{"Version": 1, "AccessKeyId": "A", "SecretAccessKey":'
    ' "S", "SessionToken": "T", "Expiration": "2020-01-01T00:00:00Z"}\'\n'
)
COMMANDS = [
    ("deploy", "--all", "--yes"),
    ("deploy-app", "--dry-run"),
    ("diff", "live"),
    ("health",),
    ("deploy-stack", "jobs", "--dry-run"),
]


@pytest.fixture(autouse=True)
def _patient(shop: Deploys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READ_S", 10)
    monkeypatch.setattr(client, "CALL_S", 30.0)


@pytest.mark.slow("sweeps", keep=8)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("config", "output"),
    [
        (GREETS, "credential_process gives something that is not JSON"),
        (PAST, "credentials have expired"),
        ("[default]\ncredential_process = /nowhere/gives\n", "/nowhere/gives: No such file"),
        ("[default\n", "config cannot be read"),
        ("", "there are no AWS credentials"),
        (MFA, "the role to assume needs an MFA code, and this is not a terminal"),
    ],
    ids=["greets", "past", "missing", "damaged", "nothing", "mfa"],
)
def test_credentials_that_cannot_be_used_end_in_seven_with_what_to_do(
    shop: Deploys, command: tuple[str, ...], config: str, output: str
) -> None:
    shop.config(config)
    result = shop(*command)
    text = " ".join((result.out + result.err).split())
    assert result.code == 7, text
    assert output in text
    assert "bug in toolkit" not in text
    assert "hint: " in result.err or "next: " in result.out


def test_credentials_that_fail_in_the_middle_of_a_deploy_leave_a_run_to_resume(
    shop: Deploys,
) -> None:
    program = shop.folder / "gives"
    soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {
        "Version": 1,
        "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": soon,
    }
    program.write_text(
        f"#!/bin/sh\n[ -e {shop.folder}/over ] && echo hello && exit\ncat"
        f" <<'END'\n{json.dumps(keys)}\nEND\n"
    )
    program.chmod(0o755)
    shop.config(f"[default]\ncredential_process = {program}\n")
    shop.patch.setattr(
        client.Aws, "write", _then(client.Aws.write, lambda: (shop.folder / "over").touch())
    )
    result = shop("deploy-app", "--yes")
    text = " ".join((result.out + result.err).split())
    assert result.code in (5, 7), text
    assert "credential_process gives something that is not JSON" in text
    assert re.search(r"toolkit resume", text)
    assert re.search(r"[Rr]un \d{8}-\d{6}-\w{4}", text)


def _then(do: Any, after: Any) -> Any:
    def wrapped(self: Any, service: str, operation: str, /, *args: Any, **more: Any) -> Any:
        answer = do(self, service, operation, *args, **more)
        if operation == "update_service":
            after()
        return answer

    return wrapped


def given_roles(shop: Deploys) -> list[str]:
    codes: list[str] = []

    def answer(params: Mapping[str, Any]) -> Mapping[str, Any]:
        codes.append(str(params.get("TokenCode")))
        keys = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "s", "SessionToken": "t"}
        return {"Credentials": {**keys, "Expiration": datetime.now(UTC) + timedelta(hours=1)}}

    shop.endpoint.on("sts", "AssumeRole", answer)
    return codes


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize(
    "command",
    [("health",), ("diff", "live"), ("deploy-app", "--dry-run"), ("smoke-test",)],
    ids=" ".join,
)
def test_a_code_is_asked_for_before_anything_is_drawn(
    shop: Deploys, command: tuple[str, ...]
) -> None:
    shop.config(MFA)
    codes = given_roles(shop)
    if command == ("smoke-test",):
        path = shop.repo.path / "rules.toml"
        path.write_text(path.read_text() + '[checks.queue]\naws = "queue:jobs"\n')
        shop.endpoint.on("sqs", "GetQueueUrl", {"QueueUrl": f"{shop.endpoint.url}/jobs"})
        shop.endpoint.on(
            "sqs", "GetQueueAttributes", {"Attributes": {"ApproximateNumberOfMessages": "0"}}
        )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", *command],
        cwd=str(shop.repo.path),
        env=env,
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )
    child.expect(r"Enter MFA code for arn:aws:iam::1:mfa/ada: ?")
    assert child.before == "", "something was drawn before the question"
    child.sendline("123456")
    before = ""
    if command == ("diff", "live"):
        child.expect_exact("What now?")
        before = str(child.before)
        child.sendcontrol("c")
    child.expect(pexpect.EOF)
    before += str(child.before)
    child.close()
    assert codes == ["123456"]
    assert "endpoint: " in before
    assert "123456" not in before


def test_addresses_are_asked_without_credentials_too(shop: Deploys, tmp_path: Any) -> None:
    shop.rules("[targets.jobs]", 'health = ["http://127.0.0.1:9/"]\n[targets.jobs]')
    shop.rules(shop_regions(shop), f'{shop_regions(shop)}\nprivate = true\nhosts = ["127.0.0.1"]')
    shop.repo.commit()
    shop.config(PAST)
    result = shop("health", "--json")
    web = next(item for item in result.json["checkups"] if item["name"] == "web")
    signs = {sign["what"]: sign for sign in web["signs"]}
    assert signs["http://127.0.0.1:9/"]["status"] == "failing"
    assert web["status"] == "failing"
    assert result.code == 1, "something is failing, and not for want of credentials"


def shop_regions(shop: Deploys) -> str:
    return 'regions = ["eu-west-1"]'


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (
            lambda shop: shop.patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            "no answer from AWS",
        ),
        (lambda shop: shop.rules('regions = ["eu-west-1"]', ""), "no AWS region is set"),
        (lambda shop: shop.fault("*", "denied"), "not allowed"),
        (lambda shop: shop.fault("DescribeServices", "denied"), "not allowed"),
        (lambda shop: shop.fault("*", "503"), "having problems"),
    ],
    ids=["unreachable", "no-region", "denied", "partly-denied", "503"],
)
def test_health_that_aws_cannot_be_asked_for_ends_in_seven(
    shop: Deploys, trouble: Any, text: str
) -> None:
    shop.patch.delenv("AWS_REGION", raising=False)
    shop.patch.delenv("AWS_DEFAULT_REGION", raising=False)
    trouble(shop)
    shop.repo.commit()
    result = shop("health", "web", "--json")
    assert result.code == 7, result.out
    assert text in result.out
    assert result.json["exit"] == 7


@pytest.mark.parametrize(
    "command",
    [("health",), ("diff", "live"), ("deploy-app", "--dry-run"), ("smoke-test",)],
    ids=" ".join,
)
def test_an_endpoint_that_is_not_aws_is_named_first(
    shop: Deploys, command: tuple[str, ...]
) -> None:
    if command == ("smoke-test",):
        path = shop.repo.path / "rules.toml"
        path.write_text(path.read_text() + '[checks.queue]\naws = "queue:jobs"\n')
        shop.endpoint.on("sqs", "GetQueueUrl", {"QueueUrl": f"{shop.endpoint.url}/jobs"})
        shop.endpoint.on(
            "sqs", "GetQueueAttributes", {"Attributes": {"ApproximateNumberOfMessages": "0"}}
        )
    first = f"endpoint: {shop.endpoint.url} (not AWS)"
    result = shop(*command)
    assert (result.err + result.out).splitlines()[0] == first
    assert (result.err + result.out).count("(not AWS)") == 1
    assert shop(*command, "--json").json["endpoint"] == shop.endpoint.url
    quiet = shop(*command, "-q")
    assert "endpoint" not in quiet.out + quiet.err


def test_an_endpoint_of_the_profile_is_named_without_its_password(shop: Deploys) -> None:
    secret = shop.endpoint.url.replace("http://", "http://user:hunter2@")
    shop.config(f"[default]\n{KEYS}endpoint_url = {secret}\n")
    shop.patch.delenv("AWS_ENDPOINT_URL")
    result = shop("health", "web")
    assert result.out.splitlines()[0] == f"endpoint: {shop.endpoint.url} (not AWS)"
    assert "hunter2" not in result.out + result.err


RUN = "a run"
RECORDS = [
    ("history",),
    ("show", RUN),
    ("logs", RUN),
    ("permissions",),
    ("record", "show"),
    ("record", "set", "web", "HEAD", "--yes"),
    ("record", "repair"),
    ("lock", "show"),
    ("show", "20261120-000000-none"),
]


@pytest.fixture
def run_of(shop: Deploys) -> Any:
    """The name of a run that a deploy has left, in place of RUN."""
    assert shop("deploy-app", "--yes").code == 0
    [run, *_] = [item["run"] for item in shop("history", "--json").json["runs"]]
    return lambda command: tuple(run if word == RUN else word for word in command)


@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize("command", RECORDS, ids=" ".join)
def test_what_was_recorded_names_the_endpoint_first_too(
    shop: Deploys, run_of: Any, command: tuple[str, ...]
) -> None:
    first = f"endpoint: {shop.endpoint.url} (not AWS)"
    shop.endpoint.calls.clear()
    result = shop(*run_of(command))
    assert result.code == (2 if "none" in command[-1] else 0), result.err
    text = result.err + result.out
    assert text.splitlines()[0] == first
    assert text.count("(not AWS)") == 1
    assert not shop.endpoint.calls, "who needs no bucket asks nobody"


@pytest.mark.parametrize(
    "command",
    [record for record in RECORDS if record[0] not in ("logs", "permissions")][:-1],
    ids=" ".join,
)
def test_a_document_of_what_was_recorded_has_the_endpoint(
    shop: Deploys, run_of: Any, command: tuple[str, ...]
) -> None:
    result = shop(*run_of(command), "--json")
    assert result.json["endpoint"] == shop.endpoint.url
    assert "endpoint: " not in result.err


def test_a_policy_stays_one_and_the_endpoint_is_told_beside_it(shop: Deploys) -> None:
    result = shop("permissions", "--json")
    assert set(result.json) == {"Version", "Statement"}
    assert result.err == f"endpoint: {shop.endpoint.url} (not AWS)\n"


@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize("command", RECORDS[:-1], ids=" ".join)
def test_nothing_is_said_of_the_endpoint_where_it_is_awss_own(
    shop: Deploys, run_of: Any, command: tuple[str, ...]
) -> None:
    shop.patch.setenv("AWS_ENDPOINT_URL_ECS", "https://ecs.eu-west-1.amazonaws.com")
    shop.patch.delenv("AWS_ENDPOINT_URL")
    result = shop(*command)
    assert "endpoint: " not in result.err + result.out


@pytest.mark.parametrize("command", [("history",), ("show", RUN), ("logs", RUN)], ids=" ".join)
def test_own_runs_are_told_without_credentials_and_with_the_endpoint(
    shop: Deploys, run_of: Any, command: tuple[str, ...]
) -> None:
    shop.rules('regions = ["eu-west-1"]', 'regions = ["eu-west-1"]\nstore = "s3://shared/team"')
    shop.repo.commit()
    shop.config(MFA)
    result = shop(*run_of(command))
    assert result.code == 0, result.err
    assert (result.err + result.out).splitlines()[0] == f"endpoint: {shop.endpoint.url} (not AWS)"
    assert "could not " in result.err
