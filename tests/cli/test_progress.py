"""What a terminal shows of a run: also while a person is asked something, and where it fails."""

import os
import sys

import pexpect
import pytest

from tests.cli.test_deploy_errors import Deploys, shop
from tests.support.run import ROOT
from toolkit.cli.deploy_options import Detail
from toolkit.cli.progress import PlainProgress, ScreenProgress, listener
from toolkit.operations import Outcome
from toolkit.show import run as show

__all__ = ["shop"]

PROGRAM = """
from threading import Thread
from time import sleep

from toolkit.cli import progress
from toolkit.model import Version
from toolkit.operations import Job, Location
from toolkit.run.events import Events, LogLine, Notice, StepBegan

version, place = Version("v1", "c1", "f1"), Location("dev")
job = Job("jobs", "jobs", "stack", "deploy", place, None, version, "run", "token")
screen = progress.ScreenProgress(several=True)
events = Events((screen,))
events.publish(StepBegan(job))
for number in range(20):
    events.publish(Notice("jobs", f"resource {number} would be deleted"))


def others() -> None:
    sleep(0.3)
    for number in range(20):
        events.publish(Notice("web", f"line {number} of another step"))
        sleep(0.02)


thread = Thread(target=others)
thread.start()
with events.paused():
    answer = screen.asked("jobs", "Delete all of it?")
thread.join()
events.publish(Notice("jobs", f"the answer is {answer}"))
events.close()
print("over")
"""


def test_a_question_comes_after_what_it_is_about_and_nothing_is_shown_before_its_answer() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable,
        ["-c", PROGRAM],
        env=environment,
        dimensions=(50, 100),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect_exact("Delete all of it?")
        before = str(child.before)
        assert all(f"resource {number} would be deleted" in before for number in range(20))
        # Longer than the other step takes to say all that it has to say.
        assert child.expect_exact(["of another step", pexpect.TIMEOUT], timeout=1.5) == 1
        child.send("y\r")
        child.expect_exact("over")
        after = str(child.before)
        message = [after.find(f"line {number} of another step") for number in range(20)]
        assert message == sorted(message)
        assert -1 < message[0] < message[-1] < after.find("the answer is True")
    finally:
        child.close(force=True)


def test_progress_that_has_a_bug_changes_no_deploy_and_is_told(
    shop: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(outcome: Outcome) -> str:
        raise KeyError(outcome.step)

    monkeypatch.setattr(show, "ended", broken)
    done = shop("deploy-stack", "jobs", "--yes", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded")
    assert done.err.splitlines()[-1] == "note: a bug in toolkit: progress is missing (KeyError)"


WAITING = """
from time import sleep

from toolkit.cli import progress
from toolkit.model import Version
from toolkit.operations import Job, Location, Outcome, Verdict
from toolkit.run.events import Events, PhaseChanged, RunPlanned, StepBegan, StepEnded

version, place = Version("v1", "c1", "f1"), Location("dev")
first = Job("data", "data", "stack", "deploy", place, None, version, "run", "token")
second = Job("web", "web", "stack", "deploy", place, None, version, "run", "t", needs=("data",))
events = Events((progress.ScreenProgress(several=True),))
events.publish(RunPlanned("run", (first, second)))
events.publish(StepBegan(first))
input()
events.publish(StepEnded(Outcome("data", "data", Verdict.SUCCEEDED)))
events.publish(StepBegan(second))
events.publish(PhaseChanged("web", "comparing"))
input()
events.close()
"""


def test_a_terminal_shows_the_steps_that_wait_until_they_begin() -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-c", WAITING],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect_exact("web  waits for data")
        child.send("\r")
        child.expect_exact("comparing")
        assert child.expect_exact(["waits for", pexpect.TIMEOUT], timeout=1) == 1
        child.send("\r")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


ENDED = """
from time import sleep

from toolkit.cli import progress
from toolkit.model import Version
from toolkit.operations import Job, Location, Outcome, Verdict
from toolkit.run.events import Events, Notice, StepBegan, StepEnded

progress.REFRESHES = 0.001  # nothing is drawn but with what is said
version, place = Version("v1", "c1", "f1"), Location("dev")
events = Events((progress.ScreenProgress(several=True),))
for name in ("data", "web"):
    events.publish(StepBegan(Job(name, name, "stack", "deploy", place, None, version, "r", "t")))
events.publish(Notice("toolkit", "both run"))
events.publish(StepEnded(Outcome("data", "data", Verdict.SUCCEEDED)))
events.publish(Notice("toolkit", "over"))
input()
events.close()
"""


def test_no_row_of_a_step_stands_below_the_line_that_tells_its_end() -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-c", ENDED],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect_exact("data: done")
        assert "data" in str(child.before)
        child.expect_exact("over")
        below = str(child.before)
        assert "web" in below
        assert "data" not in below
        child.send("\r")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


def test_a_terminal_that_moves_no_cursor_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(listener(["web"], Detail.PHASES, several=True), PlainProgress)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(listener(["web"], Detail.PHASES, several=True), ScreenProgress)
    assert isinstance(listener(["web"], Detail.STREAM, several=True), PlainProgress)
