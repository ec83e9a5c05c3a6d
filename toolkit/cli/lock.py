"""`toolkit lock`: show who holds which lock, and release one that was left behind."""

from typing import ClassVar

import click

from toolkit.cli import account, options, output
from toolkit.cli.main import LazyGroup
from toolkit.cli.ports import open_ports
from toolkit.flow.rulebook import environment_name
from toolkit.flow.stores import store_for
from toolkit.flow.trusted import load_trusted, require_rules_consent, trust_notice
from toolkit.model import ProjectRequest
from toolkit.record.locks import Locks, open_locks
from toolkit.run.jobs import locations
from toolkit.show.text import line


class LockGroup(LazyGroup):
    """The commands of `toolkit lock`."""

    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = {
        "show": ("toolkit.cli.lock_show", "Show who holds which lock, since when, and for what."),
        "release": ("toolkit.cli.lock_release", "Release a lock whose holder is gone."),
    }


@click.group("lock", cls=LockGroup)
def lock() -> None:
    """Show or release the locks that prevent two runs from deploying the same target."""


def locks(project: ProjectRequest, as_json: bool = False, changes: bool = False) -> Locks:
    """The locks of a project; those in the environment's bucket, too, if it has one. `changes`: one
    is to be released.
    """
    git = options.repository(project.folder)
    rules = load_trusted(project.folder, project.rules, git, project.allowed)
    name = environment_name(project.environment, rules)
    ports = open_ports(git, project.folder)
    sign_in = account.SignIn(environments=(name,), silent=as_json, shared=True)
    account.sign_in_with(sign_in, rules, ports)
    for remark in trust_notice(rules, name):
        output.note(f"note: {line(remark)}")
    if changes:
        require_rules_consent(rules, name)
    location = locations(rules.environments.get(name) if name else None, None, None)[0]
    return open_locks(store_for(rules, ports, location.profile), location, ports)
