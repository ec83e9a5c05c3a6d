"""`toolkit run-task`: a command that is run once with what is live."""

import shlex
from typing import Any

import click
from click.types import UnprocessedParamType
from msgspec import Struct

from toolkit.advice import NextCommand, SameOptions
from toolkit.cli import account, deploying, options, output, signals
from toolkit.cli.deploy_options import DeployOptions
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.errors import FileProblem, UsageError
from toolkit.flow import one_off as flow
from toolkit.flow.aws_options import located_options
from toolkit.ports.ports import Ports
from toolkit.run.one_off import TaskListener, what_to_do
from toolkit.run.stop import Stop
from toolkit.show import one_off as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit run-task app -- python manage.py migrate
  toolkit run-task app -e prod --confirm prod -- ./report >report.csv
  toolkit run-task app --dry-run -- env
  toolkit run-task --attach 20261120-193742-x7k2
  toolkit run-task --attach 20261120-193742-x7k2 --stop

The task has the live image, roles, variables and network of the app. What the command writes is
shown on standard output, all else on standard error. The exit code is that of the command; without
one it is 1, in doubt is 5. Where the command ended with 0, and part of its output could not be
shown, it is 4. Ctrl-C stops the task, and so does --timeout."""


class CommandWord(UnprocessedParamType):
    """A word of a command that is not ours: also an empty one is passed on."""

    name = "word"


class TaskArguments(Struct, frozen=True, kw_only=True):
    """The arguments and options of `run-task` that are its own, as click gives them."""

    target: str | None
    words: tuple[str, ...]
    container: str | None
    attach: str | None
    stop: bool
    timeout: str
    confirm: tuple[str, ...]
    dry_run: bool
    as_json: bool


@click.command("run-task", epilog=EPILOG)
@click.argument("target", required=False)
@click.argument("words", nargs=-1, type=CommandWord(), metavar="-- COMMAND...")
@click.option(
    "--timeout",
    metavar="TIME",
    default="1h",
    show_default=True,
    help="Stop the task after this time.",
)
@click.option("--container", metavar="NAME", help="Run it in this container of the task.")
@click.option("--attach", metavar="NAME", help="Watch a task that was started before.")
@click.option("--stop", is_flag=True, help="With --attach: stop the task.")
@click.option(
    "--confirm",
    multiple=True,
    metavar="NAME",
    help="Confirm a protected environment by its name, instead of typing it at the prompt.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be run, without running it.")
@options.common
@options.environment
@options.profile
@options.region
@options.allowed
@options.as_json
@options.color
@click.pass_context
def run_task(ctx: click.Context, /, **values: Any) -> int:
    """Run a command once with the version of an app that is live.

    It runs in a task of its own, beside those of the service. The words of the command are passed
    on as they are, through no shell.
    """
    arguments = TaskArguments(
        **{name: values.pop(name) for name in TaskArguments.__struct_fields__}
    )
    request = flow.TaskRequest(
        **options.project_fields(ctx, values),
        target=arguments.target or "",
        command=arguments.words,
        container=arguments.container,
        attach=arguments.attach,
        timeout_s=options.time("--timeout", arguments.timeout),
        redact=redactor(),
    )
    _check_usage(arguments)
    git = options.repository(request.folder)
    ports = open_ports(git, request.folder)
    rules = account.trusted_rules(request, git, ports, silent=arguments.as_json)
    output.note_endpoint()
    if arguments.attach:
        prepared = flow.prepare_attach(request, rules, ports)
        return _watched(prepared, request, arguments, ports)
    common = _deploy_options(request, arguments)
    prepared = flow.prepare_task(request, rules, ports)
    environments = [prepared.job.location.environment]
    if not arguments.dry_run:
        deploying.require_flags(common, prepared.rules, environments)
    deploying.confirm_trust(prepared.rules, environments, common, changes=not arguments.dry_run)
    _say_intention(prepared, request)
    if arguments.dry_run:
        output.note("Nothing was run.")
        return 0
    deploying.require_consent(common, (prepared.job,))
    return _watched(prepared, request, arguments, ports)


def _check_usage(arguments: TaskArguments) -> None:
    """Raises UsageError for words that do not go together."""
    if arguments.attach:
        if arguments.target or arguments.words:
            raise UsageError(
                "--attach goes with no target and no command", "the task that it names has both"
            )
        return
    if arguments.stop:
        raise UsageError("--stop goes with --attach", "name the task that it is to stop")
    if not arguments.target:
        raise UsageError("no target", "name an app, then two dashes and the command")
    if not arguments.words:
        raise UsageError("no command", "put two dashes and the command behind the app's name")


def _deploy_options(request: flow.TaskRequest, arguments: TaskArguments) -> DeployOptions:
    """What decides whether a person has to be asked, as for a deploy. Only a protected environment
    needs consent: the command line says what is run.
    """
    environments: tuple[str, ...] = ()
    if request.environment is not None:
        environments = (request.environment,)
    return DeployOptions(
        folder=request.folder,
        rules=request.rules,
        environments=environments,
        profile=request.profile,
        region=request.region,
        as_json=arguments.as_json,
        yes=True,
        confirm=arguments.confirm,
        dry_run=arguments.dry_run,
        quiet=False,
        verbose=False,
        parallel=1,
        fail_fast=False,
        lock_timeout=0,
        no_checks=True,
        allow_backwards=False,
        allowed=request.allowed,
    )


def _shown_command(request: flow.TaskRequest) -> str:
    return request.redact(shlex.join(request.command))


def _say_intention(prepared: flow.PreparedTask, request: flow.TaskRequest) -> None:
    command = _shown_command(request)
    lines = show.intention(prepared.job, prepared.runner.call, command, output.width())
    output.note("\n".join(lines))
    for warning in prepared.runner.warnings:
        output.note(f"warning: {line(request.redact(warning))}")
    for name in prepared.unfinished:
        attach = NextCommand("run-task", options=("--attach", name))
        earlier = "an earlier task has no known end:", attach
        output.note_advice(earlier, _same(prepared, request), before="note: ")


def _same(prepared: flow.PreparedTask, request: flow.TaskRequest) -> SameOptions:
    """What the next commands have to repeat."""
    return located_options(prepared.rules, request.rules, prepared.job.location)


def _say_line(text: str) -> None:
    """What the command writes. The task goes on whether or not somebody reads that. Raises
    FileProblem where it cannot be written.
    """
    try:
        output.say(text)
        output.push()
    except output.ReaderGone:
        output.silence()
    except FileProblem:
        output.silence()
        raise


def _watched(
    prepared: flow.PreparedTask,
    request: flow.TaskRequest,
    arguments: TaskArguments,
    ports: Ports,
) -> int:
    """Start it, or attach to it, and tell what it writes. The exit code."""
    redact, stop = request.redact, Stop()
    same = _same(prepared, request)
    if arguments.stop:
        stop.ask()

    def say_line(text: str) -> None:
        if arguments.as_json:
            output.note(line(redact(text)))
        else:
            _say_line(line(redact(text)))

    def say_other(source: str, text: str) -> None:
        output.note(f"[{line(source)}] {line(redact(text))}")

    def say_note(text: str) -> None:
        output.note(f"note: {line(redact(text))}")

    def say_stopping(number: int) -> None:
        output.note("stopping the task; again to exit at once")

    def say_left(number: int) -> None:
        left = "exited; the task may still be running;", *what_to_do(prepared.name)
        output.note_advice(left, same, before="")

    listener = TaskListener(say_line, say_other, say_note)
    with signals.handled(stop, say_stopping, say_left):
        outcome = flow.run_task(prepared, request, ports, stop, listener)
    if arguments.as_json:
        command = _shown_command(request)
        return output.document(show.document(outcome, prepared.job, command, same))
    for words in show.ended(outcome, same, output.width()):
        output.note(words)
    return outcome.exit
