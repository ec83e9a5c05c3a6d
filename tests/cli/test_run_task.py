"""`toolkit run-task`: a command runs once with what is live; its exit code is passed on, and what
nobody has seen is in doubt.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pexpect
import pytest

from tests.support import run
from tests.support.aws import Endpoint
from tests.support.aws.ecs import Errand
from tests.support.run import ROOT, Result, Toolkit
from toolkit.ports import disk
from toolkit.ports.clock import SystemClock
from toolkit.record import journal
from toolkit.run import one_off

RULES = """\
version = 1
project = "one-off"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
[environments.prod]
account = "111111111111"
regions = ["eu-west-1"]
protected = true
[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "web"
[targets.api]
kind = "stack"
stack = "Api"
template = "api.json"
[targets.all]
kind = "group"
members = ["web", "api"]
"""
COMMAND = ("--", "python", "-c", "print('hi'); $HOME `id` \n*", "")
WORDS = ["python", "-c", "print('hi'); $HOME `id` \n*", ""]


class Stage:
    """A service of a scripted AWS, and what one-off tasks do there."""

    def __init__(self, endpoint: Endpoint, folder: Path, toolkit: Toolkit) -> None:
        self.endpoint, self.folder, self._toolkit = endpoint, folder, toolkit
        uri = endpoint.ecr.repository("web").uri
        image = endpoint.ecr.image("web", "v1")
        self.service = endpoint.ecs.service("web", f"{uri}@{image.digest}")
        (folder / "rules.toml").write_text(RULES)
        endpoint.calls.clear()

    def run(self, *args: str) -> Result:
        return self._toolkit(self.folder, "run-task", *args)

    def errand(self, exit_code: int | None = 0, *log: str, **more: Any) -> None:
        """How the next task goes."""
        self.endpoint.ecs.errands.append(Errand(exit_code=exit_code, log=log, **more))

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that are none of the service's."""
        tasks = self.service.cluster.tasks.values()
        return [task for task in tasks if task["group"] != "service:web"]

    def child(self, *args: str) -> "subprocess.Popen[str]":
        """A process of its own."""
        return run.started(self.folder, "run-task", *args)


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path, toolkit: Toolkit) -> Stage:
    folder = tmp_path / "project"
    folder.mkdir()
    return Stage(aws_endpoint, folder, toolkit)


def at_wait(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[], object]) -> None:
    """Do something at this wait of toolkit's; the clock goes on by what is waited for."""
    waited: list[float] = []

    def wait(self: SystemClock, seconds: float, wake: Event | None = None) -> bool:
        waited.append(seconds)
        if len(waited) == number:
            do()
        return bool(wake and wake.is_set())

    monkeypatch.setattr(SystemClock, "wait", wait)
    monkeypatch.setattr(SystemClock, "elapsed", lambda self: sum(waited))


def small_pages(stage: Stage) -> None:
    """Let AWS answer with one event at a time."""
    plain = stage.endpoint.logs.get_log_events
    stage.endpoint.on("logs", "GetLogEvents", lambda params: plain({**params, "limit": 1}))


def wait_for(child: "subprocess.Popen[str]", words: str) -> None:
    """Read what a process says until it has said this, on however many lines."""
    assert child.stderr is not None
    said = ""
    while words not in " ".join(said.split()):
        read = child.stderr.readline()
        assert read, said
        said += read


def name_in(text: str) -> str:
    """The task's name that a hint for --attach has."""
    return text.partition("--attach ")[2].split()[0]


def test_a_command_runs_with_the_live_definition_in_the_services_network(stage: Stage) -> None:
    stage.errand(0, "hi", "there")
    answer = stage.run("web", *COMMAND)
    assert (answer.code, answer.out) == (0, "hi\nthere\n"), answer.err
    [call] = stage.endpoint.calls.of("RunTask")
    assert call.params["taskDefinition"] == stage.service.definition
    assert call.params["cluster"] == "main"
    assert call.params["overrides"] == {"containerOverrides": [{"name": "app", "command": WORDS}]}
    assert call.params["launchType"] == "FARGATE"
    network = call.params["networkConfiguration"]["awsvpcConfiguration"]
    assert (network["subnets"], network["securityGroups"]) == (["subnet-1"], ["sg-1"])
    assert call.params["startedBy"] == call.params["clientToken"]
    assert len(call.params["startedBy"]) <= 36
    assert "Run once in dev (account 111111111111, eu-west-1):" in answer.err


