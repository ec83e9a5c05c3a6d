"""Brings an image from one registry into another as it is: the same bytes, so the same digest."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from toolkit.artifacts.images.types import BuildLog, Pushed, pushed
from toolkit.errors import FileProblem, Missing, Refused
from toolkit.formats.words import size
from toolkit.ports import disk
from toolkit.ports.registry import (
    IMAGES,
    INDEXES,
    RegistryClient,
    connected,
    tag_taken,
)
from toolkit.ports.registry_address import RegistryAddress

MOST_PARTS = 1000
"""How many layers, or images of an index, an image has at most."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def copy_image(
    origin: RegistryAddress,
    target: RegistryAddress,
    digest: str,
    tag: str,
    log: BuildLog,
    intend: Callable[[], None],
) -> Pushed:
    """Put an image of `origin` into `target` under this tag. `intend` is called right before each
    call that changes something there. Raises TagTaken if another image has the tag, ToolkitError,
    and what `log.check` and `intend` raise.
    """
    with ExitStack() as stack:
        stack.enter_context(_disk_problems())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="toolkit-copy-"))
        source = stack.enter_context(closing(connected(origin, log.check)))
        client = stack.enter_context(closing(connected(target, log.check)))
        copy = _Copy((source, origin.repository), (client, target.repository), folder, log, intend)
        before = client.digest(target.repository, tag)
        if before not in (None, digest):
            raise tag_taken()
        if before is None:
            copy.manifest(digest, tag)
            log.phase("checking the registry")
            if client.digest(target.repository, tag) != digest:
                raise tag_taken()
            log.log(f"copied {digest} from {origin.host}/{origin.repository}")
        return pushed(target, digest)


@contextmanager
def _disk_problems() -> Iterator[None]:
    """A temporary folder that is full or missing is no bug. Raises FileProblem."""
    try:
        yield
    except OSError as error:
        folder = tempfile.gettempdir() if tempfile.tempdir else "the temporary folder"
        raise FileProblem(path=folder, reason=disk.error_text(error)) from None


class _Copy:
    """What one copy works with; a layer is on this machine's disk only as long as it is sent."""

    def __init__(
        self,
        source: tuple[RegistryClient, str],
        target: tuple[RegistryClient, str],
        folder: str,
        log: BuildLog,
        intend: Callable[[], None],
    ) -> None:
        (self._source, self._origin), (self._target, self._repository) = source, target
        self._path = os.path.join(folder, "layer")
        self._log, self._intend = log, intend
        self._same_registry = source[0].address == target[0].address

    def manifest(self, digest: str, reference: str, inside_index: bool = False) -> None:
        """Copy what a manifest names, then the manifest, as `reference`."""
        manifest = self._source.manifest(self._origin, digest)
        if manifest is None:
            where = f" in {self._source.host}"
            raise Missing(what="image", name=f"{self._origin}@{digest}", where=where)
        document = manifest.document
        if manifest.media_type in INDEXES and not inside_index:
            for part, _ in _parts(document.get("manifests"), digest):
                self.manifest(part, part, inside_index=True)
        elif manifest.media_type in IMAGES:
            layers = document.get("layers")
            for part, length in _parts([document.get("config"), *_list(layers, digest)], digest):
                self._blob(part, length)
        else:
            raise _not_an_image(digest)
        self._intend()
        self._target.put_manifest(self._repository, reference, manifest.body, manifest.media_type)

    def _blob(self, digest: str, length: int) -> None:
        if self._target.has_blob(self._repository, digest):
            return
        if self._same_registry:
            self._intend()
            if self._target.mount(self._repository, digest, self._origin):
                return
        self._log.phase(f"copying {size(length)}")
        self._source.download(self._origin, digest, self._path, length)
        self._intend()
        self._target.upload(self._repository, digest, self._path)


def _parts(described: Any, digest: str) -> list[tuple[str, int]]:
    """The digest and the size of each part of an image. Raises Refused: registries may answer
    anything.
    """
    parts: list[tuple[str, int]] = []
    for part in _list(described, digest):
        name, length = (part.get("digest"), part.get("size")) if isinstance(part, dict) else ("", 0)
        if not (isinstance(name, str) and _DIGEST.fullmatch(name)):
            raise _not_an_image(digest)
        if type(length) is not int or length < 0:
            raise _not_an_image(digest)
        parts.append((name, length))
    return parts


def _list(described: Any, digest: str) -> list[Any]:
    if not isinstance(described, list) or len(described) > MOST_PARTS:
        raise _not_an_image(digest)
    return described


def _not_an_image(digest: str) -> Refused:
    return Refused(f"{digest} is not an image that can be copied", "build it with another builder")
