"""An image in the repository of a step: built and pushed there, or copied from where a step of the
run has pushed the same one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from toolkit.errors import CredentialsProblem, Missing, Refused, TagTaken, ToolkitError
from toolkit.model import ImageSource, Version
from toolkit.operations import Job, PlannedCall
from toolkit.ports.aws import ecr
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.ecr import RepositoryName
from toolkit.ports.ports import Ports
from toolkit.ports.sharing import ONLY_THIS_STEP
from toolkit.targets import container_test
from toolkit.targets.base import Report

if TYPE_CHECKING:
    from toolkit.artifacts.images import Recipe, RegistryAddress

BUILD_LABEL = "toolkit.build"
"""The label of an image that says how it was built: a digest of the settings."""


class ImagePlace(Struct, frozen=True):
    """Where the image of a step goes: the repository, as ECR describes it (`described`), and the
    tag; `aws` are the calls of the repository's region.
    """

    job: Job
    aws: Aws
    name: RepositoryName
    described: Mapping[str, Any]
    tag: str

    @property
    def uri(self) -> str:
        """The repository's address, without a tag."""
        return str(self.described["repositoryUri"])

    @property
    def _tagged(self) -> tuple[str, ...]:
        return ("tagged", self.job.run, str(self.aws.region_name), self.uri, self.tag)


class ImageBuild(Struct, frozen=True):
    """An image that goes to a place: how it is built, a digest of all that decides what that makes
    (`key`), and the call that pushes it.
    """

    place: ImagePlace
    recipe: "Recipe"
    key: str
    call: PlannedCall


class _Built(Struct, frozen=True):
    """An image that a step of this process has built and pushed: where to, with which digest. Not
    `ours`: somebody else was faster, and theirs is good enough in that repository only.
    """

    place: ImagePlace
    digest: str
    ours: bool


class _Push(Struct, frozen=True):
    """How an image gets into a repository: `push` makes it so and returns its digest, `alike` says
    whether another image that has the tag is as good.
    """

    push: "Callable[[RegistryAddress], str]"
    alike: "Callable[[RegistryAddress, str], bool]"


def build_recipe(job: Job, root: str, source: ImageSource, platform: str | None) -> "Recipe":
    """How the image of a job is built, and what a container of it has to pass."""
    from toolkit.artifacts.images import Recipe

    context, file, args = source.context, source.dockerfile, source.args
    how = [context, file, platform, source.stage, sorted(args.items())]
    labels = _build_labels(job.version, how)
    test = container_test.image_test(job.settings.container_test, job.options.fast)
    if test is not None:
        labels[container_test.LABEL] = container_test.PASSED
    return Recipe(root, context, file, platform, source.stage, dict(args), labels, test)


def _build_labels(version: Version, how: Sequence[Any]) -> dict[str, str]:
    """The labels of an image. `how` is what decides about it besides the commit: two targets that
    build one commit in different ways must not take each other's image for their own.
    """
    labels = {BUILD_LABEL: hashlib.sha256(json.dumps(how).encode()).hexdigest()[:16]}
    if version.commit:
        labels |= {
            "org.opencontainers.image.revision": version.commit,
            "toolkit.commit": version.commit,
        }
    return labels


def build_key(recipe: "Recipe", tag: str, builder_name: str) -> str:
    """A digest of all that decides what is built, wherever it is pushed to."""
    decides = [msgspec.to_builtins(recipe), tag, builder_name]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def registry_address(aws: Aws, repository: Mapping[str, Any]) -> "RegistryAddress":
    """The way into a repository, by the calls of its region."""
    from toolkit.artifacts.images import RegistryAddress, SecretText

    host, _, name = str(repository["repositoryUri"]).partition("/")
    user, password = ecr.login(aws)
    return RegistryAddress(host, ecr.address(aws, host), name, user, SecretText(password))


def check_built_alike(place: ImagePlace, digest: str, recipe: "Recipe", setting: str) -> None:
    """Check by its labels that the image which has the tag was built as the recipe says, which is
    the `setting` of rules.toml, and has passed a container test where one is needed: another
    target, or another environment, may build the same commit in another way.

    Raises Refused, and ToolkitError where the labels cannot be read.
    """
    from toolkit.artifacts.images import image_config

    labels = image_config(registry_address(place.aws, place.described), digest)["labels"]
    theirs = labels if isinstance(labels, Mapping) else {}
    if theirs.get(BUILD_LABEL) not in (None, recipe.labels[BUILD_LABEL]):
        raise Refused(
            f"image {place.tag} is in repository {place.name.name}, but was built in another way"
            f" (`{setting}`, or for another processor)",
            "use a separate repository for each build",
        )
    if recipe.test is not None:
        container_test.refuse_untested(place.tag, theirs)


def check_existing(place: ImagePlace, digest: str, ports: Ports) -> None:
    """Raises TagTaken where a step of this run has pushed another image there than the one that has
    its tag now.
    """
    # What is there already has no build, so what was pushed is known by its tag, too.
    pushed = ports.shared.result(place._tagged)
    if pushed is not None and pushed.value != digest:
        raise TagTaken(
            f"image {place.tag} in repository {place.name.name} is {digest} now, "
            f"but step {pushed.by} has pushed {pushed.value}",
            "someone else has moved the tag; run it again",
        )


