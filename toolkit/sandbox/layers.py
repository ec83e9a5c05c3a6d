"""Unpacks the layers of an image, one over the other. It runs in the emulator's process, so it uses
the standard library only.

An image may be hostile: nothing is written outside of the folder, and its size is limited.
"""

import io
import os
import shutil
import tarfile
from collections.abc import Iterable

MOST_FILES = 100_000
MOST_BYTES = 1 << 30


class BadLayer(Exception):
    """A layer that is not unpacked, and why."""


def unpack(layers: Iterable[bytes], folder: str) -> None:
    """Put the layers' files into a folder. Raises BadLayer."""
    root = os.path.realpath(folder)
    files = size = 0
    for layer in layers:
        try:
            with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
                for member in tar:
                    files, size = files + 1, size + member.size
                    if files > MOST_FILES or size > MOST_BYTES:
                        raise BadLayer(f"it has more than {MOST_FILES} files or {MOST_BYTES} bytes")
                    _put(tar, member, root)
        except (tarfile.TarError, EOFError, OSError) as problem:
            raise BadLayer(str(problem)) from None


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, root: str) -> None:
    path = _inside(root, member.name)
    folder, name = os.path.split(path)
    if path == root:
        return
    # A link of an earlier layer may lead out of the root.
    if not os.path.join(os.path.realpath(folder), "").startswith(os.path.join(root, "")):
        raise BadLayer(f"{member.name!r} goes through a link that leads outside")
    os.makedirs(folder, exist_ok=True)
    if name.startswith(".wh."):
        _put_whiteout(folder, name, member.name)
    elif member.isdir():
        if os.path.islink(path) or not os.path.isdir(path):
            _remove(path)
            os.mkdir(path)
    elif member.issym():
        target = member.linkname
        if not target.startswith("/"):
            target = os.path.join(os.path.dirname(member.name), target)
        destination = _inside(root, target)
        _remove(path)
        os.symlink(os.path.relpath(destination, folder), path)
    elif member.isfile() or member.islnk():
        _write(tar, member, path)
    # Devices and pipes are for a real engine; nothing that runs here needs them.


def _put_whiteout(folder: str, name: str, member_name: str) -> None:
    """Remove what a whiteout file stands for: everything that lower layers have in its folder, or
    one file of it.
    """
    if name == ".wh..wh..opq":
        _clear(folder)
    elif name[4:] in ("", ".", ".."):
        raise BadLayer(f"{member_name!r} removes no file")
    else:
        _remove(os.path.join(folder, name[4:]))
    # Devices and pipes are for a real engine; nothing that runs here needs them.


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise BadLayer(f"{member.name!r} is a link to nothing")
    _remove(path)
    with source, open(path, "xb") as file:
        shutil.copyfileobj(source, file)
    os.chmod(path, 0o755 if member.mode & 0o111 else 0o644)


def _inside(root: str, name: str) -> str:
    """The path of a member below the root, which is `/` for the image. Raises BadLayer for one
    outside of it.
    """
    path = os.path.normpath(os.path.join(root, name.lstrip("/")))
    if path != root and not path.startswith(root + os.sep):
        raise BadLayer(f"{name!r} lies outside")
    return path


def _remove(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def _clear(folder: str) -> None:
    for name in os.listdir(folder):
        _remove(os.path.join(folder, name))
