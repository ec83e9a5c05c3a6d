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


def parts(definition: Shape) -> list[dict[str, Any]]:
    """The containers that have a name."""
    return named(definition.get("containerDefinitions"))


def named(listed: object) -> list[dict[str, Any]]:
    """The entries of a list that have a name; none where it is no list."""
    if not isinstance(listed, (list, tuple)):
        return []
    return [
        dict(one)
        for one in listed
        if isinstance(one, Mapping) and isinstance(one.get("name"), str) and one["name"]
    ]


def names(definition: Shape) -> list[str]:
    """The names of its containers."""
    return [str(one["name"]) for one in parts(definition)]


def image_of(definition: Shape, container: str) -> str:
    """The image that a container is to run, empty if nothing is said."""
    return str(part(definition, container).get("image") or "")


def containers(
    definition: Shape, wanted: str | None, repository: RepositoryName
) -> tuple[str, ...]:
    """The containers that get the image: the one that is named, the only one, or all with an image
    of the repository.
    """
    known = names(definition)
    if wanted is not None:
        if wanted in known:
            return (wanted,)
        raise Refused(
            f"the task has no container {wanted}, but {_listed(known)}",
            "correct `container` in rules.toml",
        )
    if len(known) == 1:
        return (known[0],)
    ours = of_repository(definition, repository)
    if not ours:
        why = (
            f"the task has several containers ({_listed(known)}), and none has an image of"
            f" {repository.name}"
        )
        raise Refused(why, "say which one gets the image: `container` in rules.toml")
    return ours


def of_repository(definition: Shape, repository: RepositoryName) -> tuple[str, ...]:
    """The containers with an image of the repository; one of the same name in another account
    counts only where there is no better.
    """
    alike = [
        one for one in names(definition) if _path(image_of(definition, one)) == repository.name
    ]
    exact = [one for one in alike if repository.may_be(registry_of(image_of(definition, one)))]
    return tuple(exact or alike)


def left(definition: Shape, moved: Collection[str], repository: RepositoryName) -> tuple[str, ...]:
    """The containers with an image of the repository that do not get the new one."""
    return tuple(one for one in of_repository(definition, repository) if one not in moved)


def _path(image: str) -> str:
    return repository_of(image).partition("/")[2]


def _listed(known: Sequence[str]) -> str:
    return ", ".join(known) or "none"


def part(definition: Shape, name: str) -> Mapping[str, Any]:
    """The container of that name, empty if it is not there."""
    return next((one for one in parts(definition) if one["name"] == name), {})


def repository_of(image: str) -> str:
    """`host:5000/name:tag@sha256:…` -> `host:5000/name`."""
    image = image.partition("@")[0]
    return image[: image.rindex(":")] if ":" in image.rpartition("/")[2] else image


def digest_of(image: str) -> str | None:
    """The digest that an image is named by, None if it is named by a tag."""
    return image.partition("@")[2] or None


def tag_of(image: str) -> str | None:
    """The tag that an image is named by."""
    return image.partition("@")[0][len(repository_of(image)) + 1 :] or None


def revised(
    definition: Shape,
    members: Collection[str],
    moved: Collection[str],
    image: str,
    env: Mapping[str, str],
    secrets: Mapping[str, str],
) -> dict[str, Any]:
    """What to register: `members` of a definition, with the image and the variables of the
    containers that are `moved` changed.

    `members` are what the call takes by the installed model: a list of what it does not take would
    break with each new field.
    """
    kept = {
        key: value
        for key, value in definition.items()
        if key in members and value is not None and key != "tags"
    }
    kept["containerDefinitions"] = [
        _with(one, image, env, secrets) if one["name"] in moved else _plain(one)
        for one in parts(definition)
    ]
    kept["tags"] = {
        key: value
        for key, value in definition["tags"].items()
        if not key.lower().startswith("aws:")
    }
    return kept


def _plain(one: Shape) -> dict[str, Any]:
    """A container without variables that have no name: AWS would not take them."""
    return {**one, **{key: named(one[key]) for key in ("environment", "secrets") if key in one}}


def _with(
    one: Shape, image: str, env: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, Any]:
    """A variable is either a value or a secret: naming it as one takes it out of the other."""
    changed = {**_plain(one), "image": image}
    if env or secrets:
        changed["environment"] = _set(one.get("environment"), "value", env, secrets)
        changed["secrets"] = _set(one.get("secrets"), "valueFrom", secrets, env)
    return changed


