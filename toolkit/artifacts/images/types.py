"""What the builders of images have in common: what is built, where it goes, how they speak."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from toolkit.ports.registry_address import RegistryAddress

BUILT_IN = "built-in"
"""The name of the builder that needs no other program."""


class ImageTest(Struct, frozen=True):
    """How a container of an image is tested on this machine before the image is pushed.

    With a `port`, an address of it (`path`) has to answer with `status`; without one, the container
    has to end by itself with exit code 0. Either has to happen within `deadline_s` seconds.
    `command` runs in place of the image's own program. `env` are variables for it, `pass_env` the
    names of those of our environment that it gets: their values are in no log.
    """

    port: int | None = None
    path: str = "/"
    status: int = 200
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    pass_env: tuple[str, ...] = ()
    deadline_s: int = 60


class Recipe(Struct, frozen=True):
    """What to build. `context` and `dockerfile` are paths from `root`; `platform` is such as
    `linux/arm64`, None for the builder's own; `test` is what the image has to pass before it is
    pushed, None if nothing.

    Only those `args` are passed on that the Dockerfile declares with ARG.
    """

    root: str
    context: str
    dockerfile: str
    platform: str | None = None
    target: str | None = None
    args: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    test: ImageTest | None = None


class Pushed(Struct, frozen=True):
    """An image in a registry: its digest, and `host/repository@digest`."""

    digest: str
    reference: str


class BuildLog(Protocol):
    """How a build reports to its step (targets/base.py `Report` is one)."""

    def phase(self, words: str) -> None:
        """Announce what is being done, in a few words."""

    def log(self, line: str) -> None:
        """A line for the step's log."""

    def check(self) -> None:
        """Raises when the run is to stop."""


class Builder(Protocol):
    """Something that makes images."""

    name: str

    def build_and_push(
        self, recipe: Recipe, registry: RegistryAddress, tag: str, log: BuildLog
    ) -> Pushed:
        """Build, test a container if the recipe says how, push under this tag, and check that the
        registry has exactly that image. Raises TagTaken if another image has the tag, ToolkitError,
        and what `log.check` raises.
        """

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        """Whether the image that has the tag was built from the same sources, though its digest
        differs.
        """


def pushed(registry: RegistryAddress, digest: str) -> Pushed:
    """The image of this digest in its registry."""
    return Pushed(digest, f"{registry.host}/{registry.repository}@{digest}")
