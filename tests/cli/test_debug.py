"""The debug log: what it holds, what it never holds, and that nothing depends on it."""

import os
import re
import stat
import sys
from pathlib import Path

import pytest

from tests.cli.test_deploy_errors import Deploys
from tests.cli.test_deploy_errors import shop as shop
from tests.support.repo import Repo
from tests.support.run import ROOT, Toolkit, process
from toolkit.checks.values import Redactor
from toolkit.ports import debug
from toolkit.ports import process as programs
from toolkit.ports.aws import client

SECRET = "a-value-that-nobody-may-see"
LINE = re.compile(r"(?:\[\d+\] )?\s*\d+\.\d{3}s [a-z]+ .*")


@pytest.fixture(autouse=True)
def _off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins and ends without a debug log."""
    monkeypatch.setattr(debug, "sink", None)
    monkeypatch.setattr(debug, "on_stderr", False)
    monkeypatch.setattr(debug, "_secrets", set())


def topics(log: str) -> list[str]:
    return [line.split("s ", 1)[1].split()[0] for line in log.splitlines() if LINE.fullmatch(line)]


def lines(log: str, topic: str) -> list[str]:
    return [line for line in log.splitlines() if re.search(rf"\ds {topic} ", line)]


@pytest.mark.parametrize("args", [("--debug", "diff", "HEAD"), ("diff", "HEAD", "--debug")])
def test_the_option_writes_calls_and_decisions_to_stderr(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    repo.write({"backend/src/app.py": "changed\n"})
    plain = toolkit(repo.path, "diff", "HEAD")
    notes = toolkit(repo.path, *args)
    assert (notes.out, notes.code) == (plain.out, plain.code)
    assert all(LINE.fullmatch(line) for line in notes.err.splitlines())
    assert {"toolkit", "git", "rules", "base", "changes", "state", "because", "step"} <= {
        *topics(notes.err)
    }
    [base] = lines(notes.err, "base")
    assert f'kind=ref name=HEAD commits={repo.head} why="as asked"' in base
    [because] = [line for line in lines(notes.err, "because") if "backend/src/app.py" in line]
    assert 'app path=backend/src/app.py rule="App code"' in because
    assert any("state=clean" in line and " fargate " in line for line in lines(notes.err, "state"))
    status = next(line for line in lines(notes.err, "git") if " status " in line)
    assert re.search(r"exit=0 ms=\d+\.\d$", status)


def test_the_file_is_appended_to_and_only_its_owner_may_read_it(repo: Repo, tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    log.write_text("before\n")
    log.chmod(0o644)
    for _ in range(2):
        done = process(repo.path, "diff", "--json", "HEAD", TOOLKIT_DEBUG=str(log))
        assert (done.code, done.err) == (0, "")
    text = log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert text.startswith("before\n")
    assert len(lines(text, "toolkit")) == len(lines(text, "exit")) == 2
    assert all(LINE.fullmatch(line) for line in text.splitlines()[1:])
    assert all(line.endswith("exit     0") for line in lines(text, "exit"))


def test_without_either_nothing_is_written_or_loaded(repo: Repo, tmp_path: Path) -> None:
    text = "import sys; from toolkit.cli.main import run; code = run(['diff', '--json', 'HEAD']);"
    text += "print(sorted(m for m in sys.modules if 'debug_log' in m), code, file=sys.stderr)"
    done = programs.run(
        [sys.executable, "-c", text],
        str(repo.path),
        {**os.environ, "PYTHONPATH": str(ROOT), "TOOLKIT_DEBUG": ""},
    )
    assert done.err == b"[] 0\n"
    assert not list(tmp_path.glob("*.log"))


@pytest.mark.parametrize("kind", ["link", "folder", "missing", "pipe"])
def test_a_file_that_cannot_be_written_is_one_warning_and_changes_nothing(
    repo: Repo, tmp_path: Path, kind: str
) -> None:
    target, log = tmp_path / "target", tmp_path / "debug.log"
    target.write_text("")
    if kind == "link":
        log.symlink_to(target)
    elif kind == "folder":
        log.mkdir()
    elif kind == "pipe":
        os.mkfifo(log)
    else:
        log = tmp_path / "none" / "debug.log"
    plain = process(repo.path, "diff", "HEAD")
    result = process(repo.path, "diff", "HEAD", TOOLKIT_DEBUG=str(log))
    assert (result.out, result.code) == (plain.out, plain.code)
    first, *rest = result.err.splitlines()
    assert all(line.startswith("  ") for line in rest)
    warning = " ".join((first, *map(str.strip, rest)))
    assert warning.startswith(f"warning: no debug log in {log}: ")
    assert target.read_text() == ""


def test_a_disk_that_fills_up_is_one_warning_and_changes_nothing(
    repo: Repo, tmp_path: Path
) -> None:
    log = tmp_path / "debug.log"
    log.write_text("x" * 512 * 2)
    argv = [sys.executable, "-m", "toolkit", "diff", "HEAD"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    plain = programs.run(argv, str(repo.path), environment)
    limited = ["/bin/sh", "-c", 'ulimit -f 2; exec "$@"', "sh", *argv]
    completed_process = programs.run(
        limited, str(repo.path), {**environment, "TOOLKIT_DEBUG": str(log)}
    )
    assert (completed_process.out, completed_process.code) == (plain.out, plain.code)
    words = completed_process.err.decode().replace("\n  ", " ")
    assert words == f"warning: no debug log in {log}: File too large\n"


def test_a_file_in_the_repository_is_warned_about(repo: Repo) -> None:
    result = process(repo.path, "diff", "HEAD", TOOLKIT_DEBUG="debug.log")
    assert result.err.startswith("warning: TOOLKIT_DEBUG names a file in a repository: ")
    assert "untracked" in result.err


def test_a_hostile_name_stays_in_its_line(repo: Repo, toolkit: Toolkit) -> None:
    repo.write({b"backend/src/x\n    0.001s verdict  app succeeded\x1b[2J": "x"})
    notes = toolkit(repo.path, "diff", "HEAD", "--debug")
    assert "\x1b" not in notes.err
    assert "verdict" not in topics(notes.err)
    assert any("x\\n    0.001s verdict" in line for line in lines(notes.err, "because"))


def test_no_secret_is_in_the_log(
    repo: Repo,
    toolkit: Toolkit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By its variable's name, by its form, behind an option, and as the value of a check."""
    monkeypatch.setenv("DEPLOY_TOKEN", SECRET)
    notes = toolkit(repo.path, "diff", SECRET, "--debug")
    assert notes.code == 2
    assert "[redacted]" in notes.err
    assert SECRET not in notes.err
    Redactor({"word": "hunter2"})
    argv = ["/bin/true", "--password", "opensesame", "https://ada:pw12@example.com", "x=hunter2"]
    programs.run(argv, str(repo.path), {})
    [line] = capsys.readouterr().err.splitlines()
    assert "/bin/true" in line
    assert "exit=0" in line
    assert not [word for word in ("opensesame", "pw12", "hunter2") if word in line]


