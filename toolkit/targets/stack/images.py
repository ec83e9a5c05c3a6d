"""Which images a template would run, as far as it can be read without CloudFormation. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

_SUBSTITUTED = re.compile(r"\$\{([A-Za-z][A-Za-z0-9]*)\}")
SERVICE, DEFINITION = "AWS::ECS::Service", "AWS::ECS::TaskDefinition"


def values(
    account: str,
    region: str,
    partition: str,
    suffix: str,
    stack: str,
    parameters: Mapping[str, str],
) -> dict[str, str]:
    """What a Ref means before anything is made: pseudo parameters and parameters."""
    pseudo = {
        "AccountId": account,
        "Region": region,
        "Partition": partition,
        "URLSuffix": suffix,
        "StackName": stack,
    }
    return {**{f"AWS::{name}": value for name, value in pseudo.items()}, **parameters}


def defaults(template: Mapping[str, Any]) -> dict[str, str]:
    """The parameters' default values."""
    declared = template.get("Parameters") or {}
    return {
        name: str(one["Default"])
        for name, one in declared.items()
        if isinstance(one, Mapping) and "Default" in one
    }


def wanted(
    template: Mapping[str, Any], known: Mapping[str, str]
) -> dict[str, tuple[str, dict[str, str | None]]]:
    """Service -> its task definition and, by container, its image; the names are the template's. An
    image is None if it cannot be told.
    """
    resources = template.get("Resources") or {}
    found = {}
    for name, one in resources.items():
        if not isinstance(one, Mapping) or one.get("Type") != SERVICE:
            continue
        definition = (one.get("Properties") or {}).get("TaskDefinition")
        logical = definition.get("Ref") if isinstance(definition, Mapping) else None
        target = resources.get(logical, {})
        if isinstance(logical, str) and target.get("Type") == DEFINITION:
            containers = (target.get("Properties") or {}).get("ContainerDefinitions") or ()
            found[name] = (
                logical,
                {str(each.get("Name")): text(each.get("Image"), known) for each in containers},
            )
    return found


def by_container(template: Mapping[str, Any], service: str) -> dict[str, Any]:
    """Container -> its image as the template says it, of a service's task definition; empty if that
    cannot be told.
    """
    resources = template.get("Resources") or {}
    definition = (resources.get(service, {}).get("Properties") or {}).get("TaskDefinition")
    logical = definition.get("Ref") if isinstance(definition, Mapping) else None
    containers = (
        (resources.get(logical, {}).get("Properties") or {}).get("ContainerDefinitions") or ()
        if isinstance(logical, str)
        else ()
    )
    return {
        str(each.get("Name")): each.get("Image") for each in containers if isinstance(each, Mapping)
    }


def refers_to(value: Any) -> set[str]:
    """The names that a template's value refers to."""
    if isinstance(value, Mapping):
        named = {str(value["Ref"])} if isinstance(value.get("Ref"), str) else set[str]()
        for verb, inner in value.items():
            pattern = inner[0] if isinstance(inner, list) and inner else inner
            if verb == "Fn::Sub" and isinstance(pattern, str):
                named |= set(_SUBSTITUTED.findall(pattern))
        return named.union(*(refers_to(inner) for inner in value.values()))
    return (
        set[str]().union(*(refers_to(inner) for inner in value))
        if isinstance(value, list)
        else set()
    )


def text(value: Any, known: Mapping[str, str]) -> str | None:
    """The text that a template's value comes to, None if only CloudFormation can tell."""
    found = _told(value, known)
    return found if isinstance(found, str) else None


def _told(value: Any, known: Mapping[str, str]) -> str | list[str] | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    [(verb, told)] = value.items()
    if verb == "Ref":
        return known.get(told)
    if verb == "Fn::Join" and isinstance(told, list) and len(told) == 2:
        parts = _list(told[1], known)
        return None if parts is None else str(told[0]).join(parts)
    if verb == "Fn::Split" and isinstance(told, list) and len(told) == 2:
        whole = text(told[1], known)
        return None if whole is None else whole.split(told[0])
    if verb == "Fn::Select" and isinstance(told, list) and len(told) == 2:
        parts = _list(told[1], known)
        return parts[int(told[0])] if parts is not None and int(told[0]) < len(parts) else None
    return _filled(told, known) if verb == "Fn::Sub" else None


def _list(value: Any, known: Mapping[str, str]) -> list[str] | None:
    if isinstance(value, list):
        found = [text(one, known) for one in value]
        return None if None in found else [one for one in found if one is not None]
    told = _told(value, known)
    return told if isinstance(told, list) else None


def _filled(told: Any, known: Mapping[str, str]) -> str | None:
    pattern, more = (told[0], told[1]) if isinstance(told, list) and len(told) == 2 else (told, {})
    own = {name: text(value, known) for name, value in more.items()}
    parts = str(pattern).split("${")
    found = parts[0]
    for part in parts[1:]:
        name, closed, rest = part.partition("}")
        value = f"${{{name[1:]}}}" if name.startswith("!") else own.get(name, known.get(name))
        if not closed or value is None:
            return None
        found += value + rest
    return found


def older(
    service: str,
    new: Mapping[str, str | None],
    live: Mapping[str, str],
    same: Iterable[tuple[str, str]],
) -> list[str]:
    """What to say where a stack would run other images than those that are live. `same` are pairs
    of names of one image.
    """
    equal = set(same)
    said = []
    for container, image in sorted(live.items()):
        put = new.get(container)
        if container in new and put != image and (put, image) not in equal:
            said.append(f"{service}: this would put {_short(put)} back instead of {_short(image)}")
    return said


def split(image: str) -> tuple[str, str] | None:
    """Repository and tag of an image in ECR, None for another one or one by digest."""
    host, _, rest = image.partition("/")
    name, _, tag = rest.partition(":")
    return (name, tag or "latest") if ".dkr.ecr." in host and "@" not in rest else None


def digest(image: str) -> tuple[str, str] | None:
    """Repository and digest of an image that is named by digest."""
    name, _, found = image.partition("@")
    return (name.partition("/")[2], found) if found else None


def _short(image: str | None) -> str:
    """An image without its registry, and with the beginning of its digest."""
    if image is None:
        return "the image of its template"
    name, at, rest = image.rpartition("/")[2].partition("@sha256:")
    return f"{name}@{rest[:12]}" if at else name
