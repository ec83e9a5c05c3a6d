"""`toolkit tail`: followed in a terminal and in a pipe, ended by its reader or by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pexpect
import pytest

from tests.support import run
from tests.support.aws import Endpoint
from tests.support.run import ROOT, Result, Toolkit
from toolkit.ports.clock import SystemClock

RULES = """\
version = 1
project = "tailed"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "web"
[targets.api]
kind = "stack"
stack = "Api"
template = "api.json"
[targets.press]
kind = "manual"
instructions = "call them"
[targets.all]
kind = "group"
members = ["web", "api"]
[targets.everything]
kind = "group"
members = ["web", "press"]
"""
GROUP = "/ecs/web"


class Stage:
    """A service of a scripted AWS with one task, and a stack."""

    def __init__(self, endpoint: Endpoint, folder: Path, toolkit: Toolkit) -> None:
        self.endpoint, self.folder, self._toolkit = endpoint, folder, toolkit
        endpoint.ecr.repository("web")
        endpoint.ecr.image("web", "v1")
        service = endpoint.ecs.service("web", "web:v1")
        [arn] = service.cluster.tasks
        self.task = arn.rpartition("/")[2]
        endpoint.cloudformation.stack("Api", resources={"Jobs": "AWS::SQS::Queue"})
        (folder / "rules.toml").write_text(RULES)

    def tail(self, *args: str) -> Result:
        return self._toolkit(self.folder, "tail", *args)

    def put(self, *texts: str, ago_s: float = 1) -> None:
        moment = datetime.now(UTC) - timedelta(seconds=ago_s)
        self.endpoint.logs.put(GROUP, f"ecs/app/{self.task}", *texts, moment=moment)

    def started(self, *args: str) -> "subprocess.Popen[str]":
        """A process of its own that follows."""
        return run.started(self.folder, "tail", *args)


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path, toolkit: Toolkit) -> Stage:
    folder = tmp_path / "project"
    folder.mkdir()
    return Stage(aws_endpoint, folder, toolkit)


def interrupted_after(monkeypatch: pytest.MonkeyPatch, waits: int) -> list[float]:
    """Ctrl-C comes at this wait; the waits before, in seconds, take no time."""
    waited: list[float] = []

    def wait(self: SystemClock, seconds: float, wake: Event | None = None) -> bool:
        waited.append(seconds)
        if len(waited) >= waits:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(SystemClock, "wait", wait)
    monkeypatch.setattr(SystemClock, "elapsed", lambda self: sum(waited))
    return waited


def test_lines_have_the_local_time_and_the_task(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        when = datetime.now(UTC) - timedelta(seconds=1)
        stage.endpoint.logs.put(GROUP, f"ecs/app/{stage.task}", "one\ntwo", moment=when)
        answer = stage.tail("web", "--no-follow")
        local = when + timedelta(hours=5, minutes=30)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert answer.code == 0, answer.err
    [one, two] = answer.out.splitlines()
    assert one.endswith(f"{local:%H:%M:%S} web:1/{stage.task[:8]}  one")
    assert two.endswith(f" web:1/{stage.task[:8]}  two")


def test_a_line_of_another_day_has_its_date(stage: Stage) -> None:
    when = datetime.now(UTC) - timedelta(hours=60)
    stage.endpoint.logs.put(GROUP, f"ecs/app/{stage.task}", "old", moment=when)
    assert stage.tail("web", "--no-follow").out == ""
    answer = stage.tail("web", "--no-follow", "--since", "100h")
    assert answer.out.startswith(f"{when.astimezone():%Y-%m-%d %H:%M:%S} web:1/")


def test_grep_keeps_whole_events_that_contain_the_text(stage: Stage) -> None:
    stage.put("all fine", "ERROR here\n  at line 7", "fine (again)")
    answer = stage.tail("web", "--no-follow", "--grep", "ERROR")
    assert [line.partition("  ")[2] for line in answer.out.splitlines()] == [
        "ERROR here",
        "  at line 7",
    ]
    assert stage.tail("web", "--no-follow", "--grep", "(again").out.endswith("fine (again)\n")
    assert stage.tail("web", "--no-follow", "--grep", "nothing").out == ""


def test_every_event_is_a_line_of_json(stage: Stage) -> None:
    stage.put('he said "hi"\nand left', "caf\u00e9 \x07")
    answer = stage.tail("web", "--no-follow", "--json")
    first, second = map(json.loads, answer.out.splitlines())
    assert first.pop("when").endswith("+00:00")
    assert first == {
        "target": "web",
        "environment": "dev",
        "region": "eu-west-1",
        "source": f"web:1/{stage.task[:8]}",
        "text": 'he said "hi"\nand left',
    }
    assert second["text"] == "caf\u00e9 \x07"
    assert answer.out.isascii()
    assert answer.err == ""


def test_hostile_lines_move_no_cursor_and_forge_no_line(stage: Stage) -> None:
    stage.put("\x1b[2Jgone\r\u202eevil", "::error::pwned ##vso[task]", "a\nerror: forged")
    answer = stage.tail("web", "--no-follow")
    assert "\x1b" not in answer.out
    assert "\u202e" not in answer.out
    assert "::error::" not in answer.out
    assert "##vso[" not in answer.out
    assert not any(line.startswith("error:") for line in answer.out.splitlines())


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_secrets_are_hidden(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "correcthorsebattery")
    stage.put("password=hunter2", "using correcthorsebattery", "key AKIAABCDEFGHIJKLMNOP")
    answer = stage.tail("web", "--no-follow", *args)
    for secret in ("hunter2", "correcthorse", "AKIAABCDEFGHIJKLMNOP"):
        assert secret not in answer.out + answer.err
    assert answer.out.count("[redacted]") == 3


def test_stack_events_are_shown_with_their_stack(stage: Stage) -> None:
    answer = stage.tail("api", "--no-follow")
    assert answer.code == 0
    assert answer.out.endswith(" Api  AWS::CloudFormation::Stack Api CREATE_COMPLETE\n")


def test_a_group_is_followed_as_a_whole_with_each_name(stage: Stage) -> None:
    stage.put("hello")
    answer = stage.tail("all", "--no-follow")
    assert f" web web:1/{stage.task[:8]}  hello" in answer.out


def test_a_member_of_a_group_that_has_no_log_is_said(stage: Stage) -> None:
    stage.put("hello")
    answer = stage.tail("everything", "--no-follow")
    assert answer.out.endswith("hello\n")
    note = "note: toolkit cannot read logs of target press (kind manual)"
    assert answer.err.count(note) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("press",), "toolkit cannot read logs of target press (kind manual)"),
        (("wab",), "did you mean 'web'?"),
        (("web", "--since", "yesterday"), "invalid --since 'yesterday'"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    stage: Stage, args: tuple[str, ...], words: str
) -> None:
    answer = stage.tail(*args)
    assert answer.code == 2
    assert words in answer.err


def test_a_missing_service_and_a_wrong_account_are_errors(stage: Stage) -> None:
    rules = RULES.replace('service = "web"', 'service = "gone"')
    (stage.folder / "rules.toml").write_text(rules)
    assert stage.tail("web").code == 2
    (stage.folder / "rules.toml").write_text(RULES.replace("111111111111", "222222222222"))
    assert stage.tail("web").code == 7


def test_throttling_is_said_and_waited_out_and_nothing_is_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put("one")
    stage.endpoint.fault("GetLogEvents", 10, "throttle")
    waited = interrupted_after(monkeypatch, 8)
    calls: list[int] = []
    wait = SystemClock.wait

    def counted(self: SystemClock, seconds: float, wake: Event | None = None) -> bool:
        calls.append(stage.endpoint.calls.count("GetLogEvents"))
        return wait(self, seconds, wake)

    monkeypatch.setattr(SystemClock, "wait", counted)
    answer = stage.tail("web")
    assert answer.code == 0
    assert answer.out.splitlines()[0].endswith("  one")
    assert answer.out.count("one") == 1
    assert "note: AWS is throttling logs:GetLogEvents; next look in 2 s" in answer.err
    assert "next look in 4 s" in answer.err
    assert "note: AWS answers again" in answer.err
    assert set(waited) == {2.0}
    # Each failed look is five calls; the second pause is twice as long.
    assert (calls[:3], calls[3] > 10) == ([5, 10, 10], True)


@pytest.mark.slow("waiting as long as AWS says")
def test_without_following_it_gives_up_after_some_tries(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.endpoint.fault("GetLogEvents", None, "throttle")
    interrupted_after(monkeypatch, 50)
    answer = stage.tail("web", "--no-follow")
    assert answer.code == 1
    assert "error: AWS is throttling logs:GetLogEvents" in answer.err


def test_a_missing_permission_ends_it_with_what_is_needed(stage: Stage) -> None:
    stage.endpoint.fault("GetLogEvents", None, "denied")
    answer = stage.tail("web")
    assert answer.code == 7
    assert "toolkit permissions --json" in answer.err


def test_ctrl_c_is_the_way_to_end_it_but_not_without_following(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_after(monkeypatch, 1)
    assert stage.tail("web").code == 0
    stage.endpoint.fault("GetLogEvents", None, "throttle")
    with pytest.raises(KeyboardInterrupt):  # which `main` turns into 130
        stage.tail("web", "--no-follow")


def test_a_pipe_gets_each_line_at_once_and_its_end_ends_it(stage: Stage) -> None:
    stage.put("one")
    with stage.started("web") as child:
        assert child.stdout is not None
        assert child.stdout.readline().endswith("  one\n")
        child.stdout.close()  # as `head -n 1` does
        stage.put("two", ago_s=0)
        assert child.wait(30) == 0


def test_a_signal_ends_a_real_one_with_0(stage: Stage) -> None:
    stage.put("one")
    with stage.started("web") as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0


def test_on_a_terminal_it_goes_on_until_ctrl_c(stage: Stage) -> None:
    stage.put("one")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "tail", "web", "--color", "always"],
        cwd=str(stage.folder),
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        encoding="utf-8",
        timeout=30,
    )
    child.expect(rf"\x1b\[2m\d\d:\d\d:\d\d web:1/{stage.task[:8]}\x1b\[0m  one")
    stage.put("two", ago_s=0)
    child.expect("  two")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
