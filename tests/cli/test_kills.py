"""T2: whole command lines, killed with SIGKILL at random moments, up to three times in a row; then
`resume` has to make it good.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.cli import killed
from tests.cli.killed import STUCK_S, KilledTown
from tests.support.aws import Remote
from tests.support.modes import by_mode
from tests.support.record import recorded
from tests.support.run import ROOT

SECONDS = by_mode(4, 30, 300)
LENGTH_S = 8.0
"""How long an undisturbed deploy takes with the machine's own clock, at most."""


def seed() -> int:
    """Another one each time; SEED=… for one that is known to be bad."""
    return int(os.environ.get("SEED") or Random().randrange(1 << 32))


class Apart(KilledTown):
    """The same, with commands that are processes of their own, from the interpreter's start on."""

    def command(self, words: tuple[str, ...], most_s: float) -> int | None:
        environment = {
            **os.environ,
            **self.remote.environment,
            "TOOLKIT_STATE_DIR": str(self.folder / "state"),
            "PYTHONPATH": str(ROOT),
        }
        with (self.folder / "said").open("ab") as message:
            child = subprocess.Popen(
                [sys.executable, "-m", "toolkit", *words],
                cwd=self.repo.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=message,
                stderr=message,
            )
            try:
                return child.wait(most_s)
            except subprocess.TimeoutExpired:
                child.kill()
                return None if child.wait() < 0 else child.returncode


@pytest.mark.slow("kills", keep=1)
@pytest.mark.parametrize("half", [1, 2])
def test_commands_that_are_killed_at_any_moment_are_gone_on_with_exactly(
    half: int, tmp_path: Path
) -> None:
    chosen = seed()
    command = [sys.executable, "-m", "tests.cli.killed", str(chosen), str(SECONDS), str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"SEED={chosen}: {done.stderr}"
    document = json.loads(done.stdout)
    assert not document["wrong"], f"SEED={chosen}: {document['wrong']}"
    assert document["kills"] > 0, f"SEED={chosen}: {document}"


@pytest.mark.slow("kills")
def test_processes_from_their_very_start_on_are_gone_on_with_exactly(
    aws_process: Remote, tmp_path: Path
) -> None:
    chosen = seed()
    kills, wrong, _ = killed.round_of(Apart(aws_process, tmp_path), LENGTH_S, Random(chosen))
    assert not wrong, f"SEED={chosen}, {kills} kills: {wrong}"


# --- others, and other credentials, in the middle of it


class Begun(Apart):
    """A deploy of service `web` alone that ECS has accepted, and that does not end by itself."""

    words = ("deploy", "web", "--no-build", "--image", "v2", "--yes", "--json")

    def __init__(self, remote: Remote, folder: Path) -> None:
        super().__init__(remote, folder)
        remote.set([], "ecs", "clusters", "main", "services", "web", "outcomes")
        remote.do("ecs", "next", "success", "web", seconds=3600)
        environment = {
            **os.environ,
            **remote.environment,
            "TOOLKIT_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
        }
        self.child = subprocess.Popen(
            [sys.executable, "-m", "toolkit", *self.words],
            cwd=self.repo.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + STUCK_S
        while not self.remote.calls().count("ecs:DescribeServiceDeployments"):
            assert time.monotonic() < until, "nothing was started"
            assert self.child.poll() is None, self.child.communicate()
            time.sleep(0.01)

    def moved(self) -> int:
        """How often the service was moved."""
        return self.remote.calls().applied("ecs:UpdateService")

    def ended(self) -> tuple[int, dict[str, object]]:
        """How the command ended, and what it says of its one step."""
        out, _ = self.child.communicate(timeout=STUCK_S)
        return self.child.returncode, json.loads(out)["steps"][0]


@pytest.fixture
def begun(aws_process: Remote, tmp_path: Path) -> Iterator[Begun]:
    created = Begun(aws_process, tmp_path)
    yield created
    created.child.kill()
    created.child.communicate()


def test_a_deployment_by_somebody_else_in_the_middle_is_no_success(begun: Begun) -> None:
    parts = [{"name": "app", "image": "somebody/else:1"}]
    theirs = begun.remote.do(
        "ecs", "register_task_definition", {"family": "web", "containerDefinitions": parts}
    )["taskDefinition"]
    begun.remote.do(
        "ecs",
        "update_service",
        {"cluster": "main", "service": "web", "taskDefinition": theirs["taskDefinitionArn"]},
    )
    code, step = begun.ended()
    assert (code, step["verdict"], step["live"]) == (1, "superseded", None), step
    assert step["next"] == "aws ecs describe-services --cluster main --services web"
    assert [(run.status, run.open) for run in begun.runs()] == [("failed", ())]
    [record] = [value for store in begun.stores() for value in recorded(store, "dev").values()]
    assert [item.verdict for item in record] == ["superseded"]
    assert begun.command(("diff", "--json"), STUCK_S) == 0
    assert (
        "no deploy to eu-west-1 is recorded" in begun.said()
    )  # what is not ours is nothing to compare with
    assert begun.moved() == 1


def test_credentials_that_expire_in_the_middle_leave_it_open_for_new_ones(begun: Begun) -> None:
    """C7."""
    begun.remote.fault("*", times=None, kind="expired")
    code, step = begun.ended()
    assert (code, step["verdict"]) == (7, "in-doubt"), step
    assert "expired" in str(step["cause"])
    assert [run.open for run in begun.runs()] == [("web",)]
    begun.remote.clear()
    begun.remote.advance(3600)
    assert begun.command(("resume", "--yes"), STUCK_S) == 0
    assert (begun.moved(), [run.status for run in begun.runs()]) == (1, ["succeeded"])


def test_credentials_of_another_account_are_refused_before_anything_is_done(begun: Begun) -> None:
    """C8."""
    begun.child.kill()
    begun.child.wait()
    begun.remote.set("2" * 12, "account")
    before = len(begun.remote.calls())
    assert begun.command(("resume", "--yes"), STUCK_S) == 7
    assert (
        "these credentials are for account 222222222222, but environment dev uses account"
        " 111111111111" in begun.said()
    )
    assert {call.name for call in list(begun.remote.calls())[before:]} == {"sts:GetCallerIdentity"}
    begun.remote.set("1" * 12, "account")
    begun.remote.advance(3600)
    assert begun.command(("resume", "--yes"), STUCK_S) == 0
    assert begun.moved() == 1
