"""The stacks of an assembly, and of templates that people write themselves."""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import FileProblem
from toolkit.formats.cdk_manifest import (
    ASSETS,
    STACK,
    AssemblyStage,
    AssetManifest,
    ManifestArtifact,
    Reader,
    json_object,
    metadata,
    read_as,
    read_assembly,
)
from toolkit.formats.documents import as_mapping
from toolkit.formats.template import template_data, texts
from toolkit.templates.clean import NESTED, canonical_digest, cleaned
from toolkit.templates.model import Asset, AssetKind, SynthesizedStack
from toolkit.templates.references import replaced

MOST_NESTED = 500
"""The most nested stacks of a stack, and DEEPEST_NESTED how deep they may lie in each other."""
DEEPEST_NESTED = 20

_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_NAMED_HASH = re.compile(
    r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])(?:(S3Bucket|S3VersionKey|ArtifactHash)[0-9A-F]{8})?"
)
"""A hash, in the CDK's old synthesis as a part of a parameter's name: the last digits of that come
from the hash, too.
"""
_DUMMY = re.compile(
    r"dummy-value-for-|dummy1[abc]\b|\bvpc-12345\b|\bami-1234\b|\bsg-12345678\b|\bsubnet-12345\b"
    r"|\bDUMMY\b|\bvgw-12345\b|\bp-12345\b|\bs-12345\b|\brtb-12345s\b"
)
"""What the CDK puts where a lookup has not been answered."""


class _Files(Struct, frozen=True):
    """What the manifests of a stack's assets say. `templates` are files as they are, by hash."""

    assets: tuple[Asset, ...]
    templates: Mapping[str, str]


def stacks(read: Reader) -> tuple[SynthesizedStack, ...]:
    """Every stack of an assembly and of the stages in it, in the order of the manifests. `read`
    reads its files. Raises FileProblem for what is missing, or not as the CDK writes it.
    """
    app = read_assembly(read)
    before = _dependencies(app)
    built = [
        _stack(read, stage, key, artifact, before[stage.folder, key])
        for stage, key, artifact in app.stacks()
    ]
    lookups = [lookup for stage in app.all() for lookup in stage.manifest.missing or ()]
    return tuple(_with_missing(built, lookups))


def _dependencies(app: AssemblyStage) -> dict[tuple[str, str], tuple[str, ...]]:
    """Stack, by folder and key -> the ids of the stacks before it: those that it depends on itself,
    and that the stages around it do.
    """
    before: dict[tuple[str, str], tuple[str, ...]] = {}
    waiting: list[tuple[AssemblyStage, frozenset[str]]] = [(app, frozenset())]
    while waiting:
        stage, outer = waiting.pop()
        for key, artifact in stage.manifest.artifacts.items():
            ids = set(outer)
            for name in artifact.dependencies:
                other = stage.manifest.artifacts.get(name, ManifestArtifact())
                if other.type == STACK:
                    ids.add(other.display_name or name)
                elif name in stage.stages:
                    inner = stage.stages[name].stacks()
                    ids |= {stack.display_name or own for _, own, stack in inner}
            if artifact.type == STACK:
                before[stage.folder, key] = tuple(sorted(ids))
            elif key in stage.stages:
                waiting.append((stage.stages[key], frozenset(ids)))
    return before


def _stack(
    read: Reader,
    stage: AssemblyStage,
    key: str,
    artifact: ManifestArtifact,
    before: tuple[str, ...],
) -> SynthesizedStack:
    properties = artifact.properties
    path = stage.file(artifact, "template_file")
    files = _files(read, stage, artifact, path)
    nesting = _Nesting(read, files.templates)
    template = nesting.template(path, "", ())
    account, region = artifact.place
    return SynthesizedStack(
        id=artifact.display_name or key,
        name=properties.stack_name or key,
        account=account,
        region=region,
        template=template,
        parameters=properties.parameters or {},
        tags=_tags(read, stage, artifact),
        protected=bool(properties.termination_protection),
        role=properties.cloud_formation_execution_role_arn or "",
        notifications=tuple(properties.notification_arns or ()),
        assets=tuple(asset for asset in files.assets if asset.content not in nesting.digests),
        nested=nesting.templates,
        dependencies=before,
        undeployed=nesting.undeployed,
        labels=_inner_labels(nesting.labels, artifact.display_name or key),
        remarks=stage.all_remarks(read, artifact),
    )


