"""Before anything is changed: what is there, what would be done about it, and what is known to
fail.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import NextCommand, ShellCommand
from toolkit.errors import (
    CloudError,
    Missing,
    NoImage,
    NoRepository,
    Refused,
)
from toolkit.operations import DeployedState, Job, JobAction, LiveVersion
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.aws.client import Aws, check_account
from toolkit.ports.ports import Ports
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import provenance, rollout
from toolkit.targets.app.options import AppRestore
from toolkit.targets.app.provenance import Origin
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.times import iso_utc

Shape = Mapping[str, Any]
TAKE_OVER = "add --take-over"
ROLLBACK = JobAction.ROLLBACK
"""The action of a job that puts back what was live: nothing is built."""


class CurrentState(Struct, frozen=True):
    """What there is before a deploy, as AWS says it."""

    service: Shape
    going: tuple[Shape, ...] | None
    """The service deployments in progress, None if ECS does not list any for this service."""
    running: Shape
    """The task definition that the service runs."""
    base: Shape
    """The task definition that a new revision is a copy of."""
    reuse: bool
    """Whether `base` can be deployed as it is."""
    repository: Shape
    containers: tuple[str, ...]
    """The containers that get the image."""
    tag: str
    """The tag or digest that the image is named by."""
    digest: str | None
    """The image's digest, None if it has to be built."""
    origin: Origin = Origin.UNRECORDED
    """Who registered `running`."""
    changes: tuple[str, ...] = ()
    """How `running` differs from what is recorded, in words."""
    absent: bool = False
    """Whether the repository has to be created first."""
    remarks: tuple[str, ...] = ()
    """What could not be checked."""
    build_key: str = ""
    """A digest of all that decides what is built; empty where nothing has to be."""

    @property
    def container(self) -> str:
        """The first container that gets the image: the one whose image says which version runs."""
        return self.containers[0]

    def image(self, digest: str | None) -> str:
        """The image's name in a task definition: by digest, so that nobody can change what it
        means.
        """
        uri = self.repository["repositoryUri"]
        if digest:
            return f"{uri}@{digest}"
        return f"{uri}:{self.tag}"

    @property
    def busy(self) -> bool:
        """Whether a deployment is in progress."""
        return (
            bool(self.going)
            or rollout.primary_deployment(self.service).get("rolloutState") == "IN_PROGRESS"
        )


def ask_in_parallel(*questions: Callable[[], Any]) -> list[Callable[[], Any]]:
    """Ask side by side; each answer is a function that gives it, or raises what it met."""
    with ThreadPoolExecutor(len(questions)) as pool:
        futures = [pool.submit(question) for question in questions]
    return [future.result for future in futures]


class RequestedImage(Struct, frozen=True):
    """The image that is to run: its tag or digest, the repository (`absent`: it has to be created
    first), and the digest that the tag has there, None if there is no such image.
    """

    tag: str
    repository: Shape
    digest: str | None
    absent: bool = False


def read_state(job: Job, ports: Ports) -> CurrentState:
    """Look at everything. Raises Missing, Refused and WrongAccount for what is known to fail."""
    settings: AppSettings = job.settings
    aws = ports.aws(job.location)
    if (
        job.version.dirty
        and job.location.protected
        and job.action != ROLLBACK
        and not job.options.image
    ):
        raise Refused(
            "the files are not as committed, and environment"
            f" {job.location.environment} is protected",
            "commit them first",
        )
    tag = requested_image(job)
    name, registry = ecr.named(settings.repository), registry_client(job, ports)
    account, read_service, repository, digest, going = ask_in_parallel(
        lambda: check_account(aws, job.location),
        lambda: ecs.service(aws, settings.cluster, settings.service),
        lambda: ecr.repository(registry, name),
        lambda: ecr.digest(registry, name, tag),
        lambda: ecs.deployments_going(aws, settings.cluster, settings.service),
    )
    account()  # the others' answers would be about a stranger's account
    service = check_deployable(job, aws, read_service())
    running = ecs.definition(aws, service["taskDefinition"])
    if running is None:
        raise Missing(
            what="task definition",
            name=service["taskDefinition"],
            where=f" that service {settings.service} runs",
        )
    try:
        image = RequestedImage(tag, repository(), digest())
    except Missing as problem:
        to_create = _repository_to_create(job, registry, running, problem)
        image = RequestedImage(tag, to_create, None, absent=True)
    return _assembled(job, aws, service, running, image, going())


