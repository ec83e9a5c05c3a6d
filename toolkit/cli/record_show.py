"""`toolkit record show`."""

from typing import Any

import click

from toolkit.cli import account, options, output
from toolkit.cli.ports import open_ports
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
def record_show(ctx: click.Context, /, as_json: bool, **values: Any) -> int:
    """Show what is recorded as live for each target."""
    request = options.project(ctx, values)
    git = options.repository(request.folder)
    ports = open_ports(git, request.folder)
    account.sign_in_for(request, git, ports, silent=as_json, shared=True)
    lines, notes = flow.show(request, git, ports)
    for note in notes:
        output.note(f"note: {note}")
    if as_json:
        return output.document(show.document(lines))
    output.say(show.text(lines, output.width()))
    return 0
