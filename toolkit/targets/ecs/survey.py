"""Before anything is changed: what is there, what would be done about it, and what is known to
fail.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import (
    CloudError,
    CredentialsProblem,
    Missing,
    NoImage,
    NoRepository,
    Refused,
    Superseded,
    ToolkitError,
)
from toolkit.model import DeployedState, Job, LiveVersion, PlannedCall, Preview
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.aws.client import Aws, check_account
from toolkit.ports.ports import Ports
from toolkit.targets.ecs import definition as definitions
from toolkit.targets.ecs import provenance, reading
from toolkit.targets.ecs.provenance import Origin

if TYPE_CHECKING:
    from toolkit.targets.app import Settings

Shape = Mapping[str, Any]

TAKE_OVER = "add --take-over"
ROLLBACK = "rollback"
"""The action of a job that puts back what was live: nothing is built."""


class CurrentState(Struct, frozen=True):
    """What was found. `going` are the service deployments in progress, None if ECS does not tell.
    `tag` is what the image is asked for by and `digest` what that is, None if it has to be built.
    `base` is the task definition to copy; `reuse` says that it will do as it is. `containers` get
    the image; the service's own are `running`, whose `origin` is told, and how that differs from
    what is recorded. `absent` says that the repository has to be made first, `remarks` what could
    not be checked.
    """

    service: Shape
    going: tuple[Shape, ...] | None
    running: Shape
    base: Shape
    reuse: bool
    repository: Shape
    containers: tuple[str, ...]
    tag: str
    digest: str | None
    origin: Origin = Origin.UNRECORDED
    changes: tuple[str, ...] = ()
    absent: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def container(self) -> str:
        """The first container that gets the image: the one whose image says which version runs."""
        return self.containers[0]

    def image(self, digest: str | None) -> str:
        """The image's name in a task definition: by digest, so that nobody can change what it
        means.
        """
        uri = self.repository["repositoryUri"]
        return f"{uri}@{digest}" if digest else f"{uri}:{self.tag}"

    @property
    def busy(self) -> bool:
        """Whether a deployment is in progress."""
        return (
            bool(self.going) or reading.primary(self.service).get("rolloutState") == "IN_PROGRESS"
        )


class Decision(Struct, frozen=True):
    """What is to be done. `act` is unchanged, attach (to a deployment of the same), revert (stop
    the one in progress, which brings the wanted version back), reuse (a task definition that is
    there) or register (`request`). `going` is the deployment to revert.
    """

    act: str
    request: Mapping[str, Any] = {}
    going: str = ""


def together(*questions: Callable[[], Any]) -> list[Callable[[], Any]]:
    """Ask side by side; each answer is a function that gives it, or raises what it met."""
    with ThreadPoolExecutor(len(questions)) as pool:
        return [asked.result for asked in [pool.submit(question) for question in questions]]


def survey(job: Job, ports: Ports) -> CurrentState:
    """Look at everything. Raises Missing, Refused and WrongAccount for what is known to fail."""
    settings: Settings = job.settings
    aws = ports.aws(job.location)
    if (
        job.version.dirty
        and job.location.protected
        and job.action != ROLLBACK
        and not job.wishes.get("image")
    ):
        raise Refused(
            "the files are not as committed, and environment"
            f" {job.location.environment} is protected",
            "commit them first",
        )
    wanted = asked_for(job)
    name, registry = ecr.named(settings.repository), registry_of(job, ports)
    account, service, repository, digest, going = together(
        lambda: check_account(aws, job.location),
        lambda: ecs.service(aws, settings.cluster, settings.service),
        lambda: ecr.repository(registry, name),
        lambda: ecr.digest(registry, name, wanted),
        lambda: ecs.deployments_going(aws, settings.cluster, settings.service),
    )
    account()  # the others' answers would be about a stranger's account
    found = deployable(job, aws, service())
    running = ecs.definition(aws, found["taskDefinition"])
    if running is None:
        raise Missing(
            what="task definition",
            name=found["taskDefinition"],
            where=f" that service {settings.service} runs",
        )
    try:
        images = (repository(), digest(), False)
    except Missing as problem:
        images = (_unmade(job, registry, running, problem), None, True)
    ground = _ground(job, aws, found, running, images, wanted, going())
    if ground.digest is None:
        check_build(job, ports, ground)
    elif _is_newly_used(job, ground):
        ground = replace(ground, remarks=check_built(job, ports, ground, ground.digest))
    return ground


def registry_of(job: Job, ports: Ports) -> Aws:
    """The calls of the region whose registry has the repository."""
    region = ecr.named(job.settings.repository).region
    return ports.aws(job.location if region is None else replace(job.location, region=region))


def _unmade(job: Job, aws: Aws, running: Shape, problem: Missing) -> Shape:
    """The repository that is to be made. Raises Missing with what is really wrong where none is."""
    settings: Settings = job.settings
    wanted = ecr.named(settings.repository)
    for name in definitions.of_repository(running, wanted):
        theirs = ecr.registry_of(definitions.image_of(running, name))
        if (
            theirs is not None
            and not wanted.account
            and theirs != (job.location.account or theirs[0], aws.region_name)
        ):
            uri = definitions.repository_of(definitions.image_of(running, name))
            where = f"{problem.facts['where']}: the image that runs is of {uri}"
            raise NoRepository(
                name=wanted.name,
                where=where,
                next=f'if that is intended, set `repository = "{uri}"`',
            ) from None
    if wanted.account:
        raise problem
    if not job.wishes.get("create") or job.action == ROLLBACK:
        make = f"make it: toolkit deploy-app {job.target} --create"
        raise NoRepository(
            name=wanted.name,
            where=problem.facts["where"],
            next=f"correct its name in rules.toml, or {make}",
        ) from None
    host = f"{job.location.account or aws.account()}.dkr.ecr.{aws.region_name}.amazonaws.com"
    return {"repositoryUri": f"{host}/{wanted.name}"}


def _ground(
    job: Job,
    aws: Aws,
    service: Shape,
    running: Shape,
    images: tuple[Shape, str | None, bool],
    wanted: str,
    going: list[Shape] | None,
) -> CurrentState:
    settings: Settings = job.settings
    repository, digest, absent = images
    wants = ecr.named(settings.repository)
    origin, recorded = _origin(job, aws, running)
    then = _of_then(job, aws, wanted)
    base = then or _base(job, origin, running, recorded)
    reuse = then is not None and then.get("status") == "ACTIVE"
    containers = definitions.containers(base, settings.container, wants)
    if reuse:
        reuse = definitions.digest_of(definitions.image_of(base, containers[0])) == wanted
    if digest is None:
        _check_image_is_wanted(job, wanted)
    changes = provenance.changes(recorded, running) if recorded is not None else []
    return CurrentState(
        service,
        None if going is None else tuple(going),
        running,
        base,
        reuse,
        repository,
        containers,
        wanted,
        digest,
        origin,
        tuple(changes),
        absent,
    )


def _origin(job: Job, aws: Aws, running: Shape) -> tuple[Origin, Shape | None]:
    """Who put there what runs, and the task definition of the newest good deploy where that is
    another one and still there.
    """
    origin = provenance.origin(running, job.recorded)
    if job.recorded is None or origin not in provenance.GIVING_WAY:
        return origin, None
    arn = job.recorded.detail.get("task definition")
    recorded = ecs.definition(aws, arn) if arn else None
    if recorded is not None and definitions.digest(recorded) == definitions.digest(running):
        return Origin.RECORDED, None
    return origin, recorded


def _of_then(job: Job, aws: Aws, wanted: str) -> Shape | None:
    """The task definition that a rollback puts back, None where there is none any more that has the
    container.
    """
    arn = job.wishes.get("task_definition") if job.action == ROLLBACK else None
    found = ecs.definition(aws, arn) if arn else None
    if found is None:
        return None
    try:
        definitions.containers(found, job.settings.container, ecr.named(job.settings.repository))
    except Refused:
        return None
    return found


def _base(job: Job, origin: Origin, running: Shape, recorded: Shape | None) -> Shape:
    """What a new revision is a copy of: what runs, but what toolkit did not deploy gives way to
    what it did.
    """
    if origin not in provenance.GIVING_WAY or job.wishes.get("take_over"):
        return running
    if recorded is not None:
        return recorded
    if origin is Origin.EARLIER:
        return running
    rev = ecs.revision_of(running["taskDefinitionArn"])
    if origin is Origin.UNKNOWN:
        why = job.recorded.problem if job.recorded else ""
        raise Refused(
            f"whether toolkit deployed {rev}, which is running, is not known: {why}",
            f"to go by what is running: {TAKE_OVER}",
        )
    raise Refused(
        f"{rev} is running, but toolkit did not deploy it, and the task definition that it did"
        " deploy is gone",
        f"to go by what is running: {TAKE_OVER}",
    )


def kept(job: Job, details: Sequence[Mapping[str, str]], ports: Ports) -> tuple[bool | None, ...]:
    """Whether the image of each of these deploys is in the repository still, None where nobody
    could tell.
    """
    aws, name = registry_of(job, ports), ecr.named(job.settings.repository)
    digests = [detail.get("digest", "") for detail in details]
    wanted = list(dict.fromkeys(digest for digest in digests if digest))
    known: dict[str, bool | None] = {}
    if wanted:
        questions = [lambda digest=digest: ecr.condition(aws, name, digest) for digest in wanted]
        for digest, answer in zip(wanted, together(*questions), strict=True):
            try:
                known[digest] = answer() == "ACTIVE"
            except Missing:
                known[digest] = False
            except CloudError:
                known[digest] = None
    return tuple(known.get(digest) for digest in digests)


def asked_for(job: Job) -> str:
    """The tag or digest of the image: of a rollback, of `--image`, or of the version."""
    back = job.wishes.get("image_digest") if job.action == ROLLBACK else None
    return str(back or job.wishes.get("image") or job.version.name)


def _check_image_is_wanted(job: Job, wanted: str) -> None:
    """There is no image: may it be built?"""
    settings: Settings = job.settings
    if job.action == ROLLBACK:
        raise Refused(
            f"the image {wanted} is no longer in repository {settings.repository}",
            f"see the others: toolkit rollback {job.target} --list",
        )
    if job.wishes.get("image"):
        raise NoImage(name=wanted, repository=settings.repository)
    if settings.build is None or job.wishes.get("no_build"):
        why = (
            "it has no `build` in rules.toml"
            if settings.build is None
            else "it is not to be built (--no-build)"
        )
        raise Refused(
            f"there is no image {wanted} in repository {settings.repository}, and {why}",
            "name an existing one with --image TAG",
        )


def deployable(job: Job, aws: Aws, service: Shape | None) -> Shape:
    """The service, if this tool can deploy it."""
    settings: Settings = job.settings
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
        words = {"CODE_DEPLOY": "CodeDeploy", "EXTERNAL": "a program of its own"}.get(
            controller, controller
        )
        raise Refused(
            f"service {settings.service} is deployed by {words}, not by ECS",
            f"deploy it through {words}",
        )
    return service


def platform(job: Job, ground: CurrentState) -> str | None:
    """What to build for: what rules.toml says, else what the tasks run on."""
    settings: Settings = job.settings
    return (settings.build.platform if settings.build else None) or definitions.architecture(
        ground.base
    )


def check_build(job: Job, ports: Ports, ground: CurrentState) -> None:
    """Raises Refused where the image could be built but would not run, or cannot be built here."""
    from toolkit.ports.images import builder, check_recipe
    from toolkit.targets.ecs.release import recipe

    runs, built = definitions.architecture(ground.base), platform(job, ground)
    known = bool((ground.base.get("runtimePlatform") or {}).get("cpuArchitecture")) or _fargate(
        ground.base
    )
    if known and runs and built and not built.startswith(runs):
        raise Refused(
            f"the image is built for {built}, but the tasks run on {runs}",
            f'set `platform = "{runs}"` in `build`',
        )
    check_recipe(recipe(job, ports, ground), builder(job.wishes.get("builder")).name)


def _is_newly_used(job: Job, ground: CurrentState) -> bool:
    """Whether the image of this version is there, though the target that would build it does not
    run it yet.
    """
    if job.settings.build is None or job.wishes.get("image") or job.action == ROLLBACK:
        return False
    return (
        definitions.digest_of(definitions.image_of(ground.running, ground.container))
        != ground.digest
    )


def check_built(job: Job, ports: Ports, ground: CurrentState, digest: str) -> tuple[str, ...]:
    """Whether the image that has the version's tag was built as this target's would be: another
    target, or another environment, may build it from the same commit in another way. Raises Refused
    where it was; in words what could not be checked.
    """
    from toolkit.ports.images import image_config
    from toolkit.targets.ecs.release import BUILT, recipe, registry

    try:
        labels = image_config(registry(job, ports, ground), digest)["labels"]
    except CredentialsProblem:
        raise
    except ToolkitError as problem:
        return (
            (
                f"whether image {ground.tag} was built as rules.toml says could not be checked:"
                f" {problem}"
            ),
        )
    theirs = labels.get(BUILT) if isinstance(labels, Mapping) else None
    if theirs is None or theirs == recipe(job, ports, ground).labels[BUILT]:
        return ()
    raise Refused(
        f"image {ground.tag} is in repository {job.settings.repository}, but was built in another"
        " way (`build`, or for another processor)",
        "let what is built differently have a repository of its own",
    )


def _fargate(definition: Shape) -> bool:
    return "FARGATE" in (definition.get("requiresCompatibilities") or ())


def course(job: Job, ground: CurrentState, members: frozenset[str], digest: str | None) -> Decision:
    """What is to be done, now that the image's digest is known (None: it will be built)."""
    settings: Settings = job.settings
    back = job.action == ROLLBACK
    env, secrets = ({}, {}) if back else (settings.env, settings.secrets)
    request = definitions.revised(
        ground.base, members, moved(job, ground, digest), ground.image(digest), env, secrets
    )
    marks = {
        **_marks(job, ground),
        "definition": definitions.digest(request),
        "run": job.run,
        "token": job.token,
    }
    request["tags"] = definitions.marked(request["tags"], **marks)
    # what nobody has recorded is never called unchanged; a rollback puts back what is recorded
    ours = ground.origin not in (*provenance.GIVING_WAY, Origin.STACK) or job.action == ROLLBACK
    same = digest is not None and ours and definitions.equal(ground.running, request)
    if same and not job.wishes.get("force"):
        if not ground.busy and reading.steady(ground.service):
            return Decision("unchanged")
        if ground.busy and not reading.stuck(ground.service) and not _reverting(ground):
            return Decision("attach")
    return Decision("reuse" if ground.reuse else "register", request)


