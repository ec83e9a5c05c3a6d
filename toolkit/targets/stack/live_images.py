"""Whether a stack's template would put an older image back than the one that deploy-app put
live.
"""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.model import Resource
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.aws.client import Aws
from toolkit.targets.stack import images
from toolkit.targets.stack.template import COMMIT, RUN, VERSION


class OlderImages(Struct, frozen=True):
    """The images that would be put back: a line for each, and the services that they are of. A look
    that fails is a line of its own: it must not stop a deploy, nor pass for an all-clear.
    """

    lines: tuple[str, ...] = ()
    services: tuple[Resource, ...] = ()


def older_images(
    aws: Aws,
    stack_id: str,
    template: Mapping[str, Any],
    meanings: Mapping[str, str],
    touched: Collection[str] | None,
) -> OlderImages:
    """The images that a template would put back. `touched` are the resources that the change set
    touches, None if there is none yet.
    """
    services = images.service_images(template, meanings)
    if touched is not None:
        services = {
            name: service
            for name, service in services.items()
            if name in touched or service[0] in touched
        }
    if not services:
        return OlderImages()
    lines: list[str] = []
    displaced: list[Resource] = []
    try:
        resources = cfn.resources(aws, stack_id)
        for name, (definition, new) in sorted(services.items()):
            older = _older(aws, resources, name, definition, new)
            if older:
                lines += older
                displaced.append(Resource("service", "/".join(_service_name(resources, name))))
    except CloudError as problem:
        lines.append(f"cannot tell whether this deploys an older image: {problem}")
    return OlderImages(tuple(lines), tuple(displaced))


def parameters(
    aws: Aws,
    stack_id: str,
    template: Mapping[str, Any],
    meanings: Mapping[str, str],
    free: Collection[str],
) -> dict[str, str]:
    """The values of those `free` parameters that say which image a service runs, so that the images
    stay that deploy-app has put live.

    A look that fails gives none: `older_images` says so.
    """
    named = {
        (service, container): (declared, names)
        for service in images.service_images(template, meanings)
        for container, declared in images.by_container(template, service).items()
        if len(names := images.refers_to(declared) & set(free)) == 1
    }
    if not named:
        return {}
    values: dict[str, str] = {}
    try:
        resources = cfn.resources(aws, stack_id)
        for (service, container), (declared, names) in named.items():
            running = _running(aws, resources, service)
            live = next(
                (
                    str(each["image"])
                    for each in (running or {}).get("containerDefinitions") or ()
                    if each["name"] == container
                ),
                "",
            )
            if running is None or not live:
                continue
            for value in (live, str(running["tags"].get(VERSION, ""))):
                put = images.text(declared, {**meanings, **dict.fromkeys(names, value)})
                if value and put and (put == live or _same(aws, put, live)):
                    values |= dict.fromkeys(names, value)
                    break
    except CloudError:
        return {}
    return values


def _running(
    aws: Aws, resources: Mapping[str, Mapping[str, Any]], name: str
) -> dict[str, Any] | None:
    """The task definition that a service of a stack runs, if toolkit has put it there."""
    parts = _service_name(resources, name)
    service = ecs.service(aws, parts[0], parts[1]) if len(parts) == 2 else None
    if service is not None:
        running = ecs.definition(aws, str(service.get("taskDefinition")))
    else:
        running = None
    if running is not None and RUN in running["tags"]:
        return running
    return None


def _service_name(resources: Mapping[str, Mapping[str, Any]], name: str) -> list[str]:
    """Cluster and name of a service of a stack; something else where it is not there."""
    arn = str(resources.get(name, {}).get("PhysicalResourceId") or "")
    return arn.partition(":service/")[2].split("/")


def _older(
    aws: Aws,
    resources: Mapping[str, Mapping[str, Any]],
    name: str,
    definition: str,
    new: Mapping[str, str | None],
) -> list[str]:
    parts = _service_name(resources, name)
    if len(parts) != 2:
        return []
    service = ecs.service(aws, parts[0], parts[1])
    if service is None or service.get("taskDefinition") == resources.get(definition, {}).get(
        "PhysicalResourceId"
    ):
        return []
    running = ecs.definition(aws, str(service.get("taskDefinition")))
    if running is None or RUN not in running["tags"]:
        return []
    listed = [
        entry for entry in running.get("containerDefinitions") or () if isinstance(entry, Mapping)
    ]
    live = {
        str(entry["name"]): str(entry["image"])
        for entry in listed
        if entry.get("name") and entry.get("image")
    }
    same = [
        (put, live[container])
        for container, put in new.items()
        if put and container in live and _same(aws, put, live[container])
    ]
    commit = running["tags"].get(COMMIT)
    suffix = f" (commit {commit[:12]})" if commit else ""
    return [line + suffix for line in images.older_images(parts[1], new, live, same)]


def _same(aws: Aws, put: str, live: str) -> bool:
    """Whether a tag names the very image that runs by its digest."""
    named, running = images.split(put), images.digest(live)
    if named is None or running is None or named[0] != running[0]:
        return False
    return ecr.digest(aws, ecr.RepositoryName(named[0]), named[1]) == running[1]
