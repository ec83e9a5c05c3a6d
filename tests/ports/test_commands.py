"""Programs of the team that write files: two never run at once, even where toolkit was killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.run import ROOT
from toolkit.errors import ProgramFailed, Stopped
from toolkit.ports import commands
from toolkit.ports.clock import SystemClock
from toolkit.ports.commands import Surroundings, never_stopped

pytestmark = pytest.mark.real_time

BUILD = "echo begin >>log; while [ ! -e go ]; do sleep 0.05; done; echo end >>log"
FIRST = "import sys; from tests.ports.test_commands import build; build(sys.argv[1])"


def build(
    folder: str, seconds: float = 60.0, check: Callable[[], None] = never_stopped
) -> list[str]:
    """Run the build of a folder, which also has toolkit's cache; returns its lines."""
    lines: list[str] = []
    command = commands.find(Surroundings("web", ".", {}, {}), ["/bin/sh", "build.sh"], folder)
    cache = os.path.join(folder, "cache")
    commands.run_alone(command, cache, SystemClock(), seconds, lines.append, check)
    return lines


@pytest.fixture
def orphaned(tmp_path: Path) -> Iterator[Path]:
    """A folder with a build that waits for a file `go`, and whose toolkit was killed."""
    (tmp_path / "build.sh").write_text(BUILD)
    toolkit = subprocess.Popen([sys.executable, "-c", FIRST, str(tmp_path)], cwd=ROOT)
    until = time.monotonic() + 60
    while not (tmp_path / "log").exists() and time.monotonic() < until:
        time.sleep(0.02)
    toolkit.kill()
    toolkit.wait()
    yield tmp_path
    (tmp_path / "go").touch()


def test_a_build_whose_toolkit_was_killed_is_waited_for(orphaned: Path) -> None:
    looks: list[int] = []

    def check() -> None:
        looks.append(1)
        if len(looks) == 3:
            assert (orphaned / "log").read_text().split() == ["begin"]
            (orphaned / "go").touch()

    [line] = build(str(orphaned), check=check)
    assert line.startswith("waiting for an earlier `/bin/sh build.sh`")
    assert (orphaned / "log").read_text().split() == ["begin", "end", "begin", "end"]


def test_a_build_that_does_not_end_in_time_is_an_error_and_starts_no_second(
    orphaned: Path,
) -> None:
    with pytest.raises(ProgramFailed, match="is still running"):
        build(str(orphaned), seconds=0.3)
    assert (orphaned / "log").read_text().split() == ["begin"]


def test_who_waits_for_a_build_can_be_stopped(orphaned: Path) -> None:
    def check() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        build(str(orphaned), check=check)
    assert (orphaned / "log").read_text().split() == ["begin"]


def test_what_a_good_build_leaves_running_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "build.sh").write_text("sleep 5 >/dev/null 2>&1 &\necho done")
    began = time.monotonic()
    assert build(str(tmp_path)) == build(str(tmp_path)) == ["done"]
    assert time.monotonic() - began < 4
