"""The option for the environment of a command that acts in one; little else is loaded for it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from toolkit.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def _only_one(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> str | None:
    """The environment of a command that acts in one. The last of several would hide the others."""
    if len(set(names)) > 1:
        raise UsageError(f"`{ctx.info_name}` acts in one environment", "give only one --env")
    return names[0] if names else None


def environment_option(help: str) -> Callable[[Command], Command]:
    """The option for the one environment of a command."""
    return click.option("-e", "--env", multiple=True, callback=_only_one, metavar="NAME", help=help)
