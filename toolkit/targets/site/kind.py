"""A static site in an S3 bucket, perhaps behind CloudFront."""

from typing import TYPE_CHECKING

from toolkit.model import Inputs, Job, LiveVersion, Provision, Resource, Statement
from toolkit.targets import base

if TYPE_CHECKING:
    from toolkit.ports.ports import Ports
from toolkit.targets.site.settings import Settings as Settings

action = "deploy"
estimate_s = 60
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
    return "toolkit cannot deploy a site yet; upload it by hand"


def inputs(settings: Settings) -> Inputs:
    """Its folder."""
    return Inputs(folders=(settings.source,))


def provisions(settings: Settings) -> tuple[Provision, ...]:
    """Its bucket."""
    return (Provision("bucket", settings.bucket),)


def writes(settings: Settings) -> tuple[Resource, ...]:
    """All of its bucket."""
    return (Resource("bucket", settings.bucket),)


def services() -> tuple[str, ...]:
    """S3, CloudFront, and CloudWatch for its alarms. ACM is called in another region, by some sites
    only.
    """
    return ("s3", "cloudfront", "cloudwatch")


def permissions(job: Job) -> tuple[Statement, ...]:
    """For a look at it: nothing is deployed."""
    from toolkit.targets.site import policy

    return policy.statements(job)


def health(job: Job, ports: "Ports", tell: base.Tell) -> LiveVersion | None:
    """Its bucket, first page, distribution, certificate and alarms."""
    from toolkit.targets.site import health

    return health.report_health(job, ports, tell)
