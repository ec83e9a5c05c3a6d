"""What these tests share: folders as contexts, images as files, a log that remembers."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from toolkit.artifacts.images import Recipe
from toolkit.artifacts.images.builtin import (
    BuiltStage,
    NoLog,
    build_stages,
    configuration,
    plan_build,
)
from toolkit.artifacts.images.context import Context
from toolkit.artifacts.images.layers import LayerFile, write

DIGEST = "sha256:" + "d" * 64
ID = "sha256:" + "1" * 64
PROGRAM = (Path(__file__).parent / "engine_program.py").read_text()


class Said:
    """A log that remembers, and stops the run at its `stop`-th check."""

    def __init__(self, stop: int | None = None) -> None:
        self.phases: list[str] = []
        self.lines: list[str] = []
        self.checks, self._stop = 0, stop

    def phase(self, words: str) -> None:
        self.phases.append(words)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def check(self) -> None:
        self.checks += 1
        if self._stop is not None and self.checks >= self._stop:
            raise KeyboardInterrupt


def folder(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """A folder with these files; a name that ends in `*` is executable, `a -> b` is a link."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        name, _, link = name.partition(" -> ")
        path = root / name.removesuffix("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        if link:
            path.symlink_to(link)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o755 if name.endswith("*") else 0o644)
    return root


class Entry(Struct, frozen=True):
    """One thing in a layer."""

    kind: str
    mode: int
    owner: tuple[int, int]
    link: str
    content: bytes
    mtime: int


_KINDS = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link"}


def entries(packed: bytes) -> dict[str, Entry]:
    """A layer's entries, read by tarfile."""
    document = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as archive:
        for item in archive:
            file = archive.extractfile(item) if item.isreg() else None
            content = file.read() if file else b""
            document[item.name] = Entry(
                _KINDS[item.type],
                item.mode,
                (item.uid, item.gid),
                item.linkname,
                content,
                int(item.mtime),
            )
    return document


class Built(Struct, frozen=True):
    """An image that was put together without a registry."""

    image: BuiltStage
    layers: list[dict[str, Entry]]
    written: list[LayerFile]
    config: dict[str, Any]

    @property
    def files(self) -> dict[str, Entry]:
        """All layers on top of each other."""
        return {path: entry for layer in self.layers for path, entry in layer.items()}

    @property
    def texts(self) -> dict[str, str]:
        """Path -> content, of files only."""
        return {
            path: item.content.decode() for path, item in self.files.items() if item.kind == "file"
        }


def built(
    tmp_path: Path,
    dockerfile: str,
    files: Mapping[str, str | bytes],
    log: Said | None = None,
    **recipe: Any,
) -> Built:
    """Build in memory what needs no base image."""
    root = folder(tmp_path / "context", {"Dockerfile": dockerfile, **files})
    return built_in(root, tmp_path / "layers", log, **recipe)


def built_in(root: Path, layers: Path, log: Said | None = None, **recipe: Any) -> Built:
    """Build a folder that is there."""
    layers.mkdir(exist_ok=True)
    request = Recipe(str(root), ".", "Dockerfile", **recipe)
    plan = plan_build(request)
    context = Context(plan.folder, plan.ignore)
    image = build_stages(plan, request, context, None, log or NoLog())
    written = [
        write(os.path.join(layers, str(position)), layer, context, 0, lambda: None)
        for position, layer in enumerate(image.layers)
    ]
    read = [entries(Path(item.path).read_bytes()) for item in written]
    return Built(image, read, written, configuration(image, written, plan.platform, 0))


class Engines:
    """A folder of programs at the front of PATH, and the calls that they wrote down."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()

    def install(self, name: str, digest: str = DIGEST, **settings: str) -> None:
        path = self.home / name
        path.write_text(f"#!{sys.executable} -S\n{PROGRAM}")
        path.chmod(0o755)
        for key, value in {"digest": digest, "id": ID, **settings}.items():
            (self.home / f"{name}.{key}").write_text(value)

    @property
    def containers(self) -> list[str]:
        """The names of the containers that are there."""
        folder = self.home / "containers"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    @property
    def calls(self) -> list[dict[str, Any]]:
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def called(self, *words: str) -> dict[str, Any]:
        """The one call that begins with these words."""
        (result,) = (call for call in self.calls if call["argv"][: len(words)] == list(words))
        return result