@pytest.mark.parametrize("code", [1, 2, 3, 42, 255])
def test_the_exit_code_of_the_command_is_passed_on(stage: Stage, code: int) -> None:
    stage.errand(code, "oops")
    answer = stage.run("web", *COMMAND)
    assert (answer.code, answer.out) == (code, "oops\n")
    assert f"failed: container app exited with code {code} (exit code {code})" in answer.err


@pytest.mark.parametrize("cause", ["pull", "secret"])
def test_a_task_that_cannot_start_is_1_with_its_cause(stage: Stage, cause: str) -> None:
    stage.errand(None, cause=cause)
    answer = stage.run("web", *COMMAND)
    assert answer.code == 1
    assert "failed: " in answer.err
    assert ("CannotPull" in answer.err) or ("ResourceInitializationError" in answer.err)


def test_what_ecs_cannot_place_is_refused_in_its_words(stage: Stage) -> None:
    stage.errand(0, refused="RESOURCE:MEMORY")
    answer = stage.run("web", *COMMAND)
    assert answer.code == 2
    assert "error: ECS could not start the task: RESOURCE:MEMORY" in answer.err


def test_json_is_one_object_and_the_commands_words_go_to_stderr(stage: Stage) -> None:
    stage.errand(3, "words")
    answer = stage.run("web", "--json", *COMMAND)
    document = answer.json
    assert document.pop("name")
    [task] = stage.tasks
    assert document == {
        "toolkit": 1,
        "command": "run-task",
        "status": "failed",
        "exit": 3,
        "target": "web",
        "environment": "dev",
        "region": "eu-west-1",
        "task": task["taskArn"],
        "ran": "python -c 'print('\"'\"'hi'\"'\"'); $HOME `id` \n*' ''",
        "exit_code": 3,
        "output_problem": None,
        "cause": "container app exited with code 3",
        "next": None,
        "endpoint": stage.endpoint.url,
    }
    assert "words" in answer.err


def test_hostile_words_of_the_command_are_escaped_and_secrets_hidden(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "correcthorsebattery")
    stage.errand(0, "\x1b[2Jgone", "::error::x", "password=hunter2", "correcthorsebattery")
    answer = stage.run("web", "--", "echo", "password=hunter2", "\x1b[2J")
    everything = answer.out + answer.err
    assert "\x1b" not in everything
    assert "::error::" not in everything
    assert "hunter2" not in everything
    assert "correcthorse" not in everything
    states = Path(os.environ["XDG_STATE_HOME"])
    written = [path.read_text() for path in states.rglob("*.jsonl")]
    assert written
    assert "hunter2" not in "".join(written)
    [call] = stage.endpoint.calls.of("RunTask")
    command = call.params["overrides"]["containerOverrides"][0]["command"]
    assert command == ["echo", "password=hunter2", "\x1b[2J"]  # what is run is what was typed


def test_a_dry_run_starts_nothing(stage: Stage) -> None:
    answer = stage.run("web", "--dry-run", *COMMAND)
    assert answer.code == 0
    assert "ecs:RunTask cluster=main task_definition=web:1 container=app" in answer.err
    assert stage.endpoint.calls.count("RunTask") == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("web",), "no command"),
        ((), "no target"),
        (("api", "--", "ls"), "cannot run a command in target api (kind stack)"),
        (("all", "--", "ls"), "all is a group"),
        (("wab", "--", "ls"), "did you mean 'web'?"),
        (("web", "--attach", "x", "--", "ls"), "--attach goes with no target and no command"),
        (("web", "--stop", "--", "ls"), "--stop goes with --attach"),
        (("--attach", "20261120-193742-x7k2"), "this machine has started no task"),
        (("web", "--container", "nope", "--", "ls"), "the task has no container nope"),
        (("web", "--timeout", "soon", "--", "ls"), "invalid --timeout 'soon'"),
    ],
)
def test_what_makes_no_sense_is_refused(stage: Stage, args: tuple[str, ...], words: str) -> None:
    answer = stage.run(*args)
    assert answer.code == 2
    assert words in answer.err
    assert stage.endpoint.calls.count("RunTask") == 0


