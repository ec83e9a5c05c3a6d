"""How an app is now: its service, the last deployment, the tasks that failed, its image, what is
behind its load balancers, its alarms.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import Missing, ToolkitError
from toolkit.operations import Depth, Finding, HealthStatus, Job, LiveVersion
from toolkit.ports.aws import alarms as cloudwatch
from toolkit.ports.aws import balancers, ecr, ecs
from toolkit.ports.aws.alarms import Alarm
from toolkit.ports.aws.balancers import TargetHealth
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.ports import Ports
from toolkit.targets import alarms, findings
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import failures, rollout, task_logs
from toolkit.targets.app.failures import Failure, FailureSort
from toolkit.targets.app.rollout import DeploymentKey, Reading, RolloutState
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.app.state import live_version, registry_client
from toolkit.targets.app.task_logs import TaskLog
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
_FEWER = ("has stopped", "has begun draining", "deregistered")
"""How the events begin that tell of tasks which are taken away."""


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
        self._logs: dict[str, TaskLog] = {}
        self._reading = Lock()

    def service(self) -> Iterator[Finding]:
        """Whether it is there, and runs what it should."""
        with _released(self._service):
            try:
                service = ecs.service(self.aws, self.settings.cluster, self.settings.service)
            except Missing as problem:
                yield _missing_service(problem)  # not even its cluster is there
                return
            if service is None:
                where = f" in cluster {self.settings.cluster} ({self.aws.region_name})"
                missing = Missing(what="ECS service", name=self.settings.service, where=where)
                yield _missing_service(missing, common="the ECS service does not exist")
                return
            self._service.set_result(service if service["status"] == "ACTIVE" else None)
        short = (
            service["status"] == "ACTIVE"
            and not has_all_tasks(service)
            and (not is_deploying(service) or rollout.is_stuck(service))
        )
        failed = self._failed(service) if short else []
        worst = failures.worst_failure(failure for failure, _ in failed)
        finding = service_finding(self.job, service, worst, self._log(worst))
        if short and finding.since is None:
            first = min((when for _, task in failed if (when := _stopped_at(task))), default=None)
            finding = replace(finding, since=iso_utc(first))
        yield finding

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
            worst = failures.worst_failure(failure for failure, _ in failed)
            yield tasks_finding(self.job, service, failed, self._log(worst))

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
            yield targets_finding(self.job, what, names[0], service, targets)

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
        failure, log = None, TaskLog()
        if reading.state != RolloutState.COMPLETE:
            failure = self._failure_since(_moment((newest or primary).get("createdAt")))
        if reading.state == RolloutState.RUNNING:
            log = self._log(failure)
        yield deployment_finding(self.job, service, reading, newest, failure, log)

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

    def _failed(self, service: Shape) -> list[tuple[Failure, Shape]]:
        """The tasks that have failed, if they are known soon."""
        return failed_now(service, _result_soon(self._stopped) or ())

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

    def _log(self, failure: Failure | None) -> TaskLog:
        """What the container which failed has written, if that is known soon. It is read once."""
        if failure is None:
            return TaskLog()
        with self._reading:
            if failure.task not in self._logs:
                self._logs[failure.task] = self._read_log(failure)
            return self._logs[failure.task]

    def _read_log(self, failure: Failure) -> TaskLog:
        definition = _result_soon(self._definition) or {}
        names = definitions.container_names(definition)
        if not names:
            return TaskLog()
        name = failure.container if failure.container in names else names[0]
        part = definitions.container_named(definition, name)
        log = BackgroundTask(partial(task_logs.read_log, self.job, self.ports, part, failure))
        # What has failed is known without its log, and is not to wait for it.
        with suppress(ToolkitError, Timeout):
            return log.within(SOON_S)
        return task_logs.unread_log(self.job, self.ports, part, failure)


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


def _missing_service(problem: Missing, common: str = "") -> Finding:
    """A service that is not there, or not even its cluster."""
    return Finding(
        "service",
        HealthStatus.FAILING,
        "missing",
        cause=str(problem),
        next=problem.next,
        common=common,
    )


# the service


def service_finding(job: Job, service: Shape, failure: Failure | None, log: TaskLog) -> Finding:
    """The state of an existing service; `failure` is the one of its tasks that says most, and `log`
    is what that one has written.
    """
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
        trouble_since(service),
        shortage_cause(service, failure),
        _shortage_remedy(job, service, failure, log),
        log=log.lines,
    )


def _shortage_remedy(job: Job, service: Shape, failure: Failure | None, log: TaskLog) -> Advice:
    """What gives a service its tasks back."""
    if _NO_CAPACITY in trouble_event(service):
        room = "make room for its tasks in the cluster, or let them ask for less; ECS says more:"
        return room, rollout.describe_command(job.settings.cluster, job.settings.service)
    if failure is not None:
        return failures.remedy(failure, job.target, log.command, _ask(job))
    return _ask(job)


def _scaled_in(settings: AppSettings, service: Shape, desired: int, detail: str) -> Finding:
    """The finding about a service that somebody, or something, has scaled to fewer tasks than it
    may have.
    """
    words = "nothing runs"
    if desired:
        words = f"rules.toml says `min_tasks = {settings.min_tasks}`"
    fix = rollout.scale_command(service, settings.cluster, settings.service, settings.min_tasks)
    return Finding(
        "service",
        HealthStatus.FAILING,
        detail,
        scaled_since(service),
        f"the desired count is {desired}: {words}",
        fix,
    )


def scaled_since(service: Shape) -> str | None:
    """When it was that tasks were stopped and none were started since, by its events; None if these
    do not tell.
    """
    for event in service.get("events") or ():
        words = _words(event)
        if words.startswith(_FEWER):
            return iso_utc(_moment(event.get("createdAt")))
        if "has started" in words:
            return None
    return None


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
    return next((_words(event) for event in _trouble_events(service)), "")


def trouble_since(service: Shape) -> str | None:
    """Since when its events tell of trouble; None if they tell of none."""
    moments = [_moment(event.get("createdAt")) for event in _trouble_events(service)]
    return iso_utc(min((moment for moment in moments if moment is not None), default=None))


def _trouble_events(service: Shape) -> Iterator[Shape]:
    """The events that tell of trouble since all was well, newest first."""
    for event in service.get("events") or ():
        words = _words(event)
        if _STEADY in words:
            return
        if any(word in words for word in _TROUBLE):
            yield event


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
    log: TaskLog,
) -> Finding:
    """The finding about the last deployment. `failure` is of a task that it has started, and `log`
    what that one has written.
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
                failures.remedy(failure, job.target, log.command, _ask(job)),
                log=log.lines,
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
    job: Job, service: Shape, failed: Sequence[tuple[Failure, Shape]], log: TaskLog
) -> Finding:
    """The finding about the tasks that failed in the last hour. Tasks that were interrupted and
    replaced are not a problem, and do not count where others failed by themselves.
    """
    if not failed:
        return Finding("tasks", HealthStatus.OK, "no task failed in the last hour")
    whole = has_all_tasks(service)
    by_themselves = [item for item in failed if item[0].sort != FailureSort.TRANSIENT]
    if whole and not by_themselves:
        return Finding(
            "tasks",
            HealthStatus.OK,
            f"{_tasks(len(failed))} interrupted in the last hour and replaced",
        )
    failed = by_themselves or failed
    first = min((when for _, task in failed if (when := _stopped_at(task))), default=None)
    worst = failures.worst_failure(failure for failure, _ in failed)
    status = HealthStatus.WARNING if whole else HealthStatus.FAILING
    return Finding(
        "tasks",
        status,
        f"{_tasks(len(failed))} failed in the last hour",
        iso_utc(first),
        worst.cause if worst else "",
        failures.remedy(worst, job.target, log.command, _ask(job)),
        log=log.lines,
    )


