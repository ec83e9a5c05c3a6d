"""Task definitions: which container is meant, and the revision that differs from the running one in what was asked for only.

Shapes are AWS's, with tags as a mapping. Nothing here prints an environment's values.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from toolkit.errors import Refused

Shape = Mapping[str, Any]

MARK = "toolkit:"
"""What the tags of ours begin with: version, commit, fingerprint, run and token."""


def container(definition: Shape, wanted: str | None, repository: str) -> str:
    """The container that gets the image: the one that is named, the only one, or the only one with an image of `repository`."""
    names = [str(one["name"]) for one in definition["containerDefinitions"]]
    if wanted is not None:
        if wanted in names:
            return wanted
        raise Refused(f"the task has no container {wanted}, but {_listed(names)}", "correct `container` in rules.toml")
    ours = [
        str(one["name"])
        for one in definition["containerDefinitions"]
        if repository_of(one.get("image", "")).partition("/")[2] == repository
    ]
    for found in (names, ours):
        if len(found) == 1:
            return found[0]
    raise Refused(f"the task has several containers: {_listed(names)}", "say which one gets the image: `container` in rules.toml")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def part(definition: Shape, name: str) -> Mapping[str, Any]:
    """The container of that name, empty if it is not there."""
    return next((one for one in definition["containerDefinitions"] if one["name"] == name), {})


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
    definition: Shape, members: Collection[str], name: str, image: str, env: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, Any]:
    """What to register: `members` of the running definition, with the image and the variables of one container changed.

    `members` are what the call takes by the installed model: a list of what it does not take would break with each new field.
    """
    kept = {key: value for key, value in definition.items() if key in members and value is not None and key != "tags"}
    kept["containerDefinitions"] = [
        _with(one, image, env, secrets) if one["name"] == name else one for one in definition["containerDefinitions"]
    ]
    kept["tags"] = {key: value for key, value in definition["tags"].items() if not key.lower().startswith("aws:")}
    return kept


def _with(one: Shape, image: str, env: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, Any]:
    """A variable is either a value or a secret: naming it as one takes it out of the other."""
    changed = {**one, "image": image}
    if env or secrets:
        changed["environment"] = _named(one.get("environment", ()), "value", env, secrets)
        changed["secrets"] = _named(one.get("secrets", ()), "valueFrom", secrets, env)
    return changed


def _named(found: Sequence[Shape], key: str, wanted: Mapping[str, str], elsewhere: Mapping[str, str]) -> list[dict[str, Any]]:
    left = dict(wanted)
    kept = [{**one, key: left.pop(one["name"])} if one["name"] in left else dict(one) for one in found if one["name"] not in elsewhere]
    return kept + [{"name": name, key: value} for name, value in left.items()]


def equal(definition: Shape, request: Shape) -> bool:
    """Whether registering `request` would only make a copy: tags say who deployed, not what, and the order of variables says nothing."""

    def plain(one: Shape) -> dict[str, Any]:
        kept = {key: value for key, value in one.items() if value not in (None, [], {}) and key in request and key != "tags"}
        kept["containerDefinitions"] = [
            {key: _sorted(value) if key in ("environment", "secrets") else value for key, value in part.items() if value not in (None, [])}
            for part in one["containerDefinitions"]
        ]
        return kept

    return plain(definition) == plain(request)


def _sorted(found: Sequence[Shape]) -> list[Shape]:
    return sorted(found, key=lambda one: str(one["name"]))


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
    """The platform that its tasks run on, as builders say it (`linux/arm64`); None if it is not Linux."""
    runtime = definition.get("runtimePlatform") or {}
    if not str(runtime.get("operatingSystemFamily", "LINUX")).startswith("LINUX"):
        return None
    return "linux/arm64" if runtime.get("cpuArchitecture") == "ARM64" else "linux/amd64"


def log_stream(one: Shape, task: str) -> tuple[str, str] | None:
    """The log group and stream that a container of a task (its id) writes to; None if that cannot be known."""
    configured = one.get("logConfiguration") or {}
    options = configured.get("options") or {}
    group, prefix = options.get("awslogs-group"), options.get("awslogs-stream-prefix")
    if configured.get("logDriver") != "awslogs" or not group or not prefix:
        return None
    return str(group), f"{prefix}/{one['name']}/{task}"
