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

from toolkit.errors import Missing, Refused, ToolkitError
from toolkit.ports.files import cache_folder, own_cache
from toolkit.ports.images.evaluate import ENGINES
from toolkit.ports.images.layers import GZIP
from toolkit.ports.images.registry import INDEXES, Manifest, RegistryClient, is_loopback
from toolkit.ports.images.stages import Platform
from toolkit.ports.images.tree import ImageNode

MIRROR = "TOOLKIT_BASE_MIRROR"
_TAR = "application/vnd.oci.image.layer.v1.tar"
_MEDIA_TYPES = {
    GZIP: GZIP,
    _TAR: _TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": _TAR,
}
_HUB = "docker.io"
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
    """A name with all that docker leaves out: `python` is docker.io/library/python:latest. Raises
    Refused.
    """
    rest, _, digest = words.partition("@")
    first, slash, after = rest.partition("/")
    host, path = (
        (first, after)
        if slash and ("." in first or ":" in first or first == "localhost")
        else (_HUB, rest)
    )
    path, _, tag = path.partition(":")
    if not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", path) or (
        digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    ):
        raise Refused(f"`{words}` is no name of an image")
    if tag and not re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII):
        raise Refused(f"`{words}` is no name of an image")
    host = _HUB if host in ("index.docker.io", "registry-1.docker.io") else host
    path = f"library/{path}" if host == _HUB and "/" not in path else path
    return ImageName(host, path, digest or tag or "latest")


def source(
    wanted: ImageName, mirror: str | None, host: str | None, address: str | None
) -> BaseSource:
    """Where a base image is read: the mirror if there is one, else the registry that the image goes
    to. Raises Refused.

    With `host` None, as long as nobody knows where the image goes, any registry but the public one
    may still be it.
    """
    if mirror:
        server, _, path = (
            mirror.removeprefix("https://").removeprefix("http://").strip("/").partition("/")
        )
        plain = is_loopback(server.rpartition(":")[0] or server) and not mirror.startswith(
            "https://"
        )
        repository = "/".join(one for one in (path, wanted.repository) if one)
        return BaseSource(
            server, f"{'http' if plain else 'https'}://{server}", repository, wanted.reference
        )
    if wanted.host == host or (host is None and wanted.host != _HUB):
        return BaseSource(
            wanted.host, address or f"https://{wanted.host}", wanted.repository, wanted.reference
        )
    raise Refused(
        "the built-in builder cannot get the base image"
        f" {wanted.host}/{wanted.repository}:{wanted.reference}".replace(":sha256:", "@sha256:"),
        f"{ENGINES}; or copy it into the registry of the app and name it in FROM; or set"
        f" {MIRROR}=HOST/PATH",
    )


def read(client: RegistryClient, found: BaseSource, wanted: Platform) -> BaseImage:
    """A base image of a platform. Raises Refused if there is none, or one that cannot be built
    upon.
    """
    manifest = client.manifest(found.repository, found.reference)
    if manifest is None:
        raise Refused(
            f"there is no base image {found.host}/{found.repository}:{found.reference}",
            "correct FROM, or copy the image there",
        )
    manifest = one_of(client, found.repository, manifest, wanted)
    document = manifest.document
    image = client.document(found.repository, document["config"]["digest"])
    if (image.get("os"), image.get("architecture")) != (wanted.os, wanted.architecture):
        raise Refused(
            f"the base image {found.repository} is for"
            f" {image.get('os')}/{image.get('architecture')}, not for {wanted}"
        )
    layers = [
        {**one, "mediaType": _MEDIA_TYPES.get(one["mediaType"], "")} for one in document["layers"]
    ]
    if not all(one["mediaType"] for one in layers):
        raise Refused(f"the base image {found.repository} has layers that are not gzip", ENGINES)
    if len(image["rootfs"]["diff_ids"]) != len(layers):
        raise Refused(
            f"the base image {found.repository} does not agree with itself about its layers"
        )
    return BaseImage(
        found,
        image,
        tuple({key: one[key] for key in ("mediaType", "digest", "size")} for one in layers),
    )


def one_of(
    client: RegistryClient, repository: str, manifest: Manifest, wanted: Platform | None
) -> Manifest:
    """The image of a platform out of an index; what is no index is the image. With None, the first
    image there is.
    """
    if manifest.media_type not in INDEXES:
        return manifest
    listed = [
        one
        for one in manifest.document.get("manifests", [])
        if (one.get("platform") or {}).get("os") != "unknown"
    ]
    fit = [one for one in listed if wanted is None or _fits(one.get("platform") or {}, wanted)]
    found = client.manifest(repository, fit[0]["digest"]) if fit else None
    if found is None:
        raise Refused(
            f"there is no {wanted or 'image'} in {client.host}/{repository}",
            "build for another platform",
        )
    return found


