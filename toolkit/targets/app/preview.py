"""What a deploy of an app would do, and what is known to fail before it is begun."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import Refused, Superseded
from toolkit.operations import Artifact, Job, LiveVersion, PlannedCall, Preview
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.ports import Ports
from toolkit.targets import container_test
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import provenance, rollout
from toolkit.targets.app.image import build_key, check_existing_image, is_newly_used
from toolkit.targets.app.options import InProgress
from toolkit.targets.app.provenance import Origin
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.app.state import (
    ROLLBACK,
    TAKE_OVER,
    CurrentState,
    left_out_notes,
    live_version,
    read_state,
    revertible_deployment,
)

Shape = Mapping[str, Any]


class Action(StrEnum):
    """What a deploy does about the service."""

    UNCHANGED = "unchanged"
    ATTACH = "attach"
    """Watch a deployment of the same version that is in progress."""
    REVERT = "revert"
    """Stop the deployment in progress, which brings the requested version back."""
    REUSE = "reuse"
    """Move the service to an existing task definition."""
    REGISTER = "register"
    """Register a new revision, and move the service to it."""


class Decision(Struct, frozen=True):
    """What is to be done. `request` is the revision to register, `going` the deployment to stop."""

    action: Action
    request: Mapping[str, Any] = {}
    going: str = ""


def decide(job: Job, state: CurrentState, members: frozenset[str], digest: str | None) -> Decision:
    """What is to be done, now that the image's digest is known (None: it will be built)."""
    settings: AppSettings = job.settings
    back = job.action == ROLLBACK
    env, secrets = settings.env, settings.secrets
    if back:  # a rollback puts back what ran then, with the variables of then
        env, secrets = {}, {}
    request = definitions.revised_definition(
        state.base,
        members,
        updated_containers(job, state, digest),
        state.image(digest),
        env,
        secrets,
    )
    marks = {
        **_version_marks(job, state),
        "definition": definitions.digest(request),
        "run": job.run,
        "token": job.token,
    }
    request["tags"] = definitions.with_marks(request["tags"], **marks)
    # what nobody has recorded is never called unchanged; a rollback puts back what is recorded
    ours = state.origin not in (*provenance.GIVING_WAY, Origin.STACK) or job.action == ROLLBACK
    same = digest is not None and ours and definitions.is_copy(state.running, request)
    if same and not (job.options.force or job.renews):
        if not state.busy and rollout.is_steady(state.service):
            return Decision(Action.UNCHANGED)
        if state.busy and not rollout.is_stuck(state.service) and not _is_rolling_back(state):
            return Decision(Action.ATTACH)
    return Decision(Action.REUSE if state.reuse else Action.REGISTER, request)


def updated_containers(job: Job, state: CurrentState, digest: str | None) -> tuple[str, ...]:
    """The containers that run the image afterwards. A rollback to a former task definition changes
    only those that ran it then.
    """
    if job.action != ROLLBACK:
        return state.containers
    former = [
        name
        for name in state.containers
        if definitions.digest_of(definitions.image_of(state.base, name)) == digest
    ]
    return tuple(former) if state.container in former else state.containers


def _is_rolling_back(state: CurrentState) -> bool:
    return any(
        str(deployment.get("status", "")).startswith(("ROLLBACK", "STOP"))
        for deployment in state.going or ()
    )


def _version_marks(job: Job, state: CurrentState) -> dict[str, str | None]:
    """The marks that say which version runs. Of an image that a person named only its name is
    known.
    """
    version = job.version
    has_version = definitions.mark(state.base, "version")
    if job.action == ROLLBACK and has_version and state.base is not state.running:
        return {}  # the former definition keeps the marks that it was registered with
    if job.options.image and state.tag != version.name:
        return {"version": state.tag, "commit": None, "fingerprint": None, "settings": None}
    return {
        "version": version.name,
        "commit": version.commit,
        "fingerprint": version.fingerprint,
        "settings": version.settings or None,
    }


def create_calls(settings: AppSettings) -> tuple[PlannedCall, ...]:
    """The calls that create a missing repository."""
    name = ecr.named(settings.repository).name
    return (
        PlannedCall(
            "ecr:CreateRepository",
            {"repository": name, "tags": "immutable", "scan": "on push"},
            once=True,
        ),
        PlannedCall(
            "ecr:PutLifecyclePolicy",
            {"repository": name, "keep": f"the newest {ecr.MOST_IMAGES} images"},
            once=True,
        ),
    )


