"""The files of an image while it is put together: what each COPY adds, with docker's rules for
where it goes.
"""

from collections.abc import Iterator, Mapping
from posixpath import basename, dirname, join, normpath
from typing import Protocol

import msgspec
from msgspec import Struct

from toolkit.errors import Refused
from toolkit.ports.images.context import Context, follow, inside, is_wild, matching
from toolkit.ports.images.evaluate import ENGINES, CopyStep, FolderStep, Owner


class ImageNode(Struct, frozen=True):
    """One thing in an image. A file's content is `source`, a path in the build context; None is
    what a base image has brought.
    """

    form: str
    """file, folder or link."""
    mode: int = 0o755
    owner: Owner = (0, 0)
    link: str = ""
    source: str | None = None


Layer = dict[str, ImageNode]
"""Path without the slash in front -> what is new there."""


class FileSupply(Protocol):
    """What a COPY takes from: the build context, or another stage."""

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
        found = self._context.found[path]
        self._context.allowed(path, found)
        mode = 0o644 if found.form == "file" and not found.executable else 0o755
        return ImageNode(
            found.form, mode, link=found.link, source=path if found.form == "file" else None
        )

    def inside_of(self, folder: str) -> Iterator[str]:
        """All paths below a folder."""
        return (path for path, _ in self._context.below(folder))


class ImageTree:
    """The files of a stage. It is a supply, too, for the stages after it.

    It is not `whole` while its base image has not been read; then nothing is refused that could
    depend on that.
    """

    def __init__(self, nodes: Mapping[str, ImageNode] | None = None, whole: bool = True) -> None:
        self.nodes = {"": ImageNode("folder"), **(nodes or {})}
        self.whole = whole
        self._layer: Layer = {}

    def layer(self) -> Layer:
        """What was added since this was asked last."""
        added, self._layer = self._layer, {}
        return added

    def sources(self, pattern: str) -> list[str]:
        """The paths that a source stands for. Raises Refused if it has no wildcard and is not
        there.
        """
        path = inside(pattern)
        if not is_wild(path):
            if self.followed(path) is not None:
                return [path]
            if self.whole:
                raise Refused(f"`{pattern}` is not in that stage")
        return matching(self.nodes, path)

    def followed(self, path: str) -> str | None:
        """Where a path leads inside of the image, None if nowhere."""
        return follow(path, self.nodes, self._leads)

    def take(self, path: str) -> ImageNode:
        """What is at a path; Refused for a base image's own files, which this builder has never
        seen.
        """
        node = self.nodes[path]
        if node.form == "file" and node.source is None:
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
        """What WORKDIR does: the folder is there afterwards."""
        path = self._real(folder.path)
        if not self._is_folder(path):
            if folder.owner is None and self.whole:
                raise folder.one.refuse(
                    "the folder belongs to the USER, whom only the image knows by this name",
                    "write USER as numbers",
                )
            self._make(path, folder.owner or (0, 0))

    def copy(self, copy: CopyStep, supply: FileSupply) -> list[ImageNode]:
        """Follow one COPY; what its sources stand for. Raises Refused naming its line."""
        try:
            found = [path for source in copy.sources for path in supply.sources(source)]
            one_name = (
                self.whole
                and not copy.dest.endswith("/")
                and not self._is_folder(self._real(copy.dest))
            )
            if (
                len(found) > 1
                and one_name
                and any(self._taken(supply, path).form != "folder" for path in found)
            ):
                raise Refused(
                    f"{len(found)} files match, so the destination `{copy.dest}` must end with /"
                )
            return [self._copy(copy, supply, path) for path in found]
        except Refused as error:
            raise copy.one.refuse(error.facts["problem"], error.facts["next"]) from None

    def _taken(self, supply: FileSupply, path: str) -> ImageNode:
        real = supply.followed(path)
        if real is None:
            raise Refused(f"`{path}` is a link to nothing")
        return supply.take(real)

    def _copy(self, copy: CopyStep, supply: FileSupply, path: str) -> ImageNode:
        real = supply.followed(path)
        node = self._taken(supply, path)
        dest = self._real(copy.dest)
        if node.form != "folder":
            into = copy.dest.endswith("/") or self._is_folder(dest)
            self._make(dest if into else dirname(dest), copy.owner)
            self._put(join(dest, basename(path)) if into else dest, _as_asked(node, copy))
            return node
        self._make(dest, copy.owner)
        for one in supply.inside_of(real or ""):
            self._put(
                join(dest, one[len(real) + 1 :] if real else one), _as_asked(supply.take(one), copy)
            )
        return node

    def _put(self, path: str, node: ImageNode) -> None:
        before = self.nodes.get(path)
        if before is not None and (before.form == "folder") != (node.form == "folder"):
            raise Refused(f"`/{path}` would be a {node.form}, but it is a {before.form} already")
        self.nodes[path] = self._layer[path] = node

    def _make(self, path: str, owner: Owner) -> None:
        """A folder and those above it, where they are not there yet; what is there keeps its
        mode.
        """
        above = ""
        for part in [one for one in path.split("/") if one]:
            above = join(above, part)
            if above not in self.nodes:
                self._put(above, ImageNode("folder", owner=owner))
            elif self.nodes[above].form != "folder":
                raise Refused(
                    f"`/{above}` is a {self.nodes[above].form}, so there can be no folder"
                )

    def _is_folder(self, path: str) -> bool:
        return path in self.nodes and self.nodes[path].form == "folder"

    def _real(self, path: str) -> str:
        """Where a path leads, as far as it is there; the rest is new."""
        parts, rest = [one for one in path.split("/") if one], list[str]()
        while (real := self.followed("/".join(parts))) is None:
            rest.insert(0, parts.pop())
        return "/".join([*([real] if real else []), *rest])

    def _leads(self, at: str) -> str | None:
        node = self.nodes[at]
        return (
            normpath(join("/", dirname(at), node.link)).lstrip("/") if node.form == "link" else None
        )


def _as_asked(node: ImageNode, copy: CopyStep) -> ImageNode:
    mode = node.mode if copy.mode is None or node.form == "link" else copy.mode
    return msgspec.structs.replace(node, owner=copy.owner, mode=mode)
