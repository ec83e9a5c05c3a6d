"""How an app is now: its service, the last deployment, the tasks that failed, its image, what is
behind its load balancers, its alarms.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from toolkit.advice import NextCommand, ShellCommand
from toolkit.errors import Missing, ToolkitError
from toolkit.operations import Finding, HealthStatus, Job, LiveVersion
from toolkit.ports.aws import alarms as cloudwatch
from toolkit.ports.aws import balancers, ecr, ecs
from toolkit.ports.aws.alarms import Alarm
from toolkit.ports.aws.balancers import TargetHealth
from toolkit.ports.ports import Ports
from toolkit.targets import alarms, findings
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import failures, rollout
from toolkit.targets.app.failures import Failure, FailureSort
from toolkit.targets.app.rollout import DeploymentKey, Reading, RolloutState
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.app.state import live_version, registry_client
from toolkit.targets.base import Tell
from toolkit.targets.times import iso_utc

Shape = Mapping[str, Any]

SOON_S = 2.0
"""How long one part waits for what another one knows better: it has a word of its own without."""
_FAILED_OR_ROLLED_BACK = ("deployment failed", "rolling back to")
_TROUBLE = ("unable", "fail", "unhealthy", "error", "impaired")
_SLACK = timedelta(seconds=10)
"""The deployment that a rollback begins may be this much younger than the event that tells of
it.
"""
_NO_CAPACITY = "unable to place a task"
_STEADY = "has reached a steady state"


def report_health(job: Job, ports: Ports, tell: Tell) -> LiveVersion | None:
    """See targets/base.py."""
    questions = _AppHealth(job, ports)
    findings.ask(
        tell,
        [
            ("service", questions.service),
            ("tasks", questions.tasks),
            ("alarms", questions.alarms),
            ("image", questions.image),
            ("targets", questions.targets),
            ("deployment", questions.deployment),
        ],
    )
    return questions.live


class _AppHealth:
    """The questions, and what they have from each other. None for a service says that there is
    nothing more to tell of it.
    """

    def __init__(self, job: Job, ports: Ports) -> None:
        self.job, self.ports, self.aws = job, ports, ports.aws(job.location)
        self.settings: AppSettings = job.settings
        self.live: LiveVersion | None = None
        self._service: Future[Shape | None] = Future()
        self._definition: Future[Shape | None] = Future()
        self._stopped: Future[Sequence[Shape] | None] = Future()

    def service(self) -> Iterator[Finding]:
        """Whether it is there, and runs what it should."""
        with _released(self._service):
            try:
                service = ecs.service(self.aws, self.settings.cluster, self.settings.service)
            except Missing as problem:
                yield _missing_service(problem)
                return
            if service is None:
                where = f" in cluster {self.settings.cluster} ({self.aws.region_name})"
                yield _missing_service(
                    Missing(what="ECS service", name=self.settings.service, where=where)
                )
                return
            self._service.set_result(service if service["status"] == "ACTIVE" else None)
        short = (
            service["status"] == "ACTIVE"
            and not has_all_tasks(service)
            and (not is_deploying(service) or rollout.is_stuck(service))
        )
        yield service_finding(self.job, service, self._worst(service) if short else None)

    def tasks(self) -> Iterator[Finding]:
        """Which of its tasks have failed."""
        with _released(self._stopped):
            try:
                self._stopped.set_result(
                    ecs.stopped(self.aws, self.settings.cluster, self.settings.service)
                )
            except ToolkitError:
                if self._service.result() is not None:  # without a service, that is what is told
                    raise
        service, stopped = self._service.result(), self._stopped.result()
        if service is not None and stopped is not None:
            failed = failed_now(service, stopped)
            log_group = self._log_group(failures.worst_failure(failure for failure, _ in failed))
            yield tasks_finding(self.job, service, failed, log_group)

    def alarms(self) -> Iterator[Finding]:
        """Which alarms ring."""
        ringing = cloudwatch.in_alarm(self.aws)
        service = self._service.result() or {}
        watched = own_alarms(service)
        names = (*self.settings.alarms, *watched)
        existing = cloudwatch.named(self.aws, names) if names else {}
        yield from alarms.findings_about(
            self.settings.alarms,
            existing,
            ringing,
            alarm_filter(self.settings.cluster, self.settings.service, service),
            watched,
        )

    def image(self) -> Iterator[Finding]:
        """What runs, and whether its image is still there."""
        with _released(self._definition):
            service = self._service.result()
            if service is None:
                return
            arn = serving_deployment(service).get("taskDefinition") or service.get("taskDefinition")
            if arn is None:
                return
            definition = ecs.definition(self.aws, str(arn))
            self._definition.set_result(definition)
        if definition is None:
            yield missing_definition(self.job, str(arn))
            return
        repository = ecr.named(self.settings.repository)
        moved = definitions.containers_to_update(definition, self.settings.container, repository)
        if serving_deployment(service):
            self.live = live_version(definition, self.settings, serving_deployment(service))
            if self.live.doubt:
                yield Finding(
                    "version",
                    HealthStatus.WARNING,
                    "several images",
                    cause=self.live.doubt,
                    next=NextCommand("deploy-app", (self.job.target,)),
                )
        names = (*moved, *definitions.other_containers(definition, moved, repository))
        for name in names:
            what = "image" if len(names) == 1 else f"image of {name}"
            yield from self._image(definition, name, what, name in moved)

    def _image(self, definition: Shape, name: str, what: str, moved: bool) -> Iterator[Finding]:
        """Whether a container's image is still there, and which it is; nothing of one that is not
        in the target's repository.
        """
        image, wants = definitions.image_of(definition, name), ecr.named(self.settings.repository)
        theirs = ecr.registry_of(image)
        elsewhere = (
            theirs is not None and theirs[1] != self.aws.region_name and wants.region != theirs[1]
        )
        if elsewhere or definitions.repository_of(image).partition("/")[2] != wants.name:
            return
        reference = definitions.digest_of(image) or definitions.tag_of(image) or "latest"
        account = theirs[0] if theirs else wants.account
        repository = ecr.RepositoryName(wants.name, account, wants.region)
        try:
            condition = ecr.condition(registry_client(self.job, self.ports), repository, reference)
        except Missing as problem:
            yield Finding(
                what,
                HealthStatus.FAILING,
                "missing",
                cause=f"{problem}: a new task could not start",
                next=problem.next,
            )
            return
        note = ""
        if not moved:
            note = f", left as it is: `container` is {self.settings.container}"
        yield image_finding(self.job, reference, condition, what, note)

    def targets(self) -> Iterator[Finding]:
        """Whether its tasks answer."""
        service = self._service.result()
        if service is None or not service.get("desiredCount"):
            return
        target_groups = target_groups_of(service)
        for names in target_groups:
            what = "targets" if len(target_groups) == 1 else f"targets {_name(names[0])}"
            try:
                targets: list[TargetHealth] = []
                for name in names:
                    targets += balancers.health(self.aws, name)
            except ToolkitError as problem:
                yield findings.unknown(what, problem)
                continue
            yield targets_finding(
                what, names[0], int(service["desiredCount"]), targets, is_deploying(service)
            )

    def deployment(self) -> Iterator[Finding]:
        """How the last deployment went; one of CodeDeploy, or of an external controller, is not
        ECS's to tell.
        """
        service = self._service.result()
        if service is None:
            return
        primary = rollout.primary_deployment(service)
        if not primary:
            return
        event, newest = rollback_event(service), None
        if event is not None or primary.get("rolloutState") not in (None, "COMPLETED"):
            newest = self._newest(service)
            if newest is not None and is_outdated(newest, event, service):
                newest = None
        reading = last_reading(service, newest, event, self.job.target)
        failure = log_group = None
        if reading.state != RolloutState.COMPLETE:
            failure = self._failure_since(_moment((newest or primary).get("createdAt")))
        if reading.state == RolloutState.RUNNING:
            log_group = self._log_group(failure)
        yield deployment_finding(self.job, service, reading, newest, failure, log_group)

    def _newest(self, service: Shape) -> Shape | None:
        """The newest service deployment; None if nobody can tell. What ECS calls the current one
        may be the one before.
        """
        current = service.get("currentServiceDeployment")
        deployment = ecs.deployment(self.aws, str(current)) if current else None
        if deployment is not None and deployment.get("status") != "SUCCESSFUL":
            return deployment
        listed = ecs.deployments(self.aws, self.settings.cluster, self.settings.service)
        if not listed or listed[0]["serviceDeploymentArn"] == current:
            return deployment
        return ecs.deployment(self.aws, str(listed[0]["serviceDeploymentArn"]))

    def _worst(self, service: Shape) -> Failure | None:
        """The failure of a task that says most, if that is known soon."""
        return failures.worst_failure(
            failure for failure, _ in failed_now(service, _result_soon(self._stopped) or ())
        )

    def _failure_since(self, since: datetime | None) -> Failure | None:
        """The same, of the tasks that a deployment has started; not of what may work at another
        try.
        """
        candidates: list[Failure] = []
        for task in _result_soon(self._stopped) or ():
            failure = failures.failure_of(task)
            if failure is None or failure.sort == FailureSort.TRANSIENT:
                continue
            if since is None or _at(task, "createdAt", since) >= since:
                candidates.append(failure)
        return failures.worst_failure(candidates)

    def _log_group(self, failure: Failure | None) -> str | None:
        """The log group that the container which failed writes to, if that is known soon."""
        if failure is None:
            return None
        definition = _result_soon(self._definition)
        if definition is None:
            return None
        names = definitions.container_names(definition)
        if not names:
            return None
        name = failure.container if failure.container in names else names[0]
        stream = definitions.log_stream(definitions.container_named(definition, name), failure.id)
        return stream[0] if stream else None


@contextmanager
def _released(answer: "Future[Any]") -> Iterator[None]:
    """Nobody waits for what was not found out."""
    try:
        yield
    finally:
        if not answer.done():
            answer.set_result(None)


def _result_soon(answer: "Future[Any]") -> Any:
    """The answer, None if it takes longer than it is worth."""
    try:
        return answer.result(SOON_S)
    except TimeoutError:
        return None


def _missing_service(problem: Missing) -> Finding:
    return Finding(
        "service", HealthStatus.FAILING, "missing", cause=str(problem), next=problem.next
    )


# the service


def service_finding(job: Job, service: Shape, failure: Failure | None) -> Finding:
    """The state of an existing service; `failure` is the one of its tasks that says most."""
    settings: AppSettings = job.settings
    if service["status"] != "ACTIVE":
        cause = f"service {settings.service} is {service['status']}: it is being deleted"
        return Finding(
            "service",
            HealthStatus.FAILING,
            str(service["status"]),
            cause=cause,
            next="wait for it, then create it again",
        )
    desired, running = int(service.get("desiredCount", 0)), int(service.get("runningCount", 0))
    detail = f"{min(running, desired)} of {desired} tasks running"
    if desired < settings.min_tasks:
        return _scaled_in(settings, service, desired, detail)
    if not desired:
        return Finding("service", HealthStatus.OK, "scaled to 0 tasks")
    if running >= desired:
        return Finding("service", HealthStatus.OK, detail)
    if is_deploying(service) and not rollout.is_stuck(service):
        return Finding(
            "service",
            HealthStatus.WARNING,
            detail,
            cause="a deployment is in progress",
            next=_wait(job),
        )
    return Finding(
        "service",
        HealthStatus.FAILING,
        detail,
        cause=shortage_cause(service, failure),
        next=_ask(job),
    )


def _scaled_in(settings: AppSettings, service: Shape, desired: int, detail: str) -> Finding:
    """The finding about a service that somebody, or something, has scaled to fewer tasks than it
    may have.
    """
    words = f"rules.toml says `min_tasks = {settings.min_tasks}`" if desired else "nothing runs"
    fix = rollout.scale_command(service, settings.cluster, settings.service, settings.min_tasks)
    return Finding(
        "service",
        HealthStatus.FAILING,
        detail,
        cause=f"the desired count is {desired}: {words}",
        next=fix,
    )


def shortage_cause(service: Shape, failure: Failure | None) -> str:
    """Why a service runs too few: no task can tell that there was no place for it, and of all else
    a task tells most.
    """
    event = trouble_event(service)
    if failure is not None and _NO_CAPACITY not in event:
        return failure.cause
    return event or "ECS does not say why"


def trouble_event(service: Shape) -> str:
    """The last event that tells of trouble, since all was well; empty if there is none."""
    for event in service.get("events") or ():
        words = _words(event)
        if _STEADY in words:
            return ""
        if any(word in words for word in _TROUBLE):
            return words
    return ""


def _words(event: Shape) -> str:
    """An event without the service's name in front."""
    return re.sub(r"^\(service [^)]*\) ", "", " ".join(str(event.get("message", "")).split()))


