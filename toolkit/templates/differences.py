"""The resources and other parts of a stack that differ, and resources that were only renamed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, structs

from toolkit.formats.documents import as_mapping
from toolkit.templates.clean import canonical, canonical_digest
from toolkit.templates.model import (
    Asset,
    Change,
    Part,
    PartDifference,
    ResourceDifference,
    SynthesizedStack,
    ValueDifference,
)
from toolkit.templates.references import renamed, replaced
from toolkit.templates.values import NOTHING, is_secret, same, value_differences

MOST_RENAMES = 1000
"""The most resources whose new names are looked for: CloudFormation has at most 500 in a stack."""
LONGEST_CHAIN = 10
"""The most renamed resources that refer to each other in a row."""

_SECTIONS = {
    "Outputs": Part.OUTPUT,
    "Parameters": Part.PARAMETER,
    "Conditions": Part.CONDITION,
    "Mappings": Part.MAPPING,
    "Rules": Part.RULE,
}
_WHOLE = {
    "Description": Part.DESCRIPTION,
    "Metadata": Part.METADATA,
    "Transform": Part.TRANSFORM,
}


_BARE: Mapping[str, Any] = {"Properties": {}}


class _Resource(Struct, frozen=True):
    """A resource, wherever it is nested: its content, and what it is compared by."""

    content: Mapping[str, Any]
    key: str

    @property
    def type(self) -> str:
        return str(self.content.get("Type", ""))


def _resources(stack: SynthesizedStack) -> dict[str, _Resource]:
    """All resources of a stack, by their logical ids with those of the nested stacks around
    them.
    """
    resources = {}
    for prefix, template in templates_of(stack):
        for name, resource in as_mapping(template.get("Resources")).items():
            content = as_mapping(resource) or {"Type": "", "?": resource}
            resources[f"{prefix}{name}"] = _Resource(content, canonical(content))
    return resources


def templates_of(stack: SynthesizedStack) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The template of a stack and those nested in it, with what the names in each begin with."""
    yield "", stack.template
    for place, template in stack.nested.items():
        yield f"{place}/", template


def comparable(old: SynthesizedStack, new: SynthesizedStack) -> SynthesizedStack:
    """The older stack without the digests of those nested stacks that the newer one has, too: what
    is in them is compared by itself.
    """
    both = old.nested.keys() & new.nested.keys()
    digests = {canonical_digest(old.nested[place]) for place in both}
    if not digests:
        return old
    pattern = re.compile("|".join(digests))

    def named(text: str) -> str:
        return pattern.sub("nested", text)

    nested = {place: replaced(template, named) for place, template in old.nested.items()}
    return structs.replace(old, template=replaced(old.template, named), nested=nested)


def resource_differences(
    old: SynthesizedStack, new: SynthesizedStack
) -> tuple[ResourceDifference, ...]:
    """The resources that differ, also those of nested stacks; the removed ones at the end."""
    olds, news = _resources(old), _resources(new)
    gone = {name: resource for name, resource in olds.items() if name not in news}
    fresh = {name: resource for name, resource in news.items() if name not in olds}
    renames = _renames(gone, fresh, {**old.labels, **new.labels})
    previous = {after: before for before, after in renames.items()}
    differences = []
    for name, after in news.items():
        before = olds.get(previous.get(name, name))
        if before is not None and name in olds and before.key == after.key:
            continue
        differences.append(_difference(name, previous.get(name, ""), before, after, new.labels))
    differences += [
        _difference(name, "", before, None, old.labels)
        for name, before in gone.items()
        if name not in renames
    ]
    return tuple(differences)


def _difference(
    name: str,
    previous_id: str,
    before: _Resource | None,
    after: _Resource | None,
    labels: Mapping[str, str],
) -> ResourceDifference:
    """The difference of one resource; None where there is none."""
    old = before.content if before else {}
    new = after.content if after else {}
    previous_type = ""
    values: tuple[ValueDifference, ...] = ()
    change = Change.REMOVED if after is None else Change.ADDED
    if previous_id:
        change = Change.RENAMED
    elif before and after:
        change = Change.CHANGED
        values = value_differences({**_BARE, **old}, {**_BARE, **new})
        previous_type = before.type if before.type != after.type else ""
    return ResourceDifference(
        logical_id=name,
        type=str((new or old).get("Type", "")),
        change=change,
        values=values,
        previous_id=previous_id,
        previous_type=previous_type,
        label=labels.get(name, ""),
        old=old,
        new=new,
    )


