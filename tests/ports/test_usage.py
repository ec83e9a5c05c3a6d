"""What a piece of work takes on this machine: each program, each thread and each byte counts for
whoever's work it is, and what nobody can know is unknown.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from tests.ports.test_objects import objects, put  # noqa: F401 (a fixture)
from tests.support.run import ROOT
from toolkit.operations import Usage
from toolkit.ports import process, usage
from toolkit.ports.aws.objects import Objects
from toolkit.ports.background import DaemonThread

PYTHON = [sys.executable, "-S", "-c"]
BUSY = "import time\nwhile time.process_time() < 0.4: pass"
LARGE = "b'x' * (150 << 20)"


def run(script: str) -> int:
    """A program that is run to its end in each of the ways there are; its code."""
    return process.run([*PYTHON, script], "/", process.child_environment()).code


def run_lines(script: str) -> None:
    list(process.LineProgram([*PYTHON, script], "/", process.child_environment()).lines())


def run_streamed(script: str) -> None:
    list(process.StreamedProgram([*PYTHON, script], "/", process.child_environment()))


def run_bounded(script: str) -> None:
    process.BoundedProgram([*PYTHON, script], 60, asks=False).communicate()


@pytest.mark.parametrize("do", [run, run_lines, run_streamed, run_bounded])
def test_the_processor_time_of_each_program_counts(do: object) -> None:
    assert callable(do)
    with usage.measured() as taken:
        do(BUSY)
        first = taken()
        do(BUSY)
    assert first.cpu_s is not None
    assert 0.4 <= first.cpu_s < 2
    assert (taken().cpu_s or 0) >= first.cpu_s + 0.4


def test_a_program_of_a_program_counts_too() -> None:
    with usage.measured() as taken:
        run(f"import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {BUSY!r}])")
    assert (taken().cpu_s or 0) >= 0.4


MEMORY = f"""
import json
from toolkit.ports import process, usage
def run(script):
    process.run({PYTHON!r} + [script], "/", process.child_environment())
with usage.measured() as taken:
    run("pass")
    first = taken().memory_bytes
    run({LARGE!r})
    run("pass")
print(json.dumps([first, taken().memory_bytes, usage.of_process().memory_bytes]))
"""
FROM_A_LARGE_PROCESS = f"""
import subprocess, sys
b"x" * (250 << 20)
subprocess.run([sys.executable, "-c", {MEMORY!r}], check=True)
"""


def test_memory_is_that_of_the_largest_program_and_unknown_below_our_own() -> None:
    """The system counts the peak of whoever starts a program as that program's, ours too: in a
    process of its own, since the tests' own has a peak of any size.
    """
    python = [sys.executable, "-c", FROM_A_LARGE_PROCESS]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(python, env=env, check=True, capture_output=True)
    first, memory, largest = json.loads(done.stdout)
    assert first is None
    assert 150 << 20 <= memory == largest < 250 << 20


def test_work_counts_for_whoever_began_it_and_for_nobody_else() -> None:
    """Two pieces of work side by side, the programs of one started by threads of its own."""
    results: dict[str, Usage] = {}

    def work(name: str, script: str) -> None:
        with usage.measured() as taken:
            thread = DaemonThread(lambda: run_lines(script))
            thread.start()
            thread.join()
            results[name] = taken()

    threads = [Thread(target=work, args=pair) for pair in (("busy", BUSY), ("idle", "pass"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results["busy"].cpu_s or 0) >= 0.4
    assert (results["idle"].cpu_s or 9) < 0.4


def test_the_time_of_our_own_threads_counts() -> None:
    def burn() -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass

    with usage.measured() as taken:
        burn()
        thread = DaemonThread(burn)
        thread.start()
        thread.join()
    assert (taken().cpu_s or 0) >= 0.4


def test_a_program_that_somebody_else_has_collected_has_neither_gone_well_nor_failed() -> None:
    with usage.measured() as taken:
        program = process.LineProgram([*PYTHON, "pass"], "/", process.child_environment())
        os.waitpid(program.pid, 0)
        assert list(filter(None, program.lines())) == []
    assert program.code == process.LOST
    assert process.LOST < 0
    assert taken() == Usage(None, None, 0)


def test_what_is_sent_counts_and_what_others_send_is_unknown(
    objects: Objects,  # noqa: F811 (the fixture)
) -> None:
    with usage.measured() as taken:
        assert taken().sent_bytes == 0
        put(objects, "a", b"12345")
        assert taken().sent_bytes == 5
        usage.exclude("what terraform sends", sends=True)
        assert taken().sent_bytes == 5
    with usage.measured() as taken:
        usage.exclude("what terraform sends", sends=True)
        assert taken().sent_bytes is None
        assert taken().unmeasured == ("what terraform sends",)
    assert usage.of_process().sent_bytes


def test_the_process_as_a_whole_has_its_programs_in_it(tmp_path: Path) -> None:
    before = usage.of_process()
    run(BUSY)
    after = usage.of_process()
    assert (after.cpu_s or 0) >= (before.cpu_s or 0) + 0.4
    assert (after.memory_bytes or 0) >= usage.own_peak_bytes()