def has_all_tasks(service: Shape) -> bool:
    """Whether as many tasks run as should."""
    return int(service.get("runningCount", 0)) >= int(service.get("desiredCount", 0))


def is_deploying(service: Shape) -> bool:
    """Whether tasks are being replaced, by whomever."""
    state = rollout.primary_deployment(service).get("rolloutState")
    if state is not None:
        return bool(state == "IN_PROGRESS")
    return len(service.get("deployments") or ()) > 1 or len(service.get("taskSets") or ()) > 1


def serving_deployment(service: Shape) -> Shape:
    """The deployment whose tasks serve, or the task set, where another program deploys; empty if
    nothing runs.
    """
    sets = [
        task_set
        for task_set in service.get("taskSets") or ()
        if task_set.get("status") == "PRIMARY" and task_set.get("runningCount")
    ]
    return rollout.serving_deployment(service) or next(iter(sets), {})


# the last deployment


def rollback_event(service: Shape) -> Shape | None:
    """The event that a deployment failed or was rolled back, if none was started since. A service
    that is whole shows it nowhere else.
    """
    began = _moment(rollout.primary_deployment(service).get("createdAt"))
    for event in service.get("events") or ():
        if any(words in str(event.get("message", "")) for words in _FAILED_OR_ROLLED_BACK):
            when = _moment(event.get("createdAt"))
            if when is not None and began is not None and began - when > _SLACK:
                return None
            return dict(event)
    return None


