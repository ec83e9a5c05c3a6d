"""What is asked every day, of tasks that really run: addresses, logs across a deploy, and a command
that is run once. One system for the whole file, in order.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli.town import FILES, RULES, Town, main

pytestmark = [pytest.mark.slow("sandbox"), pytest.mark.sandbox]

LOUD = """\
import os, sys, threading, time
def speak():
    number = 0
    while True:
        print("TEXT says", number, flush=True)
        number += 1
        time.sleep(0.2)
threading.Thread(target=speak, daemon=True).start()
"""


def loud(text: str) -> str:
    """The app's program, which also writes without end."""
    return LOUD.replace("TEXT", text) + main(text)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    rules = RULES.replace('needs = ["queue"]', 'health = ["http://web.example.com/"]')
    files = {**FILES, "app/main.py": loud("version-one")}
    created = Town(tmp_path_factory.mktemp("daily"), rules, files)
    yield created
    created("sandbox", "down", "--delete")


def test_outputs_after_a_deploy_are_those_that_it_ended_with(town: Town) -> None:
    done = town("deploy", "app", "queue", "--yes", "--no-checks")
    assert done.code == 0, done.err
    assert "app: HealthUrl = http://web.example.com/" in done.out
    shown = town("outputs", "-q", "queue.Name")
    assert shown.code == 0, shown.err
    assert f"queue: Name = {shown.out}" in done.out
    assert town("outputs", "-q", "app.HealthUrl").out == "http://web.example.com/\n"


def test_a_command_runs_once_with_the_live_image(town: Town) -> None:
    code = "import os; print(os.environ['PORT']); raise SystemExit(7)"  # the image says the port
    once = town("run-task", "app", "--", "python", "-c", code)
    assert (once.code, once.out) == (7, "8080\n"), once.err
    assert town("run-task", "app", "--", "python", "-c", "print('fine')").out == "fine\n"


def test_a_task_that_runs_too_long_is_stopped(town: Town) -> None:
    once = town(
        "run-task", "app", "--timeout", "2s", "--", "python", "-c", "import time; time.sleep(90)"
    )
    assert once.code == 1
    assert "timed-out: it was stopped after its --timeout" in once.err


def test_logs_are_followed_across_a_deploy_without_a_gap(town: Town) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "toolkit", "tail", "app", "--since", "1s"],
        cwd=town.repo.path,
        env=town.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert " says " in child.stdout.readline()
        town.repo.commit(files={"app/main.py": loud("version-two")})
        done = town("deploy", "app", "--yes", "--no-checks")
        assert done.code == 0, done.err
        spoken: dict[str, list[int]] = {"version-one": [], "version-two": []}
        while len(spoken["version-two"]) < 20:
            text = child.stdout.readline().rpartition("  ")[2]
            version, says, number = text.partition(" says ")
            if says:
                spoken[version].append(int(number))
        child.terminate()
    for numbers in spoken.values():
        first = numbers[0]
        assert numbers == list(range(first, first + len(numbers)))
    assert spoken["version-two"][0] == 0
    assert spoken["version-one"]
