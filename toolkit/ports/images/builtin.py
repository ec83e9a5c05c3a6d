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

from toolkit.errors import FileProblem, Refused, TagTaken
from toolkit.ports import files
from toolkit.ports.images import bases, ignore
from toolkit.ports.images.bases import BaseImage
from toolkit.ports.images.context import Context, secret_looking
from toolkit.ports.images.dockerfile import Parsed, no_heredocs, parse
from toolkit.ports.images.evaluate import (
    ENGINES,
    CopyStep,
    EvaluatedStage,
    FolderStep,
    evaluate,
    merged_labels,
)
from toolkit.ports.images.layers import GZIP, LayerFile, write
from toolkit.ports.images.registry import MANIFEST, RegistryClient, connected, digest_of, taken
from toolkit.ports.images.stages import BuildStage, Platform, global_args, needed, platform, stages
from toolkit.ports.images.tree import FromContext, ImageNode, ImageTree, Layer
from toolkit.ports.images.types import (
    BUILT_IN,
    BuildLog,
    Pushed,
    Recipe,
    RegistryAddress,
    pushed,
    size,
)

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LARGEST_TEXT = 1 << 20
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class BuildPlan(Struct, frozen=True):
    """A Dockerfile read for one build: the stages that count, the last of which is the image."""

    parsed: Parsed
    wanted: Platform
    known: Mapping[str, str]
    every: tuple[BuildStage, ...]
    stages: tuple[BuildStage, ...]
    ignore: ignore.Ignore
    folder: str


class BuiltStage(Struct, frozen=True):
    """A stage when it is done: configuration, layers (those of its base by descriptor, its own by
    files), history, and the tree.
    """

    config: dict[str, Any]
    author: str
    base: BaseImage | None
    layers: tuple[Layer, ...]
    history: tuple[tuple[str, bool], ...]
    """Of its own instructions: the words, and whether they made a layer."""
    tree: ImageTree


class NoLog:
    """A log for a check, which says nothing."""

    def phase(self, words: str) -> None:
        """Nobody looks."""

    def log(self, line: str) -> None:
        """Nobody listens."""

    def check(self) -> None:
        """Nobody stops it."""


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
        plan = planned(recipe)
        with ExitStack() as open_:
            folder = open_.enter_context(tempfile.TemporaryDirectory(prefix="toolkit-image-"))
            clients = _Clients(registry, log.check, folder)
            open_.callback(clients.close)
            context = Context(plan.folder, plan.ignore)
            image = stacked(plan, recipe, context, clients, log)
            log.phase("packing layers")
            mtime = epoch(os.environ.get("SOURCE_DATE_EPOCH"))
            written = [
                write(os.path.join(folder, f"layer-{at}"), layer, context, mtime, log.check)
                for at, layer in enumerate(image.layers)
            ]
            for one in written:
                log.log(
                    f"a layer of {one.files} {'file' if one.files == 1 else 'files'},"
                    f" {size(one.size)}"
                )
            return _push(image, written, plan.wanted, mtime, registry, tag, clients, log)

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        """Equal content has one digest here; what has another one, is another image."""
        return False


class _Clients:
    """The registries of one build, and the layers that were downloaded for it."""

    def __init__(self, registry: RegistryAddress, check: Callable[[], None], folder: str) -> None:
        self.target = connected(registry, check)
        self._check, self.folder = check, folder
        self._others: dict[str, RegistryClient] = {}

    def of(self, source: bases.BaseSource) -> RegistryClient:
        """The client of a base image's registry: the target's own, with its credentials, if it is
        the same one.
        """
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
            os.rename(f"{path}.part", path)
        return path

    def close(self) -> None:
        for one in (self.target, *self._others.values()):
            one.close()


def check(recipe: Recipe) -> None:
    """See, without the network, that the built-in builder can do this: raises Refused naming what
    it cannot, and what to install.
    """
    plan = planned(recipe)
    context = Context(plan.folder, plan.ignore)
    mirror = os.environ.get(bases.MIRROR)
    stacked(plan, recipe, context, None, NoLog())
    for stage in plan.stages:
        if isinstance(stage.base, str) and stage.base != "scratch":
            bases.source(bases.name(stage.base), mirror, None, None)


def planned(recipe: Recipe) -> BuildPlan:
    """Read the Dockerfile and its .dockerignore. Raises Refused or FileProblem."""
    folder = context_folder(recipe)
    parsed = parse(dockerfile_text(recipe))
    no_heredocs(parsed)
    wanted = platform(recipe.platform)
    known = global_args(parsed, recipe.args, wanted)
    every = stages(parsed, known, wanted)
    used = needed(every, recipe.target)
    return BuildPlan(
        parsed, wanted, known, every, used, ignore.parse(dockerignore_text(recipe)), folder
    )


