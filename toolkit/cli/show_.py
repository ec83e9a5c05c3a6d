"""`toolkit show`: one run."""

import click

from toolkit.cli import options, output
from toolkit.flow import runs as flow
from toolkit.flow.stores import store_with, stores_around
from toolkit.show import history as display


@click.command("show", epilog="\b\nExamples:\n  toolkit show 20261120-193742-x7k2\n  toolkit show 20261120-193742-x7k2 --json")
@click.argument("run")
@options.common
@options.as_json
@click.pass_context
def show(ctx: click.Context, run: str, folder: str | None, rules: str | None, as_json: bool) -> int:
    """One run: what was asked, and how each step ended."""
    folder = options.enter(ctx, folder)
    store = store_with(run, stores_around(folder, options.inherited(ctx, "rules", rules), options.repository(folder)))
    found = flow.look_at(store, run)
    if as_json:
        return output.document(display.run_document(found.summary, found.steps))
    output.say(display.run(found.summary, found.steps))
    return 0
