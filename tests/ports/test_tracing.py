"""A command that is observed runs as it does without: terminal, signals, exit code, children."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import ROOT, Result, process, started
from toolkit.ports.tracing import watch

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
HOOKED = "hooks"


@pytest.fixture
def small(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "repo", {"a.txt": "a\n", "b.txt": "b\n"}, RULES)


def observe(folder: Path, *command: str, given: bytes = b"", **env: str) -> Result:
    return process(folder, "rules", "observe", "--", *command, given=given, **env)


def seen(folder: Path, *command: str, **env: str) -> Any:
    result = process(folder, "rules", "observe", "--json", "--", *command, given=b"", **env)
    return result.json["observed"]


@pytest.fixture
def without_strace(tmp_path: Path) -> str:
    """A PATH with everything that is needed here but strace."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("git", "sh", "cat", "env", "node"):
        program = shutil.which(name)
        if program is not None:
            (folder / name).symlink_to(program)
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))
    return str(folder)


@pytest.mark.parametrize("code", [0, 1, 7, 127])
def test_the_exit_code_is_passed_on(small: Repo, code: int) -> None:
    assert observe(small.path, "sh", "-c", f"exit {code}").code == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
def test_a_signal_that_ends_the_command_is_told_as_a_shell_does(small: Repo, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    result = observe(small.path, "sh", "-c", f"cat a.txt; kill -{name} $$")
    assert result.code == 128 + number
    assert f"ended by signal {int(number)}" in result.err
    assert "not seen" not in result.err


def test_what_it_reads_and_writes_is_left_alone(small: Repo) -> None:
    given = bytes(range(256)) * 1000
    command = [
        sys.executable,
        "-m",
        "toolkit",
        "rules",
        "observe",
        "--",
        "sh",
        "-c",
        "cat; cat >&2",
    ]
    done = subprocess.run(
        command,
        cwd=small.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=given,
        capture_output=True,
        timeout=60,
    )
    assert done.stdout == given


def test_a_file_given_as_standard_input_is_read(small: Repo) -> None:
    with (small.path / "b.txt").open() as given:
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", "rules", "observe", "--json", "--", "cat"],
            cwd=small.path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=given,
            capture_output=True,
            timeout=60,
        )
    assert b'"source": ["b.txt"]' in done.stdout


def test_no_program_of_that_name_runs_nothing(small: Repo) -> None:
    result = observe(small.path, "no-such-program")
    assert (result.code, result.out) == (2, "")
    assert "there is no program no-such-program" in result.err


def on_terminal(folder: Path, *words: str) -> "pexpect.spawn[str]":
    return pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "rules", "observe", "--", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=30,
        encoding="utf-8",
    )


def test_ctrl_c_reaches_the_command_which_decides(small: Repo) -> None:
    trap = (
        "trap 'echo caught; cat a.txt; exit 3' INT\n"
        "test -t 0 && test -t 1 && echo ready; sleep 30 & wait"
    )
    child = on_terminal(small.path, "sh", "-c", trap)
    child.expect("ready")
    child.sendintr()
    child.expect("caught")
    child.expect("observed: ")
    child.expect("1 source file read")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_ctrl_c_ends_what_does_not_catch_it(small: Repo) -> None:
    child = on_terminal(small.path, "sh", "-c", "echo ready; exec sleep 30")
    child.expect("ready")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


def test_what_ends_toolkit_ends_the_command(small: Repo) -> None:
    running = started(small.path, "rules", "observe", "--", "sh", "-c", "echo $$; exec sleep 60")
    assert running.stdout is not None
    pid = int(running.stdout.readline())
    running.terminate()
    running.communicate(timeout=30)
    assert running.returncode == 128 + signal.SIGTERM
    assert not Path(f"/proc/{pid}").exists()


