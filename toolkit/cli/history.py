"""`toolkit history`: the runs that were made from here."""

import click

from toolkit.cli import options, output
from toolkit.flow.stores import stores_around
from toolkit.record.history import runs
from toolkit.show import history as show


@click.command(epilog="\b\nExamples:\n  toolkit history\n  toolkit history -n 100 --json")
@click.option("-n", "most", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many runs at most.")
@options.common
@options.as_json
@click.pass_context
def history(ctx: click.Context, most: int, folder: str | None, rules: str | None, as_json: bool) -> int:
    """The runs that were made from this machine, newest first."""
    folder = options.enter(ctx, folder)
    stores = stores_around(folder, options.inherited(ctx, "rules", rules), options.repository(folder))
    found = sorted((run for store in stores for run in runs(store, most)), key=lambda run: run.run, reverse=True)[:most]
    if as_json:
        return output.document(show.runs_document(found))
    output.say(show.runs(found, output.width()))
    return 0
