"""What a change set would do, in words, the most dangerous first. Values of properties are
compared, but never shown. Pure.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from toolkit.formats.documents import as_mapping
from toolkit.templates.access import broadening
from toolkit.templates.consequences import HOLDS_DATA, REVISIONS

WIDTH = 78
NOTES = 30
"""How much of it what there is to say beside a resource may take."""
NARROWEST = 60
"""How much of a line a step with a long name leaves."""

Properties = Callable[[str], tuple[Any, Any]]
"""Logical id -> its properties before and after; None where they are not known, an empty mapping
where it is not there.
"""


class ResourceVerb(StrEnum):
    """What happens to a resource, as a person reads it; what cannot be undone comes first."""

    DELETES = "deletes"
    REPLACES = "replaces"
    MAY_REPLACE = "may replace"
    LETS_GO = "lets go of"
    IMPORTS = "imports"
    RENEWS = "renews"
    CHANGES = "changes"
    ADDS = "adds"
    TAGS = "tags"


class ResourceChange(Struct, frozen=True):
    """What happens to one resource. `broadens` says why it lets somebody do more, empty if not."""

    name: str
    type: str
    does: ResourceVerb
    loses: bool = False
    broadens: str = ""
    properties: tuple[str, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether somebody has to agree because a resource may be replaced."""
        return self.does in (ResourceVerb.REPLACES, ResourceVerb.MAY_REPLACE)

    @property
    def is_new(self) -> bool:
        """Whether it was not there before."""
        return self.does == ResourceVerb.ADDS

    @property
    def deletes(self) -> bool:
        """Whether somebody has to agree because a resource is deleted."""
        return self.does == ResourceVerb.DELETES


_ORDER = tuple(ResourceVerb)
_ENDS = (ResourceVerb.DELETES, ResourceVerb.REPLACES, ResourceVerb.MAY_REPLACE)
"""After which a resource is gone, with what is in it."""
_KEEPS = ("Retain", "ReplaceAndRetain", "Snapshot", "ReplaceAndSnapshot")
"""The policies of CloudFormation by which what was in it is kept."""


def effects(
    changes: Iterable[Mapping[str, Any]], properties: Properties, within: str = ""
) -> list[ResourceChange]:
    """What the changes of one change set do, the most dangerous first. `within` is the path of
    nested stacks, ending in a slash.
    """
    listed = [
        _effect(change["ResourceChange"], properties, within)
        for change in changes
        if change.get("ResourceChange")
    ]
    return sorted(listed, key=rank)


def predict_effects(before: Any, after: Any) -> list[ResourceChange]:
    """What a deploy would do by the two templates alone, before there is a change set; `before` is
    empty for a new stack.

    What replaces a resource only CloudFormation knows: of what both have, no more is said than that
    it changes. Nothing for a template that cannot be read here.
    """
    if not isinstance(after, Mapping) or not isinstance(before, Mapping):
        return []
    old, new = _resources(before), _resources(after)
    entries: list[dict[str, Any]] = []
    for name in dict.fromkeys((*old, *new)):
        was, will = old.get(name), new.get(name)
        if was == will:
            continue
        entry: dict[str, Any] = {
            "LogicalResourceId": name,
            "ResourceType": str((will or was or {}).get("Type", "")),
        }
        if was is None:
            entry["Action"] = "Add"
        elif will is None:
            entry |= {"Action": "Remove", "PolicyAction": str(was.get("DeletionPolicy", "Delete"))}
        elif was.get("Type") != will.get("Type"):
            entry |= {"Action": "Modify", "Replacement": "True"}
        else:
            entry |= {
                "Action": "Modify",
                "Replacement": "False",
                "Details": _changed_properties(was, will),
            }
        entries.append({"ResourceChange": entry})

    def properties(template: Mapping[str, Any], logical: str) -> Any:
        entry = template.get(logical, {}).get("Properties")
        if isinstance(entry, Mapping):
            return entry
        return {}

    return effects(entries, lambda logical: (properties(old, logical), properties(new, logical)))


