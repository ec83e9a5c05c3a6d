"""What a stack has by what CloudFormation says, in the form of the templates room. It says so of a
template that somebody has changed by hand; what cannot be compared is unknown.
"""

from collections.abc import Mapping
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
    """See targets/base.py."""
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
    return compared_with_record(recorded, body, template, stack)


def compared_with_record(
    recorded: SynthesizedStack, body: str, template: Any, stack: Mapping[str, Any]
) -> Synthesis:
    """The stack of the record, with what is live in place of what differs from it. `body` is the
    template as it was recorded, `template` what GetTemplate says now, `stack` what DescribeStacks
    says. Pure.
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
    if not body:
        return Synthesis(unknown="the template of its last deploy is not recorded")
    if deployed.template_digest(template) == deployed.template_digest(body):
        return Synthesis((live,))
    try:
        as_sent = cleaned(template_data(body)).template
        if as_sent != recorded.template:
            return Synthesis(
                unknown="its template was changed outside toolkit, and cannot be compared: it names"
                " the places of code, and not the code"
            )
        changed = plain_stack(live, deployed.template_text(template))
    except (FileProblem, ValueError) as problem:
        return Synthesis(unknown=f"what is live cannot be read as a template: {problem}")
    return Synthesis((replace(changed, assets=recorded.assets),))
