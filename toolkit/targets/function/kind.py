"""The code of one Lambda function, without its stack."""

from typing import TYPE_CHECKING

from toolkit.model import Inputs, Job, LiveVersion, Provision, Resource, Statement
from toolkit.targets import base

if TYPE_CHECKING:
    from toolkit.ports.ports import Ports
from toolkit.targets.function.settings import Settings as Settings

action = "deploy"
estimate_s = 30
deadline_s = 3600
program = True
by_image = False
restores_with = ""
problem = base.no_problem
instructions = base.no_instructions
sources = base.no_sources
aliases = base.no_aliases
members = base.no_members
irreversible = base.not_reversible
restorable = base.never_restorable
command = base.deploy_command
dockerfile = base.no_dockerfile
linked = base.nothing_linked
preview = apply = observe = abandon = live = base.never


def runnable(settings: Settings) -> str | None:
    """Why it cannot be deployed by itself."""
    return "toolkit cannot deploy a function by itself yet; deploy its stack"


def inputs(settings: Settings) -> Inputs:
    """Its folder."""
    return Inputs(folders=(settings.source,))


def provisions(settings: Settings) -> tuple[Provision, ...]:
    """The function, and the alias that a deploy moves."""
    return (Provision("function", settings.function, {"alias": settings.alias}),)


def writes(settings: Settings) -> tuple[Resource, ...]:
    """The function's code, whichever alias is moved to it."""
    words = settings.function.split(":")
    name = words[0]
    if settings.function.startswith("arn:") and len(words) > 6:
        name = words[6]
    return (Resource("function", name),)


def services() -> tuple[str, ...]:
    """Lambda, and CloudWatch for its errors and alarms."""
    return ("lambda", "cloudwatch")


def permissions(job: Job) -> tuple[Statement, ...]:
    """For a look at it: nothing is deployed."""
    from toolkit.targets.function import policy

    return policy.statements(job)


def health(job: Job, ports: "Ports", tell: base.Tell) -> LiveVersion | None:
    """Its state, the version behind its alias, its errors and alarms."""
    from toolkit.targets.function import health

    return health.report_health(job, ports, tell)
