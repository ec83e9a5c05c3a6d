"""The options that several commands share."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from msgspec import Struct

from toolkit.advice import ShellCommand
from toolkit.cli import debugging
from toolkit.cli.global_options import color as color
from toolkit.cli.global_options import environment_option
from toolkit.errors import GitError, NotARepository, UsageError
from toolkit.model import ProjectRequest, Rules
from toolkit.ports.git import Git

Command = TypeVar("Command", bound=Callable[..., Any])


def common(command: Command) -> Command:
    """-C, --rules and --debug, as they may also stand before the command."""
    command = debugging.debug_option(command)
    command = click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")(command)
    return click.option(
        "--rules", metavar="FILE", help="Use FILE instead of searching for rules.toml."
    )(command)


environment = environment_option("The environment to use.")
environments = click.option(
    "-e",
    "--env",
    multiple=True,
    metavar="NAME",
    help="The environment to use; several are deployed in one run.",
)
profile = click.option(
    "--profile", metavar="NAME", help="The AWS profile to use, instead of the environment's."
)
region = click.option("--region", metavar="NAME", help="Only this region of the environment.")
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Print only the result.")
verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Print more details, such as reasons and who changed what.",
)


allowed = click.option(
    "--allow-untrusted-rules",
    "allowed",
    is_flag=True,
    help="Let this rules.toml decide where it differs from the trusted base.",
)


def inherited(ctx: click.Context, name: str, value: str | None) -> str | None:
    """An option's value, or that of the same option before the command."""
    if value is not None:
        return value
    before_command: dict[str, str | None] = ctx.find_root().obj or {}
    return before_command.get(name)


def inherited_environments(
    ctx: click.Context, values: tuple[str, ...] | str | None
) -> tuple[str, ...]:
    """The environments of a command, or the one before it."""
    if isinstance(values, tuple) and values:
        return values
    name = inherited(ctx, "env", values or None)  # type: ignore[arg-type] # empty, or a name
    return () if name is None else (name,)


class CommonArguments(Struct, frozen=True, kw_only=True):
    """The options that most commands share, as click gives them."""

    folder: str | None
    rules: str | None
    env: str | None
    profile: str | None
    region: str | None
    allowed: bool
    as_json: bool
    quiet: bool
    verbose: bool


def project_fields(ctx: click.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Enter the folder of -C, and read the options that say which project, environment and place a
    command is about: the fields of a ProjectRequest.
    """
    return {
        "folder": enter(ctx, values["folder"]),
        "rules": inherited(ctx, "rules", values["rules"]),
        "environment": inherited(ctx, "env", values["env"]),
        "profile": values.get("profile"),
        "region": values.get("region"),
        "allowed": values["allowed"],
    }


def project(ctx: click.Context, values: Mapping[str, Any]) -> ProjectRequest:
    """The project, environment and place that a command is about."""
    return ProjectRequest(**project_fields(ctx, values))


def known_environment(ctx: click.Context, rules: Rules) -> str | None:
    """The environment that was named, also before a command that needs none. Raises UsageError
    where rules.toml has none of that name.
    """
    from toolkit.flow.rulebook import environment_name

    name = inherited(ctx, "env", ctx.params.get("env"))
    return None if name is None else environment_name(name, rules)


def enter(ctx: click.Context, folder: str | None) -> str:
    """Go to the folder of -C. The folder that the command works in."""
    folder = inherited(ctx, "folder", folder)
    if folder is not None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise UsageError(
                f"cannot run in {folder!r}: {error.strerror}", "choose a folder with -C DIR"
            ) from None
    try:
        return os.getcwd()
    except OSError:
        raise UsageError(
            "the working directory is gone", ("change to another folder:", ShellCommand("cd ~"))
        ) from None


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
    from toolkit.formats.durations import seconds

    time_s = seconds(text)
    if not time_s:
        raise UsageError(f"invalid {option} {text!r}", "use 20s, 5m or 1h30m")
    return float(time_s)
