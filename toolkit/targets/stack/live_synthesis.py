"""What a stack has by what CloudFormation says, in the form of the templates room. It says so of a
template that somebody has changed by hand; what cannot be compared is unknown.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from toolkit.errors import CloudError, FileProblem
from toolkit.formats.template import template_data
from toolkit.operations import Job
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.ports import Ports
from toolkit.targets.stack import deployed, events
from toolkit.targets.stack.observe import stack_name
from toolkit.templates.assembly import plain_stack
from toolkit.templates.clean import cleaned
from toolkit.templates.model import SynthesizedStack
from toolkit.templates.refinement import Synthesis, not_synthesized


def live_synthesis(job: Job, ports: Ports, recorded: SynthesizedStack, body: str) -> Synthesis:
    """See targets/base.py: of one stack."""
    aws = ports.aws(job.location)
    try:
        stack = cfn.stack(aws, stack_name(job))
        if stack is None:
            return Synthesis(unknown="the stack is not live")
        if not events.is_at_rest(str(stack["StackStatus"])):
            return Synthesis(unknown=f"an operation is running: {stack['StackStatus']}")
        template = cfn.template(aws, str(stack["StackId"]))
    except CloudError as problem:
        return not_synthesized(problem)
    if not body:
        return Synthesis(unknown="the template of its last deploy is not recorded")
    is_same = deployed.template_digest(template) == deployed.template_digest(body)
    return compared_with_record(recorded, template, stack, is_same, _was_sent(recorded, body))


def _was_sent(recorded: SynthesizedStack, body: str) -> bool:
    """Whether the template that was sent is just the synthesized one: one that names the places of
    code is not.
    """
    with suppress(ValueError):
        return cleaned(template_data(body)).template == recorded.template
    return False


def compared_with_record(
    recorded: SynthesizedStack,
    template: Any,
    stack: Mapping[str, Any],
    is_same: bool,
    is_plain: bool,
) -> Synthesis:
    """The stack of the record, with what is live in place of what differs from it: `template` is
    what GetTemplate says, `stack` what DescribeStacks says. `is_same`: it is the template that was
    sent. `is_plain`: that was just the synthesized one. Pure.
    """
    if recorded.nested:
        return Synthesis(unknown="its nested stacks cannot be compared with what is live")
    values = {
        str(parameter["ParameterKey"]): str(parameter.get("ParameterValue", ""))
        for parameter in stack.get("Parameters") or ()
    }
    masked = [name for name in recorded.parameters if values.get(name) == deployed.MASKED]
    if masked:
        return Synthesis(unknown=f"the value of parameter {masked[0]} cannot be read back")
    tags = {str(tag["Key"]): str(tag["Value"]) for tag in stack.get("Tags") or ()}
    live = replace(
        recorded,
        # What the source does not set is somebody else's, and a deploy leaves it.
        parameters={name: values[name] for name in recorded.parameters if name in values},
        tags={name: tags[name] for name in recorded.tags if name in tags},
        protected=recorded.protected and bool(stack.get("EnableTerminationProtection")),
    )
    if is_same:
        return Synthesis((live,))
    if not is_plain:
        return Synthesis(
            unknown="its template was changed outside toolkit, and cannot be compared: it names the"
            " places of code, and not the code"
        )
    try:
        changed = plain_stack(live, deployed.template_text(template))
    except (FileProblem, ValueError) as problem:
        return Synthesis(unknown=f"what is live cannot be read as a template: {problem}")
    return Synthesis((replace(changed, assets=recorded.assets),))
