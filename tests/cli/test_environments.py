"""An environment that rules.toml does not know is refused by every command, and never means another
one.
"""

import shlex

import click
import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit
from toolkit.cli.main import cli
from toolkit.flow.rulebook import read_rules

ENVIRONMENTS = """
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
[environments.prod]
account = "222222222222"
regions = ["eu-west-1"]
"""
WITH = RULES.replace("version = 1\n", 'version = 1\nenvironment = "dev"\n') + ENVIRONMENTS

NONE = {
    "init",
    "completion",
    "sandbox up",
    "sandbox down",
    "sandbox example",
    "sandbox status",
    "sandbox reset",
    "rules schema",
    "rules import",
}
"""Those that read no rules.toml, or go by what they are told."""

BESIDES = {
    "lock release": ("--id", "x"),
    "deploy-stack": ("api",),
    "deploy-function": ("mail",),
    "deploy-site": ("www",),
    "run-task": ("app", "--", "env"),
    "explain": ("--plan",),
    "rules observe": ("true",),
}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command with what it needs besides."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        names = command.list_commands(context)
        return [
            line
            for name in names
            if (inner := command.get_command(context, name))
            for line in commands(inner, (*path, name))
        ]
    if " ".join(path) in NONE:
        return []
    needed = [
        "HEAD" if param.name == "commit" else "app"
        for param in command.params
        if isinstance(param, click.Argument) and param.required
    ]
    return [(*path, *needed, *BESIDES.get(" ".join(path), ()))]


@pytest.mark.parametrize("line", commands(cli), ids=" ".join)
def test_an_unknown_environment_is_refused_with_the_nearest_name(
    repo: Repo, toolkit: Toolkit, line: tuple[str, ...]
) -> None:
    repo.commit("environments", {"rules.toml": WITH})
    actual = toolkit(repo.path, "-e", "prd", *line)
    assert (actual.code, actual.out) == (2, "")
    assert actual.err.splitlines()[:2] == [
        "error: rules.toml has no environment 'prd'",
        "hint: did you mean 'prod'? it has dev, prod",
    ]


def test_an_environment_that_is_like_none_lists_those_that_there_are(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.commit("environments", {"rules.toml": WITH})
    assert "hint: it has dev, prod\n" in toolkit(repo.path, "history", "-e", "x").err


CHANGING = [
    ("deploy", "app", "--yes"),
    ("deploy-app", "app", "--yes"),
    ("rollback", "app", "--yes"),
    ("rollback", "app", "--list"),
    ("record", "set", "app", "HEAD", "--yes"),
]


@pytest.mark.parametrize("line", CHANGING, ids=" ".join)
def test_nothing_is_changed_in_an_environment_that_nobody_has_chosen(
    repo: Repo, toolkit: Toolkit, line: tuple[str, ...]
) -> None:
    repo.write({"rules.toml": RULES + ENVIRONMENTS})
    refused = toolkit(repo.path, *line)
    assert (refused.code, "choose one with -e: dev, prod" in refused.err) == (2, True), refused.err


@pytest.mark.parametrize("line", CHANGING, ids=" ".join)
def test_a_single_environment_is_the_one_that_is_changed(
    repo: Repo, toolkit: Toolkit, line: tuple[str, ...]
) -> None:
    only = ENVIRONMENTS.partition("[environments.prod]")[0] + "protected = true\n"
    repo.commit(files={"rules.toml": RULES + only})
    refused = toolkit(repo.path, *line)
    assert "choose one with -e" not in refused.err
    assert read_rules((RULES + only).encode(), "rules.toml").environment == "dev"


def test_of_several_environments_none_is_the_default() -> None:
    assert read_rules((RULES + ENVIRONMENTS).encode(), "rules.toml").environment is None


PROTECTED = ENVIRONMENTS + "protected = true\n"


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (("deploy", "app"), ["--yes", "--confirm", "prod"]),
        (("deploy-app", "app", "--yes"), ["--confirm", "prod"]),
        (("deploy", "--confirm", "prod", "--", "app"), ["--yes"]),
        (("rollback", "app"), ["--yes", "--confirm", "prod"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_one_error_names_every_consent_that_is_missing_with_a_command_that_has_them(
    repo: Repo, toolkit: Toolkit, line: tuple[str, ...], missing: list[str]
) -> None:
    repo.commit(files={"rules.toml": RULES + PROTECTED})
    refused = toolkit(repo.path, "-e", "prod", *line)
    assert refused.code == 2
    assert f"hint: add {' '.join(missing)}:\n" in refused.err
    words = shlex.split(refused.err.splitlines()[-1])
    assert sorted(words) == sorted(["toolkit", "-e", "prod", *line, *missing])
    pasted = toolkit(repo.path, *words[1:])
    assert "confirmation needed" not in pasted.err
    assert "is protected" not in pasted.err
    dry = toolkit(repo.path, "-e", "prod", *line, "--dry-run")
    assert "hint: add" not in dry.err


def test_rules_that_nobody_has_confirmed_are_named_in_the_same_error(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.commit(files={"rules.toml": RULES})
    repo.write({"rules.toml": RULES + PROTECTED})
    refused = toolkit(repo.path, "-e", "prod", "deploy", "app")
    assert refused.code == 2
    flags = "--yes --confirm prod --allow-untrusted-rules"
    assert f"hint: commit it first, or add {flags}:\n" in refused.err
    assert refused.err.splitlines()[-1] == f"  toolkit -e prod deploy app {flags}"
    assert "is not what HEAD says" in refused.err


def test_before_a_record_is_set_in_a_protected_environment_what_is_recorded_is_said(
    repo: Repo, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.cli.account.sign_in_for", lambda *given, **more: None)
    repo.commit(files={"rules.toml": RULES + PROTECTED})
    refused = toolkit(repo.path, "record", "set", "app", "HEAD", "-e", "prod")
    assert (refused.code, "environment prod is protected" in refused.err) == (2, True)
    assert f"Record app as live at {repo.head[:12]} in prod (222222222222).\n" in refused.err
