"""Two stacks whose creation has failed are asked about once, before the run, on a real terminal."""

import os
import sys
from pathlib import Path

import pexpect
import pytest

from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import ROOT
from tests.support.stacks import queue, template

RULES = """\
version = 1
project = "failed"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.one]
kind = "stack"
stack = "One"
template = "t.json"

[targets.two]
kind = "stack"
stack = "Two"
template = "t.json"
"""


@pytest.mark.slow("terminals")
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)])
def test_stacks_that_have_to_be_created_again_are_asked_about_once(
    tmp_path: Path, aws_endpoint: Endpoint, answer: str, code: int
) -> None:
    repo = Repo.make(tmp_path / "repo", {"t.json": template({"Q": queue("q")})}, RULES)
    for name in ("One", "Two"):
        aws_endpoint.cloudformation.stack(name, "ROLLBACK_COMPLETE")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "deploy", "--all"],
        cwd=str(repo.path),
        env={**env, "TOOLKIT_STATE_DIR": str(tmp_path / "state")},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )
    child.expect_exact("Continue?")
    child.send("y\r")
    child.expect_exact("Agree to --recreate for one, two")
    child.send(f"{answer}\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code, child.before
    statuses = {stack.name: stack.status for stack in aws_endpoint.cloudformation.stacks.values()}
    if code == 0:
        assert statuses == {"One": "CREATE_COMPLETE", "Two": "CREATE_COMPLETE"}
    else:
        assert statuses == {"One": "ROLLBACK_COMPLETE", "Two": "ROLLBACK_COMPLETE"}