def test_what_it_leaves_running_is_ended_and_named(small: Repo) -> None:
    began = time.monotonic()
    result = observe(small.path, "sh", "-c", "sleep 100 >/dev/null 2>&1 & echo $!")
    assert result.code == 0
    assert "they were ended (sleep)" in " ".join(result.err.split())
    pid = result.out.strip()
    assert time.monotonic() - began < 50
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_nothing_of_ours_is_left(small: Repo, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert observe(small.path, "true", TMPDIR=str(scratch)).code == 0
    assert list(scratch.iterdir()) == []
    assert small.git("status", "--porcelain") == ""


MODULES = {
    "app.py": "import shop.a\nimport shop.b\n",
    "shop/a.py": "x = 1\n",
    "shop/b.py": "y = 1\n",
}


def test_modules_are_seen_in_spite_of_warm_byte_code(small: Repo) -> None:
    small.commit("python", {**MODULES, ".gitignore": "__pycache__/\n"})
    plain = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([sys.executable, "app.py"], cwd=small.path, env=plain, check=True)
    assert (small.path / "shop" / "__pycache__").is_dir()
    for _ in range(2):  # the second time, with what the first has compiled
        inputs = seen(small.path, sys.executable, "app.py")
        assert inputs["source"] == ["app.py", "shop/a.py", "shop/b.py"]
        assert inputs["hidden"] == []


def test_byte_code_of_others_is_kept_and_of_the_repository_is_not(tmp_path: Path) -> None:
    root = str(tmp_path / "repo")

    def keep(path: str) -> bool:
        return path == "tool/.venv"

    for _ in range(2):
        with watch.byte_code(str(tmp_path / "cache"), root, keep) as folder:
            made = Path(folder, *Path(root).parts[1:])
            assert not (made / "app.pyc").exists()
            for name in ("app.pyc", "tool/x.pyc", "tool/.venv/y.pyc"):
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).touch()
            (Path(folder) / "usr.pyc").touch()
    with watch.byte_code(str(tmp_path / "cache"), root, keep) as folder:
        left = [path.name for path in Path(folder).rglob("*.pyc")]
        assert sorted(left) == ["usr.pyc", "y.pyc"]
        with watch.byte_code(str(tmp_path / "cache"), root, keep) as another:
            assert another != folder


NODE = {
    "build.js": (
        "const fs = require('fs')\nrequire('./lib/a')\nfs.readFileSync('data.txt')\n"
        "fs.writeFileSync('made.txt', 'x')\nfs.readFileSync('made.txt')\n"
        "fs.readdirSync('parts')\nfs.existsSync('no.txt')\n"
        "require('child_process').execFileSync('cat', ['hidden.txt'])\n"
        "import('./lib/b.mjs')\n"
    ),
    "lib/a.js": "",
    "lib/b.mjs": "",
    "data.txt": "",
    "parts/x": "",
    "hidden.txt": "",
}


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_without_strace_node_itself_tells_and_what_it_cannot_see_is_said(
    small: Repo, without_strace: str
) -> None:
    small.commit("node", NODE)
    (small.path.parent / "mine.cjs").write_text("process.stderr.write('mine ')\n")
    option = f"--require={small.path.parent}/mine.cjs"
    inputs = seen(small.path, "node", "build.js", PATH=without_strace, NODE_OPTIONS=option)
    assert (inputs["means"], inputs["generated"]) == (HOOKED, 1)
    assert inputs["source"] == ["build.js", "data.txt", "lib/a.js", "lib/b.mjs"]
    assert inputs["listed"] == ["parts"]
    assert "no.txt" in inputs["missing"]
    assert "strace is not installed" in inputs["hidden"][0]
    assert inputs["hidden"][1] == "what these programs read: cat"
    result = process(
        small.path, "rules", "observe", "--", "node", "build.js",
        PATH=without_strace, NODE_OPTIONS=option,
    )  # fmt: skip
    assert "mine" in result.err


def test_without_strace_python_itself_tells_and_another_sitecustomize_runs(
    small: Repo, without_strace: str, tmp_path: Path
) -> None:
    small.commit(
        "python",
        {
            **MODULES,
            "build.py": (
                "import os, subprocess, app\nos.listdir('shop')\nopen('data.txt').read()\n"
                "os.makedirs('out/deep')\nopen('out/deep/x', 'w').close()\n"
                "os.rename('out/deep/x', 'out/y')\nopen('out/y').read()\n"
                "try: open('no.txt')\nexcept OSError: pass\n"
                "subprocess.run(['cat', 'hidden.txt'], check=True)\n"
                "subprocess.run(['python3', 'child.py'], check=True)\n"
            ),
            "child.py": "open('of-child.txt')\n",
            "of-child.txt": "",
            "data.txt": "",
            "hidden.txt": "",
        },
    )
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    inputs = seen(
        small.path,
        "python3",
        "build.py",
        PATH=without_strace,
        PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
    )
    assert inputs["means"] == HOOKED
    expected = {"build.py", "child.py", "of-child.txt", "data.txt", *MODULES}
    assert set(inputs["source"]) == expected
    assert inputs["generated"] == 1
    assert "shop" in inputs["listed"]
    assert "no.txt" in inputs["missing"]
    assert inputs["hidden"][1] == "what these programs read: cat"
    assert (tmp_path / "ran").exists()


def test_where_strace_may_not_trace_the_reason_is_said(small: Repo, without_strace: str) -> None:
    fake = Path(without_strace) / "strace"
    fake.write_text(
        "#!/bin/sh\necho 'strace: PTRACE_TRACEME: Operation not permitted' >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    inputs = seen(small.path, "cat", "a.txt", PATH=without_strace)
    assert inputs["means"] == HOOKED
    assert "PTRACE_TRACEME: Operation not permitted" in inputs["hidden"][0]
    assert inputs["hidden"][1] == "what these programs read: cat"
