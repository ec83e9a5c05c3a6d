"""`toolkit smoke-test`: ask the live system what rules.toml says that it must answer."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from toolkit.cli import account, options, output, ports, progress, signals
from toolkit.cli.redaction import redactor
from toolkit.errors import CredentialsProblem, UsageError
from toolkit.flow import smoke as flow
from toolkit.impact.reading import wrong_base
from toolkit.model import Check
from toolkit.ports import files
from toolkit.run.stop import Stop
from toolkit.show import junit
from toolkit.show import smoke as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit smoke-test                       every check, in the default environment
  toolkit smoke-test --env prod --tag read only what has this tag
  toolkit smoke-test --only login          this one, with what it needs
  toolkit smoke-test --url http://127.0.0.1:8080
  toolkit smoke-test --repeat 10           a check passes if it does so every time
  toolkit smoke-test --junit report.xml

Checks that do not need each other are asked side by side. Secrets are never shown: their names
are, as in `Bearer {token}`. Exit codes: 0 all passed, 1 something failed or could not be asked,
2 a wrong rules.toml or a secret that is not there, 130 Ctrl-C."""


@click.command("smoke-test", epilog=EPILOG)
@click.option(
    "--only",
    multiple=True,
    metavar="CHECK",
    help="This check, with what it needs. May be repeated.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="The checks with this tag. May be repeated."
)
@click.option(
    "--url", metavar="ADDRESS", help="Ask paths here, instead of the environment's `urls`."
)
@click.option(
    "--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many times."
)
@click.option(
    "--retry", metavar="TIME", help="Try each check again for so long until it passes, such as 30s."
)
@click.option(
    "--timeout", metavar="TIME", default="5m", show_default=True, help="The deadline for all of it."
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Checks at the same time.",
)
@click.option(
    "--load",
    is_flag=True,
    help="Then a small load with the checks that have `load`; needs locust (the extra `load`).",
)
@click.option(
    "--junit", "report", metavar="FILE", help="Also write the results to FILE, as JUnit's XML."
)
@click.option("--list", "only_list", is_flag=True, help="List the checks, and ask nothing.")
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
def smoke_test(ctx: click.Context, /, **given: Any) -> int:
    """Ask the live system what rules.toml says that it must answer.

    Checks are HTTP requests, WebSockets, ports, certificates, names, things of AWS, and suites that
    are there already.
    """
    request = _request(ctx, given)
    git = options.repository(request.folder)
    if given["only_list"]:
        return _listed(flow.listed(request, git), given["as_json"])
    if given["report"]:
        files.check_writable(given["report"])
    there = ports.around(git, request.folder)
    with suppress(CredentialsProblem):  # the checks that need them say so
        account.begin(
            there,
            git,
            request.folder,
            request.rules,
            request.environment,
            request.profile,
            request.region,
            silent=given["quiet"] or given["as_json"],
            allowed=request.allowed,
        )
    stage = flow.prepare(request, git, there)
    for remark in stage.first:
        output.note(f"note: {line(remark)}")
    stop = Stop()
    total = len(stage.tasks) * request.repeat + sum(
        request.load and task.check.load is not None for task in stage.tasks
    )
    watcher = progress.counting(total, given["quiet"] or given["as_json"])
    with (
        watcher,
        signals.handled(
            stop,
            lambda number: watcher.say("stopping; what cleans up is still done"),
            lambda number: None,
        ),
    ):
        smoked = flow.smoke(request, stage, there, stop, watcher.told)
    if given["as_json"]:
        output.document(show.document(smoked))
    else:
        output.say(_text(smoked, given["quiet"], given["verbose"]))
    if given["report"]:
        cases = show.cases(smoked.results, smoked.environment)
        return output.kept(given["report"], junit.xml("toolkit smoke-test", cases)) or int(
            smoked.exit
        )
    return int(smoked.exit)


def _text(smoked: flow.SmokeTestResult, quiet: bool, verbose: bool) -> str:
    if quiet:
        return show.summary(smoked.results, smoked.environment, smoked.took_s)
    return show.text(smoked.results, smoked.environment, smoked.took_s, output.width(), verbose)


def _request(ctx: click.Context, given: dict[str, Any]) -> flow.SmokeTestRequest:
    return flow.SmokeTestRequest(
        folder=options.enter(ctx, given["folder"]),
        rules=options.inherited(ctx, "rules", given["rules"]),
        environment=options.inherited(ctx, "env", given["env"]),
        profile=given["profile"],
        region=given["region"],
        only=given["only"],
        tags=given["tags"],
        url=_address(given["url"]),
        timeout_s=options.time("--timeout", given["timeout"]),
        retry_s=options.time("--retry", given["retry"]) if given["retry"] else 0,
        repeat=given["repeat"],
        parallel=given["parallel"],
        load=given["load"],
        allowed=given["allowed"],
        redact=redactor(),
    )


def _address(url: str | None) -> str | None:
    wrong = None if url is None else wrong_base(url)
    if wrong:
        raise UsageError(
            f"--url {url!r} {wrong}", "write it as https://api.example.com or http://127.0.0.1:8080"
        )
    return url


def _listed(checks: Sequence[Check], as_json: bool) -> int:
    if as_json:
        found = [
            {
                "check": one.name,
                "asks": one.asks,
                "tags": list(one.tags),
                "needs": list(one.needs),
                "where": one.where,
            }
            for one in checks
        ]
        return output.document(
            {"toolkit": 1, "command": "smoke-test", "status": "ok", "exit": 0, "checks": found}
        )
    output.say(show.listed(checks, output.width()))
    return 0
