"""The image of an app in its repository, as a step of its own or on the way of a deploy."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from toolkit.errors import Missing
from toolkit.operations import Job, Observation, StepState
from toolkit.ports.aws import ecr
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets import image_builds
from toolkit.targets.app.image import build_recipe, image_place
from toolkit.targets.app.preview import checked_state, create_calls, push_call
from toolkit.targets.app.sizes import keep_sizes, kept_size
from toolkit.targets.app.state import CurrentState, registry_client, requested_image
from toolkit.targets.base import Report
from toolkit.targets.image_builds import ImageBuild


def build(job: Job, ports: Ports, report: Report) -> None:
    """Build the image and push it into the job's repository, unless it is there by now."""
    report.phase("checking the repository")
    state = checked_state(job, ports)
    if state.absent or job.options.create:
        state = ensure_repository(job, ports, state, report)
    digest = image_digest(job, ports, state, report)
    report.keep(digest=digest)
    keep_sizes(job, ports, state, digest, report)


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
    outputs = {"image": f"{name.name}@{digest}"}
    return Observation(StepState.DONE, outputs=outputs, size=kept_size(receipt))


def image_digest(job: Job, ports: Ports, state: CurrentState, report: Report) -> str:
    """The digest of the image in the job's repository, where one step of the run puts it for all
    that need it there, if it is missing.
    """
    place = image_place(job, ports, state)
    if state.digest is not None:
        image_builds.check_existing(place, state.digest, ports)
        return state.digest
    recipe = build_recipe(job, ports, state)
    image = ImageBuild(place, recipe, state.build_key, push_call(job, state))
    digest = image_builds.provide(image, ports, report)
    report.keep(image=f"{place.uri}@{digest}")
    return digest


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
