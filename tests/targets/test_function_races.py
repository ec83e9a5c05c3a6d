"""Two deploys of one function at the same moment, by two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.names.test_functions import FILES, RULES
from tests.support.aws import Remote
from tests.support.repo import Repo
from tests.support.run import ROOT
from toolkit.targets.function import marks

DEPLOY = ("deploy-function", "mail", "--yes", "--adopt", "--lock-timeout", "1m")
WRITES = ("UpdateFunctionCode", "PublishVersion", "UpdateAlias")


def begin(remote: Remote, folder: Path, state: Path) -> "subprocess.Popen[str]":
    """A deploy as a process of its own."""
    environment = {
        **os.environ,
        **remote.environment,
        "TOOLKIT_STATE_DIR": str(state),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "toolkit", *DEPLOY],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow("processes")
@pytest.mark.parametrize("is_same", [True, False])
def test_two_deploys_at_once_are_one_after_the_other(
    aws_process: Remote, tmp_path: Path, is_same: bool
) -> None:
    aws_process.do("lambda", "function", "mail", pending=1)
    for write in WRITES:
        aws_process.latency(0.3, write)
    folders = []
    for number in range(2):
        content = "1" if is_same else str(number)
        files = {**FILES, "mail/index.py": f"def handler(*_):\n    return {content}\n"}
        folders.append(Repo.make(tmp_path / f"clone{number}", files, RULES).path)
    deploys = [begin(aws_process, folder, tmp_path / "state") for folder in folders]
    texts = [deploy.communicate(timeout=60)[0] for deploy in deploys]
    codes = sorted(deploy.returncode for deploy in deploys)
    # Who came second finds what it wants, or that somebody else has deployed in the meantime.
    assert codes == ([0, 0] if is_same else [0, 1]), texts
    assert is_same or any("has deployed mail" in text for text in texts), texts
    calls = aws_process.calls()
    assert [calls.applied(f"lambda:{write}") for write in WRITES] == [1, 1, 1], texts
    alias = aws_process.get("functions", "functions", "mail", "aliases", "live")
    assert alias["FunctionVersion"] == marks.read(alias["Description"])["n"] == "2"
