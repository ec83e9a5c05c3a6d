"""Layers as bytes: the same files give the same bytes, in whatever order the disk has them, whoever
they belong to there.
"""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.ports.images.context import Context
from toolkit.ports.images.tree import ImageNode

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
_LEVEL = 6
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Of gzip: no name, no time, no operating system. Python's own differs between its versions."""
_CHUNK = 1 << 20
_TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


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
    """Write a layer to a file. Raises Refused if a file has changed since the context was looked
    at, and what `check` raises.
    """
    with open(path, "wb") as file:
        sink = _Sink(file)
        for name in sorted(nodes):
            check()
            _add(sink, name, nodes[name], context, mtime, check)
        sink.end()
        size = file.tell()
    count = sum(node.form != "folder" for node in nodes.values())
    return LayerFile(path, sink.digest(), sink.diff_id(), size, count)


class _Sink:
    """Compresses what it is given, and keeps both digests."""

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


def _add(
    sink: _Sink, name: str, node: ImageNode, context: Context, mtime: int, check: Callable[[], None]
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = _TYPES[node.form], node.link
    info.mode = 0o777 if node.form == "link" else node.mode
    info.uid, info.gid = node.owner
    info.mtime = mtime
    if node.source is None:
        sink.write(_header(info))
        return
    descriptor = context.open(node.source)
    with open(descriptor, "rb") as file:
        info.size = os.fstat(descriptor).st_size
        sink.write(_header(info))
        left = info.size
        while left and (chunk := file.read(min(_CHUNK, left))):
            check()
            sink.write(chunk)
            left -= len(chunk)
        context.same(descriptor, node.source)
        if left:
            raise Refused(f"`{node.source}` is shorter than the system says")
    sink.write(bytes(-info.size % tarfile.BLOCKSIZE))


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