def _fits(said: dict[str, Any], wanted: Platform) -> bool:
    variant = (
        ""
        if (said.get("architecture"), said.get("variant")) == ("arm64", "v8")
        else said.get("variant") or ""
    )
    fits = (said.get("os"), said.get("architecture")) == (wanted.os, wanted.architecture)
    return fits and (not wanted.variant or variant == wanted.variant)


def nodes(base: BaseImage, fetch: FetchLayer, check: Callable[[], None]) -> dict[str, ImageNode]:
    """The files of a base image: COPY has to know which folders and links are there. Kept in the
    cache, by layer.
    """
    found: dict[str, ImageNode] = {}
    for layer in base.layers:
        listed = _kept(layer["digest"])
        if listed is None:
            listed = list(_listed(fetch(base, layer["digest"]), layer["mediaType"] == GZIP, check))
            _keep(layer["digest"], listed)
        _apply(found, listed)
    return found


Entry = tuple[str, str, str]
"""Path, kind, and where a link leads."""


def _apply(found: dict[str, ImageNode], listed: list[Entry]) -> None:
    """Lay one layer over those below: `.wh.x` takes x away, `.wh..wh..opq` all that was in its
    folder.
    """
    for path, _, _ in listed:
        if basename(path).startswith(".wh."):
            whole = basename(path) == ".wh..wh..opq"
            gone = (
                dirname(path) if whole else join(dirname(path), basename(path).removeprefix(".wh."))
            )
            for one in [
                one for one in found if one.startswith(f"{gone}/") or (one == gone and not whole)
            ]:
                del found[one]
    for path, kind, link in listed:
        if not basename(path).startswith(".wh."):
            if kind != "folder" and path in found and found[path].form == "folder":
                for one in [one for one in found if one.startswith(f"{path}/")]:
                    del found[one]
            found[path] = ImageNode(kind, link=link)


def _listed(path: str, packed: bool, check: Callable[[], None]) -> Iterator[Entry]:
    try:
        with (
            open(path, "rb") as file,
            gzip.open(file) if packed else file as raw,
            tarfile.open(fileobj=raw, mode="r|") as archive,
        ):
            for count, one in enumerate(archive):
                check()
                if count > _MOST_ENTRIES:
                    raise Refused("a layer of the base image has too many files", ENGINES)
                kind = "folder" if one.isdir() else "link" if one.issym() else "file"
                name = normpath(join("/", one.name)).lstrip("/")
                if name:
                    yield name, kind, one.linkname if kind == "link" else ""
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile):
        raise Refused("a layer of the base image cannot be read", ENGINES) from None


def _cached(digest: str) -> str:
    return os.path.join(cache_folder(), "bases", f"{digest.removeprefix('sha256:')}.json")


def _kept(digest: str) -> list[Entry] | None:
    """What an earlier build has listed; None if nothing is kept, or what is kept cannot be read."""
    try:
        own_cache(cache_folder(), "bases")
        with open(_cached(digest), "rb") as file:
            return msgspec.json.decode(file.read(), type=list[Entry])
    except (OSError, ToolkitError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _keep(digest: str, listed: list[Entry]) -> None:
    """Best effort: without it the next build reads the layer again."""
    path = _cached(digest)
    try:
        own_cache(cache_folder(), "bases")
        with open(f"{path}.{os.getpid()}", "wb") as file:
            file.write(json.dumps(listed).encode())
        os.replace(f"{path}.{os.getpid()}", path)
    except (OSError, ToolkitError):
        return


def described(client: RegistryClient, repository: str, reference: str) -> dict[str, Any]:
    """What an image says of itself; of an index, its first image, and the platforms of all. Raises
    Missing.
    """
    manifest = client.manifest(repository, reference)
    if manifest is None:
        raise Missing(what="image", name=f"{repository}@{reference}", where=f" in {client.host}")
    one = one_of(client, repository, manifest, None)
    image = client.document(repository, one.document["config"]["digest"])
    listed = manifest.document.get("manifests", []) if manifest.media_type in INDEXES else []
    said = [one.get("platform") or {} for one in listed] or [image]
    return {
        "architecture": image.get("architecture", ""),
        "os": image.get("os", ""),
        "labels": (image.get("config") or {}).get("Labels") or {},
        "platforms": [
            f"{one.get('os')}/{one.get('architecture')}"
            for one in said
            if one.get("os") != "unknown"
        ],
    }
