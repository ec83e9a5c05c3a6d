"""`toolkit health`: is everything healthy?"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import account, options, output, progress
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.errors import CredentialsProblem
from toolkit.exits import EXIT_MEANINGS, Exit
from toolkit.flow import health as flow
from toolkit.operations import HealthResult
from toolkit.ports import files
from toolkit.ports.ports import Ports
from toolkit.show import health as show
from toolkit.show import junit
from toolkit.show.health_rows import HealthView, WatchedRows
from toolkit.show.text import line

EPILOG = f"""\b
Examples:
  toolkit health                        check the default environment
  toolkit health --all-environments     check all environments
  toolkit health app jobs               check only these targets and checks
  toolkit health --watch --interval 10s
  toolkit health -v                     show everything that was checked

It changes nothing. Whatever does not answer by the deadline is unknown, never ok. Exit codes: 0
everything is ok (perhaps with warnings), 1 something is failing or unknown,
7 {EXIT_MEANINGS[Exit.CREDENTIALS]}, and nothing else is wrong; with --watch, Ctrl-C is 0."""


@click.command("health", epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="[NAME]...")
@click.option(
    "--all-environments", "everywhere", is_flag=True, help="Check every environment in rules.toml."
)
@click.option(
    "--timeout",
    metavar="TIME",
    default="20s",
    show_default=True,
    help="Overall deadline.",
)
@click.option("--watch", is_flag=True, help="Check again and again, until Ctrl-C.")
@click.option(
    "--interval",
    metavar="TIME",
    default="30s",
    show_default=True,
    help="Time between checks with --watch.",
)
@click.option(
    "--junit", "report", metavar="FILE", help="Also write the results to FILE, as JUnit XML."
)
@options.common
@options.environment
@options.profile
@options.region
@options.allowed
@options.as_json
@options.quiet
@options.verbose
@options.color
@click.pass_context
def health(ctx: click.Context, /, **values: Any) -> int:
    """Check that everything in rules.toml is healthy.

    It checks services, deployments, tasks, load balancers, images, stacks, functions, sites and
    alarms; then health addresses, certificates, queues and tables; and the credentials themselves.
    It also compares what runs with HEAD and with the record.
    """
    arguments = HealthArguments(**values)
    request = flow.HealthRequest(
        **options.project_fields(ctx, values),
        everywhere=arguments.everywhere,
        targets=arguments.targets,
        timeout_s=options.time("--timeout", arguments.timeout),
        redact=redactor(),
    )
    if arguments.report:
        files.check_writable(arguments.report)
    git = options.repository(request.folder)
    ports = open_ports(git, request.folder)
    silent = arguments.quiet or arguments.as_json
    # The row of the credentials reports it; what needs no credentials is checked all the same.
    with suppress(CredentialsProblem):
        account.sign_in_for(request, git, ports, request.everywhere, silent)
    if arguments.watch:
        return _watch(request, ports, arguments)
    with progress.checking(silent):
        result = flow.check_health(request, git, ports)
    if arguments.as_json:
        output.document(show.document(result))
    else:
        output.say(_text(result, arguments, _view(arguments)))
    return _write_report(result, arguments) or int(result.exit)


class HealthArguments(options.CommonArguments, frozen=True, kw_only=True):
    """The arguments and options of `health`, as click gives them."""

    targets: tuple[str, ...]
    everywhere: bool
    timeout: str
    watch: bool
    interval: str
    report: str | None


def _write_report(result: HealthResult, arguments: HealthArguments) -> int:
    """Write the report of --junit. An exit code other than 0 if that fails."""
    if not arguments.report:
        return 0
    xml = junit.xml("toolkit health", show.cases(result.checkups))
    return output.write_report(arguments.report, xml)


def _text(result: HealthResult, arguments: HealthArguments, view: HealthView) -> str:
    first = "".join(f"note: {line(remark)}\n" for remark in result.first)
    if arguments.quiet:
        return first + show.names_text(result, view)
    return first + show.text(result, view)


def _view(arguments: HealthArguments) -> HealthView:
    return HealthView(
        now=datetime.now(UTC),
        width=output.width(),
        verbose=arguments.verbose,
        named=bool(arguments.targets),
    )


def _watch(request: flow.HealthRequest, ports: Ports, arguments: HealthArguments) -> int:
    """Again and again. Each look is a line of JSON, or redraws the screen; on a pipe one table
    follows the other.
    """
    interval_s = options.time("--interval", arguments.interval)
    screen = progress.RedrawnText(silent=arguments.as_json)
    rows = WatchedRows()
    try:
        with screen:
            if screen.height is not None:
                screen.show("checking ...")
            while True:
                # Each time, since somebody commits while it is watched.
                git = options.repository(request.folder)
                result = flow.check_health(request, git, ports)
                rows.update(result.checkups)
                if arguments.as_json:
                    output.document(show.document(result))
                    output.flush()
                else:
                    _draw(screen, result, arguments, rows)
                if code := _write_report(result, arguments):
                    return code
                time.sleep(interval_s)
    except KeyboardInterrupt:
        return 0


def _draw(
    screen: progress.RedrawnText,
    result: HealthResult,
    arguments: HealthArguments,
    rows: WatchedRows,
) -> None:
    """What was checked just now, as much of it as the screen has room for."""
    stamp = f"{datetime.now():%H:%M:%S}, every {arguments.interval}; Ctrl-C ends it"
    view = replace(_view(arguments), changes=dict(rows.changes))
    if screen.height is not None:
        view = replace(view, height=screen.height - 2 - len(result.first))
    screen.show(f"{stamp}\n\n{_text(result, arguments, view)}")