def test_options_of_the_command_are_none_of_toolkits(stage: Stage) -> None:
    answer = stage.run("wab", "--", "aws", "--json", "--debug", "-e", "prod")
    assert (answer.code, answer.out) == (2, "")
    assert stage.run("wab", "--json", "--", "aws").json["status"] == "error"
    assert stage.run("web", "--", "aws", "--json", "--dry-run").code == 0
    [call] = stage.endpoint.calls.of("RunTask")
    command = call.params["overrides"]["containerOverrides"][0]["command"]
    assert command == ["aws", "--json", "--dry-run"]


def test_a_protected_environment_needs_its_name(stage: Stage) -> None:
    answer = stage.run("web", "-e", "prod", *COMMAND)
    assert answer.code == 2
    assert "environment prod is protected" in answer.err
    assert "--confirm prod -- python" in answer.err
    assert stage.endpoint.calls.count("RunTask") == 0
    assert stage.run("web", "-e", "prod", "--confirm", "prod", *COMMAND).code == 0
    assert stage.endpoint.calls.count("RunTask") == 1


def test_another_account_starts_nothing(stage: Stage) -> None:
    (stage.folder / "rules.toml").write_text(RULES.replace("111111111111", "222222222222"))
    assert stage.run("web", *COMMAND).code == 7
    assert stage.endpoint.calls.count("RunTask") == 0


def test_the_intent_is_on_disk_before_the_call(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    plain = stage.endpoint.ecs.run_task

    def run_task(params: dict[str, Any]) -> dict[str, Any]:
        states = Path(os.environ["XDG_STATE_HOME"])
        texts = [path.read_text() for path in states.rglob("tasks/runs/*.jsonl")]
        seen.append(any(params["startedBy"] in text and '"intent"' in text for text in texts))
        return plain(params)

    stage.endpoint.on("ecs", "RunTask", run_task)
    assert stage.run("web", *COMMAND).code == 0
    assert seen == [True]


def test_a_full_disk_starts_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "write_all", full)
    answer = stage.run("web", *COMMAND)
    assert answer.code == 2
    assert "the disk is full" in answer.err
    assert stage.endpoint.calls.count("RunTask") == 0


