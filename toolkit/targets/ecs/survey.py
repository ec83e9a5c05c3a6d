"""Before anything is changed: what is there, what would be done about it, and what is known to fail."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from toolkit.errors import CloudError, Missing, NoImage, Refused, Superseded
from toolkit.model import Call, Job, Live, Preview
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.aws.client import Aws, check_account
from toolkit.ports.world import World
from toolkit.targets.ecs import definition as definitions
from toolkit.targets.ecs import reading

if TYPE_CHECKING:
    from toolkit.targets.app import Settings

Shape = Mapping[str, Any]

ROLLBACK = "rollback"
"""The action of a job that puts back what was live: nothing is built."""


class Ground(Struct, frozen=True):
    """What was found. `going` are the service deployments in progress, None if ECS does not tell. `tag` is what the image is asked for by
    and `digest` what that is, None if it has to be built. `base` is the task definition to copy; `reuse` says that it will do as it is."""

    service: Shape
    going: tuple[Shape, ...] | None
    running: Shape
    base: Shape
    reuse: bool
    repository: Shape
    container: str
    tag: str
    digest: str | None

    def image(self, digest: str | None) -> str:
        """The image's name in a task definition: by digest, so that nobody can change what it means."""
        uri = self.repository["repositoryUri"]
        return f"{uri}@{digest}" if digest else f"{uri}:{self.tag}"

    @property
    def busy(self) -> bool:
        """Whether a deployment is in progress."""
        return bool(self.going) or reading.primary(self.service).get("rolloutState") == "IN_PROGRESS"


class Course(Struct, frozen=True):
    """What is to be done. `act` is unchanged, attach (to a deployment of the same), revert (stop the one in progress, which brings the
    wanted version back), reuse (a task definition that is there) or register (`request`). `going` is the deployment to revert."""

    act: str
    request: Mapping[str, Any] = {}
    going: str = ""


def together(*questions: Callable[[], Any]) -> list[Callable[[], Any]]:
    """Ask side by side; each answer is a function that gives it, or raises what it met."""
    with ThreadPoolExecutor(len(questions)) as pool:
        return [asked.result for asked in [pool.submit(question) for question in questions]]


def survey(job: Job, world: World) -> Ground:
    """Look at everything. Raises Missing, Refused and WrongAccount for what is known to fail."""
    settings: Settings = job.settings
    aws = world.aws(job.place)
    if job.version.dirty and job.place.protected and job.action != ROLLBACK and not job.wishes.get("image"):
        raise Refused(f"the files are not as committed, and environment {job.place.environment} is protected", "commit them first")
    wanted = asked_for(job)
    account, service, repository, digest, going = together(
        lambda: check_account(aws, job.place),
        lambda: ecs.service(aws, settings.cluster, settings.service),
        lambda: ecr.repository(aws, settings.repository),
        lambda: ecr.digest(aws, settings.repository, wanted),
        lambda: ecs.deployments_going(aws, settings.cluster, settings.service),
    )
    account()  # the others' answers would be about a stranger's account
    found = deployable(job, aws, service())
    ground = _ground(job, aws, found, repository(), wanted, digest(), going())
    if ground.digest is None:
        check_build(job, world, ground)
    return ground


def _ground(job: Job, aws: Aws, service: Shape, repository: Shape, wanted: str, digest: str | None, going: list[Shape] | None) -> Ground:
    settings: Settings = job.settings
    back = job.wishes.get("task_definition") if job.action == ROLLBACK else None
    running, base = together(
        lambda: ecs.definition(aws, service["taskDefinition"]),
        lambda: ecs.definition(aws, back) if back else None,
    )
    now = running()
    if now is None:
        raise Missing(what="task definition", name=service["taskDefinition"], where=f" that service {settings.service} runs")
    name = definitions.container(now, settings.container, settings.repository)
    there = base()
    if there is not None and not definitions.part(there, name):
        there = None
    reuse = there is not None and there.get("status") == "ACTIVE"
    if reuse:
        reuse = definitions.digest_of(definitions.part(there or {}, name).get("image", "")) == wanted
    if digest is None:
        _check_image_is_wanted(job, wanted)
    return Ground(service, None if going is None else tuple(going), now, there or now, reuse, repository, name, wanted, digest)


