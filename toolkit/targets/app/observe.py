"""How a deployment goes: our own one, never another; a verdict only for what was observed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import NotAllowed
from toolkit.operations import Job, LiveVersion, Observation, StepState, Verdict
from toolkit.ports.aws import balancers, ecs
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import failures, rollout, task_logs
from toolkit.targets.app.failures import Failure, FailureSort
from toolkit.targets.app.rollout import DeploymentKey, Reading, RolloutState
from toolkit.targets.app.settings import AppSettings, health_outputs
from toolkit.targets.app.sizes import kept_size
from toolkit.targets.app.state import (
    ROLLBACK,
    check_deployable,
    live_version,
    own_deployment_arn,
    started_at,
)

Shape = Mapping[str, Any]
SURE_S = 10
"""What is not there twice, this far apart, is not there: AWS may show what it has accepted seconds
later.
"""
TASKS_EVERY_S = 5
"""How often stopped tasks are looked for while nothing points to them."""


class ServiceMark(Struct, frozen=True):
    """What the next look wants to know of this one. `doubt` is when something was first not there,
    on our clock.
    """

    arn: str | None = None
    revision: str | None = None
    shown: bool = False
    doubt: float | None = None
    looked: float | None = None
    failed: int = 0
    events: frozenset[str] = frozenset()
    failure: Failure | None = None
    hopeless: bool = False
    log: tuple[str, ...] = ()
    next: Advice = ""
    waiting: str = ""
    complete_since: datetime | None = None
    """Since when the deployment is complete, on AWS's clock: tasks that failed before were part of
    it.
    """
    done: bool = False
    """Whether a look before has said that it is done."""


class ServiceLook(Struct, frozen=True):
    """One look, and all that it is about."""

    job: Job
    receipt: Mapping[str, Any]
    ports: Ports
    aws: Aws
    service: Shape
    own_key: DeploymentKey
    mark: ServiceMark

    @property
    def settings(self) -> AppSettings:
        """The target's settings."""
        settings: AppSettings = self.job.settings
        return settings

    @property
    def since(self) -> datetime | None:
        """When it was begun, on AWS's clock."""
        return started_at(self.receipt)

    def with_mark(self, **facts: Any) -> "ServiceLook":
        """The same look with some facts of its mark changed."""
        return replace(self, mark=replace(self.mark, **facts))


def observe(
    job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None
) -> Observation:
    """How it stands. Raises CloudError for a look that failed."""
    aws, settings = ports.aws(job.location), job.settings
    if before is not None and isinstance(before.mark, ServiceMark):
        mark = before.mark
    else:
        mark = ServiceMark()
    service = ecs.service(aws, settings.cluster, settings.service)
    if service is None or service["status"] != "ACTIVE":
        gone = Observation(
            StepState.FAILED,
            Verdict.FAILED,
            cause=f"service {settings.service} is being deleted",
        )
        return _after_second_look(ports, mark, f"service {settings.service} does not exist", gone)
    look = ServiceLook(job, receipt, ports, aws, service, DeploymentKey(""), mark)
    if receipt.get("reverted"):
        return _look_at_deployment(
            replace(look, own_key=DeploymentKey(str(receipt.get("previous"))))
        )
    definition = receipt.get("task_definition")
    if definition is None:
        return _not_begun(look)
    if "before" not in receipt and not receipt.get("unchanged") and not receipt.get("attached"):
        # `before` is kept right before the service is moved
        return Observation(StepState.ABSENT, phase="the service was not moved", sure=True)
    own_key = DeploymentKey(
        definition, receipt.get("deployment"), receipt.get("before"), receipt.get("previous")
    )
    look = replace(look, own_key=own_key)
    if receipt.get("unchanged"):
        return _unchanged(look)
    return _look_at_deployment(look)


def _unchanged(look: ServiceLook) -> Observation:
    """Nothing had to be done, if that is still true: someone may resume this later."""
    if look.service["taskDefinition"] != look.own_key.definition:
        cause = (
            f"the service runs on {ecs.revision_of(look.service['taskDefinition'])} now: "
            "someone else has deployed it"
        )
        return Observation(
            StepState.FAILED, Verdict.SUPERSEDED, cause=cause, next=_ask_aws(look), mark=look.mark
        )
    runs = live(look.job, look.ports)
    notes = "; ".join(runs.notes) if runs else ""
    observation = Observation(
        StepState.DONE,
        Verdict.UNCHANGED,
        "this version is already running",
        cause=notes,
        outputs=health_outputs(look.settings),
        live=runs,
    )
    if look.service.get("desiredCount"):
        return observation
    return _without_tasks(look, observation)


