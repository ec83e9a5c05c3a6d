"""What became of a deploy, from the stack's own events: those of our operation, whatever has
happened to the stack since.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from toolkit.advice import NextCommand
from toolkit.operations import Job, LiveVersion, Observation, StepState, Verdict
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.stack import deployed, events, kept_stacks, remedies
from toolkit.targets.stack.template import (
    COMMIT,
    FINGERPRINT,
    OURS,
    RUN,
    SETTINGS,
    TEMPLATE,
    VERSION,
)
from toolkit.targets.times import iso_utc

SUCCEEDED = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "IMPORT_COMPLETE",
)
ROLLED_BACK = (
    "ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
)
_STALE = 5
"""How often the description of a stack may lag behind its events before its outputs are left
out.
"""
_NEXT = {
    "ROLLBACK_COMPLETE": "--recreate",
    "ROLLBACK_FAILED": "--recreate",
    "CREATE_FAILED": "--recreate",
    "UPDATE_FAILED": "--continue-rollback",
    "UPDATE_ROLLBACK_FAILED": "--continue-rollback",
}


def stack_name(job: Job) -> str:
    """The stack's name in CloudFormation. CDK writes a stage's stack with a slash and names it with
    a dash.
    """
    return str(job.settings.stack).replace("/", "-")


def change_set_name(token: str, attempt: int = 0) -> str:
    """How our change set is called; it is found again by this name after a crash."""
    return f"tk-{token}" + (f"-{attempt + 1}" if attempt else "")


def observe(
    job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None
) -> Observation:
    """See targets/base.py."""
    if receipt.get("unchanged"):
        now = live(job, ports)
        if now is not None:
            synthesized = kept_stacks.kept(str(receipt.get("stack") or ""), ports.cache)
            now = replace(now, deployed=replace(now.deployed, stack=synthesized))
        return Observation(StepState.DONE, Verdict.UNCHANGED, phase="unchanged", live=now)
    aws = ports.aws(job.location)
    stack_id = str(receipt.get("stack_id") or "")
    if not stack_id:  # the change set was never created, or its answer was lost
        stack = cfn.stack(aws, stack_name(job))
        if stack is None:
            return Observation(StepState.ABSENT)
        stack_id = str(stack["StackId"])
    if before is not None and isinstance(before.mark, events.StackMark):
        mark = before.mark
    else:
        mark = events.mark_since(receipt.get("created"))
    mark, lines = events.read_events(aws, stack_id, job.token, mark)
    if not mark.status:
        return _unseen(job, receipt, aws, stack_id, mark)
    if not events.is_at_rest(mark.status):
        total = int(receipt.get("resources") or 0)
        return Observation(
            StepState.RUNNING,
            phase=events.phase(mark, total),
            cause=mark.cause,
            lines=lines,
            mark=mark,
        )
    if mark.status in SUCCEEDED:
        return _succeeded(job, ports, stack_id, receipt, mark, lines)
    # At rest and no success: a complete rollback leaves what ran before, anything else is broken.
    verdict = Verdict.ROLLED_BACK if mark.status in ROLLED_BACK else Verdict.FAILED
    flags = (_NEXT[mark.status],) if mark.status in _NEXT else ()
    command = NextCommand("deploy-stack", (job.target,), flags)
    cause = mark.cause or mark.reason or mark.status
    return Observation(
        StepState.FAILED,
        verdict,
        mark.status,
        cause,
        remedies.fix_for(cause, command),
        lines=lines,
        mark=mark,
        slowest=events.slowest(mark),
    )


def was_executed(job: Job, aws: Aws, stack_id: str, receipt: Mapping[str, Any]) -> bool:
    """Whether the stack's events tell of our operation."""
    return bool(
        events.read_events(aws, stack_id, job.token, events.mark_since(receipt.get("created")))[
            0
        ].status
    )


def _unseen(
    job: Job, receipt: Mapping[str, Any], aws: Aws, stack_id: str, mark: events.StackMark
) -> Observation:
    """There is no event of ours: nothing was started, or it is not visible yet."""
    running = Observation(
        StepState.RUNNING,
        phase=events.phase(mark, 0),
        mark=events.mark_since(receipt.get("created")),
    )
    if receipt.get("executed"):
        # It was executed, and its events may take seconds to show: that is no reason for a verdict.
        if cfn.stack(aws, stack_id) is None:
            return Observation(
                StepState.UNKNOWN,
                cause="the stack is gone, and the result of its change set with it",
                next=NextCommand("resume"),
            )
        return running
    # Without events, the change set itself may know that it was executed.
    change_set = cfn.change_set(
        aws, str(receipt.get("change_set") or change_set_name(job.token)), stack_id
    )
    status = str((change_set or {}).get("ExecutionStatus", ""))
    if status == "EXECUTE_FAILED":
        return Observation(
            StepState.FAILED,
            Verdict.FAILED,
            cause=str(
                (change_set or {}).get("StatusReason") or "the change set could not be executed"
            ),
        )
    if status.startswith("EXECUTE_"):
        return running
    return Observation(StepState.ABSENT)


