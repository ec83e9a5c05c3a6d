"""What of a stack is compared, and its digest.

What the CDK writes for itself is left out: the paths of constructs and assets, its analytics, the
check of its bootstrap. All else stays, also what only looks as if it decided nothing: metadata of
people (cfn-init reads it), descriptions, tags. A difference there is deployed.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolkit.formats.documents import as_mapping
from toolkit.formats.template import texts
from toolkit.templates.model import SynthesizedStack

METADATA, AVAILABLE = "CDKMetadata", "CDKMetadataAvailable"
VERSION, CHECK = "BootstrapVersion", "CheckBootstrapVersion"
NESTED = "AWS::CloudFormation::Stack"

CONSTRUCT = "aws:cdk:path"
_NOTES = re.compile(r"aws:cdk:path|aws:asset:.*")
"""The keys of a resource's metadata by which the CDK finds its own way back."""
_SKIPPED = "[cdk:skip]"
"""The CDK's own mark of a parameter that decides nothing."""
_INNER = re.compile(r"^(?P<path>.+?)/(?:Resource|Default)$")


class CleanTemplate(Struct, frozen=True):
    """A template without what is not deployed; `undeployed` and `labels` as of a stack."""

    template: dict[str, Any]
    undeployed: dict[str, str]
    labels: dict[str, str]


def cleaned(template: Mapping[str, Any]) -> CleanTemplate:
    """A template without what the CDK writes for itself. Of one that the CDK did not make, nothing
    is left out.
    """
    data = dict(template)
    undeployed: dict[str, str] = {}
    labels: dict[str, str] = {}
    if isinstance(template.get("Resources"), Mapping):
        resources = {}
        for name, resource in template["Resources"].items():
            if name == METADATA and as_mapping(resource).get("Type") == "AWS::CDK::Metadata":
                undeployed[METADATA] = canonical_digest(resource)
                continue
            label = as_mapping(as_mapping(resource).get("Metadata")).get(CONSTRUCT)
            if isinstance(label, str):
                labels[name] = _label(label)
            resources[name] = _without_notes(resource)
        data["Resources"] = resources
    if METADATA in undeployed and not _mentions(data, AVAILABLE, ("Conditions", AVAILABLE)):
        _drop(data, "Conditions", AVAILABLE)
    _drop_bootstrap_check(data, undeployed)
    return CleanTemplate(data, undeployed, labels)


def _label(path: str) -> str:
    """The path of a construct without the name of its one resource."""
    match = _INNER.match(path)
    return match["path"] if match else path


def _without_notes(resource: Any) -> Any:
    if not isinstance(resource, Mapping) or not isinstance(resource.get("Metadata"), Mapping):
        return resource
    kept = {key: value for key, value in resource["Metadata"].items() if not _NOTES.fullmatch(key)}
    if len(kept) == len(resource["Metadata"]):
        return resource
    clean = {key: value for key, value in resource.items() if key != "Metadata"}
    return {**clean, "Metadata": kept} if kept else clean


def _drop_bootstrap_check(data: dict[str, Any], undeployed: dict[str, str]) -> None:
    """Leave out the parameter of the bootstrap's version with its rule, unless somebody else uses
    it.
    """
    rule = as_mapping(data.get("Rules")).get(CHECK)
    parameter = as_mapping(as_mapping(data.get("Parameters")).get(VERSION))
    if _SKIPPED not in str(parameter.get("Description")):
        return
    if _mentions(data, VERSION, ("Parameters", VERSION), ("Rules", CHECK)):
        return
    undeployed[VERSION] = canonical_digest([parameter, rule])
    _drop(data, "Parameters", VERSION)
    _drop(data, "Rules", CHECK)


def _mentions(data: Mapping[str, Any], name: str, *apart: tuple[str, str]) -> bool:
    """Whether a template mentions a name anywhere but in these entries of its sections."""
    for section, content in data.items():
        for key, value in as_mapping(content).items():
            if (section, key) not in apart and any(name in text for text in texts([key, value])):
                return True
        if not isinstance(content, Mapping) and any(name in text for text in texts(content)):
            return True
    return False


def _drop(data: dict[str, Any], section: str, name: str) -> None:
    """Take an entry out of a section, and the section if nothing else is in it."""
    if name not in as_mapping(data.get(section)):
        return
    kept = {key: value for key, value in data[section].items() if key != name}
    if kept:
        data[section] = kept
    else:
        del data[section]


def canonical(value: Any) -> str:
    """A value as text that is the same for the same content: mappings in any order, lists in
    theirs; `1`, `1.0`, `true` and `"1"` differ.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_digest(value: Any) -> str:
    """The SHA-256 of a value's content, in hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digest(stack: SynthesizedStack) -> str:
    """The SHA-256 of all that a deploy of a stack decides, in hexadecimal digits: it is the same
    if and only if nothing that is deployed differs.

    Raises ValueError for a stack of which something is missing: its content may be made up.
    """
    if stack.missing:
        raise ValueError(f"{stack.id}: {stack.missing[0]}")
    assets = {canonical([asset.kind, asset.content, asset.options]) for asset in stack.assets}
    return canonical_digest(
        {
            "name": stack.name,
            "account": stack.account,
            "region": stack.region,
            "template": stack.template,
            "parameters": stack.parameters,
            "tags": stack.tags,
            "protected": stack.protected,
            "role": stack.role,
            "notifications": stack.notifications,
            "assets": sorted(assets),
            "nested": stack.nested,
        }
    )
