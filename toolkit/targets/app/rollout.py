"""What ECS says of a deployment, in our words, by the service deployment, and where there is none
by `deployments` of the service.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from toolkit.advice import Advice, NextCommand, ShellCommand

Shape = Mapping[str, Any]

STRATEGIES = {"BLUE_GREEN": "blue/green", "LINEAR": "linear", "CANARY": "canary"}
_STAGES = {
    "RECONCILE_SERVICE": "comparing",
    "PRE_SCALE_UP": "before new tasks start",
    "SCALE_UP": "starting new tasks",
    "POST_SCALE_UP": "new tasks have started",
    "TEST_TRAFFIC_SHIFT": "shifting test traffic",
    "POST_TEST_TRAFFIC_SHIFT": "test traffic is shifted",
    "PRE_PRODUCTION_TRAFFIC_SHIFT": "before traffic shifts",
    "PRODUCTION_TRAFFIC_SHIFT": "shifting traffic",
    "POST_PRODUCTION_TRAFFIC_SHIFT": "traffic is shifted",
    "BAKE_TIME": "baking",
    "CLEAN_UP": "ending old tasks",
}


class RolloutState(StrEnum):
    """How a deployment stands, in our words."""

    UNSEEN = "unseen"
    RUNNING = "running"
    COMPLETE = "complete"
    REVERTING = "reverting"
    REVERTED = "reverted"
    FAILED = "failed"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"


class Reading(Struct, frozen=True):
    """What ECS says of a deployment. `failed` counts tasks."""

    state: RolloutState
    phase: str = ""
    cause: str = ""
    next: Advice = ""
    failed: int = 0


class DeploymentKey(Struct, frozen=True):
    """What tells a deployment of ours from others: its task definition, its id if that is known,
    and what was there before it.
    """

    definition: str
    id: str | None = None
    before: str | None = None
    previous: str | None = None


def primary_deployment(service: Shape) -> Shape:
    """The deployment that a service moves to, or has moved to; empty if there is none."""
    return next(
        (
            deployment
            for deployment in service.get("deployments") or ()
            if deployment.get("status") == "PRIMARY"
        ),
        {},
    )


def own_deployment(service: Shape, own_key: DeploymentKey) -> Shape | None:
    """Our deployment among those of the service. A definition that was live before tells nothing
    without an id.
    """
    for deployment in service.get("deployments") or ():
        if own_key.id is not None:
            if deployment["id"] == own_key.id:
                return dict(deployment)
        elif (
            deployment["taskDefinition"] == own_key.definition
            and deployment["id"] != own_key.before
        ):
            return dict(deployment)
    return None


def is_steady(service: Shape) -> bool:
    """Whether the last deployment of a service is complete and runs as many tasks as it should."""
    deployment = primary_deployment(service)
    complete = deployment.get("rolloutState") in (None, "COMPLETED")
    return (
        complete
        and deployment.get("runningCount", 0) >= deployment.get("desiredCount", 0)
        and not _old_tasks_run(service, deployment)
    )


def _old_tasks_run(service: Shape, deployment: Shape) -> bool:
    """Old tasks still run. Where ECS reports `rolloutState`, it decides whether that matters."""
    if deployment.get("rolloutState") is not None:
        return False
    return any(
        candidate.get("runningCount", 0)
        for candidate in service.get("deployments") or ()
        if candidate["id"] != deployment.get("id")
    )


def is_stuck(service: Shape) -> bool:
    """Whether the deployment in progress fails and runs nothing: not worth waiting for."""
    deployment = primary_deployment(service)
    return int(deployment.get("failedTasks", 0)) >= 3 and not deployment.get("runningCount", 0)


def read_service(service: Shape, own_key: DeploymentKey) -> Reading:
    """How our deployment stands by `deployments` of the service."""
    mine, now = own_deployment(service, own_key), primary_deployment(service)
    failed = 0 if mine is None else int(mine.get("failedTasks", 0))
    if mine is not None and mine["id"] == now.get("id"):
        return _as_primary(service, mine, failed)
    if mine is None and now.get("id") in (None, own_key.before):
        return Reading(RolloutState.UNSEEN, "ECS does not show the deployment yet")
    reason = str((mine or {}).get("rolloutStateReason") or "")
    return _moved_elsewhere(service, own_key, reason, failed)


def _moved_elsewhere(service: Shape, own_key: DeploymentKey, cause: str, failed: int) -> Reading:
    """The service moves elsewhere: back to what it was on, or to what somebody else wants."""
    now = primary_deployment(service)
    if now.get("taskDefinition") != own_key.previous:
        name = _revision_name(now.get("taskDefinition", ""))
        cause = f"another deployment replaced it: {name}"
        return Reading(RolloutState.SUPERSEDED, cause=cause, failed=failed)
    if now.get("rolloutState") == "IN_PROGRESS":
        return Reading(
            RolloutState.REVERTING,
            f"rolling back to {_revision_name(now['taskDefinition'])}",
            cause,
            failed=failed,
        )
    return Reading(RolloutState.REVERTED, cause=cause, failed=failed)


def _as_primary(service: Shape, mine: Shape, failed: int) -> Reading:
    if mine.get("rolloutState") == "FAILED":
        return Reading(
            RolloutState.FAILED,
            cause=str(mine.get("rolloutStateReason") or "ECS gave up on the deployment"),
            failed=failed,
        )
    if is_steady(service):
        return Reading(RolloutState.COMPLETE, failed=failed)
    return Reading(RolloutState.RUNNING, task_counts(mine), failed=failed)


def task_counts(mine: Shape) -> str:
    """`1 of 2 tasks running, 1 failed`."""
    words = f"{mine.get('runningCount', 0)} of {mine.get('desiredCount', 0)} tasks running"
    if mine.get("failedTasks"):
        words += f", {mine['failedTasks']} failed"
    return words


def read_deployment(
    deployment: Shape, service: Shape, own_key: DeploymentKey, target: str
) -> Reading:
    """What a service deployment, which is ours, says. `target` is the name that a person rolls back
    by.
    """
    mine = own_deployment(service, own_key)
    failed = max(
        int((deployment.get("deploymentCircuitBreaker") or {}).get("failureCount") or 0),
        int((mine or {}).get("failedTasks", 0)),
    )
    status = str(deployment.get("status", ""))
    why = _reason(deployment)
    elsewhere = primary_deployment(service).get("taskDefinition") not in (None, own_key.definition)
    if status == "SUCCESSFUL":
        if elsewhere:
            return _moved_elsewhere(
                service, own_key, "it was complete, and then rolled back", failed
            )
        return Reading(RolloutState.COMPLETE, failed=failed)
    if status in ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"):
        return Reading(RolloutState.REVERTING, "rolling back", why, failed=failed)
    if status == "ROLLBACK_SUCCESSFUL":
        return Reading(RolloutState.REVERTED, cause=why, failed=failed)
    if status == "ROLLBACK_FAILED":
        return Reading(
            RolloutState.FAILED,
            cause=f"ECS could not roll back: {why or 'it does not say why'}",
            failed=failed,
        )
    if status == "STOPPED":
        if elsewhere:
            return _moved_elsewhere(service, own_key, why, failed)
        return Reading(RolloutState.STOPPED, cause=why or "someone stopped it", failed=failed)
    if status == "STOP_REQUESTED":
        return Reading(RolloutState.RUNNING, "being stopped", why, failed=failed)
    pause = _pause(deployment, target)
    if pause is not None:
        return pause
    return Reading(RolloutState.RUNNING, _stage(deployment, mine), failed=failed)


def _reason(deployment: Shape) -> str:
    """The alarm, the circuit breaker or the person behind it: a rollback's own reason says most."""
    alarms = (deployment.get("alarms") or {}).get("triggeredAlarmNames") or ()
    reason = (
        (deployment.get("rollback") or {}).get("reason") or deployment.get("statusReason") or ""
    )
    if alarms and not any(name in reason for name in alarms):
        reason = f"{reason} (alarm {', '.join(alarms)})".strip()
    return " ".join(str(reason).split())


