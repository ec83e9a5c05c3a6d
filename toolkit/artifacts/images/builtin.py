"""The built-in builder: for Dockerfiles that only copy. It needs no other program, and the same
files give the same digest.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from toolkit.artifacts.images import bases
from toolkit.artifacts.images.bases import BaseImage
from toolkit.artifacts.images.context import Context, secret_looking
from toolkit.artifacts.images.evaluate import (
    ENGINES,
    CopyStep,
    EvaluatedStage,
    FolderStep,
    evaluate,
    merged_labels,
)
from toolkit.artifacts.images.layers import GZIP, LayerFile, write
from toolkit.artifacts.images.tree import FromContext, ImageNode, ImageTree, Layer
from toolkit.artifacts.images.types import BUILT_IN, BuildLog, Pushed, Recipe, pushed
from toolkit.errors import FileProblem, Refused, TagTaken
from toolkit.formats import dockerignore
from toolkit.formats.build_stages import (
    BuildArguments,
    BuildStage,
    Platform,
    global_args,
    needed,
    platform,
    stages,
)
from toolkit.formats.dockerfile import Dockerfile, parse, refuse_heredocs
from toolkit.formats.words import size
from toolkit.ports import files
from toolkit.ports.registry import MANIFEST, RegistryClient, connected, digest_of, tag_taken
from toolkit.ports.registry_address import RegistryAddress

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LARGEST_TEXT = 1 << 20
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class BuildPlan(Struct, frozen=True):
    """A Dockerfile read for one build. `stages` are those that count; the last is the image."""

    parsed: Dockerfile
    platform: Platform
    arguments: BuildArguments
    all_stages: tuple[BuildStage, ...]
    stages: tuple[BuildStage, ...]
    ignore: dockerignore.Ignore
    folder: str


class BuiltStage(Struct, frozen=True):
    """A finished stage: configuration, layers (those of its base by descriptor, its own by files),
    history and tree.
    """

    config: dict[str, Any]
    author: str
    base: BaseImage | None
    layers: tuple[Layer, ...]
    history: tuple[tuple[str, bool], ...]
    """The text of each of its own instructions, and whether it made a layer."""
    tree: ImageTree
    args: Mapping[str, str] = {}

    @property
    def base_layers(self) -> tuple[dict[str, Any], ...]:
        """The descriptors of its base's layers."""
        return self.base.layers if self.base else ()


class NoLog:
    """A log that drops everything, for a check."""

    def phase(self, words: str) -> None:
        """Dropped."""

    def log(self, line: str) -> None:
        """Dropped."""

    def check(self) -> None:
        """Never raises: a check is quick enough not to be cancelled."""


class BuiltIn:
    """Copies files into layers and pushes them."""

    name = BUILT_IN

    def build_and_push(
        self, recipe: Recipe, registry: RegistryAddress, tag: str, log: BuildLog
    ) -> Pushed:
        """Build and push. Raises Refused, before anything is sent, if this needs an engine or
        something is not to be copied.
        """
        log.phase("reading the Dockerfile")
        plan = plan_build(recipe)
        with ExitStack() as open_:
            folder = open_.enter_context(tempfile.TemporaryDirectory(prefix="toolkit-image-"))
            clients = _Clients(registry, log.check, folder)
            open_.callback(clients.close)
            context = Context(plan.folder, plan.ignore)
            image = build_stages(plan, recipe, context, clients, log)
            log.phase("packing layers")
            mtime = epoch(os.environ.get("SOURCE_DATE_EPOCH"))
            layers = [
                write(os.path.join(folder, f"layer-{number}"), layer, context, mtime, log.check)
                for number, layer in enumerate(image.layers)
            ]
            for layer in layers:
                noun = "file" if layer.files == 1 else "files"
                log.log(f"a layer of {layer.files} {noun}, {size(layer.size)}")
            config = _json(configuration(image, layers, plan.platform, mtime))
            return _push(image, layers, config, tag, clients, log)

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        """Equal content has one digest here; what has another one, is another image."""
        return False


