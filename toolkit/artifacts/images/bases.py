"""Base images: where they come from, what they say, which files they have."""

import gzip
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from posixpath import basename, dirname, join, normpath
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from toolkit.artifacts.images.context import FILE, FOLDER, LINK, FileForm
from toolkit.artifacts.images.evaluate import ENGINES
from toolkit.artifacts.images.layers import GZIP
from toolkit.artifacts.images.tree import ImageNode
from toolkit.artifacts.images.types import Recipe
from toolkit.errors import Missing, Refused, RegistryError, ToolkitError
from toolkit.formats.build_stages import Platform
from toolkit.ports import disk
from toolkit.ports.files import cache_folder, own_cache
from toolkit.ports.registry import INDEXES, Manifest, RegistryClient, connected, is_loopback
from toolkit.ports.registry_address import RegistryAddress

MIRROR = "TOOLKIT_BASE_MIRROR"
_TAR = "application/vnd.oci.image.layer.v1.tar"
_MEDIA_TYPES = {
    GZIP: GZIP,
    _TAR: _TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": _TAR,
}
_HUB = "docker.io"
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MOST_ENTRIES = 2_000_000


class ImageName(Struct, frozen=True):
    """An image's name in full. `reference` is a tag or a digest."""

    host: str
    repository: str
    reference: str


class BaseSource(Struct, frozen=True):
    """Where a base image is read."""

    host: str
    address: str
    repository: str
    reference: str


class BaseImage(Struct, frozen=True):
    """A base image: its configuration, and its layers as an OCI manifest lists them."""

    source: BaseSource
    image: dict[str, Any]
    layers: tuple[dict[str, Any], ...]


class FetchLayer(Protocol):
    """Gives the path of a file with a layer's bytes, which is kept as long as the build lasts."""

    def __call__(self, base: BaseImage, digest: str) -> str: ...


def name(words: str) -> ImageName:
    """A name with all defaults of docker filled in: `python` is docker.io/library/python:latest.
    Raises Refused.
    """
    rest, _, digest = words.partition("@")
    first, slash, after = rest.partition("/")
    host, path = _HUB, rest
    # Docker's own rule: only what looks like a host is one, `team/app` is a repository of the hub.
    if slash and ("." in first or ":" in first or first == "localhost"):
        host, path = first, after
    path, _, tag = path.partition(":")
    if not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", path) or (
        digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    ):
        raise Refused(f"`{words}` is not a name of an image")
    if tag and not re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII):
        raise Refused(f"`{words}` is not a name of an image")
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = _HUB
    if host == _HUB and "/" not in path:
        path = f"library/{path}"
    return ImageName(host, path, digest or tag or "latest")


def source(
    image: ImageName, mirror: str | None, host: str | None, address: str | None
) -> BaseSource:
    """Where to read a base image: the mirror if there is one, else the registry that the built
    image is pushed to (`host`, `address`). Raises Refused.

    `host` is None while the target registry is not known: then any registry but the public one may
    be it.
    """
    if mirror:
        location = mirror.removeprefix("https://").removeprefix("http://").strip("/")
        server, _, path = location.partition("/")
        host_name = server.rpartition(":")[0] or server
        plain = is_loopback(host_name) and not mirror.startswith("https://")
        scheme = "http" if plain else "https"
        repository = f"{path}/{image.repository}" if path else image.repository
        return BaseSource(server, f"{scheme}://{server}", repository, image.reference)
    if image.host == host or (host is None and image.host != _HUB):
        return BaseSource(
            image.host, address or f"https://{image.host}", image.repository, image.reference
        )
    raise Refused(
        "the built-in builder cannot get the base image"
        f" {image.host}/{image.repository}:{image.reference}".replace(":sha256:", "@sha256:"),
        f"{ENGINES}; or copy it into the registry of the app and name it in FROM; or set"
        f" {MIRROR}=HOST/PATH",
    )


def read(client: RegistryClient, source: BaseSource, platform: Platform) -> BaseImage:
    """A base image of a platform. Raises Refused if there is none, or one that cannot be built
    upon.
    """
    manifest = client.manifest(source.repository, source.reference)
    if manifest is None:
        raise Refused(
            f"there is no base image {source.host}/{source.repository}:{source.reference}",
            "correct FROM, or copy the image there",
        )
    manifest = image_for(client, source.repository, manifest, platform)
    document = manifest.document
    image = client.document(source.repository, document["config"]["digest"])
    if (image.get("os"), image.get("architecture")) != (platform.os, platform.architecture):
        raise Refused(
            f"the base image {source.repository} is for"
            f" {image.get('os')}/{image.get('architecture')}, not for {platform}"
        )
    layers = []
    for layer in document["layers"]:
        media_type = _MEDIA_TYPES.get(layer["mediaType"])
        if media_type is None:
            raise Refused(
                f"the base image {source.repository} has layers that are not gzip", ENGINES
            )
        layers.append({"mediaType": media_type, "digest": layer["digest"], "size": layer["size"]})
    # Our own layers are appended to both lists, so they must match.
    if len(image["rootfs"]["diff_ids"]) != len(layers):
        raise Refused(
            f"the base image {source.repository} does not agree with itself about its layers"
        )
    return BaseImage(source, image, tuple(layers))


