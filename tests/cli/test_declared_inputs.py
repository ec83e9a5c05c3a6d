"""Inputs outside git, as `inputs` of a target declares them: what was deployed with other versions
of them is due. Real processes of toolkit, an emulated AWS.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli import two_stacks
from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from tests.support.sandbox import Cloud

TEMPLATE = 'template = "infra/queue.json"\n'
INPUTS = 'inputs = ["ssm:/{stage}/base-image", "secret:database", "env:NODE_VERSION"]\n'
REGIONS = 'regions = ["eu-west-1"]\n'
RULES = two_stacks.RULES.replace(TEMPLATE, f"{TEMPLATE}{INPUTS}").replace(
    REGIONS, f'{REGIONS}vars = {{ stage = "dev" }}\n'
)
FILES = {
    "infra/queue.json": json.dumps({"Resources": {"Jobs": {"Type": "AWS::SQS::Queue"}}}),
    "infra/topic.json": json.dumps({"Resources": {"News": {"Type": "AWS::SNS::Topic"}}}),
}
VALUES = ("a-value-nobody-sees", "another-one-nobody-sees", "the-rotated-password")
PARAMETER = "/dev/base-image"


class System:
    """Two stacks, one of which has inputs outside git, in an emulated account."""

    def __init__(
        self, folder: Path, cloud: Cloud, toolkit: Toolkit, patch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.aws, self.patch, self._toolkit = folder, cloud.aws(), patch, toolkit
        patch.setenv("TOOLKIT_STATE_DIR", str(folder / "state"))
        patch.setenv("TOOLKIT_CACHE_DIR", str(folder / "cache"))
        patch.setenv("NODE_VERSION", "20")
        self.put_parameter(VALUES[0])
        self.aws.write("secretsmanager", "create_secret", Name="database", SecretString=VALUES[1])
        self.repo = Repo.make(folder / "repo", FILES, RULES)
        self.said: list[str] = []

    def put_parameter(self, value: str) -> None:
        self.aws.write(
            "ssm", "put_parameter", Name=PARAMETER, Value=value, Type="SecureString", Overwrite=True
        )

    def rotate_secret(self) -> None:
        self.aws.write(
            "secretsmanager", "put_secret_value", SecretId="database", SecretString=VALUES[2]
        )

    def __call__(self, *args: str) -> Result:
        done = self._toolkit(self.repo.path, *args)
        self.said += [done.out, done.err]
        return done

    def state(self, *args: str) -> str:
        """The state of the stack with inputs, by `diff`."""
        return str(self("diff", *args, "--json").json["states"]["queue"])

    def deploy(self, *args: str) -> dict[str, Any]:
        """Target -> verdict."""
        done = self("deploy", *args, "--yes", "--json")
        assert done.code == 0, done.err
        return {step["target"]: step["verdict"] for step in done.json["steps"]}


@pytest.fixture
def system(
    tmp_path: Path, cloud: Cloud, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    created = System(tmp_path, cloud, toolkit, monkeypatch)
    assert created.deploy() == {"queue": "succeeded", "topic": "succeeded"}
    yield created
    # No value of a parameter or secret is ever shown or kept, nor a digest of it.
    kept = [
        path.read_bytes()
        for folder in ("state", "cache")
        for path in (tmp_path / folder).rglob("*")
        if path.is_file()
    ]
    assert kept
    for value in VALUES:
        assert value not in "".join(created.said)
        assert not any(value.encode() in data for data in kept)


def test_a_new_version_of_a_parameter_makes_its_target_due(system: System) -> None:
    assert system.state() == "clean"
    system.put_parameter(VALUES[2])
    assert system.state() == "clean"  # nobody has looked since
    live = system("diff", "live")
    assert f"ssm:{PARAMETER} is at version 2; version 1 was deployed" in live.out
    assert system.state() == "due"  # as it was seen last
    assert system.deploy() == {"queue": "succeeded"}
    assert (system.state(), system.state("live")) == ("clean", "clean")


def test_health_shows_what_a_rotated_secret_makes_due(system: System) -> None:
    def states() -> dict[str, str]:
        rows = system("health", "queue", "topic", "--json").json["checkups"]
        return {row["name"]: row["state"] for row in rows if row["name"] != "credentials"}

    assert states() == {"queue": "clean", "topic": "clean"}
    system.rotate_secret()
    assert states() == {"queue": "due", "topic": "clean"}
    assert system.state() == "due"  # it was seen


def test_a_rotated_secret_is_deployed_by_name_though_no_file_has_changed(system: System) -> None:
    assert system.deploy("queue") == {"queue": "unchanged"}
    system.rotate_secret()
    dry = system("deploy", "queue", "--dry-run")
    assert "secret database is at version" in " ".join(f"{dry.out} {dry.err}".split())
    assert system.deploy("queue") == {"queue": "succeeded"}
    assert system.deploy("queue") == {"queue": "unchanged"}
    assert system.state("live") == "clean"


def test_a_variable_is_compared_without_a_question_to_aws(system: System) -> None:
    system.patch.setenv("NODE_VERSION", "22")
    system.aws.write("ssm", "delete_parameter", Name=PARAMETER)  # would be seen by any question
    shown = system("diff").out
    assert "env:NODE_VERSION is '22'; it was '20' at the last deploy" in shown
    system.patch.delenv("NODE_VERSION")
    assert "env:NODE_VERSION is not set; it was '20' at the last deploy" in system("diff").out


def test_plain_diff_says_how_old_its_knowledge_is(system: System) -> None:
    [seen] = (system.folder / "cache" / "inputs").iterdir()
    document = json.loads(seen.read_bytes())
    earlier = (datetime.now(UTC) + timedelta(seconds=5)).isoformat(timespec="seconds")
    for each in document["inputs"].values():
        each["when"] = earlier
    seen.write_text(json.dumps(document))
    note = f"queue: ssm:{PARAMETER}, secret database: as seen just now"
    assert note in system("diff").out + system("diff").err
    seen.unlink()  # then the deploy itself has seen it last
    assert note in system("diff").out
    assert system.state() == "clean"


def test_an_input_that_is_gone_is_unknown_and_a_finding(system: System) -> None:
    system.aws.write("ssm", "delete_parameter", Name=PARAMETER)
    live = system("diff", "live", "--json").json
    assert live["states"]["queue"] == "unknown"
    assert f"ssm:{PARAMETER} does not exist" in json.dumps(live)
    health = system("health", "queue")
    assert health.code != 0
    assert f"ssm:{PARAMETER} does not exist" in health.out


def test_what_was_never_recorded_is_due_once(system: System) -> None:
    rules = RULES.replace('"env:NODE_VERSION"]', '"env:NODE_VERSION", "env:REGISTRY"]')
    (system.repo.path / "rules.toml").write_text(rules)
    system.repo.commit(files={})
    answer = system("diff", "--json").json
    assert answer["states"] == {"queue": "unknown", "topic": "clean"}
    assert "nothing says with which version of env:REGISTRY it was deployed" in json.dumps(answer)
    assert system.deploy() == {"queue": "succeeded"}
    assert system.state() == "clean"


def test_a_variable_that_holds_a_secret_is_neither_kept_nor_known(system: System) -> None:
    system.patch.setenv("NODE_VERSION", "https://user:hunter2hunter2@registry.example.com")
    answer = system("diff", "--json")
    assert answer.json["states"]["queue"] == "unknown"
    assert "env:NODE_VERSION holds what looks like a secret" in answer.out
    assert "hunter2" not in answer.out