def is_outdated(newest: Shape, event: Shape | None, service: Shape) -> bool:
    """Whether ECS shows one that was complete before the last one was begun: then the last one is
    not visible.
    """
    if newest.get("status") != "SUCCESSFUL":
        return False
    began, back = _moment(newest.get("createdAt")), _moment((event or {}).get("createdAt"))
    return rollout.primary_deployment(service).get("rolloutState") not in (
        None,
        "COMPLETED",
    ) or bool(began and back and began < back)


def last_reading(service: Shape, newest: Shape | None, event: Shape | None, target: str) -> Reading:
    """What became of the last deployment: by itself, else by the service and the event that it was
    rolled back.
    """
    now = rollout.primary_deployment(service)
    own_key = DeploymentKey(str(now.get("taskDefinition", "")), now.get("id"))
    if newest is not None:
        return rollout.read_deployment(newest, service, own_key, target)
    reading = rollout.read_service(service, own_key)
    if reading.state == RolloutState.RUNNING and not is_deploying(service):
        reading = Reading(RolloutState.COMPLETE)  # what has ended since is no part of it
    if event is None or reading.state not in (RolloutState.COMPLETE, RolloutState.RUNNING):
        return reading
    state = RolloutState.REVERTING
    if reading.state == RolloutState.COMPLETE:
        state = RolloutState.REVERTED
    return Reading(state, reading.phase, _words(event))


