"""The question at the end of `diff`, on a real pseudo-terminal."""

import os
import sys
from collections.abc import Iterator

import pexpect
import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import ROOT, Toolkit, process
from toolkit import flow
from toolkit.cli.prompt import choices
from toolkit.ports.git import Git
from toolkit.show.advice import commands_line

pytestmark = pytest.mark.slow("terminals", keep=8, of="file")

DOWN = "\x1b[B"


@pytest.fixture
def terminal(repo: Repo) -> "Iterator[pexpect.spawn[str]]":
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "diff", "HEAD"],
        cwd=str(repo.path),
        env=env,
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=20,
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
    terminal.expect_exact(
        "no AWS region is set"
    )  # what the command itself says, for there is no account here
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
    terminal.send(DOWN * 4 + "\r")
    terminal.expect_exact("because cdk/stacks/fargate_stack.py matches")
    terminal.expect_exact("What now?")
    terminal.expect_exact("nothing")
    terminal.send("\x03")
    assert code(terminal) == 130


def test_copy_hands_the_command_to_the_clipboard(terminal: "pexpect.spawn[str]") -> None:
    terminal.send(DOWN * 5 + "\r")
    terminal.expect_exact("\x1b]52;c;dG9vbGtpdCBkZXBsb3ktc3RhY2sgZmFyZ2F0ZQ==\x07")
    terminal.expect_exact("copy it from here:\r\ntoolkit deploy-stack fargate\r\n")
    assert code(terminal) == 0


def test_nothing_does_nothing(terminal: "pexpect.spawn[str]") -> None:
    terminal.send(DOWN * 6 + "\r")
    assert code(terminal) == 0


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_leaving_the_question_exits_with_130(terminal: "pexpect.spawn[str]", key: str) -> None:
    terminal.send(key)
    terminal.expect_exact("stopped")
    assert code(terminal) == 130


@pytest.mark.parametrize(("preset", "answer"), [("'2'", "2"), ("None", "1"), ("'9'", "1")])
def test_enter_alone_chooses_what_is_preset(preset: str, answer: str) -> None:
    code_line = (
        f"from toolkit.cli.prompt import pick; print('chose', pick('Which?', LABELS, {preset}))"
    )
    child = pexpect.spawn(
        sys.executable,
        ["-c", code_line.replace("LABELS", "[('first', '1'), ('second', '2')]")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        encoding="utf-8",
        timeout=20,
    )
    child.expect_exact("second")
    child.send("\r")
    child.expect_exact(f"chose {answer}")
    assert code(child) == 0


@pytest.mark.parametrize("data", [b"", b"\n", b"y\n" * 100], ids=["closed", "newline", "yes"])
def test_a_pipe_is_never_asked(repo: Repo, data: bytes) -> None:
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    result = process(repo.path, "diff", "HEAD", given=data)
    assert result.code == 0
    assert "What now?" not in result.out + result.err


def test_colours_can_be_switched_off(repo: Repo) -> None:
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "diff", "--no-color", "HEAD"],
        cwd=str(repo.path),
        env=env,
        encoding="utf-8",
        timeout=20,
    )
    child.expect_exact("What now?")
    child.expect_exact("nothing")
    child.send("\r")
    child.expect(pexpect.EOF)
    assert "\x1b[38;" not in str(child.before)
    assert ";5;" not in str(child.before)
    child.close()


BY_HAND = """
[targets.web]
kind = "manual"
instructions = "call Ada"
{needs}

[[rules]]
name = "Web"
paths = ["web/**"]
deploy = ["web"]
"""


def offered(repo: Repo, monkeypatch: pytest.MonkeyPatch, *paths: str, needs: str = "") -> list[str]:
    """The commands that are offered after these changes, where one target is a person's, too."""
    repo.commit("rules", {"rules.toml": RULES + BY_HAND.format(needs=needs)})
    repo.write(dict.fromkeys(paths, "new\n"))
    monkeypatch.chdir(repo.path)
    answer = flow.diff(
        flow.DiffRequest(folder=str(repo.path), base="HEAD"), Git.open(str(repo.path))
    )
    return [commands_line(value) for _, value in choices(answer) if not isinstance(value, str)]


def test_what_cannot_be_deployed_is_not_offered(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(repo, monkeypatch, "web/index.html", "lambda/a.py") == [
        "toolkit deploy-stack api",
        "toolkit deploy --all",
    ]


def test_nothing_wider_is_offered_where_only_a_person_can_do_what_is_due(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(repo, monkeypatch, "web/index.html") == []


def test_what_deploys_the_same_is_offered_once(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ("web/index.html", "cdk/app.py", "backend/src/app.py")
    assert offered(repo, monkeypatch, *everything) == ["toolkit deploy infra app"]


def test_a_wider_command_leaves_out_what_the_others_wait_for_and_only_a_person_can_do(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, toolkit: Toolkit
) -> None:
    waiting = (
        '[targets.last]\nkind = "stack"\nstack = "Last"\ntemplate = "last.yaml"\nneeds = ["web"]'
    )
    commands = offered(repo, monkeypatch, "lambda/a.py", needs=waiting)
    assert commands[-1] == "toolkit deploy --all --without web"
    notes = toolkit(repo.path, "deploy", "--all", "--yes")
    assert (notes.code, "last waits for web" in notes.err) == (2, True)
    assert "waits for" not in toolkit(repo.path, *commands[-1].split()[1:], "--yes").err