def registry_client(job: Job, ports: Ports) -> Aws:
    """The calls of the region whose registry has the repository."""
    region = ecr.named(job.settings.repository).region
    if region is None:
        return ports.aws(job.location)
    return ports.aws(replace(job.location, region=region))


def _repository_to_create(job: Job, aws: Aws, running: Shape, problem: Missing) -> Shape:
    """The repository that is to be made. Raises Missing with what is really wrong where none is."""
    settings: AppSettings = job.settings
    repository = ecr.named(settings.repository)
    for name in definitions.of_repository(running, repository):
        theirs = ecr.registry_of(definitions.image_of(running, name))
        if (
            theirs is not None
            and not repository.account
            and theirs != (job.location.account or theirs[0], aws.region_name)
        ):
            uri = definitions.repository_of(definitions.image_of(running, name))
            where = f"{problem.facts['where']}: the running image is from {uri}"
            raise NoRepository(
                name=repository.name,
                where=where,
                next=f'if that is intended, set `repository = "{uri}"`',
            ) from None
    if repository.account:
        raise problem
    if not job.options.create or job.action == ROLLBACK:
        make = NextCommand("deploy-app", (job.target,), ("--create",))
        raise NoRepository(
            name=repository.name,
            where=problem.facts["where"],
            next=("correct its name in rules.toml, or create it:", make),
        ) from None
    host = f"{job.location.account or aws.account()}.dkr.ecr.{aws.region_name}.amazonaws.com"
    return {"repositoryUri": f"{host}/{repository.name}"}


def _assembled(
    job: Job,
    aws: Aws,
    service: Shape,
    running: Shape,
    image: RequestedImage,
    going: list[Shape] | None,
) -> CurrentState:
    settings: AppSettings = job.settings
    origin, recorded = _origin_of_running(job, aws, running)
    former = _rollback_definition(job, aws)
    base = former or _base_definition(job, origin, running, recorded)
    containers = definitions.containers_to_update(
        base, settings.container, ecr.named(settings.repository)
    )
    reuse = False
    if former is not None and former.get("status") == "ACTIVE":
        former_image = definitions.image_of(former, containers[0])
        reuse = definitions.digest_of(former_image) == image.tag
    if image.digest is None:
        _check_build_allowed(job, image.tag)
    changes = provenance.describe_changes(recorded, running) if recorded is not None else []
    return CurrentState(
        service=service,
        going=None if going is None else tuple(going),
        running=running,
        base=base,
        reuse=reuse,
        repository=image.repository,
        containers=containers,
        tag=image.tag,
        digest=image.digest,
        origin=origin,
        changes=tuple(changes),
        absent=image.absent,
    )


def _origin_of_running(job: Job, aws: Aws, running: Shape) -> tuple[Origin, Shape | None]:
    """Who put there what runs, and the task definition of the newest good deploy where that is
    another one and still there.
    """
    origin = provenance.origin(running, job.recorded)
    if job.recorded is None or origin not in provenance.GIVING_WAY:
        return origin, None
    arn = job.recorded.detail.get("task definition")
    if not arn:
        return origin, None
    recorded = ecs.definition(aws, arn)
    if recorded is not None and definitions.digest(recorded) == definitions.digest(running):
        return Origin.RECORDED, None
    return origin, recorded


def _rollback_definition(job: Job, aws: Aws) -> Shape | None:
    """The former task definition that a rollback puts back; None where it is gone, or lacks the
    container.
    """
    restore: AppRestore | None = job.restore
    if restore is None or not restore.task_definition:
        return None
    definition = ecs.definition(aws, restore.task_definition)
    if definition is None:
        return None
    try:
        definitions.containers_to_update(
            definition, job.settings.container, ecr.named(job.settings.repository)
        )
    except Refused:
        return None
    return definition


def _base_definition(job: Job, origin: Origin, running: Shape, recorded: Shape | None) -> Shape:
    """The task definition that a new revision is a copy of: the running one, or, where somebody
    else has registered that, the newest that toolkit has deployed. Raises Refused where neither is
    certain.
    """
    if origin not in provenance.GIVING_WAY or job.options.take_over:
        return running
    if recorded is not None:
        return recorded
    if origin is Origin.EARLIER:
        return running
    rev = ecs.revision_of(running["taskDefinitionArn"])
    if origin is Origin.UNKNOWN:
        why = ""
        if job.recorded:
            why = job.recorded.problem
        raise Refused(
            f"whether toolkit deployed {rev}, which is running, is not known: {why}",
            f"to keep what is running: {TAKE_OVER}",
        )
    raise Refused(
        f"{rev} is running, but toolkit did not deploy it, and the task definition that it did"
        " deploy is gone",
        f"to keep what is running: {TAKE_OVER}",
    )


