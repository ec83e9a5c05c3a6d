"""A program whose words come line by line, and which ends when it is told to."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from toolkit.ports.process import LineProgram, child_environment

PYTHON = [sys.executable, "-S", "-u", "-c"]


def talking(script: str, tmp_path: Path, data: bytes | None = None) -> LineProgram:
    return LineProgram([*PYTHON, script], str(tmp_path), child_environment(), data)


def words(program: LineProgram) -> list[bytes]:
    return [line for line in program.lines() if line is not None]


def test_output_and_complaints_come_in_lines_and_in_order(tmp_path: Path) -> None:
    program = talking(
        "import os; os.write(1, b'a\\nb'); os.write(2, b'c\\r\\nd\\re\\n'); os.write(1, b'end')",
        tmp_path,
    )
    assert words(program) == [b"a", b"bc", b"d", b"e", b"end"]
    assert program.code == 0


def test_what_is_given_is_its_input(tmp_path: Path) -> None:
    program = talking("import sys; print(sys.stdin.read()[::-1]); sys.exit(3)", tmp_path, b"abc")
    assert words(program) == [b"cba"]
    assert program.code == 3


def test_nobody_waits_for_a_program_that_reads_nothing(tmp_path: Path) -> None:
    assert words(talking("pass", tmp_path, b"x" * 1000)) == []


def test_silence_is_told(tmp_path: Path) -> None:
    program = talking("import time; print('a'); time.sleep(600)", tmp_path)
    lines = program.lines(0.01)
    actual = [next(lines)]
    while actual[-1] is not None or b"a" not in actual:
        actual.append(next(lines))
    program.stop()
    assert program.code == -signal.SIGINT or program.code == 1


def test_it_is_ended_politely_first(tmp_path: Path) -> None:
    script = (
        "import signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_:"
        " sys.exit(7))\nprint('ready')\ntime.sleep(600)"
    )
    program = talking(script, tmp_path)
    lines = program.lines(0.01)
    while next(lines) != b"ready":
        pass
    lines.close()  # type: ignore[attr-defined]
    assert program.code == 7


def test_one_that_does_not_listen_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    deaf = (
        "import signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\nprint('ready',"
        " flush=True)\ntime.sleep(600)"
    )
    script = (
        "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-S', '-c',"
        f" {deaf!r}])\nprint(child.pid)\n{deaf}"
    )
    program = talking(script, tmp_path)
    chunks: list[bytes] = []
    lines = program.lines(0.01)
    for line in lines:
        chunks += [line] if line else []
        if len(chunks) == 3:
            break
    program.stop((0.05, 0.05))
    assert program.code == -signal.SIGKILL
    child = int(next(line for line in chunks if line.isdigit()))
    ended = threading.Event()
    for _ in range(500):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        ended.wait(0.01)
    pytest.fail("the child still runs")


def test_a_child_that_was_left_behind_does_not_hold_us_up(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-S', '-c', 'import time;"
        " time.sleep(600)']).pid)"
    )
    (pid,) = words(talking(script, tmp_path))
    os.kill(int(pid), signal.SIGKILL)


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        words(talking("print(1)", tmp_path, b""))
    assert len(os.listdir("/proc/self/fd")) == before
