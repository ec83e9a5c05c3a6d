"""An empty text is a variable that is not set: every option and argument refuses it by name, and
none leaves it out silently.
"""

from collections.abc import Iterator

import click
import pytest

from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit.cli.main import cli


def texts(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Parameter]]:
    """Every option and argument of every command that takes a text, with a command line that has it
    empty.
    """
    parameters = command.get_params(click.Context(command))
    arguments = [parameter for parameter in parameters if isinstance(parameter, click.Argument)]
    for parameter in parameters:
        if parameter.type.name == "text" and isinstance(parameter, click.Option):
            yield (*path, parameter.opts[-1], "", *(() if path else ("diff",))), parameter
        elif parameter.type.name == "text":
            yield (
                (
                    *path,
                    *("" if argument is parameter else "x" for argument in arguments),
                ),
                parameter,
            )
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from texts(inner, (*path, name))


TEXTS = list(texts(cli))
NAMED = [" ".join((*line, parameter.opts[-1])) for line, parameter in TEXTS]


def test_every_kind_of_text_is_tried() -> None:
    lines = [" ".join(line).strip() for line, _ in TEXTS]
    for line in (
        "--env  diff",
        "-C  diff",
        "diff",
        "diff --out",
        "deploy --profile",
        "deploy-app",
        "deploy-app --image",
        "deploy --builder",
        "record set x",
        "record set  x",
        "lock release",
        "sandbox up --rules",
        "health --timeout",
        "logs x",
    ):
        assert line in lines, line


@pytest.mark.parametrize(("line", "parameter"), TEXTS, ids=NAMED)
def test_an_empty_text_is_refused_by_name(
    repo: Repo, toolkit: Toolkit, line: tuple[str, ...], parameter: click.Parameter
) -> None:
    actual = toolkit(repo.path, *line)
    assert (actual.code, actual.out) == (2, "")
    first = actual.err.splitlines()[0].lower()
    assert "it is empty" in first
    name = (
        parameter.opts[-1]
        if isinstance(parameter, click.Option)
        else parameter.human_readable_name.rstrip("s.")
    )
    assert name.lower() in first


@pytest.mark.parametrize("name", ["--profile", "--region", "--image"])
def test_an_empty_text_behind_an_equals_sign_is_refused_too(
    repo: Repo, toolkit: Toolkit, name: str
) -> None:
    actual = toolkit(repo.path, "deploy-app", "app", f"{name}=", "--json")
    assert (actual.code, actual.json["error"]["code"]) == (2, "usage")
    assert name in actual.json["error"]["message"]
