"""The settings of a function in rules.toml."""

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from toolkit.model import ImageSource
from toolkit.targets import base, container_test
from toolkit.targets.container_test import ContainerTest

ORIGINS = ("source", "build", "image", "s3")
"""The settings that say what the code comes from."""
_NUMBER = re.compile(r"[0-9]+")


class FunctionBuild(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the package's files are made."""

    command: Annotated[
        tuple[base.Text, ...],
        Meta(min_length=1, description="The program and its arguments; no shell reads them."),
    ]
    output: Annotated[base.Folder, Meta(description="The folder that is packed afterwards.")]
    folder: Annotated[base.Folder, Meta(description="Where the command runs.")] = "."
    pass_env: Annotated[
        tuple[base.Variables, ...],
        Meta(
            description=(
                "Variables of your environment that the command gets: names, or beginnings of "
                'names such as "TEAM_*".'
            )
        ),
    ] = ()


class FunctionImage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A container image, and how it is built."""

    repository: Annotated[base.Text, Meta(description="The ECR repository's name.")]
    context: Annotated[base.Folder, Meta(description="The folder that is sent to the build.")] = "."
    dockerfile: Annotated[
        base.Folder | None, Meta(description="The Dockerfile; by default the one in the context.")
    ] = None
    platform: Annotated[
        base.Text | None,
        Meta(description="For example `linux/arm64`; by default what the function runs on."),
    ] = None
    target: Annotated[base.Text | None, Meta(description="The stage to build.")] = None
    args: Annotated[Mapping[str, str], Meta(description="Build arguments. No secrets.")] = {}


class S3Object(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A zip in a bucket of the function's region."""

    bucket: Annotated[base.Text, Meta(description="The bucket's name.")]
    key: Annotated[base.Text, Meta(description="The object's key.")]
    version: Annotated[
        base.Text | None, Meta(description="The object's version; by default the newest.")
    ] = None


class FunctionSettings(base.WatchSettings, frozen=True, kw_only=True):
    """The code of one Lambda function, without its stack."""

    function: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_{}-]+$(?!\n)",
            description="The function's name: no ARN, and without a version or an alias.",
        ),
    ]
    source: Annotated[
        base.Folder | None,
        Meta(
            description=(
                "The folder that is packed. Either this, `build`, `image` or `s3` says what the"
                " code comes from."
            )
        ),
    ] = None
    build: Annotated[
        FunctionBuild | None, Meta(description="A command that makes the files, and their folder.")
    ] = None
    image: Annotated[
        FunctionImage | None, Meta(description="The container image that is built.")
    ] = None
    container_test: Annotated[
        ContainerTest | None,
        Meta(description="How a container of a new `image` is tested before the push."),
    ] = None
    s3: Annotated[S3Object | None, Meta(description="A zip that is in a bucket.")] = None
    alias: Annotated[base.Text, Meta(description="The alias that is moved to the new version.")] = (
        "live"
    )


def problem(settings: FunctionSettings) -> str | None:
    """What is wrong with settings whose types are right; None if nothing is."""
    named = [name for name in ORIGINS if getattr(settings, name) is not None]
    if len(named) != 1:
        return (
            "needs exactly one of `source`, `build`, `image` and `s3`, which say what its code"
            f" comes from; it has {' and '.join(named) or 'none'}"
        )
    if _NUMBER.fullmatch(settings.alias) or settings.alias == "$LATEST":
        return f"`alias` is {settings.alias}, which is a version: only an alias can be moved"
    if "\0" in "".join(settings.build.command if settings.build else ()):
        return "`build.command` holds a NUL character"
    if settings.container_test is not None and settings.image is None:
        return "`container_test` needs `image`: only a container can be tested"
    return container_test.problem(settings.container_test)


def image_source(image: FunctionImage) -> ImageSource:
    """What an image is built from."""
    file = image.dockerfile or posixpath.normpath(f"{image.context}/Dockerfile")
    return ImageSource(image.context, file, image.target, image.args)