def _succeeded(
    job: Job,
    ports: Ports,
    stack_id: str,
    receipt: Mapping[str, Any],
    mark: events.StackMark,
    lines: tuple[str, ...],
) -> Observation:
    """It has ended well. The stack's description can lag behind its events, and then shows the
    outputs of before.
    """
    aws = ports.aws(job.location)
    stack = cfn.watched_stack(aws, stack_id)
    fresh = (
        stack is not None
        and _tags(stack).get(RUN) == job.run
        and stack.get("StackStatus") in SUCCEEDED
    )
    # It may still show the outputs and tags from before the update.
    if not fresh and mark.stale < _STALE:
        return Observation(
            StepState.RUNNING,
            phase="reading the outputs",
            lines=lines,
            mark=replace(mark, stale=mark.stale + 1),
        )
    shown = allowed_outputs(stack, job.settings.outputs) if fresh and stack is not None else {}
    now = _deployed_version(job, ports, stack, receipt) if fresh and stack is not None else None
    return Observation(
        StepState.DONE,
        Verdict.SUCCEEDED,
        mark.status,
        lines=lines,
        outputs=shown,
        live=now,
        mark=mark,
        slowest=events.slowest(mark),
    )


def _deployed_version(
    job: Job, ports: Ports, stack: Mapping[str, Any], receipt: Mapping[str, Any]
) -> LiveVersion | None:
    """What is live now, with what puts it back. Of a template that is another one than was sent
    nothing is said: somebody was faster.
    """
    now = tagged_version(stack)
    if now is None:
        return None
    body = cfn.template(ports.aws(job.location), str(stack["StackId"]))
    sent = receipt.get("template")
    if sent is not None and sent != deployed.template_digest(body):
        return now
    artifacts, configured = receipt.get("artifacts") or {}, job.settings.parameters
    state = deployed.state_of(body, stack, artifacts, whole=True, configured=configured)
    synthesized = kept_stacks.kept(str(receipt.get("stack") or ""), ports.cache)
    return replace(now, deployed=replace(state, stack=synthesized))


def allowed_outputs(stack: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, str]:
    """The outputs of a stack that may be shown."""
    values = {
        str(output["OutputKey"]): str(output.get("OutputValue", ""))
        for output in stack.get("Outputs") or ()
    }
    return {name: values[name] for name in allowed if name in values}


def outputs(job: Job, ports: Ports) -> dict[str, str]:
    """See targets/base.py."""
    stack = cfn.stack(ports.aws(job.location), stack_name(job))
    if stack is None:
        return {}
    return allowed_outputs(stack, job.settings.outputs)


def live(job: Job, ports: Ports) -> LiveVersion | None:
    """See targets/base.py."""
    aws = ports.aws(job.location)
    stack = cfn.stack(aws, stack_name(job))
    if stack is None:
        return None
    now = live_version(aws, stack)
    if now is None and str(stack["StackStatus"]) == "CREATE_IN_PROGRESS":
        now = LiveVersion(None)  # there is something, if nothing that serves
    return None if now is None else with_state(now, stack)


def with_state(now: LiveVersion, stack: Mapping[str, Any]) -> LiveVersion:
    """The version, with an operation that is at work on the stack, or has got stuck. Pure."""
    status, name = str(stack["StackStatus"]), str(stack["StackName"])
    since = iso_utc(stack.get("LastUpdatedTime") or stack.get("CreationTime"))
    if not events.is_at_rest(status):
        return replace(now, in_flight=f"an operation is running on stack {name}: {status}")
    if status.endswith("_FAILED"):
        return replace(now, stuck=f"stack {name} is stuck: {status} since {since}")
    return now


def live_version(aws: Aws, stack: Mapping[str, Any], body: Any = None) -> LiveVersion | None:
    """What runs in a stack, with the digest of its template and parameters. `body` is the template
    if it has been read already.
    """
    now = tagged_version(stack)
    if now is None or (now.version is None and not events.is_at_rest(str(stack["StackStatus"]))):
        return now
    template = cfn.template(aws, str(stack["StackId"])) if body is None else body
    tags = _tags(stack)
    now = replace(now, deployed=deployed.state_of(template, stack, {}))
    if tags.get(TEMPLATE) != deployed.template_digest(template):
        return now  # the tags are of another template: somebody has sent one since
    return replace(now, settings=tags.get(SETTINGS))


def tagged_version(stack: Mapping[str, Any]) -> LiveVersion | None:
    """What our tags say of a stack. While an operation runs on it nobody knows which version will
    be live.
    """
    status = str(stack["StackStatus"])
    if status in (
        "REVIEW_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "DELETE_COMPLETE",
        "CREATE_FAILED",
        "ROLLBACK_FAILED",
        "CREATE_IN_PROGRESS",
    ):
        return None
    detail = {"stack": str(stack["StackId"]), "status": status}
    if not events.is_at_rest(status):
        return LiveVersion(None, detail=detail)
    # Other tags of the stack belong to its owner.
    tags = {key: value for key, value in _tags(stack).items() if key in OURS}
    since = iso_utc(stack.get("LastUpdatedTime") or stack.get("CreationTime"))
    return LiveVersion(
        tags.get(VERSION),
        tags.get(COMMIT),
        tags.get(FINGERPRINT),
        tags.get(RUN),
        since,
        detail,
    )


def _tags(stack: Mapping[str, Any]) -> dict[str, str]:
    return {str(tag["Key"]): str(tag["Value"]) for tag in stack.get("Tags") or ()}


def has_our_tags(stack: Mapping[str, Any]) -> bool:
    """Whether a stack has our tags. Another tool that deploys it takes them away."""
    return RUN in _tags(stack)
