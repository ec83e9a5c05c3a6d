"""What the quick run leaves out, and that it says so (tests/support/slow.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.run import ROOT

FILE = """\
import pytest

@pytest.mark.slow("kills")
def test_slow():
    pass

@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize("case", range(9))
def test_many(case):
    pass

def test_quick():
    pass

@pytest.mark.skipif(True, reason="no such program")
def test_of_a_program():
    pass

@pytest.mark.skipif(True, reason="only root can do this")
def test_of_root():
    pass
"""
OTHER = """\
import pytest

pytestmark = pytest.mark.slow("git", keep=1, of="file")

@pytest.mark.parametrize("case", range(3))
def test_a(case):
    pass

def test_b():
    pass
"""
SAID = """\
left out: 11 slow tests; `scripts/test --all` runs them
      7 sweeps
              7 test_it.py
      3 git
              3 test_other.py
      1 kills
              1 test_it.py
"""


def ran(folder: Path, *args: str) -> tuple[int, str]:
    """The exit code and the words of a run of these tests."""
    (folder / "test_it.py").write_text(FILE)
    (folder / "test_other.py").write_text(OTHER)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  slow\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.slow", *args]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_the_quick_run_says_what_it_leaves_out(tmp_path: Path, workers: tuple[str, ...]) -> None:
    code, text = ran(tmp_path, "--quick", *workers)
    assert (code, SAID in text, "4 passed, 2 skipped" in text) == (0, True, True), text


def test_without_a_choice_all_are_run(tmp_path: Path) -> None:
    code, text = ran(tmp_path)
    assert (code, "left out" in text, "15 passed, 2 skipped" in text) == (0, False, True), text


def test_in_a_complete_run_a_program_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    code, text = ran(tmp_path, "--complete")
    assert (code, "15 passed, 1 skipped, 1 error" in text) == (1, True), text
    assert "left out of a complete run: Skipped: no such program" in text


GOLDEN = """\
import pytest

@pytest.mark.slow("golden")
def test_golden(snapshot):
    assert "text" == snapshot

def test_quick(snapshot):
    assert "other" == snapshot
"""


def test_a_golden_text_of_a_test_that_is_left_out_is_no_failure_of_the_quick_run(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_golden.py").write_text(GOLDEN)
    assert ran(tmp_path, "--snapshot-update", "test_golden.py")[0] == 0
    assert ran(tmp_path, "--quick", "test_golden.py")[0] == 0
    (tmp_path / "test_golden.py").write_text(
        GOLDEN.partition("@")[0] + GOLDEN[GOLDEN.index("def test_quick") :]
    )
    assert ran(tmp_path, "test_golden.py")[0] == 1, "without its test it is unused"
