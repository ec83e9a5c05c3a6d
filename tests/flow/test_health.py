"""`health`: one deadline, what was not seen is unknown, and what runs is held against what is known
of it.
"""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import AwsError, Endpoint
from tests.support.aws.clock import EndpointClock
from toolkit import targets
from toolkit.checks import addresses
from toolkit.errors import UsageError
from toolkit.flow import health
from toolkit.flow.drift import outside_change
from toolkit.flow.health import HealthRequest, check_health
from toolkit.flow.health_questions import compare_address, start_questions
from toolkit.flow.rulebook import load_rules
from toolkit.flow.selection import require_target
from toolkit.model import Version
from toolkit.operations import (
    DeployedState,
    Finding,
    HealthReport,
    HealthResult,
    HealthStatus,
    Job,
    LiveVersion,
)
from toolkit.ports.aws import client
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.show.advice import sentence

RULES = """\
version = 1
project = "health"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
private = true
hosts = ["127.0.0.1"]
"""
APP = '[targets.{name}]\nkind = "app"\ncluster = "main"\nservice = "{name}"\nrepository = "web"\n'


@dataclass
class HealthStage:
    """Services of a scripted AWS, and a rules.toml that names them."""

    endpoint: Endpoint
    folder: Path

    def rules(self, *names: str, more: str = "") -> None:
        uri = self.endpoint.ecr.repository("web").uri
        self.endpoint.ecr.image("web", "v1")
        for name in names:
            self.endpoint.ecs.service(name, f"{uri}:v1", group=f"{name}-tg")
        (self.folder / "rules.toml").write_text(
            RULES + "".join(APP.format(name=name) for name in names) + more
        )

    def look(
        self, timeout_s: float = 20.0, environment: str | None = None, names: tuple[str, ...] = ()
    ) -> HealthResult:
        by_name: dict[tuple[str | None, str | None], Aws] = {}
        ports = Ports(
            str(self.folder),
            str(self.folder),
            EndpointClock(self.endpoint),
            lambda *location: by_name.setdefault(location, Aws(None, "eu-west-1")),
        )
        return check_health(
            HealthRequest(
                folder=str(self.folder),
                timeout_s=timeout_s,
                environment=environment,
                targets=names,
            ),
            None,
            ports,
        )


@pytest.fixture
def stage(
    aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HealthStage]:
    folder = tmp_path / "repo"
    folder.mkdir()
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    yield HealthStage(aws_endpoint, folder)
    aws_endpoint.release()


def of(looked: HealthResult, name: str) -> HealthReport:
    return next(checkup for checkup in looked.checkups if checkup.name == name)


def findings(looked: HealthResult) -> list[Finding]:
    return list(chain.from_iterable(checkup.findings for checkup in looked.checkups))


def test_everything_that_answers_well_is_ok(stage: HealthStage) -> None:
    stage.rules("one", "two")
    looked = stage.look()
    assert {checkup.name: checkup.status for checkup in looked.checkups} == {
        "credentials": "ok",
        "one": "ok",
        "two": "ok",
    }
    assert (looked.status, looked.exit) == ("ok", 0)


def test_what_does_not_answer_in_time_is_unknown_and_what_did_is_kept(stage: HealthStage) -> None:
    stage.rules("one")
    stage.endpoint.fault("elbv2:DescribeTargetHealth", times=None, kind="silent")
    began = time.monotonic()
    looked = stage.look(timeout_s=6)
    assert time.monotonic() - began < 14
    signs = {sign.what: sign.status for sign in of(looked, "one").findings}
    assert (signs["service"], signs["one"], of(looked, "one").status) == (
        "ok",
        "unknown",
        "unknown",
    )
    late = next(sign for sign in of(looked, "one").findings if sign.what == "one")
    assert (late.cause, sentence(late.next), looked.exit) == (
        "no answer within 6 s from elbv2:DescribeTargetHealth",
        "give it more time: toolkit health one --timeout 12s",
        7,
    )


def test_a_silent_call_is_named_for_all_that_wait_for_it_and_for_nobody_else(
    stage: HealthStage,
) -> None:
    gone = '[targets.gone]\nkind = "stack"\nstack = "S"\ntemplate = "t.json"\n'
    stage.rules("one", "two", more=gone)
    stage.endpoint.fault("ecs:DescribeServices", times=None, kind="silent")
    stage.endpoint.fault("cloudformation:*", times=None, kind="silent")
    looked = stage.look(timeout_s=2)
    late = {
        sign.what: sign.cause.partition(" s from ")[2]
        for sign in findings(looked)
        if sign.what in ("one", "two", "gone")
    }
    assert late["one"] == late["two"] == "ecs:DescribeServices"
    assert late["gone"].startswith("cloudformation:")
    assert "," not in late["gone"]