def provide(build: ImageBuild, ports: Ports, report: Report) -> str:
    """Put an image that is not there into its place, by one step of the run for all that need it
    there: from where a step of this process has pushed it, else it is built here. Returns its
    digest.

    What an earlier process has built is not copied: its journal may be a colleague's, and tags can
    be moved.
    """
    place, step = build.place, build.place.job.step
    key = ("image", place.job.run, place.aws.region_name, place.uri, build.key)
    with ports.shared.turn(key, step, report.check) as image:
        if image.is_mine:
            source, is_mine = _built_once(build, ports, report)
            if source is not None and is_mine:
                image.value = source.digest
            elif source is not None and (address := _readable(source, build, report)) is not None:
                image.value = _copy_image(build, source.digest, address, report)
            else:
                image.value = _build_image(build, report).digest
            with ports.shared.turn(place._tagged, step, report.check) as tag:
                tag.value = image.value
    if image.by != step:
        report.log(f"image {place.tag} was built by step {image.by}, which uses the same image")
    return str(image.value)


def _built_once(build: ImageBuild, ports: Ports, report: Report) -> tuple[_Built | None, bool]:
    """The image as the first step of this process that needs it has built it, and whether that is
    this step; None where that step has failed.
    """
    job, problem = build.place.job, None
    with ports.shared.turn(("built", job.run, build.key), job.step, report.check) as built:
        if built.is_mine:
            try:
                built.value = _build_image(build, report)
            except ONLY_THIS_STEP:
                raise  # the next step that needs it does it
            except ToolkitError as refusal:
                problem = refusal  # of its repository, perhaps: the others try for themselves
    if problem is not None:
        raise problem
    return built.value, built.is_mine


def _readable(source: _Built, build: ImageBuild, report: Report) -> "RegistryAddress | None":
    """The way to the image that another step has built; None where it cannot be taken there."""
    from toolkit.artifacts.images.bases import same_labels

    problem = "someone else has pushed another one there"
    try:
        address = registry_address(source.place.aws, source.place.described)
        if source.ours and same_labels(address, source.digest, build.recipe):
            return address
    except (Missing, CredentialsProblem) as refusal:
        problem = str(refusal)
    step = source.place.job.step
    report.log(f"the image of {step} is not used, and is built again: {problem}")
    return None


def _copy_image(build: ImageBuild, digest: str, origin: "RegistryAddress", report: Report) -> str:
    """Copy the image of this digest into its place."""
    from toolkit.artifacts.images.bases import same_labels
    from toolkit.artifacts.images.copying import copy_image

    call, tag = build.call, build.place.tag
    what = {name: value for name, value in call.what.items() if name != "container_test"}
    what["from"] = f"{origin.host}/{origin.repository}@{digest}"

    def intend() -> None:
        report.prepare(call.name, **what)

    def push(address: "RegistryAddress") -> str:
        return copy_image(origin, address, digest, tag, report, intend).digest

    def alike(address: "RegistryAddress", theirs: str) -> bool:
        return same_labels(address, theirs, build.recipe)

    report.phase(f"copying image {tag} from {origin.repository}")
    return _push(build.place, _Push(push, alike), report)[0]


def _build_image(build: ImageBuild, report: Report) -> _Built:
    """Build the image, and push it into its place."""
    from toolkit.artifacts.images import builder

    place, call, recipe = build.place, build.call, build.recipe
    image_builder = builder(place.job.options.builder)

    def push(address: "RegistryAddress") -> str:
        report.prepare(call.name, **call.what)
        pushed = image_builder.build_and_push(recipe, address, place.tag, report)
        if recipe.test is not None:
            report.keep(container_test=container_test.PASSED)
        return pushed.digest

    def alike(address: "RegistryAddress", theirs: str) -> bool:
        return image_builder.alike(address, theirs, recipe)

    settings, options = place.job.settings, place.job.options
    container_test.tell_skipped(settings.container_test, options.fast, report)
    report.phase(f"building image {place.tag}")
    return _Built(place, *_push(place, _Push(push, alike), report))


def _push(place: ImagePlace, push: _Push, report: Report) -> tuple[str, bool]:
    """Push; returns the digest that the repository has for the tag afterwards, and whether it is
    that of our image, or of an equal one that somebody else has pushed. Raises TagTaken for a
    different one.
    """
    address = registry_address(place.aws, place.described)
    mine, problem = None, None
    try:
        mine = push.push(address)
    except TagTaken as refusal:
        problem = refusal  # tags are immutable: another machine may have built the same commit
    report.phase("checking the image in the repository")
    digest = _digest_in_repository(place, report)
    if digest is not None and digest == mine:
        return digest, True
    if digest is not None and push.alike(address, digest):
        report.log(
            "someone else has pushed an image of the same commit that was built in the same "
            f"way: using {digest}"
        )
        return digest, False
    # The refusal of our own push, if there was one, explains it best.
    raise problem or TagTaken(
        f"repository {place.name.name} has {digest or 'no image'} for {place.tag}, but {mine} was"
        " pushed",
        "someone else pushes the same tag; run it again",
    )


def _digest_in_repository(place: ImagePlace, report: Report) -> str | None:
    """The digest of the tag in the repository, which may show a push only seconds later."""
    for pause in (1, 2, 4):
        if digest := ecr.digest(place.aws, place.name, place.tag):
            return digest
        report.wait(pause)
    return ecr.digest(place.aws, place.name, place.tag)