def deployment_finding(
    job: Job,
    service: Shape,
    reading: Reading,
    newest: Shape | None,
    failure: Failure | None,
    group: str | None,
) -> Finding:
    """The finding about the last deployment. `failure` is of a task that it has started; `group` is
    where that one's log is.
    """
    now = rollout.primary_deployment(service)
    began = _moment((newest or now).get("createdAt"))
    ended = (
        _moment((newest or {}).get("finishedAt"))
        or _moment((newest or now).get("updatedAt"))
        or began
    )
    since = iso_utc(began)
    if reading.state == RolloutState.COMPLETE:
        return Finding(
            "deployment",
            HealthStatus.OK,
            f"{ecs.revision_of(str(now.get('taskDefinition', '')))} is deployed",
            since,
        )
    why = failure.cause if failure is not None and not _by_an_alarm(newest) else reading.cause
    if reading.state == RolloutState.RUNNING:
        if rollout.is_stuck(service):
            if failure is not None:
                cause = f"its tasks fail: {failure.cause}"
            else:
                cause = "its tasks fail, and none runs"
            return Finding(
                "deployment",
                HealthStatus.FAILING,
                reading.phase,
                since,
                cause,
                failures.remedy(failure, job.target, group, _ask(job)),
            )
        when = ""
        if began is not None:
            when = f" since {began:%Y-%m-%d %H:%M} UTC"
        return Finding(
            "deployment",
            HealthStatus.WARNING,
            reading.phase,
            since,
            f"a deployment is in progress{when}",
            reading.next or _wait(job),
        )
    again = NextCommand("deploy-app", (job.target,))
    if reading.state == RolloutState.REVERTING:
        cause = _because("the last deployment is being rolled back", why)
        return Finding("deployment", HealthStatus.WARNING, "rolling back", since, cause, _wait(job))
    if reading.state == RolloutState.REVERTED:
        cause = _because("the last deployment was rolled back", why)
        return Finding(
            "deployment", HealthStatus.WARNING, "rolled back", iso_utc(ended), cause, again
        )
    if reading.state == RolloutState.STOPPED:
        cause = _because("the last deployment was stopped", why)
        return Finding("deployment", HealthStatus.FAILING, "stopped", iso_utc(ended), cause, again)
    cause = _because("the last deployment failed", why)
    rollback = NextCommand("rollback", (job.target,))
    return Finding(
        "deployment", HealthStatus.FAILING, reading.state, iso_utc(ended), cause, rollback
    )


