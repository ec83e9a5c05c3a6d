"""The backend as the container runs it: a process that starts, answers, and stops."""

import os
import re
import signal
import subprocess
import sys
import unittest
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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


class ProcessTest(unittest.TestCase):
    def test_answers(self):
        with running() as (_, url), urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            self.assertEqual(response.status, 200)

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


if __name__ == "__main__":
    unittest.main()
