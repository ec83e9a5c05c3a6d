"""The backend as the container runs it: a process that starts, passes the smoke tests, and stops."""

import os
import re
import signal
import socket
import subprocess
import sys
import unittest
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "smoke" / "smoke_test.py"


def start(**env):
    clean = {key: value for key, value in os.environ.items() if key not in ("HOST", "CRASH_ON_START", "TOKEN_SECRET")}
    return subprocess.Popen(
        [sys.executable, "-m", "car_rental"],
        env=clean | {"PYTHONPATH": str(ROOT / "backend" / "src"), "PORT": "0"} | env,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running():
    """A started backend and its URL; whatever happens, it is gone afterwards."""
    with start() as process:
        try:
            yield process, re.fullmatch(r"listening on (\S+)\n", process.stderr.readline())[1]
        finally:
            process.kill()


def smoke(url):
    return subprocess.run([sys.executable, str(SMOKE), url], capture_output=True, text=True, timeout=30)


class ProcessTest(unittest.TestCase):
    def test_smoke_tests_pass_twice_so_they_leave_nothing_behind(self):
        with running() as (_, url):
            for _ in range(2):
                result = smoke(url)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_stops_on_term_and_on_interrupt(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number=number), running() as (process, _):
                process.send_signal(number)
                _, errors = process.communicate(timeout=5)
                self.assertEqual((process.returncode, errors), (0, "stopped\n"))

    def test_fault_switch(self):
        with start(CRASH_ON_START="1") as process:
            self.assertEqual(process.wait(5), 3)
            self.assertIn("CRASH_ON_START", process.stderr.read())

    def test_bad_settings_are_named(self):
        with start(PORT="http") as process:
            self.assertEqual(process.wait(5), 2)
            self.assertIn("PORT must be", process.stderr.read())

    def test_smoke_tests_fail_readably_when_nobody_answers(self):
        with socket.socket() as nobody:  # bound, so nobody else can listen there
            nobody.bind(("127.0.0.1", 0))
            result = smoke(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"FAIL .*\n.*refused")
        self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    unittest.main()
