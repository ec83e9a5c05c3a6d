"""Whether a deploy would change anything: what a template says beside what the stack has. Reads
only.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.formats.documents import as_mapping
from toolkit.formats.template import read_template
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.names import partition, suffix
from toolkit.targets.stack import changes, images, live_functions, live_images, sources
from toolkit.targets.stack import template as templates
from toolkit.targets.stack.stack_status import WHOLE, Stack


def summary(aws: Aws, source: sources.ChangeSetSource, uploaded: bool) -> dict[str, Any]:
    """What CloudFormation makes of the template. While it is too long and not in S3: what can be
    read here.
    """
    local = _local_summary(source)
    if source.stored is not None and not uploaded:
        return local
    reply = {"Parameters": [], **cfn.summary(aws, **source.template_argument)}
    return {
        **reply,
        "Parameters": _with_own_defaults(reply["Parameters"] or (), local.get("Parameters") or ()),
    }


def _with_own_defaults(
    listed: Iterable[Mapping[str, Any]], declared: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The parameters of a summary: one that has no default in the template has none, also where a
    summary says that it is empty.
    """
    required = {
        parameter["ParameterKey"] for parameter in declared if "DefaultValue" not in parameter
    }
    return [
        {
            key: value
            for key, value in parameter.items()
            if key != "DefaultValue" or parameter["ParameterKey"] not in required
        }
        for parameter in listed
    ]


def _local_summary(source: sources.ChangeSetSource) -> dict[str, Any]:
    try:
        return templates.summarize(read_template(source.text).data)
    except ValueError:
        return {}


def may_change_meaning(source: sources.ChangeSetSource, summary: Mapping[str, Any]) -> bool:
    """Whether what is the same can mean something else today."""
    return templates.may_change_meaning(source.text, summary, source.parameters)


def capabilities(summary: Mapping[str, Any]) -> list[str]:
    """What CloudFormation says that the template needs. It does not look into nested stacks: those
    may need all of them.
    """
    needed = set(summary.get("Capabilities") or ())
    if summary.get("DeclaredTransforms"):  # macros need it, also where a summary does not say so
        needed.add("CAPABILITY_AUTO_EXPAND")
    if "AWS::CloudFormation::Stack" in (summary.get("ResourceTypes") or ()):
        needed |= {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"}
    return sorted(needed)


def parameters(
    source: sources.ChangeSetSource, summary: Mapping[str, Any], stack: Stack | None
) -> list[dict[str, Any]]:
    """The parameters of a change set; `stack` is None for a new one. Raises Refused for secrets and
    for what does not fit.
    """
    declared = summary.get("Parameters") or ()
    templates.refuse_secrets(source.parameters, declared)
    if not summary:
        return [
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in source.parameters.items()
        ]
    if stack is None:
        return templates.parameters(source.parameters, declared, None)
    return templates.parameters(source.parameters, declared, stack.get("Parameters") or ())


def is_same(
    source: sources.ChangeSetSource, body: Any, stack: Stack, summary: Mapping[str, Any]
) -> bool:
    """Whether a deploy would send what the stack already has (`body` is its template), and the
    stack is whole.
    """
    if stack["StackStatus"] not in WHOLE or not summary:
        return False
    return templates.is_unchanged(source.text, body, source.parameters, summary, stack, source.tags)


def older_images(
    aws: Aws, source: sources.ChangeSetSource, stack: Stack, touched: set[str] | None
) -> live_images.OlderImages:
    """The older images that the template would put back; none for YAML."""
    if source.template is None:
        return live_images.OlderImages()
    meanings = {**_reference_values(source, stack), **running_images(aws, source, stack)}
    return live_images.older_images(aws, str(stack["StackId"]), source.template, meanings, touched)


def replaced_code_warnings(
    aws: Aws, source: sources.ChangeSetSource, stack: Stack, touched: set[str] | None
) -> list[str]:
    """One line for each function whose code, which deploy-function has put live, would change."""
    before = _values(stack)
    values = (before, {**before, **source.parameters})
    return live_functions.warnings(aws, str(stack["StackId"]), source.text, values, touched)


def running_images(aws: Aws, source: sources.ChangeSetSource, stack: Stack) -> dict[str, str]:
    """Parameter -> value, for those that rules.toml leaves open and that name an image which
    deploy-app has put live; none for YAML.
    """
    if source.template is None:
        return {}
    declared = source.template.get("Parameters")
    free = as_mapping(declared).keys() - source.parameters.keys()
    return live_images.parameters(
        aws, str(stack["StackId"]), source.template, _reference_values(source, stack), free
    )


def _reference_values(source: sources.ChangeSetSource, stack: Stack) -> dict[str, str]:
    """What names of the template mean: as given, else as the stack has them, else by default."""
    defaults = images.defaults(source.template or {})
    values = {**defaults, **_values(stack), **source.parameters}
    return images.reference_values(
        source.account,
        source.region,
        partition(source.region),
        suffix(source.region),
        source.name,
        values,
    )


def _values(stack: Stack) -> dict[str, str]:
    """Parameter -> the value that the stack has."""
    return {
        str(parameter["ParameterKey"]): str(parameter.get("ParameterValue", ""))
        for parameter in stack.get("Parameters") or ()
    }


def known_properties(before: Any, after: Any) -> changes.Properties:
    """The properties of resources by the two templates, where they can be read."""

    def properties(template: Any, logical: str) -> Any:
        if not isinstance(template, Mapping):
            return None
        return (template.get("Resources") or {}).get(logical, {}).get("Properties") or {}

    return lambda logical: (properties(before, logical), properties(after, logical))
