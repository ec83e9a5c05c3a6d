"""A target for all stacks of a CDK app: deployed, resumed, compared and asked, against a real
(emulated) AWS, with an app that is a program of its own.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.assemblies import APP
from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit
from tests.support.sandbox import Cloud
from tests.support.stacks import update_by_hand
from toolkit.ports import process
from toolkit.ports.aws import cloudformation

pytestmark = pytest.mark.sandbox

RULES = """\
version = 1
project = "shop"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.infra]
kind = "stack"
stacks = "*"
cdk = "cdk"
estimate = "2m"
outputs = ["Url"]

[[rules]]
name = "Infrastructure"
paths = ["cdk/**"]
deploy = ["infra"]
"""
NET = """
[targets.net]
kind = "stack"
stack = "Net"
cdk = "cdk"
"""


def queue(seconds: int) -> str:
    return json.dumps({"DelaySeconds": seconds})


FILES = {
    "cdk/cdk.json": json.dumps({"app": f"{sys.executable} app.py"}),
    "cdk/app.py": APP,
    "cdk/Net.stack.json": queue(1),
    "cdk/Jobs.stack.json": queue(2),
}


class Shop:
    """A repository with an app of two stacks, and what toolkit says of it."""

    def __init__(self, repo: Repo, toolkit: Toolkit, cloud: Cloud) -> None:
        self.repo, self._toolkit, self.cloud = repo, toolkit, cloud

    def __call__(self, *args: str) -> Result:
        return self._toolkit(self.repo.path, *args)

    def deploy(self, *args: str, code: int = 0) -> dict[str, str]:
        """Verdict by step."""
        done = self("deploy", *(args or ("--all",)), "--yes", "--json")
        assert done.code == code, done.out + done.err
        return {step["step"]: step["verdict"] for step in done.json["steps"]}

    def stack(self, name: str) -> dict[str, Any] | None:
        return cloudformation.stack(self.cloud.aws(), name)

    def refined(self, *args: str) -> dict[str, str]:
        """The state of the target (`state`) and of each stack, as templates say."""
        answer = self("diff", *args, "--templates", "--json").json["templates"]["targets"]["infra"]
        return {"state": answer["state"], **{row["name"]: row["state"] for row in answer["stacks"]}}

    def due(self, *args: str) -> list[str]:
        result = self("diff", *args, "--json")
        assert result.code == 0, result.err
        return [step["target"] for step in result.json["plan"]["steps"]]


@pytest.fixture
def shop(cloud: Cloud, tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> Shop:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    which = process.which
    monkeypatch.setattr(process, "which", lambda name: None if name == "cdk" else which(name))
    return Shop(Repo.make(tmp_path / "shop", FILES, RULES), toolkit, cloud)


def test_every_stack_of_the_app_is_deployed_by_a_step_of_its_own(shop: Shop) -> None:
    verdicts = shop.deploy()
    assert verdicts == {"infra:Net": "succeeded", "infra:Jobs": "succeeded", "infra": "succeeded"}
    assert shop.due() == []
    assert shop.due("live") == []
    assert shop.deploy("infra") == dict.fromkeys(verdicts, "unchanged")
    record = shop("record", "show", "--json").json["targets"]
    assert [row["target"] for row in record] == ["infra"], "the record is of the whole"


def test_a_new_stack_is_deployed_though_nobody_has_touched_the_rules(shop: Shop) -> None:
    shop.deploy()
    shop.repo.commit("mail", {"cdk/Mail.stack.json": queue(3)})
    assert shop.due() == ["infra"]
    refined = shop("diff", "--templates")
    assert "Mail" in refined.out
    verdicts = shop.deploy("infra")
    assert verdicts == {
        "infra:Jobs": "unchanged",
        "infra:Mail": "succeeded",
        "infra:Net": "unchanged",
        "infra": "succeeded",
    }
    assert shop.stack("Mail") is not None


def test_the_order_of_the_stacks_is_the_apps_own(shop: Shop) -> None:
    shop.repo.commit("order", {"cdk/order.json": json.dumps({"Jobs": ["Net"]})})
    plan = shop("deploy", "--all", "--dry-run", "--json").json
    needs = {step["step"]: step["needs"] for step in plan["steps"]}
    assert needs == {
        "infra:Jobs": ["infra:Net"],
        "infra:Net": [],
        "infra": ["infra:Jobs", "infra:Net"],
    }


def test_a_stack_that_fails_leaves_the_target_due_until_all_are_well(shop: Shop) -> None:
    shop.deploy()
    shop.repo.commit("bad", {"cdk/Jobs.stack.json": queue(-5), "cdk/Net.stack.json": queue(9)})
    verdicts = shop.deploy("infra", code=4)
    assert verdicts["infra:Net"] == "succeeded"
    assert verdicts["infra:Jobs"] in ("failed", "rolled-back")
    assert verdicts["infra"] == "skipped"
    assert shop.due() == ["infra"]
    # The files are as they were at the last good deploy, but Net is not.
    shop.repo.commit("as before", {name: FILES[name] for name in FILES if "stack.json" in name})
    assert shop.due() == ["infra"]
    assert shop.due("live") == ["infra"]
    answer = shop("diff", "--templates")
    assert "did not end well" in answer.out
    assert shop.deploy()["infra"] == "succeeded"
    assert shop.due() == []
    assert shop.due("live") == []


@pytest.mark.slow("kills", keep=1)
@pytest.mark.parametrize("moment", ['"executed":true', '"verdict"'])
def test_a_run_that_is_killed_between_its_stacks_is_resumed_to_its_end(
    shop: Shop, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(state))
    shop.deploy()
    shop.repo.commit(
        "both",
        {
            "cdk/order.json": json.dumps({"Jobs": ["Net"]}),
            "cdk/Net.stack.json": queue(7),
            "cdk/Jobs.stack.json": queue(8),
        },
    )
    before = set(state.rglob("*.jsonl"))
    child = subprocess.Popen(
        [sys.executable, "-m", "toolkit", "deploy", "infra", "--yes"],
        cwd=shop.repo.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    journals: set[Path] = set()
    while time.monotonic() < until and child.poll() is None:
        journals = set(state.rglob("*.jsonl")) - before
        if any(moment in path.read_text().replace(" ", "") for path in journals):
            break
        time.sleep(0.01)
    child.kill()
    child.communicate()
    assert child.returncode == -9, "it had ended before"
    assert shop.due() == ["infra"], "what one stack has changed puts the whole in doubt"
    done = shop("resume", "--yes", "--json")
    assert done.code == 0, done.out + done.err
    verdicts = {step["step"]: step["verdict"] for step in done.json["steps"]}
    assert verdicts == dict.fromkeys(("infra:Net", "infra:Jobs", "infra"), "succeeded")
    assert shop.due() == []
    assert shop.due("live") == []


def test_each_region_has_its_own_stacks(shop: Shop) -> None:
    rules = RULES.replace('["eu-west-1"]', '["eu-west-1", "us-east-1"]')
    places = {"Net": "aws://111111111111/us-east-1"}
    shop.repo.commit("regions", {"rules.toml": rules, "cdk/places.json": json.dumps(places)})
    verdicts = shop.deploy()
    assert set(verdicts) == {
        "infra:Jobs@eu-west-1",
        "infra@eu-west-1",
        "infra:Jobs@us-east-1",
        "infra:Net@us-east-1",
        "infra@us-east-1",
    }
    assert set(verdicts.values()) == {"succeeded"}
    assert shop.due() == []
    (shop.repo.path / "cdk" / "Jobs.stack.json").write_text(queue(5))
    assert shop.deploy("infra", "--region", "us-east-1")["infra:Net"] == "unchanged"
    assert shop.due() == ["infra"], "the other region still has the earlier one"


def test_a_stack_that_left_the_app_is_told_as_long_as_it_exists(shop: Shop) -> None:
    shop.deploy()
    (shop.repo.path / "cdk" / "Jobs.stack.json").unlink()
    shop.repo.commit("no more jobs")
    for _ in range(2):
        done = shop("deploy", "infra", "--yes")
        assert done.code == 0, done.err
        said = done.err + done.out
        assert "stack Jobs is no longer in the app, and nothing removes it" in said
        assert "aws cloudformation delete-stack --stack-name Jobs" in said
    shop.cloud.aws().write("cloudformation", "delete_stack", StackName="Jobs")
    assert "no longer in the app" not in shop("deploy", "infra", "--yes").err
    assert shop.due() == []


def test_a_target_that_names_a_stack_has_it_for_itself(shop: Shop) -> None:
    shop.deploy()
    shop.repo.commit("net alone", {"rules.toml": RULES + NET})
    assert shop.deploy() == {
        "infra:Jobs": "unchanged",
        "infra": "unchanged",
        "net": "unchanged",
    }
    assert "no target covers" not in shop("deploy", "--all", "--yes").err
    assert shop("rules", "check", "--templates").code == 0
    refined = shop("diff", "--templates", "--json").json["templates"]["targets"]
    assert {name: target["state"] for name, target in refined.items()} == {
        "infra": "unchanged",
        "net": "unchanged",
    }


def test_a_stack_that_no_target_covers_is_told_by_each_deploy_and_an_error_of_the_check(
    shop: Shop,
) -> None:
    shop.repo.commit("some", {"rules.toml": RULES.replace('stacks = "*"', 'stacks = ["N*"]')})
    done = shop("deploy", "--all", "--yes")
    assert done.code == 0, done.err
    assert "no target covers stack Jobs of cdk" in done.err
    assert shop("rules", "check").code == 0, "it runs no program that nobody asked for"
    checked = shop("rules", "check", "--templates")
    assert checked.code == 1
    assert "uncovered: no target covers stack Jobs of cdk" in checked.out
    shop.repo.write({"cdk/broken": ""})
    checked = shop("rules", "check", "--templates", "--json")
    assert checked.code == 1, "what cannot be known is not covered"
    assert [finding["code"] for finding in checked.json["findings"]][-1] == "not-checked"


def test_templates_say_which_of_its_stacks_change(shop: Shop) -> None:
    shop.deploy()
    shop.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    assert shop.due() == ["infra"]
    assert shop.due("--templates") == []
    shop.repo.commit("longer", {"cdk/Jobs.stack.json": queue(9)})
    answer = shop("diff", "--templates")
    assert shop.due("--templates") == ["infra"]
    assert "DelaySeconds: 2 -> 9" in answer.out
    assert "Unchanged: Net" in answer.out


def test_health_tells_of_each_stack_by_its_name(shop: Shop) -> None:
    unknown = shop("health", "--json")
    assert unknown.code == 1
    [row] = [row for row in unknown.json["checkups"] if row["name"] == "infra"]
    assert row["status"] == "unknown"
    assert "no deploy of it is recorded" in json.dumps(row)
    shop.deploy()
    well = shop("health", "--json")
    assert well.code == 0, well.out
    [row] = [row for row in well.json["checkups"] if row["name"] == "infra"]
    assert {finding["what"] for finding in row["signs"]} == {"Net", "Jobs"}
    shop.cloud.aws().write("cloudformation", "delete_stack", StackName="Jobs")
    bad = shop("health", "--json")
    assert bad.code == 1
    [row] = [row for row in bad.json["checkups"] if row["name"] == "infra"]
    assert {finding["what"]: finding["status"] for finding in row["signs"]} == {
        "Net": "ok",
        "Jobs": "failing",
    }
    assert shop.due("live") == ["infra"]


def test_what_nothing_is_recorded_of_is_never_clean_and_crashes_nothing(shop: Shop) -> None:
    assert shop("outputs").code == 1
    tailed = shop("tail", "infra", "--no-follow")
    assert tailed.code == 2
    assert "no deploy of it is recorded" in tailed.err
    live = shop("diff", "live", "--json")
    assert [step["target"] for step in live.json["plan"]["steps"]] == ["infra"]
    assert shop("permissions").code == 0
    assert shop("rollback", "infra", "--yes").code == 2


def test_each_stacks_outputs_are_shown_with_its_name(shop: Shop) -> None:
    shop.repo.commit(
        "outputs",
        {
            "cdk/app.py": APP.replace(
                '"Resources": {"Queue": queue}',
                '"Resources": {"Queue": queue}, "Outputs": {"Url": {"Value": name}}',
            )
        },
    )
    shop.deploy()
    shown = shop("outputs", "--json").json["targets"]
    assert shown[0]["outputs"] == {"Jobs.Url": "Jobs", "Net.Url": "Net"}
    one = shop("outputs", "infra.Net.Url")
    assert "Net" in one.out
    assert one.code == 0


def test_drift_and_what_is_live_are_asked_of_every_stack(shop: Shop) -> None:
    nothing = shop("diff", "live", "--drift", "--json")
    assert [step["target"] for step in nothing.json["plan"]["steps"]] == ["infra"]
    shop.deploy()
    assert shop.due("live", "--drift") == []


def test_templates_that_somebody_changed_by_hand_are_seen_stack_by_stack(shop: Shop) -> None:
    shop.deploy()
    update_by_hand(shop.cloud.aws(), "Net", '"DelaySeconds": 1', '"DelaySeconds": 77')
    assert shop.refined("live") == {"state": "changed", "Net": "changed", "Jobs": "unchanged"}
    assert "DelaySeconds: 77 -> 1" in shop("diff", "live", "--templates").out


def test_events_of_all_stacks_are_tailed(shop: Shop) -> None:
    shop.deploy()
    tailed = shop("tail", "infra", "--no-follow")
    assert "Stack Net CREATE_COMPLETE" in tailed.out
    assert "Stack Jobs CREATE_COMPLETE" in tailed.out


def test_one_stack_of_the_target_is_shown_in_the_history(shop: Shop) -> None:
    shop.deploy()
    [run] = shop("history", "--json").json["runs"]
    assert "infra:Net" in shop("history").out
    shown = shop("show", run["run"])
    assert shown.code == 0
    assert "infra:Net" in shown.out
    log = shop("logs", run["run"], "infra:Net")
    assert log.code == 0, log.err
