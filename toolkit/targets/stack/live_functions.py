"""Whether a stack's template would replace the code of a function that deploy-function has put
live.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from toolkit.errors import CloudError
from toolkit.formats.documents import as_mapping
from toolkit.formats.template import read_template
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws import functions
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import Alias
from toolkit.targets.function import marks
from toolkit.targets.function.state import alias_marks
from toolkit.targets.stack import images

_CODE = {
    "AWS::Lambda::Function": ("Code",),
    "AWS::Serverless::Function": ("CodeUri", "ImageUri", "InlineCode"),
}
"""The properties that say which code a function has."""
_ALIAS, _OF_ITS_OWN = "AWS::Lambda::Alias", "AutoPublishAlias"

Resources = Mapping[str, Mapping[str, Any]]


def warnings(aws: Aws, stack_id: str, text: str, touched: Collection[str] | None) -> list[str]:
    """One line for each alias of a function whose code would change. `touched` are the resources
    that the change set touches, None if there is none yet.

    A look that fails is a line of its own: it must not stop a deploy, nor pass for an all-clear.
    """
    after = _resources(text)
    if not any(resource.get("Type") in _CODE for resource in after.values()):
        return []
    try:
        before = _resources(cfn.template(aws, stack_id))
        changed = {name for name in _functions(after) if _code(before, name) != _code(after, name)}
        moved = _moved_aliases(before, after, changed)
        if touched is not None:
            changed &= set(touched)
            moved = {name: aliases for name, aliases in moved.items() if aliases & set(touched)}
        names = changed | moved.keys()
        if not names:
            return []
        existing = cfn.resources(aws, stack_id)
        lines: list[str] = []
        for name in sorted(names):
            function = str(existing.get(name, {}).get("PhysicalResourceId") or "")
            if function:
                lines += _lines(aws, function, name in moved)
        return lines
    except CloudError as problem:
        return [f"cannot tell whether this replaces code that deploy-function deployed: {problem}"]


def _resources(template: Any) -> dict[str, Mapping[str, Any]]:
    """The resources of a template, which is a mapping, or the text of one."""
    if isinstance(template, str):
        try:
            template = read_template(template).data
        except ValueError:
            return {}
    resources = as_mapping(as_mapping(template).get("Resources"))
    return {name: as_mapping(resource) for name, resource in resources.items()}


def _functions(resources: Resources) -> Iterator[str]:
    for name, resource in resources.items():
        if resource.get("Type") in _CODE:
            yield name


def _properties(resources: Resources, name: str) -> Mapping[str, Any]:
    return as_mapping(resources.get(name, {}).get("Properties"))


def _code(resources: Resources, name: str) -> list[Any]:
    """What a template says of a function's code."""
    keys = _CODE.get(str(resources.get(name, {}).get("Type")), ())
    return [_properties(resources, name).get(key) for key in keys]


def _moved_aliases(before: Resources, after: Resources, changed: set[str]) -> dict[str, set[str]]:
    """Function -> the resources by which its aliases are moved, by their names in the template."""
    moved: dict[str, set[str]] = {}
    for name, resource in after.items():
        properties = _properties(after, name)
        if resource.get("Type") == _ALIAS and properties != _properties(before, name):
            for function in images.refers_to(properties.get("FunctionName")):
                moved.setdefault(function, set()).add(name)
        elif name in changed and _OF_ITS_OWN in properties:
            moved.setdefault(name, set()).add(name)
    return moved


def _lines(aws: Aws, function: str, moves: bool) -> Iterator[str]:
    """What to say of each alias that deploy-function has moved."""
    for alias in functions.aliases(aws, function):
        if not alias_marks(alias):
            continue
        what = f"version {alias.version}{_commit(alias)}, which deploy-function deployed"
        if moves:
            yield f"{function}: this would move alias {alias.name} away from {what}"
        else:
            yield f"{function}: this would change its code; alias {alias.name} stays on {what}"


def _commit(alias: Alias) -> str:
    commit = marks.commit_of(alias_marks(alias).get(marks.VERSION, ""))
    return f" (commit {commit[:12]})" if commit else ""
