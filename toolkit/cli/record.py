"""`toolkit record`: what is recorded as live."""

from typing import ClassVar

import click

from toolkit.cli.main import LazyGroup


class RecordGroup(LazyGroup):
    """The commands of `toolkit record`."""

    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = {
        "show": ("toolkit.cli.record_show", "Show what is recorded as live for each target."),
        "set": ("toolkit.cli.record_set", "Record that a commit is live for a target."),
        "repair": ("toolkit.cli.record_repair", "Set damaged records aside."),
    }


@click.group("record", cls=RecordGroup)
def record() -> None:
    """Show, set or repair the record of what is live."""