class _Clients:
    """The registries of one build, and the layers that were downloaded for it."""

    def __init__(self, registry: RegistryAddress, check: Callable[[], None], folder: str) -> None:
        self.registry = registry
        self.target = connected(registry, check)
        self._check, self.folder = check, folder
        self._others: dict[str, RegistryClient] = {}

    def of(self, source: bases.BaseSource) -> RegistryClient:
        """The client of a base image's registry. Only the target registry gets our credentials."""
        if source.address == self.target.address:
            return self.target
        if source.address not in self._others:
            self._others[source.address] = RegistryClient(
                source.address, source.host, "", None, self._check
            )
        return self._others[source.address]

    def fetch(self, base: BaseImage, digest: str) -> str:
        """The file of a base layer; downloaded once."""
        path = os.path.join(self.folder, f"base-{digest.removeprefix('sha256:')}")
        if not os.path.exists(path):
            self.of(base.source).download(base.source.repository, digest, f"{path}.part")
            # Not `disk.write`: it is streamed, and lies in a folder that this build deletes.
            os.rename(f"{path}.part", path)
        return path

    def close(self) -> None:
        for client in (self.target, *self._others.values()):
            client.close()


def check(recipe: Recipe) -> None:
    """Check without the network that the built-in builder can build this. Raises Refused with what
    it cannot do and what to install.
    """
    plan = plan_build(recipe)
    context = Context(plan.folder, plan.ignore)
    mirror = os.environ.get(bases.MIRROR)
    build_stages(plan, recipe, context, None, NoLog())
    for stage in plan.stages:
        if isinstance(stage.base, str) and stage.base != "scratch":
            bases.source(bases.name(stage.base), mirror, None, None)


def plan_build(recipe: Recipe) -> BuildPlan:
    """Read the Dockerfile and its .dockerignore. Raises Refused or FileProblem."""
    folder = context_folder(recipe)
    parsed = parse(dockerfile_text(recipe))
    refuse_heredocs(parsed)
    target = platform(recipe.platform)
    arguments = global_args(parsed, recipe.args, target)
    all_stages = stages(parsed, arguments.values, target)
    return BuildPlan(
        parsed,
        target,
        arguments,
        all_stages,
        needed(all_stages, recipe.target),
        dockerignore.parse(dockerignore_text(recipe)),
        folder,
    )


def context_folder(recipe: Recipe) -> str:
    """The build context, with all links followed. Raises Refused if it is not a folder of the
    repository.
    """
    root = os.path.realpath(recipe.root)
    folder = os.path.realpath(os.path.join(root, recipe.context))
    if os.path.commonpath([root, folder]) != root or not os.path.isdir(folder):
        raise Refused(
            f"the build context `{recipe.context}` is not a folder of this repository",
            "correct `build.context` in rules.toml",
        )
    return folder


def dockerfile_text(recipe: Recipe) -> str:
    """The Dockerfile. Raises Refused if it does not exist, FileProblem if it is not the
    repository's.
    """
    path = os.path.join(recipe.root, recipe.dockerfile)
    if not os.path.lexists(path):
        raise Refused(
            f"there is no Dockerfile `{recipe.dockerfile}`",
            "correct `build.dockerfile` in rules.toml",
        )
    return _text(recipe, path)


def dockerignore_text(recipe: Recipe) -> str:
    """What is kept out of the context: by the Dockerfile's own .dockerignore, else by that of the
    context. Raises FileProblem.
    """
    path = os.path.join(recipe.root, f"{recipe.dockerfile}.dockerignore")
    if not os.path.lexists(path):
        path = os.path.join(context_folder(recipe), ".dockerignore")
    return _text(recipe, path) if os.path.lexists(path) else ""


def epoch(text: str | None) -> int:
    """The time of everything in an image, in seconds since 1970: that of SOURCE_DATE_EPOCH, else
    0.
    """
    return int(text) if text and text.isascii() and text.isdecimal() else 0


def _text(recipe: Recipe, path: str) -> str:
    content = files.read_inside(recipe.root, path, _LARGEST_TEXT)
    if len(content) > _LARGEST_TEXT:
        raise FileProblem(path=path, reason="it is larger than 1 MiB")
    return content.decode("utf-8", "surrogateescape")


