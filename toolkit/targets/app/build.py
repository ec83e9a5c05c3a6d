"""The image of an app in its repository: built and pushed there, or copied from where a step of the
run has pushed the same one.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import CredentialsProblem, Missing, TagTaken
from toolkit.model import Job, Observation, PlannedCall, StepState
from toolkit.ports.aws import ecr
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.app.image import build_recipe, registry_address
from toolkit.targets.app.preview import checked_state, create_calls, push_call
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.app.state import CurrentState, registry_client, requested_image
from toolkit.targets.base import Report

if TYPE_CHECKING:
    from toolkit.artifacts.images import Recipe, RegistryAddress


class _Push(Struct, frozen=True):
    """How the image gets into the repository: `push` makes it so and returns its digest, `alike`
    says whether another image that has the tag is as good. `done` is that in a word.
    """

    done: str
    push: "Callable[[RegistryAddress], str]"
    alike: "Callable[[RegistryAddress, str], bool]"


def build(job: Job, ports: Ports, report: Report) -> None:
    """Build the image and push it into the job's repository, unless it is there by now."""
    report.phase("checking the repository")
    state = checked_state(job, ports)
    if state.absent or job.options.create:
        state = ensure_repository(job, ports, state, report)
    report.keep(digest=state.digest or _build_image(job, ports, state, report))


def built(
    job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None = None
) -> Observation:
    """Whether the image is in the job's repository. Raises Refused where the tag is on one that was
    built in another way.
    """
    registry, name = registry_client(job, ports), ecr.named(job.settings.repository)
    try:
        digest = ecr.digest(registry, name, requested_image(job))
    except Missing:
        digest = None
    if digest is not None and receipt.get("digest") != digest:
        # Pushed by a process that has crashed since, or by somebody else: this checks its labels.
        digest = checked_state(job, ports).digest
    if digest is None:
        return Observation(StepState.ABSENT)
    return Observation(StepState.DONE, outputs={"image": f"{name.name}@{digest}"})


def image_digest(job: Job, ports: Ports, state: CurrentState, report: Report) -> str:
    """The digest of the image in the job's repository, where it is put first if it is missing: from
    the repository that a step of this run has pushed it to, else it is built here.
    """
    if state.digest is not None:
        return state.digest
    recipe = build_recipe(job, ports, state)
    source = _built_elsewhere(job, ports, state, recipe, report)
    if source is None:
        return _build_image(job, ports, state, report)
    return _copy_image(job, ports, state, source, report)


def ensure_repository(job: Job, ports: Ports, state: CurrentState, report: Report) -> CurrentState:
    """Create the repository if it is missing, and give one that this run has created its lifecycle
    policy.
    """
    registry, name = registry_client(job, ports), ecr.named(job.settings.repository)
    create, lifecycle = create_calls(job.settings)

    key = ("repository", job.run, registry.region_name, name)
    with ports.shared.turn(key, job.step, report.check) as making:
        if making.is_mine and state.absent:
            report.phase(f"creating repository {name.name}")
            report.prepare(create.name, **create.what)
            ecr.create(registry, name, {"toolkit:run": job.run})
        # Two calls: after a crash between them the policy is missing, and is made up for here. A
        # repository that others have created keeps the policy that they gave it, or none.
        if making.is_mine and _lacks_policy(job, registry, name):
            report.prepare(lifecycle.name, **lifecycle.what)
            ecr.put_lifecycle(registry, name)
    return replace(state, repository=ecr.repository(registry, name), absent=False)


def _lacks_policy(job: Job, registry: Aws, name: ecr.RepositoryName) -> bool:
    """Whether a repository was made by this run, and has no lifecycle policy."""
    repository = ecr.repository(registry, name)
    creator = ecr.tags(registry, repository["repositoryArn"]).get("toolkit:run")
    return creator == job.run and not ecr.has_lifecycle(registry, name)


class _Source(Struct, frozen=True):
    """An image in another repository: the step that has pushed it there, and its digest."""

    step: str
    address: "RegistryAddress"
    digest: str


def _built_elsewhere(
    job: Job, ports: Ports, state: CurrentState, recipe: "Recipe", report: Report
) -> _Source | None:
    """The job's image as a build step has pushed it; None where there is none, where it cannot be
    read, or where it is another one: what a build has made is never taken on trust.
    """
    from toolkit.artifacts.images import same_labels

    step = report.built_by
    if step is None or not isinstance(step.settings, AppSettings):
        return None
    registry, name = registry_client(step, ports), ecr.named(step.settings.repository)
    try:
        digest = ecr.digest(registry, name, state.tag)
        address = registry_address(registry, ecr.repository(registry, name))
        if digest is not None and same_labels(address, digest, recipe):
            return _Source(step.step, address, digest)
        problem = "it is not the same image"
    except (Missing, CredentialsProblem) as refusal:
        problem = str(refusal)
    report.log(f"the image of {step.step} is not used, and is built again: {problem}")
    return None