def _after_second_look(
    ports: Ports, mark: ServiceMark, phase: str, then: Observation
) -> Observation:
    """The observation `then`, but only if it was first made long enough ago: AWS may show what it
    has accepted seconds later.
    """
    now = ports.clock.elapsed()
    since = now if mark.doubt is None else mark.doubt
    if now - since >= SURE_S:
        return replace(then, mark=mark)
    return Observation(
        StepState.UNKNOWN, phase=f"{phase}: looking again", mark=replace(mark, doubt=since)
    )


def _not_begun(look: ServiceLook) -> Observation:
    """The service was not moved, for that comes after the task definition was kept. Was one
    registered?
    """
    # Ours would be among the newest of the family that the service runs.
    family = ecs.family_of(look.service["taskDefinition"])
    for arn in ecs.newest_revisions(look.aws, family, 5):
        definition = ecs.definition(look.aws, arn)
        if definition is not None and definitions.mark(definition, "token") == look.job.token:
            return Observation(
                StepState.ABSENT,
                phase=f"{ecs.revision_of(arn)} is registered, the service was not moved",
                sure=True,
            )
    return _after_second_look(
        look.ports,
        look.mark,
        "nothing was registered",
        Observation(StepState.ABSENT, phase="nothing was started", sure=True),
    )


def _look_at_deployment(look: ServiceLook) -> Observation:
    deployment = _own_deployment(look)
    if deployment is not None:
        look, reading = _read_deployment(look, deployment)
    else:
        reading = rollout.read_service(look.service, look.own_key)
    if reading.state == RolloutState.UNSEEN:
        return _unseen(look)
    # It is read from the service itself; an ARN from an earlier look no longer leads to it.
    if deployment is None:
        look = look.with_mark(arn=None)
    if reading.state == RolloutState.COMPLETE and look.mark.complete_since is None:
        mine = rollout.own_deployment(look.service, look.own_key) or {}
        finished = (deployment or {}).get("finishedAt") or mine.get("updatedAt")
        look = look.with_mark(complete_since=finished)
    lines, events = _new_events(look)
    look = look.with_mark(shown=True, doubt=None, events=events)
    if look.receipt.get("reverted"):
        return _with_lines(_judge_revert(look, reading), lines)
    return _judge(look, reading, lines)


def _read_deployment(look: ServiceLook, deployment: Shape) -> tuple[ServiceLook, Reading]:
    """What our service deployment says, and what the next look has to know of it."""
    revision = str((deployment.get("targetServiceRevision") or {}).get("arn") or "")
    arn = deployment["serviceDeploymentArn"]
    look = look.with_mark(arn=arn, revision=revision, shown=True, doubt=None)
    reading = rollout.read_deployment(deployment, look.service, look.own_key, look.job.target)
    if reading.state == RolloutState.STOPPED:
        # the service was read first: what replaced us may have come in between
        service = ecs.service(look.aws, look.settings.cluster, look.settings.service)
        look = replace(look, service=service or look.service)
        reading = rollout.read_deployment(deployment, look.service, look.own_key, look.job.target)
    return look, reading


def _unseen(look: ServiceLook) -> Observation:
    """Neither here nor there: just accepted, never accepted, or rolled back already."""
    settings = look.settings
    # The call that moves the service never returned an id: it may not have arrived.
    if look.own_key.id is None:
        return _after_second_look(
            look.ports,
            look.mark,
            "the deployment does not appear",
            Observation(StepState.ABSENT, phase="the service was not moved", sure=True),
        )
    cause = (
        f"service {settings.service} is on {ecs.revision_of(look.service['taskDefinition'])} again,"
        " and the new deployment is gone"
    )
    ended = _judge_failed(look, Reading(RolloutState.REVERTED, cause=cause))
    # It was there before and is gone now: that is no delay of AWS.
    if look.mark.shown:
        return ended
    return _after_second_look(look.ports, look.mark, "ECS does not show the deployment yet", ended)


