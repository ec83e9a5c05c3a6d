"""The code of one Lambda function, without its stack."""

from typing import Annotated

from msgspec import Meta

from toolkit.model import Wanted
from toolkit.targets import base

action = "deploy"
estimate_s = 30
deadline_s = 3600
problem = base.no_problem
members = base.no_members
irreversible = base.not_reversible
command = base.deploy_command
dockerfile = base.no_dockerfile
services = base.no_services
preview = apply = observe = abandon = live = base.never
health = base.no_health
permissions = base.no_permissions


class Settings(base.Watched, frozen=True, kw_only=True):
    """The code of one Lambda function, without its stack."""

    function: Annotated[base.Text, Meta(description="The function's name.")]
    source: Annotated[base.Folder, Meta(description="The folder that is packed.")]
    alias: Annotated[base.Text, Meta(description="The alias that is moved to the new version.")] = "live"


def runnable(settings: Settings) -> str | None:
    """Why it cannot be deployed by itself."""
    return "toolkit cannot deploy a function by itself yet; deploy its stack"


def wanted(settings: Settings) -> tuple[Wanted, ...]:
    """The function, and the alias that a deploy moves."""
    return (Wanted("function", settings.function, {"alias": settings.alias}),)
