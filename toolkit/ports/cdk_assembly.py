"""What a CDK assembly says, and nothing else: its stacks and stages, their templates and assets. It
may be a stranger's: nothing in it leads out of its folder but the sources of its assets.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from toolkit.advice import ShellCommand
from toolkit.errors import FileProblem, Missing, Refused
from toolkit.formats.cdk_manifest import (
    ASSETS,
    DEEPEST,
    STACK,
    STAGE,
    AssetManifest,
    Manifest,
    json_object,
    read_as,
)
from toolkit.ports.aws.names import partition, suffix
from toolkit.ports.files import is_inside, read

USUAL_QUALIFIER = "hnb659fds"
"""The qualifier of `cdk bootstrap` by default."""


class CdkAsset(Struct, frozen=True):
    """A file or folder that the template needs in a bucket. `path` is absolute; a folder is
    zipped.
    """

    name: str
    path: str
    packaging: str
    bucket: str
    key: str
    text: str = ""
    """The content, where it is not a file: a template."""


class StackArtifact(Struct, frozen=True):
    """One stack of an assembly. `template` is its text, and `stored` where it would lie in S3."""

    name: str
    template: str
    stored: tuple[str, str] | None
    assets: tuple[CdkAsset, ...]
    role: str | None
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    protected: bool
    bootstrap: tuple[str, int] | None
    """The parameter that holds the bootstrap's version, and the version that is needed."""
    warnings: tuple[str, ...] = ()
    """The app's warnings about this stack."""


class _Destination(Struct, frozen=True, rename="camel"):
    """Where an asset goes."""

    bucket_name: str
    object_key: str


class _Source(Struct, frozen=True):
    """What an asset is made from: a path, or a program that prints one."""

    path: str | None = None
    packaging: str = "file"
    executable: Any = None


class _FileAsset(Struct, frozen=True, rename="camel"):
    """A file or folder of an asset manifest."""

    source: _Source
    destinations: dict[str, _Destination] = {}
    display_name: str | None = None


class _ImageAsset(Struct, frozen=True, rename="camel"):
    """An image of an asset manifest."""

    display_name: str | None = None


class StageAssembly(Struct, frozen=True):
    """An app's assembly, or that of a stage in it: its folder, its manifest, the path of the
    stage's artifact (empty for the app's own), and the remarks about the stages around it.
    """

    folder: str
    manifest: Mapping[str, Any]
    stage: str
    remarks: list["Remark"]


class _StackEntry(Struct, frozen=True):
    """A stack in a manifest. `remarks` are those about the stages around it."""

    folder: str
    manifest: Mapping[str, Any]
    entry: Mapping[str, Any]
    remarks: list["Remark"]

    def dependencies(self) -> Iterator[Mapping[str, Any]]:
        """The artifacts that it depends on."""
        for name in self.entry.get("dependencies", ()):
            yield self.manifest["artifacts"].get(name, {})


class Level(StrEnum):
    """The kind of a remark that an app makes about a construct, as in its metadata."""

    WARNING = "aws:cdk:warning"
    ERROR = "aws:cdk:error"


class Remark(Struct, frozen=True):
    """A remark of an app about one of its constructs."""

    level: Level
    text: str


def artifact(
    assembly: str, name: str, account: str, region: str, strict: bool = False
) -> StackArtifact:
    """The stack of an assembly that has this name. Raises FileProblem, Refused: also for an error
    that the app notes about the stack, with `strict` for a warning.
    """
    stacks: dict[str, _StackEntry] = {}
    for stage in assemblies(assembly):
        _refuse_lookups(stage.manifest)
        for key, entry in stage.manifest.get("artifacts", {}).items():
            if entry.get("type") == STACK:
                stack_name = entry.get("properties", {}).get("stackName") or key
                stacks[stack_name] = _StackEntry(stage.folder, stage.manifest, entry, stage.remarks)
    if name not in stacks:
        raise Refused(
            f"the CDK app has no stack {name}",
            f"it has {', '.join(sorted(stacks)) or 'none'}; correct `stack` or `context`",
        )
    stack = stacks[name]
    remarks = [*stack.remarks, *_remarks(stack.folder, stack.entry)]
    for dependency in stack.dependencies():
        if dependency.get("type") != STACK:  # another stack's remarks are about its own deploy
            remarks += _remarks(stack.folder, dependency)
    _refuse_remarks(name, remarks, strict)
    _refuse_other_location(name, stack.entry, account, region)
    warnings = [remark.text for remark in remarks if remark.level is Level.WARNING]
    return _artifact(name, stack, account, region, tuple(dict.fromkeys(warnings)))