def _own_deployment(look: ServiceLook) -> Shape | None:
    """Our service deployment: the one that was ours before, or one whose revision has our task
    definition.
    """
    # Once found, it is read by its ARN: others may follow it.
    known_arn = look.receipt.get("reverted") or look.mark.arn
    if known_arn:
        return ecs.deployment(look.aws, known_arn)
    arn = own_deployment_arn(look.aws, look.job, look.service, look.receipt)
    if arn is None:
        return None
    return ecs.deployment(look.aws, arn)


def _new_events(look: ServiceLook) -> tuple[list[str], frozenset[str]]:
    """What ECS wrote of the service since, oldest first."""
    by_id = {str(event["id"]): event for event in look.service.get("events") or ()}
    since = look.since
    new = [
        event
        for id, event in by_id.items()
        if id not in look.mark.events
        and (since is None or event.get("createdAt") is None or event["createdAt"] >= since)
    ]
    return [str(event["message"]) for event in reversed(new)], look.mark.events | by_id.keys()


def _judge(look: ServiceLook, reading: Reading, lines: Sequence[str]) -> Observation:
    if reading.state == RolloutState.COMPLETE:
        judge = _judge_again if look.mark.done else _judge_complete
        return _with_lines(judge(look), lines)
    if reading.state == RolloutState.SUPERSEDED:
        return Observation(
            StepState.FAILED,
            Verdict.SUPERSEDED,
            cause=reading.cause,
            next=_ask_aws(look),
            lines=tuple(lines),
            mark=look.mark,
        )
    look = _with_failed_tasks(look, reading, lines)
    if reading.state in (RolloutState.REVERTED, RolloutState.FAILED, RolloutState.STOPPED):
        return _with_lines(_judge_failed(look, reading), lines)
    if reading.state == RolloutState.RUNNING:
        look = _with_unhealthy_targets(look)
    mark = look.mark
    failure, phase = mark.failure, reading.phase
    if failure is not None and failure.sort in _MAY_STILL_SUCCEED:
        # not a cause yet: a cause is what a step ends by
        phase = f"{phase}, {failure.cause}"
    elif mark.waiting:
        phase = f"{phase}, {mark.waiting}"
    return Observation(
        StepState.RUNNING,
        phase=phase,
        cause=_cause(look) or reading.cause,
        next=reading.next or mark.next,
        log=mark.log,
        lines=tuple(lines),
        doomed=reading.state == RolloutState.RUNNING and mark.hopeless,
        mark=mark,
    )


def _judge_again(look: ServiceLook) -> Observation:
    """It was complete before, and is still watched: has one of its tasks failed since? ECS
    replaces such a task, and reports that everything is fine.
    """
    whole = look.mark.complete_since
    for failure, task in _failures(look, False):
        stopped = task.get("stoppedAt")
        if failure.sort in _MAY_STILL_SUCCEED or (
            whole is not None and stopped is not None and stopped < whole
        ):
            continue
        look = _with_failure(look, failure, False)
        return Observation(
            StepState.FAILED,
            Verdict.UNHEALTHY,
            cause=failure.cause,
            next=look.mark.next,
            log=look.mark.log,
            mark=look.mark,
        )
    return _judge_complete(look)


# These may go away by themselves, so they are not given as the cause.
_MAY_STILL_SUCCEED = (FailureSort.TRANSIENT, FailureSort.OTHER)


def _cause(look: ServiceLook) -> str:
    """Why tasks of ours failed, if that is why it may fail; with the load balancer's own reason."""
    failure = look.mark.failure
    if failure is None or failure.sort in _MAY_STILL_SUCCEED:
        return ""
    if failure.sort == FailureSort.UNHEALTHY and look.mark.waiting:
        return f"{failure.cause}: {look.mark.waiting}"
    return failure.cause


def _with_lines(observation: Observation, lines: Sequence[str]) -> Observation:
    return replace(observation, lines=(*lines, *observation.lines))


def _judge_failed(look: ServiceLook, reading: Reading) -> Observation:
    """It did not succeed. What a task said is nearer to the cause than what ECS says of the
    deployment.
    """
    # Where a person stopped it, no task is to blame.
    if look.mark.failure is None and reading.state != RolloutState.STOPPED:
        look = _with_failed_tasks(look, reading, ("failed",))
    mark = look.mark
    cause = _cause(look)
    if not cause:
        cause = mark.failure.cause if mark.failure else reading.cause
    if not cause:
        cause = "ECS rolled it back and does not say why"
    verdict = Verdict.ROLLED_BACK if reading.state == RolloutState.REVERTED else Verdict.FAILED
    return Observation(
        StepState.FAILED,
        verdict,
        cause=cause,
        next=mark.next or _ask_aws(look),
        log=mark.log,
        mark=mark,
    )