def _by_an_alarm(newest: Shape | None) -> bool:
    """Whether it was an alarm that took it back. Else, also where a person did, its tasks tell
    most.
    """
    return bool(((newest or {}).get("alarms") or {}).get("triggeredAlarmNames"))


def _because(what: str, why: str) -> str:
    if why:
        return f"{what}: {why}"
    return f"{what}, and ECS does not say why"


# its tasks


def failed_now(service: Shape, stopped: Iterable[Shape]) -> list[tuple[Failure, Shape]]:
    """The tasks that failed since the last deployment was begun: what it has replaced, or fixed,
    is over.
    """
    now = rollout.primary_deployment(service)
    began = _moment(now.get("createdAt"))
    failed: list[tuple[Failure, Shape]] = []
    for task in stopped:
        if began is not None and _at(task, "stoppedAt", began) < began:
            continue
        if (
            began is not None
            and _at(task, "createdAt", began) < began
            and task.get("taskDefinitionArn") != now.get("taskDefinition")
        ):
            continue
        failure = failures.failure_of(task)
        if failure is not None:
            failed.append((failure, task))
    return failed


def tasks_finding(
    job: Job, service: Shape, failed: Sequence[tuple[Failure, Shape]], group: str | None
) -> Finding:
    """The sign of the tasks that failed in the last hour. A task that was interrupted and replaced
    is not a problem.
    """
    worst = failures.worst_failure(failure for failure, _ in failed)
    if worst is None:
        return Finding("tasks", HealthStatus.OK, "no task failed in the last hour")
    whole = has_all_tasks(service)
    if worst.sort == FailureSort.TRANSIENT and whole:
        return Finding(
            "tasks",
            HealthStatus.OK,
            f"{_tasks(len(failed))} interrupted in the last hour and replaced",
        )
    first = min(
        (when for _, task in failed if (when := _moment(task.get("stoppedAt"))) is not None),
        default=None,
    )
    detail = f"{_tasks(len(failed))} failed in the last hour"
    status = HealthStatus.WARNING if whole else HealthStatus.FAILING
    fix = failures.remedy(worst, job.target, group, _ask(job))
    return Finding("tasks", status, detail, iso_utc(first), worst.cause, fix)


def _tasks(number: int) -> str:
    if number == 1:
        return "1 task"
    return f"{number} tasks"


# its image