def _resources(template: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    resources = template.get("Resources")
    return {
        str(name): resource
        for name, resource in as_mapping(resources).items()
        if isinstance(resource, Mapping)
    }


def _changed_properties(was: Mapping[str, Any], will: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The properties that differ, as a change set tells of them."""
    before, after = was.get("Properties") or {}, will.get("Properties") or {}
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return []
    names = [
        name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)
    ]
    return [{"Target": {"Name": str(name)}} for name in names]


def rank(effect: ResourceChange) -> tuple[int, bool, bool, str]:
    """What comes first: what cannot be undone."""
    return (_ORDER.index(effect.does), not effect.loses, not effect.broadens, effect.name)


class Danger(Struct, frozen=True):
    """What a person has to agree to, as `delete Uploads`, and the option that agrees in advance."""

    stack: str
    what: str
    consent: str
    is_certain: bool = True

    @property
    def question(self) -> str:
        """For whoever can answer it."""
        maybe = ""
        if not self.is_certain:
            maybe = "maybe "
        return f"{self.stack}: {maybe}{self.what}?"

    @property
    def statement(self) -> str:
        """For whoever is only told of it."""
        verb = "will"
        if not self.is_certain:
            verb = "may"
        return f"{self.stack} {verb} {self.what}"


def effect_lines(effects: Iterable[ResourceChange], step: str = "") -> list[str]:
    """One line a resource, at most 78 columns wide with the name of its step before it, and a
    second one where its dangers do not fit beside it; those that only get other tags share one.
    """
    width = max(WIDTH - len(f"[{step}] "), NARROWEST) if step else WIDTH
    shown, tagged = [], 0
    for effect in sorted(effects, key=rank):
        if effect.does == ResourceVerb.TAGS:
            tagged += 1
        else:
            shown += _lines(effect, width)
    if tagged:
        noun = "resource" if tagged == 1 else "resources"
        shown.append(f"{ResourceVerb.TAGS:<12} {tagged} {noun} more")
    return shown


def dangers(stack: str, effects: Iterable[ResourceChange]) -> list[Danger]:
    """What a person has to agree to."""
    every = list(effects)
    needed = []
    deleted = [effect for effect in every if effect.deletes]
    replaced = [effect for effect in every if effect.replaces]
    widened = [effect for effect in every if effect.broadens and not effect.is_new]
    granted = [effect for effect in every if effect.broadens and effect.is_new]
    if deleted:
        needed.append(Danger(stack, f"delete {_named(deleted)}", "allow_delete"))
    if replaced:
        certain = any(effect.does == ResourceVerb.REPLACES for effect in replaced)
        needed.append(Danger(stack, f"replace {_named(replaced)}", "allow_replace", certain))
    broad = list[str]()
    if widened:
        broad.append(f"let {_named(widened)} allow more than before")
    if granted:
        reasons = ", ".join(dict.fromkeys(effect.broadens for effect in granted))
        broad.append(f"create {_named(granted)} ({reasons})")
    if broad:
        needed.append(Danger(stack, " and ".join(broad), "allow_broadening"))
    return needed


def _named(effects: list[ResourceChange]) -> str:
    names = ", ".join(effect.name for effect in effects[:3])
    more = ""
    if len(effects) > 3:
        more = f" and {len(effects) - 3} more"
    lost = any(effect.loses for effect in effects if effect.deletes or effect.replaces)
    return names + more + (", with the data in it" if lost else "")


def _lines(effect: ResourceChange, width: int) -> list[str]:
    dangers = []
    if effect.loses:
        dangers.append("LOSES ITS DATA")
    if effect.broadens:
        dangers.append(effect.broadens.upper())
    notes = "; ".join(dangers)
    if not dangers and effect.does not in (ResourceVerb.ADDS, ResourceVerb.DELETES):
        notes = _first_names(effect.properties, NOTES)
    verb = effect.does.upper() if effect.deletes or effect.replaces else effect.does
    below = list[str]()
    tail = ""
    if len(notes) > NOTES:
        below.append(f"{'':<12} {notes}")
    elif notes:
        tail = f"  {notes}"
    width -= 13 + len(tail)
    kind = _shortened(effect.type, max(width - 2 - min(len(effect.name), 24), 10))
    name = _shortened(effect.name, width - len(kind) - 2)
    return [f"{verb:<12} {name}  {kind}{tail}", *below]


def _first_names(names: Sequence[str], most: int) -> str:
    """As many names as fit into a width, and how many there are besides."""
    for number in range(len(names), 0, -1):
        text = ", ".join(names[:number])
        if number < len(names):
            text += f" and {len(names) - number} more"
        if len(text) <= most:
            return text
    return _shortened(", ".join(names), most)


def _shortened(text: str, most: int) -> str:
    """The text with its middle left out if it is too long."""
    if len(text) <= most:
        return text
    half = max(most - 1, 2) // 2
    return f"{text[: max(most - 1, 2) - half]}…{text[-half:]}"


def _effect(change: Mapping[str, Any], properties: Properties, within: str) -> ResourceChange:
    kind, logical = str(change.get("ResourceType", "")), str(change.get("LogicalResourceId", ""))
    scope = set(change.get("Scope") or ())
    touched = tuple(
        sorted(
            {
                str(detail["Target"]["Name"])
                for detail in change.get("Details") or ()
                if detail.get("Target", {}).get("Name")
            }
        )
    )
    does = _verb(change, kind, scope)
    policy = str(change.get("PolicyAction", ""))
    gone = does in _ENDS and policy not in _KEEPS
    before, after = _properties(change, properties, logical)
    if does in (ResourceVerb.DELETES, ResourceVerb.LETS_GO, ResourceVerb.TAGS):
        broadens = ""
    else:
        broadens = broadening(kind, touched, does == ResourceVerb.ADDS, before, after)
    return ResourceChange(
        within + logical, kind, does, gone and kind in HOLDS_DATA, broadens, touched
    )


def _verb(change: Mapping[str, Any], kind: str, scope: set[str]) -> ResourceVerb:
    action, replacement, policy = (
        change.get("Action"),
        change.get("Replacement"),
        str(change.get("PolicyAction", "")),
    )
    if action == "Add":
        return ResourceVerb.ADDS
    if action == "Import":
        return ResourceVerb.IMPORTS
    if action == "Remove":
        if policy == "Retain":
            return ResourceVerb.LETS_GO
        if kind in REVISIONS:
            return ResourceVerb.RENEWS
        return ResourceVerb.DELETES
    if replacement in ("True", "Conditional") or policy.startswith("Replace"):
        if kind in REVISIONS:
            return ResourceVerb.RENEWS
        if replacement == "Conditional":
            return ResourceVerb.MAY_REPLACE
        return ResourceVerb.REPLACES
    if scope == {"Tags"}:
        return ResourceVerb.TAGS
    return ResourceVerb.CHANGES


def _properties(change: Mapping[str, Any], properties: Properties, logical: str) -> tuple[Any, Any]:
    """The properties before and after: what CloudFormation resolved, else what the templates
    say.
    """
    before, after = properties(logical)
    if change.get("Action") == "Add":
        before = {}
    resolved_before = _context_properties(change.get("BeforeContext"))
    resolved_after = _context_properties(change.get("AfterContext"))
    if resolved_before is not None:
        before = resolved_before
    if resolved_after is not None:
        after = resolved_after
    return before, after


def _context_properties(text: Any) -> Any:
    try:
        properties = json.loads(text).get("Properties")
    except (TypeError, ValueError, AttributeError):
        return None
    if isinstance(properties, dict):
        return properties
    return None
