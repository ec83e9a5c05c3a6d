"""A target of the kind `command` through the commands: no AWS, no credentials, its programs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.aws.server import Endpoint
from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit
from toolkit.exits import Exit

RULES = """version = 1
environment = "dev"
[environments.dev]
[targets.infra]
kind = "command"
folder = "infra"
plan = ["./plan.sh"]
deploy = ["./deploy.sh"]
live = ["./live.sh"]
rollback = ["./deploy.sh", "{version}"]
health = ["./health.sh"]
estimate = "10s"
[[rules]]
name = "Infrastructure"
paths = ["infra/**"]
deploy = ["infra"]
"""

STATE = "../state"


def script(text: str) -> str:
    return f'#!/bin/sh\nset -eu\necho "$0" >> {STATE}/started\n{text}\n'


FILES = {
    "rules.toml": RULES,
    "infra/plan.sh": script('echo "+ a queue"'),
    "infra/deploy.sh": script(
        f"if [ -e {STATE}/slow ]; then touch {STATE}/at-work; sleep 30; fi\n"
        f'[ ! -e {STATE}/broken ]\nprintf %s "${{1:-$TOOLKIT_VERSION}}" > {STATE}/live'
    ),
    "infra/live.sh": script(f"[ ! -e {STATE}/live ] || cat {STATE}/live"),
    "infra/health.sh": script(f"[ -e {STATE}/live ] || {{ echo nothing runs; exit 1; }}"),
    "README.md": "read me\n",
}


class CommandTeam:
    """A repository whose `origin` is the trusted base, and what its programs have done."""

    def __init__(self, folder: Path, toolkit: Toolkit, files: Mapping[str, str] = FILES) -> None:
        self.state = folder / "repo" / "state"
        self.repo = Repo.make(folder / "repo", files)
        self.repo.write({"rules.toml": files["rules.toml"]})
        self.state.mkdir()
        (folder / "repo/.git/info/exclude").write_text("state/\n")
        for name in files:
            if name.endswith(".sh"):
                (self.repo.path / name).chmod(0o755)
        self.repo.git("commit", "-qam", "programs")
        self._toolkit = toolkit

    def __call__(self, *args: str) -> Result:
        return self._toolkit(self.repo.path, *args)

    def started(self) -> list[str]:
        """The programs that were started since the last time, in order."""
        path = self.state / "started"
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return [Path(name).stem for name in names]

    @property
    def live(self) -> str:
        return (self.state / "live").read_text()

    @property
    def head(self) -> str:
        return self.repo.git("rev-parse", "HEAD").strip()


@pytest.fixture
def team(tmp_path: Path, toolkit: Toolkit) -> CommandTeam:
    return CommandTeam(tmp_path, toolkit)


def states(result: Result) -> dict[str, str]:
    by_name: dict[str, str] = json.loads(result.out)["states"]
    return by_name


def test_diff_starts_no_program_and_deploy_does_what_it_recommends(team: CommandTeam) -> None:
    diff = team("diff")
    assert "toolkit deploy infra" in diff.out
    assert team("diff", "live").code in (0, 2)
    assert team.started() == []
    done = team("deploy", "infra", "--yes")
    assert (done.code, team.live) == (0, team.head), done.err
    assert "deploy" in team.started()
    assert states(team("diff", "--json")) == {"infra": "clean"}
    team.repo.commit("change", {"infra/new.tf": "x\n"})
    assert states(team("diff", "--json")) != {"infra": "clean"}
    assert team.started() == []


def test_what_its_programs_write_beside_it_is_no_other_version(team: CommandTeam) -> None:
    """Terraform keeps providers there, serverless packages, already when they plan."""
    writes = script("mkdir -p .terraform .serverless; date +%N > .terraform/x; cp $0 .serverless")
    team.repo.commit(
        "writes", {"infra/plan.sh": writes, "infra/.gitignore": ".terraform\n.serverless\nout\n"}
    )
    done = team("deploy", "infra", "--yes")
    assert (done.code, team.live) == (0, team.head), done.out + done.err
    (team.repo.path / "infra/out").mkdir()
    (team.repo.path / "infra/out/x").write_text("what a build wrote")
    dry = team("deploy", "infra", "--dry-run")
    assert "-generated-" in dry.out + dry.err


def test_a_warning_beside_the_version_is_no_version(team: CommandTeam) -> None:
    """Terraform, helm and npm warn on standard error, and before anything else."""
    warns = f'echo "Warning: this is old" >&2; [ ! -e {STATE}/live ] || cat {STATE}/live'
    team.repo.commit("warns", {"infra/live.sh": script(warns)})
    done = team("deploy", "infra", "--yes")
    assert done.code == 0, done.err
    assert "could not be read" not in done.out + done.err


def test_the_dry_run_runs_the_plan_and_nothing_else(team: CommandTeam) -> None:
    dry = team("deploy", "infra", "--dry-run")
    assert dry.code == 0, dry.err
    assert "+ a queue" in dry.out + dry.err
    assert "./deploy.sh" in dry.out
    assert set(team.started()) == {"plan", "live"}
    assert not (team.state / "live").exists()


def test_a_failed_program_is_a_failed_deploy_and_stays_due(team: CommandTeam) -> None:
    (team.state / "broken").touch()
    failed = team("deploy", "infra", "--yes")
    assert failed.code == Exit.FAILED
    assert "`./deploy.sh` ended with exit code 1" in failed.out + failed.err
    assert "exit code 1:" not in failed.out  # it wrote nothing
    says = script("echo Error: the quota is used up; exit 1")
    team.repo.commit("says", {"infra/deploy.sh": says})
    failed = team("deploy", "infra", "--yes")
    assert "ended with exit code 1: Error: the quota is used up" in failed.out.replace("\n  ", " ")
    assert states(team("diff", "--json")) != {"infra": "clean"}


def test_what_it_took_here_is_shown_and_recorded_and_the_unknown_is_unknown(
    team: CommandTeam,
) -> None:
    busy = (
        f"i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo $TOOLKIT_VERSION > {STATE}/live"
    )
    team.repo.commit("busy", {"infra/deploy.sh": script(busy)})
    done = team("deploy", "infra", "--yes", "--json")
    assert done.code == 0, done.err
    document = done.json
    taken = document["steps"][0]["usage"]
    assert taken["cpu_s"] > 0.05
    assert taken["sent_bytes"] is None
    assert taken["unmeasured"] == ["what deploy.sh sends"]
    assert document["usage"]["cpu_s"] >= taken["cpu_s"]
    assert document["usage"]["memory_bytes"] > 10 << 20
    story = team("show", document["run"], "--json").json
    assert story["run"]["steps"][0]["usage"] == taken
    assert story["run"]["usage"] == document["usage"]
    shown = team("show", document["run"]).out
    row = next(line for line in shown.splitlines() if re.match(r"infra +\d+\.\ds ", line))
    assert row.endswith("  unknown")
    assert "not measured: what deploy.sh sends (infra)" in shown
    team.repo.commit("change", {"infra/new.tf": "x\n"})
    verbose, plain = team("deploy", "infra", "--yes", "-v"), team("deploy", "infra", "--yes", "-f")
    assert "in all, with toolkit" in verbose.out
    assert "in all, with toolkit" not in plain.out


def test_a_failure_is_seen_where_whoever_started_toolkit_ignores_the_end_of_children(
    team: CommandTeam,
) -> None:
    """The system keeps no exit code then, and Python takes that for 0."""
    (team.state / "broken").touch()
    script = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    words = ["-m", "toolkit", "deploy", "infra", "--yes"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=team.repo.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == Exit.FAILED, done.stdout + done.stderr
    assert "`./deploy.sh` ended with exit code 1" in done.stdout + done.stderr


def test_rollback_runs_its_own_words_with_the_version_that_was_good(team: CommandTeam) -> None:
    assert team("deploy", "infra", "--yes").code == 0
    first = team.head
    team.repo.commit("change", {"infra/new.tf": "x\n"})
    assert team("deploy", "infra", "--yes").code == 0
    assert team.live == team.head
    back = team("rollback", "infra", "--yes")
    assert (back.code, team.live) == (0, first), back.err


def test_without_rollback_it_says_so(team: CommandTeam) -> None:
    rules = RULES.replace('rollback = ["./deploy.sh", "{version}"]\n', "")
    team.repo.commit("rules", {"rules.toml": rules})
    assert "infra cannot be rolled back: it has no `rollback`" in team("rollback", "infra").err


def test_health_needs_no_credentials_and_says_what_its_program_says(team: CommandTeam) -> None:
    sick = team("health", "--json")
    [report] = json.loads(sick.out)["checkups"]
    assert (report["name"], report["status"]) == ("infra", "failing")
    assert "nothing runs" in sick.out
    assert team("deploy", "infra", "--yes").code == 0
    well = team("health", "--json")
    [report] = json.loads(well.out)["checkups"]
    assert (well.code, report["status"]) == (0, "ok"), well.out
    (team.state / "live").write_text("v1.2.3")
    changed = team("health").out
    assert "v1.2.3 runs, and run " in changed
    assert "changed outside toolkit" in changed


def test_a_deploy_of_all_that_is_due_starts_nothing_that_is_clean(team: CommandTeam) -> None:
    assert team("deploy", "--yes").code == 0
    team.started()
    again = team("deploy", "--yes")
    assert (again.code, "deploy" in team.started()) == (0, False), again.out
    (team.state / "live").write_text("v1.2.3")
    assert team("deploy", "--yes").code == 0
    assert team.live == team.head, "what was changed outside toolkit is due"


def test_what_is_shown_of_it_names_no_aws_and_no_secret(team: CommandTeam) -> None:
    hostile = script('printf "password=hunter2hunter2\\n\\033[31mred\\n"')
    rules = RULES.replace('environment = "dev"\n[environments.dev]\n', "")
    team.repo.commit("plan", {"infra/plan.sh": hostile, "rules.toml": rules})
    dry = team("deploy", "infra", "--dry-run")
    assert "hunter2" not in dry.out + dry.err
    assert "\033" not in dry.out + dry.err
    assert "    | password=[redacted]" in dry.out
    assert "Deploy:\n  infra" in dry.out
    document = team("deploy", "infra", "--dry-run", "--json").out
    assert "hunter2" not in document
    first = team("diff").out
    assert "AWS" not in first
    assert "toolkit diff live" not in first
    assert f"toolkit record set infra {team.head[:12]}" in first


def test_the_printed_command_records_what_a_person_knows_to_be_live(team: CommandTeam) -> None:
    first = team("diff").out
    assert "No deploy is recorded for infra." in first
    [command] = [line.strip() for line in first.splitlines() if "record set" in line]
    assert team(*command.removeprefix("toolkit ").split(), "--yes").code == 0
    assert "Nothing to deploy." in team("diff").out


def with_origin(team: CommandTeam, tmp_path: Path) -> None:
    """What is committed now is the trusted base."""
    origin = tmp_path / "origin.git"
    team.repo.git("clone", "-q", "--bare", str(team.repo.path), str(origin))
    team.repo.git("remote", "add", "origin", str(origin))
    team.repo.git("fetch", "-q", "origin")
    team.repo.git("remote", "set-head", "origin", "-a")


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    "path",
    ["infra/health.sh", "infra/Makefile", "infra/lib/common.sh", "rules.toml"],
)
def test_health_starts_nothing_where_its_folder_or_rules_are_not_the_trusted_ones(
    team: CommandTeam, tmp_path: Path, path: str, committed: bool
) -> None:
    with_origin(team, tmp_path)
    team("health")
    assert "health" in team.started()
    text = RULES + "\n# another line\n" if path == "rules.toml" else "touch ../state/owned\n"
    team.repo.write({path: text})
    if committed:
        team.repo.commit("hostile", {path: text + "# more\n"})
    changed = team("health", "--json")
    [report] = json.loads(changed.out)["checkups"]
    assert report["status"] == "unknown"
    assert f"{path} differs from origin/main" in changed.out
    assert not (team.state / "owned").exists()
    assert team.started() == []


def test_a_change_elsewhere_keeps_health_from_nothing(team: CommandTeam, tmp_path: Path) -> None:
    with_origin(team, tmp_path)
    team.repo.commit("docs", {"README.md": "read me twice\n"})
    team("health")
    assert "health" in team.started()


def test_one_that_was_killed_is_in_doubt_until_live_says_and_resume_goes_on(
    team: CommandTeam,
) -> None:
    (team.state / "slow").touch()
    run = [sys.executable, "-m", "toolkit", "deploy", "infra", "--yes"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(run, cwd=team.repo.path, env=env, start_new_session=True)
    until = time.monotonic() + 30
    while not (team.state / "at-work").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert states(team("diff", "--json")) != {"infra": "clean"}
    team.started()
    (team.state / "slow").unlink()
    journals = list(Path(os.environ["XDG_STATE_HOME"]).rglob("*.jsonl"))
    text = "".join(path.read_text() for path in journals)
    process = int(re.findall(r'"process":\{[^}]*"pid":(\d+)', text)[-1])
    os.killpg(process, signal.SIGKILL)
    (team.state / "live").write_text(team.head)
    resumed = team("resume", "--yes")
    assert resumed.code == 0, resumed.err
    assert team.started() == ["live"]
    assert states(team("diff", "--json")) == {"infra": "clean"}


def test_beside_targets_of_aws_its_record_is_its_own_whatever_region_aws_has(
    team: CommandTeam, aws_endpoint: Endpoint
) -> None:
    queue = '[targets.queue]\nkind = "stack"\nstack = "queue"\ntemplate = "queue.yaml"\n'
    rules = RULES.replace("[[rules]]", f"{queue}[[rules]]", 1)
    team.repo.commit("a stack", {"rules.toml": rules, "queue.yaml": "Resources: {}\n"})
    team.repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert team("deploy", "infra", "--yes").code == 0
    answer = states(team("diff", "--json"))
    assert (answer["infra"], answer["queue"]) == ("clean", "unknown")
    assert team("record", "set", "queue", "HEAD", "--yes").code == 0
    assert states(team("diff", "--json")) == {"infra": "clean", "queue": "clean"}
    assert [row.split()[0] for row in team("record", "show").out.splitlines()[3:]] == [
        "infra",
        "queue",
    ]


def test_a_region_that_only_the_command_line_has_is_a_place_of_its_own(team: CommandTeam) -> None:
    assert team("deploy", "infra", "--yes").code == 0
    assert team("deploy", "infra", "--yes", "--region", "eu-west-1").code == 0
    assert states(team("diff", "--json")) == {"infra": "clean"}


def test_a_need_in_another_region_is_deployed_first_and_no_other_region_is_waited_for(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    deploy = f'#!/bin/sh\necho "$1 $2" >> {STATE}/order\n'
    rules = """version = 1