@pytest.mark.parametrize("kind", ["reset", "truncated", "500"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_starts_no_second_task(stage: Stage, kind: str, when: str) -> None:
    stage.endpoint.fault("RunTask", 1, kind, when)
    stage.errand(7, "once")
    answer = stage.run("web", *COMMAND)
    assert (answer.code, answer.out) == (7, "once\n"), answer.err
    assert len(stage.tasks) == 1
    assert "checking whether it has started" in " ".join(answer.err.split())


def test_a_start_that_is_never_answered_is_in_doubt_and_attach_finds_it(stage: Stage) -> None:
    stage.endpoint.fault("RunTask", None, "500", "before")
    answer = stage.run("web", *COMMAND)
    assert answer.code == 5
    assert "in-doubt: no answer said whether it was started" in answer.err
    name = name_in(answer.err)
    again = stage.run("--attach", name)
    assert again.code == 5
    assert "no task of it is known" in again.err


@pytest.mark.slow("waiting as long as AWS says")
def test_throttling_is_said_and_waited_out(stage: Stage) -> None:
    stage.endpoint.fault("RunTask", 2, "throttle")
    stage.endpoint.fault("DescribeTasks", 10, "throttle", skip=1)
    stage.endpoint.fault("GetLogEvents", 10, "throttle")
    stage.errand(0, "hello")
    answer = stage.run("web", *COMMAND)
    assert (answer.code, answer.out) == (0, "hello\n"), answer.err
    assert "note: AWS is throttling ecs:RunTask; starting it again in 5 s" in answer.err
    assert "note: AWS is throttling ecs:DescribeTasks; looking again" in answer.err
    assert "note: AWS is throttling logs:GetLogEvents; reading its log again" in answer.err
    assert len(stage.tasks) == 1


def test_a_start_that_is_throttled_for_long_is_an_error_and_not_in_doubt(stage: Stage) -> None:
    stage.endpoint.fault("RunTask", None, "throttle")
    answer = stage.run("web", *COMMAND)
    assert answer.code == 1
    assert "error: AWS is throttling ecs:RunTask" in answer.err
    assert "no known end" not in stage.run("web", "--dry-run", *COMMAND).err


@pytest.mark.parametrize("kind", ["denied", "expired"])
def test_a_refused_start_is_an_error_and_is_not_in_doubt(stage: Stage, kind: str) -> None:
    stage.endpoint.fault("RunTask", None, kind)
    answer = stage.run("web", *COMMAND)
    assert answer.code == 7
    assert "no known end" not in stage.run("web", "--dry-run", *COMMAND).err


def test_credentials_that_expire_leave_it_in_doubt_and_attach_ends_it(stage: Stage) -> None:
    stage.errand(4, "late words")
    fault = stage.endpoint.fault("DescribeTasks", None, "expired", skip=1)
    answer = stage.run("web", *COMMAND)
    assert answer.code == 5
    name = name_in(answer.err)
    fault.times = 0
    listed = stage.run("web", "--dry-run", *COMMAND)
    assert "an earlier task has no known end" in listed.err
    assert name_in(listed.err) == name
    attached = stage.run("--attach", name)
    assert (attached.code, attached.out) == (4, "late words\n")
    assert stage.endpoint.calls.applied("RunTask") == 1
    again = stage.run("--attach", name)
    assert again.code == 2
    assert f"task {name} has ended" in again.err
    assert "no known end" not in stage.run("web", "--dry-run", *COMMAND).err


def test_a_log_that_may_not_be_read_does_not_hide_the_exit_code(stage: Stage) -> None:
    stage.endpoint.fault("GetLogEvents", None, "denied")
    stage.errand(9, "unread")
    answer = stage.run("web", *COMMAND)
    assert (answer.code, answer.out) == (9, "")
    assert "its log cannot be read" in answer.err


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("denied", "not allowed to call logs:GetLogEvents"),
        ("throttle", "AWS is throttling logs:GetLogEvents"),
    ],
)
def test_output_that_cannot_be_read_is_no_silence_and_4_where_the_command_ended_with_0(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str, words: str
) -> None:
    at_wait(monkeypatch, 10**6, lambda: None)
    monkeypatch.setattr(one_off, "DRAIN_MOST_S", 3.0)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # botocore's, between two tries
    small_pages(stage)
    stage.endpoint.fault("GetLogEvents", None, kind, skip=1)
    stage.errand(0, "one", "two")
    answer = stage.run("web", *COMMAND)
    assert (answer.code, answer.out) == (4, "one\n"), answer.err
    said = " ".join(answer.err.split())
    assert "succeeded, but its output is incomplete: " in said
    assert words in said.partition("its output is incomplete: ")[2]
    stage.errand(0, "three")
    document = stage.run("web", "--json", *COMMAND).json
    ended = (document["status"], document["exit"], document["exit_code"])
    assert ended == ("succeeded", 4, 0)
    assert words in document["output_problem"]


def test_a_log_that_could_not_be_opened_at_first_is_read_later(stage: Stage) -> None:
    stage.endpoint.fault("DescribeTasks", 5, "throttle")
    stage.errand(0, "read after all")
    answer = stage.run("web", *COMMAND)
    assert (answer.code, answer.out) == (0, "read after all\n"), answer.err


