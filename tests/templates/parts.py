"""Stacks and assemblies for the tests of templates."""

import json
from collections.abc import Mapping
from typing import Any

from toolkit.errors import FileProblem
from toolkit.formats.cdk_manifest import Reader
from toolkit.templates.assembly import plain_stack
from toolkit.templates.compare import compare
from toolkit.templates.model import Path, StackComparison, SynthesizedStack

BUCKET, TABLE = "AWS::S3::Bucket", "AWS::DynamoDB::Table"
OLD, NEW = "a" * 64, "b" * 64
"""The hashes of two assets."""


def resource(type: str, /, **properties: Any) -> dict[str, Any]:
    """A resource with these properties."""
    return {"Type": type, "Properties": properties}


def stack(
    resources: Mapping[str, Any] | None = None, /, *, id: str = "Shop", **sections: Any
) -> SynthesizedStack:
    """A stack of a template with these resources and other sections."""
    bare = SynthesizedStack(id, id, "111111111111", "eu-west-1", {})
    return plain_stack(bare, json.dumps({"Resources": resources or {}, **sections}))


def compared(before: SynthesizedStack, after: SynthesizedStack) -> StackComparison:
    """How one stack differs from another."""
    [comparison] = compare([before], [after])
    return comparison


def values(comparison: StackComparison) -> dict[tuple[str, Path], tuple[str | None, str | None]]:
    """Logical id and path -> the values before and after."""
    return {
        (difference.logical_id, value.path): (value.before, value.after)
        for difference in comparison.resources
        for value in difference.values
    }


def reader(files: Mapping[str, Any]) -> Reader:
    """Reads an assembly that is a mapping: texts as they are, all else as JSON."""

    def read(path: str) -> bytes:
        if path not in files:
            raise FileProblem(path=path, reason="No such file or directory")
        content = files[path]
        return (content if isinstance(content, str) else json.dumps(content)).encode()

    return read


def assembly(template: Any, **more: Any) -> dict[str, Any]:
    """The files of an assembly with one stack, `Shop`. `more`: `properties` and other fields of its
    artifact, `files` and `images` of its assets, `missing` lookups, other files by their path.
    """
    properties = {"templateFile": "Shop.template.json", **more.pop("properties", {})}
    assets = {"files": more.pop("files", {}), "dockerImages": more.pop("images", {})}
    missing = more.pop("missing", [])
    other = {path: more.pop(path) for path in list(more) if path.endswith(".json")}
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://111111111111/eu-west-1",
        "properties": properties,
        "dependencies": ["Shop.assets"],
        "displayName": "Shop",
        **more,
    }
    manifest = {"type": "cdk:asset-manifest", "properties": {"file": "Shop.assets.json"}}
    return {
        "manifest.json": {
            "artifacts": {"Shop.assets": manifest, "Shop": artifact},
            "missing": missing,
        },
        "Shop.assets.json": assets,
        "Shop.template.json": template,
        **other,
    }


def file_asset(path: str, packaging: str = "file", **more: Any) -> dict[str, Any]:
    """A file of an asset manifest."""
    return {"displayName": path, "source": {"path": path, "packaging": packaging, **more}}