def context_folder(recipe: Recipe) -> str:
    """The build context, with all links followed. Raises Refused if it is no folder of the
    repository.
    """
    root = os.path.realpath(recipe.root)
    folder = os.path.realpath(os.path.join(root, recipe.context))
    if os.path.commonpath([root, folder]) != root or not os.path.isdir(folder):
        raise Refused(
            f"the build context `{recipe.context}` is no folder of this repository",
            "correct `build.context` in rules.toml",
        )
    return folder


def dockerfile_text(recipe: Recipe) -> str:
    """The Dockerfile. Raises Refused if it is not there, FileProblem if it is not the
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
    own = os.path.join(recipe.root, f"{recipe.dockerfile}.dockerignore")
    path = own if os.path.lexists(own) else os.path.join(context_folder(recipe), ".dockerignore")
    return _text(recipe, path) if os.path.lexists(path) else ""


def epoch(said: str | None) -> int:
    """The time of everything in an image, in seconds since 1970: what SOURCE_DATE_EPOCH says, else
    0.
    """
    return int(said) if said and said.isascii() and said.isdecimal() else 0


def _text(recipe: Recipe, path: str) -> str:
    found = files.read_inside(recipe.root, path, _LARGEST_TEXT)
    if len(found) > _LARGEST_TEXT:
        raise FileProblem(path=path, reason="it is larger than 1 MiB")
    return found.decode("utf-8", "surrogateescape")


def stacked(
    plan: BuildPlan, recipe: Recipe, context: Context, clients: _Clients | None, log: BuildLog
) -> BuiltStage:
    """Follow the stages in order. Without clients, base images are taken for empty."""
    done: dict[int, BuiltStage] = {}
    for stage in plan.stages:
        log.check()
        start = _start(stage, done, clients, log)
        made = evaluate(
            stage,
            plan.every,
            start.config if start.tree.whole else None,
            plan.known,
            recipe.args,
            plan.parsed.escape,
        )
        done[stage.number] = _follow(start, made, done, context, log)
    last = done[plan.stages[-1].number]
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
        )
    if stage.base == "scratch" or clients is None:
        return BuiltStage({}, "", None, (), (), ImageTree(whole=stage.base == "scratch"))
    wanted = bases.name(stage.base)
    registry = clients.target
    source = bases.source(wanted, os.environ.get(bases.MIRROR), registry.host, registry.address)
    log.phase(f"reading the base image {stage.base}")
    base = bases.read(clients.of(source), source, stage.platform)
    tree = ImageTree(bases.nodes(base, clients.fetch, log.check))
    return BuiltStage(
        dict(base.image.get("config") or {}), base.image.get("author", ""), base, (), (), tree
    )


def _follow(
    start: BuiltStage,
    made: EvaluatedStage,
    done: Mapping[int, BuiltStage],
    context: Context,
    log: BuildLog,
) -> BuiltStage:
    """Make the copies of a stage; each is a layer of its own."""
    layers, history = list(start.layers), list(start.history)
    for step in made.steps:
        if isinstance(step.does, CopyStep):
            copy = step.does
            found = start.tree.copy(
                copy, FromContext(context) if copy.origin is None else done[copy.origin].tree
            )
            _no_archives(copy, found, context)
            if not found:
                log.log(
                    f"warning: line {copy.one.line}: no file matches `{' '.join(copy.sources)}`;"
                    " nothing is copied"
                )
        elif isinstance(step.does, FolderStep):
            start.tree.make(step.does)
        layer = start.tree.layer()
        layers += [layer] if layer else []
        history.append((step.words, bool(layer)))
    return BuiltStage(
        dict(made.config),
        made.author or start.author,
        start.base,
        tuple(layers),
        tuple(history),
        start.tree,
    )


def _no_archives(copy: CopyStep, sources: list[ImageNode], context: Context) -> None:
    """ADD unpacks an archive that it is given by name, and an engine decides by its first bytes
    whether it is one.
    """
    for path in [node.source for node in sources if copy.unpacks and node.source is not None]:
        with open(context.open(path), "rb") as file:
            head = file.read(512)
        if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
            raise copy.one.refuse(
                f"`{path}` is an archive, which ADD unpacks",
                f"write COPY to copy it as it is, or {ENGINES}",
            )


def _push(
    image: BuiltStage,
    written: list[LayerFile],
    wanted: Platform,
    mtime: int,
    registry: RegistryAddress,
    tag: str,
    clients: _Clients,
    log: BuildLog,
) -> Pushed:
    config = _json(configuration(image, written, wanted, mtime))
    manifest = _json(_manifest(image, written, config))
    digest, target, repository = digest_of(manifest), clients.target, registry.repository
    log.phase("pushing")
    before = target.digest(repository, tag)
    if before == digest:
        log.log(f"the image is there already: {digest}")
        return pushed(registry, digest)
    if before is not None:
        return _packed_otherwise(target, registry, before, config, log)
    sent = _send_layers(image, written, clients, repository, log)
    path = os.path.join(clients.folder, "config")
    with open(path, "wb") as file:
        file.write(config)
    target.upload(repository, digest_of(config), path)
    total = len(written) + len(image.base.layers if image.base else ())
    log.log(f"{total} {'layer' if total == 1 else 'layers'}, {total - sent} already there")
    try:
        target.put_manifest(repository, tag, manifest)
    except TagTaken:  # by the very same image, perhaps: two machines build it at once
        found = target.digest(repository, tag)
        if found is None:
            raise
    else:
        log.phase("checking the registry")
        found = target.digest(repository, tag)
    if found != digest:
        return _packed_otherwise(target, registry, found, config, log)
    log.log(f"pushed {digest}")
    return pushed(registry, digest)


def _packed_otherwise(
    target: RegistryClient,
    registry: RegistryAddress,
    found: str | None,
    config: bytes,
    log: BuildLog,
) -> Pushed:
    """The image that has our tag, if it has the very same content: another zlib packs layers
    otherwise. Raises TagTaken.
    """
    manifest = target.manifest(registry.repository, found) if found else None
    part = (manifest.document.get("config") if manifest else None) or {}
    if found is None or not isinstance(part, dict) or part.get("digest") != digest_of(config):
        raise taken()
    log.log(f"the same image, packed otherwise, is there already: {found}")
    return pushed(registry, found)


def _send_layers(
    image: BuiltStage, written: list[LayerFile], clients: _Clients, repository: str, log: BuildLog
) -> int:
    """How many layers had to be sent."""
    sent = 0
    for layer in image.base.layers if image.base else ():
        sent += (
            _copy_layer(image.base, layer["digest"], clients, repository, log) if image.base else 0
        )
    for one in written:
        log.phase(f"pushing {size(one.size)}")
        sent += clients.target.upload(repository, one.digest, one.path)
    return sent


def _copy_layer(
    base: BaseImage, digest: str, clients: _Clients, repository: str, log: BuildLog
) -> bool:
    """A base's layer into our repository: mounted if it is the same registry, else sent."""
    if clients.target.has_blob(repository, digest):
        return False
    same = clients.of(base.source) is clients.target
    if same and clients.target.mount(repository, digest, base.source.repository):
        return False
    log.phase(f"copying the base image {base.source.repository}")
    return clients.target.upload(repository, digest, clients.fetch(base, digest))


