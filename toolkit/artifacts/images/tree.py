"""The files of an image while it is put together: what each COPY adds, with docker's rules for
where it goes.
"""

from collections.abc import Iterator, Mapping
from posixpath import basename, dirname, join, normpath
from typing import Protocol

import msgspec
from msgspec import Struct

from toolkit.artifacts.images.context import (
    FILE,
    FOLDER,
    LINK,
    Context,
    FileForm,
    follow,
    inside,
    is_wild,
    matching,
    path_parts,
)
from toolkit.artifacts.images.evaluate import ENGINES, CopyStep, FolderStep, Owner
from toolkit.errors import Refused


class ImageNode(Struct, frozen=True):
    """A file, folder or link in an image. A file's content is `source`, a path in the build
    context; None for a file of the base image.
    """

    form: FileForm
    mode: int = 0o755
    owner: Owner = (0, 0)
    link: str = ""
    source: str | None = None


Layer = dict[str, ImageNode]
"""Path without the leading slash -> the new node."""


class FileSupply(Protocol):
    """Where a COPY takes files from: the build context, or another stage."""

    def sources(self, pattern: str) -> list[str]: ...
    def followed(self, path: str) -> str | None: ...
    def take(self, path: str) -> ImageNode: ...
    def inside_of(self, folder: str) -> Iterator[str]: ...


