"""`toolkit lock release`: for a holder that is gone."""

import click

from toolkit.cli import options, output
from toolkit.cli.lock import locks
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
@click.option("--dry-run", is_flag=True, help="Only say whose lock it is.")
@options.common
@options.environment
@options.allowed
@click.pass_context
def lock_release(
    ctx: click.Context,
    name: str,
    id_: str,
    dry_run: bool,
    folder: str | None,
    rules: str | None,
    env: str | None,
    allowed: bool,
) -> int:
    """Release a lock whose holder is gone.

    NAME is ENVIRONMENT/REGION/TARGET as `toolkit lock show` prints it. A holder that still runs
    begins nothing new from then on.
    """
    found = locks(ctx, folder, rules, env, allowed, changes=not dry_run)
    if dry_run:
        held = [
            one
            for one in found.show()
            if one[0] == name and one[1] is not None and one[1].id == id_
        ]
        output.say(display.locks(held, output.width()))
        return 0
    where = found.force_release(name, id_)
    output.say(f"released: {name} ({', '.join(where)})")
    return 0