def image_for(
    client: RegistryClient, repository: str, manifest: Manifest, platform: Platform | None
) -> Manifest:
    """The image of a platform in an index (None: its first image). A manifest that is not an index
    is the image itself. Raises Refused.
    """
    if manifest.media_type not in INDEXES:
        return manifest
    for entry in manifest.document.get("manifests", []):
        described_as = entry.get("platform") or {}
        # Attestations stand in an index as images of an unknown system.
        if described_as.get("os") == "unknown":
            continue
        if platform is None or _fits(described_as, platform):
            image = client.manifest(repository, entry["digest"])
            if image is not None:
                return image
            break
    raise Refused(
        f"there is no {platform or 'image'} in {client.host}/{repository}",
        "build for another platform",
    )


def _fits(described_as: dict[str, Any], platform: Platform) -> bool:
    system = (described_as.get("os"), described_as.get("architecture"))
    if system != (platform.os, platform.architecture):
        return False
    variant = described_as.get("variant") or ""
    if (platform.architecture, variant) == ("arm64", "v8"):
        variant = ""  # v8 is what arm64 means without a variant
    return not platform.variant or variant == platform.variant


def nodes(base: BaseImage, fetch: FetchLayer, check: Callable[[], None]) -> dict[str, ImageNode]:
    """The files of a base image: COPY has to know which folders and links are there. Kept in the
    cache, by layer.
    """
    tree: dict[str, ImageNode] = {}
    for layer in base.layers:
        digest = layer["digest"]
        entries = _read_cache(digest)
        if entries is None:
            entries = list(_read_layer(fetch(base, digest), layer["mediaType"] == GZIP, check))
            _write_cache(digest, entries)
        _apply(tree, entries)
    return tree


Entry = tuple[str, FileForm, str]
"""Path, kind, and where a link leads."""


def _apply(tree: dict[str, ImageNode], layer: list[Entry]) -> None:
    """Lay a layer over those below: `.wh.x` removes x, `.wh..wh..opq` everything in its folder."""
    # Removals concern only the layers below, so they come before what this layer adds.
    for path, _, _ in layer:
        name = basename(path)
        if name == _OPAQUE:
            _remove_below(tree, dirname(path))
        elif name.startswith(_WHITEOUT):
            removed = join(dirname(path), name.removeprefix(_WHITEOUT))
            _remove_below(tree, removed)
            tree.pop(removed, None)
    for path, kind, link in layer:
        if basename(path).startswith(_WHITEOUT):
            continue
        if kind != FOLDER and path in tree and tree[path].form == FOLDER:
            _remove_below(tree, path)
        tree[path] = ImageNode(kind, link=link)


def _remove_below(tree: dict[str, ImageNode], folder: str) -> None:
    for path in [path for path in tree if path.startswith(f"{folder}/")]:
        del tree[path]


def _read_layer(path: str, packed: bool, check: Callable[[], None]) -> Iterator[Entry]:
    try:
        with (
            open(path, "rb") as file,
            gzip.open(file) if packed else file as raw,
            tarfile.open(fileobj=raw, mode="r|") as archive,
        ):
            for count, member in enumerate(archive):
                check()
                if count > _MOST_ENTRIES:
                    raise Refused("a layer of the base image has too many files", ENGINES)
                name = normpath(join("/", member.name)).lstrip("/")
                if not name:
                    continue
                if member.issym():
                    yield name, LINK, member.linkname
                else:
                    yield name, FOLDER if member.isdir() else FILE, ""
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile):
        raise Refused("a layer of the base image cannot be read", ENGINES) from None


def _cache_file(digest: str) -> str:
    return os.path.join(cache_folder(), "bases", f"{digest.removeprefix('sha256:')}.json")


def _read_cache(digest: str) -> list[Entry] | None:
    """The list that an earlier build has cached; None if there is none, or it cannot be read."""
    try:
        own_cache(cache_folder(), "bases")
        with open(_cache_file(digest), "rb") as file:
            return msgspec.json.decode(file.read(), type=list[Entry])
    except (OSError, ToolkitError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _write_cache(digest: str, entries: list[Entry]) -> None:
    """Best effort: without it the next build reads the layer again."""
    path = _cache_file(digest)
    try:
        own_cache(cache_folder(), "bases")
        disk.write(path, json.dumps(entries).encode())
    except ToolkitError:
        return


def described(client: RegistryClient, repository: str, reference: str) -> dict[str, Any]:
    """An image's description; for an index, that of its first image, and the platforms of all.
    Raises Missing.
    """
    manifest = client.manifest(repository, reference)
    if manifest is None:
        raise Missing(what="image", name=f"{repository}@{reference}", where=f" in {client.host}")
    first = image_for(client, repository, manifest, None)
    image = client.document(repository, first.document["config"]["digest"])
    platforms = []
    if manifest.media_type in INDEXES:
        for entry in manifest.document.get("manifests", []):
            platforms.append(entry.get("platform") or {})
    return {
        "architecture": image.get("architecture", ""),
        "os": image.get("os", ""),
        "labels": (image.get("config") or {}).get("Labels") or {},
        "platforms": [
            f"{platform.get('os')}/{platform.get('architecture')}"
            for platform in platforms or [image]
            if platform.get("os") != "unknown"
        ],
    }


def same_labels(registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
    """Whether the labels of an image say that it was built from the same commit in the same way.
    Engines give equal files different digests, so nothing else can be compared.
    """
    client = connected(registry, lambda: None)
    try:
        labels = described(client, registry.repository, digest)["labels"]
    except (Missing, Refused, RegistryError):  # what cannot be read is not known to be equal
        return False
    finally:
        client.close()
    return (
        isinstance(labels, dict)
        and bool(recipe.labels)
        and all(labels.get(name) == value for name, value in recipe.labels.items())
    )
