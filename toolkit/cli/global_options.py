"""The options that may also stand before the command. Every command loads them, so they load little
themselves.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from toolkit.cli import output

Command = TypeVar("Command", bound=Callable[..., Any])


def _only_one(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> str | None:
    """The environment of a command that acts in one. The last of several would hide the others."""
    if len(set(names)) > 1:
        from toolkit.errors import UsageError

        raise UsageError(f"`{ctx.info_name}` acts in one environment", "give only one --env")
    return names[0] if names else None


def environment_option(help: str) -> Callable[[Command], Command]:
    """The option for the one environment of a command."""
    return click.option("-e", "--env", multiple=True, callback=_only_one, metavar="NAME", help=help)


def color(command: Command) -> Command:
    """--color and --no-color."""
    command = click.option(
        "--no-color",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=lambda ctx, param, value: _choose_colours("never" if value else None),
        help="The same as --color never.",
    )(command)
    return click.option(
        "--color",
        type=click.Choice(tuple(map(str, output.ColourChoice))),
        expose_value=False,
        is_eager=True,
        callback=lambda ctx, param, value: _choose_colours(value),
        help="When to print colours; auto: on a terminal, unless NO_COLOR is set.",
    )(command)


def _choose_colours(choice: str | None) -> None:
    if choice is not None:
        output.choose_colours(output.ColourChoice(choice))
