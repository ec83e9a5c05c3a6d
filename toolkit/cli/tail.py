"""`toolkit tail`: what a target writes now."""

from datetime import UTC, datetime
from typing import Any

import click

from toolkit.cli import account, options, output
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.flow import tail as flow
from toolkit.show import tail as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit tail app              follow what the tasks of app write
  toolkit tail app --since 1h --grep ERROR
  toolkit tail api --no-follow  what has happened to stack api, then end
  toolkit tail app --json | jq .text

Tasks that a deploy starts are picked up, and the last lines of those that end are still shown. It
changes nothing. Ctrl-C ends it with exit code 0; with --no-follow, it ends by itself, and Ctrl-C is
130."""


@click.command("tail", epilog=EPILOG)
@click.argument("target")
@click.option(
    "--since", metavar="TIME", default="10m", show_default=True, help="How far back to begin."
)
@click.option("--grep", "text", metavar="TEXT", help="Only events that contain TEXT.")
@click.option(
    "--follow/--no-follow", default=True, help="Wait for more, or end with what is there by now."
)
@options.common
@options.environment
@options.profile
@options.region
@options.allowed
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per event.")
@options.color
@click.pass_context
def tail(
    ctx: click.Context,
    /,
    target: str,
    since: str,
    text: str | None,
    follow: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Show what a target writes now: the logs of an app or a function, the events of a stack."""
    request = flow.TailRequest(
        **options.project_fields(ctx, values),
        target=target,
        since_s=options.time("--since", since),
        follow=follow,
        text=text or "",
        redact=redactor(),
    )
    git = options.repository(request.folder)
    ports = open_ports(git, request.folder)
    rules = account.trusted_rules(request, git, ports, silent=as_json)
    output.note_endpoint()
    opened = flow.open_tail(request, rules, ports)
    try:
        for look in opened.looks():
            for note in look.notes:
                output.note(f"note: {line(note)}")
            for event in look.events:
                _say(event, opened.is_several, as_json)
            output.push()
    except KeyboardInterrupt:
        if not follow:
            raise
    return 0


def _say(event: flow.TailedEvent, is_several: bool, as_json: bool) -> None:
    if as_json:
        output.say(show.document(event.when, event.job, event.source, event.text))
        return
    name = ""
    if is_several:
        name = event.name
    for shown in show.lines(event.when, event.source, event.text, datetime.now(UTC), name):
        output.say(shown)
