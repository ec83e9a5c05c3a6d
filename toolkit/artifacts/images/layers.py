"""Layers as bytes. The same files give the same bytes, whatever their order and owners on disk."""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

from msgspec import Struct

from toolkit.artifacts.images.context import FILE, FOLDER, LINK, Context
from toolkit.artifacts.images.tree import ImageNode
from toolkit.errors import Refused

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
_LEVEL = 6
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Of gzip: no name, no time, no operating system. Python's own differs between its versions."""
_CHUNK = 1 << 20
_TYPES = {
    FILE: tarfile.REGTYPE,
    FOLDER: tarfile.DIRTYPE,
    LINK: tarfile.SYMTYPE,
}


class LayerFile(Struct, frozen=True):
    """A layer in a file: its digest as it is sent, and the one of the tar inside (`diff_id`)."""

    path: str
    digest: str
    diff_id: str
    size: int
    files: int


def write(
    path: str,
    nodes: Mapping[str, ImageNode],
    context: Context,
    mtime: int,
    check: Callable[[], None],
) -> LayerFile:
    """Write a layer to a file. Raises Refused if a file has changed since the context was scanned,
    and what `check` raises.
    """
    with open(path, "wb") as file:
        sink = _Sink(file)
        for name in sorted(nodes):
            check()
            node = nodes[name]
            header = _header(name, node, mtime)
            if node.source is None:
                sink.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
            else:
                _add_file(sink, header, node.source, context, check)
        sink.end()
        size = file.tell()
    count = sum(node.form != FOLDER for node in nodes.values())
    return LayerFile(path, sink.digest(), sink.diff_id(), size, count)


class _Sink:
    """Compresses a tar into a file, and computes the digests of both."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._raw, self._packed = file, hashlib.sha256(), hashlib.sha256()
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = self._count = 0
        self._out(_HEADER)

    def write(self, data: bytes) -> None:
        self._raw.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._count += len(data)
        self._out(self._deflate.compress(data))

    def end(self) -> None:
        self.write(bytes(2 * tarfile.BLOCKSIZE))
        self._out(
            self._deflate.flush()
            + self._crc.to_bytes(4, "little")
            + (self._count & 0xFFFFFFFF).to_bytes(4, "little")
        )

    def digest(self) -> str:
        return f"sha256:{self._packed.hexdigest()}"

    def diff_id(self) -> str:
        return f"sha256:{self._raw.hexdigest()}"

    def _out(self, data: bytes) -> None:
        self._packed.update(data)
        self._file.write(data)


def _header(name: str, node: ImageNode, mtime: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = _TYPES[node.form], node.link
    header.mode = 0o777 if node.form == LINK else node.mode
    header.uid, header.gid = node.owner
    header.mtime = mtime
    return header


def _add_file(
    sink: _Sink, header: tarfile.TarInfo, source: str, context: Context, check: Callable[[], None]
) -> None:
    descriptor = context.open(source)
    with open(descriptor, "rb") as file:
        header.size = os.fstat(descriptor).st_size
        sink.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        remaining = header.size
        # Never more than the size in the header, even if the file grows meanwhile.
        while remaining and (chunk := file.read(min(_CHUNK, remaining))):
            check()
            sink.write(chunk)
            remaining -= len(chunk)
        context.same(descriptor, source)
        if remaining:
            raise Refused(f"`{source}` is shorter than the system says")
    sink.write(bytes(-header.size % tarfile.BLOCKSIZE))  # a tar pads files to whole blocks