def kept(job: Job, details: Sequence[Mapping[str, str]], world: World) -> tuple[bool | None, ...]:
    """Whether the image of each of these deploys is in the repository still, None where nobody could tell."""
    aws, settings = world.aws(job.place), job.settings
    digests = [detail.get("digest", "") for detail in details]
    wanted = list(dict.fromkeys(digest for digest in digests if digest))
    known: dict[str, bool | None] = {}
    if wanted:
        questions = [lambda digest=digest: ecr.condition(aws, settings.repository, digest) for digest in wanted]
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
            f"the image {wanted} is no longer in repository {settings.repository}", f"see the others: toolkit rollback {job.target} --list"
        )
    if job.wishes.get("image"):
        raise NoImage(name=wanted, repository=settings.repository)
    if settings.build is None or job.wishes.get("no_build"):
        why = "it has no `build` in rules.toml" if settings.build is None else "it is not to be built (--no-build)"
        raise Refused(f"there is no image {wanted} in repository {settings.repository}, and {why}", "name an existing one with --image TAG")


def deployable(job: Job, aws: Aws, service: Shape | None) -> Shape:
    """The service, if this tool can deploy it."""
    settings: Settings = job.settings
    if service is None:
        raise Missing(what="ECS service", name=settings.service, where=f" in cluster {settings.cluster} ({aws.region_name})")
    if service["status"] != "ACTIVE":
        raise Refused(f"service {settings.service} is {service['status']}: it is being deleted", "wait for it, then create it again")
    if service.get("resourceManagementType") == "ECS":
        raise Refused(f"service {settings.service} is in Express Mode: ECS manages its task definitions itself", "deploy it with its stack")
    controller = (service.get("deploymentController") or {}).get("type", "ECS")
    if controller != "ECS":
        words = {"CODE_DEPLOY": "CodeDeploy", "EXTERNAL": "a program of its own"}.get(controller, controller)
        raise Refused(f"service {settings.service} is deployed by {words}, not by ECS", f"deploy it through {words}")
    return service


def platform(job: Job, ground: Ground) -> str | None:
    """What to build for: what rules.toml says, else what the tasks run on."""
    settings: Settings = job.settings
    return (settings.build.platform if settings.build else None) or definitions.architecture(ground.base)


def check_build(job: Job, world: World, ground: Ground) -> None:
    """Raises Refused where the image could be built but would not run, or cannot be built here."""
    from toolkit.ports.images import builder, check_recipe
    from toolkit.targets.ecs.release import recipe

    runs, built = definitions.architecture(ground.running), platform(job, ground)
    known = bool((ground.running.get("runtimePlatform") or {}).get("cpuArchitecture")) or _fargate(ground.running)
    if known and runs and built and not built.startswith(runs):
        raise Refused(f"the image is built for {built}, but the tasks run on {runs}", f'set `platform = "{runs}"` in `build`')
    check_recipe(recipe(job, world, ground), builder(job.wishes.get("builder")).name)


def _fargate(definition: Shape) -> bool:
    return "FARGATE" in (definition.get("requiresCompatibilities") or ())


def course(job: Job, ground: Ground, members: frozenset[str], digest: str | None) -> Course:
    """What is to be done, now that the image's digest is known (None: it will be built)."""
    settings: Settings = job.settings
    back = job.action == ROLLBACK
    env, secrets = ({}, {}) if back else (settings.env, settings.secrets)
    image = ground.image(digest)
    request = definitions.revised(ground.base, members, ground.container, image, env, secrets)
    request["tags"] = definitions.marked(request["tags"], **_marks(job, ground), run=job.run, token=job.token)
    same = digest is not None and definitions.equal(ground.running, request)
    if same and not job.wishes.get("force"):
        if not ground.busy and reading.steady(ground.service):
            return Course("unchanged")
        if ground.busy and not reading.stuck(ground.service) and not _reverting(ground):
            return Course("attach")
    return Course("reuse" if ground.reuse else "register", request)