def moved(job: Job, ground: CurrentState, digest: str | None) -> tuple[str, ...]:
    """The containers that run the image afterwards: in a rollback to a task definition of then,
    those that ran it then.
    """
    then = [
        name
        for name in ground.containers
        if definitions.digest_of(definitions.image_of(ground.base, name)) == digest
    ]
    return tuple(then) if job.action == ROLLBACK and ground.container in then else ground.containers


def _reverting(ground: CurrentState) -> bool:
    return any(
        str(one.get("status", "")).startswith(("ROLLBACK", "STOP")) for one in ground.going or ()
    )


def _marks(job: Job, ground: CurrentState) -> dict[str, str | None]:
    """Whose content the image is. An image that was only named is known by its name; one that comes
    back keeps what it was marked with.
    """
    version = job.version
    if (
        job.action == ROLLBACK
        and definitions.mark(ground.base, "version")
        and ground.base is not ground.running
    ):
        return {}
    if job.wishes.get("image") and ground.tag != version.name:
        return {"version": ground.tag, "commit": None, "fingerprint": None, "settings": None}
    return {
        "version": version.name,
        "commit": version.commit,
        "fingerprint": version.fingerprint,
        "settings": version.settings or None,
    }


def create_calls(settings: "Settings") -> tuple[PlannedCall, ...]:
    """What makes a repository that is not there."""
    name = ecr.named(settings.repository).name
    return (
        PlannedCall(
            "ecr:CreateRepository",
            {"repository": name, "tags": "immutable", "scan": "on push"},
            once=True,
        ),
        PlannedCall(
            "ecr:PutLifecyclePolicy",
            {"repository": name, "keep": f"the newest {ecr.KEPT} images"},
            once=True,
        ),
    )


