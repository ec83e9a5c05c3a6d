"""`toolkit logs`: what the steps of a run said."""

import os

import click

from toolkit.cli import options, output
from toolkit.errors import Refused
from toolkit.flow import runs as flow
from toolkit.flow.stores import store_with, stores_around
from toolkit.ports import files
from toolkit.record.history import log_path
from toolkit.show.text import line

MOST_BYTES = 64 << 20


@click.command(
    epilog="\b\nExamples:\n  toolkit logs 20261120-193742-x7k2      all its steps\n  toolkit logs 20261120-193742-x7k2 app  one of them"
)
@click.argument("run")
@click.argument("step", required=False)
@options.common
@click.pass_context
def logs(ctx: click.Context, run: str, step: str | None, folder: str | None, rules: str | None) -> int:
    """The logs of a run's steps."""
    folder = options.enter(ctx, folder)
    store = store_with(run, stores_around(folder, options.inherited(ctx, "rules", rules), options.repository(folder)))
    steps = [name for name, _, _ in flow.look_at(store, run).summary.steps]
    if step is not None and step not in steps:
        raise Refused(f"run {run} has no step {step!r}", f"it has {', '.join(steps) or 'none'}")
    for name in [step] if step else steps:
        path = log_path(store, run, name)
        if not os.path.lexists(path):
            output.note(f"{line(name)}: nothing was written")
            continue
        for written in files.read(path, MOST_BYTES).decode("utf-8", "replace").splitlines():
            output.say(line(written) if step else f"[{line(name)}] {line(written)}")
    return 0
