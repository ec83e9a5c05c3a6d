"""`toolkit show`: one run."""

import click

from toolkit.cli import account, options, output, ports
from toolkit.flow import colleagues
from toolkit.flow import runs as flow
from toolkit.flow.rulebook import load_rules
from toolkit.flow.stores import store_with, stores_around
from toolkit.record import processes
from toolkit.show import history as display
from toolkit.show.text import line


@click.command(
    "show",
    epilog=(
        "\b\nExamples:\n  toolkit show 20261120-193742-x7k2\n  toolkit show 20261120-193742-x7k2"
        " --json"
    ),
)
@click.argument("run")
@options.common
@options.as_json
@click.pass_context
def show(ctx: click.Context, run: str, folder: str | None, rules: str | None, as_json: bool) -> int:
    """One run: what was asked, and how each step ended."""
    folder = options.enter(ctx, folder)
    git, named = options.repository(folder), options.inherited(ctx, "rules", rules)
    store = store_with(run, stores_around(folder, named, git))
    loaded, there = load_rules(folder, named, git), ports.around(git, folder)
    options.known_environment(ctx, loaded)
    account.begin_with_runs(loaded, there, silent=as_json)
    shared, problem = colleagues.newer(run, store, loaded, there)
    if problem:
        output.note(
            "note: whether another machine has gone on with it could not be checked:"
            f" {line(problem)}"
        )
    found = flow.look_at(store, run) if shared is None else colleagues.story(shared)
    if as_json:
        return output.document(display.run_document(found.summary, found.steps))
    output.say(display.run(found.summary, found.steps, processes.current_process().host))
    return 0