def _remarks(folder: str, artifact: Mapping[str, Any]) -> list[Remark]:
    """The remarks in an artifact's metadata, which is in the manifest, or since 2025 in a file
    beside it.
    """
    metadata: list[tuple[str, Any]] = list((artifact.get("metadata") or {}).items())
    file = artifact.get("additionalMetadataFile")
    if file:
        metadata += _json(_inside(folder, file)).items()
    remarks = []
    for path, entries in metadata:
        if not isinstance(entries, list):
            continue
        for entry in entries:
            if not isinstance(entry, dict) or entry.get("type") not in list(Level):
                continue
            text = entry.get("data")
            if not isinstance(text, str):
                text = json.dumps(text, sort_keys=True)
            remarks.append(Remark(Level(entry["type"]), f"{path}: {' '.join(text.split())}"))
    return remarks


def _refuse_remarks(name: str, remarks: Sequence[Remark], strict: bool) -> None:
    """Raises Refused with all errors that the app notes about a stack, with `strict` also for
    warnings.
    """
    bad = list(dict.fromkeys(remark.text for remark in remarks if remark.level is Level.ERROR))
    if bad:
        raise Refused(
            f"the CDK app says that {name} must not be deployed: {'; '.join(bad)}",
            "fix what it says, then deploy again",
        )
    warned = list(dict.fromkeys(remark.text for remark in remarks))
    if strict and warned:
        raise Refused(
            f"the CDK app warns about {name}, and cdk.json is `strict`: {'; '.join(warned)}",
            "fix what it says, then deploy again",
        )


def assemblies(assembly: str) -> Iterator[StageAssembly]:
    """An app's assembly and those of the stages in it, each after the one around it. Raises
    FileProblem, also where two stages have one folder: the CDK gives each its own.
    """
    seen: set[str] = set()
    waiting: list[tuple[int, str, str, list[Remark]]] = [(0, assembly, "", [])]
    while waiting:
        depth, folder, stage, outer = waiting.pop()
        real = os.path.realpath(folder)
        if depth > DEEPEST:
            raise FileProblem(path=folder, reason=f"it is inside more than {DEEPEST} stages")
        if real in seen:
            raise FileProblem(path=folder, reason="it is the folder of two stages")
        seen.add(real)
        manifest = _manifest(folder)
        yield StageAssembly(folder, manifest, stage, outer)
        stages: list[tuple[int, str, str, list[Remark]]] = []
        for key, artifact in manifest.get("artifacts", {}).items():
            if artifact.get("type") == STAGE:
                inside = _inside(folder, _property(folder, artifact, "directoryName"))
                remarks = [*outer, *_remarks(folder, artifact)]
                stages.append((depth + 1, inside, os.path.join(folder, key), remarks))
        waiting += reversed(stages)


def _manifest(assembly: str) -> dict[str, Any]:
    """What an assembly consists of, with the types that the CDK writes. Raises FileProblem."""
    path = os.path.join(assembly, "manifest.json")
    manifest = _json(path)
    read_as(Manifest, manifest, path)
    return manifest


def _property(folder: str, artifact: Mapping[str, Any], name: str) -> str:
    """A property that an artifact of its type always has. Raises FileProblem."""
    value: str | None = artifact.get("properties", {}).get(name)
    if value is None:
        path = os.path.join(folder, "manifest.json")
        raise FileProblem(path=path, reason=f"an artifact in it has no {name}")
    return value


def _json(path: str) -> dict[str, Any]:
    return json_object(read(path), path)


def _inside(folder: str, name: str) -> str:
    """The path of what an assembly names in its folder. Raises FileProblem."""
    path = _existing(folder, name)
    if not is_inside(path, folder):
        raise FileProblem(path=path, reason="the assembly names it, but it is outside of it")
    return path


def _existing(folder: str, name: str) -> str:
    """The path of an asset: one of a stage lies in the app's assembly, and one that was not staged
    has an absolute path. Raises FileProblem if nothing is there.
    """
    path = os.path.join(folder, name)  # which is the name itself if that is absolute
    if not os.path.exists(path):
        raise FileProblem(path=path, reason="the assembly names it, but it does not exist")
    return path


_BY_CLI = "deploy it with the CDK's own CLI:"


def _refuse_lookups(manifest: Mapping[str, Any]) -> None:
    missing = [str(lookup.get("key")) for lookup in manifest.get("missing") or ()]
    if missing:
        raise Refused(
            f"the CDK app has to look up {', '.join(missing)}",
            (
                "run",
                ShellCommand("npx cdk synth"),
                "once with credentials, and commit cdk.context.json",
            ),
        )


