"""Other programs: where they are looked for, what they know, and how their output comes."""

import os
import selectors
import sys
import threading
import time
from pathlib import Path

import pytest

from toolkit.ports import process
from toolkit.ports.process import LineProgram, StreamedProgram

PYTHON = [sys.executable, "-S", "-c"]


def running(script: str, folder: Path, data: bytes | None = None) -> StreamedProgram:
    return StreamedProgram([*PYTHON, script], str(folder), process.child_environment(), data)


def program(path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_is_found_in_the_first_folder_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = program(tmp_path / "one/tool"), program(tmp_path / "two/tool")
    monkeypatch.setenv("PATH", f"{tmp_path}/none:{tmp_path}/one:{tmp_path}/two")
    assert process.which("tool") == first
    monkeypatch.setenv("PATH", f"{tmp_path}/two:{tmp_path}/one")
    assert process.which("tool") == second
    assert process.which("other") is None


@pytest.mark.parametrize("path", ["", ".", "here", "./here", ":", "here:."])
def test_a_relative_folder_of_path_is_never_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """S9."""
    program(tmp_path / "here/tool")
    program(tmp_path / "tool")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    assert process.which("tool") is None


def test_what_cannot_be_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one/tool").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/tool").write_text("a text\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/one:{tmp_path}/two")
    assert process.which("tool") is None


def test_a_child_knows_only_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S32."""
    for name in (
        "GIT_DIR",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "AWS_SECRET_ACCESS_KEY",
        "PAGER",
        "LANG",
    ):
        monkeypatch.setenv(name, "/no/such")
    completed_process = process.run(
        ["/usr/bin/env"], str(tmp_path), process.child_environment(GIT_TERMINAL_PROMPT="0")
    )
    names = {line.split("=")[0] for line in completed_process.out.decode().splitlines()}
    assert names <= {
        "HOME",
        "PATH",
        "TMPDIR",
        "USER",
        "LOGNAME",
        "SSH_AUTH_SOCK",
        "XDG_CONFIG_HOME",
        "LC_ALL",
        "GIT_TERMINAL_PROMPT",
    }
    assert {"HOME", "PATH", "GIT_TERMINAL_PROMPT"} <= names


def test_a_run_ends_with_code_output_and_complaints(tmp_path: Path) -> None:
    script = "import os, sys; os.write(1, b'out\\0'); os.write(2, b'err'); sys.exit(3)"
    done = process.run([*PYTHON, script], str(tmp_path), process.child_environment())
    assert (done.code, done.out, done.err) == (3, b"out\0", b"err")


def test_a_child_has_no_input_and_no_terminal_of_ours(tmp_path: Path) -> None:
    """Git must not wait for a password; a Ctrl-C of the person goes to toolkit, which then ends
    it.
    """
    script = "import os, sys; print(sys.stdin.read() == '', os.getsid(0) == os.getpid())"
    assert (
        process.run([*PYTHON, script], str(tmp_path), process.child_environment()).out
        == b"True True\n"
    )
    assert b"".join(running(script, tmp_path)) == b"True True\n"


def test_output_comes_while_the_program_runs(tmp_path: Path) -> None:
    script = (
        "import os, time\nos.write(1, b'one')\nwhile not os.path.exists('seen'):"
        " time.sleep(0.01)\nos.write(1, b'two')"
    )
    chunks = iter(running(script, tmp_path))
    assert next(chunks) == b"one"
    (tmp_path / "seen").touch()
    assert b"".join(chunks) == b"two"


def test_much_output_with_many_complaints_does_not_stop_it(tmp_path: Path) -> None:
    """A full pipe would."""
    script = "import os\nfor _ in range(64): os.write(2, b'e' * 65536); os.write(1, b'o' * 65536)"
    streamed_program = running(script, tmp_path)
    assert sum(map(len, streamed_program)) == 64 * 65536
    assert streamed_program.code == 0
    assert streamed_program.err == b"e" * 65536


def test_much_input_that_nobody_reads_does_not_stop_it(tmp_path: Path) -> None:
    streamed_program = running("print('done')", tmp_path, b"x" * (1 << 22))
    assert b"".join(streamed_program) == b"done\n"
    assert streamed_program.code == 0


def test_input_and_output_larger_than_a_pipe_pass_through(tmp_path: Path) -> None:
    script = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    source = os.urandom(1 << 21)
    assert b"".join(running(script, tmp_path, source)) == source


def test_a_failure_is_known_when_the_output_ends(tmp_path: Path) -> None:
    streamed_program = running(
        "import os, sys; os.write(1, b'half'); os.write(2, b'why'); sys.exit(7)", tmp_path
    )
    assert b"".join(streamed_program) == b"half"
    assert (streamed_program.code, streamed_program.err) == (7, b"why")


def test_a_program_whose_output_is_no_longer_read_is_ended(tmp_path: Path) -> None:
    streamed_program = running(
        "import os, time; print(os.getpid(), flush=True); time.sleep(600)", tmp_path
    )
    chunks = iter(streamed_program)
    child = int(next(chunks))
    started = time.monotonic()
    chunks.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 30
    assert streamed_program.code == -9
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_nothing_is_left_open_when_it_has_ended(tmp_path: Path) -> None:
    def counts() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    before = counts()
    for _ in range(2):
        assert b"".join(running("print(1)", tmp_path)) == b"1\n"
        chunks = iter(running("import time; print(1, flush=True); time.sleep(600)", tmp_path))
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]
    assert counts() == before


def test_a_wordless_argument_stays_one_argument(tmp_path: Path) -> None:
    """No shell is between us and the program."""
    words = ["$(touch x)", "`touch x`", "; touch x", "a b", "", "*", "\n", "--", "-x", "é\udcff"]
    script = "import os, sys; os.write(1, b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    done = process.run([*PYTHON, script, *words], str(tmp_path), process.child_environment())
    assert done.out.split(b"\0") == [os.fsencode(word) for word in words]
    assert not list(tmp_path.iterdir())


def test_a_program_that_outlasts_our_patience_is_killed(tmp_path: Path) -> None:
    """Even if a child of its own keeps the output open."""
    started = time.monotonic()
    done = process.run(
        ["/bin/sh", "-c", "echo some; sleep 20 & sleep 20"],
        str(tmp_path),
        process.child_environment(),
        0.3,
    )
    assert (done.code, done.out) == (-9, b"some\n")
    assert time.monotonic() - started < 10


def test_a_program_that_cannot_be_started_is_a_failed_one(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "tool").chmod(0o755)
    assert (
        process.run([str(tmp_path / "tool")], str(tmp_path), process.child_environment()).code
        == 127
    )
    assert (
        process.run(["/bin/true"], str(tmp_path / "gone"), process.child_environment()).code == 127
    )


@pytest.mark.real_time
def test_the_last_words_of_a_program_that_ends_right_after_a_look_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select, looked = selectors.DefaultSelector.select, tmp_path / "looked"

    def late(self: selectors.DefaultSelector, timeout: float | None = None) -> list[object]:
        ready = select(self, timeout)
        if not ready and not looked.exists():
            looked.touch()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        return list(ready)

    monkeypatch.setattr(selectors.DefaultSelector, "select", late)
    script = "while [ ! -e looked ]; do sleep 0.01; done; sleep 9 & echo why; printf last; exit 3"
    child = LineProgram(["/bin/sh", "-c", script], str(tmp_path), process.child_environment())
    assert [line for line in child.lines() if line is not None] == [b"why", b"last"]
    assert child.code == 3