def push_call(ground: CurrentState) -> PlannedCall:
    """The push of a built image."""
    return PlannedCall(
        "ecr:PutImage", {"image": f"{ground.repository['repositoryUri']}:{ground.tag}"}, once=True
    )


def register_call(
    ground: CurrentState, request: Shape, settings: "Settings", back: bool
) -> PlannedCall:
    """The new revision. Of variables only the names are told."""
    what = {"family": str(request["family"]), "container": ", ".join(ground.containers)}
    what["image"] = definitions.image_of(request, ground.container)
    for name, variables in (("env", settings.env), ("secrets", settings.secrets)):
        if variables and not back:
            what[name] = ", ".join(sorted(variables))
    what["based_on"] = ecs.revision_of(ground.base["taskDefinitionArn"])
    return PlannedCall("ecs:RegisterTaskDefinition", what)


def update_call(settings: "Settings", task_definition: str, force: bool) -> PlannedCall:
    """The one call that moves the service."""
    what = {
        "cluster": settings.cluster,
        "service": settings.service,
        "task_definition": task_definition,
    }
    return PlannedCall(
        "ecs:UpdateService", what | ({"force_new_deployment": "true"} if force else {})
    )


def preview(job: Job, ports: Ports) -> Preview:
    """The calls that `release.apply` would make, in its order."""
    ground = survey(job, ports)
    aws = ports.aws(job.location)
    way = course(job, ground, aws.members("ecs", "RegisterTaskDefinition"), ground.digest)
    if job.action == ROLLBACK and (reverted := revertible(job, aws, ground)):
        way = Decision("revert", going=reverted)
    return Preview(
        _calls(job, ground, way),
        _warnings(job, ground, way),
        way.act == "unchanged",
        _live(job, ground),
    )


