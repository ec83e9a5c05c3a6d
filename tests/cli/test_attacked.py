"""What an attacker's trial found: each way that was found to have a target called clean which is
not, and the neighbours of each.
"""

import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.cli.test_team import RULES, Team, deployed, states, template
from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from toolkit.flow import recorded_bases

pytestmark = pytest.mark.slow("records", keep=14, of="file")

Run = Callable[..., Result]
PUSH = ("push", "-qf", "origin", "HEAD:main")


@pytest.fixture
def team(
    aws_endpoint: Endpoint, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Team:
    return Team(aws_endpoint, toolkit, monkeypatch, tmp_path)


def everything_deployed(team: Team, run: Run) -> None:
    deployed(team, run)
    assert run("record", "set", "page", "HEAD", "--yes").code == 0
    assert set(states(run).values()) == {"clean"}


# A look at AWS that fails


@pytest.mark.parametrize(
    "operation", ["cloudformation:DescribeStacks", "cloudformation:GetTemplate"]
)
def test_a_stack_that_cannot_be_compared_with_live_is_not_called_up_to_date_by_deploy(
    team: Team, operation: str
) -> None:
    _, ada = team.colleague("ada")
    everything_deployed(team, ada)
    assert "Nothing to deploy." in ada("deploy", "--yes").out
    team.endpoint.cloudformation.stacks["Queue"].template = template(9)
    team.endpoint.fault(operation, None, "denied")
    looked = ada("deploy", "--yes")
    assert (looked.code == 0, "Nothing to deploy" in looked.out) == (False, False), looked


# Somebody deploys between two looks at the record


def test_what_a_colleague_deploys_while_deploy_looks_is_not_called_up_to_date(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, ada = team.colleague("ada")
    theirs, bob = team.colleague("bob")
    everything_deployed(team, ada)
    theirs.commit("newer", {"queue.json": template(2)})
    looked_at: Any = recorded_bases._compared_with_live

    def between(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(recorded_bases, "_compared_with_live", looked_at)
        deployed(team, bob)
        os.chdir(clone.path)
        return looked_at(*arguments, **more)

    monkeypatch.setattr(recorded_bases, "_compared_with_live", between)
    done = ada("deploy", "--yes")
    assert (done.code == 0, "Nothing to deploy" in done.out) == (False, False), done


# Settings after a rollback


APP = """\
version = 1
project = "team"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
store = "s3://state/team"

[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "web"
settle = "2s"

[[rules]]
name = "src"
paths = ["src/**"]
deploy = ["web"]
"""
OTHER = APP.replace('repository = "web"', 'repository = "web"\nenv = { MODE = "new" }')


@pytest.fixture
def apps(
    aws_endpoint: Endpoint, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Team:
    created = Team(aws_endpoint, toolkit, monkeypatch, tmp_path)
    created.origin.commit("an app", {"src/a": "1", "rules.toml": APP})
    uri = aws_endpoint.ecr.repository("web").uri
    old = aws_endpoint.ecr.image("web", "v0").digest
    aws_endpoint.ecs.service("web", f"{uri}@{old}", cluster="main", desired=1)
    return created


def image_deployed(team: Team, run: Run, tag: str, *words: str) -> Result:
    team.endpoint.ecr.image("web", tag)
    team.endpoint.ecs.next("success", "web", looks=1)
    return run("deploy-app", "web", "--no-build", "--image", tag, "--yes", *words)


def records(team: Team, target: str) -> list[dict[str, Any]]:
    objects = team.endpoint.s3.buckets["state"].objects
    [key] = [
        key for key in objects if key.startswith("team/record/") and key.endswith(f"/{target}.json")
    ]
    documents: list[dict[str, Any]] = json.loads(objects[key].body)["records"]
    return documents


def shallow(team: Team, name: str) -> Run:
    """A clone of the newest commit alone, whose first one is no commit that was deployed: only
    content and settings can be compared.
    """
    return team.colleague(name, "--depth=1")[1]


def test_settings_that_are_not_committed_do_not_come_into_a_protected_environment_with_an_image(
    apps: Team,
) -> None:
    clone, ada = apps.colleague("ada")
    clone.commit(
        "protected", {"rules.toml": APP.replace("regions =", "protected = true\nregions =")}
    )
    clone.git(*PUSH)
    clone.write({"rules.toml": OTHER.replace("regions =", "protected = true\nregions =")})
    refused = image_deployed(apps, ada, clone.head, "--confirm", "dev")
    assert (refused.code, "rules.toml is not as committed" in refused.err) == (2, True), refused
    clone.commit("another mode")
    assert image_deployed(apps, ada, clone.head, "--confirm", "dev").code == 0


def test_an_image_whose_tag_is_the_commit_leaves_its_app_clean(apps: Team) -> None:
    """A5."""
    clone, ada = apps.colleague("ada")
    assert image_deployed(apps, ada, clone.head).code == 0
    assert states(ada)["web"] == "clean"
    clone.commit("more", {"src/a": "2"})
    assert states(ada)["web"] == "due"


@pytest.mark.parametrize("name", ["v7", "main", "HEAD"])
def test_an_image_whose_tag_is_no_commit_leaves_its_app_unknown(apps: Team, name: str) -> None:
    _, ada = apps.colleague("ada")
    assert image_deployed(apps, ada, name).code == 0
    assert states(ada)["web"] == "unknown"


def test_a_rollback_by_hand_is_recorded_with_the_settings_of_then(apps: Team) -> None:
    clone, ada = apps.colleague("ada")
    first = clone.head
    assert image_deployed(apps, ada, first).code == 0
    second = clone.commit("newer", {"src/a": "2", "rules.toml": OTHER})
    clone.git(*PUSH)
    assert image_deployed(apps, ada, second).code == 0
    apps.endpoint.ecs.next("success", "web", looks=1)
    assert ada("rollback", "web", "--yes").code == 0
    back, newer, older = records(apps, "web")
    assert back["settings"] == older["settings"] != newer["settings"]
    assert states(ada)["web"] == "due"
    clone.git("checkout", "-q", first)
    assert states(ada)["web"] == "clean"
    # The content of then with the settings of now is not what was put back, even where the commit
    # of then is not known.
    clone.git("checkout", "-q", "main")
    clone.commit("the old content, the new settings", {"src/a": "1"})
    clone.git("checkout", "-q", "--orphan", "fresh")
    clone.commit("a history of its own", {})
    clone.git(*PUSH)
    assert states(shallow(apps, "ci"))["web"] == "due"


def test_an_automatic_rollback_is_recorded_with_the_settings_of_then(apps: Team) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(500 if apps.endpoint.calls.count("UpdateService") == 2 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f'settle = "2s"\nhealth = ["http://127.0.0.1:{server.server_port}/"]'
        rules = APP.replace('settle = "2s"', address)
        rules = rules.replace("store =", 'rollback = "on-failure"\nprivate = true\nstore =')
        clone, ada = apps.colleague("ada")
        first = clone.commit("with a check", {"rules.toml": rules})
        clone.git(*PUSH)
        assert image_deployed(apps, ada, first).code == 0
        text = rules.replace('repository = "web"', 'repository = "web"\nenv = { MODE = "new" }')
        second = clone.commit("other settings", {"rules.toml": text})
        clone.git(*PUSH)
        apps.endpoint.ecs.next("success", "web", looks=1)
        assert image_deployed(apps, ada, second).code == 1
        server.shutdown()
    top = records(apps, "web")[0]
    good = next(record for record in records(apps, "web") if record["commit"] == first)
    assert top["settings"] == good["settings"], records(apps, "web")
    assert states(ada)["web"] == "due"
    clone.git("checkout", "-q", "--orphan", "fresh")
    clone.commit("a history of its own", {})
    clone.git(*PUSH)
    assert states(shallow(apps, "ci"))["web"] == "due"


# Content decides only with settings


def test_the_same_content_is_not_clean_where_nobody_knows_the_settings_of_then(team: Team) -> None:
    """What a person says is live has no settings."""
    clone, ada = team.colleague("ada")
    everything_deployed(team, ada)
    assert ada("record", "set", "queue", "page", "HEAD", "--yes").code == 0
    clone.commit(
        "elsewhere",
        {
            "rules.toml": (
                RULES.replace('stack = "Queue"', 'stack = "Queue2"').replace(
                    "upload it", "upload it there"
                )
            )
        },
    )
    clone.git("checkout", "-q", "--orphan", "fresh")
    clone.commit("a history of its own", {})
    clone.git(*PUSH)
    assert "clean" not in states(shallow(team, "ci")).values()


# Files that no rule knows


UNMATCHED = RULES.replace("version = 1\n", 'version = 1\nunmatched = "queue"\n')


def test_a_file_that_no_rule_knows_is_part_of_the_target_that_such_files_are_due_for(
    team: Team,
) -> None:
    clone, ada = team.colleague("ada")
    clone.commit("a file", {"rules.toml": UNMATCHED, "lib/file": "1"})
    clone.git(*PUSH)
    everything_deployed(team, ada)
    clone.git("checkout", "-q", "--orphan", "fresh")
    clone.commit("a history of its own", {})
    clone.git(*PUSH)
    assert states(shallow(team, "same"))["queue"] == "clean"
    clone.commit("another", {"lib/file": "2"})
    clone.git("checkout", "-q", "--orphan", "fresher")
    clone.commit("once more", {})
    clone.git(*PUSH)
    assert states(shallow(team, "other"))["queue"] == "due"


def test_a_file_that_no_rule_knows_counts_where_uncommitted_files_were_deployed(team: Team) -> None:
    clone, ada = team.colleague("ada")
    clone.commit("a file", {"rules.toml": UNMATCHED, "lib/file": "1"})
    clone.git(*PUSH)
    clone.write({"queue.json": template(2)})
    deployed(team, ada)
    assert states(ada)["queue"] == "clean"
    clone.write({"lib/file": "2"})
    clone.git("commit", "-qm", "another", "--", "lib/file")
    assert states(ada)["queue"] == "due"


# Two histories have no common order


def test_what_was_deployed_here_before_there_was_a_store_comes_below_what_a_colleague_deployed(
    team: Team,
) -> None:
    clone, ada = team.colleague("ada")
    clone.commit("without", {"rules.toml": RULES.replace('store = "s3://state/team"\n', "")})
    clone.git(*PUSH)
    for count in (2, 3, 4):
        clone.commit(f"{count}", {"queue.json": template(count)})
        deployed(team, ada)
    before = clone.commit("a store", {"rules.toml": RULES})
    clone.git(*PUSH)
    theirs, bob = team.colleague("bob")
    newer = theirs.commit("newer", {"queue.json": template(5)})
    deployed(team, bob)
    theirs.git(*PUSH)
    clone.git("pull", "-q", "origin", "main")
    clone.commit("newest", {"queue.json": template(6)})
    team.endpoint.cloudformation.next("rollback", "Queue", looks=1, failing="Service", reason="no")
    team.endpoint.cloudformation.next_change_set("complete", stack="Queue", looks=1)
    assert ada("deploy-stack", "queue", "--yes").code == 1
    good = next(record for record in records(team, "queue") if record["verdict"] == "succeeded")
    assert good["commit"] == newer
    clone.git("checkout", "-q", before)
    assert states(ada)["queue"] == "due"


def test_a_copy_of_a_store_that_rules_toml_does_not_name_any_more_is_unknown(team: Team) -> None:
    clone, ada = team.colleague("ada")
    everything_deployed(team, ada)
    theirs, bob = team.colleague("bob")
    theirs.commit("newer", {"queue.json": template(2), "page/a": "2"})
    deployed(team, bob)
    clone.commit("no store", {"rules.toml": RULES.replace('store = "s3://state/team"\n', "")})
    clone.git(*PUSH)
    assert states(ada) == {"queue": "unknown", "page": "unknown"}
    assert (
        "this machine only has a copy of s3://state/team/, which rules.toml no longer names"
        in ada("diff", "--json").out
    )


# What a hostile colleague writes into the record


def forged(team: Team, **facts: Any) -> None:
    objects = team.endpoint.s3.buckets["state"].objects
    for key in [key for key in objects if key.startswith("team/record/")]:
        document = json.loads(objects[key].body)
        for record in document["records"]:
            record.update(facts)
        team.endpoint.s3.put("state", key, json.dumps(document).encode())


@pytest.mark.slow("damaged records", keep=3)
@pytest.mark.parametrize(
    "commit", ["HEAD", "main", "HEAD@{0}", ":/", "", "-x", None, "0" * 40, "abbreviated"]
)
def test_what_is_no_whole_commit_in_a_record_is_never_clean(team: Team, commit: str | None) -> None:
    clone, ada = team.colleague("ada")
    everything_deployed(team, ada)
    clone.commit("newer", {"queue.json": template(7), "page/a": "9"})
    name = clone.head[:12] if commit == "abbreviated" else commit
    forged(team, commit=name, version=name or "v", settings="")
    assert set(states(ada).values()) <= {"unknown", "due"}
    assert "Nothing to deploy" not in ada("deploy", "--dry-run", "--without", "page").out


@pytest.mark.slow("damaged records", keep=2)
@pytest.mark.parametrize(
    "when", ["x", "", "2026-01-01T00:00:00", "2026-13-45T99:99:99+00:00", "9" * 100]
)
def test_what_is_no_time_in_a_record_costs_no_command_its_answer(team: Team, when: str) -> None:
    _, ada = team.colleague("ada")
    everything_deployed(team, ada)
    forged(team, when=when)
    for words in (
        ("health",),
        ("diff",),
        ("record", "show"),
        ("history",),
        ("rollback", "queue", "--list"),
    ):
        answered = ada(*words)
        assert (answered.code, "a bug in toolkit" in answered.out + answered.err) != (
            3,
            True,
        ), answered
        assert answered.code in (0, 1, 2), answered
    assert states(ada)["queue"] == "clean"


ESCAPES = "\x1b[31m" + "x" * 4000


@pytest.mark.slow("damaged records", keep=1)
@pytest.mark.parametrize(
    "facts", [{"unsure": False}, {"who": ESCAPES, "run": "a\nb"}, {"n": -1}, {"n": 2**70}]
)
def test_a_forged_beginning_is_never_clean_and_breaks_nothing(
    team: Team, facts: dict[str, Any]
) -> None:
    _, ada = team.colleague("ada")
    everything_deployed(team, ada)
    forged(team, verdict="begun", **facts)
    assert set(states(ada).values()) == {"unknown"}
    dry = ("deploy", "--dry-run", "--without", "page")
    for words in (("health",), ("diff",), ("record", "show"), ("rollback", "queue", "--list"), dry):
        answered = ada(*words)
        assert answered.code in (0, 1, 2), answered
        assert "\x1b" not in answered.out + answered.err


def test_a_shallow_clone_is_what_these_tests_take_it_for(team: Team) -> None:
    clone, _ = team.colleague("ada")
    clone.git("checkout", "-q", "--orphan", "fresh")
    clone.commit("a history of its own", {})
    clone.git(*PUSH)
    actual: Repo = team.colleague("ci", "--depth=1")[0]
    assert actual.git("rev-list", "--count", "HEAD").strip() == "1"
