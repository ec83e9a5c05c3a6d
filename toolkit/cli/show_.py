"""`toolkit show`: one run."""

import click

from toolkit.cli import account, options, output
from toolkit.cli.ports import open_ports
from toolkit.cli.shared_runs import newer_run
from toolkit.flow import colleagues
from toolkit.flow import run_stories as flow
from toolkit.flow.rulebook import load_rules
from toolkit.flow.stores import project_stores, store_of_run
from toolkit.ports import processes
from toolkit.show import history as display


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
    """Show one run: its command, and how each step ended."""
    folder = options.enter(ctx, folder)
    git, named = options.repository(folder), options.inherited(ctx, "rules", rules)
    store = store_of_run(run, project_stores(folder, named, git))
    loaded, ports = load_rules(folder, named, git), open_ports(git, folder)
    options.known_environment(ctx, loaded)
    account.sign_in_for_runs(loaded, ports, silent=as_json)
    shared = newer_run(run, store, loaded, ports)
    story = flow.run_story(store, run) if shared is None else colleagues.run_story(shared)
    if as_json:
        return output.document(display.run_document(story.summary, story.steps))
    output.say(display.run(story.summary, story.steps, processes.current_process().host))
    return 0
