"""T6: Ctrl-C, TERM and a closed terminal at random moments of a real run, on a pseudo-terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random

import pexpect
import pytest

from tests.run import signalled, simulated
from tests.support.modes import by_mode
from tests.support.run import ROOT, Result
from toolkit.record import journal
from toolkit.record.state import open_store

MOMENTS = by_mode(1, 5, 100)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPING = "stopping: nothing new is started"
ARGUMENTS = ["-m", "tests.run.signalled", "signalled", "-C"]
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


def environment(stuck_s: float = 0.0) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "SIMULATED_STUCK_S": str(stuck_s),
    }


def until_it_acts(folder: Path, alive: Callable[[], bool]) -> None:
    """Wait for the first call of the run."""
    until = time.monotonic() + 20
    while not (folder / "cloud").exists():
        assert alive()
        assert time.monotonic() < until
        time.sleep(0.002)


class Terminal:
    """A run on a terminal, in a folder."""

    def __init__(self, folder: Path, child: "pexpect.spawn[str]") -> None:
        self.child, self._folder = child, folder
        self.said = ""

    def signal(self, number: signal.Signals) -> None:
        """Send it to the process, as `kill` does."""
        self.child.kill(number)

    def hears(self, words: str, within_s: float) -> None:
        """Wait for words on the screen."""
        self.child.expect_exact(words, timeout=within_s)
        self.said += f"{self.child.before}{self.child.after}"

    def rest(self, within_s: float = 2.0) -> str:
        """All that is said until the process is gone."""
        self.child.expect(pexpect.EOF, timeout=within_s)
        self.said += str(self.child.before)
        self.child.close()
        return self.said

    @property
    def code(self) -> int | None:
        """The exit code."""
        return self.child.exitstatus


@contextmanager
def running(folder: Path, stuck_s: float = 0.0) -> Iterator[Terminal]:
    command = [*ARGUMENTS, str(folder)]
    child = pexpect.spawn(
        sys.executable,
        command,
        env=environment(stuck_s),
        dimensions=(24, 100),
        encoding="utf-8",
        timeout=20,
    )
    try:
        yield Terminal(folder, child)
    finally:
        child.close(force=True)


def resumed(folder: Path) -> Result:
    """Go on with it, in a pipe."""
    command = [sys.executable, *ARGUMENTS, str(folder), "--confirm", "resume"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    return Result(done.returncode, done.stdout, done.stderr)


def intents(folder: Path) -> list[journal.JournalEntry]:
    """What was written down as the next call."""
    return [
        entry
        for entry in journal.read(open_store(simulated.PROJECT, str(folder)), signalled.RUN)
        if entry.state == "intent"
    ]


def is_whole(folder: Path) -> None:
    """Everything was done once, and is written down."""
    effects = simulated.SimulatedCloud(folder / "cloud", lambda: 0.0).effects()
    assert sorted((effect.target, effect.call) for effect in effects) == [
        (step, call) for step in "abcd" for call in ("move", "register")
    ]
    entries = journal.read(open_store(simulated.PROJECT, str(folder)), signalled.RUN)
    assert sorted(str(entry.step) for entry in entries if entry.state == "outcome") == [
        "a",
        "b",
        "c",
        "d",
    ]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("count", range(MOMENTS))
def test_one_signal_stops_what_is_new_and_tells_how_to_go_on(
    number: signal.Signals, count: int, tmp_path: Path
) -> None:
    moment = Random().uniform(0, 0.6)
    with running(tmp_path) as terminal:
        until_it_acts(tmp_path, terminal.child.isalive)
        time.sleep(moment)  # the random moment itself
        terminal.signal(number)
        terminal.hears(STOPPING, 1.0)
        heard = simulated.Hurried(signalled.TIMES).now()
        rest = terminal.rest()
        assert (terminal.code, f"Run {signalled.RUN}" in rest, "toolkit resume" in rest) == (
            128 + number,
            True,
            True,
        ), f"{moment}: {rest}"
        # What was written down before is still called, and this machine may be slow about it.
        assert not [
            intent for intent in intents(tmp_path) if datetime.fromisoformat(intent.at) > heard
        ], f"{moment}: something was begun"
        assert rest.rfind(SHOWN) > rest.rfind(HIDDEN)
    again = resumed(tmp_path)
    assert again.code == 0, f"{moment}: {again.err}"
    is_whole(tmp_path)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_second_signal_leaves_at_once_whatever_goes_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    with running(tmp_path, stuck_s=30.0) as terminal:
        until_it_acts(tmp_path, terminal.child.isalive)
        terminal.signal(number)
        terminal.hears(STOPPING, 1.0)
        assert terminal.child.isalive(), "a call that was made is waited for"
        terminal.signal(number)
        rest = terminal.rest(2.0)
        assert terminal.code == 128 + number
        assert "toolkit resume" in rest
        assert rest.rfind(SHOWN) > rest.rfind(HIDDEN)
    again = resumed(tmp_path)
    assert again.code == 0, again.err
    is_whole(tmp_path)


def test_a_closed_terminal_stops_it_without_an_error(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, *ARGUMENTS, str(tmp_path)],
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    until_it_acts(tmp_path, lambda: child.poll() is None)
    os.close(ours)  # whatever is written from now on is an error
    child.send_signal(signal.SIGHUP)
    assert child.wait(3) == 128 + signal.SIGHUP
    assert not list(
        Path(open_store(simulated.PROJECT, str(tmp_path)).folder).parent.glob("crash-*")
    )
    again = resumed(tmp_path)
    assert again.code == 0, again.err
    is_whole(tmp_path)


@pytest.mark.parametrize("number", SIGNALS[::2], ids=lambda number: number.name)
def test_a_signal_that_was_ignored_from_the_start_stays_ignored(
    number: signal.Signals, tmp_path: Path
) -> None:
    """As `nohup` and a script's `toolkit deploy &` ask for it."""
    script = f'trap "" {number.value}; exec "$@"'
    child = subprocess.Popen(
        ["sh", "-c", script, "sh", sys.executable, *ARGUMENTS, str(tmp_path)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    until_it_acts(tmp_path, lambda: child.poll() is None)
    child.send_signal(number)
    text = child.communicate(timeout=60)[0].decode()
    assert (child.returncode, STOPPING in text) == (0, False), text
    is_whole(tmp_path)


def test_a_terminal_that_takes_no_words_keeps_nobody() -> None:
    program = (
        "import os, signal; from threading import Event; from toolkit.cli import signals; from"
        " toolkit.run.stop import Stop\nnever = lambda number: Event().wait()\nstop = Stop()\nwith"
        " signals.handled(stop, never, never):\n    os.kill(os.getpid(), signal.SIGTERM)\n   "
        " stop.event.wait()\n    os.kill(os.getpid(), signal.SIGTERM)\n    Event().wait(20)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), check=False, timeout=30
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began < 4
