"""`toolkit lock`: who is at work on what, and how to release a lock that nobody else will."""

from typing import ClassVar

import click

from toolkit.cli import account, options, output, ports
from toolkit.cli.main import LazyGroup
from toolkit.flow.rulebook import environment
from toolkit.flow.stores import store_for
from toolkit.flow.trusted import agree, load_trusted, told
from toolkit.record.locks import Locks, open_locks
from toolkit.run.jobs import locations
from toolkit.show.text import line


class LockGroup(LazyGroup):
    """The commands of `toolkit lock`."""

    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = {
        "show": ("toolkit.cli.lock_show", "Who holds which lock, since when, and for what."),
        "release": ("toolkit.cli.lock_release", "Release a lock whose holder is gone."),
    }


@click.group("lock", cls=LockGroup)
def lock() -> None:
    """The locks that keep two runs from one target."""


def locks(
    ctx: click.Context,
    folder: str | None,
    rules: str | None,
    env: str | None,
    allowed: bool,
    as_json: bool = False,
    changes: bool = False,
) -> Locks:
    """The locks of the project around a folder; those in the environment's bucket, too, if it has
    one. `changes`: one is to be released.
    """
    folder = options.enter(ctx, folder)
    git = options.repository(folder)
    named = options.inherited(ctx, "rules", rules)
    loaded = load_trusted(folder, named, git, allowed)
    name = environment(options.inherited(ctx, "env", env), loaded)
    around = ports.around(git, folder)
    account.begin_with(loaded, around, name, silent=as_json, shared=True)
    for remark in told(loaded, name):
        output.note(f"note: {line(remark)}")
    if changes:
        agree(loaded, name)
    location = locations(loaded.environments.get(name) if name else None, None, None)[0]
    return open_locks(store_for(loaded, around, location.profile), location, around)