def restorable(
    job: Job, details: Sequence[Mapping[str, str]], ports: Ports
) -> tuple[bool | None, ...]:
    """Whether the image of each of these deploys is in the repository still, None where nobody
    could tell.
    """
    aws, name = registry_client(job, ports), ecr.named(job.settings.repository)
    digests = [detail.get("digest", "") for detail in details]
    distinct = list(dict.fromkeys(digest for digest in digests if digest))
    available: dict[str, bool | None] = {}
    if distinct:
        questions = [lambda digest=digest: ecr.condition(aws, name, digest) for digest in distinct]
        for digest, answer in zip(distinct, ask_in_parallel(*questions), strict=True):
            try:
                available[digest] = answer() == "ACTIVE"
            except Missing:
                available[digest] = False
            except CloudError:
                available[digest] = None
    return tuple(available.get(digest) for digest in digests)


def requested_image(job: Job) -> str:
    """The tag or digest of the image: of a rollback, of `--image`, or of the version."""
    restore: AppRestore | None = job.restore
    if restore is not None and restore.image_digest:
        return restore.image_digest
    return str(job.options.image or job.version.name)


def _check_build_allowed(job: Job, reference: str) -> None:
    """There is no image: may it be built?"""
    settings: AppSettings = job.settings
    if job.action == ROLLBACK:
        raise Refused(
            f"the image {reference} is no longer in repository {settings.repository}",
            ("list the others:", NextCommand("rollback", (job.target,), ("--list",))),
        )
    if job.options.image:
        raise NoImage(
            ("list its images:", _image_listing(settings.repository)),
            name=reference,
            repository=settings.repository,
        )
    if settings.build is None or job.options.no_build:
        if settings.build is None:
            why = "it has no `build` in rules.toml"
        else:
            why = "--no-build was given"
        raise Refused(
            f"there is no image {reference} in repository {settings.repository}, and {why}",
            "choose an existing image with --image TAG",
        )


def _image_listing(words: str) -> ShellCommand:
    repository = ecr.named(words)
    account = ("--registry-id", repository.account) if repository.account else ()
    region = ("--region", repository.region) if repository.region else ()
    options = (repository.name, *account, *region)
    return ShellCommand("aws ecr list-images --repository-name", options)


def check_deployable(job: Job, aws: Aws, service: Shape | None) -> Shape:
    """The service, if this tool can deploy it."""
    settings: AppSettings = job.settings
    if service is None:
        raise Missing(
            what="ECS service",
            name=settings.service,
            where=f" in cluster {settings.cluster} ({aws.region_name})",
        )
    if service["status"] != "ACTIVE":
        raise Refused(
            f"service {settings.service} is {service['status']}: it is being deleted",
            "wait for it, then create it again",
        )
    if service.get("resourceManagementType") == "ECS":
        raise Refused(
            f"service {settings.service} is in Express Mode: ECS manages its task definitions"
            " itself",
            "deploy it with its stack",
        )
    controller = (service.get("deploymentController") or {}).get("type", "ECS")
    if controller != "ECS":
        words = {"CODE_DEPLOY": "CodeDeploy", "EXTERNAL": "an external controller"}.get(
            controller, controller
        )
        raise Refused(
            f"service {settings.service} is deployed by {words}, not by ECS",
            f"deploy it through {words}",
        )
    return service


def revertible_deployment(job: Job, aws: Aws, state: CurrentState) -> str | None:
    """The deployment in progress whose end would bring the wanted version back; None if there is
    none.
    """
    for brief in state.going or ():
        if brief.get("status") not in ("PENDING", "IN_PROGRESS"):
            continue
        deployment = ecs.deployment(aws, brief["serviceDeploymentArn"])
        sources = (deployment or {}).get("sourceServiceRevisions") or ()
        revisions = [ecs.revision(aws, source["arn"]) for source in sources]
        if (
            len(revisions) == 1
            and revisions[0] is not None
            and _runs_requested_version(job, state, revisions[0])
        ):
            return str(brief["serviceDeploymentArn"])
    return None


