"""Inputs outside git: what is read of them, which permissions that needs, and how they stand to
what was recorded.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import Emulator
from toolkit.changes import names
from toolkit.flow.declared_inputs import (
    UNSET,
    InputComparison,
    InputReading,
    RecordedInputs,
    compare_inputs,
    named_version,
    permissions,
    read_inputs,
    read_variable,
)
from toolkit.flow.rulebook import read_rules
from toolkit.model import DeclaredInput, InputSource, Version
from toolkit.operations import Location
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports

ACCOUNT, REGION = "000000000000", "eu-west-1"
PLACE = Location("dev", REGION, ACCOUNT)
PARAMETER = DeclaredInput(InputSource.SSM, "/app/base")
SECRET = DeclaredInput(InputSource.SECRET, "app/database")
RULES = b"""\
version = 1
[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
build = { context = "." }
inputs = ["ssm:/app/base", "secret:app/database", "env:NODE_VERSION"]
"""
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_each_printed_permission_is_needed_and_all_of_them_are_enough(
    strict_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict_emulator.reset()

    def sign_in(key: str, secret: str) -> Ports:
        env = {**strict_emulator.env(region=REGION), "AWS_ACCESS_KEY_ID": key}
        for name, value in {**env, "AWS_SECRET_ACCESS_KEY": secret}.items():
            monkeypatch.setenv(name, value)
        aws = Aws(None, REGION)
        return Ports(str(tmp_path), str(tmp_path / "cache"), SystemClock(), lambda *_: aws)

    root = sign_in("test", strict_emulator.secret).aws(PLACE)
    for name in ("/app/base", "/app/other"):
        root.write("ssm", "put_parameter", Name=name, Value="v", Type="SecureString")
    for name in ("app/database", "app/database-other"):
        root.write("secretsmanager", "create_secret", Name=name, SecretString="s")
    root.write("iam", "create_user", UserName="reader")
    key = root.write("iam", "create_access_key", UserName="reader")["AccessKey"]

    def readings(statements: list[dict[str, Any]], *more: DeclaredInput) -> list[InputReading]:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        root.write(
            "iam", "put_user_policy", UserName="reader", PolicyName="p", PolicyDocument=document
        )
        ports = sign_in(key["AccessKeyId"], key["SecretAccessKey"])
        asked = [(PLACE, each) for each in (PARAMETER, SECRET, *more)]
        return list(read_inputs(asked, ports).values())

    rules = read_rules(RULES, "rules.toml")
    statements = [
        {"Effect": "Allow", "Action": each.actions, "Resource": each.resources}
        for each in permissions(rules, ["app"], [PLACE], {})
    ]
    others = (
        DeclaredInput(InputSource.SSM, "/app/other"),
        DeclaredInput(InputSource.SECRET, "app/database-other"),
    )
    mine, secret, *refused = readings(statements, *others)
    assert (mine.version, len(secret.version)) == ("1", 36)
    assert all("cannot be read" in other.problem for other in refused)
    for number in range(len(statements)):
        without = readings([each for i, each in enumerate(statements) if i != number] or [])
        assert [not reading.problem for reading in without] == [i != number for i in range(2)]


def test_what_could_not_be_read_or_was_not_recorded_is_unknown() -> None:
    recorded = RecordedInputs({"ssm:/app/base": "1"}, NOW.isoformat())
    now = {
        "ssm:/app/base": InputReading(problem="ssm:/app/base cannot be read: no access"),
        "secret:app/database": InputReading("a-b-c"),
    }
    assert compare_inputs((PARAMETER, SECRET), recorded, now, {}, NOW) == InputComparison(
        (),
        (
            "ssm:/app/base cannot be read: no access",
            "nothing says with which version of secret app/database it was deployed",
        ),
    )


def test_versions_of_a_secret_that_begin_alike_are_told_apart() -> None:
    recorded = RecordedInputs({"secret:app/database": "11111111-aaaa"}, NOW.isoformat())
    now = {"secret:app/database": InputReading("11111111-bbbb")}
    [changed] = compare_inputs((SECRET,), recorded, now, {}, NOW).changed
    assert "11111111-bbbb; version 11111111-aaaa was deployed" in changed


def test_what_was_seen_last_is_the_deploy_itself_where_nothing_newer_was_seen() -> None:
    earlier = NOW - timedelta(hours=3)
    recorded = RecordedInputs({"ssm:/app/base": "4"}, earlier.isoformat())
    comparison = compare_inputs((PARAMETER,), recorded, {}, {}, NOW)
    assert comparison == InputComparison(notes=("ssm:/app/base: as seen 3 h ago",))


def test_a_variable_that_is_not_set_differs_from_one_that_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOME_VARIABLE", raising=False)
    assert read_variable("SOME_VARIABLE") == InputReading(UNSET)
    monkeypatch.setenv("SOME_VARIABLE", "")
    assert read_variable("SOME_VARIABLE") == InputReading("=")
    for text in ("a\x1b[31m", "x" * 2000, "ghp_" + "a" * 30):
        monkeypatch.setenv("SOME_VARIABLE", text)
        reading = read_variable("SOME_VARIABLE")
        assert reading.problem
        assert text not in reading.problem


def test_the_name_of_what_is_built_tells_of_its_inputs() -> None:
    target = read_rules(RULES, "rules.toml").targets["app"]
    version = Version("a" * 40, "a" * 40, "f")

    def name(run: str, **versions: str) -> str:
        return named_version(version, target, versions, run).name

    whole = {"one": "1", "two": "2", "three": "3"}
    assert name("r1", **whole) == name("r2", **whole)
    assert name("r1", **whole) != name("r1", **{**whole, "three": "4"})
    # What could not be read may be another one each time.
    assert name("r1", one="1") != name("r2", one="1")
    assert names.is_commit(name("r1", **whole), "a" * 40)
    assert names.without_inputs(name("r1", **whole)) == "a" * 40