def _copy_image(
    job: Job, ports: Ports, state: CurrentState, source: _Source, report: Report
) -> str:
    """The digest of the image, which one step of the run copies for all that need it there."""
    from toolkit.artifacts.images import copy_image, same_labels

    recipe, call = build_recipe(job, ports, state), push_call(state)
    origin = f"{source.address.host}/{source.address.repository}@{source.digest}"
    call = PlannedCall(call.name, {**call.what, "from": origin})

    def intend() -> None:
        report.prepare(call.name, **call.what)

    def push(address: "RegistryAddress") -> str:
        return copy_image(source.address, address, source.digest, state.tag, report, intend).digest

    def alike(address: "RegistryAddress", digest: str) -> bool:
        return same_labels(address, digest, recipe)

    report.phase(f"copying image {state.tag} from {source.address.repository}")
    return _pushed_once(job, ports, state, _Push("copied", push, alike), (origin,), report)


def _build_image(job: Job, ports: Ports, state: CurrentState, report: Report) -> str:
    """The digest of the image, which one step of the run builds for all that need it there."""
    from toolkit.artifacts.images import builder

    recipe, image_builder = build_recipe(job, ports, state), builder(job.options.builder)
    call = push_call(state)

    def push(address: "RegistryAddress") -> str:
        report.prepare(call.name, **call.what)
        return image_builder.build_and_push(recipe, address, state.tag, report).digest

    def alike(address: "RegistryAddress", digest: str) -> bool:
        return image_builder.alike(address, digest, recipe)

    # Equal recipes give one image; the encoding is deterministic, so that equal ones have one key.
    key = (image_builder.name, msgspec.json.encode(recipe, order="deterministic"))
    report.phase(f"building image {state.tag}")
    return _pushed_once(job, ports, state, _Push("built", push, alike), key, report)


def _pushed_once(
    job: Job,
    ports: Ports,
    state: CurrentState,
    push: _Push,
    content: tuple[object, ...],
    report: Report,
) -> str:
    """The digest of an image that one step of the run pushes; `content` says which one it is."""
    uri, region = str(state.repository["repositoryUri"]), registry_client(job, ports).region_name
    key = ("image", job.run, region, uri, state.tag, *content)
    with ports.shared.turn(key, job.step, report.check) as image:
        if image.is_mine:
            image.value = _push(job, ports, state, push, report)
    if image.by != job.step:
        report.log(
            f"image {state.tag} was {push.done} by step {image.by}, which uses the same image"
        )
    report.keep(image=f"{uri}@{image.value}")
    return str(image.value)


def _push(job: Job, ports: Ports, state: CurrentState, push: _Push, report: Report) -> str:
    """Push; returns the digest that the repository has for the tag afterwards: of our image, or of
    an equal one that somebody else has pushed. Raises TagTaken for a different one.
    """
    registry = registry_client(job, ports)
    address = registry_address(registry, state.repository)
    mine, problem = None, None
    try:
        mine = push.push(address)
    except TagTaken as refusal:
        problem = refusal  # tags are immutable: another machine may have built the same commit
    report.phase("checking the image in the repository")
    digest = _digest_in_repository(job, registry, state.tag, report)
    if digest is not None and digest == mine:
        return digest
    if digest is not None and push.alike(address, digest):
        report.log(
            "someone else has pushed an image of the same commit that was built in the same "
            f"way: using {digest}"
        )
        return digest
    # The refusal of our own push, if there was one, explains it best.
    raise problem or TagTaken(
        f"repository {job.settings.repository} has {digest or 'no image'} for {state.tag}, but"
        f" {mine} was pushed",
        "someone else pushes the same tag; run it again",
    )


def _digest_in_repository(job: Job, aws: Aws, tag: str, report: Report) -> str | None:
    """The digest of a tag in the repository, which may show a push only seconds later."""
    for pause in (1, 2, 4):
        if digest := ecr.digest(aws, ecr.named(job.settings.repository), tag):
            return digest
        report.wait(pause)
    return ecr.digest(aws, ecr.named(job.settings.repository), tag)