def image_finding(
    job: Job, reference: str, condition: str | None, what: str = "image", more: str = ""
) -> Finding:
    """Whether an image can still be pulled, by its tag or digest."""
    if condition == "ACTIVE":
        return Finding(what, HealthStatus.OK, f"{_brief(reference)} is in ECR{more}")
    if condition is None:
        state, where = "missing", "no longer"
    else:
        state = where = condition.lower()
    cause = f"its image is {where} in ECR: a new task could not start"
    return Finding(
        what,
        HealthStatus.FAILING,
        f"{_brief(reference)} is {state}",
        cause=cause,
        next=NextCommand("deploy-app", (job.target,)),
    )


def missing_definition(job: Job, arn: str) -> Finding:
    """The task definition of what runs was deleted."""
    cause = (
        f"there is no task definition {ecs.revision_of(arn)} any more: a new task could not start"
    )
    again = NextCommand("deploy-app", (job.target,))
    return Finding("image", HealthStatus.FAILING, "missing", cause=cause, next=again)


def _brief(reference: str) -> str:
    if reference.startswith("sha256:"):
        return reference[:19]
    return reference


# what is behind its load balancers


def target_groups_of(service: Shape) -> list[tuple[str, ...]]:
    """The ARNs of its target groups: with blue/green two in one, of which now one and now the other
    has the tasks.
    """
    target_groups: dict[tuple[str, ...], None] = {}
    for balancer in (
        serving_deployment(service).get("loadBalancers") or service.get("loadBalancers") or ()
    ):
        alternate = (balancer.get("advancedConfiguration") or {}).get("alternateTargetGroupArn")
        names = tuple(
            dict.fromkeys(str(name) for name in (balancer.get("targetGroupArn"), alternate) if name)
        )
        if names:
            target_groups[names] = None
    return list(target_groups)


def targets_finding(
    what: str, group: str, desired: int, targets: Sequence[TargetHealth], busy: bool
) -> Finding:
    """Whether as many targets are healthy as tasks should run; `busy` says that a deployment is in
    progress.
    """
    healthy = [target for target in targets if target.answers]
    others = [target for target in targets if not target.answers and target.state != "draining"]
    detail = f"{min(len(healthy), desired)} of {desired} targets healthy"
    if len(healthy) >= desired:
        return Finding(what, HealthStatus.OK, detail)
    reasons = dict.fromkeys(
        f"{target.reason}: {target.words}".strip(": ") or target.state for target in others
    )
    cause = "; ".join(reasons)
    if not cause and healthy:
        cause = "the other tasks are not registered"
    elif not cause:
        cause = "no target is registered"
    soon = busy and bool(others) and all(target.state == "initial" for target in others)
    command = ShellCommand("aws elbv2 describe-target-health --target-group-arn", (group,))
    status = HealthStatus.WARNING if healthy or soon else HealthStatus.FAILING
    return Finding(what, status, detail, None, cause, command)


def _name(group: str) -> str:
    """`…:targetgroup/web/0123` -> `web`."""
    if group.count("/") > 1:
        return group.split("/")[1]
    return group


# its alarms


def own_alarms(service: Shape) -> tuple[str, ...]:
    """The alarms that its deployments are watched with."""
    configured = (service.get("deploymentConfiguration") or {}).get("alarms") or {}
    if configured.get("enable"):
        return tuple(str(name) for name in configured.get("alarmNames") or ())
    return ()


def alarm_filter(cluster: str, name: str, service: Shape) -> Callable[[Alarm], bool]:
    """Whether an alarm is about this service, or about a target group of its."""
    watched = [{"ClusterName": cluster, "ServiceName": name}]
    for names in target_groups_of(service):
        watched += [{"TargetGroup": group.rpartition(":")[2]} for group in names]
    return lambda alarm: any(alarm.about(dimensions) for dimensions in watched)


def _ask(job: Job) -> ShellCommand:
    return rollout.describe_command(job.settings.cluster, job.settings.service)


def _wait(job: Job) -> ShellCommand:
    cluster, service = job.settings.cluster, job.settings.service
    return ShellCommand(
        "aws ecs wait services-stable", ("--cluster", cluster, "--services", service)
    )


def _moment(moment: Any) -> datetime | None:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return None


def _at(task: Shape, key: str, otherwise: datetime) -> datetime:
    return _moment(task.get(key)) or otherwise
