"""The form of an assembly's manifests, as the CDK writes them and as far as they are used."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from toolkit.errors import FileProblem

STACK, STAGE, ASSETS = "aws:cloudformation:stack", "cdk:cloud-assembly", "cdk:asset-manifest"
"""The types of a stack, of a stage (an assembly inside another), and of a stack's assets."""
DEEPEST = 30
"""How deep stages may lie in each other: the CDK's own apps have two or three."""

Shape = TypeVar("Shape")


class ArtifactProperties(Struct, frozen=True, rename="camel"):
    """What an artifact's properties have to be like."""

    directory_name: str | None = None
    file: str | None = None
    template_file: str | None = None
    stack_name: str | None = None
    stack_template_asset_object_url: str = ""
    cloud_formation_execution_role_arn: str | None = None
    requires_bootstrap_stack_version: int | None = None
    bootstrap_stack_version_ssm_parameter: str | None = None
    termination_protection: bool | None = None
    notification_arns: list[str] | None = None
    tags: dict[str, str] | None = None
    parameters: dict[str, str] | None = None


class ManifestArtifact(Struct, frozen=True, rename="camel"):
    """What an artifact has to be like."""

    type: str = ""
    environment: str = ""
    properties: ArtifactProperties = ArtifactProperties()
    dependencies: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    additional_metadata_file: str | None = None
    display_name: str | None = None

    def needed(self, manifest: str, name: str) -> str:
        """A property that an artifact of its type always has. Raises FileProblem."""
        value: str | None = getattr(self.properties, name)
        if value is None:
            first, *rest = name.split("_")
            spelled = first + "".join(word.capitalize() for word in rest)
            raise FileProblem(path=manifest, reason=f"an artifact in it has no {spelled}")
        return value


class Manifest(Struct, frozen=True):
    """What manifest.json has to be like."""

    artifacts: dict[str, ManifestArtifact] = {}
    missing: list[dict[str, Any]] | None = None


class AssetManifest(Struct, frozen=True, rename="camel"):
    """The assets of a stack."""

    files: dict[str, dict[str, Any]] = {}
    docker_images: dict[str, dict[str, Any]] = {}


def json_object(content: bytes, path: str) -> dict[str, Any]:
    """A file's content, which is a JSON object. Raises FileProblem."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise FileProblem(path=path, reason="it is not JSON") from None
    if not isinstance(document, dict):
        raise FileProblem(path=path, reason="it is not a JSON object")
    return document


def read_as(shape: type[Shape], document: Mapping[str, Any], path: str) -> Shape:
    """The content of a file as a struct. Raises FileProblem."""
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as problem:
        raise FileProblem(path=path, reason=f"it is not as the CDK writes it: {problem}") from None