def _set(
    listed: object, key: str, wanted: Mapping[str, str], elsewhere: Mapping[str, str]
) -> list[dict[str, Any]]:
    rest = dict(wanted)
    kept = [
        {**one, key: rest.pop(one["name"])} if one["name"] in rest else one
        for one in named(listed)
        if one["name"] not in elsewhere
    ]
    return kept + [{"name": name, key: value} for name, value in rest.items()]


def equal(definition: Shape, request: Shape) -> bool:
    """Whether registering `request` would only make a copy: tags say who deployed, not what, and
    the order of variables says nothing.
    """

    wanted = content(request)
    return {key: value for key, value in content(definition).items() if key in request} == wanted


def _sorted(listed: object) -> list[dict[str, Any]]:
    return sorted(named(listed), key=lambda one: str(one["name"]))


def content(definition: Shape) -> dict[str, Any]:
    """All that says how it runs, so that equal ones are equal: no defaults, no order where order
    says nothing, images by digest.
    """
    kept: dict[str, Any] = _without_defaults(
        {key: value for key, value in definition.items() if key not in DESCRIBED}
    )
    kept["containerDefinitions"] = sorted(
        (_container(one) for one in parts(definition)), key=lambda one: str(one["name"])
    )
    if isinstance(kept.get("requiresCompatibilities"), list):
        kept["requiresCompatibilities"] = sorted(map(str, kept["requiresCompatibilities"]))
    return kept


def _container(one: Shape) -> dict[str, Any]:
    image = str(one.get("image") or "")
    kept: dict[str, Any] = _without_defaults(
        {key: value for key, value in one.items() if key != "cpu" or value}
    )
    kept["image"] = digest_of(image) or image
    for key in ("environment", "secrets"):
        if key in kept:
            kept[key] = _sorted(kept[key])
    return {key: value for key, value in kept.items() if value != []}


def _without_defaults(value: Any) -> Any:
    """Without what is false or empty: AWS adds such members by itself, and more of them every
    year.
    """
    if isinstance(value, Mapping):
        plain = {str(key): _without_defaults(one) for key, one in value.items()}
        return {
            key: one
            for key, one in plain.items()
            if one is not None and one is not False and one not in ("", [], {})
        }
    return [_without_defaults(one) for one in value] if isinstance(value, (list, tuple)) else value


def digest(definition: Shape) -> str:
    """The digest of how a definition runs: the same for a copy of it."""
    return hashlib.sha256(
        json.dumps(content(definition), sort_keys=True, default=str).encode()
    ).hexdigest()


def artifacts(definition: Shape) -> dict[str, str]:
    """Container -> digest of its image, where the image is named by it."""
    images = {name: digest_of(image_of(definition, name)) for name in names(definition)}
    return {name: image for name, image in images.items() if image}


def marked(tags: Mapping[str, str], **marks: str | None) -> dict[str, str]:
    """Tags with marks of ours; None takes one away."""
    wanted = {MARK + key: value for key, value in marks.items()}
    kept = {key: value for key, value in tags.items() if key not in wanted}
    return kept | {key: value for key, value in wanted.items() if value}


def mark(definition: Shape, name: str) -> str | None:
    """A mark of ours that a task definition carries."""
    return definition["tags"].get(MARK + name) or None


def whose(definition: Shape) -> str:
    """Who registered a task definition, in a few words."""
    run, by = mark(definition, "run"), str(definition.get("registeredBy", "")).rpartition("/")[2]
    return " of ".join(part for part in (f"run {run}" if run else "", by) if part) or "somebody"


def architecture(definition: Shape) -> str | None:
    """The platform that its tasks run on, as builders say it (`linux/arm64`); None if it is not
    Linux.
    """
    runtime = _mapping(definition.get("runtimePlatform"))
    if not str(runtime.get("operatingSystemFamily", "LINUX")).startswith("LINUX"):
        return None
    return "linux/arm64" if runtime.get("cpuArchitecture") == "ARM64" else "linux/amd64"


def log_stream(one: Shape, task: str) -> tuple[str, str] | None:
    """The log group and stream that a container of a task (its id) writes to; None if that cannot
    be known.
    """
    configured = _mapping(one.get("logConfiguration"))
    options = _mapping(configured.get("options"))
    group, prefix = options.get("awslogs-group"), options.get("awslogs-stream-prefix")
    if configured.get("logDriver") != "awslogs" or not group or not prefix:
        return None
    return str(group), f"{prefix}/{one.get('name')}/{task}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
