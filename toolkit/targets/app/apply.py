"""The calls that change something, each once: what was done before with the job's token is found
and not done again.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from toolkit.errors import CloudError, Missing, Refused, Throttled, Unreachable
from toolkit.operations import Job, PlannedCall
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import rollout
from toolkit.targets.app.build import ensure_repository, image_digest
from toolkit.targets.app.preview import (
    Action,
    Decision,
    checked_state,
    decide,
    origin_warnings,
    register_call,
    replaces_other_deployment,
    stop_call,
    update_call,
    updated_containers,
)
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.app.sizes import keep_sizes
from toolkit.targets.app.state import (
    ROLLBACK,
    CurrentState,
    ask_in_parallel,
    own_deployment_arn,
    revertible_deployment,
)
from toolkit.targets.base import Report
from toolkit.targets.times import iso_utc

Shape = Mapping[str, Any]
T = TypeVar("T")
HANDFUL = 5
"""How many of a family's newest revisions are searched for our token."""
BACKOFF_S = (1, 2, 4, 8)
"""How long to wait before a call is repeated that AWS has turned away for being one too many."""
LOOK_AGAIN_S = 10
"""What was not there after so long, never arrived: AWS may take a few seconds to show what it has
accepted.
"""
BETWEEN_LOOKS_S = 3


def apply(job: Job, ports: Ports, report: Report) -> None:
    """Put the image there if it is missing, register, and move the service."""
    aws = ports.aws(job.location)
    report.phase("checking the service")
    state = checked_state(job, ports)
    if _adopt_own_deployment(job, report, state):
        return
    # The fastest way back: nothing new has to be registered or started.
    if job.action == ROLLBACK and _stop_to_revert(job, aws, state, report):
        return
    if state.absent or job.options.create:
        state = ensure_repository(job, ports, state, report)
    digest = image_digest(job, ports, state, report)
    # `container` is the one whose image says which version runs.
    report.keep(
        digest=digest,
        container=state.container,
        containers=updated_containers(job, state, digest),
    )
    # Only now: building takes minutes, in which the other deployment may well have ended.
    state = _wait_for_other_deployment(job, ports, state, report, digest)
    decision = _decide(job, aws, state, digest)
    # Somebody may have changed the service since a person agreed to the preview.
    for line in origin_warnings(job, state, decision):
        report.tell(f"warning: {line}")
    if decision.action == Action.UNCHANGED:
        report.keep(task_definition=state.service["taskDefinition"], unchanged=True)
        return
    if decision.action == Action.ATTACH:
        _keep_current_deployment(report, state)
        return
    if decision.action == Action.REUSE:
        arn = state.base["taskDefinitionArn"]
    else:
        arn = _register_definition(job, aws, state, decision.request, report)
    # Kept before the service is moved: a crash in between is told from one before by it.
    report.keep(task_definition=arn)
    _move_service(job, aws, arn, report)
    if job.action != ROLLBACK:
        keep_sizes(job, ports, state, digest, report)


def _decide(job: Job, aws: Aws, state: CurrentState, digest: str) -> Decision:
    return decide(job, state, aws.members("ecs", "RegisterTaskDefinition"), digest)


def _adopt_own_deployment(job: Job, report: Report, state: CurrentState) -> bool:
    """Whether the service is on our task definition already: the call was made before, and its
    answer was lost.
    """
    primary = rollout.primary_deployment(state.service)
    ours = definitions.mark(state.running, "token") == job.token
    # A reused task definition carries another run's token: then the deployment tells, which is not
    # the one that was there before our call.
    if not ours and report.receipt.get("before"):
        moved = primary.get("id") != report.receipt["before"]
        ours = moved and state.service["taskDefinition"] == report.receipt.get("task_definition")
    if ours:
        containers = definitions.containers_to_update(
            state.running, job.settings.container, ecr.named(job.settings.repository)
        )
        image = definitions.image_of(state.running, containers[0])
        report.keep(
            digest=definitions.digest_of(image), container=containers[0], containers=containers
        )
        _keep_current_deployment(report, state)
    return ours


def _keep_current_deployment(report: Report, state: CurrentState) -> None:
    """Keep the deployment that the service is on: it was begun by a call that this process did not
    make.
    """
    primary = rollout.primary_deployment(state.service)
    report.keep(task_definition=state.service["taskDefinition"], deployment=primary.get("id"))
    # Without `before` it was not our call that began it: the step only watches.
    if "before" not in report.receipt:
        report.keep(attached=True, started_at=iso_utc(primary.get("createdAt")))


def _stop_to_revert(job: Job, aws: Aws, state: CurrentState, report: Report) -> bool:
    """Roll back by stopping the deployment in progress; False if that is not possible."""
    arn = revertible_deployment(job, aws, state)
    if arn is None:
        return False
    report.phase("stopping the deployment in progress")
    _intend(report, stop_call(arn))
    if not ecs.stop(aws, arn):
        return False  # it ended in the meantime: roll back like from any other version
    report.keep(
        reverted=arn,
        digest=state.digest,
        container=state.container,
        containers=state.containers,
        previous=state.service["taskDefinition"],
    )
    return True


