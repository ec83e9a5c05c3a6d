"""How a stack is now, from its description; its events are read only where that tells of
trouble.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import CloudError
from toolkit.operations import Finding, HealthStatus, Job, LiveVersion
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets import alarms, findings
from toolkit.targets.base import Tell
from toolkit.targets.stack import drift, events, remedies
from toolkit.targets.stack.observe import has_our_tags, live_version, stack_name, tagged_version
from toolkit.targets.stack.stack_status import (
    RECOVERIES,
    WHOLE,
    Stack,
    delete_command,
    events_command,
)

ITSELF = "stack"
"""What the finding about the stack itself is called."""
CLEANUP = "_COMPLETE_CLEANUP_IN_PROGRESS"
ROLLED_BACK = {"UPDATE_ROLLBACK_COMPLETE": "update", "IMPORT_ROLLBACK_COMPLETE": "import"}
"""A state in which a stack is whole, but not as somebody wanted it, and what that was."""

_DOING = {
    "CREATE_": "created",
    "UPDATE_ROLLBACK_": "rolled back",
    "UPDATE_": "updated",
    "ROLLBACK_": "rolled back",
    "DELETE_": "deleted",
    "IMPORT_ROLLBACK_": "rolled back",
    "IMPORT_": "changed by an import",
}


_WAITERS = {
    "CREATE_": "stack-create-complete",
    "UPDATE_ROLLBACK_": "stack-rollback-complete",
    "UPDATE_": "stack-update-complete",
    "DELETE_": "stack-delete-complete",
    "IMPORT_IN": "stack-import-complete",
}
"""How an operation begins that a waiter of the AWS CLI knows, which takes the first that fits."""


def report_health(job: Job, ports: Ports, tell: Tell) -> LiveVersion | None:
    """See targets/base.py."""
    aws = ports.aws(job.location)
    running: list[LiveVersion] = []

    def state() -> Iterator[Finding]:
        stack = cfn.watched_stack(aws, stack_name(job))
        if stack is None:
            yield missing_stack(job)
            return
        if (live := tagged_version(stack)) is not None:
            running.append(live)
        yield _state(job, aws, stack, ports.clock.now())
        if (drifted := drift_finding(stack)) is not None:
            yield drifted
        if running and not has_our_tags(stack):
            running[0] = _compared(aws, stack, running[0])

    questions: list[tuple[str, findings.Question]] = [(ITSELF, state)]
    if named := job.settings.alarms:
        questions.append(("alarms", lambda: alarms.read_findings(aws, named, lambda alarm: False)))
    findings.ask(tell, questions)
    return running[0] if running else None


def _compared(aws: Aws, stack: Stack, live: LiveVersion) -> LiveVersion:
    """With the digest of what it is made of, if that can be read: it tells whether another tool has
    changed more than the tags.
    """
    try:
        return live_version(aws, stack) or live
    except CloudError:
        return live


def missing_stack(job: Job) -> Finding:
    """There is nothing."""
    return Finding(
        ITSELF,
        HealthStatus.FAILING,
        "missing",
        cause=f"there is no stack {stack_name(job)}",
        next=_deploy(job),
        common="the stack does not exist",
    )


def drift_finding(stack: Stack) -> Finding | None:
    """What was found when somebody last had CloudFormation compare a stack with its template; None
    if nothing is wrong.
    """
    drift_info = stack.get("DriftInformation") or {}
    if drift_info.get("StackDriftStatus") != "DRIFTED":
        return None
    return Finding(
        "drift",
        HealthStatus.WARNING,
        "drifted",
        cause=f"someone changed it by hand ({_checked(stack, drift_info)})",
        next=drift.fix(str(stack["StackName"])),
    )


def _checked(stack: Stack, drift_info: dict[str, Any]) -> str:
    """When that was; an update since then can have put it right."""
    when, updated = drift_info.get("LastCheckTimestamp"), stack.get("LastUpdatedTime")
    if when is None:
        return "checked at an unknown time"
    before = ""
    if updated is not None and when < updated:
        before = ", before its last update"
    return f"checked {when.astimezone(UTC):%Y-%m-%d}{before}"


def _state(job: Job, aws: Aws, stack: Stack, now: datetime) -> Finding:
    """The finding for an existing stack. Raises no CloudError: the state is known even if its
    cause is not.
    """
    status, name = str(stack["StackStatus"]), str(stack["StackName"])
    since = _moment(stack).isoformat()
    if status == "REVIEW_IN_PROGRESS":
        return Finding(
            ITSELF,
            HealthStatus.WARNING,
            status,
            since,
            "it was never created: there is only a change set",
            _deploy(job),
        )
    if status.endswith("_IN_PROGRESS"):
        began = _began(aws, stack, job.deadline_s, now)
        late = (now - began).total_seconds() > job.deadline_s
        if late or not status.endswith(CLEANUP):
            why = ""
            if "ROLLBACK" in status:
                why = _cause(aws, stack)
            return _busy(name, status, began, late, why)
    state = status.removesuffix("_CLEANUP_IN_PROGRESS")
    if state in WHOLE:
        return Finding(ITSELF, HealthStatus.OK, f"{status}{_in_sync(stack)}", since)
    if state in ROLLED_BACK:
        why = _cause(aws, stack)
        cause = f"its last {ROLLED_BACK[state]} was rolled back" + (f": {why}" if why else "")
        fix = remedies.fix_for(why, _deploy(job)) if why else _deploy(job)
        return Finding(ITSELF, HealthStatus.WARNING, status, since, cause, fix)
    if state in RECOVERIES:
        cause = _cause(aws, stack) or _reason(stack)
        return Finding(
            ITSELF,
            HealthStatus.FAILING,
            status,
            since,
            cause,
            remedies.fix_for(cause, _deploy(job, RECOVERIES[state].flag)),
        )
    if state == "DELETE_FAILED":
        mark = _mark(aws, stack)
        return Finding(
            ITSELF,
            HealthStatus.FAILING,
            status,
            since,
            mark.cause or _reason(stack),
            delete_command(name, mark.failed),
        )
    return Finding(
        ITSELF,
        HealthStatus.FAILING,
        status,
        since,
        _reason(stack),
        ("fix what its events say:", events_command(name)),
    )


def _busy(name: str, status: str, began: datetime, late: bool, why: str) -> Finding:
    """An operation runs on it, and perhaps for too long."""
    doing = next(
        (words for prefix, words in _DOING.items() if status.startswith(prefix)), "changed"
    )
    if status.endswith(CLEANUP):
        doing = "cleaned up"
    cause = f"it is being {doing} since {began:%Y-%m-%d %H:%M} UTC" + (f": {why}" if why else "")
    if not late:
        command = _wait_command(name, status)
        return Finding(ITSELF, HealthStatus.WARNING, status, began.isoformat(), cause, command)
    fix: Advice = ("fix what it waits for; its events:", events_command(name))
    if status == "UPDATE_IN_PROGRESS":
        cancel = ShellCommand("aws cloudformation cancel-update-stack --stack-name", (name,))
        fix = ("cancel it, so that it is rolled back:", cancel)
    return Finding(
        ITSELF,
        HealthStatus.FAILING,
        f"{status}, stuck",
        began.isoformat(),
        f"it is stuck: {cause}",
        fix,
    )


def _wait_command(name: str, status: str) -> Advice:
    """What waits until an operation is over."""
    for beginning, waiter in _WAITERS.items():
        if status.startswith(beginning):
            command = f"aws cloudformation wait {waiter} --stack-name"
            return "wait for it:", ShellCommand(command, (name,))
    return "wait for it; its events:", events_command(name)


def _began(aws: Aws, stack: Stack, deadline_s: int, now: datetime) -> datetime:
    """Since when a stack is in its state. Its description has when the last update began, which can
    be long before a deletion or the second try of a rollback did: events are asked where it seems
    late.
    """
    described = _moment(stack)
    if (now - described).total_seconds() <= deadline_s:
        return described
    stack_id = str(stack["StackId"])
    try:
        for event in islice(cfn.events(aws, stack_id), events.MOST):
            if (
                event.get("PhysicalResourceId") == stack_id
                and event.get("ResourceType") == events.STACK
            ):
                return _utc(event["Timestamp"])
    except CloudError:
        return described
    return described


def _mark(aws: Aws, stack: Stack) -> events.StackMark:
    """What the events of the newest operation say; nothing if they cannot be read."""
    try:
        return events.read_events(aws, str(stack["StackId"]), None, events.StackMark())[0]
    except CloudError:
        return events.StackMark()


def _cause(aws: Aws, stack: Stack) -> str:
    return _mark(aws, stack).cause


def _reason(stack: Stack) -> str:
    """What the description says, where the events tell of no resource."""
    return (
        " ".join(str(stack.get("StackStatusReason") or "").split())
        or f"it is {stack['StackStatus']}"
    )


def _in_sync(stack: Stack) -> str:
    drift_info = stack.get("DriftInformation") or {}
    if drift_info.get("StackDriftStatus") == "IN_SYNC":
        return f", as its template says ({_checked(stack, drift_info)})"
    return ""


def _deploy(job: Job, flag: str = "") -> NextCommand:
    return NextCommand("deploy-stack", (job.target,), (flag,) if flag else ())


def _moment(stack: Stack) -> datetime:
    return _utc(stack.get("LastUpdatedTime") or stack["CreationTime"])


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