def _renames(
    gone: Mapping[str, _Resource], fresh: Mapping[str, _Resource], labels: Mapping[str, str]
) -> dict[str, str]:
    """Older logical id -> newer one, of the same resources: same type, same content, as far as
    what they refer to is the same under another name.
    """
    renames: dict[str, str] = {}
    if max(len(gone), len(fresh)) > MOST_RENAMES:
        return renames
    for _ in range(LONGEST_CHAIN):
        waiting: dict[tuple[str, str], list[str]] = defaultdict(list)
        used = set(renames.values())
        for name, resource in fresh.items():
            if name not in used:
                waiting[scope_of(name), resource.key].append(name)
        names: dict[str, dict[str, str]] = defaultdict(dict)
        for before, after in renames.items():
            names[scope_of(before)][local_id(before)] = local_id(after)
        more = {}
        for name in sorted(gone.keys() - renames.keys()):
            scope = scope_of(name)
            key = gone[name].key
            if names[scope]:
                key = canonical(renamed(gone[name].content, names[scope]))
            candidates = waiting.get((scope, key))
            if candidates:
                # of several, the one that is made by the same construct
                candidates.sort(key=lambda other: labels.get(other) != labels.get(name, ""))
                more[name] = candidates.pop(0)
        if not more:
            break
        renames |= more
    return renames


def scope_of(name: str) -> str:
    """The nested stacks around a resource."""
    return name.rpartition("/")[0]


def local_id(name: str) -> str:
    return name.rpartition("/")[2]


def part_differences(old: SynthesizedStack, new: SynthesizedStack) -> tuple[PartDifference, ...]:
    differences: list[PartDifference] = []
    olds, news = dict(templates_of(old)), dict(templates_of(new))
    for prefix in dict.fromkeys((*olds, *news)):
        if prefix in olds and prefix in news:  # what a nested stack has in full is in its resources
            differences += _sections(prefix, olds[prefix], news[prefix])
    tables: tuple[tuple[Part, Mapping[str, Any], Mapping[str, Any]], ...] = (
        (Part.VALUE, old.parameters, new.parameters),
        (Part.TAG, old.tags, new.tags),
        (Part.ASSET, _assets(old.assets), _assets(new.assets)),
    )
    secret = _secret_parameters(old.template) | _secret_parameters(new.template)
    for part, before, after in tables:
        hidden = secret if part is Part.VALUE else frozenset[str]()
        differences += _entries(part, "", before, after, hidden)
    single: tuple[tuple[Part, Any, Any], ...] = (
        (Part.PROTECTION, old.protected, new.protected),
        (Part.ROLE, old.role, new.role),
        (Part.NOTIFICATIONS, list(old.notifications), list(new.notifications)),
    )
    for part, was, now in single:
        if was != now:
            values = value_differences(was or NOTHING, now or NOTHING)
            differences.append(PartDifference(part, "", Change.CHANGED, values))
    return tuple(differences)


def _sections(
    prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[PartDifference]:
    secret = _secret_parameters(old) | _secret_parameters(new)
    for section in dict.fromkeys((*old, *new)):
        if section == "Resources":
            continue
        before, after = old.get(section, NOTHING), new.get(section, NOTHING)
        tables = all(side is NOTHING or isinstance(side, Mapping) for side in (before, after))
        if section in _SECTIONS and tables:
            hidden = secret if section == "Parameters" else frozenset[str]()
            part = _SECTIONS[section]
            yield from _entries(part, prefix, as_mapping(before), as_mapping(after), hidden)
        else:
            part = _WHOLE.get(section, _SECTIONS.get(section, Part.OTHER))
            name = f"{prefix}{section}" if part is Part.OTHER else prefix.rstrip("/")
            yield from _entries(part, "", {name: before}, {name: after})


def _entries(
    part: Part,
    prefix: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    hidden: frozenset[str] = frozenset(),
) -> Iterator[PartDifference]:
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name, NOTHING), new.get(name, NOTHING)
        if same(before, after):
            continue
        change = Change.CHANGED
        if before is NOTHING or after is NOTHING:
            change = Change.ADDED if before is NOTHING else Change.REMOVED
        values = value_differences(before, after, (), name in hidden or is_secret(name))
        yield PartDifference(part, f"{prefix}{name}", change, values)


def _assets(assets: Iterable[Asset]) -> dict[str, Any]:
    """The assets by what identifies them: content, and place where that decides."""
    return {
        asset.name if "for" in asset.options else asset.content: [
            asset.kind.value,
            asset.content,
            dict(asset.options),
        ]
        for asset in assets
    }


def _secret_parameters(template: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        name
        for name, parameter in as_mapping(template.get("Parameters")).items()
        if str(as_mapping(parameter).get("NoEcho")).lower() == "true"
    )
