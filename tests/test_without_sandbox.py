"""Without the folder toolkit/sandbox toolkit works, and all tests pass that need no sandbox."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import sandbox
from tests.support.run import ROOT

SUBSET = (
    "tests/test_architecture.py",
    "tests/test_imports.py",
    "tests/test_docs.py",
    "tests/test_owners_kit.py",
    "tests/cli/test_empty_texts.py",
    "tests/cli/test_environments.py",
    "tests/cli/test_errors.py",
    "tests/cli/test_exit_codes.py",
    "tests/cli/test_permissions.py",
    "tests/flow/test_advice.py",
    "tests/sandbox",
    "tests/security/test_folders.py",
    "tests/security/test_links.py",
    "tests/targets/test_extending.py",
    "tests/targets/test_function_health.py",
)
"""Of each sort of tests some: who imports whom, pages, all commands, the stories, and a file of
which only a part needs the emulator.
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What git has of this checkout, without the room."""
    folder = tmp_path / "checkout"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        source, target = ROOT / name, folder / name
        if source.is_file() and sandbox.ROOM not in source.parents:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def python(checkout: Path, *args: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(
        [sys.executable, *args],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def test_a_sandbox_that_is_not_installed_is_told_plainly(checkout: Path) -> None:
    # What git leaves behind of a folder that it deletes.
    (checkout / "toolkit" / "sandbox" / "__pycache__").mkdir(parents=True)
    for verb in ("up", "down", "status", "reset"):
        done = python(checkout, "-m", "toolkit", "sandbox", verb)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            "error: this installation of toolkit has no sandbox",
            "hint: install the whole package again",
        ]
    assert python(checkout, "-m", "toolkit", "--help").returncode == 0


@pytest.mark.slow("a whole test run")
def test_without_the_room_all_tests_pass_that_need_no_sandbox(checkout: Path) -> None:
    options = ("--quick", "-p", "no:cacheprovider", "-n", "2")
    done = python(checkout, "-m", "pytest", *options, *SUBSET, seconds=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert sandbox.LEFT_OUT in done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 300
    assert "skipped" not in done.stdout


@pytest.mark.sandbox
def test_where_the_room_is_nothing_is_left_out_for_it(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> None:
    needing = [item for item in request.session.items if sandbox.needs_room(item)]
    items = [request.node, *needing]
    sandbox.pytest_collection_modifyitems(pytestconfig, items)
    assert items == [request.node, *needing]
    assert sandbox.pytest_ignore_collect(ROOT / "tests" / "sandbox") is None
