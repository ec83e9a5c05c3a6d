"""`toolkit record repair`: for a record that cannot be read."""

from typing import Any

import click

from toolkit.cli import account, options, output
from toolkit.cli.ports import open_ports
from toolkit.flow import record as flow
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit record repair        repair every damaged record of the environment
  toolkit record repair app    repair the record of app

Damaged records are set aside, never deleted. With a `store`, this machine's copy takes their place
if it exists. Otherwise the target has no record, so it is due until it is deployed, or until you
run `toolkit record set`."""


@click.command("repair", epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@options.common
@options.environment
@options.allowed
@options.as_json
@click.pass_context
def record_repair(
    ctx: click.Context, /, targets: tuple[str, ...], as_json: bool, **values: Any
) -> int:
    """Set damaged records aside."""
    request = options.project(ctx, values)
    git = options.repository(request.folder)
    ports = open_ports(git, request.folder)
    account.sign_in_for(request, git, ports, silent=as_json, shared=True)
    repairs = flow.repair(request, targets, git, ports)
    if as_json:
        head = {"toolkit": 1, "command": "record repair", "status": "ok", "exit": 0}
        repaired = [{"target": target, "done": what} for target, what in repairs]
        return output.document({**head, "repaired": repaired})
    if not repairs:
        output.say("Nothing is damaged.")
    for target, what in repairs:
        output.say(f"{line(target)}: {line(what)}")
    return 0
