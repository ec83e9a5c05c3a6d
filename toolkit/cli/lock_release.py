"""`toolkit lock release`: for a holder that is gone."""

import click

from toolkit.cli import options, output
from toolkit.cli.lock import locks


@click.command("release")
@click.argument("name")
@click.option("--id", "id_", required=True, metavar="ID", help="The lock's id, as `toolkit lock show` prints it.")
@options.common
@options.environment
@click.pass_context
def lock_release(ctx: click.Context, name: str, id_: str, folder: str | None, rules: str | None, env: str | None) -> int:
    """Release a lock whose holder is gone.

    NAME is ENVIRONMENT/REGION/TARGET as `toolkit lock show` prints it. A holder that still runs begins nothing new from then on.
    """
    where = locks(ctx, folder, rules, env).force_release(name, id_)
    output.say(f"released: {name} ({', '.join(where)})")
    return 0
