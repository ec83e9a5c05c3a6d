"""What a deploy of a stack would do, and what is known to fail before it is begun."""

from collections.abc import Mapping
from typing import Any

from toolkit.advice import Advice, NextCommand
from toolkit.model import Resource
from toolkit.operations import Job, PlannedCall, Prerequisite, Preview
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.ports.program_runs import SilentLog
from toolkit.targets.base import flag
from toolkit.targets.stack import changes, compare, observe, sources, stack_status
from toolkit.targets.stack.live_images import OlderImages
from toolkit.targets.stack.observe import change_set_name
from toolkit.targets.stack.stack_status import RECOVERIES, Stack


def preview(job: Job, ports: Ports) -> Preview:
    """See targets/base.py."""
    aws = ports.aws(job.location)
    source = sources.load_source(job, ports, SilentLog())
    stack = cfn.stack(aws, source.name)
    status = ""
    if stack is not None:
        status = str(stack["StackStatus"])
        stack_status.refuse_hopeless(aws, stack)
    recovery = RECOVERIES.get(status)
    new = (
        stack is None
        or status == "REVIEW_IN_PROGRESS"
        or (recovery is not None and recovery.operation == "delete_stack")
    )
    summary = compare.summary(aws, source, uploaded=False)
    parameters = compare.parameters(source, summary, None if new else stack)
    if stack is None or status == "REVIEW_IN_PROGRESS":
        body = None
    else:
        body = cfn.template(aws, str(stack["StackId"]))
    live = None if stack is None else observe.live_version(aws, stack, body)
    warnings: list[Advice] = [*source.warnings, *sources.environment_warnings(job, ports)]
    same = stack is not None and not new and compare.is_same(source, body, stack, summary)
    forced = job.options.force or job.renews
    if same and stack is not None and not observe.has_our_tags(stack) and not forced:
        untagged = f"stack {source.name} does not have toolkit's tags; to add them:"
        warnings.append((untagged, NextCommand("deploy-stack", (job.target,), ("--force",))))
    # What is equal may still mean something else, such as a parameter of SSM: only a change set of
    # the deploy itself can tell.
    after = _prerequisites(source)
    if same and not forced and not compare.may_change_meaning(source, summary):
        return Preview((), tuple(warnings), unchanged=True, live=live, after=after)
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        warnings.append(stack_status.busy_words(status))
    if recovery is not None and stack is not None:
        stack_status.refuse_protected(stack, recovery)
        statement = recovery.statement.format(stack=source.name)
        warnings.append(f"{statement}; {recovery.flag} confirms this in advance")
    older = OlderImages()
    if stack is not None and not new:
        older = compare.older_images(aws, source, stack, None)
        warnings += older.lines
        warnings += compare.replaced_code_warnings(aws, source, stack, None)
    warnings += _to_agree(job, aws, source, summary, None if new else stack)
    calls: list[PlannedCall] = []
    if recovery is not None:
        calls.append(PlannedCall(recovery.call, {"stack": source.name}))
    calls += [
        PlannedCall("s3:PutObject", {"bucket": asset.bucket, "key": asset.key})
        for asset in sources.missing_assets(aws, source)
    ]
    calls.append(
        PlannedCall("cloudformation:CreateChangeSet", _what(job, source, summary, parameters, new))
    )
    if source.protected and (new or not (stack or {}).get("EnableTerminationProtection")):
        calls.append(
            PlannedCall("cloudformation:UpdateTerminationProtection", {"stack": source.name})
        )
    calls.append(
        PlannedCall(
            "cloudformation:ExecuteChangeSet",
            {"stack": source.name, "change_set": change_set_name(job.token)},
        )
    )
    return Preview(
        tuple(calls),
        tuple(warnings),
        live=live,
        after=after,
        consents=_consents(job, recovery),
        displaces=older.services,
    )


def _consents(job: Job, recovery: stack_status.StackRecovery | None) -> tuple[str, ...]:
    if recovery is None or getattr(job.options, recovery.consent):
        return ()
    return (recovery.consent,)


def _prerequisites(source: sources.ChangeSetSource) -> tuple[Prerequisite, ...]:
    """The stacks that the CDK app has deployed before this one."""
    return tuple(
        Prerequisite(Resource("stack", place.name), place.region) for place in source.before
    )


def _to_agree(
    job: Job,
    aws: Aws,
    source: sources.ChangeSetSource,
    summary: Mapping[str, Any],
    stack: Stack | None,
) -> list[str]:
    """What somebody has to agree to, as far as the templates tell; the change set has the last
    word. `stack` is None for a new one.
    """
    before: Any = {} if stack is None else cfn.template(aws, str(stack["StackId"]))
    dangers = changes.dangers(source.name, changes.predict_effects(before, source.template))
    iam = {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} & set(summary.get("Capabilities") or ())
    if (
        stack is None and source.template is None and iam
    ):  # it is YAML, and brings roles or policies
        what = "create IAM resources (grants permissions)"
        dangers = [changes.Danger(source.name, what, "allow_broadening")]
    return [
        f"{danger.statement}; {flag(danger.consent)} confirms this in advance"
        for danger in dangers
        if not getattr(job.options, danger.consent)
    ]


def _what(
    job: Job,
    source: sources.ChangeSetSource,
    summary: Mapping[str, Any],
    parameters: list[dict[str, Any]],
    new: bool,
) -> dict[str, str]:
    """The parameters of CreateChangeSet that matter, without the values of the template's."""
    what = {
        "stack": source.name,
        "change_set": change_set_name(job.token),
        "type": "CREATE" if new else "UPDATE",
    }
    what["capabilities"] = ",".join(compare.capabilities(summary)) or "none"
    what["parameters"] = (
        ",".join(str(parameter["ParameterKey"]) for parameter in parameters) or "none"
    )
    if source.role:
        what["role"] = source.role
    return what