def _ask_aws(look: ServiceLook) -> ShellCommand:
    return rollout.describe_command(look.settings.cluster, look.settings.service)


# Words in ECS's events that call for a look at the tasks.
_TROUBLE = ("unable", "fail", "unhealthy", "error", "impaired")


def _with_failed_tasks(look: ServiceLook, reading: Reading, lines: Sequence[str]) -> ServiceLook:
    """With what stopped tasks of ours say, if there is a sign of trouble or nobody has looked for a
    while.
    """
    mark, now = look.mark, look.ports.clock.elapsed()
    mine = rollout.own_deployment(look.service, look.own_key) or {}
    short = mine.get("runningCount", 0) < mine.get("desiredCount", 0)
    signs = reading.failed > mark.failed or any(word in line for line in lines for word in _TROUBLE)
    # Tasks may fail without an event.
    late = short and (mark.looked is None or now - mark.looked >= TASKS_EVERY_S)
    if mark.hopeless or not (signs or late):
        return look
    failed = _failures(look, reading.failed > 0)
    look = look.with_mark(looked=now, failed=max(mark.failed, reading.failed))
    hopeless = failures.permanent_failure((failure for failure, _ in failed), healthy=False)
    if (
        hopeless is not None
        and hopeless.sort in (FailureSort.CRASH, FailureSort.UNHEALTHY)
        and _has_survivor(look, [task for _, task in failed])
    ):
        hopeless = None
    shown = hopeless or failures.worst_failure(failure for failure, _ in failed)
    if shown is None:
        return look
    return _with_failure(look, shown, hopeless is not None)


def _failures(look: ServiceLook, expected: bool) -> list[tuple[Failure, Shape]]:
    """The stopped tasks of our deployment that failed. Some are only listed without their
    service.
    """
    for of in (
        {"serviceName": look.settings.service},
        {"family": ecs.family_of(look.own_key.definition)},
    ):
        tasks = ecs.tasks(look.aws, look.settings.cluster, "STOPPED", **of)
        failed: list[tuple[Failure, Shape]] = []
        for task in tasks:
            failure = failures.failure_of(task) if _is_ours(look, task) else None
            if failure is not None:
                failed.append((failure, task))
        if failed or not expected:
            return failed
    return []


def _is_ours(look: ServiceLook, task: Shape) -> bool:
    """By the deployment that started it, where ECS names it; a definition may have been deployed
    before.
    """
    if task.get("taskDefinitionArn") != look.own_key.definition:
        return False
    by, mine = str(task.get("startedBy", "")), rollout.own_deployment(look.service, look.own_key)
    ids = {look.own_key.id, (mine or {}).get("id")} - {None}
    # `startedBy` is the id of the deployment.
    if by.startswith("ecs-svc/") and ids:
        return by in ids
    return (
        look.since is None or task.get("createdAt") is None or bool(task["createdAt"] >= look.since)
    )


def _has_survivor(look: ServiceLook, failed: Sequence[Shape]) -> bool:
    """Whether a task of ours is healthy, or runs since before the first of these failed."""
    first = min((task["stoppedAt"] for task in failed if task.get("stoppedAt")), default=None)
    for task in ecs.tasks(
        look.aws, look.settings.cluster, "RUNNING", serviceName=look.settings.service
    ):
        if not _is_ours(look, task) or task.get("lastStatus") != "RUNNING":
            continue
        began = task.get("startedAt")
        if task.get("healthStatus") == "HEALTHY" or (
            first is not None and began is not None and began <= first
        ):
            return True
    return False


def _with_failure(look: ServiceLook, failure: Failure, hopeless: bool) -> ServiceLook:
    """With the failure, the last lines of exactly its task, and the command that fixes it."""
    mark = look.mark
    if mark.failure is not None and mark.failure.task == failure.task:
        return look.with_mark(hopeless=hopeless)
    definition = ecs.definition(look.aws, look.own_key.definition) or {}
    part = definitions.container_named(
        definition, failure.container or str(look.receipt.get("container", ""))
    )
    log = task_logs.read_log(look.job, look.ports, part, failure)
    fix = failures.remedy(failure, look.job.target, log.command, _ask_aws(look))
    return look.with_mark(failure=failure, hopeless=hopeless, log=log.lines, next=fix)


