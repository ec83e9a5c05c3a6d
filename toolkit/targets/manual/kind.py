"""Something that a person deploys: toolkit only reports that it is due."""

from typing import Annotated

from msgspec import Meta

from toolkit.targets import base

action = "by hand"
estimate_s = 0
deadline_s = 3600
program = False
by_image = False
restores_with = ""
problem = base.no_problem
writes = base.no_writes
sources = base.no_sources
aliases = base.no_aliases
members = base.no_members
irreversible = base.not_reversible
restorable = base.never_restorable
dockerfile = base.no_dockerfile
inputs = base.no_inputs
linked = base.nothing_linked
provisions = base.nothing_to_provision
services = base.no_services
preview = apply = observe = abandon = live = base.never
health = base.no_health
permissions = base.no_permissions


class Settings(base.Settings, frozen=True, kw_only=True):
    """Something that a person deploys: toolkit only reports that it is due."""

    instructions: Annotated[base.Text, Meta(description="What to do, in a sentence.")]


def command(target: str, settings: Settings) -> str | None:
    """There is none."""
    return None


def instructions(settings: Settings) -> str | None:
    """What a person has to do."""
    return settings.instructions


def runnable(settings: Settings) -> str | None:
    """What a person has to do."""
    return f"only a person can: {settings.instructions}"