def build_stages(
    plan: BuildPlan, recipe: Recipe, context: Context, clients: _Clients | None, log: BuildLog
) -> BuiltStage:
    """Build the stages in order and return the last. Without clients, base images are taken for
    empty.
    """
    done: dict[int, BuiltStage] = {}
    for stage in plan.stages:
        log.check()
        start = _start(stage, done, clients, log)
        config = start.config if start.tree.whole else None
        evaluated = evaluate(
            stage, plan.all_stages, config, plan.arguments, plan.parsed.escape, start.args
        )
        done[stage.number] = _make_copies(start, evaluated, done, context, log)
    last = done[plan.stages[-1].number]
    # Only a warning: a team may mean to ship its .env file.
    for layer in last.layers:
        for path, node in layer.items():
            if node.source is not None and secret_looking(path):
                log.log(f"warning: `/{path}` is in the image, and whoever may pull it can read it")
    config = merged_labels(last.config, recipe.labels)
    return BuiltStage(config, last.author, last.base, last.layers, last.history, last.tree)


def _start(
    stage: BuildStage, done: Mapping[int, BuiltStage], clients: _Clients | None, log: BuildLog
) -> BuiltStage:
    """What a stage begins with."""
    if isinstance(stage.base, int):
        before = done[stage.base]
        return BuiltStage(
            dict(before.config),
            before.author,
            before.base,
            before.layers,
            before.history,
            ImageTree(before.tree.nodes, before.tree.whole),
            before.args,
        )
    if stage.base == "scratch" or clients is None:
        return BuiltStage({}, "", None, (), (), ImageTree(whole=stage.base == "scratch"))
    name = bases.name(stage.base)
    registry = clients.target
    source = bases.source(name, os.environ.get(bases.MIRROR), registry.host, registry.address)
    log.phase(f"reading the base image {stage.base}")
    base = bases.read(clients.of(source), source, stage.platform)
    tree = ImageTree(bases.nodes(base, clients.fetch, log.check))
    return BuiltStage(
        dict(base.image.get("config") or {}), base.image.get("author", ""), base, (), (), tree
    )


def _make_copies(
    start: BuiltStage,
    evaluated: EvaluatedStage,
    done: Mapping[int, BuiltStage],
    context: Context,
    log: BuildLog,
) -> BuiltStage:
    """Make the copies of a stage; each is a layer of its own."""
    layers, history = list(start.layers), list(start.history)
    for step in evaluated.steps:
        if isinstance(step.does, CopyStep):
            copy = step.does
            if copy.origin is None:
                nodes = start.tree.copy(copy, FromContext(context))
            else:
                nodes = start.tree.copy(copy, done[copy.origin].tree)
            _refuse_archives(copy, nodes, context)
            if not nodes:
                log.log(
                    f"warning: line {copy.instruction.line}: no file matches"
                    f" `{' '.join(copy.sources)}`; nothing is copied"
                )
        elif isinstance(step.does, FolderStep):
            start.tree.make(step.does)
        layer = start.tree.layer()
        if layer:
            layers.append(layer)
        history.append((step.words, bool(layer)))
    return BuiltStage(
        dict(evaluated.config),
        evaluated.author or start.author,
        start.base,
        tuple(layers),
        tuple(history),
        start.tree,
        evaluated.args,
    )


def _refuse_archives(copy: CopyStep, sources: list[ImageNode], context: Context) -> None:
    """ADD unpacks archives; as engines do, the first bytes of a file tell whether it is one."""
    if not copy.unpacks:
        return
    for node in sources:
        if node.source is None:
            continue
        with open(context.open(node.source), "rb") as file:
            head = file.read(512)
        if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
            raise copy.instruction.refuse(
                f"`{node.source}` is an archive, which ADD unpacks",
                f"write COPY to copy it as it is, or {ENGINES}",
            )


def _push(
    image: BuiltStage,
    layers: list[LayerFile],
    config: bytes,
    tag: str,
    clients: _Clients,
    log: BuildLog,
) -> Pushed:
    registry, target, repository = clients.registry, clients.target, clients.registry.repository
    manifest = _json(_manifest(image, layers, config))
    digest = digest_of(manifest)
    log.phase("pushing")
    # The layout of layers is deterministic, so an image that was pushed before has our digest.
    before = target.digest(repository, tag)
    if before == digest:
        log.log(f"the image exists already: {digest}")
        return pushed(registry, digest)
    if before is not None:
        return _same_content(clients, before, config, log)
    sent = _send_layers(image, layers, clients, log)
    path = os.path.join(clients.folder, "config")
    with open(path, "wb") as file:
        file.write(config)
    target.upload(repository, digest_of(config), path)
    total = len(layers) + len(image.base_layers)
    log.log(f"{total} {'layer' if total == 1 else 'layers'}, {total - sent} already there")
    try:
        target.put_manifest(repository, tag, manifest)
    except TagTaken:  # by the very same image, perhaps: two machines build it at once
        in_registry = target.digest(repository, tag)
        if in_registry is None:
            raise
    else:
        log.phase("checking the registry")
        in_registry = target.digest(repository, tag)
    if in_registry != digest:
        return _same_content(clients, in_registry, config, log)
    log.log(f"pushed {digest}")
    return pushed(registry, digest)


