"""Copying the recommended command: by the terminal, by tmux, by a program, or honestly not."""

import os
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest

from tests.support.run import ROOT
from toolkit.cli import clipboard
from toolkit.cli.clipboard import Copied

COMMAND = "toolkit deploy-app app"
SEQUENCE = f"\x1b]52;c;{b64encode(COMMAND.encode()).decode()}\x07"
VARIABLES = (
    "TMUX",
    "STY",
    "VTE_VERSION",
    "TERM_PROGRAM",
    "SSH_CONNECTION",
    "SSH_TTY",
    "DISPLAY",
    "WAYLAND_DISPLAY",
)


@pytest.fixture(autouse=True)
def _bare_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that write what they get, and how they were called, to a file."""
    folder, copied = tmp_path / "programs", tmp_path / "copied"
    folder.mkdir()
    for name in ("wl-copy", "xclip"):
        script = folder / name
        script.write_text(f'#!/bin/sh\n{{ echo "{name} $*"; cat; }} > {copied}\nsleep 30 &\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return copied


def test_a_terminal_gets_the_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    assert clipboard.copy(COMMAND) == Copied.SENT
    assert capsys.readouterr().out == SEQUENCE


@pytest.mark.parametrize(
    "variables",
    [
        {"TERM": "linux"},
        {"TERM": "dumb"},
        {"VTE_VERSION": "7600"},
        {"TERM_PROGRAM": "Apple_Terminal"},
    ],
    ids=str,
)
def test_a_terminal_without_a_clipboard_gets_nothing_and_nothing_was_copied(
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert clipboard.copy(COMMAND) == Copied.NO
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("variable", "call"),
    [("WAYLAND_DISPLAY", "wl-copy "), ("DISPLAY", "xclip -selection clipboard")],
)
def test_a_program_of_the_desktop_gets_it_and_may_stay_in_the_background(
    program: Path, monkeypatch: pytest.MonkeyPatch, variable: str, call: str
) -> None:
    monkeypatch.setenv("TERM", "linux")
    monkeypatch.setenv(variable, ":0")
    began = time.monotonic()
    assert clipboard.copy(COMMAND) == Copied.YES
    assert time.monotonic() - began < 20
    assert program.read_text() == f"{call}\n{COMMAND}"


def test_over_ssh_no_program_of_the_other_machine_gets_it(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    assert clipboard.copy(COMMAND) == Copied.SENT
    assert capsys.readouterr().out == SEQUENCE
    assert not program.exists()


def test_a_program_that_fails_has_copied_nothing(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    (program.parent / "programs" / "xclip").write_text("#!/bin/sh\nexit 1\n")
    assert clipboard.copy(COMMAND) == Copied.NO


def test_screen_and_tmux_hand_the_sequence_on() -> None:
    assert clipboard.osc_52(COMMAND, {"TERM": "screen", "STY": "1.pts"}) == (
        f"\x1bP{SEQUENCE}\x1b\\"
    )
    through = SEQUENCE.replace("\x1b", "\x1b\x1b")
    assert clipboard.osc_52(COMMAND, {"TERM": "tmux-256color", "TMUX": "/tmp/x,1,0"}) == (
        f"{SEQUENCE}\x1bPtmux;{through}\x1b\\"
    )


@pytest.mark.slow("terminals")
def test_in_a_real_tmux_it_is_in_its_buffer(tmp_path: Path) -> None:
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    server = [tmux, "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    program = f"from toolkit.cli import clipboard; print(clipboard.copy({COMMAND!r}))"
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "out").touch()
    words = f"PYTHONPATH={ROOT} {sys.executable} {tmp_path}/program.py > {tmp_path}/out; sleep 30"
    subprocess.run([*server, "new-session", "-d", "-x", "80", "-y", "24", words], check=True)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until and not (tmp_path / "out").read_text():
            time.sleep(0.1)
        shown = subprocess.run([*server, "show-buffer"], check=True, capture_output=True)
        assert shown.stdout.decode() == COMMAND
        assert (tmp_path / "out").read_text() == "sent\n"
    finally:
        subprocess.run([*server, "kill-server"], check=False)
