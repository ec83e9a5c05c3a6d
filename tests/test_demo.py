"""The demo, run as a stranger runs it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.run import ROOT

DEPLOYS = """\
$ toolkit deploy --all --yes --allow-broadening --adopt
$ toolkit deploy-function login --yes
$ toolkit deploy-site web --yes
$ toolkit deploy --yes
$ toolkit deploy-app app --yes
"""


@pytest.mark.sandbox
@pytest.mark.slow("demo")
def test_the_demo_deploys_everything_breaks_a_version_and_leaves_nothing(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LC_ALL": "C.UTF-8",
    }
    environment |= {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
    before = running(temporary)
    done = subprocess.run(
        [ROOT / "scripts" / "demo"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    last = -1
    for command in DEPLOYS.splitlines():
        position = done.stdout.find(f"\n{command}\n", last + 1)
        assert position > last, command
        last = position
    assert "7 of 7 steps done" in done.stdout
    assert "8 ok in " in done.stdout
    assert "12 of 12 checks passed" in done.stdout
    assert re.search(r"\napp +failed, rolled back ", done.stdout)
    assert re.search(r"\$ toolkit rollback web --yes\nweb [0-9a-f]{12}: done", done.stdout)
    assert (before, running(temporary)) == ([], [])
    assert list(temporary.iterdir()) == []
    assert not (home / ".cache").exists()


def running(folder: Path) -> list[str]:
    """The processes whose command or working folder is below a folder."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            place = os.readlink(process / "cwd")
        except OSError:  # it has ended, or is somebody else's
            continue
        if str(folder) in f"{place} {' '.join(words)}":
            processes.append(process.name)
    return processes
