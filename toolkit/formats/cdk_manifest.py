"""An assembly as the CDK writes it, as far as it is used: its manifests, the stages in it, and what
the app remarks. It may be a stranger's: no path in it leads out of it.
"""

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from toolkit.errors import FileProblem

MANIFEST = "manifest.json"
STACK, STAGE, ASSETS = "aws:cloudformation:stack", "cdk:cloud-assembly", "cdk:asset-manifest"
"""The types of a stack, of a stage (an assembly inside another), and of a stack's assets."""
DEEPEST = 30
"""How deep stages may lie in each other: the CDK's own apps have two or three."""

Reader = Callable[[str], bytes]
"""Reads a file of an assembly, by its path inside: with slashes, never absolute, never `..`. Raises
FileProblem.
"""

Shape = TypeVar("Shape")


class Level(StrEnum):
    """The kind of a remark that an app makes about a construct, as in its metadata."""

    INFO = "aws:cdk:info"
    WARNING = "aws:cdk:warning"
    ERROR = "aws:cdk:error"


class Remark(Struct, frozen=True):
    """A remark of an app about one of its constructs: the construct's path, and what is wrong."""

    level: Level
    text: str


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

    @property
    def place(self) -> tuple[str | None, str | None]:
        """Account and region of `aws://ACCOUNT/REGION`, None for what the app leaves open."""
        parts = self.environment.removeprefix("aws://").split("/")
        if len(parts) != 2:
            return None, None
        account, region = parts
        return (
            None if account in ("", "unknown-account") else account,
            None if region in ("", "unknown-region") else region,
        )

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


class AssemblyStage(Struct, frozen=True):
    """The assembly of an app, or of a stage in it: its folder in the app's assembly, its manifest,
    the path of the stage's artifact (both empty for the app's own), the stages in it by their keys,
    and the remarks about it and the stages around it.
    """

    folder: str
    manifest: Manifest
    path: str
    stages: Mapping[str, "AssemblyStage"]
    remarks: tuple[Remark, ...]

    def all(self) -> Iterator["AssemblyStage"]:
        """It and the stages in it, each after the one around it."""
        yield self
        for stage in self.stages.values():
            yield from stage.all()

    def stacks(self) -> Iterator[tuple["AssemblyStage", str, ManifestArtifact]]:
        """Its stacks and those of its stages, in the order of the manifests, with their keys."""
        for key, artifact in self.manifest.artifacts.items():
            if artifact.type == STACK:
                yield self, key, artifact
            elif key in self.stages:
                yield from self.stages[key].stacks()

    @property
    def manifest_path(self) -> str:
        """The path of its manifest, for errors."""
        return posixpath.join(self.folder, MANIFEST)

    def inside(self, name: str) -> str:
        """The path of what its manifest names. Raises FileProblem for one outside of the app's."""
        return _inside(self.folder, name)

    def file(self, artifact: ManifestArtifact, name: str) -> str:
        """The path of the file that a property of an artifact names. Raises FileProblem."""
        return self.inside(artifact.needed(self.manifest_path, name))

    def dependencies(self, artifact: ManifestArtifact) -> Iterator[ManifestArtifact]:
        """The artifacts that one depends on, as far as they exist."""
        for name in artifact.dependencies:
            if name in self.manifest.artifacts:
                yield self.manifest.artifacts[name]

    def all_remarks(self, read: Reader, stack: ManifestArtifact) -> tuple[Remark, ...]:
        """What the app remarks about one of its stacks, and about the stages around that. Another
        stack's remarks are about its own deploy.
        """
        every = [*self.remarks, *remarks(read, self.folder, stack)]
        for dependency in self.dependencies(stack):
            if dependency.type != STACK:
                every += remarks(read, self.folder, dependency)
        return tuple(dict.fromkeys(every))


def read_assembly(read: Reader) -> AssemblyStage:
    """The stage that is the whole app. Raises FileProblem for what is missing, or not as the CDK
    writes it, also where two stages have one folder: the CDK gives each its own.
    """
    return _stage(read, "", "", (), 0, set())


def _stage(
    read: Reader,
    folder: str,
    path: str,
    outer: tuple[Remark, ...],
    depth: int,
    before: set[str],
) -> AssemblyStage:
    file = posixpath.join(folder, MANIFEST)
    if depth > DEEPEST:
        raise FileProblem(path=file, reason=f"it is inside more than {DEEPEST} stages")
    if folder in before:
        raise FileProblem(path=file, reason="it is in the folder of two stages")
    before.add(folder)
    manifest = read_as(Manifest, json_object(read(file), file), file)
    stages = {}
    for key, artifact in manifest.artifacts.items():
        if artifact.type == STAGE:
            inner = _inside(folder, artifact.needed(file, "directory_name"))
            about = (*outer, *remarks(read, folder, artifact))
            own = posixpath.join(folder, key)
            stages[key] = _stage(read, inner, own, about, depth + 1, before)
    return AssemblyStage(folder, manifest, path, stages, outer)


def _inside(folder: str, name: str) -> str:
    path = posixpath.normpath(posixpath.join(folder, name))
    if path in (".", "..") or path.startswith(("../", "/")) or "\0" in path:
        manifest = posixpath.join(folder, MANIFEST)
        raise FileProblem(path=manifest, reason=f"it names {name}, which is outside of it")
    return path


def metadata(read: Reader, folder: str, artifact: ManifestArtifact) -> Iterator[tuple[str, Any]]:
    """The entries of an artifact's metadata, each with its construct's path. They are in the
    manifest, or since 2025 in a file beside it. Raises FileProblem.
    """
    every: list[tuple[str, Any]] = list((artifact.metadata or {}).items())
    if artifact.additional_metadata_file:
        path = _inside(folder, artifact.additional_metadata_file)
        every += json_object(read(path), path).items()
    for construct, entries in every:
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                yield construct, entry


def remarks(read: Reader, folder: str, artifact: ManifestArtifact) -> Iterator[Remark]:
    """The remarks in an artifact's metadata. Raises FileProblem."""
    for construct, entry in metadata(read, folder, artifact):
        if entry.get("type") in list(Level):
            text = entry.get("data")
            if not isinstance(text, str):
                text = json.dumps(text, sort_keys=True)
            yield Remark(Level(entry["type"]), f"{construct}: {' '.join(text.split())}")


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