def configuration(
    image: BuiltStage, written: list[LayerFile], wanted: Platform, mtime: int
) -> dict[str, Any]:
    """The image's configuration. Pure: what is built when, where and by whom is not in it."""
    created = datetime.fromtimestamp(mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    below = image.base.image if image.base else {}
    count = len(image.base.layers) if image.base else 0
    history = list(below.get("history") or [{"created_by": "the base image"}] * count)
    if sum(not one.get("empty_layer") for one in history) != count:
        history = [{"created_by": "the base image"}] * count
    for words, makes_layer in image.history:
        history.append(
            {
                "created": created,
                "created_by": words,
                **({} if makes_layer else {"empty_layer": True}),
            }
        )
    return {
        **{key: value for key, value in below.items() if key in ("os.version", "os.features")},
        "architecture": wanted.architecture,
        "os": wanted.os,
        **({"variant": wanted.variant} if wanted.variant else {}),
        **({"author": image.author} if image.author else {}),
        "created": created,
        "config": {
            key: value for key, value in image.config.items() if value not in (None, "", [], {})
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": [
                *(below["rootfs"]["diff_ids"] if below else []),
                *(one.diff_id for one in written),
            ],
        },
        "history": history,
    }


def _manifest(image: BuiltStage, written: list[LayerFile], config: bytes) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            *(image.base.layers if image.base else ()),
            *({"mediaType": GZIP, "digest": one.digest, "size": one.size} for one in written),
        ],
    }


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