def test_an_endpoint_that_is_down_is_one_cause_for_all(
    stage: HealthStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.rules("one", "two")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    looked = stage.look()
    assert {sign.common for sign in findings(looked)} == {
        f"no answer from AWS: nothing listens at 127.0.0.1:{port}"
    }
    assert looked.exit == 7


def test_where_and_with_whose_credentials_it_was_checked_is_part_of_the_answer(
    stage: HealthStage,
) -> None:
    stage.rules("one")
    [location] = stage.look().locations
    assert (location.environment, location.account, location.region) == (
        "dev",
        "111111111111",
        "eu-west-1",
    )
    assert (location.caller, location.caller_account) == ("deployer", "111111111111")
    stage.endpoint.fault("*", times=None, kind="expired")
    [location] = stage.look().locations
    assert (location.account, location.caller) == ("111111111111", "")


def test_whatever_the_table_shows_can_be_asked_for_by_its_name(stage: HealthStage) -> None:
    more = '[checks.name]\ndns = "localhost"\n[targets.both]\nkind = "group"\nmembers = ["one"]\n'
    stage.rules("one", "two", more=more)

    def names(*asked: str) -> list[str]:
        return [checkup.name for checkup in stage.look(names=asked).checkups]

    assert names("name") == ["name"]
    assert names("credentials") == ["credentials"]
    assert names("two@eu-west-1", "name") == ["credentials", "two", "name"]
    assert names("dev one") == names("dev one@eu-west-1") == names("both") == ["credentials", "one"]


@pytest.mark.parametrize("asked", ["mail-eu-west-1", "main/mail-eu-west-1"])
def test_who_names_the_service_hears_which_target_deploys_it(
    stage: HealthStage, asked: str
) -> None:
    office = APP.format(name="office").replace('service = "office"', 'service = "mail-{region}"')
    stage.rules("one", more=office)
    with pytest.raises(UsageError) as refused:
        stage.look(names=(asked,))
    hint = f"did you mean 'office'? It deploys the service {asked!r}"
    assert sentence(refused.value.next) == hint
    rules = load_rules(str(stage.folder), None, None)
    with pytest.raises(UsageError) as refused:
        require_target(asked, rules)
    assert sentence(refused.value.next) == hint


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ("nmae", "rules.toml has no target or check 'nmae'", "did you mean 'name'?"),
        ("zzzzz", "rules.toml has no target or check 'zzzzz'", "it has credentials, one, name"),
        (
            "page",
            "health does not ask check 'page'",
            "use `toolkit smoke-test --only page`",
        ),
        (
            "letter",
            "the health of target 'letter' cannot be checked",
            "toolkit cannot ask for the health of kind manual",
        ),
        (
            "post",
            "the health of target 'post' cannot be checked",
            "toolkit cannot ask for the health of kind manual",
        ),
        (
            "elsewhere",
            "check 'elsewhere' is only for prod",
            "ask it there: toolkit health elsewhere --env prod",
        ),
        (
            "login",
            "health does not ask check 'login'",
            "use `toolkit smoke-test --only login --env prod`",
        ),
    ],
)
def test_a_name_without_a_row_is_refused_with_what_helps(
    stage: HealthStage, asked: str, message: str, hint: str
) -> None:
    more = '[checks.name]\ndns = "localhost"\n[checks.page]\nhttp = "GET /"\n'
    more += '[checks.elsewhere]\ndns = "localhost"\nenvironments = ["prod"]\n'
    more += '[checks.login]\nhttp = "GET /"\nenvironments = ["prod"]\n'
    more += "[environments.prod]\n"
    more += '[targets.letter]\nkind = "manual"\ninstructions = "write it"\n'
    more += '[targets.post]\nkind = "group"\nmembers = ["letter"]\n'
    stage.rules("one", more=more)
    with pytest.raises(UsageError) as refused:
        stage.look(names=(asked,))
    assert str(refused.value).endswith(message)
    assert sentence(refused.value.next) == hint


