"""`toolkit logs`: show the logs of a run's steps."""

import os

import click

from toolkit.cli import account, options, output
from toolkit.cli.ports import open_ports
from toolkit.cli.shared_runs import newer_run
from toolkit.errors import Refused
from toolkit.flow import colleagues
from toolkit.flow import run_stories as flow
from toolkit.flow.rulebook import load_rules
from toolkit.flow.stores import project_stores, store_of_run
from toolkit.ports import files
from toolkit.record.history import log_path
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
    folder = options.enter(ctx, folder)
    git, named = options.repository(folder), options.inherited(ctx, "rules", rules)
    store = store_of_run(run, project_stores(folder, named, git))
    loaded, ports = load_rules(folder, named, git), open_ports(git, folder)
    options.known_environment(ctx, loaded)
    account.sign_in_for_runs(loaded, ports)
    shared = newer_run(run, store, loaded, ports)
    story = flow.run_story(store, run) if shared is None else colleagues.run_story(shared)
    steps = [name for name, _, _ in story.summary.steps]
    if step is not None and step not in steps:
        raise Refused(
            f"run {run} has no step {step!r}", f"its steps are: {', '.join(steps) or 'none'}"
        )
    for name in [step] if step else steps:
        log = colleagues.step_log(run, name, loaded, ports, _local_log(store, run, name))
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
