"""The image of an app: how it is built, and whether the existing one can be used."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolkit.errors import CredentialsProblem, Refused, ToolkitError
from toolkit.operations import Job
from toolkit.ports.aws import ecr
from toolkit.ports.ports import Ports
from toolkit.targets import image_builds
from toolkit.targets.app import definition as definitions
from toolkit.targets.app.settings import AppSettings, image_source
from toolkit.targets.app.state import ROLLBACK, CurrentState, registry_client
from toolkit.targets.image_builds import ImagePlace

if TYPE_CHECKING:
    from toolkit.artifacts.images import Recipe

Shape = Mapping[str, Any]


def build_recipe(job: Job, ports: Ports, state: CurrentState) -> "Recipe":
    """How the image is built."""
    settings: AppSettings = job.settings
    if settings.build is None:
        raise Refused(
            f"{job.target} has no `build` in rules.toml",
            "choose an existing image with --image TAG",
        )
    source, platform = image_source(settings.build), build_platform(job, state)
    return image_builds.build_recipe(job, ports.root, source, platform)


def image_place(job: Job, ports: Ports, state: CurrentState) -> ImagePlace:
    """Where the image goes."""
    registry, name = registry_client(job, ports), ecr.named(job.settings.repository)
    return ImagePlace(job, registry, name, state.repository, state.tag)


def build_platform(job: Job, state: CurrentState) -> str | None:
    """What to build for: what rules.toml says, else what the tasks run on."""
    settings: AppSettings = job.settings
    if settings.build is not None and settings.build.platform:
        return settings.build.platform
    return definitions.platform_of(state.base)


def build_key(job: Job, ports: Ports, state: CurrentState) -> str:
    """A digest of all that decides what is built, wherever it is pushed to. Raises Refused where
    the image could be built but would not run, or cannot be built here.
    """
    from toolkit.artifacts.images import builder, check_recipe

    runs, built = definitions.platform_of(state.base), build_platform(job, state)
    explicit = bool(
        (state.base.get("runtimePlatform") or {}).get("cpuArchitecture")
    ) or _runs_on_fargate(state.base)
    if explicit and runs and built and not built.startswith(runs):
        raise Refused(
            f"the image is built for {built}, but the tasks run on {runs}",
            f'set `platform = "{runs}"` in `build`',
        )
    recipe, builder_name = build_recipe(job, ports, state), builder(job.options.builder).name
    check_recipe(recipe, builder_name)
    return image_builds.build_key(recipe, state.tag, builder_name)


def is_newly_used(job: Job, state: CurrentState) -> bool:
    """Whether the image of this version is there, though the target that would build it does not
    run it yet.
    """
    if job.settings.build is None or job.options.image or job.action == ROLLBACK:
        return False
    return (
        definitions.digest_of(definitions.image_of(state.running, state.container)) != state.digest
    )


def check_existing_image(
    job: Job, ports: Ports, state: CurrentState, digest: str
) -> tuple[str, ...]:
    """Whether the image that has the version's tag was built as this target's would be. Raises
    Refused where it was not; in words what could not be checked. Where it has to be tested, that
    is an error, too: nobody knows whether it was.
    """
    recipe = build_recipe(job, ports, state)
    try:
        image_builds.check_built_alike(image_place(job, ports, state), digest, recipe, "build")
    except (CredentialsProblem, Refused):
        raise
    except ToolkitError as problem:
        if recipe.test is not None:
            raise
        return (
            (
                f"whether image {state.tag} was built as rules.toml says could not be checked:"
                f" {problem}"
            ),
        )
    return ()


def _runs_on_fargate(definition: Shape) -> bool:
    return "FARGATE" in (definition.get("requiresCompatibilities") or ())
