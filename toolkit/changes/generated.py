"""Which files does a build take that git does not know? They are in the image, and no commit says
what is in them.

What counts is everything on disk that goes into the build and is neither tracked nor told of as
untracked by git: mostly what .gitignore names, wherever that stands, also in a submodule.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from toolkit.artifacts.images.taken import CACHES, BuildInputs
from toolkit.changes.completeness import open_own
from toolkit.changes.detect import WorkingTree
from toolkit.changes.inputs import Linked, WorkTree, code, follow
from toolkit.errors import GitError
from toolkit.model import ImageSource, Inputs
from toolkit.ports import files
from toolkit.ports.git import Git


class IgnoredFiles:
    """What git knows of a working tree, each repository asked when something in it is read."""

    def __init__(self, git: Git, working_tree: WorkingTree) -> None:
        self.root = git.root
        self._tracked = set(git.files())
        self._untracked = {state.path for state in working_tree.states if state.index == "?"}
        self._inside: dict[str, IgnoredFiles | None] = {}

    def knows(self, path: str) -> bool:
        """Whether a path is tracked, or is one of those that make the working tree dirty."""
        return path in self._tracked or path in self._untracked

    def repository(self, folder: str) -> "IgnoredFiles | None":
        """What git knows of a repository in a folder: a submodule, or one that stands there; None
        if it has none of its own.
        """
        if folder not in self._inside:
            self._inside[folder] = _open(os.path.join(self.root, folder))
        return self._inside[folder]


def _open(folder: str) -> IgnoredFiles | None:
    git = open_own(folder)
    if git is None:
        return None
    try:
        return IgnoredFiles(git, WorkingTree(tuple(git.status()), ()))
    except GitError:
        return None


def paths(inputs: Inputs, linked: Linked, git_files: IgnoredFiles) -> tuple[str, ...]:
    """The files that git does not know and a target's build takes, from the repository's root,
    sorted.
    """
    tree = WorkTree(git_files.root)
    generated: set[str] = set()
    for image in inputs.images:
        generated.update(_of_image(image, git_files, tree))
    for folder in code(inputs, linked, tree):

        def counts(path: str, folder: str = folder) -> bool:
            return _is_code(path.removeprefix(folder))

        def enters(path: str, counts: Callable[[str], bool] = counts) -> bool:
            return path not in inputs.built and counts(path)

        generated.update(_unknown(folder, git_files, counts, enters))
    return tuple(sorted(generated))


def digest(root: str, generated: Sequence[str]) -> str:
    """A digest of these files: names, content, and whether they may be executed. Empty for none."""
    if not generated:
        return ""
    whole = hashlib.sha256()
    for path in generated:
        name = path.encode("utf-8", "surrogateescape")
        content = files.digest(os.path.join(root, path)).encode()
        whole.update(b"%d %b %b\0" % (len(name), name, content))
    return whole.hexdigest()


def _of_image(image: ImageSource, git_files: IgnoredFiles, tree: WorkTree) -> Iterator[str]:
    context, dockerfile = follow(image.context, tree)[1], follow(image.dockerfile, tree)[1]
    if context is None or dockerfile is None:
        return  # the build refuses what leads out of the repository
    taken = BuildInputs(git_files.root, context, dockerfile, image.stage, image.args)
    start = f"{context}/" if context else ""

    def counts(path: str) -> bool:
        return path.startswith(start) and taken.takes(path[len(start) :])

    def enters(path: str) -> bool:
        return taken.enters(path[len(start) :])

    for source in taken.folders():
        yield from _unknown(start + source, git_files, counts, enters)


def _is_code(path: str) -> bool:
    """Whether a path below a folder that is taken whole is no cache, which no package holds."""
    return CACHES.isdisjoint(path.split("/"))


def _unknown(
    start: str,
    git_files: IgnoredFiles,
    counts: Callable[[str], bool],
    enters: Callable[[str], bool],
) -> Iterator[str]:
    """The files and links below a path (or that path itself) that git does not know, and that
    count. No link is followed.

    `enters` says whether anything in a folder may count.
    """
    start = start.rstrip("/")
    if not _is_folder(git_files.root, start):
        exists = start != "" and os.path.lexists(os.path.join(git_files.root, start))
        if exists and counts(start) and not _is_known(start, git_files):
            yield start
        return
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        for name, is_folder in _listed(os.path.join(git_files.root, folder)):
            path = f"{folder}/{name}" if folder else name
            if name == ".git":
                continue  # git's own; no build is the better for it
            if is_folder:
                if enters(path):
                    waiting.append(path)
            elif not git_files.knows(path) and counts(path) and not _is_known(path, git_files):
                yield path


def _is_known(path: str, git_files: IgnoredFiles) -> bool:
    """Whether git knows a path: the repository around it, or that of the folder that it is in."""
    if git_files.knows(path):
        return True
    folder = path
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        inside = git_files.repository(folder)
        if inside is not None:
            return _is_known(path[len(folder) + 1 :], inside)
    return False


def _is_folder(root: str, path: str) -> bool:
    return not path or files.is_folder(os.path.join(root, path))


def _listed(folder: str) -> Iterable[tuple[str, bool]]:
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []  # the build cannot read it either
