"""Several targets under one name, such as the full infrastructure. A group covers its members."""

from typing import Annotated

from msgspec import Meta

from toolkit.targets import base

action = "deploy"
estimate_s = 0
deadline_s = 3600
program = False
by_image = False
restores_with = ""
problem = base.no_problem
writes = base.no_writes
instructions = base.no_instructions
sources = base.no_sources
aliases = base.no_aliases
irreversible = base.not_reversible
restorable = base.never_restorable
command = base.deploy_command
dockerfile = base.no_dockerfile
inputs = base.no_inputs
linked = base.nothing_linked
provisions = base.nothing_to_provision
services = base.no_services
preview = apply = observe = abandon = live = base.never
health = base.no_health
permissions = base.no_permissions


class Settings(base.Settings, frozen=True, kw_only=True):
    """Several targets under one name, such as the full infrastructure."""

    members: Annotated[
        tuple[base.Text, ...], Meta(min_length=1, description="The targets that it covers.")
    ]


def members(settings: Settings) -> tuple[str, ...]:
    """What it is for."""
    return settings.members


def runnable(settings: Settings) -> str | None:
    """Why it cannot be deployed by itself."""
    return "a group is deployed as its members"
