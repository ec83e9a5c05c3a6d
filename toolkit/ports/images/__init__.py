"""Container images: built by docker, podman or buildah where they are usable, else by ourselves,
and pushed to a registry.
"""

import os
from typing import Any

from toolkit.errors import Refused
from toolkit.ports.images.types import (
    BUILT_IN,
    Builder,
    BuildLog,
    Pushed,
    Recipe,
    RegistryAddress,
    SecretText,
)

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
    "image_config",
]

ENGINES = ("docker", "podman", "buildah")


def builder(name: str | None = None) -> Builder:
    """The first engine that is installed and answers, else the built-in builder.

    A name, or TOOLKIT_BUILDER, forces one: Refused if it is not usable.
    """
    from toolkit.ports.images.builtin import BuiltIn
    from toolkit.ports.images.engines import Docker, PodmanEngine, engine

    name = name or os.environ.get("TOOLKIT_BUILDER") or None
    if name is not None and name not in (*ENGINES, BUILT_IN):
        raise Refused(f"`{name}` builds no images", f"use one of {', '.join((*ENGINES, BUILT_IN))}")
    for one in ENGINES if name is None else [name] if name != BUILT_IN else []:
        found = engine(one)
        if found and found.usable():
            return Docker(found) if one == "docker" else PodmanEngine(found)
        if name is not None:
            problem = "does not answer" if found else "is not installed"
            raise Refused(
                f"{one} {problem}",
                f"see `{one} info`, or use another builder" if found else f"install {one}",
            )
    return BuiltIn()


def check_recipe(recipe: Recipe, builder_name: str) -> None:
    """See without the network whether a builder can make this. Raises Refused naming the line and
    what to install.
    """
    from toolkit.ports.images import builtin

    if builder_name == BUILT_IN:
        builtin.check(recipe)
        return
    builtin.dockerfile_text(recipe)
    if not os.path.isdir(os.path.join(recipe.root, recipe.context)):
        raise Refused(
            f"the build context `{recipe.context}` is no folder of this repository",
            "correct `build.context` in rules.toml",
        )


def image_config(registry: RegistryAddress, digest: str) -> dict[str, Any]:
    """What an image says of itself: `architecture`, `os`, `labels` and `platforms`, which are
    several for an index of images.

    `digest` may be a tag. Of an index the first image speaks. Raises Missing if there is no such
    image.
    """
    from toolkit.ports.images.bases import described
    from toolkit.ports.images.registry import connected

    client = connected(registry, lambda: None)
    try:
        return described(client, registry.repository, digest)
    finally:
        client.close()
