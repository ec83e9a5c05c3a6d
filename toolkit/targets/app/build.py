"""The image of an app in its repository: built and pushed there, or copied from where a step of the
run has pushed the same one.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import CredentialsProblem, Missing, TagTaken, ToolkitError
from toolkit.operations import Job, Observation, StepState
from toolkit.ports.aws import ecr
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.ports.sharing import ONLY_THIS_STEP
from toolkit.targets.app.image import build_recipe, registry_address
from toolkit.targets.app.preview import checked_state, create_calls, push_call
from toolkit.targets.app.state import CurrentState, registry_client, requested_image
from toolkit.targets.base import Report

if TYPE_CHECKING:
    from toolkit.artifacts.images import Recipe, RegistryAddress


class _Built(Struct, frozen=True):
    """An image that a step of this process has built and pushed: into which repository, with which
    digest. Not `ours`: somebody else was faster, and theirs is good enough in that repository only.
    """

    step: str
    registry: Aws
    repository: Mapping[str, Any]
    digest: str
    ours: bool


class _Push(Struct, frozen=True):
    """How an image gets into a repository: `push` makes it so and returns its digest, `alike` says
    whether another image that has the tag is as good.
    """

    push: "Callable[[RegistryAddress], str]"
    alike: "Callable[[RegistryAddress, str], bool]"


def build(job: Job, ports: Ports, report: Report) -> None:
    """Build the image and push it into the job's repository, unless it is there by now."""
    report.phase("checking the repository")
    state = checked_state(job, ports)
    if state.absent or job.options.create:
        state = ensure_repository(job, ports, state, report)
    report.keep(digest=image_digest(job, ports, state, report))


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
    """The digest of the image in the job's repository, where one step of the run puts it for all
    that need it there, if it is missing.
    """
    uri, region = str(state.repository["repositoryUri"]), registry_client(job, ports).region_name
    # What is there already has no build, so what was pushed is known by its tag, too.
    tagged = ("tagged", job.run, region, uri, state.tag)
    if state.digest is not None:
        pushed = ports.shared.result(tagged)
        if pushed is not None and pushed.value != state.digest:
            raise TagTaken(
                f"image {state.tag} in repository {job.settings.repository} is {state.digest} now, "
                f"but step {pushed.by} has pushed {pushed.value}",
                "someone else has moved the tag; run it again",
            )
        return state.digest
    key = ("image", job.run, region, uri, state.build_key)
    with ports.shared.turn(key, job.step, report.check) as image:
        if image.is_mine:
            image.value = _provide(job, ports, state, report)
            with ports.shared.turn(tagged, job.step, report.check) as tag:
                tag.value = image.value
    if image.by != job.step:
        report.log(f"image {state.tag} was built by step {image.by}, which uses the same image")
    report.keep(image=f"{uri}@{image.value}")
    return str(image.value)


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


def _provide(job: Job, ports: Ports, state: CurrentState, report: Report) -> str:
    """Put the image into the job's repository: from the repository that a step of this process has
    pushed it to, else it is built here. Returns its digest.

    What an earlier process has built is not copied: its journal may be a colleague's, and tags can
    be moved.
    """
    source, is_mine = _built_once(job, ports, state, report)
    if is_mine and source is not None:
        return source.digest
    address = None
    if source is not None:
        address = _readable(source, build_recipe(job, ports, state), report)
    if source is None or address is None:
        return _build_image(job, ports, state, report).digest
    return _copy_image(job, ports, state, (source.digest, address), report)


def _built_once(
    job: Job, ports: Ports, state: CurrentState, report: Report
) -> tuple[_Built | None, bool]:
    """The image as the first step of this process that needs it has built it, and whether that is
    this step; None where that step has failed.
    """
    key, problem = ("built", job.run, state.build_key), None
    with ports.shared.turn(key, job.step, report.check) as built:
        if built.is_mine:
            try:
                built.value = _build_image(job, ports, state, report)
            except ONLY_THIS_STEP:
                raise  # the next step that needs it does it
            except ToolkitError as refusal:
                problem = refusal  # of its repository, perhaps: the others try for themselves
    if problem is not None:
        raise problem
    return built.value, built.is_mine


def _readable(source: _Built, recipe: "Recipe", report: Report) -> "RegistryAddress | None":
    """The way to the image that another step has built; None where it cannot be taken there."""
    from toolkit.artifacts.images.bases import same_labels

    problem = "someone else has pushed another one there"
    try:
        address = registry_address(source.registry, source.repository)
        if source.ours and same_labels(address, source.digest, recipe):
            return address
    except (Missing, CredentialsProblem) as refusal:
        problem = str(refusal)
    report.log(f"the image of {source.step} is not used, and is built again: {problem}")
    return None


def _copy_image(
    job: Job,
    ports: Ports,
    state: CurrentState,
    source: tuple[str, "RegistryAddress"],
    report: Report,
) -> str:
    """Copy the image of this digest into the job's repository."""
    from toolkit.artifacts.images.bases import same_labels
    from toolkit.artifacts.images.copying import copy_image

    (digest, origin), recipe, call = source, build_recipe(job, ports, state), push_call(state)
    what = {**call.what, "from": f"{origin.host}/{origin.repository}@{digest}"}

    def intend() -> None:
        report.prepare(call.name, **what)

    def push(address: "RegistryAddress") -> str:
        return copy_image(origin, address, digest, state.tag, report, intend).digest

    def alike(address: "RegistryAddress", theirs: str) -> bool:
        return same_labels(address, theirs, recipe)

    report.phase(f"copying image {state.tag} from {origin.repository}")
    return _push(job, ports, state, _Push(push, alike), report)[0]


def _build_image(job: Job, ports: Ports, state: CurrentState, report: Report) -> _Built:
    """Build the image, and push it into the job's repository."""
    from toolkit.artifacts.images import builder

    recipe, image_builder = build_recipe(job, ports, state), builder(job.options.builder)
    call = push_call(state)

    def push(address: "RegistryAddress") -> str:
        report.prepare(call.name, **call.what)
        return image_builder.build_and_push(recipe, address, state.tag, report).digest

    def alike(address: "RegistryAddress", theirs: str) -> bool:
        return image_builder.alike(address, theirs, recipe)

    report.phase(f"building image {state.tag}")
    digest, ours = _push(job, ports, state, _Push(push, alike), report)
    return _Built(job.step, registry_client(job, ports), state.repository, digest, ours)


def _push(
    job: Job, ports: Ports, state: CurrentState, push: _Push, report: Report
) -> tuple[str, bool]:
    """Push; returns the digest that the repository has for the tag afterwards, and whether it is
    that of our image, or of an equal one that somebody else has pushed. Raises TagTaken for a
    different one.
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
        return digest, True
    if digest is not None and push.alike(address, digest):
        report.log(
            "someone else has pushed an image of the same commit that was built in the same "
            f"way: using {digest}"
        )
        return digest, False
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
