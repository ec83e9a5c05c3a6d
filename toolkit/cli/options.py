"""The options that several commands share, and the request that they make."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from toolkit.errors import GitError, NotARepository, UsageError
from toolkit.model import Rules
from toolkit.ports.git import Git

Command = TypeVar("Command", bound=Callable[..., Any])


def common(command: Command) -> Command:
    """-C and --rules, as they may also stand before the command."""
    command = click.option("-C", "folder", metavar="DIR", help="Work as if started in DIR.")(
        command
    )
    return click.option(
        "--rules", metavar="FILE", help="Use this rules.toml instead of looking for one."
    )(command)


environment = click.option("-e", "--env", metavar="NAME", help="The environment that is meant.")
profile = click.option(
    "--profile", metavar="NAME", help="The AWS profile, instead of the environment's."
)
region = click.option(
    "--region", metavar="NAME", help="Only this one of the environment's regions."
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Only the answer itself.")
verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Say more: reasons, and who changed what."
)
no_color = click.option(
    "--no-color",
    is_flag=True,
    expose_value=False,
    callback=lambda *given: _no_color(given[2]),
    help="No colours (or set NO_COLOR).",
)


allowed = click.option(
    "--allow-untrusted-rules",
    "allowed",
    is_flag=True,
    help="Let this rules.toml decide where it differs from the trusted base.",
)


def _no_color(wanted: bool) -> None:
    if wanted:
        os.environ["NO_COLOR"] = "1"


def inherited(ctx: click.Context, name: str, given: str | None) -> str | None:
    """An option's value, or that of the same option before the command."""
    return given if given is not None else (ctx.find_root().obj or {}).get(name)


def known_environment(ctx: click.Context, rules: Rules) -> str | None:
    """The environment that was named, also before a command that needs none. Raises UsageError
    where rules.toml has none of that name.
    """
    from toolkit.flow.rulebook import environment

    named = inherited(ctx, "env", ctx.params.get("env"))
    return None if named is None else environment(named, rules)


def enter(ctx: click.Context, folder: str | None) -> str:
    """Go to the folder of -C. The folder that the command works in."""
    wanted = inherited(ctx, "folder", folder)
    if wanted is not None:
        try:
            os.chdir(wanted)
        except OSError as error:
            raise UsageError(
                f"cannot work in {wanted!r}: {error.strerror}", "name a folder with -C DIR"
            ) from None
    try:
        return os.getcwd()
    except OSError:
        raise UsageError("the working directory is gone", "go to another one: cd ~") from None


def repository(folder: str, bare: bool = False) -> Git | None:
    """The repository around a folder, None if there is none."""
    try:
        return Git.open(folder, bare)
    except NotARepository:
        return None


def location(folder: str) -> Git | None:
    """The repository around a folder where only its root matters; None if there is none that can be
    used.
    """
    try:
        return Git.open(folder, bare=True)
    except GitError:
        return None


def time(option: str, text: str) -> float:
    """A time of the command line in seconds. Raises UsageError."""
    from toolkit.impact.reading import seconds

    found = seconds(text)
    if not found:
        raise UsageError(f"{option} {text!r} is no time", "write it as 20s, 5m or 1h30m")
    return float(found)
