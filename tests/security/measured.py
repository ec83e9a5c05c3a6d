"""Run toolkit as a process whose processor time and memory are known, and bounded."""

import json
import os
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from tests.support.run import ROOT

_LAUNCHER = """
import json, resource, subprocess, sys
report, cpu_s, *argv = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s)))
done = subprocess.run(argv)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(report, "w") as file:
    cpu_s = used.ru_utime + used.ru_stime
    figures = {"code": done.returncode, "cpu_s": cpu_s, "peak_mb": used.ru_maxrss / 1024}
    json.dump(figures, file)
"""
"""A small process of its own between pytest and toolkit: a child's peak starts with that of whoever
started it.
"""


class Measured(Struct, frozen=True):
    """How it ended, what it said, and what it cost, git's part included."""

    code: int
    out: str
    err: str
    cpu_s: float
    peak_mb: float


def measured(
    folder: Path, report: Path, *args: str, given: bytes = b"", cpu_s: int = 10
) -> Measured:
    """Run `python -m toolkit` to its end, or until it has used its time (then `code` is
    negative).
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    launcher = [sys.executable, "-S", "-c", _LAUNCHER, str(report), str(cpu_s)]
    done = subprocess.run(
        [*launcher, sys.executable, "-m", "toolkit", *args],
        cwd=folder,
        env=env,
        input=given,
        capture_output=True,
        timeout=120,
    )
    document = json.loads(report.read_text())
    out, err = (stream.decode("utf-8", "surrogateescape") for stream in (done.stdout, done.stderr))
    return Measured(document["code"], out, err, document["cpu_s"], document["peak_mb"])
