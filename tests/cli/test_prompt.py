"""The question at the end of `diff`, on a real pseudo-terminal."""

import os
import sys
from collections.abc import Iterator

import pexpect
import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, process

DOWN = "\x1b[B"


@pytest.fixture
def terminal(repo: Repo) -> "Iterator[pexpect.spawn[str]]":
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable, ["-m", "toolkit", "diff", "HEAD"], cwd=str(repo.path), env=env, dimensions=(24, 80), encoding="utf-8", timeout=20
    )
    child.expect_exact("What now?")
    child.expect_exact("nothing")
    yield child
    child.close(force=True)


def code(child: "pexpect.spawn[str]") -> int:
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None
    return child.exitstatus


def test_enter_runs_the_recommended_command(terminal: "pexpect.spawn[str]") -> None:
    terminal.send("\r")
    terminal.expect_exact("\x1b[?25h$ toolkit deploy-stack fargate\r\n")
    terminal.expect_exact("no AWS region is set")  # what the command itself says, for there is no account here
    assert code(terminal) == 7


def test_the_wider_choices_come_next_with_their_estimates(terminal: "pexpect.spawn[str]") -> None:
    terminal.send(DOWN)
    terminal.expect(r"» .*toolkit deploy infra +about 9m")
    terminal.send(DOWN)
    terminal.expect(r"» .*toolkit deploy --all +about 11m30s")
    terminal.send("\r")
    terminal.expect_exact("\x1b[?25h$ toolkit deploy --all\r\n")
    assert code(terminal) == 7


def test_why_shows_the_reasons_and_asks_again(terminal: "pexpect.spawn[str]") -> None:
    terminal.send(DOWN * 3 + "\r")
    terminal.expect_exact("because cdk/stacks/fargate_stack.py matches")
    terminal.expect_exact("What now?")
    terminal.expect_exact("nothing")
    terminal.send("\x03")
    assert code(terminal) == 130


def test_copy_hands_the_command_to_the_clipboard(terminal: "pexpect.spawn[str]") -> None:
    terminal.send(DOWN * 4 + "\r")
    terminal.expect_exact("\x1b]52;c;dG9vbGtpdCBkZXBsb3ktc3RhY2sgZmFyZ2F0ZQ==\x07toolkit deploy-stack fargate\r\n")
    assert code(terminal) == 0


def test_nothing_does_nothing(terminal: "pexpect.spawn[str]") -> None:
    terminal.send(DOWN * 5 + "\r")
    assert code(terminal) == 0


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_leaving_the_question_exits_with_130(terminal: "pexpect.spawn[str]", key: str) -> None:
    terminal.send(key)
    terminal.expect_exact("stopped; nothing was changed")
    assert code(terminal) == 130


@pytest.mark.parametrize("given", [b"", b"\n", b"y\n" * 100], ids=["closed", "newline", "yes"])
def test_a_pipe_is_never_asked(repo: Repo, given: bytes) -> None:
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    result = process(repo.path, "diff", "HEAD", given=given)
    assert result.code == 0
    assert "What now?" not in result.out + result.err


def test_colours_can_be_switched_off(repo: Repo) -> None:
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    child = pexpect.spawn(
        sys.executable, ["-m", "toolkit", "diff", "--no-color", "HEAD"], cwd=str(repo.path), env=env, encoding="utf-8", timeout=20
    )
    child.expect_exact("What now?")
    child.expect_exact("nothing")
    child.send("\r")
    child.expect(pexpect.EOF)
    assert "\x1b[38;" not in str(child.before)
    assert ";5;" not in str(child.before)
    child.close()
