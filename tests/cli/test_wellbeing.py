"""Deploys that are judged by what answers, `smoke-test` and `health`: real processes, an emulated
AWS whose tasks really run. One system for the whole file, in order.
"""

import json
import re
import sys
from collections.abc import Iterator
from xml.etree import ElementTree

import pexpect
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.cli.town import DOCKERFILE, Town

pytestmark = [pytest.mark.slow("sandbox"), pytest.mark.sandbox]

RULES = """\
version = 1
project = "wellbeing"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
urls = ["http://{host}"]
rollback = "on-failure"
vars = { host = "web.example.com" }

[targets.app]
kind = "app"
cluster = "town"
service = "web"
repository = "web"
build = { context = "app", args = { VERSION = "{commit}" } }
health = ["http://{host}/health"]
checks = ["read"]
settle = "2s"
estimate = "10s"

[secrets.word]
env = "TOWN_WORD"

[checks.greeting]
http = "GET /"
tags = ["read"]
expect.body = "hello"

[checks.suite]
command = ["sh", "-c", "echo the suite has seen $WHAT"]
env = { WHAT = "{host}" }
tags = ["read"]

[checks.secret-place]
http = "POST /"
headers = { Authorization = "Bearer {word}" }
expect.status = 201

[checks.jobs]
aws = "queue:jobs"

[checks.things]
aws = "table:things"

[checks.setting]
aws = "parameter:/town/setting"

[[rules]]
name = "App"
paths = ["app/**"]
deploy = ["app"]
"""

MAIN = """\
import http.server, json, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        health = self.path == "/health"
        text = json.dumps({"commit": os.environ["VERSION"]}) if health else "TEXT"
        self.say(HEALTH if health else 200, text)
    def do_POST(self):
        asked = self.headers["Authorization"]
        self.say(201 if asked == "Bearer open-sesame" else 401, "you said " + asked)
    def say(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args): pass
address = (os.environ["HOST"], int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, Answer).serve_forever()
"""


PUT = """\
import boto3
keys = dict(aws_access_key_id="111111111111", aws_secret_access_key="{secret}",
            region_name="eu-west-1", endpoint_url="{url}")
ecs = boto3.client("ecs", **keys)
running = ecs.describe_services(cluster="town", services=["web"])["services"][0]["taskDefinition"]
found = ecs.describe_task_definition(taskDefinition=running)["taskDefinition"]
names = ("family", "networkMode", "containerDefinitions",
         "requiresCompatibilities", "cpu", "memory")
kept = dict((key, found[key]) for key in names)
made = ecs.register_task_definition(**kept)["taskDefinition"]["taskDefinitionArn"]
ecs.update_service(cluster="town", service="web", taskDefinition=made)
ecs.get_waiter("services_stable").wait(cluster="town", services=["web"], WaiterConfig=dict(Delay=1))
raise SystemExit({says})
"""
"""Somebody else, who deploys the same image again."""


def main(text: str, health: int = 200) -> str:
    return MAIN.replace("TEXT", text).replace("HEALTH", str(health))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    created = Town(
        tmp_path_factory.mktemp("town"),
        RULES,
        {"app/Dockerfile": DOCKERFILE, "app/main.py": main("hello one")},
    )
    yield created
    created.down()


def same(text: str) -> str:
    """Without what is different every time."""
    text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "SHORT", text)
    text = re.sub(r"(?<= )[0-9a-f]{7}(?= )", "ABCDEFG", text)
    text = re.sub(r"\d{8}-\d{6}-\w{4}", "RUN", text)
    text = re.sub(r"\b(?:\d+ms|\d+\.\ds|\d+s)(?!\w)", "Ns", text)
    text = re.sub(r"\bweb:\d+", "web:N", text)
    text = re.sub(r"sha256:[0-9a-f]+", "sha256:DIGEST", text)
    text = re.sub(r"^(-+(?:  -+)+  )-{2,6}$", r"\1----", text, flags=re.MULTILINE)
    return re.sub(r"http://127\.0\.0\.1:\d+", "SANDBOX", text)


