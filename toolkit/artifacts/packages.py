"""The package of a function: a folder as a zip whose bytes depend on names, contents and the right
to execute only, and a digest of these that no zip program has a part in.

What is left out decides nothing: caches, and git's own folder.
"""

import base64
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from posixpath import join
from typing import BinaryIO

from msgspec import Struct

from toolkit.artifacts.images.context import FOLDER, LINK, Context, secret_looking
from toolkit.artifacts.images.taken import CACHES
from toolkit.errors import FileProblem, Refused
from toolkit.formats.dockerignore import parse

LEFT_OUT = (".git", *sorted(CACHES))
MOST_UNPACKED = 250 << 20
"""Bytes that Lambda unpacks, with all layers."""
MOST_DIRECT = 50 << 20
"""Bytes of a zip that can be sent with the call itself."""
MOST_STORED = 20 << 20
"""Bytes of contents up to which nothing is compressed: what compresses is different from machine to
machine, and so would the zip be.
"""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can hold, for each entry."""
_CHUNK = 1 << 20


class Package(Struct, frozen=True):
    """A folder that was packed. `content` is the digest of what is in it, `sha256` that of the zip
    as Lambda writes it; sizes are in bytes. `secrets` are files whose names say that they hold
    passwords.
    """

    content: str
    sha256: str
    size: int
    unpacked: int
    names: frozenset[str]
    secrets: tuple[str, ...]

    @property
    def is_reproducible(self) -> bool:
        """Whether equal content always becomes the same zip, on every machine."""
        return self.unpacked <= MOST_STORED


class _Entry(Struct, frozen=True):
    """A file of the package: its name there, the path of its content, and its size in bytes."""

    name: str
    path: str
    executable: bool
    size: int


def pack(folder: str, into: BinaryIO, check: Callable[[], None]) -> Package:
    """Write the zip of a folder. `check` may end that by raising. Raises Refused for what Lambda
    would not take, or what is not only in that folder.
    """
    context = Context(folder, parse("\n".join(f"**/{name}" for name in LEFT_OUT)))
    entries = list(_entries(context))
    unpacked = sum(entry.size for entry in entries)
    _refuse_unfit(folder, entries, unpacked)
    compression = zipfile.ZIP_STORED if unpacked <= MOST_STORED else zipfile.ZIP_DEFLATED
    content = hashlib.sha256()
    with zipfile.ZipFile(into, "w", compression) as archive:
        for entry in entries:
            check()
            content.update(f"{entry.name}\0{entry.executable}\0".encode())
            content.update(_write(context, entry, archive, compression))
    size = into.tell()
    return Package(
        content.hexdigest(),
        _digest(into),
        size,
        unpacked,
        frozenset(entry.name for entry in entries),
        tuple(entry.name for entry in entries if secret_looking(entry.name)),
    )


def _entries(context: Context) -> Iterator[_Entry]:
    """The files below a context, by name. A link counts as the file that it leads to."""
    for name, node in context.below(""):
        path: str | None = name
        if node.form == LINK:
            context.refuse_uncopyable(name, node)
            path = context.followed(name)
            if path is None:
                raise Refused(f"`{name}` is a link that leads nowhere", "remove it")
            node = context.found[path]
            if node.form == FOLDER:
                raise Refused(
                    f"`{name}` is a link to a folder, which a package cannot hold",
                    "put the folder itself there",
                )
        if node.form == FOLDER:
            continue
        context.refuse_uncopyable(name, node)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise Refused(f"`{name}` is not UTF-8, and a package cannot hold it") from None
        yield _Entry(name, str(path), node.executable, node.mark[3])


def _refuse_unfit(folder: str, entries: list[_Entry], unpacked: int) -> None:
    if not entries:
        raise Refused(f"there are no files to deploy in {folder}", "build them first")
    if unpacked > MOST_UNPACKED:
        raise Refused(
            f"{folder} has {unpacked >> 20} MB, and Lambda takes at most"
            f" {MOST_UNPACKED >> 20} MB of code",
            "remove what is not needed, or deploy it as an `image`",
        )


def _write(context: Context, entry: _Entry, archive: zipfile.ZipFile, compression: int) -> bytes:
    """Add a file to the zip; the digest of its content. Raises Refused where it has changed since
    the folder was listed.
    """
    info = zipfile.ZipInfo(entry.name, EPOCH)
    info.create_system = 3
    info.compress_type = compression
    info.file_size = entry.size
    mode = 0o100755 if entry.executable else 0o100644
    info.external_attr = mode << 16
    digest = hashlib.sha256()
    descriptor = context.open(entry.path)
    try:
        with open(descriptor, "rb") as file, archive.open(info, "w") as slot:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                slot.write(chunk)
            context.same(descriptor, entry.path)
    except (OSError, RuntimeError) as error:
        raise FileProblem(path=join(context.folder, entry.path), reason=str(error)) from None
    return digest.digest()


def _digest(file: BinaryIO) -> str:
    """The digest of a whole file, as Lambda writes it."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def hexadecimal(sha256: str) -> str:
    """A digest as Lambda writes it, as one that can be in a name."""
    return base64.b64decode(sha256).hex()
