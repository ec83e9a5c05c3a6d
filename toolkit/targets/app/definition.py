"""Task definitions: which containers are meant, and the revision that differs in what was asked for
only.

Shapes are AWS's, with tags as a mapping. All that comes from a running definition is foreign: what
has no name is ignored. Nothing here prints an environment's values.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from toolkit.errors import Refused
from toolkit.formats.documents import as_mapping
from toolkit.ports.aws.ecr import RepositoryName, registry_of

Shape = Mapping[str, Any]

MARK = "toolkit:"
"""What the tags of ours begin with: version, commit, fingerprint, definition, run and token."""

DESCRIBED = frozenset(
    (
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
        "tags",
    )
)
"""What says who registered a definition and when, and what AWS adds: nothing of how it runs."""


def named_containers(definition: Shape) -> list[dict[str, Any]]:
    """The containers that have a name."""
    return named_entries(definition.get("containerDefinitions"))


def named_entries(listed: object) -> list[dict[str, Any]]:
    """The entries of a list that have a name; none where it is not a list."""
    if not isinstance(listed, (list, tuple)):
        return []
    return [
        dict(entry)
        for entry in listed
        if isinstance(entry, Mapping) and isinstance(entry.get("name"), str) and entry["name"]
    ]


def container_names(definition: Shape) -> list[str]:
    """The names of its containers."""
    return [str(container["name"]) for container in named_containers(definition)]


def image_of(definition: Shape, container: str) -> str:
    """The image that a container is to run, empty if nothing is said."""
    return str(container_named(definition, container).get("image") or "")


def containers_to_update(
    definition: Shape, name: str | None, repository: RepositoryName
) -> tuple[str, ...]:
    """The containers that get the image: the one that is named, the only one, or all with an image
    of the repository.
    """
    present = container_names(definition)
    if name is not None:
        if name in present:
            return (name,)
        raise Refused(
            f"the task has no container {name}, but {_joined(present)}",
            "correct `container` in rules.toml",
        )
    if len(present) == 1:
        return (present[0],)
    ours = of_repository(definition, repository)
    if not ours:
        why = (
            f"the task has several containers ({_joined(present)}), and none has an image of"
            f" {repository.name}"
        )
        raise Refused(why, "choose the one that gets the image: `container` in rules.toml")
    return ours


def of_repository(definition: Shape, repository: RepositoryName) -> tuple[str, ...]:
    """The containers with an image of the repository; one of the same name in another account
    counts only where there is no better.
    """
    alike = [
        name
        for name in container_names(definition)
        if _path(image_of(definition, name)) == repository.name
    ]
    exact = [name for name in alike if repository.may_be(registry_of(image_of(definition, name)))]
    return tuple(exact or alike)


def other_containers(
    definition: Shape, updated: Collection[str], repository: RepositoryName
) -> tuple[str, ...]:
    """The containers with an image of the repository that do not get the new one."""
    return tuple(name for name in of_repository(definition, repository) if name not in updated)


def _path(image: str) -> str:
    return repository_of(image).partition("/")[2]


def _joined(present: Sequence[str]) -> str:
    return ", ".join(present) or "none"


def container_named(definition: Shape, name: str) -> Mapping[str, Any]:
    """The container of that name, empty if it is not there."""
    return next(
        (container for container in named_containers(definition) if container["name"] == name), {}
    )


def repository_of(image: str) -> str:
    """`host:5000/name:tag@sha256:…` -> `host:5000/name`."""
    image = image.partition("@")[0]
    if ":" in image.rpartition("/")[2]:
        return image[: image.rindex(":")]
    return image


def digest_of(image: str) -> str | None:
    """The digest that an image is named by, None if it is named by a tag."""
    return image.partition("@")[2] or None


def tag_of(image: str) -> str | None:
    """The tag that an image is named by."""
    return image.partition("@")[0][len(repository_of(image)) + 1 :] or None


def revised_definition(
    definition: Shape,
    members: Collection[str],
    updated: Collection[str],
    image: str,
    env: Mapping[str, str],
    secrets: Mapping[str, str],
) -> dict[str, Any]:
    """What to register: `members` of a definition, with the image and the variables of the
    containers that are `moved` changed.

    `members` are what the call takes by the installed model: a list of what it does not take would
    break with each new field.
    """
    request = {
        key: value
        for key, value in definition.items()
        if key in members and value is not None and key != "tags"
    }
    containers = []
    for container in named_containers(definition):
        if container["name"] in updated:
            containers.append(_with_image(container, image, env, secrets))
        else:
            containers.append(_without_unnamed(container))
    request["containerDefinitions"] = containers
    # AWS refuses tags of its own namespace
    request["tags"] = {
        key: value
        for key, value in definition["tags"].items()
        if not key.lower().startswith("aws:")
    }
    return request


def _without_unnamed(container: Shape) -> dict[str, Any]:
    """A container without variables that have no name: AWS would not take them."""
    return {
        **container,
        **{
            key: named_entries(container[key])
            for key in ("environment", "secrets")
            if key in container
        },
    }


def _with_image(
    container: Shape, image: str, env: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, Any]:
    """A variable is either a value or a secret: naming it as one takes it out of the other."""
    changed = {**_without_unnamed(container), "image": image}
    if env or secrets:
        changed["environment"] = _with_variables(
            container.get("environment"), "value", env, secrets
        )
        changed["secrets"] = _with_variables(container.get("secrets"), "valueFrom", secrets, env)
    return changed


def _with_variables(
    listed: object, key: str, variables: Mapping[str, str], elsewhere: Mapping[str, str]
) -> list[dict[str, Any]]:
    rest = dict(variables)
    entries = []
    for entry in named_entries(listed):
        if entry["name"] in elsewhere:
            continue  # a variable is either a value or a secret
        if entry["name"] in rest:
            entry = {**entry, key: rest.pop(entry["name"])}
        entries.append(entry)
    return entries + [{"name": name, key: value} for name, value in rest.items()]


def is_copy(definition: Shape, request: Shape) -> bool:
    """Whether registering `request` would only make a copy: tags say who deployed, not what, and
    the order of variables says nothing.
    """

    requested = content(request)
    return {key: value for key, value in content(definition).items() if key in request} == requested


def _sorted(listed: object) -> list[dict[str, Any]]:
    return sorted(named_entries(listed), key=lambda entry: str(entry["name"]))


def content(definition: Shape) -> dict[str, Any]:
    """All that says how it runs, so that equal ones are equal: no defaults, no order where order
    says nothing, images by digest.
    """
    plain: dict[str, Any] = _without_defaults(
        {key: value for key, value in definition.items() if key not in DESCRIBED}
    )
    plain["containerDefinitions"] = sorted(
        (_container(container) for container in named_containers(definition)),
        key=lambda container: str(container["name"]),
    )
    if isinstance(plain.get("requiresCompatibilities"), list):
        plain["requiresCompatibilities"] = sorted(map(str, plain["requiresCompatibilities"]))
    return plain


def _container(container: Shape) -> dict[str, Any]:
    image = str(container.get("image") or "")
    plain: dict[str, Any] = _without_defaults(
        {key: value for key, value in container.items() if key != "cpu" or value}
    )
    plain["image"] = digest_of(image) or image
    for key in ("environment", "secrets"):
        if key in plain:
            plain[key] = _sorted(plain[key])
    return {key: value for key, value in plain.items() if value != []}


def _without_defaults(value: Any) -> Any:
    """Without what is false or empty: AWS adds such members by itself, and more of them every
    year.
    """
    if isinstance(value, Mapping):
        plain = {str(key): _without_defaults(member) for key, member in value.items()}
        return {
            key: member
            for key, member in plain.items()
            if member is not None and member is not False and member not in ("", [], {})
        }
    if isinstance(value, (list, tuple)):
        return [_without_defaults(member) for member in value]
    return value


def digest(definition: Shape) -> str:
    """The digest of how a definition runs: the same for a copy of it."""
    return hashlib.sha256(
        json.dumps(content(definition), sort_keys=True, default=str).encode()
    ).hexdigest()


def image_digests(definition: Shape) -> dict[str, str]:
    """Container -> digest of its image, where the image is named by it."""
    images = {name: digest_of(image_of(definition, name)) for name in container_names(definition)}
    return {name: image for name, image in images.items() if image}


def with_marks(tags: Mapping[str, str], **marks: str | None) -> dict[str, str]:
    """Tags with marks of ours; None takes one away."""
    ours = {MARK + key: value for key, value in marks.items()}
    others = {key: value for key, value in tags.items() if key not in ours}
    return others | {key: value for key, value in ours.items() if value}


def mark(definition: Shape, name: str) -> str | None:
    """A mark of ours that a task definition carries."""
    return definition["tags"].get(MARK + name) or None


def registered_by(definition: Shape) -> str:
    """Who registered a task definition, in a few words."""
    run, by = mark(definition, "run"), str(definition.get("registeredBy", "")).rpartition("/")[2]
    if run and by:
        return f"run {run} of {by}"
    if run:
        return f"run {run}"
    return by or "somebody"


def platform_of(definition: Shape) -> str | None:
    """The platform that its tasks run on, as builders say it (`linux/arm64`); None if it is not
    Linux.
    """
    runtime = as_mapping(definition.get("runtimePlatform"))
    if not str(runtime.get("operatingSystemFamily", "LINUX")).startswith("LINUX"):
        return None
    if runtime.get("cpuArchitecture") == "ARM64":
        return "linux/arm64"
    return "linux/amd64"


def log_stream(container: Shape, task: str) -> tuple[str, str] | None:
    """The log group and stream that a container of a task (its id) writes to; None if that cannot
    be known.
    """
    configured = as_mapping(container.get("logConfiguration"))
    options = as_mapping(configured.get("options"))
    group, prefix = options.get("awslogs-group"), options.get("awslogs-stream-prefix")
    if configured.get("logDriver") != "awslogs" or not group or not prefix:
        return None
    return str(group), f"{prefix}/{container.get('name')}/{task}"


def log_region(container: Shape) -> str | None:
    """The region of a container's log, None if it is the task's own."""
    configured = as_mapping(container.get("logConfiguration"))
    region = as_mapping(configured.get("options")).get("awslogs-region")
    return str(region) if region else None