environment = "dev"
[environments.dev]
regions = ["eu-west-1", "us-east-1"]
[targets.api]
kind = "command"
folder = "api"
deploy = ["./deploy.sh", "api", "{region}"]
needs = ["net@us-east-1"]
[targets.net]
kind = "command"
folder = "net"
deploy = ["./deploy.sh", "net", "{region}"]
[[rules]]
name = "all"
paths = ["**"]
deploy = ["api", "net"]
"""
    files = {"rules.toml": rules, "api/deploy.sh": deploy, "net/deploy.sh": deploy}
    team = CommandTeam(tmp_path, toolkit, files)
    dry = json.loads(team("deploy", "--all", "--dry-run", "--json").out)
    assert dry["status"] == "dry-run"
    done = team("deploy", "--all", "--yes", "--parallel", "4", "--json")
    assert done.code == 0, done.err
    order = (team.state / "order").read_text().splitlines()
    assert sorted(order) == ["api eu-west-1", "api us-east-1", "net eu-west-1", "net us-east-1"]
    first = order.index("net us-east-1")
    assert first < order.index("api eu-west-1")
    assert first < order.index("api us-east-1")
    only = team("deploy", "api", "--region", "eu-west-1", "--yes")
    assert only.code == 0, only.err


def test_permissions_are_none(team: CommandTeam) -> None:
    assert team("permissions", "--json").code == 0


def test_a_plan_of_what_was_due_deploys_nothing_that_is_up_to_date_by_now(
    team: CommandTeam, tmp_path: Path
) -> None:
    plan = str(tmp_path / "plan.json")
    assert team("diff", "--out", plan).code == 0
    assert team("deploy", "--plan", plan, "--yes").code == 0
    team.started()
    again = team("deploy", "--plan", plan, "--yes")
    assert (again.code, "Nothing to deploy" in again.out, "deploy" in team.started()) == (
        0,
        True,
        False,
    ), again.out
    (team.state / "live").write_text("something else")
    assert "infra" in team("deploy", "--plan", plan, "--dry-run").out


def test_a_plan_of_what_a_change_calls_for_is_deployed_whatever_is_live(
    team: CommandTeam, tmp_path: Path
) -> None:
    plan = str(tmp_path / "plan.json")
    assert team("deploy", "--yes").code == 0
    assert team("diff", "HEAD~1", "--out", plan).code == 0
    team.started()
    assert team("deploy", "--plan", plan, "--yes").code == 0
    assert "deploy" in team.started()


def test_an_empty_plan_that_is_no_longer_true_leads_to_the_command_that_deploys_what_is_due(
    team: CommandTeam, tmp_path: Path
) -> None:
    plan = str(tmp_path / "plan.json")
    assert team("deploy", "--yes").code == 0
    assert team("diff", "--out", plan).code == 0
    (team.state / "live").write_text("something else")
    refused = team("deploy", "--plan", plan, "--yes")
    assert (refused.code, refused.err.splitlines()[-1]) == (2, "  toolkit deploy")
    assert team("deploy", "--yes").code == 0
    assert team.live == team.head
