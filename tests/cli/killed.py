"""Command lines that are really killed: `python -m tests.cli.killed SEED SECONDS FOLDER` prints how
many were, and what was wrong then.

This process has everything loaded and no threads: each command is a fork of it, with its own clock
many times faster, so that a round takes a second or two. AWS is a process of its own, which nobody
kills.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random

import pytest

from tests.run.simulated import Hurried
from tests.support.aws import Remote, apart
from tests.support.repo import Repo
from toolkit.cli import ports
from toolkit.cli.main import run
from toolkit.record import history
from toolkit.record.history import Summary
from toolkit.record.journal import read
from toolkit.record.state import Store

TIMES = 20
"""How many times faster than the machine's clock the commands' clock goes."""
MOST_KILLS = 3
STUCK_S = 30.0
"""After how long a command that nobody kills is stuck, in seconds."""
WRITES, LATE_S = (
    (
        "RegisterTaskDefinition",
        "UpdateService",
        "CreateChangeSet",
        "ExecuteChangeSet",
        "UpdateFunctionCode",
        "PublishVersion",
        "UpdateAlias",
    ),
    0.15,
)
"""Calls that take so long, in seconds, that many processes die between their request and its
effect, or its answer.
"""
APPS, STACK, FUNCTION = ("web", "api"), "queue", "mail"
TEMPLATE = json.dumps(
    {"Resources": {"Service": {"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": 2}}}}
)
APP = """\
[targets.{name}]
kind = "app"
cluster = "main"
service = "{name}"
repository = "{name}"
"""
RULES = f"""\
version = 1
project = "killed"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

{APP.format(name="web")}needs = ["queue"]

{APP.format(name="api")}
[targets.queue]
kind = "stack"
stack = "Queue"
template = "queue.json"

[targets.mail]
kind = "function"
function = "mail"
source = "mail"

