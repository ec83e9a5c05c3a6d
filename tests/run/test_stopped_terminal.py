"""A terminal that shows nothing more, since somebody has pressed Ctrl-S or its reader is stuck: the
run goes to its end all the same.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.run import signalled, simulated
from tests.run.test_signals import ARGUMENTS, environment, is_whole, until_it_acts
from toolkit.record import journal
from toolkit.record.state import open_store

STOP, GO_ON = b"\x13", b"\x11"
"""Ctrl-S and Ctrl-Q."""
ENOUGH_S = 30.0
"""A run of its own takes some seconds on a slow machine."""


@contextmanager
def child(folder: Path, **streams: Any) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, *ARGUMENTS, str(folder)]
    process = subprocess.Popen(command, env=environment(), **streams)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def has_ended(folder: Path) -> bool:
    entries = journal.read(open_store(simulated.PROJECT, str(folder)), signalled.RUN)
    return any(entry.state == "end" for entry in entries)


def test_a_terminal_that_was_stopped_keeps_neither_the_run_nor_its_answer(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    os.write(ours, STOP)
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": theirs}
    with child(tmp_path, **streams) as process:
        answer = process.communicate(timeout=ENOUGH_S)[0].decode()
        assert (process.returncode, f"Run {signalled.RUN}" in answer) == (0, True), answer
    is_whole(tmp_path)
    os.close(ours)
    os.close(theirs)


def test_a_pipe_that_nobody_reads_keeps_neither_the_run_nor_its_answer(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * (size - 10))
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": writer}
    with child(tmp_path, **streams) as process:
        answer = process.communicate(timeout=ENOUGH_S)[0].decode()
        assert (process.returncode, f"Run {signalled.RUN}" in answer) == (0, True), answer
    is_whole(tmp_path)
    os.close(reader)
    os.close(writer)


def test_on_a_terminal_that_is_stopped_and_let_go_on_the_run_has_ended_before_and_all_is_told(
    tmp_path: Path,
) -> None:
    ours, theirs = os.openpty()
    with child(tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        until_it_acts(tmp_path, lambda: process.poll() is None)
        os.write(ours, STOP)
        until = time.monotonic() + ENOUGH_S
        while not has_ended(tmp_path):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.write(ours, GO_ON)
        content = b""
        try:
            while data := os.read(ours, 1 << 16):
                content += data
        except OSError:  # it has left the terminal
            pass
        assert process.wait(ENOUGH_S) == 0
    assert f"Run {signalled.RUN}" in content.decode(), content
    is_whole(tmp_path)
