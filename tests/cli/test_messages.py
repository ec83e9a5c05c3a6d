"""`deploy -m "why"`: kept in the journal and in the record, and shown."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_command_target import CommandTeam
from tests.support.run import ROOT, Toolkit
from toolkit.operations import RunStatus
from toolkit.record.history import MESSAGE_MOST, Summary
from toolkit.show import history


@pytest.fixture
def team(tmp_path: Path, toolkit: Toolkit) -> CommandTeam:
    return CommandTeam(tmp_path, toolkit)


def newest(team: CommandTeam) -> dict[str, object]:
    runs = team("history", "--json").json["runs"]
    first: dict[str, object] = runs[0]
    return first


def test_history_show_and_the_record_say_why(team: CommandTeam) -> None:
    assert team("deploy", "infra", "--yes", "-m", "the queue is full").code == 0
    run = str(newest(team)["run"])
    assert newest(team)["message"] == "the queue is full"
    [header, _, row] = team("history").out.splitlines()
    assert header.split()[-1] == "message"
    assert row.endswith("the queue is full")
    assert "message     the queue is full\n" in team("show", run).out
    assert team("show", run, "--json").json["run"]["message"] == "the queue is full"
    [target] = team("record", "show", "--json").json["targets"]
    assert target["good"]["message"] == "the queue is full"


def test_without_a_message_nothing_is_shown_of_one(team: CommandTeam) -> None:
    assert team("deploy", "infra", "--yes").code == 0
    assert newest(team)["message"] is None
    assert "message" not in team("history").out
    assert "message" not in team("show", str(newest(team)["run"])).out
    [target] = team("record", "show", "--json").json["targets"]
    assert target["good"]["message"] is None


def test_a_rollback_and_a_failed_deploy_have_their_own_message(team: CommandTeam) -> None:
    assert team("deploy", "infra", "--yes", "--message", "one").code == 0
    team.repo.commit("change", {"infra/new.tf": "x\n"})
    (team.state / "broken").touch()
    assert team("deploy", "infra", "--yes", "--message", "two").code == 1
    [target] = team("record", "show", "--json").json["targets"]
    assert (target["good"]["message"], target["last"]["message"]) == ("one", "two")
    (team.state / "broken").unlink()
    assert team("deploy", "infra", "--yes", "-m", "three").code == 0
    assert team("rollback", "infra", "--yes", "-m", "it was slow").code == 0
    runs = team("history", "--json").json["runs"]
    assert {run["message"]: run["status"] for run in runs} == {
        "one": "succeeded",
        "two": "failed",
        "three": "succeeded",
        "it was slow": "succeeded",
    }


def test_the_message_of_a_commit_becomes_one_line(team: CommandTeam) -> None:
    assert (
        team("deploy", "infra", "--yes", "-m", "  Fix it\n\nBecause\tof caf\u00e9.\r\n").code == 0
    )
    assert newest(team)["message"] == "Fix it Because of caf\u00e9."


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("", "it is empty"),
        (" \n\t ", "it is empty"),
        ("x" * (MESSAGE_MOST + 1), "it has 1,001 characters"),
        ("a\x1b[2Jb", "control characters"),
        ("a\u202eb", "control characters"),
        ("a\udcffb", "is not UTF-8"),
        ("a\x00b", "control characters"),
    ],
)
def test_what_is_no_message_is_refused_before_anything_is_done(
    team: CommandTeam, message: str, words: str
) -> None:
    answer = team("deploy", "infra", "--yes", "-m", message)
    assert answer.code == 2
    assert words in answer.err
    assert team.started() == []
    assert team("history", "--json").json["runs"] == []


def test_the_longest_message_is_kept_whole(team: CommandTeam) -> None:
    message = "x" * MESSAGE_MOST
    assert team("deploy", "infra", "--yes", "-m", message).code == 0
    assert newest(team)["message"] == message
    assert max(map(len, team("history").out.splitlines())) <= 80


def test_a_secret_in_a_message_reaches_no_file(team: CommandTeam) -> None:
    secret = "password=hunter2hunter2"
    assert team("deploy", "infra", "--yes", "-m", f"rotate {secret}").code == 0
    states = Path(os.environ["XDG_STATE_HOME"])
    texts = [path.read_bytes() for path in states.rglob("*") if path.is_file()]
    assert any(b"rotate" in text for text in texts)
    assert not any(b"hunter2" in text for text in texts)
    assert newest(team)["message"] == "rotate password=[redacted]"


def test_a_colleagues_message_forges_no_line() -> None:
    message = "\x1b[2J\nrun         forged ::error::x ##vso[task]"
    steps = (("app", "app", None),)
    failed = RunStatus.FAILED
    summary = Summary("r", "t", None, "c", "ada", "dev", steps, failed, message=message)
    for text in (history.runs([summary], 200), history.run(summary, ())):
        assert "\x1b" not in text
        assert "\nrun         forged" not in text
        assert "##vso[" not in text


def test_a_resumed_run_keeps_its_message(team: CommandTeam) -> None:
    (team.state / "slow").touch()
    run = [sys.executable, "-m", "toolkit", "deploy", "infra", "--yes", "-m", "before the kill"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(run, cwd=team.repo.path, env=env, start_new_session=True)
    until = time.monotonic() + 30
    while not (team.state / "at-work").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    child.kill()
    child.wait()
    journals = list(Path(os.environ["XDG_STATE_HOME"]).rglob("*.jsonl"))
    text = "".join(path.read_text() for path in journals)
    os.killpg(int(re.findall(r'"process":\{[^}]*"pid":(\d+)', text)[-1]), signal.SIGKILL)
    (team.state / "slow").unlink()
    (team.state / "live").write_text(team.head)
    assert team("resume", "--yes").code == 0
    [target] = team("record", "show", "--json").json["targets"]
    assert target["good"]["message"] == "before the kill"
    assert newest(team)["message"] == "before the kill"
