"""Which files does a build take that git does not know? They are in the image, and no commit says
what is in them.

What counts is everything on disk that goes into the build and is neither tracked nor told of as
untracked by git: mostly what .gitignore names, wherever that stands, also in a submodule.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from toolkit.changes.detect import WorkingTree
from toolkit.changes.inputs import Linked, WorkTree, code, follow
from toolkit.errors import GitError
from toolkit.model import ImageSource, Inputs
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.ports.images.taken import BuildInputs


class IgnoredFiles:
    """What git knows of a working tree, each repository asked when something of it is looked at."""

    def __init__(self, git: Git, seen: WorkingTree) -> None:
        self.root = git.root
        self._tracked = set(git.files())
        self._untracked = {state.path for state in seen.states if state.index == "?"}
        self._inside: dict[str, IgnoredFiles | None] = {}

    def knows(self, path: str) -> bool:
        """Whether a path is tracked, or is one of those that make the working tree dirty."""
        return path in self._tracked or path in self._untracked

    def repository(self, folder: str) -> "IgnoredFiles | None":
        """What git knows of a repository in a folder: a submodule, or one that stands there; None
        if it has none of its own.
        """
        if folder not in self._inside:
            self._inside[folder] = _known(os.path.join(self.root, folder))
        return self._inside[folder]


def _known(folder: str) -> IgnoredFiles | None:
    if not os.path.lexists(os.path.join(folder, ".git")):
        return None
    try:
        git = Git.open(folder)
        same = os.path.realpath(git.root) == os.path.realpath(folder)
        return IgnoredFiles(git, WorkingTree(tuple(git.status()), ())) if same else None
    except GitError:
        return None


def paths(own: Inputs, linked: Linked, known: IgnoredFiles) -> tuple[str, ...]:
    """The files that git does not know and a target's build takes, from the repository's root,
    sorted.
    """
    tree = WorkTree(known.root)
    found: set[str] = set()
    for image in own.images:
        found.update(_of_image(image, known, tree))
    for folder in code(own, linked, tree):
        found.update(_unknown(folder, known, _any, _any))
    return tuple(sorted(found))


def digest(root: str, found: Sequence[str]) -> str:
    """A digest of these files: names, content, and whether they may be executed. Empty for none."""
    if not found:
        return ""
    made = hashlib.sha256()
    for path in found:
        name = path.encode("utf-8", "surrogateescape")
        made.update(
            b"%d %b %b\0" % (len(name), name, files.digest(os.path.join(root, path)).encode())
        )
    return made.hexdigest()


def _of_image(image: ImageSource, known: IgnoredFiles, tree: WorkTree) -> Iterator[str]:
    context, dockerfile = follow(image.context, tree)[1], follow(image.dockerfile, tree)[1]
    if context is None or dockerfile is None:
        return  # the build refuses what leads out of the repository
    taken = BuildInputs(known.root, context, dockerfile, image.stage, image.args)
    start = f"{context}/" if context else ""

    def counts(path: str) -> bool:
        return path.startswith(start) and taken.takes(path[len(start) :])

    def enters(path: str) -> bool:
        return taken.enters(path[len(start) :])

    for source in taken.folders():
        yield from _unknown(start + source, known, counts, enters)


def _any(path: str) -> bool:
    """For a folder that is taken whole."""
    return True


def _unknown(
    start: str, known: IgnoredFiles, counts: Callable[[str], bool], enters: Callable[[str], bool]
) -> Iterator[str]:
    """The files and links below a path (or that path itself) that git does not know, and that
    count. No link is followed.

    `enters` says whether anything in a folder may count.
    """
    start = start.rstrip("/")
    if not _is_folder(known.root, start):
        if start and _is_there(known.root, start) and counts(start) and not _is_known(start, known):
            yield start
        return
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        for name, is_folder in _listed(os.path.join(known.root, folder)):
            path = f"{folder}/{name}" if folder else name
            if name == ".git":
                continue  # git's own; no build is the better for it
            if is_folder:
                if enters(path):
                    waiting.append(path)
            elif not known.knows(path) and counts(path) and not _is_known(path, known):
                yield path


def _is_known(path: str, known: IgnoredFiles) -> bool:
    """Whether git knows a path: the repository around it, or that of the folder that it is in."""
    if known.knows(path):
        return True
    at = path
    while "/" in at:
        at = at.rpartition("/")[0]
        inside = known.repository(at)
        if inside is not None:
            return _is_known(path[len(at) + 1 :], inside)
    return False


def _is_folder(root: str, path: str) -> bool:
    return not path or files.is_folder(os.path.join(root, path))


def _is_there(root: str, path: str) -> bool:
    return os.path.lexists(os.path.join(root, path))


def _listed(folder: str) -> Iterable[tuple[str, bool]]:
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []  # the build cannot read it either
