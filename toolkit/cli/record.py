"""`toolkit record`: what is recorded as live."""

from typing import ClassVar

import click

from toolkit.cli import account, options
from toolkit.cli.main import LazyGroup
from toolkit.flow.record import RecordRequest
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports


class RecordGroup(LazyGroup):
    """The commands of `toolkit record`."""

    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = {
        "show": ("toolkit.cli.record_show", "Show what is recorded as live of each target."),
        "set": ("toolkit.cli.record_set", "Record that a commit is live of a target."),
        "repair": ("toolkit.cli.record_repair", "Put damaged records aside."),
    }


@click.group("record", cls=RecordGroup)
def record() -> None:
    """Show, set or repair the record of what is live."""


def request(
    ctx: click.Context, folder: str | None, rules: str | None, env: str | None, allowed: bool
) -> RecordRequest:
    """Whose record is meant."""
    folder = options.enter(ctx, folder)
    named, environment = options.inherited(ctx, "rules", rules), options.inherited(ctx, "env", env)
    return RecordRequest(folder, named, environment, allowed=allowed)


def begin(
    asked: RecordRequest, git: Git | None, there: Ports, silent: bool, shared: bool = True
) -> None:
    """What comes before anything else (account.py). `shared`: no more is asked than the record's
    bucket.
    """
    account.begin(
        there,
        git,
        asked.folder,
        asked.rules,
        asked.environment,
        asked.profile,
        asked.region,
        silent=silent,
        allowed=asked.allowed,
        shared=shared,
    )