def _calls(job: Job, ground: CurrentState, way: Decision) -> tuple[PlannedCall, ...]:
    settings: Settings = job.settings
    if way.act == "revert":
        return (stop_call(way.going),)
    if way.act in ("unchanged", "attach"):
        return ()
    calls = [
        *(create_calls(settings) if ground.absent else ()),
        *(() if ground.digest else (push_call(ground),)),
    ]
    if way.act == "register":
        calls.append(register_call(ground, way.request, settings, job.action == ROLLBACK))
    name = (
        ecs.revision_of(ground.base["taskDefinitionArn"])
        if way.act == "reuse"
        else f"{way.request['family']}:new"
    )
    return (*calls, update_call(settings, name, bool(job.wishes.get("force"))))


def stop_call(arn: str) -> PlannedCall:
    """The end of a deployment that is in progress; what ran before runs again."""
    return PlannedCall(
        "ecs:StopServiceDeployment", {"service_deployment": arn, "stop_type": "ROLLBACK"}
    )


def revertible(job: Job, aws: Aws, ground: CurrentState) -> str | None:
    """The deployment in progress whose end would bring the wanted version back; None if there is
    none.
    """
    for brief in ground.going or ():
        if brief.get("status") not in ("PENDING", "IN_PROGRESS"):
            continue
        found = ecs.deployment(aws, brief["serviceDeploymentArn"])
        sources = (found or {}).get("sourceServiceRevisions") or ()
        revisions = [ecs.revision(aws, one["arn"]) for one in sources]
        if (
            len(revisions) == 1
            and revisions[0] is not None
            and _is_wanted(job, ground, revisions[0])
        ):
            return str(brief["serviceDeploymentArn"])
    return None