def _reverting(ground: Ground) -> bool:
    return any(str(one.get("status", "")).startswith(("ROLLBACK", "STOP")) for one in ground.going or ())


def _marks(job: Job, ground: Ground) -> dict[str, str | None]:
    """Whose content the image is. An image that was only named is known by its name; one that comes back keeps what it was marked with."""
    version = job.version
    if job.action == ROLLBACK and definitions.mark(ground.base, "version") and ground.base is not ground.running:
        return {}
    if job.wishes.get("image") and ground.tag != version.name:
        return {"version": ground.tag, "commit": None, "fingerprint": None}
    return {"version": version.name, "commit": version.commit, "fingerprint": version.fingerprint}


def push_call(ground: Ground) -> Call:
    """The push of a built image."""
    return Call("ecr:PutImage", {"image": f"{ground.repository['repositoryUri']}:{ground.tag}"})


def register_call(ground: Ground, request: Shape, settings: "Settings", back: bool) -> Call:
    """The new revision. Of variables only the names are told."""
    what = {"family": str(request["family"]), "container": ground.container}
    what["image"] = str(definitions.part(request, ground.container).get("image", ""))
    for name, variables in (("env", settings.env), ("secrets", settings.secrets)):
        if variables and not back:
            what[name] = ", ".join(sorted(variables))
    return Call("ecs:RegisterTaskDefinition", what)


def update_call(settings: "Settings", task_definition: str, force: bool) -> Call:
    """The one call that moves the service."""
    what = {"cluster": settings.cluster, "service": settings.service, "task_definition": task_definition}
    return Call("ecs:UpdateService", what | ({"force_new_deployment": "true"} if force else {}))


def preview(job: Job, world: World) -> Preview:
    """The calls that `release.apply` would make, in its order."""
    ground = survey(job, world)
    aws = world.aws(job.place)
    way = course(job, ground, aws.members("ecs", "RegisterTaskDefinition"), ground.digest)
    if job.action == ROLLBACK and (reverted := revertible(job, aws, ground)):
        way = Course("revert", going=reverted)
    return Preview(_calls(job, ground, way), _warnings(job, ground, way), way.act == "unchanged", _live(ground))


def _calls(job: Job, ground: Ground, way: Course) -> tuple[Call, ...]:
    settings: Settings = job.settings
    if way.act == "revert":
        return (stop_call(way.going),)
    if way.act in ("unchanged", "attach"):
        return ()
    calls = [] if ground.digest else [push_call(ground)]
    if way.act == "register":
        calls.append(register_call(ground, way.request, settings, job.action == ROLLBACK))
    name = ecs.revision_of(ground.base["taskDefinitionArn"]) if way.act == "reuse" else f"{way.request['family']}:new"
    return (*calls, update_call(settings, name, bool(job.wishes.get("force"))))


def stop_call(arn: str) -> Call:
    """The end of a deployment that is in progress; what ran before runs again."""
    return Call("ecs:StopServiceDeployment", {"service_deployment": arn, "stop_type": "ROLLBACK"})


def revertible(job: Job, aws: Aws, ground: Ground) -> str | None:
    """The deployment in progress whose end would bring the wanted version back; None if there is none."""
    for brief in ground.going or ():
        if brief.get("status") not in ("PENDING", "IN_PROGRESS"):
            continue
        found = ecs.deployment(aws, brief["serviceDeploymentArn"])
        sources = (found or {}).get("sourceServiceRevisions") or ()
        revisions = [ecs.revision(aws, one["arn"]) for one in sources]
        if len(revisions) == 1 and revisions[0] is not None and _is_wanted(job, ground, revisions[0]):
            return str(brief["serviceDeploymentArn"])
    return None


