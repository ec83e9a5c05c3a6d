"""Run toolkit: in this process for most tests, as a process of its own where that is the point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from toolkit.cli.main import run

ROOT = Path(__file__).parents[2]


class Result(Struct, frozen=True):
    """How a run ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer of a run with --json."""
        return json.loads(self.out)


class Toolkit:
    """Runs `toolkit` in a folder, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, folder: Path, *args: str) -> Result:
        self._monkeypatch.chdir(folder)
        self._capsys.readouterr()
        try:
            code = run(list(args))
        except SystemExit as rest:  # --help and --version
            code = int(rest.code or 0)
        out, err = self._capsys.readouterr()
        return Result(code, out, err)


def process(folder: Path, *args: str, given: bytes = b"", **env: str) -> Result:
    """Run `python -m toolkit` as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    command = [sys.executable, "-m", "toolkit", *args]
    done = subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, timeout=60
    )
    return Result(
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
    )


def started(folder: Path, *args: str) -> subprocess.Popen[str]:
    """toolkit as a process of its own, which goes on while the test does."""
    return subprocess.Popen(
        [sys.executable, "-m", "toolkit", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