def test_commands_of_the_aws_cli_name_a_region_and_profile_that_it_does_not_know_itself(
    stage: HealthStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.rules("one")
    stage.endpoint.ecs.find("one").desired = 0
    scale = "aws ecs update-service --cluster main --service one --desired-count 1"
    for region, command in (
        ("eu-west-1", scale),
        ("us-east-1", f"{scale} --region eu-west-1"),
    ):
        monkeypatch.setenv("AWS_REGION", region)
        report = of(stage.look(), "one")
        assert command in {sentence(finding.next, report.same) for finding in report.findings}


def test_an_aws_that_never_answers_leaves_everything_unknown_by_the_deadline(
    stage: HealthStage,
) -> None:
    stage.rules("one", "two")
    stage.endpoint.fault("*", times=None, kind="silent")
    began = time.monotonic()
    looked = stage.look(timeout_s=1.5)
    assert time.monotonic() - began < 7
    assert {checkup.status for checkup in looked.checkups} == {"unknown"}
    assert not any(sign.status == "ok" for sign in findings(looked))


def test_credentials_that_never_come_leave_everything_unknown_by_the_deadline(
    stage: HealthStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.rules("one")
    config = stage.folder / "aws-config"
    config.write_text('[default]\ncredential_process = sh -c "sleep 9"\n')
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    began = time.monotonic()
    looked = stage.look(timeout_s=1)
    assert time.monotonic() - began < 7
    assert {checkup.status for checkup in looked.checkups} == {"unknown"}


def test_a_shared_record_that_does_not_answer_in_time_is_a_note_and_costs_no_more_than_the_deadline(
    stage: HealthStage,
) -> None:
    stage.rules("one")
    rules = stage.folder / "rules.toml"
    rules.write_text(
        rules.read_text().replace("private = true", 'private = true\nstore = "s3://records"')
    )
    stage.endpoint.fault("s3:*", times=None, kind="silent")
    began = time.monotonic()
    looked = stage.look(timeout_s=2)
    assert time.monotonic() - began < 7
    assert (of(looked, "one").status, looked.notes) == (
        "ok",
        ("the record of what is live was not read within 2 s",),
    )


def test_one_target_that_hangs_costs_the_others_nothing(stage: HealthStage) -> None:
    stage.rules(
        "one", "two", more='[targets.gone]\nkind = "stack"\nstack = "S"\ntemplate = "t.json"\n'
    )
    stage.endpoint.fault("cloudformation:*", times=None, kind="silent")
    looked = stage.look(timeout_s=2)
    assert {checkup.name: checkup.status for checkup in looked.checkups} == {
        "credentials": "ok",
        "one": "ok",
        "two": "ok",
        "gone": "unknown",
    }


def test_credentials_of_another_account_make_everything_unknown_and_the_exit_code_seven(
    stage: HealthStage,
) -> None:
    stage.rules("one")
    stage.endpoint.account = "999999999999"
    looked = stage.look()
    assert ([checkup.status for checkup in looked.checkups], looked.exit) == (
        ["failing", "unknown"],
        7,
    )


def test_expired_credentials_are_told_once_with_how_to_renew_them(stage: HealthStage) -> None:
    stage.rules("one", "two")
    stage.endpoint.fault("*", times=None, kind="expired")
    looked = stage.look()
    assert looked.exit == 7
    causes = {sign.cause for sign in findings(looked)}
    assert causes == {"the AWS credentials have expired"}
    commands = {sentence(sign.next) for sign in findings(looked)}
    assert commands == {"sign in again: aws sso login"}


def test_a_machine_that_starts_its_questions_slowly_makes_no_more_calls(
    stage: HealthStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.rules("one", "two", "three", "four")
    monkeypatch.setattr(client, "WINDOW_S", 0.1)

    def slowly(*about: Any) -> None:
        start_questions(*about)
        time.sleep(0.15)  # longer than anybody waits for the next one

    monkeypatch.setattr(health, "start_questions", slowly)
    assert stage.look().status == "ok"
    once = (
        "ecs:DescribeServices",
        "ecs:ListTasks",
        "cloudwatch:DescribeAlarms",
        "ecr:DescribeImages",
    )
    assert {name: stage.endpoint.calls.count(name) for name in once} == dict.fromkeys(once, 1)


def test_what_fails_without_credentials_is_a_failure_and_no_matter_of_credentials(
    stage: HealthStage,
) -> None:
    stage.endpoint.account = "999999999999"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    stage.rules("one", more=f'[checks.shut]\ntls = "127.0.0.1:{port}"\n')
    looked = stage.look()
    assert ({checkup.name: checkup.status for checkup in looked.checkups}, looked.exit) == (
        {"credentials": "failing", "one": "unknown", "shut": "failing"},
        1,
    )
    assert of(looked, "shut").findings[0].detail == "unexpected answer"


def test_an_address_that_may_not_be_asked_is_unknown(
    stage: HealthStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_PROBE_HOSTS", "elsewhere.example.com")
    stage.rules(
        "one", more='health = ["http://127.0.0.1:1/health"]\n[checks.name]\ndns = "127.0.0.1"\n'
    )
    looked = stage.look()
    address = next(sign for sign in of(looked, "one").findings if sign.what.startswith("http://"))
    name = of(looked, "name").findings[0]
    assert (address.status, address.detail, name.status, name.detail) == (
        "unknown",
        "not asked",
        "unknown",
        "could not be checked",
    )
    assert sentence(address.next).startswith("add it to `hosts`")


def test_what_is_not_there_and_what_could_not_be_seen_are_two_things(stage: HealthStage) -> None:
    stage.rules("one", more='[checks.limit]\naws = "parameter:/limit"\n')
    stage.endpoint.on("ssm", "GetParameters", {"Parameters": [], "InvalidParameters": ["/limit"]})
    actual = of(stage.look(), "limit").findings[0]
    assert (actual.status, actual.detail) == ("failing", "not there"), actual.cause
    stage.endpoint.on("ssm", "GetParameters", AwsError("AccessDeniedException", "no"))
    actual = of(stage.look(), "limit").findings[0]
    assert (actual.status, actual.detail) == ("unknown", "could not be checked")


def test_expired_credentials_are_told_where_aws_has_no_words_for_them(stage: HealthStage) -> None:
    """An answer to HEAD has no content: all that comes is 400."""
    stage.rules("one", more='[checks.bucket]\naws = "bucket:web"\n')
    stage.endpoint.on("s3", "HeadBucket", AwsError("400", "Bad Request", 400))
    stage.endpoint.fault("s3:ListObjectsV2", times=None, kind="expired")
    actual = of(stage.look(), "bucket").findings[0]
    assert (actual.status, sentence(actual.next).partition(";")[0]) == (
        "unknown",
        "sign in again: aws sso login",
    )
    assert actual.cause.endswith("the AWS credentials have expired")


def test_one_that_is_failing_is_no_matter_of_credentials(stage: HealthStage) -> None:
    stage.rules("one")
    stage.endpoint.ecs.find("one").desired = 2
    stage.endpoint.fault("elbv2:*", times=None, kind="denied")
    assert stage.look().exit == 1


def test_a_health_address_where_nobody_listens_is_failing_with_its_cause(
    stage: HealthStage,
) -> None:
    stage.rules("one")
    text = (stage.folder / "rules.toml").read_text()
    (stage.folder / "rules.toml").write_text(
        text + 'health = ["http://127.0.0.1:9/health?token=x"]\n'
    )
    app = of(stage.look(), "one")
    [sign] = [sign for sign in app.findings if sign.status != "ok"]
    assert (app.status, sign.cause) == (
        "failing",
        "http://127.0.0.1:9/health: nothing listens at 127.0.0.1:9",
    )


def test_what_to_do_next_is_said_for_the_environment_that_was_looked_at(stage: HealthStage) -> None:
    prod = '[environments.prod]\naccount = "111111111111"\nprivate = true\nhosts = ["localhost"]\n'
    stage.rules(
        "one",
        more=prod
        + '[checks.name]\ndns = "localhost"\nexpect.addresses = ["10.0.0.9"]\nenvironments ='
        ' ["prod"]\n',
    )
    report = of(stage.look(environment="prod"), "name")
    [sign] = report.findings
    assert sentence(sign.next, report.same) == "toolkit smoke-test --only name --env prod"


@pytest.mark.parametrize(
    ("others", "status"),
    [
        ((), "failing"),
        ((LiveVersion("3e8a51c"), None), "ok"),
        ((LiveVersion("b61f09d"),), "failing"),
        ((LiveVersion("v1.4"),), "failing"),
    ],
)
def test_an_address_that_others_share_may_be_answered_by_any_of_them(
    others: tuple[LiveVersion | None, ...], status: str
) -> None:
    sign = Finding("http://a/health", HealthStatus.OK, "answers in 12ms", version="3e8a51c")
    assert compare_address(sign, LiveVersion("90d7db0"), others).status == status


def test_each_row_of_a_check_is_looked_at(stage: HealthStage) -> None:
    rows = 'rows = [{ name = "localhost" }, { name = "nothing.invalid" }]'
    more = f'[checks.names]\ndns = "{{name}}"\n{rows}\n'
    hosts = '[environments.prod]\nprivate = true\nhosts = ["localhost", "nothing.invalid"]\n'
    stage.rules("one", more=hosts + more)
    looked = stage.look(environment="prod")
    statuses = [report.status for report in looked.checkups if report.name == "names"]
    assert statuses.count(HealthStatus.OK) == 1
    assert len(statuses) == 2


def test_a_rules_toml_that_names_nothing_to_look_at_is_refused(stage: HealthStage) -> None:
    stage.rules()
    from toolkit.errors import Refused

    with pytest.raises(Refused, match="has nothing to check") as refused:
        stage.look()
    hint = "add a target of kind app, stack, function, site or command, or a check"
    assert sentence(refused.value.next) == hint


def test_a_program_that_a_check_names_is_not_started(stage: HealthStage) -> None:
    marker = stage.folder / "ran"
    stage.rules("one", more=f'[checks.suite]\ncommand = ["touch", "{marker}"]\n')
    assert {checkup.name for checkup in stage.look().checkups} == {"credentials", "one"}
    assert not marker.exists()


LIVE = LiveVersion(
    "v2",
    "c2",
    "f2",
    "r2",
    "2026-11-27T10:00:00+00:00",
    {"task definition": "arn:web:7", "image": "web@sha256:1"},
)


def record(run: str = "r2", when: str = "2026-11-27T10:05:00+00:00", **detail: str) -> Record:
    return Record("app", "dev", "eu-west-1", "v2", "c2", "f2", run, when, "succeeded", detail)


@pytest.mark.parametrize(
    ("live", "records", "why"),
    [
        (LIVE, [record(**{"task definition": "arn:web:7"})], ""),
        (LIVE, [record("r3"), record(**{"task definition": "arn:web:7"})], ""),
        (
            LIVE,
            [record(**{"task definition": "arn:web:6"})],
            "arn:web:7 comes from no recorded deploy",
        ),
        (LIVE, [record("r1")], "arn:web:7 comes from run r2, which is not recorded here"),
        (  # it is what an older run deployed, and not the newest
            replace(LIVE, deployed=DeployedState(definition="arn:web:7")),
            [
                replace(record("r4"), deployed=DeployedState(definition="arn:web:8")),
                replace(record("r3"), deployed=DeployedState(definition="arn:web:7")),
            ],
            "arn:web:7 comes from run r2, which is not recorded here",
        ),
        (  # a later run has seen it, and had nothing to do
            replace(LIVE, deployed=DeployedState(definition="arn:web:7")),
            [
                replace(
                    record("r3", **{"task definition": "arn:web:7"}),
                    deployed=DeployedState(definition="arn:web:7"),
                )
            ],
            "",
        ),
        (LIVE, [record()], ""),
        (
            LiveVersion("v2", None, None, None, None, {"task definition": "x/web:8"}),
            [record()],
            "web:8 was not deployed by toolkit",
        ),
        (
            LiveVersion("v2", "c2", "f2", "r2", "2026-11-27T10:04:00+00:00", {"stack": "s"}),
            [record()],
            "",
        ),
        (
            LiveVersion(None, detail={"stack": "s"}, deployed=DeployedState(template="t")),
            [
                replace(record("r3"), deployed=DeployedState(template="other")),
                replace(record(), deployed=DeployedState(template="t")),
            ],
            "another tool has removed toolkit's tags; what runs is still what run r2 deployed",
        ),
        (
            LiveVersion(
                None, detail={"task definition": "x/web:8"}, deployed=DeployedState(definition="d")
            ),
            [
                replace(
                    record(**{"task definition": "x/web:7"}), deployed=DeployedState(definition="d")
                )
            ],
            "web:8 was not deployed by toolkit; it is the same as what run r2 deployed",
        ),
        (
            LiveVersion(
                None, detail={"task definition": "x/web:7"}, deployed=DeployedState(definition="d")
            ),
            [
                replace(
                    record("r3", **{"task definition": "x/web:8"}),
                    deployed=DeployedState(definition="d"),
                ),
                replace(
                    record(**{"task definition": "x/web:7"}), deployed=DeployedState(definition="d")
                ),
            ],
            "another tool has removed toolkit's tags; what runs is still what run r2 deployed",
        ),
        (
            LiveVersion(None, detail={"stack": "s"}, deployed=DeployedState(template="t")),
            [replace(record(), deployed=DeployedState(template="other")), record()],
            "what runs was not deployed by toolkit",
        ),
        (
            LiveVersion("v2", "c2", "f2", "r2", "2026-11-27T12:00:00+00:00", {"stack": "s"}),
            [record()],
            "it was changed at 2026-11-27 12:00 UTC, but no deploy is recorded for that time",
        ),
        (
            LiveVersion("v2", "c2", "f2", "r2", "2026-11-27T12:00:00+00:00", {"stack": "s"}),
            [record(when="9999-12-31T23:59:59+00:00")],
            "",
        ),
        (
            LiveVersion(
                "v2",
                "c2",
                "f2",
                "r2",
                None,
                {"stack": "s"},
                deployed=DeployedState(template="other"),
            ),
            [replace(record(), deployed=DeployedState(template="t"))],
            "what runs is not what run r2 deployed",
        ),
        (
            LiveVersion("v1", "c1", "f1", "r2", None, {"stack": "s"}),
            [record()],
            "run r2 is recorded as v2, but what runs reports v1",
        ),
    ],
)
def test_what_no_deploy_has_put_there_is_somebody_elses(
    live: LiveVersion, records: list[Record], why: str
) -> None:
    assert outside_change(targets.kind("app"), live, records) == why


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"commit": "3e8a51c"}, "3e8a51c"),
        (
            {"version": "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04"},
            "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04",
        ),
        ({"version": "1.4.2"}, ""),
        ({"commit": 7}, ""),
        (["3e8a51c"], ""),
        ({"commit": "unknown", "version": "90d7db0"}, "90d7db0"),
        ({"version": "20261120"}, ""),
        ({"commit": "1234567"}, "1234567"),
    ],
)
def test_an_answer_says_what_it_is_only_where_it_names_a_commit(content: object, text: str) -> None:
    assert addresses.reported_version(content) == text


