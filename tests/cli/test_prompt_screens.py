"""The screens of the questions, as a terminal of 80 columns and 24 lines shows them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.repo import Repo
from tests.support.run import ROOT

pytestmark = pytest.mark.slow("terminals", keep=1, of="file")

Screen = Callable[..., str]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """Runs a program in tmux, and gives its screen once it shows these words."""
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    server = [tmux, "-S", str(tmp_path / "socket"), "-f", "/dev/null"]

    def show(folder: Path, words: list[str], until: str, *keys: str, then: str = "") -> str:
        script = tmp_path / "script.sh"
        quoted = " ".join(f"'{word}'" for word in words)
        script.write_text(f"cd '{folder}'; clear; PYTHONPATH='{ROOT}' {quoted}; sleep 30\n")
        env = {**os.environ, "TERM": "xterm-256color"}
        start = [*server, "new-session", "-d", "-x", "80", "-y", "24", f"sh {script}"]
        subprocess.run(start, check=True, env=env)
        shown = wait_for(until)
        if keys:
            subprocess.run([*server, "send-keys", *keys], check=True)
            shown = wait_for(then)
        return shown

    def wait_for(words: str) -> str:
        end = time.monotonic() + 30
        while True:
            captured = subprocess.run(
                [*server, "capture-pane", "-p"], check=True, capture_output=True
            )
            shown = captured.stdout.decode().rstrip()
            if words in shown or time.monotonic() > end:
                return "\n".join(line.rstrip() for line in shown.splitlines())
            time.sleep(0.1)

    yield show
    subprocess.run([*server, "kill-server"], check=False, capture_output=True)


DIFF = [sys.executable, "-m", "toolkit", "diff", "--committed", "HEAD~1"]


@pytest.fixture
def committed(repo: Repo) -> Repo:
    repo.commit("second", {"cdk/stacks/fargate_stack.py": "new\n"})
    return repo


def hidden(shown: str, repo: Repo) -> str:
    """Without what differs each time."""
    return shown.replace(repo.git("rev-parse", "HEAD~1")[:7], "COMMIT1")


def test_the_question_of_diff(committed: Repo, screen: Screen, snapshot: SnapshotAssertion) -> None:
    assert hidden(screen(committed.path, DIFF, "nothing"), committed) == snapshot


def test_the_command_that_was_copied(
    committed: Repo, screen: Screen, snapshot: SnapshotAssertion
) -> None:
    keys = ("Down", "Down", "Down", "Down", "Enter")
    shown = screen(committed.path, DIFF, "nothing", *keys, then="Sent to")
    assert hidden(shown, committed) == snapshot


ROLLBACK = """
from types import SimpleNamespace
from toolkit.cli.prompt import pick
from toolkit.show.history import deploy_labels

records = [
    SimpleNamespace(version=v, commit=v, when=f"2026-11-{d}T10:15", run=f"202611{d}-101500-abcd")
    for v, d in (("3f2c9d1" * 5, 28), ("77aa00b" * 5, 29), ("v1.4.2", 27), ("0ld0000" * 5, 20))
]
labels = deploy_labels(records, [[], [""], ["eu-west-1"], []], [False, False, None, True], "image")
pick("Which version?", list(zip(labels, range(4))))
"""


def test_the_list_of_rollback(tmp_path: Path, screen: Screen, snapshot: SnapshotAssertion) -> None:
    program = tmp_path / "program.py"
    program.write_text(ROLLBACK)
    assert screen(tmp_path, [sys.executable, str(program)], "image gone") == snapshot


ASKED = """
from time import sleep

from toolkit.cli import progress
from toolkit.model import Version
from toolkit.operations import Job, Location
from toolkit.run.events import Events, Notice, StepBegan

version, place = Version("v1", "c1", "f1"), Location("dev")
screen = progress.ScreenProgress(several=True)
events = Events((screen,))
for name in ("fargate", "network", "queues"):
    events.publish(StepBegan(Job(name, name, "stack", "deploy", place, None, version, "r", "t")))
events.publish(Notice("fargate", "adds         ServiceTaskRole  AWS::IAM::Role"))
sleep(0.5)
with events.paused():
    screen.asked(
        "fargate",
        "CarRentalFargateStack: create ServiceTaskRole, ServiceExecutionRole, WebSecurityGroup"
        " (grants permissions, open to the internet)?",
    )
    events.publish(Notice("fargate", "it goes on with what was confirmed"))
sleep(0.5)
events.close()
print("over")
"""


def test_a_long_question_breaks_between_words_and_stays_whole(
    tmp_path: Path, screen: Screen, snapshot: SnapshotAssertion
) -> None:
    program = tmp_path / "program.py"
    program.write_text(ASKED)
    words = [sys.executable, str(program)]
    assert screen(tmp_path, words, "(y/N)", "y", "Enter", then="over") == snapshot
