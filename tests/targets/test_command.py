"""The kind `command` with real programs: what it runs, what it sees, and what it does not claim."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec import convert
from msgspec.structs import replace

from tests.support.report import Crash, Report
from toolkit import targets
from toolkit.errors import FileProblem, ProgramFailed, Refused, Stopped
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation, RecordedDeploy, Verdict
from toolkit.ports import processes
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.targets.command.kind import LAG_S
from toolkit.targets.command.settings import CommandSettings

COMMIT = "3f2c9d1" + "0" * 33
OLD = "aaaaaaa" + "1" * 33
KIND = targets.kind("command")


def no_cloud(profile: str | None, region: str | None) -> Any:
    raise AssertionError("AWS is asked for a target of the kind command")


class ProgramFolder:
    """A folder with the team's programs, and the jobs of one target there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = Ports(str(root), str(root / "cache"), SystemClock(), no_cloud)

    def script(self, name: str, text: str) -> list[str]:
        """A program of the repository; the words that start it."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
        path.chmod(0o755)
        return [f"./{name}"]

    def job(self, action: JobAction = JobAction.DEPLOY, **settings: Any) -> Job:
        words = {"deploy": ["true"], **settings}
        return Job(
            step="infra",
            target="infra",
            kind="command",
            action=action,
            location=Location("dev", region="eu-west-1"),
            settings=convert(words, CommandSettings),
            version=Version(COMMIT, COMMIT, "f" * 64),
            run="20261130-100000-aaaa",
            token="t1",
            deadline_s=30,
        )

    def deploy(self, job: Job, report: Report | None = None) -> tuple[Report, Observation]:
        report = report or Report()
        KIND.apply(job, self.ports, report)
        return report, KIND.observe(job, report.receipt, self.ports)


@pytest.fixture
def project(tmp_path: Path) -> ProgramFolder:
    return ProgramFolder(tmp_path)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def test_exit_code_0_is_a_success_after_its_intent_was_written(project: ProgramFolder) -> None:
    words = project.script("deploy.py", "print('created 3')\nopen('done', 'w').write('x')")
    report, observed = project.deploy(project.job(deploy=words))
    assert (observed.state, observed.verdict) == ("done", Verdict.SUCCEEDED)
    assert report.intents == ["run"]
    assert report.of("log") == ["created 3"]
    assert (project.root / "done").exists()


def test_another_exit_code_is_a_failure_that_names_the_command(project: ProgramFolder) -> None:
    words = project.script("deploy.py", "raise SystemExit(3)")
    _, observed = project.deploy(project.job(deploy=[*words, "a b"]))
    assert observed.state == "failed"
    assert observed.cause == "`./deploy.py 'a b'` ended with exit code 3"


def test_no_shell_reads_the_words(project: ProgramFolder) -> None:
    words = project.script("deploy.py", "import sys; print(sys.argv[1:])")
    report, _ = project.deploy(project.job(deploy=[*words, "$(touch x)", "; touch y", "*"]))
    assert report.of("log") == ["['$(touch x)', '; touch y', '*']"]
    assert not (project.root / "x").exists()


def test_it_runs_in_its_folder_and_knows_what_is_deployed_and_named_variables_only(
    project: ProgramFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_TOKEN", "t0k3n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for it")
    project.script(
        "infra/deploy.py",
        """
        import os
        print(os.path.basename(os.getcwd()))
        names = ("TARGET", "ENVIRONMENT", "REGION", "VERSION", "COMMIT", "RUN")
        print(*(os.environ["TOOLKIT_" + name] for name in names))
        print(os.environ["TF_TOKEN"] == "t0k3n", os.environ.get("AWS_SECRET_ACCESS_KEY"))
        """,
    )
    job = project.job(deploy=["./deploy.py"], folder="infra", env=["TF_TOKEN"])
    report, _ = project.deploy(job)
    facts = f"infra dev eu-west-1 {COMMIT} {COMMIT} 20261130-100000-aaaa"
    assert report.of("log") == ["infra", facts, "True None"]


def test_a_named_variable_that_is_not_set_is_refused_before_anything_runs(
    project: ProgramFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_TOKEN", raising=False)
    job = project.job(env=["TF_TOKEN"])
    for ask in (
        lambda: KIND.preview(job, project.ports),
        lambda: KIND.apply(job, project.ports, Report()),
    ):
        with pytest.raises(Refused, match="TF_TOKEN is not set, and infra needs it"):
            ask()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"deploy": ["./missing.sh"]}, "there is no program"),
        ({"deploy": ["no-such-program"]}, "there is no program no-such-program on PATH"),
        ({"deploy": ["../outside.sh"]}, "leads out of the repository"),
        ({"deploy": ["./link.sh"]}, "leads out of the repository"),
        ({"deploy": ["true"], "folder": "link"}, "leads out of the repository"),
    ],
)
def test_a_program_that_is_not_there_or_outside_of_the_repository_is_not_started(
    project: ProgramFolder, tmp_path_factory: pytest.TempPathFactory, settings: Any, reason: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "outside.sh").write_text("#!/bin/sh\n")
    (outside / "outside.sh").chmod(0o755)
    (project.root / "link.sh").symlink_to(outside / "outside.sh")
    (project.root / "link").symlink_to(outside)
    with pytest.raises(Refused, match=reason):
        KIND.apply(project.job(**settings), project.ports, Report())


def test_a_file_that_is_no_program_is_refused(project: ProgramFolder) -> None:
    (project.root / "deploy.sh").write_text("#!/bin/sh\n")
    with pytest.raises(Refused, match="could not be started"):
        KIND.apply(project.job(deploy=["./deploy.sh"]), project.ports, Report())


class Terraform(ProgramFolder):
    """A program whose plan ends with 2 where something would change."""

    def job_with(self, code: int) -> Job:
        plan = self.script("plan.py", f"print('+ a queue'); raise SystemExit({code})")
        words = self.script("deploy.py", "open('done', 'w').write('x')")
        return self.job(plan=plan, deploy=words, changes=2)


@pytest.mark.parametrize(("code", "unchanged"), [(0, True), (2, False)])
def test_the_dry_run_runs_the_plan_whose_exit_code_says_whether_anything_changes(
    tmp_path: Path, code: int, unchanged: bool
) -> None:
    terraform = Terraform(tmp_path)
    preview = KIND.preview(terraform.job_with(code), terraform.ports)
    assert preview.unchanged is unchanged
    assert [call.what["command"] for call in preview.calls] == (
        [] if unchanged else ["./deploy.py"]
    )
    assert preview.plan == (() if unchanged else ("+ a queue",))
    assert preview.warnings == ()
    assert not (tmp_path / "done").exists()


def test_of_a_long_plan_the_end_is_shown_and_how_much_is_left_out(project: ProgramFolder) -> None:
    plan = project.script("plan.py", "for number in range(250): print(number)")
    lines = KIND.preview(project.job(plan=plan), project.ports).plan
    assert (len(lines), lines[0], lines[-1]) == (201, "(50 more lines before these)", "249")


def test_a_plan_without_changes_deploys_nothing(tmp_path: Path) -> None:
    terraform = Terraform(tmp_path)
    report, observed = terraform.deploy(terraform.job_with(0))
    assert (observed.state, observed.verdict, report.intents) == ("done", Verdict.UNCHANGED, [])
    assert not (tmp_path / "done").exists()


def test_a_plan_with_changes_is_followed_by_the_deploy(tmp_path: Path) -> None:
    terraform = Terraform(tmp_path)
    _, observed = terraform.deploy(terraform.job_with(2))
    assert observed.verdict is Verdict.SUCCEEDED
    assert (tmp_path / "done").exists()


def test_a_plan_that_fails_ends_the_step_before_anything_is_deployed(tmp_path: Path) -> None:
    terraform = Terraform(tmp_path)
    job = terraform.job_with(1)
    with pytest.raises(ProgramFailed, match="ended with exit code 1"):
        KIND.preview(job, terraform.ports)
    report = Report()
    with pytest.raises(ProgramFailed, match="ended with exit code 1"):
        KIND.apply(job, terraform.ports, report)
    assert report.intents == []
    assert not (tmp_path / "done").exists()


def test_an_exit_code_of_changes_without_a_plan_is_a_problem_of_rules_toml() -> None:
    settings = CommandSettings(deploy=("true",), changes=2)
    assert KIND.problem(settings) == "`changes` is an exit code of `plan`, and there is no `plan`"


def test_what_live_prints_decides_whether_it_is_deployed(project: ProgramFolder) -> None:
    good = project.script("live.py", f"print('{COMMIT}')")
    _, observation = project.deploy(project.job(live=good))
    assert observation.verdict is Verdict.SUCCEEDED
    bad = project.script("other.py", f"print('{OLD}')")
    report, observation = project.deploy(project.job(live=bad))
    assert observation.state == "running", "it may take a moment to show"
    long_ago = replace(observation, mark=observation.mark - LAG_S)
    observation = KIND.observe(project.job(live=bad), report.receipt, project.ports, long_ago)
    assert (observation.state, observation.verdict) == ("failed", None)
    assert observation.cause == f"`./other.py` prints {OLD}, not the version that was deployed"


def test_a_live_that_fails_after_a_good_deploy_leaves_it_unknown(project: ProgramFolder) -> None:
    broken = project.script("live.py", "raise SystemExit(1)")
    _, observed = project.deploy(project.job(live=broken))
    assert observed.state == "unknown"
    assert "`./live.py` ended with exit code 1" in observed.cause


@pytest.mark.parametrize("line", ["two words", "\x1b[31mred", "a" * 500, "`reboot`"])
def test_what_is_no_version_is_not_taken_for_what_runs(project: ProgramFolder, line: str) -> None:
    words = project.script("live.py", f"print({line!r})")
    with pytest.raises(ProgramFailed, match="its first line is not a version"):
        KIND.live(project.job(live=words), project.ports)


def test_the_commit_is_known_by_its_first_digits(project: ProgramFolder) -> None:
    cases = ((COMMIT[:7], COMMIT), (COMMIT[:6], None), ("v1.2.3", None), (OLD, OLD))
    for printed, commit in cases:
        words = project.script("live.py", f"print('{printed}')")
        live = KIND.live(project.job(live=words), project.ports)
        assert live is not None
        assert (live.version, live.commit) == (printed, commit)


def test_where_live_prints_nothing_nothing_runs(project: ProgramFolder) -> None:
    assert KIND.live(project.job(live=["true"]), project.ports) is None
    assert KIND.live(project.job(), project.ports) is None


SLOW = "import time\nopen('began', 'w').write('x')\ntime.sleep(60)"


def test_one_that_is_stopped_is_ended_and_in_doubt(project: ProgramFolder) -> None:
    report = Report()
    words = project.script("deploy.py", SLOW)
    problems: list[BaseException] = []

    def deploy() -> None:
        try:
            KIND.apply(project.job(deploy=words), project.ports, report)
        except Stopped as problem:
            problems.append(problem)

    thread = Thread(target=deploy)
    thread.start()
    wait_for((project.root / "began").exists)
    report.stopping = True
    thread.join(20)
    assert len(problems) == 1
    observation = KIND.observe(project.job(deploy=words), report.receipt, project.ports)
    assert observation.state == "unknown"
    assert "was interrupted, and it has no `live` command to ask" in observation.cause


def test_one_that_takes_longer_than_its_deadline_is_ended_and_in_doubt(
    project: ProgramFolder,
) -> None:
    job = replace(project.job(deploy=project.script("deploy.py", SLOW)), deadline_s=1)
    report, observed = project.deploy(job)
    assert observed.state == "unknown"
    assert "did not end before its deadline" in observed.cause
    assert processes.is_running(processes.Process(**report.receipt["process"])) is False


def test_one_that_a_signal_ended_is_in_doubt_and_no_failure(project: ProgramFolder) -> None:
    words = project.script("deploy.py", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    _, observed = project.deploy(project.job(deploy=words))
    assert observed.state == "unknown"
    assert "was ended by signal 9" in observed.cause


ELSEWHERE = {"host": "another", "boot": "b", "pid": 4, "started": "1"}


def ended_here() -> dict[str, Any]:
    """A process of this machine that has ended."""
    child = subprocess.Popen(["true"])
    this = processes.process_of(child.pid)
    child.wait()
    return {"host": this.host, "boot": this.boot, "pid": this.pid, "started": this.started}


@pytest.mark.parametrize(
    ("printed", "state", "verdict"),
    [
        (COMMIT, "done", Verdict.SUCCEEDED),
        (OLD, "absent", None),
        ("something-else", "unknown", None),
        ("", "unknown", None),
    ],
)
def test_of_one_that_was_interrupted_live_says_what_became(
    project: ProgramFolder, printed: str, state: str, verdict: Verdict | None
) -> None:
    live = project.script("live.py", f"print({printed!r})")
    job = replace(project.job(live=live), recorded=RecordedDeploy("run", OLD))
    observation = KIND.observe(job, {"started": True, "process": ended_here()}, project.ports)
    assert (observation.state, observation.verdict) == (state, verdict)


@pytest.mark.parametrize("process", [None, ELSEWHERE, {"unheard": 1}])
@pytest.mark.parametrize(("printed", "state"), [(COMMIT, "done"), (OLD, "unknown")])
def test_one_that_may_still_run_where_nobody_can_look_is_not_begun_beside_itself(
    project: ProgramFolder, process: Any, printed: str, state: str
) -> None:
    """On another machine, or where its number was never written down, `live` says too little."""
    live = project.script("live.py", f"print({printed!r})")
    job = replace(project.job(live=live), recorded=RecordedDeploy("run", OLD))
    observation = KIND.observe(job, {"started": True, "process": process}, project.ports)
    assert observation.state == state
    if state == "unknown":
        assert "whether it still runs cannot be known from here" in observation.cause


def crash_at(number: int) -> Callable[[tuple[Any, ...]], None]:
    """Crash when this number of things has been said."""
    values: list[tuple[Any, ...]] = []

    def crash(event: tuple[Any, ...]) -> None:
        values.append(event)
        if len(values) == number:
            raise Crash

    return crash


def test_after_a_crash_at_any_moment_it_is_absent_only_if_it_was_never_started(
    project: ProgramFolder,
) -> None:
    words = project.script("deploy.py", "open('ran', 'a').write('x')")
    live = project.script("live.py", f"print('{OLD}')")
    job = replace(project.job(deploy=words, live=live), recorded=RecordedDeploy("run", OLD))
    whole = Report()
    KIND.apply(job, project.ports, whole)
    moments = len(whole.events)
    assert moments >= 4
    for number in range(1, moments + 1):
        (project.root / "ran").unlink(missing_ok=True)
        report = Report(on_event=crash_at(number))
        with pytest.raises(Crash):
            KIND.apply(job, project.ports, report)
        time.sleep(0.1)
        observation = KIND.observe(job, report.receipt, project.ports)
        if (project.root / "ran").exists():
            certain = report.receipt.get("process") is not None
            assert observation.state != "absent" or certain, number
        assert report.receipt.get("started") or observation.state == "absent", number


def test_one_whose_number_cannot_be_written_down_is_ended(project: ProgramFolder) -> None:
    """Nobody would read what it writes, nor see its end."""
    numbers: list[int] = []

    def full(event: tuple[Any, ...]) -> None:
        if event[0] == "keep" and event[1].get("process"):
            numbers.append(event[1]["process"]["pid"])
            raise FileProblem(path="journal", reason="no space left")

    job = project.job(deploy=project.script("deploy.py", SLOW))
    with pytest.raises(FileProblem):
        KIND.apply(job, project.ports, Report(on_event=full))
    assert not processes.is_running(processes.process_of(numbers[0]))


def test_one_that_could_not_be_started_has_not_begun(project: ProgramFolder) -> None:
    (project.root / "deploy.sh").write_text("#!/no/such/interpreter\n")
    (project.root / "deploy.sh").chmod(0o755)
    report = Report()
    with pytest.raises(Refused, match="could not be started"):
        KIND.apply(project.job(deploy=["./deploy.sh"]), project.ports, report)
    assert ("turned away",) in report.events
    assert KIND.observe(project.job(), report.receipt, project.ports).state == "absent"


def test_values_of_passed_variables_are_hidden_in_all_that_it_writes(
    project: ProgramFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_TOKEN", "canary-value")
    words = project.script("say.py", "import os; print('x', os.environ['TF_TOKEN'], 'y')")
    failing = project.script("fail.py", "import os; raise SystemExit(os.environ['TF_TOKEN'])")
    job = project.job(deploy=words, plan=words, env=["TF_TOKEN"], health=failing)
    report, _ = project.deploy(job)
    assert report.of("log") == ["x {TF_TOKEN} y"]
    assert KIND.preview(job, project.ports).plan == ("x {TF_TOKEN} y",)
    findings: list[Any] = []
    KIND.health(job, project.ports, findings.append)
    assert "{TF_TOKEN}" in findings[0].cause
    broken = project.job(plan=failing, env=["TF_TOKEN"])
    with pytest.raises(ProgramFailed) as refused:
        KIND.preview(broken, project.ports)
    assert "canary" not in f"{report.events} {findings} {refused.value}"


def test_a_live_that_fails_before_the_first_deploy_is_told_and_keeps_nobody(
    project: ProgramFolder,
) -> None:
    preview = KIND.preview(project.job(live=["false"]), project.ports)
    assert preview.warnings == (
        "what is live could not be read: false failed: `false` ended with exit code 1",
    )
    assert [call.name for call in preview.calls] == ["run"]


def test_one_whose_toolkit_has_died_is_watched_while_it_runs(project: ProgramFolder) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        this = processes.process_of(child.pid)
        facts = {"host": this.host, "boot": this.boot, "pid": this.pid, "started": this.started}
        observation = KIND.observe(
            project.job(), {"started": True, "process": facts}, project.ports
        )
        assert observation.state == "running"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    receipt = {"started": True, "process": facts}
    assert KIND.observe(project.job(), receipt, project.ports).state == "unknown"


def test_one_that_was_never_started_is_absent(project: ProgramFolder) -> None:
    assert KIND.observe(project.job(), {}, project.ports).state == "absent"


def test_rollback_runs_its_own_words(project: ProgramFolder) -> None:
    words = project.script("back.py", "import sys; print('back to', sys.argv[1])")
    job = project.job(JobAction.ROLLBACK, rollback=[*words, OLD])
    report, observed = project.deploy(job)
    assert report.of("log") == [f"back to {OLD}"]
    assert observed.verdict is Verdict.SUCCEEDED
    assert KIND.irreversible(job.settings) is None
    assert KIND.irreversible(project.job().settings) is not None


@pytest.mark.parametrize(
    ("code", "status"),
    [("0", "ok"), ("1", "failing"), ("None or __import__('os').abort()", "unknown")],
)
def test_health_is_what_its_program_says(project: ProgramFolder, code: str, status: str) -> None:
    words = project.script("health.py", f"print('queue is full')\nraise SystemExit({code})")
    values: list[Any] = []
    assert KIND.health(project.job(health=words), project.ports, values.append) is None
    assert [(finding.what, finding.status) for finding in values] == [("health", status)]
    if status == "failing":
        assert values[0].cause == "`./health.py` ended with exit code 1: queue is full"


def test_its_folder_and_every_word_of_a_look_may_decide_what_is_started() -> None:
    settings = CommandSettings(
        deploy=("./deploy.sh",),
        live=("../live.sh",),
        health=("python", "health.py"),
        folder="infra",
    )
    assert KIND.programs(settings) == ("infra", "live.sh", "infra/python", "infra/health.py")