def _same_content(clients: _Clients, digest: str | None, config: bytes, log: BuildLog) -> Pushed:
    """The image that has our tag, if its configuration is ours, so that it has the very same
    content: another version of zlib packs equal layers into other bytes. Raises TagTaken.
    """
    registry = clients.registry
    if not digest:
        raise tag_taken()
    manifest = clients.target.manifest(registry.repository, digest)
    if manifest is None:
        raise tag_taken()
    part = manifest.document.get("config")
    if not isinstance(part, dict) or part.get("digest") != digest_of(config):
        raise tag_taken()
    log.log(f"the same image, packed differently, exists already: {digest}")
    return pushed(registry, digest)


def _send_layers(
    image: BuiltStage, layers: list[LayerFile], clients: _Clients, log: BuildLog
) -> int:
    """Send what the registry does not have; how many layers that were."""
    sent = 0
    if image.base:
        for base_layer in image.base.layers:
            sent += _copy_layer(image.base, base_layer["digest"], clients, log)
    for layer in layers:
        log.phase(f"pushing {size(layer.size)}")
        sent += clients.target.upload(clients.registry.repository, layer.digest, layer.path)
    return sent


def _copy_layer(base: BaseImage, digest: str, clients: _Clients, log: BuildLog) -> bool:
    """Put a base's layer into our repository: mounted if it is the same registry, else sent.
    Whether it was sent.
    """
    target, repository = clients.target, clients.registry.repository
    if target.has_blob(repository, digest):
        return False
    same_registry = clients.of(base.source) is target
    if same_registry and target.mount(repository, digest, base.source.repository):
        return False
    log.phase(f"copying the base image {base.source.repository}")
    return target.upload(repository, digest, clients.fetch(base, digest))


def configuration(
    image: BuiltStage, layers: list[LayerFile], platform: Platform, mtime: int
) -> dict[str, Any]:
    """The image's configuration. Pure: when, where and by whom it is built is not in it."""
    created = datetime.fromtimestamp(mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    base = image.base.image if image.base else {}
    config: dict[str, Any] = {
        key: base[key] for key in ("os.version", "os.features") if key in base
    }
    config |= {"architecture": platform.architecture, "os": platform.os, "created": created}
    if platform.variant:
        config["variant"] = platform.variant
    if image.author:
        config["author"] = image.author
    config["config"] = {
        key: setting for key, setting in image.config.items() if setting not in (None, "", [], {})
    }
    base_diff_ids = base["rootfs"]["diff_ids"] if base else []
    config["rootfs"] = {
        "type": "layers",
        "diff_ids": [*base_diff_ids, *(layer.diff_id for layer in layers)],
    }
    config["history"] = _history(image, created)
    return config


def _history(image: BuiltStage, created: str) -> list[dict[str, Any]]:
    count = len(image.base_layers)
    history = list(image.base.image.get("history") or []) if image.base else []
    # Engines refuse an image whose history does not match its layers; some base images have none.
    if sum(not entry.get("empty_layer") for entry in history) != count:
        history = [{"created_by": "the base image"}] * count
    for words, makes_layer in image.history:
        entry: dict[str, Any] = {"created": created, "created_by": words}
        if not makes_layer:
            entry["empty_layer"] = True
        history.append(entry)
    return history


def _manifest(image: BuiltStage, layers: list[LayerFile], config: bytes) -> dict[str, Any]:
    descriptors = list(image.base_layers)
    for layer in layers:
        descriptors.append({"mediaType": GZIP, "digest": layer.digest, "size": layer.size})
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": descriptors,
    }


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
