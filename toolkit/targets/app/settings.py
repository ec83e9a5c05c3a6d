"""The settings of an app in rules.toml."""

import posixpath
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from toolkit.model import ImageSource
from toolkit.targets import base
from toolkit.targets.container_test import ContainerTest


class Build(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the image is built."""

    context: Annotated[base.Folder, Meta(description="The folder that is sent to the build.")] = "."
    dockerfile: Annotated[
        base.Folder | None, Meta(description="The Dockerfile; by default the one in the context.")
    ] = None
    platform: Annotated[base.Text | None, Meta(description="For example `linux/amd64`.")] = None
    target: Annotated[base.Text | None, Meta(description="The stage to build.")] = None
    args: Annotated[
        Mapping[str, str],
        Meta(
            description=(
                "Build arguments. No secrets. `{commit}` and `{version}` stand for what is built."
            )
        ),
    ] = {}


class AppSettings(base.WatchSettings, frozen=True, kw_only=True):
    """A container image that runs as an ECS service."""

    cluster: Annotated[base.Text, Meta(description="The ECS cluster's name.")]
    service: Annotated[base.Text, Meta(description="The ECS service's name.")]
    repository: Annotated[
        base.Text,
        Meta(
            description=(
                "The ECR repository's name; `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME` or an ARN"
                " for another account's."
            )
        ),
    ]
    build: Annotated[
        Build | None,
        Meta(description="How the image is built; without it an existing image is deployed."),
    ] = None
    container_test: Annotated[
        ContainerTest | None,
        Meta(description="How a container of a new image is tested before the push."),
    ] = None
    container: Annotated[
        base.Text | None,
        Meta(
            description=(
                "The container that gets the image; by default all with an image from the "
                "repository. Targets with the same service each need one."
            )
        ),
    ] = None
    env: Annotated[
        Mapping[str, str],
        Meta(description="Environment variables to set in the container. No secrets."),
    ] = {}
    secrets: Annotated[
        Mapping[str, str],
        Meta(description="Variable -> ARN of a secret or parameter, never a value."),
    ] = {}
    min_tasks: Annotated[
        int,
        Meta(
            ge=0,
            description=(
                "If the service's desired count is lower, `health` reports it as failing; if "
                "it is 0, a deploy is unhealthy. Set 0 for a service that may be scaled to "
                "zero."
            ),
        ),
    ] = 1
    roles: Annotated[
        tuple[base.Role, ...],
        Meta(
            description=(
                "The names of the task's roles, with their paths; `permissions` then allows "
                "only these."
            )
        ),
    ] = ()


def image_source(build: Build) -> ImageSource:
    """What its image is built from."""
    file = build.dockerfile or posixpath.normpath(f"{build.context}/Dockerfile")
    return ImageSource(build.context, file, build.target, build.args)


def health_outputs(settings: AppSettings) -> dict[str, str]:
    """Its health addresses by name: `HealthUrl`, then `HealthUrl2` and so on."""
    outputs: dict[str, str] = {}
    for number, address in enumerate(settings.health, 1):
        name = "HealthUrl"
        if number > 1:
            name += str(number)
        outputs[name] = address
    return outputs