def _runs_requested_version(job: Job, state: CurrentState, revision: Shape) -> bool:
    restore: AppRestore | None = job.restore
    if restore is not None and restore.task_definition:
        return bool(revision["taskDefinition"] == restore.task_definition)
    images = revision.get("containerImages") or ()
    run = {image.get("containerName"): image.get("imageDigest") for image in images}
    return all(run.get(name) == state.digest for name in state.containers)


def left_out_notes(definition: Shape, settings: AppSettings) -> list[str]:
    """Of each container with an image of the repository that `container` leaves out, what it
    runs.
    """
    repository = ecr.named(settings.repository)
    if not settings.container:
        return []
    others = definitions.other_containers(definition, [settings.container], repository)
    return [
        f"container {name} has an image of {repository.name}, too"
        f" ({short_image(definitions.image_of(definition, name))}), and is left as it is:"
        f" `container` is {settings.container}"
        for name in others
    ]


def short_image(image: str) -> str:
    """An image's digest, shortened, else its tag."""
    digest = definitions.digest_of(image)
    if digest:
        return digest[:19]
    return f"tag {definitions.tag_of(image) or 'latest'}"


def live_version(definition: Shape, settings: AppSettings, deployment: Shape) -> LiveVersion:
    """The words for a task definition that runs. Raises Refused where nobody can tell which
    containers are meant.
    """
    containers = definitions.containers_to_update(
        definition, settings.container, ecr.named(settings.repository)
    )
    images = {name: definitions.image_of(definition, name) for name in containers}
    image = images[containers[0]]
    detail = {
        "image": image,
        "digest": definitions.digest_of(image) or "",
        "task definition": definition["taskDefinitionArn"],
    }
    content = definitions.digest(definition)
    version = LiveVersion(
        version=definitions.mark(definition, "version") or definitions.tag_of(image),
        commit=definitions.mark(definition, "commit"),
        fingerprint=definitions.mark(definition, "fingerprint"),
        run=definitions.mark(definition, "run"),
        since=iso_utc(deployment.get("createdAt")),
        detail={key: value for key, value in detail.items() if value},
        deployed=DeployedState(definition=content, artifacts=definitions.image_digests(definition)),
        by=provenance.stack_words(definition),
        notes=tuple(left_out_notes(definition, settings)),
    )
    if len({definitions.digest_of(reference) or reference for reference in images.values()}) > 1:
        shown = ", ".join(f"{name} {short_image(image)}" for name, image in images.items())
        doubt = f"its containers run different images: {shown}"
        # the tags are about one image: they say nothing of what runs here
        return replace(version, version=None, commit=None, fingerprint=None, doubt=doubt)
    if definitions.mark(definition, "definition") != content:
        return version  # a copy may have our tags and say something else
    return replace(version, settings=definitions.mark(definition, "settings"))


CLOCKS_S = 5
"""How far AWS's clocks may differ from each other, in seconds."""


def started_at(receipt: Mapping[str, Any]) -> datetime | None:
    """When the service was about to be moved, on AWS's clock; a few seconds earlier, for clocks
    differ.
    """
    stamp = receipt.get("started_at")
    if stamp:
        return datetime.fromisoformat(stamp) - timedelta(seconds=CLOCKS_S)
    return None


def own_deployment_arn(
    aws: Aws, job: Job, service: Shape, receipt: Mapping[str, Any]
) -> str | None:
    """The ARN of the service deployment that moves the service to our task definition, begun since
    we asked; None if ECS shows none.
    """
    definition, since = receipt.get("task_definition"), started_at(receipt)
    for arn in _candidates(aws, job, service, since):
        deployment = ecs.deployment(aws, arn)
        if deployment is None or (
            since is not None
            and deployment.get("createdAt") is not None
            and deployment["createdAt"] < since
        ):
            continue
        revision = ecs.revision(
            aws, str((deployment.get("targetServiceRevision") or {}).get("arn") or "")
        )
        if revision is not None and revision.get("taskDefinition") == definition:
            return arn
    return None


def _candidates(aws: Aws, job: Job, service: Shape, since: datetime | None) -> Iterator[str]:
    """The current one first: usually it is ours, and it costs nothing to know."""
    current = service.get("currentServiceDeployment")
    if current:
        yield str(current)
    if since is not None:
        deployments = (
            ecs.deployments_since(aws, job.settings.cluster, job.settings.service, since) or ()
        )
        yield from (
            str(deployment["serviceDeploymentArn"])
            for deployment in deployments[:5]
            if deployment["serviceDeploymentArn"] != current
        )
