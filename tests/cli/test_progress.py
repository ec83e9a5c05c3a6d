"""What a terminal shows of a run: also while a person is asked something, and where it fails."""

import os
import sys

import pexpect
import pytest

from tests.cli.test_deploy_errors import Deploys, shop
from tests.support.run import ROOT
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