@pytest.mark.parametrize(
    ("text", "deployed", "another"),
    [
        (
            "3e8a51c",
            Version(
                "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04",
                "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04",
                "f",
            ),
            False,
        ),
        (
            "90d7db0",
            Version(
                "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04",
                "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04",
                "f",
            ),
            True,
        ),
        ("90d7db0", Version("v1.4", None, "f"), False),
        ("", Version("3e8a51c", "3e8a51c", "f"), False),
        ("3e8a51c", Version("3e8a51c47b02-dirty-5f0c2a9e7d31", "3e8a51c47b02", "f"), False),
    ],
)
def test_a_short_commit_is_the_long_one_and_a_tag_cannot_be_compared(
    text: str, deployed: Version, another: bool
) -> None:
    assert addresses.is_other_version(text, deployed) is another


@pytest.mark.parametrize(("word", "status"), [("failing", "failing"), ("fine", "unknown")])
def test_a_status_that_a_kind_wrote_as_a_word_is_taken_and_one_that_is_none_is_unknown(
    stage: HealthStage, monkeypatch: pytest.MonkeyPatch, word: Any, status: str
) -> None:
    def health(job: Job, ports: Ports, tell: Callable[[Finding], None]) -> None:
        tell(Finding("folder", word, "missing", cause="nothing was copied"))

    monkeypatch.setattr(targets.kind("app"), "health", health, raising=False)
    stage.rules("one")
    report = of(stage.look(), "one")
    assert isinstance(report.status, HealthStatus)
    assert report.status == status
    assert report.findings[0].status.is_bad


def test_the_worst_sign_is_the_word_for_it_all_and_nothing_seen_is_unknown() -> None:
    def status(*words: str) -> str:
        return HealthReport(
            "a", "app", None, None, tuple(Finding("x", HealthStatus(word)) for word in words)
        ).status

    assert [
        status(),
        status("ok"),
        status("ok", "warning"),
        status("unknown", "warning"),
        status("failing", "unknown"),
    ] == [
        "unknown",
        "ok",
        "warning",
        "unknown",
        "failing",
    ]