def test_a_deploy_is_done_when_what_is_live_answers_and_passes_its_checks(town: Town) -> None:
    done = town("deploy-app", "--yes")
    assert (done.code, town.answer()) == (0, "hello one")
    notes = [splitline for splitline in done.err.splitlines() if "asking" in splitline]
    assert notes == ["[app] asking http://web.example.com/health", "[app] asking 2 checks"]
    assert (
        "check suite: the suite has seen web.example.com"
        in town("logs", town("history", "--json").json["runs"][0]["run"], "app").out
    )


def test_smoke_tests_pass_and_say_so_in_a_table(town: Town, snapshot: SnapshotAssertion) -> None:
    town.env["TOWN_WORD"] = "open-sesame"
    done = town("smoke-test")
    assert done.code == 0
    assert same(done.out) == snapshot


def test_a_smoke_test_that_fails_is_told_with_both_sides_and_no_secret(
    town: Town, snapshot: SnapshotAssertion
) -> None:
    town.env["TOWN_WORD"] = "hunter2-hunter2"
    done = town("smoke-test", "--only", "secret-place", "-v")
    assert done.code == 1
    assert same(done.out) == snapshot
    assert "hunter2" not in done.out + done.err
    town.env["TOWN_WORD"] = "open-sesame"


def test_a_secret_that_is_not_there_is_told_before_anything_is_asked(town: Town) -> None:
    del town.env["TOWN_WORD"]
    refused = town("smoke-test")
    assert (refused.code, refused.err) == (
        2,
        (
            f"{town.elsewhere}error: the variable TOWN_WORD of secret 'word' is not set\n"
            "hint: set TOWN_WORD, or leave out the checks that use it\n"
        ),
    )
    assert town("smoke-test", "--tag", "read").code == 0
    assert town("smoke-test", "--list").code == 0
    town.env["TOWN_WORD"] = "open-sesame"


def test_health_is_well_and_says_so_in_a_table(town: Town, snapshot: SnapshotAssertion) -> None:
    done = town("health")
    assert done.code == 0
    assert same(done.out) == snapshot


def test_a_version_that_does_not_pass_its_checks_gives_way_to_the_last_good_one(
    town: Town, snapshot: SnapshotAssertion
) -> None:
    town.repo.commit(files={"app/main.py": main("goodbye two")})
    done = town("deploy-app", "--yes")
    assert (done.code, town.answer()) == (1, "hello one")
    assert (
        re.sub(r"\n  (?!\||next:|  toolkit )", " ", same(done.out)) == snapshot
    )  # where a line ends depends on how long it took
    again = town("diff", "--json").json
    assert again["recommendation"] == "toolkit deploy-app app"
    run = town("history", "--json").json["runs"][0]["run"]
    assert again["failed_before"] == {"app": f"run {run} of this commit failed and was rolled back"}
    assert town("health", "app", "--json").json["checkups"][1]["state"] == "due"


def test_a_version_whose_health_address_does_not_answer_well_gives_way_too(town: Town) -> None:
    town.repo.commit(files={"app/main.py": main("hello three", health=500)})
    done = town("deploy-app", "--yes", "--json")
    verdicts = {step["step"]: step["verdict"] for step in done.json["steps"]}
    assert (done.code, verdicts, town.answer()) == (
        1,
        {"app:build": "succeeded", "app": "unhealthy", "app:rollback": "succeeded"},
        "hello one",
    )
    [app] = [step for step in done.json["steps"] if step["step"] == "app"]
    assert "http://web.example.com/health: it returned 500" in app["cause"]
    shown = town("show", done.json["run"], "--json").json["run"]
    assert [(item["step"], item["verdict"]) for item in shown["steps"]] == [
        ("app:build", "succeeded"),
        ("app", "unhealthy"),
        ("app:rollback", "succeeded"),
    ]
    assert shown["status"] == "failed"