def _wait_for_other_deployment(
    job: Job, ports: Ports, state: CurrentState, report: Report, digest: str
) -> CurrentState:
    """Wait until no other deployment is in progress, and look again. Raises Refused at the job's
    deadline.
    """
    aws, settings = ports.aws(job.location), job.settings
    began = ports.clock.elapsed()
    while (
        state.busy
        and _decide(job, aws, state, digest).action != Action.ATTACH
        and not replaces_other_deployment(job, state)
    ):
        who = definitions.registered_by(state.running)
        if ports.clock.elapsed() - began > job.deadline_s:
            raise Refused(
                f"a deployment of service {settings.service} by {who} is still in progress",
                "replace it: --in-progress replace",
            )
        report.phase(
            f"waiting for the deployment of {ecs.revision_of(state.service['taskDefinition'])} by"
            f" {who}"
        )
        report.wait(BETWEEN_LOOKS_S)
        # Everything is read again: the other deployment has changed what runs.
        state = checked_state(job, ports)
    return state


def _register_definition(
    job: Job, aws: Aws, state: CurrentState, request: Shape, report: Report
) -> str:
    """The ARN of the revision that carries our token: a new one, unless it is there."""
    family = str(request["family"])
    report.phase(f"registering a task definition of {family}")
    if existing := _definition_with_token(job, aws, family):
        return existing
    call = register_call(state, request, job.settings, job.action == ROLLBACK)
    return _call_once(
        report,
        call,
        report.prepare,
        do=partial(ecs.register, aws, request),
        result=lambda definition: str(definition["taskDefinitionArn"]),
        find=lambda: _definition_with_token(job, aws, family),
    )


def _definition_with_token(job: Job, aws: Aws, family: str) -> str | None:
    arns = ecs.newest_revisions(aws, family, HANDFUL)
    if not arns:
        return None
    for answer in ask_in_parallel(*((lambda arn=arn: ecs.definition(aws, arn)) for arn in arns)):
        definition = answer()
        if definition is not None and definitions.mark(definition, "token") == job.token:
            return str(definition["taskDefinitionArn"])
    return None


def _move_service(job: Job, aws: Aws, arn: str, report: Report) -> None:
    """Make the one call that moves the service, and keep what tells our deployment from others."""
    settings: AppSettings = job.settings
    # `when` is by AWS's clock, as the times of its deployments are; this machine's may be wrong.
    service, when = ecs.service_now(aws, settings.cluster, settings.service)
    if service is None:
        raise Missing(
            what="ECS service",
            name=settings.service,
            where=f" in cluster {settings.cluster} ({aws.region_name})",
        )
    # Read by a call of its own: `before` has to be the deployment right before ours.
    before, force = rollout.primary_deployment(service).get("id"), job.options.force or job.renews
    own_key = rollout.DeploymentKey(arn, before=before)
    report.keep(before=before, previous=service["taskDefinition"], started_at=iso_utc(when))
    report.phase(f"moving {settings.service} to {ecs.revision_of(arn)}")
    mine = _call_once(
        report,
        update_call(settings, arn, force),
        report.intend,
        do=partial(ecs.update, aws, settings.cluster, settings.service, arn, force),
        result=rollout.primary_deployment,
        find=lambda: rollout.own_deployment(
            ecs.service_now(aws, settings.cluster, settings.service)[0] or {}, own_key
        ),
    )
    report.keep(deployment=mine.get("id"))


def _call_once(
    report: Report,
    call: PlannedCall,
    intend: Callable[..., None],
    do: Callable[[], Shape],
    result: Callable[[Shape], T],
    find: Callable[[], T | None],
) -> T:
    """The result of a call that no token protects. A throttled one is repeated; where the answer
    is lost, its effect is looked for (`find`), and the call is never repeated here.
    """
    for pause in (*BACKOFF_S, None):
        intend(call.name, **call.what)
        try:
            return result(do())
        # AWS refused the call before it did anything, so it is safe to make it again.
        except Throttled:
            report.turned_away()
            if pause is None:
                raise
            report.wait(pause)
        # The call may have arrived all the same: from here on, only its effect counts.
        except Unreachable as problem:
            return _find_lost_answer(report, call, find, problem)
    raise AssertionError  # the last pause is None


def _find_lost_answer(
    report: Report, call: PlannedCall, find: Callable[[], T | None], problem: CloudError
) -> T:
    """What a call without an answer has done, looked for twice: at once, and after AWS has had time
    to show it.
    """
    report.phase(f"no answer to {call.name}: checking its effect")
    for pause in (LOOK_AGAIN_S, None):
        with suppress(CloudError):  # a look that fails says nothing of the call
            if (answer := find()) is not None:
                return answer
        if pause is not None:
            report.wait(pause)
    raise problem


def _intend(report: Report, call: PlannedCall) -> None:
    report.intend(call.name, **call.what)


def abandon(job: Job, receipt: Mapping[str, Any], ports: Ports, report: Report) -> None:
    """Stop our deployment with a rollback; where ECS cannot, move the service back, unless somebody
    else has moved it since.
    """
    aws, settings = ports.aws(job.location), job.settings
    service, _ = ecs.service_now(aws, settings.cluster, settings.service)
    mine, previous = receipt.get("task_definition"), receipt.get("previous")
    if service is None or mine is None or service["taskDefinition"] != mine:
        return  # somebody else has moved it since: their deployment is not ours to stop
    report.phase("stopping the deployment")
    arn = own_deployment_arn(aws, job, service, receipt)
    if arn is not None:
        _intend(report, stop_call(arn))
        # None: not possible or not allowed, so that the service is moved back by an update
        if (stopped := ecs.stop(aws, arn)) is not None:
            report.keep(abandoned="stopped" if stopped else "over")
            return
    if previous is None or previous == mine:
        report.tell(f"service {settings.service} cannot be moved back: nothing ran before")
        return
    _intend(report, update_call(settings, previous, False))
    ecs.update(aws, settings.cluster, settings.service, previous)
    report.keep(abandoned="moved back")
