"""From the keyboard to a call that changes something in AWS: how many functions of ours lie on the
way, in a real deploy to the scripted endpoint.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread, current_thread
from types import FrameType
from typing import Any

import pytest
from botocore.client import BaseClient  # type: ignore[import-untyped]

import toolkit as package
from tests.cli.test_deploy_errors import Deploys, shop
from tests.support.run import Result
from toolkit.cli.main import COMMANDS
from toolkit.ports.aws import client

__all__ = ["shop"]

MOST = 12
OURS = str(Path(package.__file__).parent)
READS = ("Get", "List", "Describe", "Head", "BatchGet", "Validate", "Detect")

Way = tuple[str, ...]


def own_frames(frame: FrameType | None) -> Iterator[str]:
    """The functions of ours on a thread's stack, the innermost first."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(OURS):
            file = code.co_filename.removeprefix(OURS).lstrip("/")
            yield f"{file}:{code.co_qualname}"
        frame = frame.f_back


class Ways:
    """The way to each call that was made: through all threads that were handed something to do on
    it, from the command's function on.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.to: dict[str, Way] = {}
        self._started: dict[Thread, Way] = {}
        start, call = Thread.start, BaseClient._make_api_call

        def started(thread: Thread) -> None:
            self._started[thread] = self._way(sys._getframe(1))
            start(thread)

        def called(client: Any, operation: str, parameters: Any) -> Any:
            if not operation.startswith(READS):
                way = self._way(sys._getframe(1))
                if len(way) > len(self.to.get(operation, ())):
                    self.to[operation] = way
            return call(client, operation, parameters)

        monkeypatch.setattr(Thread, "start", started)
        monkeypatch.setattr(BaseClient, "_make_api_call", called)

    def _way(self, frame: FrameType | None) -> Way:
        current = tuple(reversed(list(own_frames(frame))))
        way = (*self._started.get(current_thread(), ()), *current)
        commands = {module.replace(".", "/") + ".py" for module in command_modules()}
        for place, name in enumerate(way):
            if f"toolkit/{name.partition(':')[0]}" in commands:
                return way[place:]
        return way


def command_modules() -> set[str]:
    """The modules of all commands."""
    return {entry[0].partition(":")[0] for entry in COMMANDS.values()}


@pytest.fixture
def ways(shop: Deploys, monkeypatch: pytest.MonkeyPatch) -> Ways:
    # The shop is for answers that never come; here a slow machine gets its time.
    monkeypatch.setattr(client, "READ_S", 20)
    monkeypatch.setattr(client, "CALL_S", 60.0)
    return Ways(monkeypatch)


def check(ways: Ways, done: Result, calls: set[str]) -> None:
    """The deploy went well and made these calls, none of them too far from its command."""
    assert (done.code, set(ways.to)) == (0, calls), done.err
    longest = max(ways.to.values(), key=len)
    print(len(longest), *longest, sep="\n")
    assert len(longest) <= MOST, "\n".join(longest)


APP = {"RegisterTaskDefinition", "UpdateService"}
STACK = {"CreateChangeSet", "ExecuteChangeSet"}


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [(("deploy-app",), APP), (("deploy-stack", "jobs"), STACK), (("deploy", "--all"), APP | STACK)],
)
def test_at_most_twelve_functions_lie_between_a_command_and_a_call_that_changes_something(
    shop: Deploys, ways: Ways, arguments: tuple[str, ...], calls: set[str]
) -> None:
    check(ways, shop(*arguments, "--yes"), calls)


def test_nor_do_more_where_a_repository_is_made_first(shop: Deploys, ways: Ways) -> None:
    shop.rules('repository = "backend"', 'repository = "backend"\nbuild = { context = "app" }')
    (shop.repo.path / "app/Dockerfile").write_text("FROM scratch\nCOPY main.py /\n")
    shop.repo.commit()
    del shop.endpoint.ecr.repositories["backend"]
    done = shop("deploy-app", "--create", "--builder", "built-in", "--yes")
    check(ways, done, APP | {"CreateRepository", "PutLifecyclePolicy"})
