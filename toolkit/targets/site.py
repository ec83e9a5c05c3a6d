"""A static site in an S3 bucket, perhaps behind CloudFront."""

from typing import Annotated

from msgspec import Meta

from toolkit.model import Wanted
from toolkit.targets import base

action = "deploy"
estimate_s = 60
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
    """A static site in an S3 bucket, perhaps behind CloudFront."""

    source: Annotated[base.Folder, Meta(description="The folder with the built site.")]
    bucket: Annotated[base.Text, Meta(description="The bucket's name.")]
    distribution: Annotated[base.Text | None, Meta(description="The CloudFront distribution's id.")] = None


def runnable(settings: Settings) -> str | None:
    """Why it cannot be deployed by itself."""
    return "toolkit cannot deploy a site yet; upload it by hand"


def wanted(settings: Settings) -> tuple[Wanted, ...]:
    """Its bucket."""
    return (Wanted("bucket", settings.bucket),)
