"""`toolkit record repair`: for a record that cannot be read."""

import click

from toolkit.cli import options, output, ports
from toolkit.cli.record import begin, request
from toolkit.flow import record as flow
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit record repair        every damaged record of the environment
  toolkit record repair app    that of app

What is damaged is kept aside, never deleted. With a `store`, this machine's copy takes its place
if there is one; else nothing is recorded of the target, so it is due until it is deployed, or
`toolkit record set` says what is live."""


@click.command("repair", epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@options.common
@options.environment
@options.allowed
@options.as_json
@click.pass_context
def record_repair(
    ctx: click.Context,
    targets: tuple[str, ...],
    folder: str | None,
    rules: str | None,
    env: str | None,
    as_json: bool,
    allowed: bool,
) -> int:
    """Put damaged records aside."""
    asked = request(ctx, folder, rules, env, allowed)
    git = options.repository(asked.folder)
    there = ports.around(git, asked.folder)
    begin(asked, git, there, silent=as_json)
    done = flow.repair(asked, targets, git, there)
    if as_json:
        repaired = [{"target": target, "done": what} for target, what in done]
        return output.document(
            {
                "toolkit": 1,
                "command": "record repair",
                "status": "ok",
                "exit": 0,
                "repaired": repaired,
            }
        )
    if not done:
        output.say("Nothing is damaged.")
    for target, what in done:
        output.say(f"{line(target)}: {line(what)}")
    return 0
