"""The options of `deploy`, `deploy-app`, `deploy-stack`, `rollback` and `resume`, apart from what
they do: the help of the first three loads nothing of it.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import click
from msgspec import Struct

from toolkit.cli import options
from toolkit.errors import UsageError
from toolkit.formats.durations import seconds

Command = TypeVar("Command", bound=Callable[..., Any])

PARALLEL = 8


class Detail(StrEnum):
    """How much of a run is told while it goes on."""

    LEAST = "least"
    """Only what has to be seen: how a step ended, the answer says."""
    PHASES = "phases"
    """What each step does; the whole log of one that has failed."""
    LOGS = "logs"
    """The log of each step, whole, once it has ended."""
    STREAM = "stream"
    """Each line of a log as it comes."""


class DeployOptions(Struct, frozen=True):
    """The options of every command that changes something."""

    folder: str
    rules: str | None
    environments: tuple[str, ...]
    profile: str | None
    region: str | None
    as_json: bool
    yes: bool
    confirm: tuple[str, ...]
    dry_run: bool
    quiet: bool
    verbose: bool
    parallel: int
    fail_fast: bool
    lock_timeout: int
    no_checks: bool
    allow_backwards: bool
    allowed: bool
    no_hooks: bool = False
    only_build: bool = False
    skip_build: bool = False
    stream: bool = False
    message: str | None = None
    """Why, in the person's words, in one line; None where nobody said."""

    @property
    def detail(self) -> Detail:
        """How much of a run is told while it goes on."""
        if self.quiet:
            return Detail.LEAST
        if self.stream:
            return Detail.STREAM
        return Detail.LOGS if self.verbose else Detail.PHASES


def message_option(command: Command) -> Command:
    """Add the option that says why."""
    return click.option(
        "-m", "--message", metavar="TEXT", help="Why: kept with the run, and shown by history."
    )(command)


def add(command: Command) -> Command:
    """Add the options that `common_options` reads, for a command that deploys, in one environment
    or in several.
    """
    for option in (
        click.option(
            "--no-hooks",
            is_flag=True,
            help="Do not run the `hooks` of rules.toml before the deploy.",
        ),
        click.option("--skip-build", is_flag=True, help="Deploy only what has been built already."),
        click.option(
            "--only-build", is_flag=True, help="Build what is missing, and deploy nothing."
        ),
    ):
        command = option(command)
    return add_with(options.environments)(message_option(command))


def add_with(environment: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Returns a decorator that adds the options that `common_options` reads, with this one for the
    environment.
    """

    def with_options(command: Command) -> Command:
        return _with_run_options(command, environment)

    return with_options


def _with_run_options(command: Command, environment: Callable[[Command], Command]) -> Command:
    for option in reversed(
        (
            options.common,
            environment,
            options.profile,
            options.region,
            click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation."),
            click.option(
                "--confirm",
                multiple=True,
                metavar="NAME",
                help="Confirm a protected environment by its name, instead of typing it at the "
                "prompt.",
            ),
            click.option(
                "--dry-run",
                "--test",
                is_flag=True,
                help="Print every call that would change something, without making it.",
            ),
            click.option(
                "--parallel",
                type=click.IntRange(1, 64),
                default=PARALLEL,
                show_default=True,
                help="How many steps run at the same time.",
            ),
            click.option(
                "--fail-fast", is_flag=True, help="Start no further steps after a failure."
            ),
            click.option(
                "--allow-backwards",
                is_flag=True,
                help="Deploy even if this removes commits that are live.",
            ),
            click.option(
                "--no-checks",
                is_flag=True,
                help="Skip health addresses and checks after the deploy.",
            ),
            options.allowed,
            click.option(
                "--lock-timeout",
                metavar="TIME",
                default="0s",
                help="How long to wait for another run's lock, such as 15m.",
            ),
            options.as_json,
            options.quiet,
            options.verbose,
            click.option(
                "--stream", is_flag=True, help="Print the lines of the steps' logs as they come."
            ),
            options.color,
        )
    ):
        command = option(command)
    return command


def common_options(ctx: click.Context, arguments: dict[str, Any]) -> DeployOptions:
    """The common options, taken out of a command's arguments."""
    folder = options.enter(ctx, arguments.pop("folder"))
    time = arguments.pop("lock_timeout")
    timeout = 0 if time == "0" else seconds(time)
    if timeout is None:
        raise UsageError(f"invalid --lock-timeout {time!r}", "use 90s, 15m or 1h30m")
    fields: dict[str, Any] = {
        "folder": folder,
        "lock_timeout": timeout,
        "rules": options.inherited(ctx, "rules", arguments.pop("rules")),
        "environments": options.inherited_environments(ctx, arguments.pop("env")),
    }
    message = arguments.pop("message", None)
    if message is not None:
        fields["message"] = _one_line(message)
    for name in DeployOptions.__struct_fields__:
        if name not in fields and name != "message":
            fields[name] = arguments.pop(name, False)
    if fields["only_build"] and fields["skip_build"]:
        raise UsageError("--only-build and --skip-build cannot be combined", "leave one out")
    if fields["stream"] and fields["quiet"]:
        raise UsageError("--stream and --quiet cannot be combined", "leave one out")
    return DeployOptions(**fields)


def _one_line(message: str) -> str:
    """A message in one line: those of commits have several. Raises UsageError for one that is
    empty, too long, or has characters that no text has.
    """
    from toolkit.record.history import MESSAGE_MOST  # help loads nothing of it

    words = " ".join(message.split())
    if not words:
        raise UsageError("invalid --message: it is empty", "say why, or leave it out")
    if len(words) > MESSAGE_MOST:
        problem = f"invalid --message: it has {len(words):,} characters"
        raise UsageError(problem, f"say it in {MESSAGE_MOST:,}")
    if not words.isprintable():
        problem = "invalid --message: it has control characters, or is not UTF-8"
        raise UsageError(problem, "use plain text")
    return words