def test_output_that_cannot_be_written_is_4(stage: Stage) -> None:
    stage.errand(0, "one", "two")
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full")
    with full.open("w") as out:
        child = subprocess.run(
            [sys.executable, "-m", "toolkit", "run-task", "web", *COMMAND],
            cwd=stage.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert child.returncode == 4, child.stderr
    assert "its output is incomplete: " in " ".join(child.stderr.split())


def endless_log(stage: Stage, each: Callable[[int], None] = lambda number: None) -> None:
    """A log that has a next page for as long as nobody has stopped the task."""
    numbers = iter(range(1, 10**6))

    def page(params: dict[str, Any]) -> dict[str, Any]:
        number = next(numbers)
        each(number)
        if stage.endpoint.calls.count("StopTask"):
            return {"events": [], "nextForwardToken": params["nextToken"]}
        event = {"timestamp": number, "message": "busy", "ingestionTime": number}
        return {"events": [event], "nextForwardToken": f"f/{number}", "nextBackwardToken": "b/0"}

    stage.endpoint.on("logs", "GetLogEvents", page)


@pytest.mark.parametrize("is_signal", [False, True])
def test_a_log_without_end_keeps_neither_the_deadline_nor_ctrl_c_from_stopping_the_task(
    stage: Stage, is_signal: bool
) -> None:
    stage.errand(0, seconds=10**6)

    def interrupt(number: int) -> None:
        if is_signal and number == 30:
            os.kill(child.pid, signal.SIGINT)

    endless_log(stage, interrupt)
    options = () if is_signal else ("--timeout", "1s")
    with stage.child("web", *options, *COMMAND) as child:
        try:
            errors = child.communicate(timeout=30)[1]
        finally:
            child.kill()
    assert child.returncode == (130 if is_signal else 1), errors
    [task] = stage.tasks
    assert task["stopCode"] == "UserInitiated"


def test_a_log_that_does_not_end_with_its_task_is_not_read_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_off, "DRAIN_MOST_S", 0.5)
    endless_log(stage)
    answer = stage.run("web", *COMMAND)
    assert answer.code == 4
    assert "its output is incomplete: it was not read within 0.5 s" in answer.err


def test_a_task_that_aws_forgets_is_in_doubt(stage: Stage) -> None:
    stage.endpoint.on("ecs", "DescribeTasks", {"tasks": [], "failures": []})
    answer = stage.run("web", *COMMAND)
    assert answer.code == 5
    assert "the task is not known any more where it ran" in " ".join(answer.err.split())


