"""Builders of images, for tests that look at what is built how often."""

from collections.abc import Callable

from msgspec.structs import replace

from toolkit.artifacts.images import Recipe, RegistryAddress
from toolkit.artifacts.images.bases import same_labels
from toolkit.artifacts.images.builtin import BuiltIn
from toolkit.artifacts.images.types import BuildLog, Pushed


class CountingBuilder(BuiltIn):
    """An engine: each build has a digest of its own, though its labels are the same."""

    name = "counted"

    def __init__(self) -> None:
        self.builds = 0
        self.before: Callable[[], None] = lambda: None

    def build_and_push(
        self, recipe: Recipe, registry: RegistryAddress, tag: str, log: BuildLog
    ) -> Pushed:
        self.builds += 1
        numbered = replace(recipe, labels={**recipe.labels, "number": str(self.builds)})
        self.before()  # which may build, too
        return super().build_and_push(numbered, registry, tag, log)

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        return same_labels(registry, digest, recipe)
