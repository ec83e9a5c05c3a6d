"""Container images: built by docker, podman or buildah where they are usable, else by ourselves,
and pushed to a registry. What only a build needs is loaded by it: to know what a build takes of a
folder, a check of rules.toml comes here, too.
"""

import os
from typing import Any

from toolkit.artifacts.images.probes import NAMED_S, Engine, engine
from toolkit.artifacts.images.types import BUILT_IN, Builder, BuildLog, ImageTest, Pushed, Recipe
from toolkit.errors import Refused
from toolkit.ports.registry_address import RegistryAddress, SecretText

__all__ = [
    "BUILT_IN",
    "BuildLog",
    "Builder",
    "ImageTest",
    "Pushed",
    "Recipe",
    "RegistryAddress",
    "SecretText",
    "builder",
    "check_recipe",
    "image_config",
    "working_engine",
]

ENGINES = ("docker", "podman", "buildah")


def builder(name: str | None = None) -> Builder:
    """The first engine that is installed and answers, else the built-in builder.

    A name, or TOOLKIT_BUILDER, forces one: Refused if it is not usable.
    """
    chosen = working_engine(name)
    if chosen is None:
        from toolkit.artifacts.images.builtin import BuiltIn

        return BuiltIn()
    from toolkit.artifacts.images.engines import engine_builder

    return engine_builder(chosen)


def working_engine(name: str | None = None) -> Engine | None:
    """What that builder is, None for the built-in one: nothing is loaded that builds."""
    name = name or os.environ.get("TOOLKIT_BUILDER") or None
    if name is not None and name not in (*ENGINES, BUILT_IN):
        raise Refused(f"`{name}` builds no images", f"use one of {', '.join((*ENGINES, BUILT_IN))}")
    if name == BUILT_IN:
        return None
    if name is None:
        for candidate in ENGINES:
            installed = engine(candidate)
            if installed and installed.usable():
                return installed
        return None
    installed = engine(name)
    if installed is None:
        raise Refused(f"{name} is not installed", f"install {name}")
    if not installed.usable(NAMED_S):
        raise Refused(f"{name} does not answer", f"see `{name} info`, or use another builder")
    return installed


def check_recipe(recipe: Recipe, builder_name: str) -> None:
    """Check without the network that a builder can build this, and test it. Raises Refused with the
    line of the Dockerfile and what to install.
    """
    from toolkit.artifacts.images import builtin

    if recipe.test is not None:
        from toolkit.artifacts.images.containers import check_engine

        check_engine(recipe.test, builder_name)
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