def test_without_checks_anything_that_runs_is_done(town: Town) -> None:
    town.repo.commit(files={"app/main.py": main("goodbye four")})
    assert town("deploy-app", "--yes", "--no-checks").code == 0
    assert town.answer() == "goodbye four"


def test_deploying_again_what_runs_and_fails_is_no_success(town: Town) -> None:
    done = town("deploy-app", "--yes", "--json")
    [step] = [step for step in done.json["steps"] if step["step"] == "app"]
    assert (done.code, step["verdict"], town.answer()) == (1, "unhealthy", "goodbye four")


def test_what_runs_on_though_it_failed_its_checks_is_due_whatever_the_files_say(town: Town) -> None:
    town.repo.commit(
        files={
            "rules.toml": RULES.replace("on-failure", "never"),
            "app/main.py": main("hello again"),
        }
    )
    assert town("deploy-app", "--yes").code == 0
    town.repo.commit(files={"app/main.py": main("goodbye five")})
    failed = town("deploy-app", "--yes")
    assert (failed.code, town.answer(), "next:\n    toolkit rollback app\n" in failed.out) == (
        1,
        "goodbye five",
        True,
    )
    town.repo.git("revert", "--no-edit", "HEAD")
    towns = town("diff")
    assert re.search(
        r"app: its last deploy \(run \S+\) ended as unhealthy, and may be live",
        " ".join(towns.out.split()),
    )
    assert (town("deploy", "--yes").code, town.answer()) == (0, "hello again")


def test_it_gives_way_by_hand_to_the_last_good_version(town: Town) -> None:
    good = town.repo.head
    town.repo.commit(files={"app/main.py": main("goodbye six")})
    assert (town("deploy-app", "--yes").code, town.answer()) == (1, "goodbye six")
    listed = town("rollback", "app", "--list", "--json").json["versions"]
    assert listed[0]["version"] == good
    assert (town("rollback", "app", "--yes").code, town.answer()) == (0, "hello again")
    town.repo.commit(files={"rules.toml": RULES, "app/main.py": main("hello again")})


@pytest.mark.parametrize(("says", "text"), [("0", "hello six"), ("1", "hello seven")])
def test_what_somebody_else_deploys_while_it_is_checked_is_left_alone(
    town: Town, says: str, text: str
) -> None:
    """Whatever the checks say: they did not see what was deployed."""
    script = town.folder / "put.py"
    script.write_text(
        PUT.format(
            url=town.env["AWS_ENDPOINT_URL"], secret=town.env["AWS_SECRET_ACCESS_KEY"], says=says
        )
    )
    command = json.dumps([sys.executable, str(script)])
    rules = RULES.replace('["sh", "-c", "echo the suite has seen $WHAT"]', command)
    town.repo.commit(files={"rules.toml": rules, "app/main.py": main(text)})
    done = town("deploy-app", "--yes", "--json")
    [step] = [step for step in done.json["steps"] if step["step"] == "app"]
    assert (done.code, step["verdict"], town.running()) == (1, "superseded", town.newest())
    assert step["cause"] == f"someone else has deployed {town.newest()} since"
    assert town("diff", "--json").json["states"]["app"] == "due"
    town.repo.commit(files={"rules.toml": RULES})


