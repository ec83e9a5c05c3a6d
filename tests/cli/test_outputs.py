"""`toolkit outputs`: what runs now has these addresses; what could not be asked is unknown."""

from pathlib import Path

import pytest

from tests.support.aws import Endpoint
from tests.support.run import Result, Toolkit

RULES = """\
version = 1
project = "outputs"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "web"
health = ["https://web.example.com/health", "https://web.example.com/ready"]
[targets.api]
kind = "stack"
stack = "Api"
template = "api.json"
outputs = ["Url", "Table"]
[targets."data.base"]
kind = "stack"
stack = "Data"
template = "data.json"
outputs = ["Name"]
[targets.press]
kind = "manual"
instructions = "call them"
[targets.backend]
kind = "group"
members = ["api", "web"]
"""
URL = "https://api.example.com/v1"


class Stage:
    """A service and two stacks of a scripted AWS."""

    def __init__(self, endpoint: Endpoint, folder: Path, toolkit: Toolkit) -> None:
        self.endpoint, self.folder, self._toolkit = endpoint, folder, toolkit
        uri = endpoint.ecr.repository("web").uri
        endpoint.ecr.image("web", "v1")
        endpoint.ecs.service("web", f"{uri}:v1")
        outputs = {"Url": URL, "Table": "things", "Password": "not for everybody"}
        endpoint.cloudformation.stack("Api", outputs=outputs)
        (folder / "rules.toml").write_text(RULES)

    def outputs(self, *args: str) -> Result:
        return self._toolkit(self.folder, "outputs", *args)


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path, toolkit: Toolkit) -> Stage:
    folder = tmp_path / "project"
    folder.mkdir()
    return Stage(aws_endpoint, folder, toolkit)


def test_all_targets_show_what_they_have_now(stage: Stage) -> None:
    answer = stage.outputs()
    assert answer.code == 0, answer.err
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["api", "Url", URL] in rows
    assert ["api", "Table", "things"] in rows
    assert ["web", "HealthUrl", "https://web.example.com/health"] in rows
    assert ["web", "HealthUrl2", "https://web.example.com/ready"] in rows
    assert ["data.base", "-", "none"] in rows  # that stack does not exist yet
    assert ["press", "-", "none"] in rows
    assert "dev (account 111111111111, eu-west-1)" in answer.out
    assert "Password" not in answer.out


def test_a_group_stands_for_its_members(stage: Stage) -> None:
    answer = stage.outputs("backend", "--json")
    assert {row["target"]: row["outputs"] for row in answer.json["targets"]} == {
        "api": {"Url": URL, "Table": "things"},
        "web": {
            "HealthUrl": "https://web.example.com/health",
            "HealthUrl2": "https://web.example.com/ready",
        },
    }
    assert (answer.json["status"], answer.json["exit"], answer.json["environment"]) == (
        "ok",
        0,
        "dev",
    )


def test_a_quiet_output_is_its_value_and_nothing_else(stage: Stage) -> None:
    answer = stage.outputs("-q", "api.Url")
    assert (answer.code, answer.out, answer.err) == (0, f"{URL}\n", "")


def test_a_target_with_dots_in_its_name_has_outputs_like_any_other(stage: Stage) -> None:
    stage.endpoint.cloudformation.stack("Data", outputs={"Name": "orders"})
    assert stage.outputs("-q", "data.base.Name").out == "orders\n"
    assert stage.outputs("-q", "data.base").out == "orders\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("apo.Url", "did you mean 'api'?"),
        ("api.Nothing", "api has no output 'Nothing'"),
        ("api.Password", "api has no output 'Password'"),
        ("api.", "invalid output 'api.'"),
        (".Url", "has no target '.Url'"),
    ],
)
def test_a_name_that_does_not_exist_is_refused(stage: Stage, name: str, words: str) -> None:
    answer = stage.outputs("-q", name)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err


@pytest.mark.parametrize(("kind", "code"), [("denied", 7), ("error", 1)])
def test_a_look_that_failed_is_unknown_and_the_others_are_shown(
    stage: Stage, kind: str, code: int
) -> None:
    stage.endpoint.fault("DescribeServices", None, kind, code="Boom", message="no")
    answer = stage.outputs()
    assert answer.code == code
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["web", "-", "unknown"] in rows
    assert ["api", "Url", URL] in rows
    assert "\nweb: " in answer.out
    document = stage.outputs("--json").json
    assert (document["status"], document["exit"]) == ("unknown", code)
    [web] = [row for row in document["targets"] if row["target"] == "web"]
    assert web["outputs"] is None
    assert web["problem"]


def test_a_script_gets_no_value_at_all_where_one_is_unknown(stage: Stage) -> None:
    stage.endpoint.fault("DescribeServices", None, "denied")
    answer = stage.outputs("-q", "api.Url", "web.HealthUrl")
    assert (answer.code, answer.out) == (7, "")
    assert "error: web is unknown: " in answer.err


def test_another_account_is_unknown_and_nothing_of_it_is_shown(stage: Stage) -> None:
    rules = RULES.replace("111111111111", "222222222222")
    (stage.folder / "rules.toml").write_text(rules)
    answer = stage.outputs("api")
    assert answer.code == 7
    assert URL not in answer.out
    assert "222222222222" in answer.out


def test_what_is_silent_is_unknown_at_the_deadline(stage: Stage) -> None:
    stage.endpoint.latency(30, "DescribeStacks")
    answer = stage.outputs("api", "web", "--timeout", "1s")
    assert answer.code == 7
    assert "no answer within 1 s" in answer.out
    assert "https://web.example.com/health" in answer.out
    stage.endpoint.release()


def test_hostile_values_move_no_cursor_and_reach_no_script(stage: Stage) -> None:
    stage.endpoint.cloudformation.stacks["Api"].outputs["Url"] = "https://x/\x9b2J ::error::"
    shown = stage.outputs("api.Url")
    assert shown.code == 0
    assert "\x9b" not in shown.out
    assert "\\u009b2J" in shown.out
    quiet = stage.outputs("-q", "api.Url")
    assert (quiet.code, quiet.out) == (2, "")


def test_a_secret_is_hidden_and_no_script_gets_half_of_it(stage: Stage) -> None:
    secret = "https://ada:hunter2hunter2@db.example.com"
    stage.endpoint.cloudformation.stacks["Api"].outputs["Url"] = secret
    for args in (("api",), ("api", "--json"), ("-q", "api.Url")):
        answer = stage.outputs(*args)
        assert "hunter2" not in answer.out + answer.err
    assert "looks like a secret" in answer.err
    assert (answer.code, answer.out) == (2, "")


def test_several_regions_are_told_apart(stage: Stage) -> None:
    rules = RULES.replace('["eu-west-1"]', '["eu-west-1", "us-east-1"]')
    (stage.folder / "rules.toml").write_text(rules)
    answer = stage.outputs("api")
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["api@eu-west-1", "Url", URL] in rows
    assert ["api@us-east-1", "-", "none"] in rows


def test_a_service_without_tasks_has_no_address(stage: Stage) -> None:
    stage.endpoint.ecs.service("idle", "web:v1", desired=0)
    rules = RULES.replace('service = "web"', 'service = "idle"')
    (stage.folder / "rules.toml").write_text(rules)
    rows = [line.split() for line in stage.outputs("web").out.splitlines()]
    assert ["web", "-", "none"] in rows
