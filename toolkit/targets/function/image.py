"""The image of a function: found in its repository by the version's name, else built and pushed
there.
"""

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from toolkit.errors import Refused, TagTaken
from toolkit.operations import Artifact, Job, Observation, PlannedCall, StepState
from toolkit.ports.aws import ecr
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.base import Report
from toolkit.targets.function.code import Code
from toolkit.targets.function.marks import content_mark
from toolkit.targets.function.settings import FunctionImage, dockerfile

if TYPE_CHECKING:
    from toolkit.artifacts.images import Recipe, RegistryAddress

BUILD_LABEL = "toolkit.build"
"""The label of an image that says how it was built: a digest of the settings."""


def existing_image(job: Job, ports: Ports) -> Code | None:
    """The image that has the version's name; None if it has to be built. Raises Missing for a
    repository that does not exist, Refused where the image was built in another way, or cannot be
    built here.
    """
    from toolkit.artifacts.images import builder, check_recipe, image_config

    aws, name = ports.aws(job.location), ecr.named(job.settings.image.repository)
    uri = str(ecr.repository(aws, name)["repositoryUri"])
    digest, recipe = ecr.digest(aws, name, job.version.name), _recipe(job, ports)
    if digest is None:
        check_recipe(recipe, builder(job.options.builder).name)
        return None
    labels = image_config(_address(aws, uri), digest)["labels"]
    theirs = labels.get(BUILD_LABEL) if isinstance(labels, dict) else None
    if theirs not in (None, recipe.labels[BUILD_LABEL]):
        raise Refused(
            f"image {job.version.name} is in repository {name.name}, but was built in another way"
            " (`image`, or for another processor)",
            "use a separate repository for each build",
        )
    return _code(uri, digest)


def built_image(job: Job, ports: Ports, report: Report) -> Code:
    """Build the image, and push it. Raises TagTaken where the name means another one by now."""
    from toolkit.artifacts.images import builder

    aws, name = ports.aws(job.location), ecr.named(job.settings.image.repository)
    uri, tag = str(ecr.repository(aws, name)["repositoryUri"]), job.version.name
    call, image_builder = push_call(job), builder(job.options.builder)
    report.phase(f"building image {tag}")
    report.prepare(call.name, **call.what)
    try:
        pushed = image_builder.build_and_push(_recipe(job, ports), _address(aws, uri), tag, report)
    except TagTaken:
        # Tags are immutable: another machine may have built the same commit in the same way.
        theirs = existing_image(job, ports)
        if theirs is None:
            raise
        report.log(f"someone else has pushed image {tag}, built in the same way: using it")
        return theirs
    report.phase("checking the image in the repository")
    for pause in (1, 2, 4, None):
        digest = ecr.digest(aws, name, tag)
        if digest is not None or pause is None:
            break
        report.wait(pause)
    if digest != pushed.digest:
        raise TagTaken(
            f"repository {name.name} has {digest or 'no image'} for {tag}, but {pushed.digest} was"
            " pushed",
            "someone else pushes the same tag; run it again",
        )
    return _code(uri, pushed.digest)


def build(job: Job, ports: Ports, report: Report) -> None:
    """Build the image and push it into the job's repository, unless it is there by now."""
    report.phase("checking the repository")
    if existing_image(job, ports) is None:
        built_image(job, ports, report)


def built(job: Job, ports: Ports) -> Observation:
    """Whether the image is in the job's repository. Raises Refused where its name is on one that
    was built in another way.
    """
    code = existing_image(job, ports)
    if code is None:
        return Observation(StepState.ABSENT)
    return Observation(StepState.DONE, outputs={"image": str(code.request()["ImageUri"])})


def artifact(job: Job, ports: Ports) -> Artifact:
    """What has to be built: equal for all targets and places whose image is the same."""
    from toolkit.artifacts.images import builder

    recipe = msgspec.to_builtins(_recipe(job, ports))
    decides = [recipe, job.version.name, builder(job.options.builder).name]
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return Artifact("image", job.version.name, key, (push_call(job),))


def push_call(job: Job) -> PlannedCall:
    """The push of the image."""
    what = {"repository": job.settings.image.repository, "tag": job.version.name}
    return PlannedCall("ecr:PutImage", what)


def _code(uri: str, digest: str) -> Code:
    content = digest.removeprefix("sha256:")
    return Code(content_mark(content), partial(dict, ImageUri=f"{uri}@{digest}"))


def _recipe(job: Job, ports: Ports) -> "Recipe":
    """How the image is built."""
    from toolkit.artifacts.images import Recipe

    image: FunctionImage = job.settings.image
    context, file = image.context, dockerfile(image)
    how = [context, file, image.platform, image.target, sorted(image.args.items())]
    labels = {BUILD_LABEL: hashlib.sha256(json.dumps(how).encode()).hexdigest()[:16]}
    if job.version.commit:
        labels["org.opencontainers.image.revision"] = job.version.commit
    return Recipe(ports.root, context, file, image.platform, image.target, dict(image.args), labels)


def _address(aws: Aws, uri: str) -> "RegistryAddress":
    from toolkit.artifacts.images import RegistryAddress, SecretText

    host, _, name = uri.partition("/")
    user, password = ecr.login(aws)
    return RegistryAddress(host, ecr.address(aws, host), name, user, SecretText(password))
