"""The command line: the commands by name, loaded when they are used, and the one place where errors
become exit codes.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import click

from toolkit import __version__
from toolkit.cli import debugging, output
from toolkit.cli.global_options import color, environment_option
from toolkit.exits import Exit, exit_codes
from toolkit.ports import debug

COMMANDS = {
    "init": ("toolkit.cli.init", "Look at the repository and draft rules.toml."),
    "diff": ("toolkit.cli.diff", "Show what is out of date, why, and the smallest deploy."),
    "health": (
        "toolkit.cli.health",
        "Check that everything in rules.toml is healthy.",
    ),
    "health-check": ("toolkit.cli.health", "Same as health."),
    "smoke-test": (
        "toolkit.cli.smoke_test",
        "Run the checks in rules.toml against the live system.",
    ),
    "deploy": ("toolkit.cli.deploy", "Deploy what is due, what is named, or everything."),
    "deploy-app": ("toolkit.cli.deploy_app", "Build an image, push it, and roll it out on ECS."),
    "deploy-stack": ("toolkit.cli.deploy_stack", "Deploy one CloudFormation stack by change set."),
    "deploy-function": (
        "toolkit.cli.deploy_function",
        "Publish the code of a Lambda function, and move its alias.",
    ),
    "deploy-site": ("toolkit.cli.deploy_site", "Deploy a static site to S3 and CloudFront."),
    "rollback": ("toolkit.cli.rollback", "Restore the last good version of a target."),
    "resume": ("toolkit.cli.resume", "Continue an interrupted run."),
    "history": (
        "toolkit.cli.history",
        "List runs of this machine, or with a `store` everybody's.",
    ),
    "show": ("toolkit.cli.show_", "Show one run: its command, and how each step ended."),
    "logs": ("toolkit.cli.logs", "Show the logs of a run's steps."),
    "outputs": ("toolkit.cli.outputs", "Show the addresses and other outputs of what runs."),
    "tail": ("toolkit.cli.tail", "Show what a target writes now."),
    "run-task": (
        "toolkit.cli.run_task",
        "Run a command once with the version of an app that is live.",
    ),
    "record": ("toolkit.cli.record", "Show, set or repair the record of what is live."),
    "lock": ("toolkit.cli.lock", "Show or release deploy locks."),
    "explain": ("toolkit.cli.explain", "Explain which rule, pattern and line matches a path."),
    "rules": ("toolkit.cli.rules", "Check, try out, replay, prove, import and describe rules."),
    "sandbox": (
        "toolkit.cli.sandbox",
        "Run an AWS emulator on this machine, to try everything without an AWS account.",
    ),
    "doctor": ("toolkit.cli.doctor", "Check programs and versions, and rules against Dockerfiles."),
    "permissions": ("toolkit.cli.permissions", "Print the IAM policy that the targets need."),
    "completion": ("toolkit.cli.completion", "Print the shell completion script."),
}

ELSEWHERE = {
    "status": ("diff", "health"),
    "check": ("health", "smoke-test"),
    "plan": ("diff",),
    "changes": ("diff",),
    "affected": ("diff",),
    "outdated": ("diff",),
    "apply": ("deploy",),
    "up": ("deploy",),
    "release": ("deploy",),
    "urls": ("outputs",),
    "follow": ("tail",),
    "exec": ("run-task",),
    "run": ("run-task",),
    "undo": ("rollback",),
    "revert": ("rollback",),
    "continue": ("resume",),
    "runs": ("history",),
    "test": ("smoke-test",),
    "unlock": ("lock",),
    "validate": ("rules",),
    "policy": ("permissions",),
    "local": ("sandbox",),
    "setup": ("init",),
}
"""What other tools call it -> what it is called here."""

COMMAND_LINE = "toolkit.command_line"
"""Where a context's meta has the arguments that it all began with."""

EPILOG = f"""{exit_codes()}. `toolkit COMMAND --help` has examples."""


if TYPE_CHECKING:
    from toolkit.advice import SameOptions

    _Type = click.ParamType[str]
else:  # in older versions of click it has no parameter
    _Type = click.ParamType


