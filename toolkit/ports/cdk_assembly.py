"""What a deploy takes from a CDK assembly: a stack's template and assets, and what refuses it. It
may be a stranger's: nothing in it leads out of its folder but the sources of its assets.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolkit.advice import ShellCommand
from toolkit.errors import FileProblem, Missing, Refused
from toolkit.formats.cdk_manifest import (
    ASSETS,
    AssemblyStage,
    AssetManifest,
    Level,
    Manifest,
    ManifestArtifact,
    Reader,
    Remark,
    json_object,
    read_as,
    read_assembly,
)
from toolkit.ports.aws.names import partition, suffix
from toolkit.ports.files import is_inside, read_inside

USUAL_QUALIFIER = "hnb659fds"
"""The qualifier of `cdk bootstrap` by default."""
MOST_BYTES = 32 << 20
"""The most bytes of one file of an assembly."""


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


def reader(assembly: str) -> Reader:
    """What reads the files of the assembly in a folder."""

    def read(name: str) -> bytes:
        path = os.path.join(assembly, name)
        if os.path.exists(path) and not is_inside(path, assembly):
            raise FileProblem(path=path, reason="the assembly names it, but it is outside of it")
        content = read_inside(assembly, name, MOST_BYTES)
        if len(content) > MOST_BYTES:
            raise FileProblem(path=path, reason=f"it is larger than {MOST_BYTES >> 20} MB")
        return content

    return read


def read_stages(assembly: str) -> AssemblyStage:
    """The stages of the assembly in a folder. Raises FileProblem."""
    return read_assembly(reader(assembly))


def artifact(
    assembly: str, name: str, account: str, region: str, strict: bool = False
) -> StackArtifact:
    """The stack of an assembly that has this name. Raises FileProblem, Refused: also for an error
    that the app notes about the stack, with `strict` for a warning.
    """
    read = reader(assembly)
    app = read_assembly(read)
    for stage in app.all():
        _refuse_lookups(stage.manifest)
    stacks = {
        artifact.properties.stack_name or key: (stage, artifact)
        for stage, key, artifact in app.stacks()
    }
    if name not in stacks:
        raise Refused(
            f"the CDK app has no stack {name}",
            f"it has {', '.join(sorted(stacks)) or 'none'}; correct `stack` or `context`",
        )
    stage, stack = stacks[name]
    remarks = stage.all_remarks(read, stack)
    _refuse_remarks(name, remarks, strict)
    _refuse_other_location(name, stack, account, region)
    properties = stack.properties

    def filled(text: str) -> str:
        return placed(text, account, region)

    folder = os.path.join(assembly, stage.folder)
    assets = _AssetReader(folder, read, stage, filled).assets(name, stack)
    stored = _stored(filled(properties.stack_template_asset_object_url))
    role = properties.cloud_formation_execution_role_arn
    version = properties.requires_bootstrap_stack_version
    parameter = properties.bootstrap_stack_version_ssm_parameter
    return StackArtifact(
        name=name,
        template=read(stage.file(stack, "template_file")).decode("utf-8", "replace"),
        stored=stored,
        assets=tuple(asset for asset in assets if (asset.bucket, asset.key) != stored),
        role=filled(role) if role else None,
        tags=properties.tags or {},
        parameters=properties.parameters or {},
        protected=bool(properties.termination_protection),
        bootstrap=(parameter, version) if version and parameter else None,
        warnings=tuple(remark.text for remark in remarks if remark.level is Level.WARNING),
    )


def _refuse_remarks(name: str, remarks: Sequence[Remark], strict: bool) -> None:
    """Raises Refused with all errors that the app notes about a stack, with `strict` also for
    warnings.
    """
    bad = [remark.text for remark in remarks if remark.level is Level.ERROR]
    if bad:
        raise Refused(
            f"the CDK app says that {name} must not be deployed: {'; '.join(bad)}",
            "fix what it says, then deploy again",
        )
    warned = [remark.text for remark in remarks if remark.level is Level.WARNING]
    if strict and warned:
        raise Refused(
            f"the CDK app warns about {name}, and cdk.json is `strict`: {'; '.join(warned)}",
            "fix what it says, then deploy again",
        )


def _existing(folder: str, name: str) -> str:
    """The path of an asset: one of a stage lies in the app's assembly, and one that was not staged
    has an absolute path. Raises FileProblem if nothing is there.
    """
    path = os.path.join(folder, name)  # which is the name itself if that is absolute
    if not os.path.exists(path):
        raise FileProblem(path=path, reason="the assembly names it, but it does not exist")
    return path


_BY_CLI = "deploy it with the CDK's own CLI:"


def _refuse_lookups(manifest: Manifest) -> None:
    missing = [str(lookup.get("key")) for lookup in manifest.missing or ()]
    if missing:
        raise Refused(
            f"the CDK app has to look up {', '.join(missing)}",
            (
                "run",
                ShellCommand("npx cdk synth"),
                "once with credentials, and commit cdk.context.json",
            ),
        )


def _refuse_other_location(name: str, stack: ManifestArtifact, account: str, region: str) -> None:
    theirs = stack.place
    if theirs[0] not in (None, account) or theirs[1] not in (None, region):
        raise Refused(
            f"the CDK app puts stack {name} into account {theirs[0]}, region {theirs[1]}, not into"
            f" {account}, {region}",
            "correct `env` in the app, or the environment in rules.toml",
        )


class _AssetReader(Struct, frozen=True):
    """Reads the assets of one stack. `filled` puts the location into a name."""

    folder: str
    """That of the stack's stage, absolute."""
    read: Reader
    stage: AssemblyStage
    filled: Callable[[str], str]

    def assets(self, name: str, stack: ManifestArtifact) -> list[CdkAsset]:
        """The files of the stack with that name. Raises FileProblem, Refused."""
        assets: list[CdkAsset] = []
        images: list[str] = []
        for dependency in self.stage.dependencies(stack):
            if dependency.type == ASSETS:
                path = self.stage.file(dependency, "file")
                manifest = read_as(AssetManifest, json_object(self.read(path), path), path)
                for key, image in manifest.docker_images.items():
                    images.append(read_as(_ImageAsset, image, path).display_name or key)
                for key, file in manifest.files.items():
                    assets += self._places(key, read_as(_FileAsset, file, path))
        if images:
            raise Refused(
                f"stack {name} builds the image {', '.join(images)}, which toolkit does not do for"
                " a stack",
                (_BY_CLI, ShellCommand("npx cdk deploy", (name,))),
            )
        return assets

    def _places(self, key: str, file: _FileAsset) -> Iterator[CdkAsset]:
        if file.source.executable is not None or file.source.path is None:
            raise Refused(
                f"asset {key} is made by a program of its own",
                (_BY_CLI, ShellCommand("npx cdk deploy")),
            )
        path = _existing(self.folder, file.source.path)
        for location in file.destinations.values():
            yield CdkAsset(
                file.display_name or key,
                path,
                file.source.packaging,
                self.filled(location.bucket_name),
                self.filled(location.object_key),
            )


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
