"""Runs that are really killed: `python -m tests.run.killed SEED KILLS FOLDER` prints how many were,
and what was wrong after them.

This process has everything loaded and no threads: each process of a run is a fork of it, so that a
run costs milliseconds.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random

from tests.run.failpoints import SETTINGS, CrashStage, begin
from tests.run.simulated import KIND, Hurried
from toolkit import targets

TIMES = 2000
"""How many times faster than the machine's clock the runs' clock goes."""
MOST_KILLS = 3
STUCK_S = 30.0
"""After how long a run that nobody kills is stuck, in seconds."""


def main() -> None:
    """Run and kill until it is enough."""
    seed, expected, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    targets.KINDS[KIND] = "tests.run.simulated"
    kills = runs = 0
    wrong = ""
    lengths = {
        name: _undisturbed(name, folder / f"undisturbed-{position}")
        for position, name in enumerate(SETTINGS)
    }
    while kills < expected and not wrong:
        chance = Random(f"{seed} {runs}")
        name = chance.choice(list(SETTINGS))
        more, problem = _one(name, lengths[name], chance, folder / str(runs))
        wrong = problem and f"seed {seed}, run {runs}, {name}, {more} kills: {problem}"
        kills, runs = kills + more, runs + 1
    print(json.dumps({"kills": kills, "runs": runs, "wrong": wrong}))


def _undisturbed(name: str, folder: Path) -> float:
    """How long a run takes that nobody kills, in seconds."""
    stage = begin(SETTINGS[name], folder, clock=Hurried(TIMES))
    start = time.monotonic()
    code = _process(stage, folder, STUCK_S)
    assert code in (0, 4), (folder / "trace").read_text()
    return time.monotonic() - start


def _one(name: str, length: float, chance: Random, folder: Path) -> tuple[int, str]:
    """One run: how often it was killed, and what is wrong then."""
    stage = begin(SETTINGS[name], folder, clock=Hurried(TIMES))
    kills = 0
    try:
        for _ in range(chance.randint(1, MOST_KILLS)):
            if stage.ended():
                break
            kills += _process(stage, folder, chance.uniform(0, 1.2 * length)) is None
            stage.says_no_more_than_is_true()
        if not stage.ended() and _process(stage, folder, STUCK_S) is None:
            return kills, "it is stuck"
        stage.says_no_more_than_is_true()
        stage.is_exact(None)
    except AssertionError:
        trace = folder / "trace"
        return kills, traceback.format_exc() + (trace.read_text() if trace.exists() else "")
    return kills, ""


def _process(stage: CrashStage, folder: Path, most_s: float) -> int | None:
    """A process that begins the run or goes on with it: its exit code, None if it was killed after
    `most_s` seconds.
    """
    stage.begun()
    child = os.fork()
    if child == 0:
        _be(stage, folder)
    until = time.monotonic() + most_s
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def _be(stage: CrashStage, folder: Path) -> None:
    """The child: it leaves without looking back, and what goes wrong is left in a file."""
    code = 99
    try:
        ran = stage.process(None)
        code = 98 if ran is None else int(ran.exit)
    except BaseException:
        (folder / "trace").write_text(traceback.format_exc())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
