"""`toolkit history`: the runs of this machine and, with a store, of colleagues."""

from collections.abc import Sequence

import click

from toolkit.advice import SameOptions
from toolkit.cli import account, options, output
from toolkit.cli.global_options import environment_option
from toolkit.cli.ports import open_ports
from toolkit.flow import colleagues
from toolkit.flow.rulebook import load_rules
from toolkit.flow.stores import project_stores
from toolkit.model import Rules
from toolkit.ports import processes
from toolkit.ports.ports import Ports
from toolkit.record.state import Store
from toolkit.show import history as show
from toolkit.show.text import line


@click.command(
    epilog=(
        "\b\nExamples:\n  toolkit history\n  toolkit history -n 100 --json\n"
        "  toolkit history --stats -e prod"
    )
)
@click.option(
    "-n",
    "most",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Show at most this many runs.",
)
@click.option(
    "--stats",
    "as_statistics",
    is_flag=True,
    help="Show how long runs and their steps took, and how many went well.",
)
@options.common
@options.color
@environment_option("Only runs in this environment.")
@options.as_json
@click.pass_context
def history(
    ctx: click.Context, /, most: int, as_statistics: bool, as_json: bool, **values: str | None
) -> int:
    """List the runs of this machine, or with a `store` everybody's, newest first."""
    folder = options.enter(ctx, values["folder"])
    git, named = options.repository(folder), options.inherited(ctx, "rules", values["rules"])
    stores, loaded = project_stores(folder, named, git), load_rules(folder, named, git)
    ports = open_ports(git, folder)
    environment = options.known_environment(ctx, loaded)
    account.sign_in_for_runs(loaded, ports, silent=as_json)
    if as_statistics:
        return _statistics(stores, loaded, ports, environment, as_json)
    problems = colleagues.send_unsent(loaded, ports, stores)
    runs, notes = colleagues.list_runs(loaded, ports, stores, most, environment)
    for words in (*problems, *notes):
        output.note_advice(words, SameOptions(named), "note: ")
    if as_json:
        return output.document(show.runs_document(runs))
    output.say(show.runs(runs, output.width(), processes.current_process().host))
    return 0


def _statistics(
    stores: Sequence[Store], rules: Rules, ports: Ports, environment: str | None, as_json: bool
) -> int:
    from toolkit.record import statistics
    from toolkit.show import statistics as show_statistics

    shared = colleagues.read_runs(rules, ports, environment)
    runs = [*statistics.local_runs(stores), *shared.runs]
    computed = statistics.statistics(runs, ports.clock.now(), environment)
    rows, days, sources = computed.rows, statistics.DAYS, ("this machine", *shared.addresses)
    for problem in shared.problems:
        output.note(f"note: {line(problem)}: not counted")
    if as_json:
        return output.document(
            show_statistics.document(rows, days, computed.unreadable, sources, shared.problems)
        )
    output.say(show_statistics.text(rows, days, computed.unreadable, sources))
    return 0
