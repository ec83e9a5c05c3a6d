"""The exit codes mean the same in every help text and on every page."""

import re

import click
import pytest

from tests.support.run import ROOT
from toolkit.cli.main import cli
from toolkit.exits import EXIT_MEANINGS, Exit

SIGNALS = {Exit.HANGUP, Exit.INTERRUPTED, Exit.TERMINATED}


def helps(command: click.Command, path: tuple[str, ...] = ()) -> dict[str, str]:
    """Every command's words that say something about exit codes."""
    context = click.Context(command, info_name=" ".join(("toolkit", *path)))
    text = " ".join((command.epilog or "").split())
    result = (
        {" ".join(path) or "toolkit": text.partition("Exit codes: ")[2]}
        if "Exit codes: " in text
        else {}
    )
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            result |= helps(inner, (*path, name))
    return result


HELPS = helps(cli)


def test_the_first_help_has_them_all() -> None:
    assert all(f"{int(code)} {words}" in HELPS["toolkit"] for code, words in EXIT_MEANINGS.items())
    assert set(Exit) - set(EXIT_MEANINGS) == SIGNALS - {Exit.INTERRUPTED}


@pytest.mark.parametrize("name", ["toolkit", "deploy", "health"])
def test_every_help_says_of_7_that_aws_may_not_have_answered(name: str) -> None:
    assert f"7 {EXIT_MEANINGS[Exit.CREDENTIALS]}" in HELPS[name]


@pytest.mark.parametrize("name", HELPS)
def test_a_help_names_only_codes_that_there_are(name: str) -> None:
    codes = {int(code) for code in re.findall(r"(?:^|, |; )(\d+) ", HELPS[name])}
    assert codes <= set(Exit)
    assert int(Exit.CREDENTIALS) not in codes or EXIT_MEANINGS[Exit.CREDENTIALS] in HELPS[name]


@pytest.mark.parametrize("page", ["README.md", "docs/exit-codes.md", "docs/deploying.md"])
def test_a_page_has_a_row_for_every_code(page: str) -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|(.*)$", (ROOT / page).read_text(), re.MULTILINE)
    codes = {int(code): words for numbers, words in rows for code in numbers.split(", ")}
    missing = {Exit.BUG, Exit.PENDING} if page == "docs/deploying.md" else set()
    assert set(codes) == set(Exit) - missing
    assert "no answer from AWS" in codes[7]
    assert "credentials" in codes[7]