def _is_wanted(job: Job, ground: CurrentState, revision: Shape) -> bool:
    wanted = job.wishes.get("task_definition")
    if wanted:
        return bool(revision["taskDefinition"] == wanted)
    images = revision.get("containerImages") or ()
    run = {one.get("containerName"): one.get("imageDigest") for one in images}
    return all(run.get(name) == ground.digest for name in ground.containers)


def _warnings(job: Job, ground: CurrentState, way: Decision) -> tuple[str, ...]:
    settings: Settings = job.settings
    service, said = (
        ground.service,
        [
            *about_what_runs(job, ground, way),
            *left_out(ground.base, settings),
            *ground.remarks,
        ],
    )
    if job.version.dirty and not job.wishes.get("image") and job.action != ROLLBACK:
        said.append(f"the files are not as committed: the image is tagged {ground.tag}")
    if service.get("schedulingStrategy", "REPLICA") != "DAEMON" and not service.get("desiredCount"):
        verdict = (
            ""
            if settings.min_tasks < 1
            else ", and the deploy will end as unhealthy (rules.toml does not say `min_tasks = 0`)"
        )
        said.append(
            f"the desired count of service {settings.service} is 0: nothing will run{verdict}"
        )
    if way.act == "attach":
        said.append(
            f"this version is being deployed already, by {definitions.whose(ground.running)}:"
            " nothing is started, only watched"
        )
    elif way.act != "unchanged" and ground.busy:
        said.append(_about_the_other(job, ground, way))
    configured = service.get("deploymentConfiguration") or {}
    breaker = configured.get("deploymentCircuitBreaker") or {}
    strategy = reading.STRATEGIES.get(str(configured.get("strategy", "")))
    if strategy:
        said.append(f"ECS deploys it {strategy}" + _bake(configured))
    elif not (breaker.get("enable") and breaker.get("rollback")):
        said.append(
            f"service {settings.service} has no circuit breaker with rollback: only while toolkit"
            " watches is a bad version taken back"
        )
    return tuple(said)


