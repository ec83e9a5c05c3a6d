"""`toolkit logs`: show the logs of a run's steps."""

import os

import click

from toolkit.cli import options, output
from toolkit.cli.shared_runs import open_run
from toolkit.errors import Refused
from toolkit.flow import colleagues
from toolkit.flow.hooks import BEFORE
from toolkit.ports import files
from toolkit.record.history import log_names, log_path
from toolkit.record.state import Store
from toolkit.show.text import line

MOST_BYTES = 64 << 20


@click.command(
    epilog=(
        "\b\nExamples:\n  toolkit logs 20261120-193742-x7k2      the logs of all steps\n  "
        "toolkit logs 20261120-193742-x7k2 app  the log of one step"
    )
)
@click.argument("run")
@click.argument("step", required=False)
@options.common
@click.pass_context
def logs(
    ctx: click.Context, run: str, step: str | None, folder: str | None, rules: str | None
) -> int:
    """Show the logs of a run's steps."""
    opened = open_run(ctx, run, folder, rules)
    steps = [name for name, _, _ in opened.story.summary.steps]
    hooks = [name for name in log_names(opened.store, run) if name.endswith(BEFORE)]
    steps = [*hooks, *steps]
    if step is not None and step not in steps:
        raise Refused(
            f"run {run} has no step {step!r}", f"its steps are: {', '.join(steps) or 'none'}"
        )
    for name in [step] if step else steps:
        local_log = _local_log(opened.store, run, name)
        log = colleagues.step_log(run, name, opened.rules, opened.ports, local_log)
        if log is None:
            output.note(f"{line(name)}: nothing was written")
            continue
        prefix = "" if step else f"[{line(name)}] "
        for text in log.decode("utf-8", "replace").splitlines():
            output.say(prefix + line(text))
    return 0


def _local_log(store: Store, run: str, step: str) -> bytes | None:
    """The log of a step on this machine, None if there is none."""
    path = log_path(store, run, step)
    return files.read(path, MOST_BYTES) if os.path.lexists(path) else None
