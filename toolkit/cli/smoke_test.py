"""`toolkit smoke-test`: ask the live system what rules.toml says that it must answer."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from toolkit.cli import account, options, output, progress, signals
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.config.reader import base_url_problem
from toolkit.errors import CredentialsProblem, UsageError
from toolkit.flow import smoke as flow
from toolkit.model import Check
from toolkit.ports import files
from toolkit.run.stop import Stop
from toolkit.show import junit
from toolkit.show import smoke as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit smoke-test                       run every check
  toolkit smoke-test --env prod --tag read run only checks with this tag
  toolkit smoke-test --only login          run this check, with what it needs
  toolkit smoke-test --url http://127.0.0.1:8080
  toolkit smoke-test --repeat 10           run each check ten times
  toolkit smoke-test --junit report.xml

Checks that do not need each other run in parallel. Secrets are never shown, only their names, as
in `Bearer {token}`. Exit codes: 0 all passed, 1 something failed or could not be checked, 2 a
wrong rules.toml or a missing secret, 130 Ctrl-C."""


@click.command("smoke-test", epilog=EPILOG)
@click.option(
    "--only",
    multiple=True,
    metavar="CHECK",
    help="Run only CHECK, with what it needs. May be repeated.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Run only checks with TAG. May be repeated."
)
@click.option(
    "--url",
    metavar="ADDRESS",
    help="The base address for checks of a path, instead of the environment's `urls`.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Run each check this many times.",
)
@click.option(
    "--retry", metavar="TIME", help="Keep retrying each check for this long, such as 30s."
)
@click.option(
    "--timeout", metavar="TIME", default="5m", show_default=True, help="Overall deadline."
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="How many checks run at the same time.",
)
@click.option(
    "--load",
    is_flag=True,
    help="Then run a small load test with the checks that have `load`; needs locust (the extra "
    "`load`).",
)
@click.option(
    "--junit", "report", metavar="FILE", help="Also write the results to FILE, as JUnit XML."
)
@click.option("--list", "only_list", is_flag=True, help="List the checks without running them.")
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
def smoke_test(ctx: click.Context, /, **values: Any) -> int:
    """Run the checks in rules.toml against the live system.

    Checks are HTTP requests, WebSockets, ports, certificates, host names, AWS resources, and
    existing test suites.
    """
    arguments = SmokeTestArguments(**values)
    request = flow.SmokeTestRequest(
        **options.project_fields(ctx, values),
        only=arguments.only,
        tags=arguments.tags,
        url=_address(arguments.url),
        timeout_s=options.time("--timeout", arguments.timeout),
        retry_s=options.time("--retry", arguments.retry) if arguments.retry else 0,
        repeat=arguments.repeat,
        parallel=arguments.parallel,
        load=arguments.load,
        redact=redactor(),
    )
    git = options.repository(request.folder)
    if arguments.only_list:
        return _list(flow.list_checks(request, git), arguments.as_json)
    if arguments.report:
        files.check_writable(arguments.report)
    ports = open_ports(git, request.folder)
    silent = arguments.quiet or arguments.as_json
    with suppress(CredentialsProblem):  # the checks that need credentials report it
        account.sign_in_for(request, git, ports, silent=silent)
    stage = flow.prepare(request, git, ports)
    for remark in stage.first:
        output.note(f"note: {line(remark)}")
    total = len(stage.tasks) * request.repeat
    if request.load:
        total += sum(task.check.load is not None for task in stage.tasks)
    watcher, stop = progress.CountProgress(total, silent), Stop()

    def say_stopping(number: int) -> None:
        watcher.say("stopping; checks that clean up still run")

    with watcher, signals.handled(stop, say_stopping, lambda number: None):
        result = flow.run_smoke_test(request, stage, ports, stop, watcher.told)
    if arguments.as_json:
        output.document(show.document(result))
    else:
        output.say(_text(result, arguments.quiet, arguments.verbose))
    code = 0
    if arguments.report:
        cases = show.cases(result.results, result.environment)
        code = output.write_report(arguments.report, junit.xml("toolkit smoke-test", cases))
    return code or int(result.exit)


class SmokeTestArguments(options.CommonArguments, frozen=True, kw_only=True):
    """The options of `smoke-test`, as click gives them."""

    only: tuple[str, ...]
    tags: tuple[str, ...]
    url: str | None
    repeat: int
    retry: str | None
    timeout: str
    parallel: int
    load: bool
    report: str | None
    only_list: bool


def _text(result: flow.SmokeTestResult, quiet: bool, verbose: bool) -> str:
    if quiet:
        return show.summary(result.results, result.environment, result.took_s)
    return show.text(result.results, result.environment, result.took_s, output.width(), verbose)


def _address(url: str | None) -> str | None:
    wrong = None if url is None else base_url_problem(url)
    if wrong:
        raise UsageError(
            f"--url {url!r} {wrong}", "write it as https://api.example.com or http://127.0.0.1:8080"
        )
    return url


def _list(checks: Sequence[Check], as_json: bool) -> int:
    if as_json:
        rows = [
            {
                "check": check.name,
                "asks": check.asks,
                "tags": list(check.tags),
                "needs": list(check.needs),
                "where": str(check.where),
            }
            for check in checks
        ]
        return output.document(
            {"toolkit": 1, "command": "smoke-test", "status": "ok", "exit": 0, "checks": rows}
        )
    output.say(show.listed(checks, output.width()))
    return 0
