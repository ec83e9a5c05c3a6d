"""The command-line options of apps, and what a rollback of one puts back."""

from enum import StrEnum
from typing import Annotated

from msgspec import Struct

from toolkit.targets.base import KindOptions, option
from toolkit.targets.container_test import FAST


class InProgress(StrEnum):
    """What to do if another deployment of the service is in progress."""

    WAIT = "wait"
    REFUSE = "refuse"
    REPLACE = "replace"


class AppOptions(KindOptions, frozen=True, kw_only=True):
    """The options of a deploy of an app."""

    no_build: Annotated[bool, option("Build nothing; deploy the image in --image.")] = False
    image: Annotated[
        str | None, option("The tag or digest of an image in the repository.", "TAG")
    ] = None
    builder: Annotated[
        str | None,
        option(
            "docker, podman, buildah or built-in; the default is the first one found.",
            "NAME",
            consent=True,
        ),
    ] = None
    fast: Annotated[bool, FAST] = False
    force: Annotated[bool, option("Deploy even if nothing changes.", consent=True)] = False
    create: Annotated[
        bool, option("Create the ECR repository if it does not exist.", consent=True)
    ] = False
    take_over: Annotated[
        bool,
        option(
            "Keep what was changed outside toolkit: base the new task definition on the running"
            " one.",
            consent=True,
            rollback=True,
        ),
    ] = False
    in_progress: Annotated[
        InProgress,
        option(
            "What to do if another deployment of the service is in progress; the default is to"
            " wait.",
            consent=True,
        ),
    ] = InProgress.WAIT


class AppRestore(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image and the task definition that a good deploy put there; None where its record does
    not say.
    """

    image_digest: str | None = None
    task_definition: str | None = None