def test_what_somebody_else_has_deployed_is_told_as_that(town: Town) -> None:
    town.repo.commit(files={"app/main.py": main("hello five")})
    deployed = town("deploy-app", "--yes", "--json")
    assert deployed.code == 0
    ecs = town.cloud("ecs")
    running = ecs.describe_services(cluster="town", services=["web"])["services"][0][
        "taskDefinition"
    ]
    value = ecs.describe_task_definition(taskDefinition=running)["taskDefinition"]
    document = {
        key: value[key]
        for key in (
            "family",
            "networkMode",
            "containerDefinitions",
            "requiresCompatibilities",
            "cpu",
            "memory",
        )
    }
    created = ecs.register_task_definition(**document)["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(cluster="town", service="web", taskDefinition=created)
    ecs.get_waiter("services_stable").wait(
        cluster="town", services=["web"], WaiterConfig={"Delay": 1}
    )
    done = town("health", "app", "--json")
    [app] = [item for item in done.json["checkups"] if item["name"] == "app"]
    [record] = [sign for sign in app["signs"] if sign["what"] == "record"]
    why = (
        f"changed outside toolkit: {created.rpartition('/')[2]} was not deployed by toolkit; it is"
        f" the same as what run {deployed.json['run']} deployed"
    )
    assert (done.code, record["status"], record["cause"]) == (0, "warning", why)
    assert record["next"].endswith("toolkit deploy-app app")


def test_everything_that_breaks_is_told_with_its_own_cause_and_mend(
    town: Town, snapshot: SnapshotAssertion
) -> None:
    town.cloud("sqs").delete_queue(
        QueueUrl=town.cloud("sqs").get_queue_url(QueueName="jobs")["QueueUrl"]
    )
    town.cloud("dynamodb").delete_table(TableName="things")
    ecr = town.cloud("ecr")
    ids = [
        {"imageDigest": item["imageDigest"]}
        for item in ecr.list_images(repositoryName="web")["imageIds"]
    ]
    ecr.batch_delete_image(repositoryName="web", imageIds=ids)
    done = town("health")
    assert done.code == 1
    assert same(done.out) == snapshot


def test_a_report_for_ci_holds_every_thing_that_was_looked_at(town: Town) -> None:
    path = town.folder / "health.xml"
    assert town("health", "--junit", str(path)).code == 1
    suite = ElementTree.fromstring(path.read_bytes())  # noqa: S314 (our own)
    failed = {
        case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None
    }
    assert failed == {"app@eu-west-1", "jobs@eu-west-1", "things@eu-west-1"}
    assert town("smoke-test", "--junit", str(path), "--tag", "read").code == 0
    suite = ElementTree.fromstring(path.read_bytes())  # noqa: S314 (our own)
    assert [case.get("name") for case in suite.iter("testcase")] == ["greeting", "suite"]


def test_in_another_account_nothing_is_known_and_that_is_what_has_to_be_mended(town: Town) -> None:
    table = {**town.env, "AWS_ACCESS_KEY_ID": "999999999999"}
    del table["AWS_PROFILE"]
    town.env, before = table, town.env
    try:
        done = town("health", "--json")
    finally:
        town.env = before
    document = {item["name"]: item["status"] for item in done.json["checkups"]}
    assert (done.code, document) == (
        7,
        {
            "credentials": "failing",
            "app": "unknown",
            "jobs": "unknown",
            "things": "unknown",
            "setting": "unknown",
        },
    )
    signs = [sign for item in done.json["checkups"] for sign in item["signs"]]
    address = [sign for sign in signs if sign["what"] == "http://web.example.com/health"]
    assert [sign["status"] for sign in address] == ["ok"]  # it is asked without credentials
    assert {sign["cause"] for sign in signs if sign not in address} == {
        "these credentials are for account 999999999999, but environment dev uses account"
        " 111111111111"
    }


def test_watching_draws_it_again_until_ctrl_c_which_is_no_failure(town: Town) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "health", "--watch", "--interval", "1s"],
        cwd=str(town.repo.path),
        env={**town.env, "TERM": "xterm"},
        dimensions=(40, 100),
        timeout=20,
        encoding="utf-8",
    )
    for _ in range(2):
        child.expect("Ctrl-C ends it")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_nothing_of_all_that_was_kept_holds_the_secret(town: Town) -> None:
    text = b"".join(
        path.read_bytes()
        for path in (town.folder / "state").rglob("*")
        if path.is_file() and "sandbox" not in path.parts
    )
    assert b"open-sesame" not in text
    assert json.dumps("app:rollback").encode() in text
