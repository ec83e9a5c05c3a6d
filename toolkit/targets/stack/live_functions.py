"""Whether a stack's template would replace the code of a function that deploy-function has put
live.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Struct

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
_SAM = "AWS::Serverless::Function"
_ALIAS, _OF_ITS_OWN = "AWS::Lambda::Alias", "AutoPublishAlias"
_UNKNOWN = "cannot tell whether this replaces code that deploy-function deployed"
_SUBSTITUTED = re.compile(r"\$\{([A-Za-z0-9]+)")
_HIDDEN = "****"
"""How CloudFormation answers for the value of a parameter with NoEcho."""
_SECTIONS = ("Conditions", "Mappings")

Values = Mapping[str, str]
"""Parameter -> value."""
Sureness = dict[str, bool]
"""What changes, by its name in the template -> whether that is sure."""


class _Template(Struct, frozen=True):
    """A template with the values of its parameters."""

    body: Mapping[str, Any]
    values: Values

    def resource(self, name: str) -> Mapping[str, Any]:
        """A resource; empty if there is none of that name."""
        return as_mapping(as_mapping(self.body.get("Resources")).get(name))

    def properties(self, name: str) -> Mapping[str, Any]:
        """Its properties, with those that SAM's `Globals` give it."""
        resource = self.resource(name)
        own = as_mapping(resource.get("Properties"))
        if resource.get("Type") != _SAM:
            return own
        return {**as_mapping(as_mapping(self.body.get("Globals")).get("Function")), **own}

    def code(self, name: str) -> list[Any]:
        """What it says of a function's code."""
        keys = _CODE.get(str(self.resource(name).get("Type")), ())
        return [self.properties(name).get(key) for key in keys]

    def meaning(self, value: Any, resources: bool) -> tuple[Any, dict[str, Any]]:
        """A value with what it refers to, to be compared; with `resources`, also with those. What
        only CloudFormation can tell equals nothing.
        """
        sections = [as_mapping(self.body.get(section)) for section in _SECTIONS]
        if resources:
            sections.append(as_mapping(self.body.get("Resources")))
        known: dict[str, Any] = {}
        waiting = [value]
        while waiting:
            for text in _texts(waiting.pop()):
                if "{{resolve:" in text:
                    known[text] = object()
                for name in {text, text.partition(".")[0], *_SUBSTITUTED.findall(text)}:
                    if name in known:
                        continue
                    if name in as_mapping(self.body.get("Parameters")):
                        known[name] = self._value(name)
                        continue
                    bodies = [section[name] for section in sections if name in section]
                    if bodies:
                        known[name] = bodies
                        waiting += bodies
        return value, known

    def _value(self, parameter: str) -> object:
        """The value of a parameter, which equals nothing where it is not known: it is hidden, or
        names a parameter of SSM, which may have another value today.
        """
        declared = as_mapping(as_mapping(self.body.get("Parameters")).get(parameter))
        value = self.values.get(parameter, declared.get("Default"))
        if value is None or value == _HIDDEN or "AWS::SSM::" in str(declared.get("Type")):
            return object()
        return str(value)


def warnings(
    aws: Aws,
    stack_id: str,
    text: str,
    values: tuple[Values, Values],
    touched: Collection[str] | None,
) -> list[str]:
    """One line for each alias of a function whose code would change, or may. `values` are those of
    the parameters as the stack has them, and as it would have them. `touched` are the resources
    that the change set touches, None if there is none yet.

    A look that fails is a line of its own: it must not stop a deploy, nor pass for an all-clear.
    """
    try:
        after = _Template(read_template(text).data, values[1])
        names = as_mapping(after.body.get("Resources")).keys()
        if any(name.startswith("Fn::") for name in names) and any(each in text for each in _CODE):
            return [f"{_UNKNOWN}: only CloudFormation can tell the resources of its loops"]
        if not any(after.resource(name).get("Type") in _CODE for name in names):
            return []
        body = cfn.template(aws, stack_id)
        before = _Template(read_template(body).data if isinstance(body, str) else body, values[0])
        changed = _changed(before, after)
        moved = _moved_aliases(before, after, changed)
        if touched is not None:
            changed = _only(changed, touched)
            moved = {name: _only(aliases, touched) for name, aliases in moved.items()}
        return _lines(
            aws, stack_id, changed, {name: any(m.values()) for name, m in moved.items() if m}
        )
    except CloudError as problem:
        return [f"{_UNKNOWN}: {problem}"]
    except ValueError as problem:
        return [f"{_UNKNOWN}: the template cannot be read: {problem}"]


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of a template."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _only(names: Sureness, touched: Collection[str]) -> Sureness:
    return {name: sure for name, sure in names.items() if name in touched}


def _changed(before: _Template, after: _Template) -> dict[str, bool]:
    """The functions whose code is another one, as far as the templates tell."""
    changed: dict[str, bool] = {}
    for name in as_mapping(after.body.get("Resources")):
        old, new = before.code(name), after.code(name)
        if after.resource(name).get("Type") not in _CODE:
            continue
        if old != new:
            changed[name] = True
        elif before.meaning(old, resources=True) != after.meaning(new, resources=True):
            changed[name] = False
    return changed


def _moved_aliases(
    before: _Template, after: _Template, changed: Sureness
) -> dict[str, dict[str, bool]]:
    """Function -> the resources by which its aliases are moved, by their names in the template."""
    moved: dict[str, dict[str, bool]] = {}
    for name in as_mapping(after.body.get("Resources")):
        old, new = before.properties(name), after.properties(name)
        if after.resource(name).get("Type") != _ALIAS:
            if name in changed and _OF_ITS_OWN in new:
                moved.setdefault(name, {})[name] = changed[name]
        elif before.meaning(old, resources=False) != after.meaning(new, resources=False):
            for function in images.refers_to(new.get("FunctionName")):
                moved.setdefault(function, {})[name] = old != new
    return moved


def _lines(aws: Aws, stack_id: str, changed: Sureness, moved: Sureness) -> list[str]:
    """What to say of the functions that the stack has already."""
    names = changed.keys() | moved.keys()
    existing = cfn.resources(aws, stack_id) if names else {}
    lines: list[str] = []
    for name in sorted(names):
        function = str(existing.get(name, {}).get("PhysicalResourceId") or "")
        if function:
            lines += _alias_lines(aws, function, moved.get(name), changed.get(name))
    return lines


def _alias_lines(
    aws: Aws, function: str, moves: bool | None, changes: bool | None
) -> Iterator[str]:
    """What to say of each alias that deploy-function has moved. `moves` and `changes`: whether that
    is sure; None where it is not so.
    """
    for alias in functions.aliases(aws, function):
        if not alias_marks(alias):
            continue
        what = f"version {alias.version}{_commit(alias)}, which deploy-function deployed"
        verb = "would" if moves or (moves is None and changes) else "may"
        if moves is not None:
            yield f"{function}: this {verb} move alias {alias.name} away from {what}"
        else:
            yield f"{function}: this {verb} change its code; alias {alias.name} stays on {what}"


def _commit(alias: Alias) -> str:
    commit = marks.commit_of(alias_marks(alias).get(marks.VERSION, ""))
    return f" (commit {commit[:12]})" if commit else ""