def push_call(job: Job, state: CurrentState) -> PlannedCall:
    """The push of a built image, and what its container has to pass before."""
    what = {"image": f"{state.repository['repositoryUri']}:{state.tag}"}
    what |= container_test.described(job.settings.container_test, job.options.fast)
    return PlannedCall("ecr:PutImage", what, once=True)


def register_call(
    state: CurrentState, request: Shape, settings: AppSettings, back: bool
) -> PlannedCall:
    """The new revision. Only the names of variables are shown."""
    what = {"family": str(request["family"]), "container": ", ".join(state.containers)}
    what["image"] = definitions.image_of(request, state.container)
    for name, variables in (("env", settings.env), ("secrets", settings.secrets)):
        if variables and not back:
            what[name] = ", ".join(sorted(variables))
    what["based_on"] = ecs.revision_of(state.base["taskDefinitionArn"])
    return PlannedCall("ecs:RegisterTaskDefinition", what)


def update_call(settings: AppSettings, task_definition: str, force: bool) -> PlannedCall:
    """The one call that moves the service."""
    what = {
        "cluster": settings.cluster,
        "service": settings.service,
        "task_definition": task_definition,
    }
    if force:
        what["force_new_deployment"] = "true"
    return PlannedCall("ecs:UpdateService", what)


def preview(job: Job, ports: Ports) -> Preview:
    """The calls that `apply.apply` would make, in its order."""
    state = checked_state(job, ports)
    aws = ports.aws(job.location)
    decision = decide(job, state, aws.members("ecs", "RegisterTaskDefinition"), state.digest)
    if job.action == ROLLBACK and (reverted := revertible_deployment(job, aws, state)):
        decision = Decision(Action.REVERT, going=reverted)
    return Preview(
        _calls(job, state, decision),
        _warnings(job, state, decision),
        decision.action == Action.UNCHANGED,
        _live_before(job, state),
        artifact=_artifact(job, state),
    )


def _artifact(job: Job, state: CurrentState) -> Artifact | None:
    """The image that has to be built first, with the calls of that; None if it is there."""
    if not state.build_key:
        return None
    return Artifact("image", state.tag, state.build_key, _build_calls(job, state))


def _build_calls(job: Job, state: CurrentState) -> tuple[PlannedCall, ...]:
    """The calls that put the image into the repository."""
    created = create_calls(job.settings) if state.absent else ()
    return created if state.digest else (*created, push_call(job, state))


def _calls(job: Job, state: CurrentState, decision: Decision) -> tuple[PlannedCall, ...]:
    settings: AppSettings = job.settings
    if decision.action == Action.REVERT:
        return (stop_call(decision.going),)
    if decision.action in (Action.UNCHANGED, Action.ATTACH):
        return ()
    calls = list(_build_calls(job, state))
    if decision.action == Action.REGISTER:
        calls.append(register_call(state, decision.request, settings, job.action == ROLLBACK))
    if decision.action == Action.REUSE:
        name = ecs.revision_of(state.base["taskDefinitionArn"])
    else:
        name = f"{decision.request['family']}:new"
    return (*calls, update_call(settings, name, job.options.force or job.renews))


def stop_call(arn: str) -> PlannedCall:
    """The end of a deployment that is in progress; what ran before runs again."""
    return PlannedCall(
        "ecs:StopServiceDeployment", {"service_deployment": arn, "stop_type": "ROLLBACK"}
    )


def _warnings(job: Job, state: CurrentState, decision: Decision) -> tuple[str, ...]:
    settings: AppSettings = job.settings
    service = state.service
    warnings = [
        *origin_warnings(job, state, decision),
        *left_out_notes(state.base, settings),
        *state.remarks,
    ]
    if job.version.dirty and not job.options.image and job.action != ROLLBACK:
        warnings.append(f"the files are not as committed: the image is tagged {state.tag}")
    if service.get("schedulingStrategy", "REPLICA") != "DAEMON" and not service.get("desiredCount"):
        verdict = ""
        if settings.min_tasks > 0:
            verdict = (
                ", and the deploy will end as unhealthy (rules.toml does not have `min_tasks = 0`)"
            )
        warnings.append(
            f"the desired count of service {settings.service} is 0: nothing will run{verdict}"
        )
    if decision.action == Action.ATTACH:
        warnings.append(
            "this version is being deployed already, by "
            f"{definitions.registered_by(state.running)}: it is only watched"
        )
    elif decision.action != Action.UNCHANGED and state.busy:
        warnings.append(_other_deployment_warning(job, state, decision))
    configured = service.get("deploymentConfiguration") or {}
    breaker = configured.get("deploymentCircuitBreaker") or {}
    strategy = rollout.STRATEGIES.get(str(configured.get("strategy", "")))
    if strategy:
        warnings.append(f"ECS deploys it {strategy}" + _bake_note(configured))
    elif not (breaker.get("enable") and breaker.get("rollback")):
        warnings.append(
            f"service {settings.service} has no circuit breaker with rollback: a bad version "
            "is rolled back only while toolkit watches"
        )
    return tuple(warnings)


