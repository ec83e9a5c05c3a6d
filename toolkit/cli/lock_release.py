"""`toolkit lock release`: for a holder that is gone."""

from typing import Any

import click

from toolkit.cli import options, output
from toolkit.cli.lock import locks
from toolkit.record.locks import Holder
from toolkit.show import history as display


@click.command("release")
@click.argument("name")
@click.option(
    "--id",
    "id_",
    required=True,
    metavar="ID",
    help="The lock's id, as `toolkit lock show` prints it.",
)
@click.option("--dry-run", is_flag=True, help="Only show who holds the lock.")
@options.common
@options.environment
@options.allowed
@click.pass_context
def lock_release(ctx: click.Context, /, name: str, id_: str, dry_run: bool, **values: Any) -> int:
    """Release a lock whose holder is gone.

    NAME is ENVIRONMENT/REGION/TARGET as `toolkit lock show` prints it. If the holder still runs,
    it starts nothing new after this.
    """
    project_locks = locks(options.project(ctx, values), changes=not dry_run)
    if dry_run:
        held: list[tuple[str, Holder | None, str]] = []
        for lock_name, holder, where in project_locks.show():
            if lock_name == name and holder is not None and holder.id == id_:
                held.append((lock_name, holder, where))
        output.say(display.locks(held, output.width()))
        return 0
    places = project_locks.force_release(name, id_)
    output.say(f"released: {name} ({', '.join(places)})")
    return 0
