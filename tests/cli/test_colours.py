"""When colours are printed, and where never."""

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, process
from toolkit.cli import output
from toolkit.show.style import Role, marked

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
VARIABLES = ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR")


@pytest.fixture(autouse=True)
def _no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output._Colours, "choice", output.ColourChoice.AUTO)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def due(repo: Repo) -> Repo:
    """A repository in which something is due."""
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    return repo


def screen(folder: Path, *args: str, **variables: str) -> str:
    """What a command writes to a terminal, until its question."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **variables}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", *args],
        cwd=str(folder),
        env=env,
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=20,
    )
    try:
        child.expect([r"What now\?", pexpect.EOF])
        return str(child.before)
    finally:
        child.close(force=True)


class _Stream:
    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("variables", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": ""}, False, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "1"}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
    ids=lambda case: " ".join(map("=".join, case.items())) if isinstance(case, dict) else None,
)
def test_the_variables_of_the_field_decide_where_no_option_does(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, pipe: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    has = [output.has_colours(_Stream(is_terminal)) for is_terminal in (True, False)]  # type: ignore[arg-type]
    assert has == [terminal, pipe]


def test_an_option_decides_against_every_variable(due: Repo) -> None:
    always = process(due.path, "diff", "--color", "always", "HEAD", NO_COLOR="1")
    assert "\x1b[33mdue\x1b[0m" in always.out
    before = process(due.path, "--color", "always", "diff", "HEAD", NO_COLOR="1")
    assert before.out == always.out
    for option in (("--color", "never"), ("--color=never",), ("--no-color",)):
        never = process(due.path, "diff", *option, "HEAD", FORCE_COLOR="1")
        assert never.out == COLOUR.sub("", always.out)


def test_a_pipe_gets_no_colours(due: Repo) -> None:
    result = process(due.path, "diff", "HEAD")
    assert "due" in result.out
    assert "\x1b" not in result.out + result.err


def test_json_has_no_colours_even_where_they_are_forced(due: Repo) -> None:
    assert process(due.path, "diff", "--json", "HEAD", FORCE_COLOR="1").out == (
        process(due.path, "diff", "--json", "HEAD").out
    )


def test_an_error_is_red_on_a_terminal_only(due: Repo) -> None:
    assert "\x1b[31merror:\x1b[0m" in screen(due.path, "diff", "no-such-commit")
    assert "\x1b" not in process(due.path, "diff", "no-such-commit").err


def test_a_terminal_shows_what_is_due_in_yellow_as_wide_as_without(due: Repo) -> None:
    coloured = screen(due.path, "diff", "HEAD")
    assert "\x1b[33mdue\x1b[0m" in coloured
    plain = screen(due.path, "diff", "HEAD", NO_COLOR="1")
    assert "\x1b[33m" not in plain
    table = [text for text in plain.splitlines() if text.startswith(("target", "---", "fargate"))]
    assert [text for text in COLOUR.sub("", coloured).splitlines() if text in table] == table


def test_text_that_forges_a_mark_or_an_escape_reaches_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    hostile = "\x01x\x02 \x1b[31m \x01g\x1b]52;c;AAAA\x07\x02 \x01g torn"
    shown = output.rendered(f"{hostile} {marked('ok', Role.GOOD)}", sys.stdout)
    assert COLOUR.sub("", shown).isprintable()
    assert shown.endswith("\x1b[32mok\x1b[0m")
