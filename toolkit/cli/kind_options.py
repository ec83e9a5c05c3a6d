"""The options that the kinds add to a command: nobody lists them here."""

from typing import Any

import click

from toolkit.cli.main import NonEmptyText
from toolkit.targets.base import KindOptions
from toolkit.targets.options import Option, options_of, typed

FIRST_COMMON = "rules"
"""The first of the options that all commands share: those of the kinds stand before it."""


class KindCommand(click.Command):
    """A command that takes the options of kinds besides its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its parameters. The kinds are only loaded for a command that takes their options."""
        params = super().get_params(ctx)
        reserved = {name for param in params for name in (param.name, *param.opts) if name}
        index = [param.name for param in params].index(FIRST_COMMON)
        kinds = [_parameter(option) for option in options_of(str(self.name), reserved)]
        return [*params[:index], *kinds, *params[index:]]


def take(ctx: click.Context, arguments: dict[str, Any]) -> dict[str, KindOptions]:
    """What the arguments say for each kind. Raises UsageError."""
    return typed(str(ctx.command.name), arguments)


def _parameter(option: Option) -> click.Option:
    if option.value is bool:
        return click.Option([option.flag], is_flag=True, help=option.help)
    value: Any = NonEmptyText() if option.value is str else option.value
    if option.choices:
        value = click.Choice(option.choices)
    return click.Option([option.flag], type=value, metavar=option.metavar, help=option.help)
