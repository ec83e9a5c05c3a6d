"""A kind as CONTRIBUTING describes it, which nothing outside of its own file knows: every command
gets along with it.
"""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
from msgspec import Meta

from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.targets import base


class WorkerSettings(base.KindSettings, frozen=True, kw_only=True):
    """A worker."""

    queue: Annotated[base.Text, Meta(description="Where it gets its work.")]


class WorkerOptions(base.KindOptions, frozen=True, kw_only=True):
    """What `deploy` can be told about a worker."""

    drain: Annotated[bool, base.option("Workers: let it finish its work first.")] = False


class Worker(base.Kind):
    """A worker."""

    action = "start-worker"
    Settings = WorkerSettings
    Options = WorkerOptions

    def __init__(self, command: str | None) -> None:
        self._command = command

    def command(self, target: str, settings: WorkerSettings) -> NextCommand | None:
        return NextCommand(self._command, (target,)) if self._command else None

    def runnable(self, settings: WorkerSettings) -> str | None:
        return "nobody can start a worker from here"


RULES = """version = 1
environment = "dev"
[environments.dev]
vars = { name = "jobs" }
[targets.worker]
kind = "worker"
queue = "{name}"
[targets.all]
kind = "group"
members = ["worker"]
[[rules]]
name = "Worker"
paths = ["backend/**"]
deploy = ["worker"]
"""


def install(monkeypatch: pytest.MonkeyPatch, command: str | None) -> None:
    module = ModuleType("toolkit_dummy_kind")
    vars(module)["kind"] = Worker(command)
    monkeypatch.setitem(sys.modules, "toolkit_dummy_kind", module)
    monkeypatch.setitem(targets.KINDS, "worker", "toolkit_dummy_kind")


@pytest.fixture(params=[None, "deploy"], ids=["by hand", "by command"])
def dummy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, request.param)


COMMANDS = (
    ("diff", "HEAD"),
    ("diff", "HEAD", "-v"),
    ("diff", "HEAD", "--json"),
    ("diff", "HEAD", "-q"),
    ("diff",),
    ("health",),
    ("health", "--json"),
    ("doctor",),
    ("rules", "check"),
    ("rules", "match", "backend/src/app.py"),
    ("rules", "replay"),
    ("rules", "schema"),
    ("explain", "backend/src/app.py"),
    ("permissions",),
    ("deploy", "--all", "--dry-run"),
    ("deploy", "worker", "--dry-run"),
    ("deploy", "worker", "--drain", "--dry-run"),
    ("deploy", "--help"),
    ("deploy", "--all", "--yes"),
    ("deploy-app", "worker"),
    ("deploy-stack", "worker"),
    ("rollback", "worker"),
    ("outputs",),
    ("outputs", "all", "--json"),
    ("tail", "worker"),
    ("run-task", "worker", "--", "true"),
    ("history",),
    ("lock", "show"),
    ("logs", "nothing"),
    ("smoke-test",),
    ("resume",),
)


@pytest.mark.slow("sweeps", keep=15)
@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_a_kind_that_nobody_knows_breaks_no_command(
    dummy: None, repo: Repo, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    repo.commit("rules", {"rules.toml": RULES})
    repo.write({"backend/src/app.py": "print(9)\n"})
    actual = toolkit(repo.path, *args)
    assert actual.code in (0, 1, 2, 7), actual.err
    assert "bug in toolkit" not in actual.err


@pytest.mark.parametrize("command", [None, "deploy"], ids=["by hand", "by command"])
def test_what_cannot_be_deployed_is_told_with_the_reason_and_not_offered(
    repo: Repo, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, command: str | None
) -> None:
    install(monkeypatch, command)
    repo.commit("rules", {"rules.toml": RULES})
    repo.write({"backend/src/app.py": "print(9)\n"})
    out = toolkit(repo.path, "diff", "HEAD").out
    assert "by hand: worker: nobody can start a worker from here\n" in out
    assert "toolkit deploy" not in out


def test_a_kind_brings_its_options_to_the_commands_that_deploy_it(
    repo: Repo, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No such option '--drain'" in toolkit(repo.path, "deploy", "--drain").err
    install(monkeypatch, None)
    repo.commit("rules", {"rules.toml": RULES})
    actual = toolkit(repo.path, "deploy", "worker", "--drain", "--dry-run")
    assert "nobody can start a worker" in actual.err
    assert "--drain  " in toolkit(repo.path, "deploy", "--help").out
    for command in ("deploy-app", "deploy-stack", "rollback"):
        assert "--drain" not in toolkit(repo.path, command, "--help").out


def test_nothing_outside_of_targets_asks_for_a_setting_by_name() -> None:
    root = Path(targets.__file__).parents[1]
    request = [
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if file.relative_to(root).parts[0] != "targets"
        and re.search(r'getattr\(\w*\.?settings, "', file.read_text())
    ]
    assert request == []