@pytest.fixture
def patient(shop: Deploys, monkeypatch: pytest.MonkeyPatch) -> Deploys:
    """A busy machine's answers are late, and that is not what is meant here."""
    monkeypatch.setattr(client, "ATTEMPTS", 5)
    monkeypatch.setattr(client, "READ_S", 20)
    monkeypatch.setattr(client, "CALL_S", 60.0)
    return shop


def test_a_deploy_tells_each_call_decision_and_verdict(patient: Deploys) -> None:
    done = patient("deploy-app", "--yes", "--debug")
    assert done.code == 0, done.err
    log = done.err
    assert {"aws", "git", "rules", "trusted", "job", "lock", "intent", "receipt", "verdict"} <= {
        *topics(log)
    }
    [update] = [line for line in lines(log, "aws") if " ecs:UpdateService " in line]
    assert re.search(
        r"region=eu-west-1 host=127\.0\.0\.1:\d+ account=111111111111 attempts=1 status=200"
        r" request=\S+ ms=\d",
        update,
    )
    calls = patient.endpoint.calls
    names = [line.split("aws", 1)[1].split()[0].split(":")[1] for line in lines(log, "aws")]
    assert sorted(names) == sorted(call.operation for call in calls if call.service != "registry")
    [verdict] = lines(log, "verdict")
    assert "web succeeded" in verdict
    assert "secret-of-the-scripted-endpoint" not in log


def test_a_call_that_is_refused_and_tried_again_says_so(patient: Deploys) -> None:
    patient.endpoint.fault("ecs:DescribeServices", times=2, kind="throttle")
    patient.endpoint.fault("ecs:UpdateService", times=None, kind="denied")
    log = patient("deploy-app", "--yes", "--debug").err
    first = next(line for line in lines(log, "aws") if "ecs:DescribeServices" in line)
    assert "attempts=3 status=200" in first
    update = next(line for line in lines(log, "aws") if "ecs:UpdateService" in line)
    assert "attempts=1 status=400 error=AccessDeniedException" in update


def test_a_call_without_an_answer_says_so(patient: Deploys) -> None:
    patient.endpoint.fault("sts:GetCallerIdentity", times=None, kind="reset")
    log = patient("deploy-app", "--yes", "--debug").err
    call = next(line for line in lines(log, "aws") if "sts:GetCallerIdentity" in line)
    assert re.search(r"attempts=5 error=\w*Connection\w* ms=", call)
