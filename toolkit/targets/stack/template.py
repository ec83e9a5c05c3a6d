"""What is known of a template and its parameters without deploying it. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.errors import Refused
from toolkit.formats.documents import as_mapping
from toolkit.formats.redaction import LOOKS_SECRET, SECRET_NAME
from toolkit.model import Version

INLINE = 51_200
"""Bytes of a template that fit into a call; a longer one has to lie in S3."""
LONGEST = 1_000_000

VERSION, COMMIT, FINGERPRINT, RUN = (
    "toolkit:version",
    "toolkit:commit",
    "toolkit:fingerprint",
    "toolkit:run",
)
SETTINGS, TEMPLATE = "toolkit:settings", "toolkit:template"
OURS = (VERSION, COMMIT, FINGERPRINT, RUN, SETTINGS, TEMPLATE)

_REFERENCE = re.compile(r"\{\{resolve:(?:secretsmanager|ssm-secure|ssm):[^}]+\}\}")
_HINT = (
    "put it into Secrets Manager and use a dynamic reference: "
    "{{resolve:secretsmanager:NAME:SecretString:KEY}}"
)


def parse_json(text: str) -> dict[str, Any] | None:
    """The template if it is JSON, None if it is YAML: what CloudFormation's own tags mean is for
    CloudFormation to say.
    """
    try:
        template = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(template, dict):
        return template
    return None


def refuse_secrets(values: Mapping[str, str], declared: Iterable[Mapping[str, Any]]) -> None:
    """Raise Refused if a parameter's value looks like a credential: it would stand in rules.toml
    and in every change set.
    """
    hidden = {
        str(parameter.get("ParameterKey")) for parameter in declared if parameter.get("NoEcho")
    }
    for name, value in values.items():
        if LOOKS_SECRET.search(value):
            raise Refused(f"the value of parameter {name} looks like a credential", _HINT)
        plain = value and not _REFERENCE.search(value) and not value.startswith("arn:")
        if plain and (name in hidden or SECRET_NAME.search(name)):
            raise Refused(f"parameter {name} is a secret, but its value is in plain text", _HINT)


def parameters(
    values: Mapping[str, str],
    declared: Iterable[Mapping[str, Any]],
    before: Iterable[Mapping[str, Any]] | None,
) -> list[dict[str, Any]]:
    """The parameters of a change set: what is given, and the previous value of what is not.
    `before` is None for a new stack.

    Raises Refused for one that the template does not have, and for one without any value.
    """
    declared_by_name = {str(parameter["ParameterKey"]): parameter for parameter in declared}
    unknown = sorted(values.keys() - declared_by_name.keys())
    if unknown:
        has = ", ".join(sorted(declared_by_name)) or "none"
        raise Refused(
            f"the template has no parameter {', '.join(unknown)}",
            f"it has {has}; correct `parameters` in rules.toml",
        )
    previous = {str(parameter["ParameterKey"]) for parameter in before or ()}
    lacking = [
        name
        for name, parameter in declared_by_name.items()
        if name not in values and name not in previous and "DefaultValue" not in parameter
    ]
    if lacking:
        raise Refused(
            f"parameter {', '.join(sorted(lacking))} has no value",
            "add it to `parameters` in rules.toml",
        )
    request = [
        {"ParameterKey": name, "ParameterValue": values[name]}
        for name in declared_by_name
        if name in values
    ]
    return request + [
        {"ParameterKey": name, "UsePreviousValue": True}
        for name in declared_by_name
        if name not in values and name in previous
    ]


def tags(
    before: Iterable[Mapping[str, str]], app_tags: Mapping[str, str], ours: Mapping[str, str]
) -> list[dict[str, str]]:
    """All tags of a stack: those that it has, the app's own, and ours (without any, those that it
    has). AWS removes what is left out.
    """
    others = {
        tag["Key"]: tag["Value"]
        for tag in before
        if not tag["Key"].startswith("aws:") and not (ours and tag["Key"] in OURS)
    }
    return [
        {"Key": key, "Value": value}
        for key, value in sorted({**others, **app_tags, **ours}.items())
    ]


def marks(version: Version, run: str, template: str) -> dict[str, str]:
    """Our tags: what is live, by its name and content, and by the run that put it there.

    `template` is the digest of what is sent: the tags stay when somebody else sends another one.
    """
    values = {
        VERSION: version.name,
        COMMIT: version.commit or "",
        FINGERPRINT: version.fingerprint,
        SETTINGS: version.settings,
        TEMPLATE: template,
        RUN: run,
    }
    return {tag: value for tag, value in values.items() if value or tag == FINGERPRINT}


def is_unchanged(
    text: str,
    deployed: Any,
    values: Mapping[str, str],
    summary: Mapping[str, Any],
    stack: Mapping[str, Any],
    app_tags: Mapping[str, str],
) -> bool:
    """Whether a deploy would send what the stack has: template, parameters and tags. What they mean
    may still differ: `may_mean_more`.
    """
    same_text = parse_json(text) == deployed if isinstance(deployed, dict) else text == deployed
    before = {
        entry["ParameterKey"]: entry.get("ParameterValue")
        for entry in stack.get("Parameters") or ()
    }
    declared = {entry["ParameterKey"] for entry in summary.get("Parameters") or ()}
    masked = {
        entry["ParameterKey"] for entry in summary.get("Parameters") or () if entry.get("NoEcho")
    }
    has = {entry["Key"]: entry["Value"] for entry in stack.get("Tags") or ()}
    return (
        same_text
        and declared == before.keys()
        and all(name in masked or before.get(name) == value for name, value in values.items())
        and app_tags.items() <= has.items()
    )


def may_change_meaning(text: str, summary: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    """Whether what is the same can mean something else today: nested stacks, modules, transforms,
    values of SSM, masked parameters.

    A secret is no such value: CloudFormation compares the reference to it. CDK marks its own
    version parameter with `[cdk:skip]`: it decides nothing.
    """
    kinds = summary.get("ResourceTypes") or ()
    looked_up = [
        entry
        for entry in summary.get("Parameters") or ()
        if str(entry.get("ParameterType", "")).startswith("AWS::SSM::")
        and "[cdk:skip]" not in str(entry.get("Description", ""))
    ]
    return bool(
        "AWS::CloudFormation::Stack" in kinds
        or any(str(entry).endswith("::MODULE") for entry in kinds)
        or summary.get("DeclaredTransforms")
        or looked_up
        or any(
            entry.get("NoEcho") and entry["ParameterKey"] in values
            for entry in summary.get("Parameters") or ()
        )
        or "{{resolve:ssm:" in text
        or "Fn::Transform" in text
        or "!Transform" in text
    )


def summarize(template: Mapping[str, Any]) -> dict[str, Any]:
    """A summary of a template that is too long to be sent, as far as it can be read here."""
    parameters: list[dict[str, Any]] = []
    for name, entry in as_mapping(template.get("Parameters")).items():
        if not isinstance(entry, Mapping):
            continue
        parameter = {
            "ParameterKey": name,
            "ParameterType": entry.get("Type"),
            "NoEcho": str(entry.get("NoEcho")).lower() == "true",
            "Description": str(entry.get("Description", "")),
        }
        if "Default" in entry:
            parameter["DefaultValue"] = str(entry["Default"])
        parameters.append(parameter)
    types: set[str] = set()
    for resource in as_mapping(template.get("Resources")).values():
        if isinstance(resource, Mapping):
            types.add(str(resource.get("Type")))
    transforms = template.get("Transform") or ()
    if isinstance(transforms, str):
        transforms = [transforms]
    return {
        "Parameters": parameters,
        "ResourceTypes": sorted(types),
        "DeclaredTransforms": list(transforms),
    }
