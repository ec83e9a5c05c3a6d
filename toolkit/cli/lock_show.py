"""`toolkit lock show`: the locks that are held."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import options, output
from toolkit.cli.lock import locks
from toolkit.record.locks import Holder
from toolkit.show import history as display


@click.command("show")
@click.argument("target", required=False)
@options.common
@options.environment
@options.allowed
@options.as_json
@click.pass_context
def lock_show(ctx: click.Context, /, target: str | None, as_json: bool, **values: Any) -> int:
    """Show who holds which lock, since when, and for what.

    TARGET is the name of a target or of a lock (ENVIRONMENT/REGION/TARGET).
    """
    held: list[tuple[str, Holder | None, str]] = []
    for name, holder, where in locks(options.project(ctx, values), as_json).show():
        if target is None or target in (name, name.split("/", 2)[-1]):
            held.append((name, _with_end(holder, where), where))
    if as_json:
        return output.document(display.locks_document(held))
    output.say(display.locks(held, output.width()))
    return 0


def _with_end(holder: Holder | None, where: str) -> Holder | None:
    """A lock of this machine ends with its process: the file that is left holds nobody up."""
    if holder is None or where != "local" or holder.problem or not holder.ended:
        return holder
    return replace(holder, problem="its process has ended: it blocks nobody")
