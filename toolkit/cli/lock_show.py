"""`toolkit lock show`: the locks that are held."""

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
def lock_show(
    ctx: click.Context,
    target: str | None,
    folder: str | None,
    rules: str | None,
    env: str | None,
    allowed: bool,
    as_json: bool,
) -> int:
    """Who holds which lock, since when, and for what.

    TARGET is a target's name, or a lock's: ENVIRONMENT/REGION/TARGET.
    """
    found = [
        lock
        for lock in locks(ctx, folder, rules, env, allowed, as_json).show()
        if target is None or target in (lock[0], lock[0].split("/", 2)[-1])
    ]
    found = [(name, _told(by, where), where) for name, by, where in found]
    if as_json:
        return output.document(display.locks_document(found))
    output.say(display.locks(found, output.width()))
    return 0


def _told(by: Holder | None, where: str) -> Holder | None:
    """A lock of this machine ends with its process; what it leaves says only what was going on."""
    gone = by is not None and where == "local" and not by.problem and by.ended
    return (
        replace(by, problem="its process has ended: nobody has to wait for it")
        if by is not None and gone
        else by
    )