def _tags(read: Reader, stage: AssemblyStage, artifact: ManifestArtifact) -> Mapping[str, str]:
    """The tags of a stack; the CDK wrote them into its metadata before they were a property."""
    if artifact.properties.tags is not None:
        return artifact.properties.tags
    tags = {}
    for _, entry in metadata(read, stage.folder, artifact):
        if entry.get("type") == "aws:cdk:stack-tags":
            data = entry.get("data")
            for tag in data if isinstance(data, list) else ():
                pair = {str(name).lower(): value for name, value in as_mapping(tag).items()}
                tags[str(pair.get("key"))] = str(pair.get("value"))
    return tags


def _files(read: Reader, stage: AssemblyStage, artifact: ManifestArtifact, template: str) -> _Files:
    assets: list[Asset] = []
    templates: dict[str, str] = {}
    listed = False
    for other in stage.dependencies(artifact):
        if other.type != ASSETS:
            continue
        listed = True
        path = stage.file(other, "file")
        manifest = read_as(AssetManifest, json_object(read(path), path), path)
        for key, file in manifest.files.items():
            source = as_mapping(file.get("source"))
            location = posixpath.normpath(posixpath.join(stage.folder, str(source.get("path"))))
            if location == template:
                continue  # the stack's own template
            if source.get("packaging") == "file":
                templates[key] = location
            assets.append(_asset(AssetKind.FILE, key, file, "path"))
        for key, image in manifest.docker_images.items():
            assets.append(_asset(AssetKind.IMAGE, key, image, "directory"))
    if not listed:
        assets += _legacy_assets(read, stage, artifact, templates)
    order = sorted(assets, key=lambda asset: (asset.kind, asset.content))
    return _Files(tuple(order), templates)


def _asset(kind: AssetKind, key: str, entry: Mapping[str, Any], place: str) -> Asset:
    """An asset of an asset manifest; `place` is the option that says where it lies on this machine,
    which decides nothing.
    """
    source = as_mapping(entry.get("source"))
    options = {name: value for name, value in source.items() if name != place}
    return Asset(kind, key, options, str(entry.get("displayName") or key))


_PLACES = frozenset(
    ("id", "path", "sourceHash", "repositoryName", "imageTag", "imageNameParameter")
)


def _legacy_assets(
    read: Reader, stage: AssemblyStage, artifact: ManifestArtifact, templates: dict[str, str]
) -> Iterator[Asset]:
    """The assets of the CDK's old synthesis, which stand in the stack's metadata. Those that are
    files as they are go to `templates`.
    """
    for _, entry in metadata(read, stage.folder, artifact):
        data = as_mapping(entry.get("data"))
        if entry.get("type") != "aws:cdk:asset" or not data:
            continue
        key = str(data.get("sourceHash") or data.get("id"))
        image = data.get("packaging") == "container-image"
        if data.get("packaging") == "file":
            place = posixpath.join(stage.folder, str(data.get("path")))
            templates[key] = posixpath.normpath(place)
        options = {
            name: value
            for name, value in data.items()
            if name not in _PLACES and not name.endswith("Parameter")
        }
        kind = AssetKind.IMAGE if image else AssetKind.FILE
        yield Asset(kind, key, options, str(data.get("id") or key))


class _Nesting:
    """Reads the template of a stack and those that are nested in it. In a template that nests
    another, the hash of the other's file is replaced by that of its cleaned content: the file
    changes with the paths that the CDK writes into it.
    """

    def __init__(self, read: Reader, files: Mapping[str, str]) -> None:
        self._read, self._files = read, files
        self.templates: dict[str, Mapping[str, Any]] = {}
        self.digests: dict[str, str] = {}
        self.undeployed: dict[str, str] = {}
        self.labels: dict[str, str] = {}

    def template(self, path: str, prefix: str, outer: tuple[str, ...]) -> dict[str, Any]:
        """A cleaned template. `prefix` begins the names of what is in it, `outer` are the files
        that it is nested in. Raises FileProblem.
        """
        if path in outer or len(outer) > DEEPEST_NESTED or len(self.templates) > MOST_NESTED:
            raise FileProblem(path=path, reason="it is nested in itself, too deep, or too often")
        text = self._read(path).decode("utf-8", "replace")
        clean = cleaned(_data(text, path))
        for name, undeployed in clean.undeployed.items():
            self.undeployed[prefix + name] = undeployed
        self.labels |= {prefix + name: label for name, label in clean.labels.items()}
        for name, key in _nested_hashes(clean.template, self._files):
            place = f"{prefix}{name}"
            nested = self.template(self._files[key], f"{place}/", (*outer, path))
            self.templates[place] = nested
            self.digests[key] = canonical_digest(nested)
        if not self.digests:
            return clean.template
        # old synthesis hands the names of a template on through all those around it
        template: dict[str, Any] = replaced(clean.template, _substitutions(self.digests))
        return template


