"""A container image that runs as an ECS service."""

import posixpath
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from toolkit.targets import base

action = "deploy-app"
estimate_s = 150
deadline_s = 1800
problem = base.no_problem
members = base.no_members
runnable = base.can_run


class Build(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the image is built."""

    context: Annotated[base.Folder, Meta(description="The folder that is sent to the build.")] = "."
    dockerfile: Annotated[base.Folder | None, Meta(description="The Dockerfile; the one in the context if not given.")] = None
    platform: Annotated[base.Text | None, Meta(description="For example `linux/amd64`.")] = None
    target: Annotated[base.Text | None, Meta(description="The stage to build.")] = None


class Settings(base.Settings, frozen=True, kw_only=True):
    """A container image that runs as an ECS service."""

    cluster: Annotated[base.Text, Meta(description="The ECS cluster's name.")]
    service: Annotated[base.Text, Meta(description="The ECS service's name.")]
    repository: Annotated[base.Text, Meta(description="The ECR repository's name.")]
    build: Annotated[Build | None, Meta(description="How the image is built; without it an existing image is deployed.")] = None
    container: Annotated[base.Text | None, Meta(description="The container that gets the image, if the task has several.")] = None
    health: Annotated[tuple[base.Url, ...], Meta(description="Addresses that must answer after a deploy.")] = ()
    env: Annotated[Mapping[str, str], Meta(description="Environment variables to set in the container. No secrets.")] = {}
    secrets: Annotated[Mapping[str, str], Meta(description="Variable -> ARN of a secret or parameter, never a value.")] = {}


def dockerfile(settings: Settings) -> tuple[str, str] | None:
    """Its context and Dockerfile, if toolkit builds it."""
    build = settings.build
    return None if build is None else (build.context, build.dockerfile or posixpath.normpath(f"{build.context}/Dockerfile"))


def command(target: str, settings: Settings) -> str | None:
    """The command that deploys it."""
    return f"toolkit deploy-app {target}"