@pytest.mark.parametrize("lost", [False, True])
def test_a_disk_that_is_full_before_the_call_starts_nothing_and_hides_no_lost_call(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """What could not be written down may be a second call, after a first whose answer was lost."""
    plain = disk.write_all
    intents: list[bytes] = []
    at_wait(monkeypatch, 10**6, lambda: None)

    def full(folder: disk.Disk, descriptor: int, data: bytes) -> None:
        if b'"intent"' in data:
            intents.append(data)
            if len(intents) > lost:
                raise OSError(28, "No space left on device")
        plain(folder, descriptor, data)

    monkeypatch.setattr(journal, "write_all", full)
    if lost:
        stage.endpoint.fault("RunTask", None, "500", "before")
    answer = stage.run("web", *COMMAND)
    said = " ".join(answer.err.split())
    assert "the disk is full" in said
    assert stage.tasks == []
    monkeypatch.setattr(journal, "write_all", plain)
    listed = stage.run("web", "--dry-run", *COMMAND)
    if lost:
        assert answer.code == 5, answer.err
        assert "--attach" in answer.err
        assert "an earlier task has no known end" in listed.err
    else:
        assert answer.code == 2
        assert "no known end" not in listed.err


def test_ctrl_c_while_a_throttled_start_waits_starts_nothing(stage: Stage) -> None:
    stage.endpoint.fault("RunTask", 5, "throttle")
    with stage.child("web", *COMMAND) as child:
        wait_for(child, "starting it again")
        child.send_signal(signal.SIGINT)
        errors = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert "cancelled: it was not started" in errors
    assert stage.tasks == []
    assert "no known end" not in stage.run("web", "--dry-run", *COMMAND).err


def test_ctrl_c_while_the_start_is_in_the_air_stops_what_was_started(stage: Stage) -> None:
    arrived, released = Event(), Event()
    plain = stage.endpoint.ecs.run_task
    stage.errand(0, seconds=10**6)

    def run_task(params: dict[str, Any]) -> dict[str, Any]:
        arrived.set()
        released.wait(60)
        return plain(params)

    stage.endpoint.on("ecs", "RunTask", run_task)
    with stage.child("web", *COMMAND) as child:
        assert arrived.wait(60)
        child.send_signal(signal.SIGINT)
        wait_for(child, "stopping the task")
        released.set()
        errors = child.communicate(timeout=60)[1]
    assert child.returncode == 130, errors
    [task] = stage.tasks
    assert task["stopCode"] == "UserInitiated"


def test_ctrl_c_after_a_lost_call_makes_no_second_one_and_says_what_stops_it(stage: Stage) -> None:
    stage.endpoint.fault("RunTask", None, "500", "before")
    with stage.child("web", *COMMAND) as child:
        wait_for(child, "checking whether it has started")
        calls = stage.endpoint.calls.count("RunTask")
        child.send_signal(signal.SIGINT)
        errors = child.communicate(timeout=60)[1]
    assert child.returncode == 5, errors
    assert stage.endpoint.calls.count("RunTask") == calls
    assert f"toolkit run-task --attach {name_in(errors)} --stop" in errors


def test_stop_ends_a_task_that_was_left_running(stage: Stage) -> None:
    stage.errand(0, seconds=10**6)
    with stage.child("web", *COMMAND) as child:
        assert child.stderr is not None
        while "started" not in child.stderr.readline():
            pass
        child.kill()
    name = name_in(stage.run("web", "--dry-run", *COMMAND).err)
    answer = stage.run("--attach", name, "--stop")
    assert answer.code == 0, answer.err
    assert "cancelled: it was stopped" in answer.err
    [task] = stage.tasks
    assert task["stopCode"] == "UserInitiated"
    assert stage.run("--attach", name).code == 2


def test_what_is_printed_repeats_the_environment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = stage.endpoint.fault("DescribeTasks", None, "expired", skip=1)
    where = ("-e", "prod", "--confirm", "prod")
    answer = stage.run("web", *where, *COMMAND)
    assert answer.code == 5
    fault.times = 0
    listed = stage.run("web", *where, "--dry-run", *COMMAND)
    assert f"toolkit run-task --attach {name_in(answer.err)} --env prod" in listed.err


def interrupted_twice(stage: Stage, *options: str) -> tuple[int, str]:
    """A task that cannot be stopped, whose start is interrupted two times: the code and errors."""
    stage.errand(0, seconds=10**6)
    stage.endpoint.fault("StopTask", None, "throttle")
    with stage.child("web", *options, *COMMAND) as child:
        assert child.stderr is not None
        for words in ("started", "stopping the task"):
            while words not in child.stderr.readline():
                pass
            child.send_signal(signal.SIGINT)
        errors = child.communicate(timeout=60)[1]
    return child.returncode, errors


def test_a_second_signal_names_what_attaches_and_stops_with_its_environment(stage: Stage) -> None:
    _, errors = interrupted_twice(stage, "-e", "prod", "--confirm", "prod")
    name = name_in(errors)
    assert f"toolkit run-task --attach {name} --env prod\n" in errors
    assert f"toolkit run-task --attach {name} --stop --env prod\n" in errors


def test_the_deadline_stops_the_task(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.errand(0, seconds=10**6)
    at_wait(monkeypatch, 10**6, lambda: None)
    answer = stage.run("web", "--timeout", "90s", *COMMAND)
    assert answer.code == 1
    assert "timed-out: it was stopped after its --timeout" in answer.err
    [task] = stage.tasks
    assert task["lastStatus"] == "STOPPED"
    assert task["stoppedReason"] == "stopped by toolkit (timed-out)"


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_that_ends_by_itself_while_it_is_stopped_passes_its_exit_code_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """ECS takes the stop of a task whose command has ended, and does nothing."""
    errand = Errand(seconds=10**6, exit_code=code)
    stage.endpoint.ecs.errands.append(errand)

    def end(params: dict[str, Any]) -> dict[str, Any]:
        errand.seconds = 0
        return {}

    stage.endpoint.on("ecs", "StopTask", end)
    at_wait(monkeypatch, 10**6, lambda: None)
    answer = stage.run("web", "--timeout", "90s", *COMMAND)
    assert answer.code == code, answer.err
    assert "timed-out" not in answer.err


def test_a_command_that_is_stopped_by_somebody_and_ends_with_0_has_failed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.errand(0, seconds=10**6)

    def stop() -> None:
        [task] = stage.tasks
        stage.endpoint.ecs.stop_task({"cluster": "main", "task": task["taskArn"]})
        task["containers"][0]["exitCode"] = 0

    at_wait(monkeypatch, 3, stop)
    answer = stage.run("web", *COMMAND)
    assert answer.code == 1
    assert "Task stopped by user" in answer.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_the_task_and_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    stage.errand(0, seconds=10**6)
    with stage.child("web", *COMMAND) as child:
        assert child.stderr is not None
        while "started" not in child.stderr.readline():
            pass
        child.send_signal(number)
        errors = child.communicate(timeout=60)[1]
    assert child.returncode == code, errors
    assert "stopping the task; again to exit at once" in errors
    [task] = stage.tasks
    assert (task["lastStatus"], task["stopCode"]) == ("STOPPED", "UserInitiated")
    assert "no known end" not in stage.run("web", "--dry-run", *COMMAND).err


def test_a_second_signal_leaves_at_once_and_attach_goes_on(stage: Stage) -> None:
    code, errors = interrupted_twice(stage)
    assert code == 130
    stage.endpoint.clock.advance(10**6)
    attached = stage.run("--attach", name_in(errors))
    assert attached.code == 0
    assert stage.endpoint.calls.count("RunTask") == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_after_a_kill_attach_finds_the_task_or_knows_that_there_is_none(
    stage: Stage, moment: str
) -> None:
    """The process dies around the call: the task is started once, and found by its token."""
    arrived, released = Event(), Event()
    plain = stage.endpoint.ecs.run_task
    stage.errand(6, "words")

    def run_task(params: dict[str, Any]) -> dict[str, Any]:
        answer = plain(params) if moment == "after" else {}
        arrived.set()
        released.wait(60)
        return answer or {"tasks": [], "failures": [{"reason": "too late"}]}

    stage.endpoint.on("ecs", "RunTask", run_task)
    with stage.child("web", *COMMAND) as child:
        assert arrived.wait(60)
        child.kill()
    released.set()
    listed = stage.run("web", "--dry-run", *COMMAND)
    assert "an earlier task has no known end" in listed.err
    attached = stage.run("--attach", name_in(listed.err))
    if moment == "after":
        assert (attached.code, attached.out) == (6, "words\n")
        assert len(stage.tasks) == 1
    else:
        assert attached.code == 5
        assert stage.tasks == []


def test_one_that_is_watched_is_not_watched_twice(stage: Stage) -> None:
    stage.errand(0, seconds=10**6)
    with stage.child("web", *COMMAND) as child:
        assert child.stderr is not None
        while "started" not in child.stderr.readline():
            pass
        states = Path(os.environ["XDG_STATE_HOME"])
        [path] = states.rglob("tasks/runs/*.jsonl")
        answer = stage.run("--attach", path.stem)
        child.kill()
    assert answer.code == 6


def test_a_reader_that_leaves_does_not_end_the_task(stage: Stage) -> None:
    stage.errand(8, *(f"line {number}" for number in range(5000)))
    with stage.child("web", *COMMAND) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "line 0\n"
        child.stdout.close()
        assert child.wait(60) == 8


def test_on_a_terminal_a_protected_environment_is_typed(stage: Stage) -> None:
    stage.errand(5, "ran in prod")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "run-task", "web", "-e", "prod", *COMMAND],
        cwd=str(stage.folder),
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        encoding="utf-8",
        timeout=30,
    )
    child.expect("prod is protected. Type its name to continue:")
    child.send("prod\r")
    child.expect("ran in prod")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


def test_the_task_of_an_older_revision_is_not_used_after_a_deploy(stage: Stage) -> None:
    definition = stage.endpoint.ecs.definition("web", "web:v2")
    stage.endpoint.ecs.foreign_update(stage.service, definition.arn)
    for _ in range(5):
        stage.endpoint.clock.advance(60)
        stage.endpoint.ecs.describe_services({"cluster": "main", "services": ["web"]})
    stage.endpoint.calls.clear()
    answer = stage.run("web", *COMMAND)
    assert answer.code == 0
    [call] = stage.endpoint.calls.of("RunTask")
    assert call.params["taskDefinition"] == definition.arn
    assert "web:v2 is named by a tag" in answer.err
