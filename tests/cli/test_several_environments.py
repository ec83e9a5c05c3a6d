"""One run for several environments, each judged by itself."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_command_target import STATE, CommandTeam, script
from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit
from toolkit.record.journal import is_run_name

RULES = """version = 1
environment = "dev"
[environments.dev]
vars = { stage = "dev" }
[environments.staging]
vars = { stage = "staging" }
[environments.prod]
vars = { stage = "prod" }
protected = true
[environments.live]
vars = { stage = "live" }
protected = true
[targets.infra]
kind = "command"
folder = "infra"
deploy = ["./deploy.sh", "{stage}"]
live = ["./live.sh", "{stage}"]
[targets.web]
kind = "command"
folder = "web"
deploy = ["./deploy.sh", "{stage}"]
live = ["./live.sh", "{stage}"]
needs = ["infra"]
[[rules]]
name = "Infrastructure"
paths = ["infra/**"]
deploy = ["infra"]
[[rules]]
name = "Web"
paths = ["web/**"]
deploy = ["web"]
"""

DEPLOY = script(
    f"if [ -e {STATE}/slow ]; then touch {STATE}/at-work-$1; sleep 30; fi\n"
    f"[ ! -e {STATE}/broken-$1 ]\n"
    f'echo "$TOOLKIT_TARGET $1" >> {STATE}/deployed\n'
    f"echo $TOOLKIT_VERSION > {STATE}/live-$1"
)

FILES = {
    "rules.toml": RULES,
    "infra/deploy.sh": DEPLOY,
    "infra/live.sh": script(f"[ ! -e {STATE}/live-$1 ] || cat {STATE}/live-$1"),
    "web/deploy.sh": DEPLOY.replace("live-$1", "web-$1"),
    "web/live.sh": script(f"[ ! -e {STATE}/web-$1 ] || cat {STATE}/web-$1"),
    "README.md": "read me\n",
}


class Stages(CommandTeam):
    """A repository with two targets in four environments."""

    def deployed(self) -> list[str]:
        """What its programs have deployed since the last time, in order."""
        path = self.state / "deployed"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def stages(tmp_path: Path, toolkit: Toolkit) -> Stages:
    return Stages(tmp_path, toolkit, FILES)


def verdicts(result: Result) -> dict[str, str]:
    return {step["step"]: step["verdict"] for step in result.json["steps"]}


def test_each_environment_gets_what_is_due_in_it(stages: Stages) -> None:
    assert stages("deploy", "web", "--yes").code == 0
    stages.deployed()
    done = stages("deploy", "-e", "dev", "-e", "staging", "--yes", "--json")
    assert done.code == 0, done.err
    assert verdicts(done) == {
        "infra@dev": "succeeded",
        "infra@staging": "succeeded",
        "web@staging": "succeeded",
    }
    assert sorted(stages.deployed()) == ["infra dev", "infra staging", "web staging"]
    assert (done.json["environment"], done.json["environments"]) == (None, ["dev", "staging"])
    assert [step["environment"] for step in done.json["steps"]] == ["dev", "staging", "staging"]
    for name in ("dev", "staging"):
        assert stages("diff", "-e", name, "--exit-code").code == 0
    assert stages("diff", "-e", "prod", "--exit-code").code != 0


def test_an_environment_in_which_nothing_is_due_is_named(stages: Stages) -> None:
    assert stages("deploy", "--yes").code == 0
    done = stages("deploy", "-e", "dev", "-e", "staging", "--yes")
    assert done.code == 0
    assert "note: dev: nothing to deploy\n" in done.err
    assert "Deploy to staging:" in done.err
    again = stages("deploy", "-e", "dev", "-e", "staging", "--yes")
    assert (again.code, again.out) == (0, "Nothing to deploy.\n")


def test_a_target_waits_for_what_it_needs_in_its_own_environment_only(stages: Stages) -> None:
    (stages.state / "broken-dev").touch()
    done = stages("deploy", "-e", "dev", "-e", "staging", "--yes", "--json")
    assert done.code == 4, done
    assert verdicts(done) == {
        "infra@dev": "failed",
        "web@dev": "skipped",
        "infra@staging": "succeeded",
        "web@staging": "succeeded",
    }


def test_an_environment_that_is_named_twice_is_deployed_once(stages: Stages) -> None:
    done = stages("deploy", "infra", "-e", "dev", "-e", "dev", "--yes", "--json")
    assert (verdicts(done), done.json["environment"]) == ({"infra": "succeeded"}, "dev")


def test_each_protected_environment_has_to_be_confirmed_by_its_own_name(stages: Stages) -> None:
    words = ("deploy", "infra", "-e", "dev", "-e", "prod", "-e", "live", "--yes")
    for confirmed, missing in (
        ((), "environment prod is protected"),
        (("--confirm", "prod"), "environment live is protected"),
        (("--confirm", "live"), "environment prod is protected"),
        (("--confirm", "prod", "--confirm", "dve"), "'dve' is not the name of the environment"),
    ):
        refused = stages(*words, *confirmed)
        assert (refused.code, missing in refused.err) == (2, True), refused
    assert stages.deployed() == []
    done = stages(*words, "--confirm", "prod", "--confirm", "live")
    assert done.code == 0, done.err
    assert sorted(stages.deployed()) == ["infra dev", "infra live", "infra prod"]


def test_environments_that_keep_their_runs_in_different_places_are_not_mixed(
    tmp_path: Path, toolkit: Toolkit, aws_endpoint: Endpoint
) -> None:
    rules = RULES.replace(
        "[environments.staging]\n", '[environments.staging]\nstore = "s3://state/team"\n'
    )
    stages = Stages(tmp_path, toolkit, {**FILES, "rules.toml": rules})
    refused = stages("deploy", "-e", "dev", "-e", "staging", "--yes")
    assert refused.code == 2
    assert "environments dev and staging keep their runs in different places" in refused.err
    assert stages.deployed() == []


@pytest.mark.parametrize(
    "words",
    [("rollback", "infra"), ("resume",), ("diff",), ("health",), ("smoke-test",), ("history",)],
)
def test_a_command_that_acts_in_one_environment_says_so(
    stages: Stages, words: tuple[str, ...]
) -> None:
    refused = stages(*words, "-e", "dev", "-e", "staging")
    assert (refused.code, f"`{words[0]}` acts in one environment" in refused.err) == (2, True)
    assert "acts in one environment" not in stages(*words, "-e", "dev", "-e", "dev").err


def test_a_plan_is_for_one_environment(stages: Stages, tmp_path: Path) -> None:
    plan = str(tmp_path / "plan.json")
    assert stages("diff", "--out", plan).code == 0
    refused = stages("deploy", "--plan", plan, "-e", "dev", "-e", "staging", "--yes")
    assert (refused.code, "a plan is for one environment" in refused.err) == (2, True)


def interrupted(stages: Stages, *words: str) -> None:
    """Kill a command, and the programs that it has started, while they are at work."""
    (stages.state / "slow").touch()
    child = subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words],
        cwd=stages.repo.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    until = time.monotonic() + 30
    number = max(words.count("-e"), 1)
    processes: list[str] = []
    while len(processes) < number:
        assert time.monotonic() < until
        time.sleep(0.05)
        journals = Path(os.environ["XDG_STATE_HOME"]).rglob("*.jsonl")
        text = "".join(path.read_text() for path in journals)
        processes = re.findall(r'"process":\{[^}]*"pid":(\d+)', text)
    child.send_signal(signal.SIGKILL)
    child.wait()
    (stages.state / "slow").unlink()
    for process in processes:
        os.killpg(int(process), signal.SIGKILL)


def test_a_killed_run_is_resumed_in_all_its_environments_and_listed_under_each(
    stages: Stages,
) -> None:
    interrupted(stages, "deploy", "-e", "dev", "-e", "staging", "--yes")
    for name in ("dev", "staging"):
        [run] = stages("history", "-e", name, "--json").json["runs"]
        assert run["environments"] == ["dev", "staging"]
        (stages.state / f"live-{name}").write_text(stages.head)
    assert stages("history", "-e", "prod", "--json").json["runs"] == []
    resumed = stages("resume", "--yes", "--json")
    assert resumed.code == 0, resumed
    assert set(verdicts(resumed).values()) == {"succeeded"}
    assert sorted(stages.deployed()) == ["web dev", "web staging"]


# What a plan in a file still holds for


@pytest.fixture
def planned(stages: Stages, tmp_path: Path) -> tuple[Stages, str]:
    """A plan to deploy `web` alone."""
    assert stages("deploy", "--yes").code == 0
    stages.deployed()
    stages.repo.commit("another page", {"web/page": "2"})
    plan = str(tmp_path / "plan.json")
    assert stages("diff", "--out", plan).code == 0
    return stages, plan


def edit_source(plan: str, without: str = "", **fields: object) -> None:
    """Change what a plan says that it was drawn from."""
    document = json.loads(Path(plan).read_text())
    document["source"].pop(without, None)
    document["source"] |= fields
    Path(plan).write_text(json.dumps(document))


def commit_elsewhere(repo: Repo) -> None:
    repo.commit("another text", {"README.md": "read me twice\n"})


def commit_another_target(repo: Repo) -> None:
    repo.commit("another program", {"infra/more": "x\n"})


def edit_another_target(repo: Repo) -> None:
    repo.write({"infra/more": "x\n"})


def change_a_rule(repo: Repo) -> None:
    repo.commit("another name", {"rules.toml": RULES.replace('"Infrastructure"', '"Infra"')})


def commit_the_target(repo: Repo) -> None:
    repo.commit("one more page", {"web/page": "3"})


def edit_the_target(repo: Repo) -> None:
    repo.write({"web/page": "3"})


def change_a_setting(repo: Repo) -> None:
    text = RULES.replace(
        'folder = "web"\ndeploy = ["./deploy.sh", ',
        'folder = "web"\ndeploy = ["./deploy.sh", "-x", ',
    )
    assert text != RULES
    repo.commit("another word", {"rules.toml": text})


ELSEWHERE = (commit_elsewhere, commit_another_target, edit_another_target, change_a_rule)


@pytest.mark.parametrize("change", ELSEWHERE)
def test_a_plan_holds_while_what_it_deploys_is_the_same(
    planned: tuple[Stages, str], change: object
) -> None:
    stages, plan = planned
    assert callable(change)
    change(stages.repo)
    done = stages("deploy", "--plan", plan, "--yes")
    assert (done.code, stages.deployed()) == (0, ["web dev"]), done.err


@pytest.mark.parametrize("change", [commit_the_target, edit_the_target, change_a_setting])
def test_a_plan_is_stale_once_what_it_deploys_is_another(
    planned: tuple[Stages, str], change: object
) -> None:
    stages, plan = planned
    assert callable(change)
    change(stages.repo)
    refused = stages("deploy", "--plan", plan, "--yes")
    assert (refused.code, stages.deployed()) == (2, [])
    stale = "the plan is stale: the files or settings of web have changed"
    assert stale in refused.err
    assert "hint: create it again:\n" in refused.err


@pytest.mark.parametrize("change", ELSEWHERE)
def test_a_plan_of_an_earlier_version_is_judged_by_everything(
    planned: tuple[Stages, str], change: object
) -> None:
    stages, plan = planned
    edit_source(plan, without="targets")
    assert callable(change)
    change(stages.repo)
    refused = stages("deploy", "--plan", plan, "--yes")
    assert (refused.code, "the plan is stale" in refused.err) == (2, True), refused


@pytest.mark.parametrize("targets", [[], "web", {"web": "x"}, {"web": {}}, {}])
def test_a_plan_that_does_not_say_what_it_deploys_is_not_carried_out(
    planned: tuple[Stages, str], targets: object
) -> None:
    stages, plan = planned
    edit_source(plan, targets=targets)
    refused = stages("deploy", "--plan", plan, "--yes")
    assert (refused.code, stages.deployed()) == (2, []), refused


# What an attacker found


def test_a_run_has_a_name_of_its_own_where_an_environment_is_up_to_date(stages: Stages) -> None:
    assert stages("deploy", "-e", "staging", "--yes").code == 0
    done = stages("deploy", "-e", "dev", "-e", "staging", "--yes", "--json")
    assert (done.code, is_run_name(done.json["run"])) == (0, True)
    stages.repo.commit("more", {"infra/more": "x\n"})
    assert stages("deploy", "-e", "dev", "--yes").code == 0
    again = stages("deploy", "-e", "dev", "-e", "staging", "--yes", "--json")
    assert (again.code, verdicts(again)) == (0, {"infra@staging": "succeeded"})


def test_protected_environments_are_confirmed_also_where_one_is_up_to_date(stages: Stages) -> None:
    assert stages("deploy", "-e", "live", "--yes", "--confirm", "live").code == 0
    both = ("deploy", "-e", "prod", "-e", "live", "--yes", "--confirm", "prod")
    done = stages(*both, "--confirm", "live")
    assert done.code == 0, done.err


def test_only_a_run_of_the_named_environment_is_resumed(stages: Stages) -> None:
    interrupted(stages, "deploy", "infra", "-e", "staging", "--yes")
    (stages.state / "live-staging").write_text(stages.head)
    run = stages("history", "--json").json["runs"][0]["run"]
    refused = stages("resume", run, "-e", "dev", "--yes")
    assert (refused.code, f"run {run} deploys to staging" in refused.err) == (2, True), refused
    assert "no run is open" in stages("resume", "-e", "dev", "--yes").err
    assert stages("resume", "-e", "staging", "--yes").code == 0


def test_an_environment_in_which_only_a_person_can_deploy_does_not_hold_up_the_others(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    rules = RULES.replace(
        "[[rules]]", '[targets.page]\nkind = "manual"\ninstructions = "upload it"\n[[rules]]', 1
    ).replace("vars =", 'account = "111111111111"\nregions = ["eu-west-1"]\nvars =')
    stages = Stages(tmp_path, toolkit, {**FILES, "rules.toml": rules})
    assert stages("deploy", "infra", "web", "--yes").code == 0
    stages.deployed()
    done = stages("deploy", "-e", "dev", "-e", "staging", "--yes", "--json")
    assert (done.code, sorted(stages.deployed())) == (4, ["infra staging", "web staging"]), done
    alone = stages("deploy", "-e", "dev", "--yes")
    assert (alone.code, "page: only a person can: upload it" in alone.err) == (2, True), alone


def test_a_plan_says_so_where_a_group_no_longer_holds_what_it_deploys(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    group = '[targets.all]\nkind = "group"\nmembers = ["infra", "web"]\n[[rules]]\nname = "All"\n'
    rules = RULES.replace("[[rules]]", f'{group}paths = ["x"]\ndeploy = ["all"]\n[[rules]]', 1)
    stages = Stages(tmp_path, toolkit, {**FILES, "rules.toml": rules})
    plan = tmp_path / "plan.json"
    assert stages("diff", "--out", str(plan)).code == 0
    assert [step["target"] for step in json.loads(plan.read_text())["plan"]["steps"]] == ["all"]
    smaller = rules.replace('["infra", "web"]', '["infra"]')
    stages.repo.commit("smaller", {"rules.toml": smaller})
    refused = stages("deploy", "--plan", str(plan), "--yes")
    assert (refused.code, "web is no longer part of what it deploys" in refused.err) == (2, True)
    assert stages.deployed() == []


def test_a_plan_is_stale_in_other_regions(tmp_path: Path, toolkit: Toolkit) -> None:
    rules = RULES.replace("[environments.dev]\n", '[environments.dev]\nregions = ["eu-west-1"]\n')
    stages = Stages(tmp_path, toolkit, {**FILES, "rules.toml": rules})
    plan = str(tmp_path / "plan.json")
    assert stages("diff", "--out", plan).code == 0
    elsewhere = rules.replace('["eu-west-1"]', '["us-east-1", "ap-south-1"]')
    stages.repo.commit("elsewhere", {"rules.toml": elsewhere})
    refused = stages("deploy", "--plan", plan, "--yes", "--allow-untrusted-rules")
    assert (refused.code, "it was made for other regions" in refused.err) == (2, True), refused
    assert stages.deployed() == []


def test_a_plan_is_stale_in_another_region_also_where_only_awss_settings_name_it(
    planned: tuple[Stages, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, plan = planned
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert stages("diff", "--out", plan).code == 0
    for words, region in ((("--region", "us-east-1"), "eu-west-1"), ((), "us-east-1")):
        monkeypatch.setenv("AWS_REGION", region)
        refused = stages("deploy", "--plan", plan, "--yes", *words)
        assert (refused.code, "it was made for other regions" in refused.err) == (2, True), refused
    assert stages.deployed() == []


def test_a_plan_that_nobody_said_a_region_for_holds_where_one_is_set_later(
    planned: tuple[Stages, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, plan = planned
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert stages("deploy", "--plan", plan, "--yes").code == 0


@pytest.mark.parametrize("regions", [3, None, {"a": 1}, [[]], "eu"])
def test_regions_of_a_plan_that_make_no_sense_end_in_an_error(
    planned: tuple[Stages, str], regions: object
) -> None:
    stages, plan = planned
    edit_source(plan, regions=regions)
    refused = stages("deploy", "--plan", plan, "--yes", "--region", "eu-west-1")
    assert (refused.code, stages.deployed()) == (2, []), refused


@pytest.mark.parametrize("targets", [[["web", "x"]], ["ab"], 3, "web"])
def test_a_plan_whose_contents_make_no_sense_is_none(
    planned: tuple[Stages, str], targets: object
) -> None:
    stages, plan = planned
    edit_source(plan, targets=targets)
    refused = stages("deploy", "--plan", plan, "--yes")
    assert (refused.code, "is not a plan" in refused.err) == (2, True), refused


def test_a_plan_of_another_environment_is_stale_also_where_nothing_is_due_there(
    planned: tuple[Stages, str],
) -> None:
    stages, plan = planned
    assert stages("deploy", "-e", "staging", "--yes").code == 0
    refused = stages("deploy", "--plan", plan, "-e", "staging", "--yes")
    assert (refused.code, "it was made for another environment" in refused.err) == (2, True)


def test_a_run_of_a_plan_in_the_repository_can_be_resumed(stages: Stages) -> None:
    assert stages("diff", "--out", "plan.json").code == 0
    interrupted(stages, "deploy", "--plan", "plan.json", "--yes")
    (stages.state / "live-dev").write_text(stages.head)
    done = stages("resume", "--yes")
    assert done.code == 0, done.err
    assert "web dev" in stages.deployed()


def test_what_fails_its_check_is_put_back_by_a_program_too(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    rules = RULES.replace("[environments.dev]\n", '[environments.dev]\nrollback = "on-failure"\n')
    rules = rules.replace(
        'live = ["./live.sh", "{stage}"]\n[targets.web]',
        'live = ["./live.sh", "{stage}"]\nrollback = ["./back.sh", "{stage}", "{version}"]\n'
        'checks = ["works"]\nsettle = "1s"\n[targets.web]',
    )
    rules += '[checks.works]\ncommand = ["test", "!", "-e", "state/bad"]\n'
    back = script(f"rm {STATE}/bad\necho $2 > {STATE}/live-$1")
    files = {**FILES, "rules.toml": rules, "infra/back.sh": back}
    stages = Stages(tmp_path, toolkit, files)
    assert stages("deploy", "infra", "--yes").code == 0
    good = (stages.state / "live-dev").read_text()
    stages.repo.commit("bad", {"infra/more": "x\n"})
    (stages.state / "bad").touch()
    done = stages("deploy", "infra", "--yes", "--json")
    assert verdicts(done) == {"infra": "unhealthy", "infra:rollback": "succeeded"}, done
    assert (stages.state / "live-dev").read_text() == good
