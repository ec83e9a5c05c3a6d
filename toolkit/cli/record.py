"""`toolkit record`: what is recorded as live."""

from typing import Any, ClassVar

import click

from toolkit.cli import account, options
from toolkit.cli.main import LazyGroup
from toolkit.flow.record import RecordRequest
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports


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


def record_request(ctx: click.Context, values: dict[str, Any]) -> RecordRequest:
    """Whose record the shared options select."""
    project = options.project(ctx, values)
    return RecordRequest(
        project.folder, project.rules, project.environment, allowed=project.allowed
    )


def sign_in(
    request: RecordRequest, git: Git | None, ports: Ports, silent: bool, shared: bool = True
) -> None:
    """What comes before anything else (account.py). `shared`: only the record's bucket is
    called.
    """
    called = account.SignIn(
        environments=(request.environment,),
        profile=request.profile,
        region=request.region,
        silent=silent,
        shared=shared,
    )
    account.sign_in(called, ports, git, request.folder, request.rules, request.allowed)
