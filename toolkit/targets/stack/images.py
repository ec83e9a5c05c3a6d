"""Which images a template would run, as far as it can be read without CloudFormation. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.formats.documents import as_mapping

_SUBSTITUTED = re.compile(r"\$\{([A-Za-z][A-Za-z0-9]*)\}")
SERVICE, DEFINITION = "AWS::ECS::Service", "AWS::ECS::TaskDefinition"


def reference_values(
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
        name: str(parameter["Default"])
        for name, parameter in declared.items()
        if isinstance(parameter, Mapping) and "Default" in parameter
    }


def service_images(
    template: Mapping[str, Any], meanings: Mapping[str, str]
) -> dict[str, tuple[str, dict[str, str | None]]]:
    """Service -> its task definition and, by container, its image; the names are the template's. An
    image is None if it cannot be told.
    """
    resources = template.get("Resources") or {}
    services = {}
    for name, resource in resources.items():
        if not isinstance(resource, Mapping) or resource.get("Type") != SERVICE:
            continue
        logical = _task_definition_of(resource)
        target = resources.get(logical, {})
        if logical is None or target.get("Type") != DEFINITION:
            continue
        containers = (target.get("Properties") or {}).get("ContainerDefinitions") or ()
        container_images = {
            str(container.get("Name")): text(container.get("Image"), meanings)
            for container in containers
        }
        services[name] = (logical, container_images)
    return services


def _task_definition_of(service: Mapping[str, Any]) -> str | None:
    """The logical id of the task definition that a service refers to, if the template has it."""
    definition = (service.get("Properties") or {}).get("TaskDefinition")
    logical = as_mapping(definition).get("Ref")
    return logical if isinstance(logical, str) else None


def by_container(template: Mapping[str, Any], service: str) -> dict[str, Any]:
    """Container -> its image as the template says it, of a service's task definition; empty if that
    cannot be told.
    """
    resources = template.get("Resources") or {}
    logical = _task_definition_of(resources.get(service, {}))
    if logical is None:
        return {}
    properties = resources.get(logical, {}).get("Properties") or {}
    return {
        str(container.get("Name")): container.get("Image")
        for container in properties.get("ContainerDefinitions") or ()
        if isinstance(container, Mapping)
    }


def refers_to(value: Any) -> set[str]:
    """The names that a template's value refers to."""
    if isinstance(value, Mapping):
        named: set[str] = set()
        if isinstance(value.get("Ref"), str):
            named.add(value["Ref"])
        for verb, inner in value.items():
            pattern = inner[0] if isinstance(inner, list) and inner else inner
            if verb == "Fn::Sub" and isinstance(pattern, str):
                named |= set(_SUBSTITUTED.findall(pattern))
        return named.union(*(refers_to(inner) for inner in value.values()))
    if isinstance(value, list):
        return set[str]().union(*(refers_to(inner) for inner in value))
    return set()


def text(value: Any, meanings: Mapping[str, str]) -> str | None:
    """The text that a template's value comes to, None if only CloudFormation can tell."""
    resolved = _resolved(value, meanings)
    if isinstance(resolved, str):
        return resolved
    return None


def _resolved(value: Any, meanings: Mapping[str, str]) -> str | list[str] | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    [(verb, argument)] = value.items()
    if verb == "Ref":
        return meanings.get(argument)
    if verb == "Fn::Join" and isinstance(argument, list) and len(argument) == 2:
        parts = _resolved_list(argument[1], meanings)
        return None if parts is None else str(argument[0]).join(parts)
    if verb == "Fn::Split" and isinstance(argument, list) and len(argument) == 2:
        whole = text(argument[1], meanings)
        return None if whole is None else whole.split(argument[0])
    if verb == "Fn::Select" and isinstance(argument, list) and len(argument) == 2:
        parts = _resolved_list(argument[1], meanings)
        if parts is not None and int(argument[0]) < len(parts):
            return parts[int(argument[0])]
        return None
    if verb == "Fn::Sub":
        return _substituted(argument, meanings)
    return None


def _resolved_list(value: Any, meanings: Mapping[str, str]) -> list[str] | None:
    if isinstance(value, list):
        texts = [text(part, meanings) for part in value]
        if None in texts:
            return None
        return [part for part in texts if part is not None]
    resolved = _resolved(value, meanings)
    if isinstance(resolved, list):
        return resolved
    return None


def _substituted(argument: Any, meanings: Mapping[str, str]) -> str | None:
    pattern, more = argument, {}
    if isinstance(argument, list) and len(argument) == 2:
        pattern, more = argument
    local_values = {name: text(value, meanings) for name, value in more.items()}
    parts = str(pattern).split("${")
    filled = parts[0]
    for part in parts[1:]:
        name, closed, rest = part.partition("}")
        value = local_values.get(name, meanings.get(name))
        if name.startswith("!"):
            value = f"${{{name[1:]}}}"  # `${!x}` is how a template writes a plain `${x}`
        if not closed or value is None:
            return None
        filled += value + rest
    return filled


def older_images(
    service: str,
    new: Mapping[str, str | None],
    live: Mapping[str, str],
    same: Iterable[tuple[str, str]],
) -> list[str]:
    """What to say where a stack would run other images than those that are live. `same` are pairs
    of names of one image.
    """
    equal = set(same)
    lines = []
    for container, image in sorted(live.items()):
        put = new.get(container)
        if container in new and put != image and (put, image) not in equal:
            lines.append(f"{service}: this would put {_short(put)} back instead of {_short(image)}")
    return lines


def split(image: str) -> tuple[str, str] | None:
    """Repository and tag of an image in ECR, None for another one or one by digest."""
    host, _, rest = image.partition("/")
    name, _, tag = rest.partition(":")
    if ".dkr.ecr." in host and "@" not in rest:
        return (name, tag or "latest")
    return None


def digest(image: str) -> tuple[str, str] | None:
    """Repository and digest of an image that is named by digest."""
    name, _, sha = image.partition("@")
    if sha:
        return (name.partition("/")[2], sha)
    return None


def _short(image: str | None) -> str:
    """An image without its registry, and with the beginning of its digest."""
    if image is None:
        return "the image of its template"
    name, separator, rest = image.rpartition("/")[2].partition("@sha256:")
    if separator:
        return f"{name}@{rest[:12]}"
    return name