def _with_unhealthy_targets(look: ServiceLook) -> ServiceLook:
    """Where all tasks run and ECS still waits, it waits for the load balancer."""
    mine = rollout.own_deployment(look.service, look.own_key) or {}
    if not mine.get("desiredCount") or mine.get("runningCount", 0) < mine["desiredCount"]:
        return look
    return replace(
        look, mark=replace(look.mark, waiting=_lacking_targets(look, _tasks_of_ours(look)))
    )


def _tasks_of_ours(look: ServiceLook) -> list[Shape]:
    tasks = ecs.tasks(look.aws, look.settings.cluster, "RUNNING", serviceName=look.settings.service)
    return [task for task in tasks if task.get("taskDefinitionArn") == look.own_key.definition]


def _service_revision(look: ServiceLook) -> Shape:
    return (ecs.revision(look.aws, look.mark.revision) if look.mark.revision else None) or {}


def _lacking_targets(look: ServiceLook, tasks: Sequence[Shape]) -> str:
    """`1 of 2 targets healthy (…)` for the first target group that lacks some; empty if none
    does.
    """
    resolved = (
        (_service_revision(look).get("resolvedConfiguration") or {}).get("loadBalancers")
        or look.service.get("loadBalancers")
        or ()
    )
    groups = [str(each["targetGroupArn"]) for each in resolved if each.get("targetGroupArn")]
    addresses = _addresses(tasks)
    desired = int(look.service.get("desiredCount", 0))
    for group in dict.fromkeys(groups):
        targets = balancers.health(look.aws, group)
        if addresses:
            # Only ours: the previous version's tasks stay in the group until they are drained.
            targets = [target for target in targets if target.id in addresses]
        # what the load balancer does not check counts as healthy: it never becomes more
        healthy = [target for target in targets if target.answers]
        if len(healthy) >= desired:
            continue
        reasons: dict[str, None] = {}
        for target in targets:
            if target not in healthy and target.reason:
                reasons[f"{target.reason}: {target.words}".strip(": ")] = None
        why = f" ({'; '.join(reasons)})" if reasons else ""
        return f"{len(healthy)} of {desired} targets healthy{why}"
    return ""


def _addresses(tasks: Sequence[Shape]) -> set[str]:
    """The private addresses of tasks, by which the targets of a group are recognized as theirs."""
    addresses: set[str] = set()
    for task in tasks:
        for container in task.get("containers") or ():
            for interface in container.get("networkInterfaces") or ():
                if interface.get("privateIpv4Address"):
                    addresses.add(str(interface["privateIpv4Address"]))
    return addresses


def _judge_complete(look: ServiceLook) -> Observation:
    """ECS says that it is complete: do its tasks run our image, and do they answer?"""
    if not look.service.get("desiredCount"):
        return _without_tasks(look, _done(look, "complete"))
    revision, expected, moved = (
        _service_revision(look),
        look.receipt.get("digest"),
        updated_containers(look.receipt),
    )
    images = _image_digests(revision.get("containerImages"), "containerName", moved)
    tasks: list[Shape] = []
    if look.service.get("loadBalancers") or not any(digest for _, digest in images):
        tasks = _tasks_of_ours(look)
    for task in tasks:
        images += _image_digests(task.get("containers"), "name", moved)
    for name, digest in images:
        if expected and digest and digest != expected:
            cause = f"container {name} runs {digest}, but {expected} was deployed"
            return Observation(
                StepState.FAILED, Verdict.FAILED, cause=cause, next=_ask_aws(look), mark=look.mark
            )
    try:
        waiting = _lacking_targets(look, tasks)
    except NotAllowed as problem:
        return replace(
            _done(look, "complete"),
            lines=(f"warning: could not check whether the targets are healthy: {problem}",),
        )
    if waiting:
        return Observation(
            StepState.RUNNING, phase=waiting, mark=replace(look.mark, waiting=waiting)
        )
    return _done(look, "complete")


def _without_tasks(look: ServiceLook, observation: Observation) -> Observation:
    """How a step ended after which nothing runs: nobody has seen that this version is any good.
    `min_tasks = 0` says that this is meant.
    """
    settings = look.settings
    words = f"the desired count of {settings.service} is 0: nothing runs"
    observation = replace(
        observation, phase=words, cause=words, lines=(f"warning: {words}",), outputs={}
    )
    if settings.min_tasks < 1:
        return observation
    return replace(
        observation,
        verdict=Verdict.UNHEALTHY,
        cause=f"{words}, and rules.toml does not have `min_tasks = 0`",
        next=rollout.scale_command(
            look.service, settings.cluster, settings.service, settings.min_tasks
        ),
        untouched=True,
    )