class FromContext:
    """The build context as a supply: owners are forgotten, modes are 644 or 755."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.sources, self.followed = context.sources, context.followed

    def take(self, path: str) -> ImageNode:
        """A file, folder or link; Refused for anything else."""
        node = self._context.found[path]
        self._context.refuse_uncopyable(path, node)
        if node.form != FILE:
            return ImageNode(node.form, link=node.link)
        return ImageNode(FILE, 0o755 if node.executable else 0o644, source=path)

    def inside_of(self, folder: str) -> Iterator[str]:
        """All paths below a folder."""
        return (path for path, _ in self._context.below(folder))


class ImageTree:
    """The files of a stage. It is a supply, too, for the stages after it.

    `whole` is False if its base image has not been read: then nothing is refused that could depend
    on it.
    """

    def __init__(self, nodes: Mapping[str, ImageNode] | None = None, whole: bool = True) -> None:
        self.nodes = {"": ImageNode(FOLDER), **(nodes or {})}
        self.whole = whole
        self._layer: Layer = {}

    def layer(self) -> Layer:
        """What was added since the last call."""
        added, self._layer = self._layer, {}
        return added

    def sources(self, pattern: str) -> list[str]:
        """The paths that a source stands for. Raises Refused if it has no wildcard and does not
        exist.
        """
        path = inside(pattern)
        if not is_wild(path):
            if self.followed(path) is not None:
                return [path]
            if self.whole:
                raise Refused(f"`{pattern}` is not in that stage")
        return matching(self.nodes, path, self.followed)

    def followed(self, path: str) -> str | None:
        """Where a path leads inside of the image, None if nowhere."""
        return follow(path, self.nodes, self._link_target)

    def take(self, path: str) -> ImageNode:
        """The node at a path; Refused for a base image's own files, whose content this builder does
        not read.
        """
        node = self.nodes[path]
        if node.form == FILE and node.source is None:
            raise Refused(
                f"`/{path}` belongs to a base image; only files of the build context can be copied"
                " between stages",
                ENGINES,
            )
        return node

    def inside_of(self, folder: str) -> Iterator[str]:
        """All paths below a folder."""
        start = f"{folder}/" if folder else ""
        return (path for path in sorted(self.nodes) if path and path.startswith(start))

    def make(self, folder: FolderStep) -> None:
        """Create the folder of a WORKDIR if it does not exist."""
        path = self._real(folder.path)
        if not self._is_folder(path):
            if folder.owner is None and self.whole:
                raise folder.instruction.refuse(
                    "the folder belongs to the USER, whom only the image knows by this name",
                    "write USER as numbers",
                )
            self._make(path, folder.owner or (0, 0))

    def copy(self, copy: CopyStep, supply: FileSupply) -> list[ImageNode]:
        """Follow one COPY; what its sources stand for. Raises Refused naming its line."""
        try:
            paths: list[str] = []
            for source in copy.sources:
                paths += supply.sources(source)
            if len(paths) > 1 and self.whole and not self._is_folder_to_be(copy.dest):
                self._refuse_several_files(copy, supply, paths)
            return [self._copy(copy, supply, path) for path in paths]
        except Refused as error:
            raise copy.instruction.refuse(error.facts["problem"], error.next) from None

    def _refuse_several_files(self, copy: CopyStep, supply: FileSupply, paths: list[str]) -> None:
        """Raises Refused unless all are folders: several files cannot have one name."""
        for path in paths:
            if self._take_followed(supply, path)[1].form != FOLDER:
                raise Refused(
                    f"{len(paths)} files match, so the destination `{copy.dest}` must end with /"
                )

    def _take_followed(self, supply: FileSupply, path: str) -> tuple[str, ImageNode]:
        real = supply.followed(path)
        if real is None:
            raise Refused(f"`{path}` is a link to nothing")
        return real, supply.take(real)

    def _copy(self, copy: CopyStep, supply: FileSupply, path: str) -> ImageNode:
        real, node = self._take_followed(supply, path)
        dest = self._real(copy.dest)
        if node.form == FOLDER:
            self._make(dest, copy.owner)
            start = len(real) + 1 if real else 0
            for inner in supply.inside_of(real):
                self._put(join(dest, inner[start:]), _with_options(supply.take(inner), copy))
        elif self._is_folder_to_be(copy.dest):
            self._make(dest, copy.owner)
            self._put(join(dest, basename(path)), _with_options(node, copy))
        else:
            self._make(dirname(dest), copy.owner)
            self._put(dest, _with_options(node, copy))
        return node

    def _put(self, path: str, node: ImageNode) -> None:
        # Docker replaces a file by a file, but never a folder by a file or the other way round.
        before = self.nodes.get(path)
        if before is not None and (before.form == FOLDER) != (node.form == FOLDER):
            raise Refused(f"`/{path}` would be a {node.form}, but it is a {before.form} already")
        self.nodes[path] = self._layer[path] = node

    def _make(self, path: str, owner: Owner) -> None:
        """Create a folder and those above it where they do not exist; others keep their mode."""
        folder = ""
        for part in path_parts(path):
            folder = join(folder, part)
            if folder not in self.nodes:
                self._put(folder, ImageNode(FOLDER, owner=owner))
            elif self.nodes[folder].form != FOLDER:
                raise Refused(
                    f"`/{folder}` is a {self.nodes[folder].form}, so there can be no folder"
                )

    def _is_folder_to_be(self, dest: str) -> bool:
        """Whether a copied file goes into a destination, rather than taking its name."""
        return dest.endswith("/") or self._is_folder(self._real(dest))

    def _is_folder(self, path: str) -> bool:
        return path in self.nodes and self.nodes[path].form == FOLDER

    def _real(self, path: str) -> str:
        """A path with the links in it followed, as far as it exists; the rest is new."""
        parts, new = path_parts(path), list[str]()
        while (real := self.followed("/".join(parts))) is None:
            new.insert(0, parts.pop())
        return "/".join(path_parts(real) + new)

    def _link_target(self, path: str) -> str | None:
        node = self.nodes[path]
        if node.form != LINK:
            return None
        return normpath(join("/", dirname(path), node.link)).lstrip("/")


def _with_options(node: ImageNode, copy: CopyStep) -> ImageNode:
    """With the owner and mode that the COPY asks for; a link has no mode of its own."""
    mode = node.mode if copy.mode is None or node.form == LINK else copy.mode
    return msgspec.structs.replace(node, owner=copy.owner, mode=mode)