def about_what_runs(job: Job, ground: CurrentState, way: Decision) -> list[str]:
    """That what runs is not what the record says, before anybody agrees to what becomes of it."""
    rev, recorded = ecs.revision_of(ground.running["taskDefinitionArn"]), job.recorded
    if recorded is None or (
        ground.origin not in provenance.GIVING_WAY and ground.origin is not Origin.STACK
    ):
        return []
    how = f": {'; '.join(ground.changes)}" if ground.changes else ""
    words = {
        Origin.STACK: f"{rev} is running: a stack put it there since run {recorded.run}",
        Origin.EARLIER: (
            f"{rev} is running, which toolkit deployed before run {recorded.run}: somebody moved"
            " the service back"
        ),
        Origin.UNKNOWN: (
            f"whether toolkit deployed {rev}, which is running, is not known: {recorded.problem}"
        ),
    }.get(ground.origin, f"{rev} is running, but toolkit did not deploy it{how}")
    if way.act in ("unchanged", "attach"):
        return [words]
    if ground.base is ground.running:
        taken = (
            "it is taken over" if job.wishes.get("take_over") else "the new revision is based on it"
        )
        return [f"{words}; {taken}"]
    base = ecs.revision_of(ground.base["taskDefinitionArn"])
    if job.action == ROLLBACK:
        return [f"{words}; it gives way to {base}"]
    return [
        f"{words}; the new revision is based on {base} of run {recorded.run}, to keep what runs"
        f" {TAKE_OVER}"
    ]