[[rules]]
name = "All"
paths = ["**"]
deploy = ["web", "api", "queue", "mail"]
"""
DEPLOY = (
    *("deploy", *APPS, STACK, FUNCTION),
    *("--no-build", "--image", "v2", "--adopt", "--yes"),
)
RESUME = ("resume", "--yes")


class KilledTown:
    """Two services, a stack and a function in an AWS of their own, and commands that change
    them.
    """

    def __init__(self, remote: Remote, folder: Path) -> None:
        self.remote, self.folder = remote, folder
        files = {"queue.json": TEMPLATE, "mail/index.py": "def handler(*_):\n    return 2\n"}
        self.repo = Repo.make(folder / "repo", files, RULES)
        self.digests = {}
        for name in APPS:
            uri = remote.do("ecr", "repository", name)["uri"]
            old = remote.do("ecr", "image", name, "v1")["digest"]
            self.digests[name] = remote.do("ecr", "image", name, "v2")["digest"]
            remote.do("ecs", "service", name, f"{uri}@{old}", cluster="main", desired=2)
            remote.do("ecs", "next", "success", name, looks=6)
        remote.do(
            "cloudformation", "stack", "Queue", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"}
        )
        remote.do("cloudformation", "next", "success", "Queue", looks=1)
        remote.do("cloudformation", "next_change_set", "complete", stack="Queue", looks=1)
        remote.do("lambda", "function", FUNCTION, pending=1)
        remote.do("lambda", "next", FUNCTION, looks=2)
        for write in WRITES:
            remote.latency(LATE_S, write)

    def command(self, words: tuple[str, ...], most_s: float) -> int | None:
        """The exit code of a command, None if it was killed after `most_s` seconds."""
        child = os.fork()
        if child == 0:
            self._be(words)
        until = time.monotonic() + most_s
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)

    def _be(self, words: tuple[str, ...]) -> None:
        """The child: it leaves without looking back, and what it said is left in a file."""
        code = 99
        try:
            os.environ |= {
                **self.remote.environment,
                "TOOLKIT_STATE_DIR": str(self.folder / "state"),
            }
            os.chdir(self.repo.path)
            message = os.open(self.folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for number in (1, 2):
                os.dup2(message, number)
            os.write(message, f"$ toolkit {' '.join(words)}\n".encode())
            code = run(list(words))
        except BaseException:
            (self.folder / "trace").write_text(traceback.format_exc())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def runs(self) -> list[Summary]:
        """The runs that are on disk and say what they are."""
        return [
            summary for store in self.stores() for summary in history.runs(store) if summary.started
        ]

    def stores(self) -> list[Store]:
        """Where the commands keep their state: one folder, none before the first run."""
        return [
            Store(str(item), self.remote.environment["AWS_ENDPOINT_URL"])
            for item in self.folder.glob("state/*/")
        ]

    def is_exact(self) -> None:
        """What an undisturbed deploy would have left, in AWS and on disk; the same command again
        changes nothing, and waits for nobody.
        """
        [result] = self.runs()
        assert (result.status, result.exit, result.open) == ("succeeded", 0, ()), result
        assert {verdict for _, _, verdict in result.steps} == {"succeeded"}, result
        assert (self.command(("history",), STUCK_S), " succeeded " in self.said()) == (0, True)
        assert self.command(RESUME, STUCK_S) == 2, "resume found something to do"
        assert "no run is open" in self.said()
        assert self.command(DEPLOY, STUCK_S) == 0, "the same again was not possible"
        calls = self.remote.calls()
        for name in APPS:
            service = self.remote.get("ecs", "clusters", "main", "services", name)
            body = self.remote.get("ecs", "definitions", service["definition"], "body")
            assert body["containerDefinitions"][0]["image"].endswith(self.digests[name]), (
                f"{name} runs another image"
            )
            assert (
                self.remote.get("ecs", "clusters", "main", "services", name, "latest", "status")
                == "SUCCESSFUL"
            )
            moved = [
                call
                for call in calls.of("UpdateService")
                if call.applied and call.params["service"] == name
            ]
            created = [
                call
                for call in calls.of("RegisterTaskDefinition")
                if call.applied and call.params["family"] == name
            ]
            assert (len(created), len(moved)) == (
                1,
                1,
            ), f"{name} was registered {len(created)} times, moved {len(moved)} times"
        function = self.remote.get("functions", "functions", FUNCTION)
        assert function["aliases"]["live"]["FunctionVersion"] == "2"
        assert len(function["versions"]) == 2, function["versions"]
        for write in WRITES[-3:]:
            assert calls.applied(f"lambda:{write}") == 1, write
        events = self.remote.get("cloudformation", "stacks", "Queue", "events")
        began = [
            event
            for event in events
            if (event["LogicalResourceId"], event["ResourceStatus"])
            == ("Queue", "UPDATE_IN_PROGRESS")
        ]
        assert len(began) == 1, f"the stack was updated {len(began)} times"
        intents = [
            item.facts["call"].partition(":")[2]
            for store in self.stores()
            for item in read(store, result.run)
            if item.state == "intent"
        ]
        assert all(intents.count(write) >= (2 if write in WRITES[:2] else 1) for write in WRITES), (
            f"an effect without an intent: {intents}"
        )
        sets = {
            call.params["ChangeSetName"] for call in calls.of("CreateChangeSet") if call.applied
        }
        assert len(sets) == 1, f"change sets: {sets}"

    def said(self) -> str:
        """What all commands have said."""
        result = self.folder / "said"
        return result.read_text() if result.exists() else ""


def main() -> None:
    """Rounds until the time is over, and one was killed."""
    seed, seconds, folder = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    pytest.MonkeyPatch().setattr(ports, "SystemClock", lambda: Hurried(TIMES))
    kills = rounds = 0
    wrong = ""
    until = time.monotonic() + seconds
    length = 0.0
    while (time.monotonic() < until or not kills) and not wrong:
        chance = Random(f"{seed} {rounds}")
        location = folder / str(rounds)
        location.mkdir()
        with apart(location) as remote:
            more, problem, took = round_of(KilledTown(remote, location), length, chance)
        length = length or took
        kills, rounds = kills + more, rounds + 1
        wrong = problem and f"seed {seed}, round {rounds - 1}, {more} kills: {problem}"
        shutil.rmtree(location)
    print(json.dumps({"kills": kills, "rounds": rounds, "length": length, "wrong": wrong}))


def round_of(town: KilledTown, length: float, chance: Random) -> tuple[int, str, float]:
    """One deploy, killed some times if its `length` is known: how often, what is wrong then, and
    how long it took.
    """
    began = time.monotonic()
    kills = 0
    code: int | None = None
    try:
        for _ in range(chance.randint(1, MOST_KILLS) if length else 0):
            code = town.command(
                RESUME if town.runs() else DEPLOY, chance.uniform(0.0, 1.1 * length)
            )
            if code is not None:
                break
            kills += 1
        if code is None:
            code = town.command(RESUME if town.runs() else DEPLOY, STUCK_S)
        took = time.monotonic() - began
        if code == 2 and kills:  # it was killed after its last word
            assert "no run is open" in town.said()
            code = 0
        assert code == 0, f"the last command ended with {code}"
        town.is_exact()
    except AssertionError:
        trace = town.folder / "trace"
        return (
            kills,
            traceback.format_exc() + town.said() + (trace.read_text() if trace.exists() else ""),
            0.0,
        )
    return kills, "", took


if __name__ == "__main__":
    main()