def origin_warnings(job: Job, state: CurrentState, decision: Decision) -> list[str]:
    """Warnings where another task definition runs than the recorded one, and what is done about it.
    They come before a person agrees to the deploy.
    """
    rev, recorded = ecs.revision_of(state.running["taskDefinitionArn"]), job.recorded
    if recorded is None or (
        state.origin not in provenance.GIVING_WAY and state.origin is not Origin.STACK
    ):
        return []
    how = ""
    if state.changes:
        how = f": {'; '.join(state.changes)}"
    words = {
        Origin.STACK: f"{rev} is running: a stack has deployed it since run {recorded.run}",
        Origin.EARLIER: (
            f"{rev} is running, which toolkit deployed before run {recorded.run}: someone "
            "moved the service back"
        ),
        Origin.UNKNOWN: (
            f"whether toolkit deployed {rev}, which is running, is not known: {recorded.problem}"
        ),
    }.get(state.origin, f"{rev} is running, but toolkit did not deploy it{how}")
    if decision.action in (Action.UNCHANGED, Action.ATTACH):
        return [words]
    if state.base is state.running:
        taken = "the new revision is based on it"
        if job.options.take_over:
            taken = "it will be taken over"
        return [f"{words}; {taken}"]
    base = ecs.revision_of(state.base["taskDefinitionArn"])
    if job.action == ROLLBACK:
        return [f"{words}; {base} will replace it"]
    return [
        f"{words}; the new revision is based on {base} of run {recorded.run}; to keep what "
        f"runs, {TAKE_OVER}"
    ]


def _bake_note(configured: Shape) -> str:
    minutes = configured.get("bakeTimeInMinutes")
    if minutes:
        return f": it bakes for {minutes} min before it is done"
    return ""


def _other_deployment_warning(job: Job, state: CurrentState, decision: Decision) -> str:
    what = (
        f"a deployment of {ecs.revision_of(state.service['taskDefinition'])} by"
        f" {definitions.registered_by(state.running)} is in progress"
    )
    if decision.action == Action.REVERT:
        return f"{what}: it will be stopped, which restores the previous version"
    if replaces_other_deployment(job, state):
        return f"{what}: it will be replaced"
    return f"{what}: toolkit will wait for it"


def replaces_other_deployment(job: Job, state: CurrentState) -> bool:
    """Whether a deployment in progress is replaced instead of waited for. Raises Refused if the
    options say so, Superseded where this one was only to undo what ran before.
    """
    if job.undoes:
        raise Superseded(what=ecs.revision_of(state.service["taskDefinition"]), target=job.target)
    if job.options.in_progress is InProgress.REFUSE:
        who = definitions.registered_by(state.running)
        raise Refused(
            f"a deployment of service {job.settings.service} by {who} is in progress",
            "wait for it, or leave --in-progress out",
        )
    if job.action == ROLLBACK or job.options.in_progress is InProgress.REPLACE:
        return True
    return rollout.is_stuck(state.service)


def _live_before(job: Job, state: CurrentState) -> LiveVersion | None:
    """What runs, as far as that is known without another call: while a deployment is in progress it
    is not.
    """
    serving = rollout.serving_deployment(state.service)
    if serving.get("taskDefinition") != state.running["taskDefinitionArn"]:
        return None
    try:
        return live_version(state.running, job.settings, serving)
    except Refused:  # which container is meant cannot be told of what runs; of what will run it can
        return None


def checked_state(job: Job, ports: Ports) -> CurrentState:
    """What is there, once it is certain that it can be deployed: `read_state`, and whether the
    image can be built here or, where there is one already, is the right one.
    """
    state = read_state(job, ports)
    if state.digest is None:
        state = replace(state, build_key=build_key(job, ports, state))
    elif is_newly_used(job, state):
        state = replace(state, remarks=check_existing_image(job, ports, state, state.digest))
    return state
