"""--debug and TOOLKIT_DEBUG. A file of its own, since every command has the option and hardly any
call uses it: what writes the lines (cli/debug_log.py) is loaded when somebody wants them.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from toolkit.ports.debug import VARIABLE

Command = TypeVar("Command", bound=Callable[..., Any])


def debug_option(command: Command) -> Command:
    """--debug, as it may also stand before the command."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_to_stderr,
        help="Write each git call, AWS call and decision to stderr.",
    )(command)


def _to_stderr(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from toolkit.cli import debug_log

        debug_log.to_stderr()


def begin(args: list[str]) -> None:
    """Open the file that TOOLKIT_DEBUG names, if it names one."""
    path = os.environ.get(VARIABLE)
    if path:
        from toolkit.cli import debug_log

        debug_log.to_file(path, args)
