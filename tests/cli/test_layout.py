"""What people read fits into 80 columns, except for commands, which are pasted whole."""

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit
from toolkit.advice import NextCommand
from toolkit.cli import output
from toolkit.cli.main import cli

WIDTH = 80


def every(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and group."""
    paths = [path]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            paths += every(inner, (*path, name))
    return paths


@pytest.mark.parametrize("path", every(cli), ids=lambda path: " ".join(path) or "toolkit")
def test_help_fits_into_80_columns(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*path, "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    assert [text for text in shown.output.splitlines() if len(text) > WIDTH] == []


def test_the_choices_of_a_missing_argument_are_in_its_line(
    toolkit: Toolkit, tmp_path: Path
) -> None:
    wrong = toolkit(tmp_path, "completion")
    assert wrong.err.splitlines()[0].endswith("Choose from: bash, zsh, fish")


def test_a_table_of_diff_fits_also_where_every_command_repeats_a_long_path(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    folder = tmp_path / ("a-long-name" * 5)
    folder.mkdir()
    (folder / "rules.toml").write_text(RULES)
    repo.write({"cdk/stacks/fargate_stack.py": "new\n"})
    diff = toolkit(repo.path, "diff", "HEAD", "--rules", str(folder / "rules.toml"))
    long = [text for text in diff.out.splitlines() if len(text) > WIDTH]
    assert long == [f"  toolkit deploy-stack fargate --rules {folder / 'rules.toml'}"]
    assert "deploy-stack fargate" in diff.out.partition("Recommended")[0]


def test_notes_are_wrapped_and_commands_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    command = NextCommand("show", ("x" * 100,))
    output.note_advice(("so it is " * 20, command), before="note: ")
    output.note(f"warning: {'so it is ' * 20}")
    output.note(f"error: {'so it is ' * 20}")
    first, second, third, shown, *rest = capsys.readouterr().err.splitlines()
    assert max(map(len, (first, second, third, *rest[:-1]))) <= WIDTH
    assert (first[:6], second[:2], shown) == ("note: ", "  ", f"  toolkit show {'x' * 100}")
    assert rest[-1] == f"error: {'so it is ' * 20}"


def test_on_a_terminal_errors_and_hints_break_between_words_and_commands_do_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    output.note(f"error: {'so it is ' * 20}")
    output.note_advice(("so it is " * 20, NextCommand("show", ("x" * 100,))))
    shown = capsys.readouterr().err.splitlines()
    assert f"  toolkit show {'x' * 100}" in shown
    words = [text for text in shown if "show" not in text]
    assert max(map(len, words)) <= WIDTH
    assert words[0].startswith("error: so it is")
    assert len(words) > 4