def _pause(deployment: Shape, target: str) -> Reading | None:
    for hook in deployment.get("lifecycleHookDetails") or ():
        if hook.get("targetType") == "PAUSE" and hook.get("status") == "AWAITING_ACTION":
            ends = hook.get("expiresAt")
            if ends:
                until = (
                    f" until {_minute(ends)}, then ECS will"
                    f" {str(hook.get('timeoutAction') or 'ROLLBACK').lower()}"
                )
            else:
                until = ""
            arn, hook_id = str(deployment["serviceDeploymentArn"]), str(hook["hookId"])
            command = ShellCommand(
                "aws ecs continue-service-deployment --service-deployment-arn",
                (arn, "--hook-id", hook_id, "--action", "CONTINUE"),
            )
            return Reading(
                RolloutState.RUNNING,
                f"waits for approval{until}",
                next=(command, ", or", NextCommand("rollback", (target,))),
            )
    return None


def _minute(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M %Z}".strip()


def _stage(deployment: Shape, mine: Shape | None) -> str:
    configured = deployment.get("deploymentConfiguration") or {}
    strategy = STRATEGIES.get(str(configured.get("strategy", "")))
    revision = deployment.get("targetServiceRevision") or {}
    count = mine or {
        "runningCount": revision.get("runningTaskCount", 0),
        "desiredCount": revision.get("requestedTaskCount", 0),
    }
    words = [task_counts(count)]
    stage = str(deployment.get("lifecycleStage") or "")
    if strategy and stage:
        words.insert(0, f"{strategy}: {_STAGES.get(stage, stage.lower().replace('_', ' '))}")
        if stage == "BAKE_TIME" and configured.get("bakeTimeInMinutes"):
            words[0] += f" for {configured['bakeTimeInMinutes']} min"
        weight = revision.get("requestedProductionTrafficWeight")
        if weight is not None:
            words.append(f"{weight:g} % of the traffic")
    breaker = deployment.get("deploymentCircuitBreaker") or {}
    if (
        breaker.get("failureCount")
        and breaker.get("threshold")
        and breaker.get("status") != "DISABLED"
    ):
        words.append(
            f"the circuit breaker counts {breaker['failureCount']} of {breaker['threshold']}"
            " failures"
        )
    return ", ".join(words)


def serving_deployment(service: Shape) -> Shape:
    """The deployment whose tasks serve: the last complete one, while the next is not; empty if
    nothing runs.
    """
    running = [
        deployment
        for deployment in service.get("deployments") or ()
        if deployment.get("runningCount", 0)
    ]
    complete = [
        deployment
        for deployment in running
        if deployment.get("rolloutState") in (None, "COMPLETED")
    ]
    return next(
        iter(
            sorted(
                complete or running, key=lambda deployment: deployment.get("status") != "PRIMARY"
            )
        ),
        {},
    )


def _revision_name(arn: str) -> str:
    return str(arn).rpartition("/")[2] or "none"


def scale_command(service: Shape, cluster: str, name: str, tasks: int) -> Advice:
    """The command that gives a service with too few tasks more of them."""
    if service.get("schedulingStrategy") == "DAEMON":
        return "add a container instance to the cluster"
    options = ("--cluster", cluster, "--service", name, "--desired-count", str(tasks))
    return ShellCommand("aws ecs update-service", options)


def describe_command(cluster: str, service: str) -> ShellCommand:
    """The command that shows a service as ECS sees it."""
    return ShellCommand("aws ecs describe-services", ("--cluster", cluster, "--services", service))