def _is_wanted(job: Job, ground: Ground, revision: Shape) -> bool:
    wanted = job.wishes.get("task_definition")
    if wanted:
        return bool(revision["taskDefinition"] == wanted)
    images = revision.get("containerImages") or ()
    return any(one.get("containerName") == ground.container and one.get("imageDigest") == ground.digest for one in images)


def _warnings(job: Job, ground: Ground, way: Course) -> tuple[str, ...]:
    settings: Settings = job.settings
    service, said = ground.service, []
    if job.version.dirty and not job.wishes.get("image") and job.action != ROLLBACK:
        said.append(f"the files are not as committed: the image is tagged {ground.tag}")
    if service.get("schedulingStrategy", "REPLICA") != "DAEMON" and not service.get("desiredCount"):
        said.append(f"the desired count of service {settings.service} is 0: nothing will run")
    if way.act == "attach":
        said.append(f"this version is being deployed already, by {definitions.whose(ground.running)}: nothing is started, only watched")
    elif way.act != "unchanged" and ground.busy:
        said.append(_about_the_other(job, ground, way))
    configured = service.get("deploymentConfiguration") or {}
    breaker = configured.get("deploymentCircuitBreaker") or {}
    strategy = reading.STRATEGIES.get(str(configured.get("strategy", "")))
    if strategy:
        said.append(f"ECS deploys it {strategy}" + _bake(configured))
    elif not (breaker.get("enable") and breaker.get("rollback")):
        said.append(
            f"service {settings.service} has no circuit breaker with rollback: only while toolkit watches is a bad version taken back"
        )
    return tuple(said)


def _bake(configured: Shape) -> str:
    minutes = configured.get("bakeTimeInMinutes")
    return f": it bakes for {minutes} min before it is done" if minutes else ""


def _about_the_other(job: Job, ground: Ground, way: Course) -> str:
    what = f"a deployment of {ecs.revision_of(ground.service['taskDefinition'])} by {definitions.whose(ground.running)} is in progress"
    if way.act == "revert":
        return f"{what}: it is stopped, which brings the version before it back"
    if replaces(job, ground):
        return f"{what}: it is replaced"
    return f"{what}: it is waited for"


def replaces(job: Job, ground: Ground) -> bool:
    """Whether a deployment in progress is replaced instead of waited for. Raises Refused if that is the wish, Superseded where this one was
    only to undo what ran before."""
    if job.undoes:
        raise Superseded(what=ecs.revision_of(ground.service["taskDefinition"]), target=job.target)
    wish = job.wishes.get("in_progress", "wait")
    if wish == "refuse":
        who = definitions.whose(ground.running)
        raise Refused(f"a deployment of service {job.settings.service} by {who} is in progress", "wait for it, or leave --in-progress out")
    return job.action == ROLLBACK or wish == "replace" or reading.stuck(ground.service)


def _live(ground: Ground) -> Live | None:
    """What runs, as far as that is known without another call: while a deployment is in progress it is not."""
    serving = reading.serving(ground.service)
    if serving.get("taskDefinition") != ground.running["taskDefinitionArn"]:
        return None
    return live_from(ground.running, ground.container, serving)


def live_from(definition: Shape, container: str, deployment: Shape) -> Live:
    """The words for a task definition that runs."""
    image = str(definitions.part(definition, container).get("image", ""))
    when = deployment.get("createdAt")
    detail = {"image": image, "digest": definitions.digest_of(image) or "", "task definition": definition["taskDefinitionArn"]}
    return Live(
        version=definitions.mark(definition, "version") or definitions.tag_of(image),
        commit=definitions.mark(definition, "commit"),
        fingerprint=definitions.mark(definition, "fingerprint"),
        run=definitions.mark(definition, "run"),
        since=when.astimezone(UTC).isoformat() if when is not None else None,
        detail={key: value for key, value in detail.items() if value},
    )
