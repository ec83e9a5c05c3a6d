"""`toolkit record show`."""

import click

from toolkit.cli import options, output, ports
from toolkit.cli.record import begin, request
from toolkit.flow import record as flow
from toolkit.show import record as show


@click.command(
    "show", epilog="\b\nExamples:\n  toolkit record show\n  toolkit record show --env prod --json"
)
@options.common
@options.environment
@options.allowed
@options.as_json
@click.pass_context
def record_show(
    ctx: click.Context,
    folder: str | None,
    rules: str | None,
    env: str | None,
    as_json: bool,
    allowed: bool,
) -> int:
    """Show what is recorded as live of each target."""
    asked = request(ctx, folder, rules, env, allowed)
    git = options.repository(asked.folder)
    there = ports.around(git, asked.folder)
    begin(asked, git, there, silent=as_json)
    lines, notes = flow.show(asked, git, there)
    for note in notes:
        output.note(f"note: {note}")
    if as_json:
        return output.document(show.document(lines))
    output.say(show.text(lines, output.width()))
    return 0