def left_out(definition: Shape, settings: "Settings") -> list[str]:
    """Of each container with an image of the repository that `container` leaves out, what it
    runs.
    """
    repository = ecr.named(settings.repository)
    left = (
        definitions.left(definition, [settings.container], repository) if settings.container else ()
    )
    return [
        f"container {name} has an image of {repository.name}, too"
        f" ({brief(definitions.image_of(definition, name))}), and is left as it is: `container` is"
        f" {settings.container}"
        for name in left
    ]


def brief(image: str) -> str:
    """An image's digest, shortened, else its tag."""
    digest = definitions.digest_of(image)
    return digest[:19] if digest else f"tag {definitions.tag_of(image) or 'latest'}"


def _bake(configured: Shape) -> str:
    minutes = configured.get("bakeTimeInMinutes")
    return f": it bakes for {minutes} min before it is done" if minutes else ""


def _about_the_other(job: Job, ground: CurrentState, way: Decision) -> str:
    what = (
        f"a deployment of {ecs.revision_of(ground.service['taskDefinition'])} by"
        f" {definitions.whose(ground.running)} is in progress"
    )
    if way.act == "revert":
        return f"{what}: it is stopped, which brings the version before it back"
    if replaces(job, ground):
        return f"{what}: it is replaced"
    return f"{what}: it is waited for"


def replaces(job: Job, ground: CurrentState) -> bool:
    """Whether a deployment in progress is replaced instead of waited for. Raises Refused if that is
    the wish, Superseded where this one was only to undo what ran before.
    """
    if job.undoes:
        raise Superseded(what=ecs.revision_of(ground.service["taskDefinition"]), target=job.target)
    wish = job.wishes.get("in_progress", "wait")
    if wish == "refuse":
        who = definitions.whose(ground.running)
        raise Refused(
            f"a deployment of service {job.settings.service} by {who} is in progress",
            "wait for it, or leave --in-progress out",
        )
    return job.action == ROLLBACK or wish == "replace" or reading.stuck(ground.service)


def _live(job: Job, ground: CurrentState) -> LiveVersion | None:
    """What runs, as far as that is known without another call: while a deployment is in progress it
    is not.
    """
    serving = reading.serving(ground.service)
    if serving.get("taskDefinition") != ground.running["taskDefinitionArn"]:
        return None
    try:
        return live_from(ground.running, job.settings, serving)
    except Refused:  # which container is meant cannot be told of what runs; of what will run it can
        return None


def live_from(definition: Shape, settings: "Settings", deployment: Shape) -> LiveVersion:
    """The words for a task definition that runs. Raises Refused where nobody can tell which
    containers are meant.
    """
    containers = definitions.containers(
        definition, settings.container, ecr.named(settings.repository)
    )
    images = {name: definitions.image_of(definition, name) for name in containers}
    image = images[containers[0]]
    when = deployment.get("createdAt")
    detail = {
        "image": image,
        "digest": definitions.digest_of(image) or "",
        "task definition": definition["taskDefinitionArn"],
    }
    mixed = len({definitions.digest_of(one) or one for one in images.values()}) > 1
    content = definitions.digest(definition)
    ours = (
        definitions.mark(definition, "definition") == content
    )  # a copy may have our tags and say something else
    doubt = (
        "its containers run different images:"
        f" {', '.join(f'{name} {brief(one)}' for name, one in images.items())}"
        if mixed
        else ""
    )
    return LiveVersion(
        version=(
            None if mixed else definitions.mark(definition, "version") or definitions.tag_of(image)
        ),
        commit=None if mixed else definitions.mark(definition, "commit"),
        fingerprint=None if mixed else definitions.mark(definition, "fingerprint"),
        run=definitions.mark(definition, "run"),
        settings=definitions.mark(definition, "settings") if ours and not mixed else None,
        since=when.astimezone(UTC).isoformat() if when is not None else None,
        detail={key: value for key, value in detail.items() if value},
        deployed=DeployedState(definition=content, artifacts=definitions.artifacts(definition)),
        doubt=doubt,
        notes=tuple(left_out(definition, settings)),
    )
