"""Where nothing differs but the code of functions and the images of containers."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.formats.documents import as_mapping
from toolkit.formats.template import texts
from toolkit.templates.clean import NESTED, canonical
from toolkit.templates.differences import local_id, scope_of
from toolkit.templates.model import (
    Change,
    CodeDifference,
    Part,
    PartDifference,
    ResourceDifference,
    SynthesizedStack,
)
from toolkit.templates.references import renamed
from toolkit.templates.values import same

CODE = {
    "AWS::Lambda::Function": ("Code",),
    "AWS::Serverless::Function": ("CodeUri", "ImageUri", "InlineCode"),
}
"""The properties that say which code a function has."""
VERSION = "AWS::Lambda::Version"
DEFINITION = "AWS::ECS::TaskDefinition"
_HASH = re.compile(r"[0-9a-f]{64}")
_LEGACY = re.compile(r"[0-9a-f]{64}(?:(S3Bucket|S3VersionKey|ArtifactHash)[0-9A-F]{8})?")


def code_differences(
    old: SynthesizedStack,
    new: SynthesizedStack,
    resources: Sequence[ResourceDifference],
    parts: Sequence[PartDifference],
) -> tuple[tuple[CodeDifference, ...], bool]:
    """Whose code differs, and whether nothing else does, but what follows from it: new versions of
    the functions, and what refers to them.
    """
    versions: dict[str, dict[str, str]] = defaultdict(dict)
    for difference in resources:
        if _is_version(difference):
            scope = versions[scope_of(difference.logical_id)]
            scope[local_id(difference.previous_id)] = local_id(difference.logical_id)
    own = [
        _OwnCode(difference, versions[scope_of(difference.logical_id)])
        for difference in resources
        if not _is_version(difference)
    ]
    hashes = {match for code in own for match in code.hashes()}
    local = _local_code(old, new, parts)
    code = (*(differs for each in own for differs in each.differences()), *local.values())
    only = bool(code) and all(each.is_all(hashes) for each in own)
    for part in parts:
        mentioned = set(_HASH.findall(part.name))
        by_code = part.part in (Part.ASSET, Part.PARAMETER) and mentioned and mentioned <= hashes
        only = only and (bool(by_code) or part.name in local)
    return tuple(dict.fromkeys(code)), only


def _is_version(difference: ResourceDifference) -> bool:
    return difference.change is Change.RENAMED and difference.type == VERSION


class _OwnCode:
    """The code of a resource that differs, and what else differs there."""

    def __init__(self, difference: ResourceDifference, versions: Mapping[str, str]) -> None:
        self._difference = difference
        self._before, self._was = _without_code(renamed(difference.old, versions))
        self._after, self._now = _without_code(difference.new)
        is_changed = difference.change is Change.CHANGED
        self._comparable = is_changed and self._was.keys() == self._now.keys()

    def _changed(self) -> list[str]:
        if not self._comparable:
            return []
        return [name for name in self._was if not same(self._was[name], self._now[name])]

    def differences(self) -> list[CodeDifference]:
        """Each function or container with other code."""
        own = self._difference
        return [
            CodeDifference(own.logical_id, own.type, name, own.label) for name in self._changed()
        ]

    def hashes(self) -> set[str]:
        """The hashes of assets in the code that differs."""
        codes = [(self._was[name], self._now[name]) for name in self._changed()]
        return {match for text in texts(codes) for match in _HASH.findall(text)}

    def is_all(self, hashes: set[str]) -> bool:
        """Whether nothing else differs, but the names of the CDK's old parameters for assets, which
        it hands on to nested stacks.
        """
        if not self._comparable:
            return False
        if same(self._before, self._after):
            return True
        is_nested = self._difference.type == NESTED
        return is_nested and bool(hashes) and _plain(self._before) == _plain(self._after)


def _plain(resource: Mapping[str, Any]) -> str:
    """A nested stack without the hashes of assets in the names of its parameters."""
    return _LEGACY.sub(lambda match: f"code{match[1] or ''}", canonical(resource))


def _without_code(resource: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """A resource without its code, and the code: by container, that of a function by "". None of it
    for a resource that has no code.
    """
    properties = as_mapping(resource.get("Properties"))
    kind = str(resource.get("Type"))
    if kind in CODE:
        code = {key: properties[key] for key in CODE[kind] if key in properties}
        kept = {key: value for key, value in properties.items() if key not in code}
        return {**resource, "Properties": kept}, {"": code}
    containers = properties.get("ContainerDefinitions")
    if kind != DEFINITION or not isinstance(containers, list):
        return resource, {}
    images: dict[str, Any] = {}
    others: list[Any] = []
    for container in containers:
        if not isinstance(container, Mapping) or not isinstance(container.get("Name"), str):
            return resource, {}
        images[container["Name"]] = container.get("Image")
        others.append({key: value for key, value in container.items() if key != "Image"})
    return {**resource, "Properties": {**properties, "ContainerDefinitions": others}}, images


def _local_code(
    old: SynthesizedStack, new: SynthesizedStack, parts: Sequence[PartDifference]
) -> dict[str, CodeDifference]:
    """Place of local code that differs -> the function that it belongs to."""
    places = {asset.name for asset in (*old.assets, *new.assets) if "for" in asset.options}
    code = {}
    for part in parts:
        name, _, attribute = part.name.rpartition(".")
        if part.part is not Part.ASSET or part.name not in places:
            continue
        if part.change is not Change.CHANGED:
            continue
        resource = as_mapping(as_mapping(new.template.get("Resources")).get(name))
        kind = str(resource.get("Type"))
        if attribute in CODE.get(kind, ()):
            code[part.name] = CodeDifference(name, kind, "", new.labels.get(name, ""))
    return code
