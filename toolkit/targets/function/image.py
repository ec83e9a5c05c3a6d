"""The image of a function: found in its repository by the version's name, else built and pushed
there.
"""

from functools import partial
from typing import TYPE_CHECKING

from toolkit.errors import Missing, Refused
from toolkit.operations import Artifact, Job, Observation, PlannedCall, StepState
from toolkit.ports.aws import ecr, functions
from toolkit.ports.aws.functions import Function
from toolkit.ports.ports import Ports
from toolkit.targets import container_test, image_builds
from toolkit.targets.base import Report
from toolkit.targets.function.code import Code
from toolkit.targets.function.marks import content_mark
from toolkit.targets.function.settings import FunctionImage, image_source
from toolkit.targets.image_builds import ImageBuild, ImagePlace

if TYPE_CHECKING:
    from toolkit.artifacts.images import Recipe

PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
"""A processor as Lambda names it -> what an image has to be built for."""


def existing_image(job: Job, ports: Ports, function: Function) -> Code | None:
    """The image that has the version's name; None if it has to be built. Raises Missing for a
    repository that does not exist, Refused where the image was built in another way, would not run,
    or cannot be built here.
    """
    from toolkit.artifacts.images import builder, check_recipe

    recipe, place = _recipe(job, ports, function), _place(job, ports)
    digest = ecr.digest(place.aws, place.name, place.tag)
    if digest is None:
        check_recipe(recipe, builder(job.options.builder).name)
        return None
    image_builds.check_built_alike(place, digest, recipe, "image")
    image_builds.check_existing(place, digest, ports)
    return _code(place, digest)


def built_image(job: Job, ports: Ports, function: Function, report: Report) -> Code:
    """Build the image and push it, or copy it from where another step of the run has pushed it.
    Raises TagTaken where the name means another one by now.
    """
    recipe, place = _recipe(job, ports, function), _place(job, ports)
    image = ImageBuild(place, recipe, _key(job, recipe), push_call(job))
    return _code(place, image_builds.provide(image, ports, report))


def build(job: Job, ports: Ports, report: Report) -> None:
    """Build the image and push it into the job's repository, unless it is there by now."""
    report.phase("checking the repository")
    function = _function(job, ports)
    if existing_image(job, ports, function) is None:
        built_image(job, ports, function, report)


def built(job: Job, ports: Ports) -> Observation:
    """Whether the image is in the job's repository. Raises Refused where its name is on one that
    was built in another way.
    """
    code = existing_image(job, ports, _function(job, ports))
    if code is None:
        return Observation(StepState.ABSENT)
    return Observation(StepState.DONE, outputs={"image": str(code.request()["ImageUri"])})


def artifact(job: Job, ports: Ports, function: Function) -> Artifact:
    """What has to be built: equal for all targets and places whose image is the same."""
    key = _key(job, _recipe(job, ports, function))
    return Artifact("image", job.version.name, key, (push_call(job),))


def push_call(job: Job) -> PlannedCall:
    """The push of the image."""
    what = {"repository": job.settings.image.repository, "tag": job.version.name}
    what |= container_test.described(job.settings.container_test, job.options.fast)
    return PlannedCall("ecr:PutImage", what)


def _function(job: Job, ports: Ports) -> Function:
    """The function that the image is for. Raises Missing."""
    aws, name = ports.aws(job.location), job.settings.function
    function = functions.function(aws, name)
    if function is None:
        raise Missing(what="Lambda function", name=name, where=f" in {aws.region_name}")
    return function


def _place(job: Job, ports: Ports) -> ImagePlace:
    """Where the image goes. Raises Missing."""
    aws, name = ports.aws(job.location), ecr.named(job.settings.image.repository)
    return ImagePlace(job, aws, name, ecr.repository(aws, name), job.version.name)


def _code(place: ImagePlace, digest: str) -> Code:
    content = digest.removeprefix("sha256:")
    return Code(content_mark(content), partial(dict, ImageUri=f"{place.uri}@{digest}"))


def _key(job: Job, recipe: "Recipe") -> str:
    from toolkit.artifacts.images import builder

    return image_builds.build_key(recipe, job.version.name, builder(job.options.builder).name)


def _recipe(job: Job, ports: Ports, function: Function) -> "Recipe":
    """How the image is built. Raises Refused where it would not run."""
    image: FunctionImage = job.settings.image
    platform = _platform(image, function)
    return image_builds.build_recipe(job, ports.root, image_source(image), platform)


def _platform(image: FunctionImage, function: Function) -> str:
    """What to build for: what rules.toml says, else what the function runs on. A deploy never
    changes the function's processor, so an image for another one is refused.
    """
    runs = PLATFORMS.get(function.architecture)
    if runs is None and image.platform is None:
        processor = f"the processor {function.architecture}"
        if not function.architecture:
            processor = "a processor that Lambda does not name"
        raise Refused(
            f"function {function.name} runs on {processor}, so what to build for is unknown",
            "set `platform` in `image`",
        )
    built = image.platform or str(runs)
    if runs is not None and not built.startswith(runs):
        raise Refused(
            f"the image is built for {built}, but function {function.name} runs on {runs}",
            f'set `platform = "{runs}"` in `image`',
        )
    return built
