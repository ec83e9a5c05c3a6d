"""What runs in an account, as it was read: what `init --from-aws` draws evidence from."""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolkit.formats.documents import as_mapping
from toolkit.formats.template import template_data
from toolkit.init.templates import LOCAL_CODE, NESTED

_UPLOADED = frozenset((*LOCAL_CODE, *NESTED))
"""Properties that name local files in a template, and an upload in what is deployed of it."""


class LiveService(Struct, frozen=True):
    """An ECS service, and container -> image."""

    cluster: str
    name: str
    images: Mapping[str, str]


class LiveStack(Struct, frozen=True):
    """A stack; `template` is what `plain_template` makes of its template, None if that is not
    known.
    """

    name: str
    template: str | None


class LiveFunction(Struct, frozen=True):
    """A Lambda function: its handler, or its image. `stack` is the stack that made it, empty if
    there is none; `apart` says that it is no stack that gave it its code, None if that is not
    known. `aliases` are read of those alone that stand apart.
    """

    name: str
    handler: str = ""
    image: str = ""
    stack: str = ""
    apart: bool | None = None
    aliases: tuple[str, ...] = ()


class LiveBucket(Struct, frozen=True):
    """A bucket, the distributions that it is behind, and names of its objects."""

    name: str
    distributions: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


class Account(Struct, frozen=True):
    """What runs in a region of an account, and `unknown`: what could not be read, and why."""

    number: str
    region: str
    services: tuple[LiveService, ...] = ()
    stacks: tuple[LiveStack, ...] = ()
    functions: tuple[LiveFunction, ...] = ()
    buckets: tuple[LiveBucket, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()


def plain_template(text: str) -> str | None:
    """A template as one text that is equal for equal templates, whatever way they are written:
    without metadata, and without where local code was uploaded to. None for what is none.
    """
    try:
        data = template_data(text)
    except (ValueError, RecursionError):
        return None
    resources = {}
    for name, value in as_mapping(data.get("Resources")).items():
        resource = as_mapping(value)
        if resource.get("Type") == "AWS::CDK::Metadata":
            continue
        properties: dict[str, Any] = {
            key: "" if key in _UPLOADED else inner
            for key, inner in as_mapping(resource.get("Properties")).items()
        }
        kept = {key: inner for key, inner in resource.items() if key != "Metadata"}
        resources[name] = {**kept, "Properties": properties}
    left_out = ("Metadata", "Resources", "Conditions")
    rest = {key: value for key, value in data.items() if key not in left_out}
    conditions = {
        key: value
        for key, value in as_mapping(data.get("Conditions")).items()
        if key != "CDKMetadataAvailable"
    }
    whole = {**rest, "Conditions": conditions, "Resources": resources}
    return json.dumps(whole, sort_keys=True, default=str)


def packaged_code(text: str, name: str) -> Mapping[str, Any]:
    """Where a template takes the code of one of its functions from; empty if it does not say."""
    try:
        data = template_data(text)
    except (ValueError, RecursionError):
        return {}
    resource = as_mapping(as_mapping(data.get("Resources")).get(name))
    return as_mapping(as_mapping(resource.get("Properties")).get("Code"))
