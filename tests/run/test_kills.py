"""T2: real processes, killed with SIGKILL at random moments, up to three times a run; then one that
is let.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.support.modes import by_mode

ROOT = Path(__file__).parents[2]
KILLS = by_mode(40, 500, 10_000)


@pytest.mark.slow("kills", keep=1)
@pytest.mark.parametrize("half", [1, 2])
def test_runs_that_are_killed_at_any_moment_lose_nothing_and_do_nothing_twice(
    half: int, tmp_path: Path
) -> None:
    seed = int(os.environ.get("SEED") or Random().randrange(1 << 32))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TOOLKIT_STATE_DIR": str(tmp_path / "state"),
    }
    command = [sys.executable, "-m", "tests.run.killed", str(seed), str(KILLS), str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"SEED={seed}: {done.stderr}"
    document = json.loads(done.stdout)
    assert not document["wrong"], f"SEED={seed}: {document['wrong']}"
    assert document["kills"] >= KILLS
