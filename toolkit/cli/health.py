"""`toolkit health`: is everything well that rules.toml names?"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from toolkit.cli import account, options, output, ports, progress
from toolkit.cli.redaction import redactor
from toolkit.errors import EXIT_MEANINGS, CredentialsProblem, Exit
from toolkit.flow import health as flow
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.show import health as show
from toolkit.show import junit
from toolkit.show.text import line

EPILOG = f"""\b
Examples:
  toolkit health                        the default environment
  toolkit health --all-environments     all of them
  toolkit health app api                only these
  toolkit health --watch --interval 10s
  toolkit health -v                     everything that was looked at

Nothing is changed, and no program is started. What does not answer by the deadline is unknown,
never ok. Exit codes: 0 all is well (perhaps with warnings), 1 something is wrong or unknown,
7 {EXIT_MEANINGS[Exit.CREDENTIALS]}, and nothing else is wrong; with --watch, Ctrl-C is 0."""


@click.command("health", epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--all-environments", "everywhere", is_flag=True, help="Every environment of rules.toml."
)
@click.option(
    "--timeout",
    metavar="TIME",
    default="20s",
    show_default=True,
    help="The deadline for all of it.",
)
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval", metavar="TIME", default="30s", show_default=True, help="How often, with --watch."
)
@click.option("--junit", "report", metavar="FILE", help="Also write it to FILE, as JUnit's XML.")
@options.common
@options.environment
@options.profile
@options.region
@options.allowed
@options.as_json
@options.quiet
@options.verbose
@options.no_color
@click.pass_context
def health(ctx: click.Context, /, **given: Any) -> int:
    """Is everything well that rules.toml names?

    Each target is asked in its own way: services, deployments, tasks, load balancers, images,
    stacks, functions, sites, alarms; then health addresses, certificates, queues and tables, and
    the credentials themselves. What runs is compared with HEAD and with what was recorded.
    """
    request = _request(ctx, given)
    if given["report"]:
        files.check_writable(given["report"])
    git = options.repository(request.folder)
    there = ports.around(git, request.folder)
    with suppress(
        CredentialsProblem
    ):  # it is told in the row of the credentials; what needs none is asked all the same
        account.begin(
            there,
            git,
            request.folder,
            request.rules,
            request.environment,
            request.profile,
            request.region,
            request.everywhere,
            silent=given["quiet"] or given["as_json"],
            allowed=request.allowed,
        )
    if given["watch"]:
        return _watched(request, git, there, given, options.time("--interval", given["interval"]))
    with progress.checking(given["quiet"] or given["as_json"]):
        looked = flow.look(request, git, there)
    _tell(looked, given)
    return _reported(looked, given) or int(looked.exit)


def _request(ctx: click.Context, given: dict[str, Any]) -> flow.HealthRequest:
    return flow.HealthRequest(
        folder=options.enter(ctx, given["folder"]),
        rules=options.inherited(ctx, "rules", given["rules"]),
        environment=options.inherited(ctx, "env", given["env"]),
        everywhere=given["everywhere"],
        profile=given["profile"],
        region=given["region"],
        targets=given["targets"],
        timeout_s=options.time("--timeout", given["timeout"]),
        allowed=given["allowed"],
        redact=redactor(),
    )


def _reported(looked: flow.HealthResult, given: dict[str, Any]) -> int:
    """Write the report, where one is wanted. An exit code other than 0 if that fails, which is
    told.
    """
    return (
        output.kept(given["report"], junit.xml("toolkit health", show.cases(looked.checkups)))
        if given["report"]
        else 0
    )


def _tell(looked: flow.HealthResult, given: dict[str, Any]) -> None:
    if given["as_json"]:
        output.document(show.document(looked))
    else:
        output.say(_text(looked, given))


def _text(looked: flow.HealthResult, given: dict[str, Any]) -> str:
    first = "".join(f"note: {line(remark)}\n" for remark in looked.first)
    if given["quiet"]:
        return first + show.summary(looked.checkups, looked.took_s)
    return first + show.text(
        looked.checkups,
        looked.notes,
        looked.took_s,
        datetime.now(UTC),
        output.width(),
        given["verbose"],
    )


def _watched(
    request: flow.HealthRequest,
    git: Git | None,
    there: Ports,
    given: dict[str, Any],
    interval_s: float,
) -> int:
    """Again and again. Each look is a line of JSON, or redraws the screen; on a pipe it is a table
    after the other.
    """
    screen = progress.redrawing(given["as_json"])
    try:
        with screen:
            while True:
                looked = flow.look(request, git, there)
                if given["as_json"]:
                    output.document(show.document(looked))
                    output.flush()
                else:
                    stamp = f"{datetime.now():%H:%M:%S}, every {given['interval']}; Ctrl-C ends it"
                    screen.show(f"{stamp}\n\n{_text(looked, given)}")
                if code := _reported(looked, given):
                    return code
                time.sleep(interval_s)
    except KeyboardInterrupt:
        return 0
