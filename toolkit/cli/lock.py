"""`toolkit lock`: who is at work on what, and how to release a lock that nobody else will."""

from typing import ClassVar

import click

from toolkit.cli import account, options, world
from toolkit.cli.main import Lazy
from toolkit.flow import runs
from toolkit.flow.rulebook import environment, load_rules
from toolkit.record.locks import Locks, open_locks
from toolkit.run.jobs import places


class LockGroup(Lazy):
    """The commands of `toolkit lock`."""

    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = {
        "show": ("toolkit.cli.lock_show", "Who holds which lock, since when, and for what."),
        "release": ("toolkit.cli.lock_release", "Release a lock whose holder is gone."),
    }


@click.group("lock", cls=LockGroup)
def lock() -> None:
    """The locks that keep two runs from one target."""


def locks(ctx: click.Context, folder: str | None, rules: str | None, env: str | None, as_json: bool = False) -> Locks:
    """The locks of the project around a folder; those in the environment's bucket, too, if it has one."""
    folder = options.enter(ctx, folder)
    git = options.repository(folder)
    named = options.inherited(ctx, "rules", rules)
    loaded = load_rules(folder, named, git)
    name = environment(options.inherited(ctx, "env", env), loaded)
    place = places(loaded.environments.get(name) if name else None, None, None)[0]
    there = world.around(git, folder)
    account.begin(there if place.store else None, git, folder, named, options.inherited(ctx, "env", env), silent=as_json)
    return open_locks(runs.store_of(folder, named, git), place, there)
