"""A run that colleagues may have continued on another machine."""

import click
from msgspec import Struct

from toolkit.cli import account, options, output
from toolkit.cli.ports import open_ports
from toolkit.flow import colleagues, run_stories
from toolkit.flow.rulebook import load_rules
from toolkit.flow.stores import project_stores, store_of_run
from toolkit.model import Rules
from toolkit.ports.ports import Ports
from toolkit.record.state import Store
from toolkit.show.text import line


class OpenedRun(Struct, frozen=True):
    """A run, with what its project says and where this machine keeps it."""

    store: Store
    rules: Rules
    ports: Ports
    story: run_stories.RunStory


def open_run(
    ctx: click.Context, run: str, folder: str | None, rules: str | None, silent: bool = False
) -> OpenedRun:
    """A run of this machine, or what a colleague's machine has written of it since. Raises
    ToolkitError.
    """
    folder = options.enter(ctx, folder)
    git, named = options.repository(folder), options.inherited(ctx, "rules", rules)
    store = store_of_run(run, project_stores(folder, named, git))
    loaded, ports = load_rules(folder, named, git), open_ports(git, folder)
    options.known_environment(ctx, loaded)
    account.sign_in_for_runs(loaded, ports, silent=silent)
    shared = newer_run(run, store, loaded, ports)
    story = run_stories.run_story(store, run) if shared is None else colleagues.run_story(shared)
    return OpenedRun(store, loaded, ports, story)


def newer_run(
    run: str, store: Store, rules: Rules, ports: Ports, profile: str | None = None
) -> colleagues.ColleagueRun | None:
    """The run in the team's bucket, where that is newer than what this machine knows of it."""
    shared, problem = colleagues.newer_copy(run, store, rules, ports, profile)
    if problem:
        output.note(
            f"note: could not check whether another machine has continued it: {line(problem)}"
        )
    return shared