def updated_containers(receipt: Mapping[str, Any]) -> tuple[str, ...]:
    """The containers that have got the image; earlier versions of toolkit knew of one."""
    containers = receipt.get("containers")
    if not containers and receipt.get("container"):
        containers = [receipt["container"]]
    return tuple(containers or ())


def _image_digests(listed: object, key: str, moved: Collection[str]) -> list[tuple[str, str]]:
    """Container -> digest, of those that have got the image."""
    if not isinstance(listed, (list, tuple)):
        return []
    digests = []
    for entry in listed:
        if isinstance(entry, Mapping) and entry.get(key) in moved:
            digests.append((str(entry[key]), str(entry.get("imageDigest") or "")))
    return digests


def _done(look: ServiceLook, phase: str) -> Observation:
    definition = ecs.definition(look.aws, look.service["taskDefinition"])
    mine = rollout.own_deployment(look.service, look.own_key) or rollout.primary_deployment(
        look.service
    )
    done = Observation(
        StepState.DONE,
        Verdict.SUCCEEDED,
        phase,
        outputs=health_outputs(look.settings),
        mark=replace(look.mark, done=True),
    )
    if look.job.action != ROLLBACK and not look.receipt.get("attached"):
        done = replace(done, size=kept_size(look.receipt))
    if definition is None:
        return done
    runs = live_version(definition, look.settings, mine)
    return replace(done, cause="; ".join(runs.notes), live=runs)


def _judge_revert(look: ServiceLook, reading: Reading) -> Observation:
    """A deployment was stopped in order to have the version before it back."""
    if reading.state in (RolloutState.RUNNING, RolloutState.REVERTING):
        return Observation(StepState.RUNNING, phase=reading.phase or "rolling back", mark=look.mark)
    definition = ecs.definition(look.aws, look.service["taskDefinition"])
    image = definitions.image_of(definition or {}, str(look.receipt.get("container", "")))
    is_back = definitions.digest_of(image) == look.receipt.get("digest")
    if reading.state in (RolloutState.REVERTED, RolloutState.SUPERSEDED) and is_back:
        if rollout.is_steady(look.service):
            return _done(look, "the previous version is back")
        return Observation(StepState.RUNNING, phase="rolling back", mark=look.mark)
    cause = reading.cause or "the deployment was over before it could be stopped"
    return Observation(
        StepState.FAILED,
        Verdict.FAILED,
        cause=cause,
        next=NextCommand("rollback", (look.job.target,)),
        mark=look.mark,
    )


def live(job: Job, ports: Ports) -> LiveVersion | None:
    """What runs, from the tags of the task definition whose tasks serve; None if nothing does.
    Raises Missing.
    """
    aws, settings = ports.aws(job.location), job.settings
    service = check_deployable(job, aws, ecs.service(aws, settings.cluster, settings.service))
    serving = rollout.serving_deployment(service)
    if not serving:
        return None
    definition = ecs.definition(aws, serving["taskDefinition"])
    if definition is None:
        return None
    primary = rollout.primary_deployment(service)
    in_progress = primary.get("rolloutState") == "IN_PROGRESS"
    changes = primary.get("taskDefinition") != serving.get("taskDefinition")
    version = live_version(definition, settings, serving)
    if not in_progress:
        return version
    revision = ecs.revision_of(str(primary.get("taskDefinition", "")))
    deployment = f"the deployment of {revision} ({primary.get('id')})"
    if rollout.is_stuck(service):
        failed = int(primary.get("failedTasks", 0))
        stuck = f"{deployment} is stuck: {failed} tasks have failed, and none runs"
        return replace(version, moving=changes, stuck=stuck)
    return replace(version, moving=changes, in_flight=f"{deployment} is running")


def outputs(job: Job, ports: Ports) -> Mapping[str, str]:
    """See targets/base.py. An address of a service without tasks would lead nowhere."""
    aws, settings = ports.aws(job.location), job.settings
    service = check_deployable(job, aws, ecs.service(aws, settings.cluster, settings.service))
    if not rollout.serving_deployment(service):
        return {}
    return health_outputs(settings)