class NonEmptyText(_Type):
    """Any text but an empty one: that is a variable of a shell or of CI that is not set, never
    meant.
    """

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is. Fails for an empty one."""
        return value or self.fail("it is empty (is a variable not set?)", param, ctx)


def without_empty_texts(command: click.Command) -> click.Command:
    """The command, and those in it, whose options and arguments that take a text refuse an empty
    one.
    """
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = NonEmptyText()
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            without_empty_texts(subcommand)
    return command


def load_msgspec() -> None:
    """Load msgspec, which every command needs, in half of its time: it imports typing_extensions
    where another package has brought that along, and does without it on any Python from 3.11 on.
    """
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    modules["typing_extensions"] = None  # to `import`, a module that is not there
    try:
        import_module("msgspec")
    finally:
        del modules["typing_extensions"]


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is run or asked for help."""

    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = COMMANDS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; the outermost one keeps the command line for the record."""
        ctx.meta.setdefault(COMMAND_LINE, list(args))
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of a first day's work."""
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of that name."""
        if cmd_name not in self.commands_by_name:
            return None
        module, _ = self.commands_by_name[cmd_name]
        load_msgspec()
        command = getattr(import_module(module), module.rsplit(".", 1)[1].rstrip("_"))
        assert isinstance(command, click.Command)  # noqa: S101 (for the type checker)
        return without_empty_texts(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is none."""
        if args and args[0] not in self.commands_by_name and not args[0].startswith("-"):
            from difflib import get_close_matches

            near: Sequence[str] = get_close_matches(args[0], self.commands_by_name, 1)
            if self.commands_by_name is COMMANDS:
                near = ELSEWHERE.get(args[0], near)
            problem = f"There is no command {args[0]!r}."
            if near:
                problem += f" Did you mean {' or '.join(map(repr, near))}?"
            ctx.fail(problem)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for --help, from the table above: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_by_name.items()])


@click.group(
    "toolkit",
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="toolkit %(version)s")
@click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")
@click.option("--rules", metavar="FILE", help="Use FILE instead of searching for rules.toml.")
@environment_option("The environment to use.")
@color
@debugging.debug_option
@click.pass_context
def cli(ctx: click.Context, /, **common: str | None) -> None:
    """Show which parts of your system are out of date and the smallest deploy that fixes it."""
    ctx.obj = common


without_empty_texts(cli)


def main(args: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    The process leaves at once: taking the interpreter down module by module would add a tenth to a
    `diff`, and nothing is left to save.
    """
    output.prepare()
    # Whoever started us may ignore it; then the system would keep no exit code of what we start.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    args = sys.argv[1:] if args is None else args
    try:
        code = run(args)
    except KeyboardInterrupt:
        output.note("\nstopped")
        code = Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough of it
        output.silence()
        code = Exit.OK
    code = output.flush() or code
    debug.tell("exit", str(int(code)))
    os._exit(code)


def run(args: list[str]) -> int:
    """The exit code of a command line. Errors are reported here, and only here."""
    output.set_endpoint(None, silent=True)
    debugging.begin(args)
    try:
        return int(cli.main(args, prog_name="toolkit", standalone_mode=False) or 0)
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except click.exceptions.NoArgsIsHelpError as error:
        output.note(error.format_message())
        return Exit.USAGE
    except click.ClickException as error:
        return output.usage(error, _command(args), _asks_for_json(args))
    except output.ReaderGone:
        raise BrokenPipeError from None
    except BrokenPipeError:
        raise
    except Exception as error:
        return _report(error, args)


def _asks_for_json(args: list[str]) -> bool:
    """Whether a command line asks for a document. Words behind `--` are none of our options: they
    may be those of a command that is run.
    """
    end = args.index("--") if "--" in args else len(args)
    return "--json" in args[:end]


def _report(error: Exception, args: list[str]) -> int:
    """Tell of an error, or of a bug. The exit code."""
    from msgspec.structs import replace

    from toolkit.errors import ToolkitError

    if isinstance(error, ToolkitError):
        debug.tell("error", type(error).__name__, str(error), exit=int(error.exit))
        same = replace(typed_options(args), aws=error.aws_options)
        return output.error(error, _command(args), _asks_for_json(args), same)
    from toolkit.cli import crash

    return crash.report(error, args)


def typed_options(args: list[str]) -> "SameOptions":
    """What a command line says of rules.toml, environment and region: for an error that may have
    come before rules.toml was read.
    """
    from toolkit.advice import SameOptions
    from toolkit.errors import ToolkitError

    typed: dict[str, str] = {}
    command: click.Command | None = cli
    ctx, words = None, list(args)
    # The error may be that a package brings options that cannot be: then they stop this, too.
    with suppress(ToolkitError):
        while command is not None:
            ctx = command.make_context(command.name, words, parent=ctx, resilient_parsing=True)
            for name in ("rules", "env", "region"):
                value = ctx.params.get(name)
                if isinstance(value, tuple):  # several environments cannot be repeated as one
                    value = value[0] if len(value) == 1 else None
                if value:
                    typed[name] = value
            words = [*ctx._protected_args, *ctx.args]
            if not isinstance(command, click.Group) or not words:
                break
            command = command.get_command(ctx, words.pop(0))
    return SameOptions(typed.get("rules"), typed.get("env"), typed.get("region"))


def _command(args: list[str]) -> str:
    """The command's name, for a document about its failure."""
    words = [word for word in args if not word.startswith("-")]
    index = next((index for index, word in enumerate(words) if word in COMMANDS), None)
    if index is None:
        return "toolkit"
    if words[index] in ("rules", "sandbox", "record", "lock"):
        return " ".join(words[index : index + 2])
    return words[index]
