"""What runs the code of a stack that differs in nothing else: functions and services, by the names
under which other targets may deploy just that code.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from toolkit.model import Resource
from toolkit.templates.model import StackComparison, SynthesizedStack
from toolkit.templates.references import references

FUNCTION, TASK, SERVICE = (
    "AWS::Lambda::Function",
    "AWS::ECS::TaskDefinition",
    "AWS::ECS::Service",
)


def code_owners(
    comparison: StackComparison, stack: SynthesizedStack
) -> tuple[Resource, ...] | None:
    """The functions and services whose code is all that differs. None where more differs, or where
    the template does not give one of them a fixed name.
    """
    if not comparison.only_code:
        return None
    resources: Mapping[str, Any] = stack.template.get("Resources") or {}
    owners: dict[Resource, None] = {}
    for difference in comparison.code:
        if difference.type == FUNCTION:
            name = _text(resources, difference.logical_id, "FunctionName")
            owner = Resource("function", name) if name else None
        else:
            owner = _service(resources, difference.logical_id)
        if owner is None:
            return None
        owners[owner] = None
    return tuple(owners)


def _service(resources: Mapping[str, Any], task: str) -> Resource | None:
    """The one service that runs a task definition, by its cluster and name."""
    services = [name for name in _services(resources) if task in _tasks(resources[name])]
    if len(services) != 1:
        return None
    name = _text(resources, services[0], "ServiceName")
    cluster = _text(resources, services[0], "Cluster") or _cluster_name(resources, services[0])
    return Resource("service", f"{cluster}/{name}") if name and cluster else None


def _services(resources: Mapping[str, Any]) -> Iterator[str]:
    for name, resource in resources.items():
        if isinstance(resource, Mapping) and resource.get("Type") == SERVICE:
            yield name


def _tasks(service: Mapping[str, Any]) -> set[str]:
    """The logical ids that a service's task definition refers to."""
    definition = (service.get("Properties") or {}).get("TaskDefinition")
    return {name for name, _ in references(definition)}


def _cluster_name(resources: Mapping[str, Any], service: str) -> str:
    """The fixed name of the cluster that a service refers to; empty if it has none."""
    cluster = (resources[service].get("Properties") or {}).get("Cluster")
    names = {name for name, _ in references(cluster)}
    return _text(resources, names.pop(), "ClusterName") if len(names) == 1 else ""


def _text(resources: Mapping[str, Any], logical_id: str, name: str) -> str:
    """A property that is a fixed text; empty if it is none."""
    resource = resources.get(logical_id)
    if not isinstance(resource, Mapping):
        return ""
    value = (resource.get("Properties") or {}).get(name)
    return value if isinstance(value, str) else ""