def _data(text: str, path: str) -> dict[str, Any]:
    try:
        data = template_data(text)
    except ValueError as error:
        raise FileProblem(path=path, reason=str(error)) from None
    for name, resource in as_mapping(data.get("Resources")).items():
        if not isinstance(as_mapping(resource).get("Type", ""), str):
            raise FileProblem(path=path, reason=f"the type of its resource {name} is not a text")
    return data


def _nested_hashes(
    template: Mapping[str, Any], files: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The nested stacks of a template, and the hash of the file that is the template of each."""
    for name, resource in as_mapping(template.get("Resources")).items():
        if as_mapping(resource).get("Type") != NESTED:
            continue
        address = as_mapping(as_mapping(resource).get("Properties")).get("TemplateURL")
        named = {key for text in texts(address) for key in _HASH.findall(text) if key in files}
        if len(named) == 1:
            yield name, named.pop()


def _substitutions(digests: Mapping[str, str]) -> Callable[[str], str]:
    def own(match: re.Match[str]) -> str:
        digest = digests.get(match[1])
        return match[0] if digest is None else digest + (match[2] or "")

    return lambda text: _NAMED_HASH.sub(own, text)


def _with_missing(
    built: Sequence[SynthesizedStack], lookups: Sequence[Mapping[str, Any]]
) -> Iterator[SynthesizedStack]:
    """The stacks, each with the lookups that it may be made of: those for its environment, also
    through stacks that it depends on, and all if a made-up value is in its template.
    """
    reasons: dict[str, list[str]] = {}
    for stack in built:
        made_up = any(_DUMMY.search(text) for text in texts([stack.template, stack.nested]))
        for lookup in lookups:
            if made_up or _is_for(stack, as_mapping(lookup.get("props"))):
                why = f"the app has to look up {lookup.get('key')}"
                reasons.setdefault(stack.id, []).append(why)
    order = {stack.id: stack for stack in built}
    grew = bool(lookups)
    while grew:
        grew = False
        for stack in order.values():
            for name in stack.dependencies:
                own = reasons.setdefault(stack.id, [])
                more = [why for why in reasons.get(name, ()) if why not in own]
                own += more
                grew = grew or bool(more)
    for stack in built:
        missing = tuple(dict.fromkeys(reasons.get(stack.id, ())))
        yield replace(stack, missing=missing) if missing else stack


def _is_for(stack: SynthesizedStack, place: Mapping[str, Any]) -> bool:
    """Whether a lookup may be for a stack's environment; one that names none may be for any."""
    pairs = ((stack.account, place.get("account")), (stack.region, place.get("region")))
    return all(not isinstance(other, str) or own == other for own, other in pairs)


def plain_stack(
    stack: SynthesizedStack,
    text: str,
    contents: Mapping[str, str] | None = None,
    nested: Mapping[str, str] | None = None,
    path: str = "template",
) -> SynthesizedStack:
    """The stack with the content of a template, JSON or YAML: CloudFormation's, SAM's, or what
    CloudFormation says that is deployed. `stack` says all else of it: its name, where, parameters.

    `contents` are the digests of the local files and folders that the template names, by their
    place (`Api.CodeUri`); `nested` the texts of nested templates, by logical ids, joined by slashes
    where they are nested deeper. `path` is the template's for errors. Raises FileProblem.
    """
    clean = cleaned(_data(text, path))
    undeployed, labels = dict(clean.undeployed), dict(clean.labels)
    templates: dict[str, Mapping[str, Any]] = {}
    for place, inner_text in (nested or {}).items():
        inner = cleaned(_data(inner_text, f"{path}: {place}"))
        templates[place] = inner.template
        undeployed |= {f"{place}/{key}": own for key, own in inner.undeployed.items()}
        labels |= {f"{place}/{key}": label for key, label in inner.labels.items()}
    assets = tuple(
        # which of them it is decides: two functions may exchange their code
        Asset(AssetKind.FILE, content, {"for": place}, place)
        for place, content in sorted((contents or {}).items())
    )
    return replace(
        stack,
        template=clean.template,
        assets=assets,
        nested=templates,
        undeployed=undeployed,
        labels=_inner_labels(labels, stack.id),
    )


def _inner_labels(labels: Mapping[str, str], stack: str) -> dict[str, str]:
    """The paths of constructs, within their stack."""
    return {name: label.removeprefix(f"{stack}/") for name, label in labels.items()}
