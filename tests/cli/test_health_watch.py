"""`health --watch` as time goes by."""

import time
from typing import Any

import pytest

from tests.support.repo import Repo
from toolkit.cli.main import run
from toolkit.exits import Exit
from toolkit.flow import health
from toolkit.operations import HealthResult, HealthStatus
from toolkit.ports.git import Git


def test_each_look_compares_with_the_head_of_its_time(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[str | None] = []

    def check(request: object, git: Git, ports: Any) -> HealthResult:
        heads.append(git.head)
        if len(heads) == 2:
            raise KeyboardInterrupt
        repo.commit(files={"backend/src/app.py": "2\n"})
        return HealthResult((), HealthStatus.OK, Exit.OK, (), 0.0)

    first = repo.head
    monkeypatch.chdir(repo.path)
    monkeypatch.setattr(health, "check_health", check)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert run(["health", "--watch", "--json"]) == 0
    assert heads == [first, repo.head]