def _stopped_at(task: Shape) -> datetime | None:
    return _moment(task.get("stoppedAt"))


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
    job: Job, what: str, group: str, service: Shape, targets: Sequence[TargetHealth]
) -> Finding:
    """Whether as many targets of a group are healthy as tasks should run."""
    desired, busy = int(service["desiredCount"]), is_deploying(service)
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
    is_starting = bool(others) and all(target.state == "initial" for target in others)
    return Finding(
        what,
        HealthStatus.WARNING if healthy or (busy and is_starting) else HealthStatus.FAILING,
        detail,
        trouble_since(service),
        cause,
        _targets_remedy(job, group, others, is_starting),
        depth=Depth.BEHIND,
    )


def _targets_remedy(
    job: Job, group: str, others: Sequence[TargetHealth], is_starting: bool
) -> Advice:
    """What makes targets healthy: time, tasks that register, or an answer to the health check."""
    where = ("--target-group-arn", group)
    if is_starting:
        return "wait for it:", ShellCommand("aws elbv2 wait target-in-service", where)
    if not others:
        options = ("--cluster", job.settings.cluster, "--service", job.settings.service)
        again = ShellCommand("aws ecs update-service", (*options, "--force-new-deployment"))
        return "start its tasks again, so that they register:", again
    details = ShellCommand("aws elbv2 describe-target-health", where)
    return (
        "fix its answer to the target group's health check, or that check; what is wrong there:",
        details,
    )


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


def _ask(job: Job) -> Advice:
    """Where toolkit does not know what fixes it."""
    command = rollout.describe_command(job.settings.cluster, job.settings.service)
    return "fix what ECS reports; its events:", command


def _wait(job: Job) -> Advice:
    cluster, service = job.settings.cluster, job.settings.service
    options = ("--cluster", cluster, "--services", service)
    return "wait for it:", ShellCommand("aws ecs wait services-stable", options)


def _moment(moment: Any) -> datetime | None:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return None


def _at(task: Shape, key: str, otherwise: datetime) -> datetime:
    return _moment(task.get(key)) or otherwise