def _refuse_other_location(name: str, stack: Mapping[str, Any], account: str, region: str) -> None:
    parts = str(stack.get("environment", "")).removeprefix("aws://").split("/")
    if len(parts) != 2:
        return
    if parts[0] not in ("unknown-account", account) or parts[1] not in ("unknown-region", region):
        raise Refused(
            f"the CDK app puts stack {name} into account {parts[0]}, region {parts[1]}, not into"
            f" {account}, {region}",
            "correct `env` in the app, or the environment in rules.toml",
        )


def _artifact(
    name: str, stack: _StackEntry, account: str, region: str, warnings: tuple[str, ...]
) -> StackArtifact:
    properties = stack.entry.get("properties", {})

    def filled(text: str) -> str:
        return placed(text, account, region)

    assets: list[CdkAsset] = []
    images: list[str] = []
    for dependency in stack.dependencies():
        if dependency.get("type") == ASSETS:
            path = _inside(stack.folder, _property(stack.folder, dependency, "file"))
            manifest = read_as(AssetManifest, _json(path), path)
            for key, image in manifest.docker_images.items():
                images.append(read_as(_ImageAsset, image, path).display_name or key)
            files = {key: read_as(_FileAsset, file, path) for key, file in manifest.files.items()}
            assets += _assets(stack.folder, files, filled)
    if images:
        raise Refused(
            f"stack {name} builds the image {', '.join(images)}, which toolkit does not do for a"
            " stack",
            (_BY_CLI, ShellCommand("npx cdk deploy", (name,))),
        )
    template = _inside(stack.folder, _property(stack.folder, stack.entry, "templateFile"))
    stored = _stored(filled(properties.get("stackTemplateAssetObjectUrl", "")))
    role = properties.get("cloudFormationExecutionRoleArn")
    version = properties.get("requiresBootstrapStackVersion")
    parameter = properties.get("bootstrapStackVersionSsmParameter")
    return StackArtifact(
        name=name,
        template=read(template).decode("utf-8", "replace"),
        stored=stored,
        assets=tuple(asset for asset in assets if (asset.bucket, asset.key) != stored),
        role=filled(role) if role else None,
        tags=properties.get("tags") or {},
        parameters=properties.get("parameters") or {},
        protected=bool(properties.get("terminationProtection")),
        bootstrap=(str(parameter), int(version)) if version and parameter else None,
        warnings=warnings,
    )


def _assets(
    folder: str, files: Mapping[str, _FileAsset], filled: Callable[[str], str]
) -> list[CdkAsset]:
    assets = []
    for key, file in files.items():
        if file.source.executable is not None or file.source.path is None:
            raise Refused(
                f"asset {key} is made by a program of its own",
                (_BY_CLI, ShellCommand("npx cdk deploy")),
            )
        path = _existing(folder, file.source.path)
        for location in file.destinations.values():
            assets.append(
                CdkAsset(
                    file.display_name or key,
                    path,
                    file.source.packaging,
                    filled(location.bucket_name),
                    filled(location.object_key),
                )
            )
    return assets


def _stored(address: str) -> tuple[str, str] | None:
    """Bucket and key of an s3:// address."""
    parts = re.fullmatch(r"s3://([^/]+)/(.+)", address)
    return (parts[1], parts[2]) if parts else None


def placed(text: str, account: str, region: str) -> str:
    """A name of the assembly with account, region and partition filled in."""
    values = {
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::Partition": partition(region),
        "AWS::URLSuffix": suffix(region),
    }
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def not_bootstrapped(
    account: str, region: str, profile: str | None = None, parameter: str = ""
) -> Missing:
    """The error for an account and region without `cdk bootstrap`. `parameter` is the name of the
    one that an app requires, which contains the qualifier.
    """
    return Missing(
        ("run:", bootstrap_command(account, region, profile, parameter)),
        what="CDK bootstrap",
        name=f"in account {account}",
        where=f", {region}",
    )


def bootstrap_command(
    account: str, region: str, profile: str | None = None, parameter: str = ""
) -> ShellCommand:
    """The command that prepares an account and region for an app."""
    words = [f"aws://{account}/{region}"]
    match = re.fullmatch(r"/cdk-bootstrap/([A-Za-z0-9_-]{1,10})/version", parameter)
    if match and match[1] != USUAL_QUALIFIER:
        words += ["--qualifier", match[1], "--toolkit-stack-name", f"CDKToolkit-{match[1]}"]
    if profile:
        words += ["--profile", profile]
    return ShellCommand("npx cdk bootstrap", tuple(words))
