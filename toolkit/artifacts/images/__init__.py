"""Container images: built by docker, podman or buildah where they are usable, else by ourselves,
and pushed to a registry.
"""

import os
from typing import Any

from toolkit.artifacts.images.bases import same_labels
from toolkit.artifacts.images.copying import copy_image
from toolkit.artifacts.images.types import BUILT_IN, Builder, BuildLog, Pushed, Recipe
from toolkit.errors import Refused
from toolkit.ports.registry_address import RegistryAddress, SecretText

__all__ = [
    "BUILT_IN",
    "BuildLog",
    "Builder",
    "Pushed",
    "Recipe",
    "RegistryAddress",
    "SecretText",
    "builder",
    "check_recipe",
    "copy_image",
    "image_config",
    "same_labels",
]

ENGINES = ("docker", "podman", "buildah")


def builder(name: str | None = None) -> Builder:
    """The first engine that is installed and answers, else the built-in builder.

    A name, or TOOLKIT_BUILDER, forces one: Refused if it is not usable.
    """
    from toolkit.artifacts.images.builtin import BuiltIn
    from toolkit.artifacts.images.engines import engine, engine_builder

    name = name or os.environ.get("TOOLKIT_BUILDER") or None
    if name is not None and name not in (*ENGINES, BUILT_IN):
        raise Refused(f"`{name}` builds no images", f"use one of {', '.join((*ENGINES, BUILT_IN))}")
    if name == BUILT_IN:
        return BuiltIn()
    if name is None:
        for candidate in ENGINES:
            installed = engine(candidate)
            if installed and installed.usable():
                return engine_builder(installed)
        return BuiltIn()
    installed = engine(name)
    if installed is None:
        raise Refused(f"{name} is not installed", f"install {name}")
    if not installed.usable():
        raise Refused(f"{name} does not answer", f"see `{name} info`, or use another builder")
    return engine_builder(installed)


def check_recipe(recipe: Recipe, builder_name: str) -> None:
    """Check without the network that a builder can build this. Raises Refused with the line of the
    Dockerfile and what to install.
    """
    from toolkit.artifacts.images import builtin

    if builder_name == BUILT_IN:
        builtin.check(recipe)
        return
    builtin.dockerfile_text(recipe)
    if not os.path.isdir(os.path.join(recipe.root, recipe.context)):
        raise Refused(
            f"the build context `{recipe.context}` is not a folder of this repository",
            "correct `build.context` in rules.toml",
        )


def image_config(registry: RegistryAddress, digest: str) -> dict[str, Any]:
    """An image's `architecture`, `os`, `labels` and `platforms`; an index of images has several.

    `digest` may be a tag. For an index, the first three are those of its first image. Raises
    Missing if there is no such image.
    """
    from toolkit.artifacts.images.bases import described
    from toolkit.ports.registry import connected

    client = connected(registry, lambda: None)
    try:
        return described(client, registry.repository, digest)
    finally:
        client.close()
