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
        (("--confirm", "prod", "--confirm", "dev"), "'dev' is not the name of the environment"),
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


def test_a_killed_run_is_resumed_in_all_its_environments_and_listed_under_each(
    stages: Stages,
) -> None:
    (stages.state / "slow").touch()
    words = ["deploy", "-e", "dev", "-e", "staging", "--yes"]
    child = subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words],
        cwd=stages.repo.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    until = time.monotonic() + 30
    processes: list[str] = []
    while len(processes) < 2:
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
    document = json.loads(Path(plan).read_text())
    del document["source"]["targets"]
    Path(plan).write_text(json.dumps(document))
    assert callable(change)
    change(stages.repo)
    refused = stages("deploy", "--plan", plan, "--yes")
    assert (refused.code, "the plan is stale" in refused.err) == (2, True), refused


@pytest.mark.parametrize("targets", [[], "web", {"web": "x"}, {"web": {}}, {}])
def test_a_plan_that_does_not_say_what_it_deploys_is_not_carried_out(
    planned: tuple[Stages, str], targets: object
) -> None:
    stages, plan = planned
    document = json.loads(Path(plan).read_text())
    document["source"]["targets"] = targets
    Path(plan).write_text(json.dumps(document))
    refused = stages("deploy", "--plan", plan, "--yes")
    assert (refused.code, stages.deployed()) == (2, []), refused
