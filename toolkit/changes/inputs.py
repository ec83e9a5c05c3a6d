"""What is each target built from, whatever rules say? Its Dockerfile, its template, and what those
lead to and refer to.

All paths are from the repository's root. A link counts with every step on its way: whichever of
them changes, something else is built.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from posixpath import dirname, join, normpath
from typing import Protocol

from msgspec import Struct

from toolkit.model import Inputs
from toolkit.ports import files
from toolkit.ports.git import Git

LONGEST_TEXT = 1_000_000
"""Bytes of a template that is read for what it refers to: CloudFormation takes no longer one."""
MOST_LINKS = 40
MOST_FILES = 1_000
"""How many files of one target are read for what they refer to."""

LINK, FOLDER = "120000", "040000"
MOST_AT_ONCE = 2_000
"""How many paths one git is asked for: they stand on its command line."""
_READ = (".yaml", ".yml", ".json", ".template")

Linked = Callable[[str, str], Sequence[str]]
"""What a file refers to: its path and text -> paths (a kind's `linked`)."""


class FileTree(Protocol):
    """The files of a commit, or of the working tree."""

    def prepare(self, paths: Sequence[str]) -> None:
        """These are about to be asked for: what takes long is done once for all of them."""

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads, as it is written; None for everything else. No part of the
        path before it is a link.
        """

    def is_folder(self, path: str) -> bool:
        """Whether a path without links is a folder."""

    def texts(self, paths: Sequence[str]) -> list[str]:
        """The texts of files, at paths without links; empty for what cannot be read."""


class WorkTree:
    """The files on disk."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._links: dict[str, str | None] = {}
        self._folders: dict[str, bool] = {}
        self._texts: dict[str, str] = {}

    def prepare(self, paths: Sequence[str]) -> None:
        """Nothing takes long here."""

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads."""
        if path not in self._links:
            try:
                self._links[path] = os.readlink(os.path.join(self._root, path))
            except OSError:
                self._links[path] = None
        return self._links[path]

    def is_folder(self, path: str) -> bool:
        """Whether it is a folder."""
        if path not in self._folders:
            self._folders[path] = files.is_folder(os.path.join(self._root, path))
        return self._folders[path]

    def texts(self, paths: Sequence[str]) -> list[str]:
        """The texts of files."""
        for path in paths:
            if path not in self._texts:
                text = files.text_inside(self._root, path, LONGEST_TEXT)
                self._texts[path] = text or ""
        return [self._texts[path] for path in paths]


class CommitTree:
    """The files of a commit."""

    def __init__(self, git: Git, commit: str) -> None:
        self._git, self._commit = git, commit
        self._modes: dict[str, str] = {}
        self._folders = {""}

    def prepare(self, paths: Sequence[str]) -> None:
        """Ask git for all of them at once; of those that are not there, for the folders above."""
        self._ask([normpath(path) for path in paths])
        folders: list[str] = []
        for path in map(normpath, paths):
            if not self._modes.get(path):
                folders += _above(path)
        self._ask(folders)

    def _ask(self, paths: Sequence[str]) -> None:
        unknown = [path for path in dict.fromkeys(paths) if path not in self._modes]
        unknown = [path for path in unknown if path not in self._folders]
        for start in range(0, len(unknown), MOST_AT_ONCE):
            part = unknown[start : start + MOST_AT_ONCE]
            modes = self._git.modes(self._commit, part)
            self._modes |= {**dict.fromkeys(part, ""), **modes}
            for path, mode in modes.items():
                self._folders.update(_above(path))
                if mode == FOLDER:
                    self._folders.add(path)

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads."""
        self._ask([path])
        if path in self._folders or self._modes[path] != LINK:
            return None
        blob = self._git.blob(self._commit, path)
        return None if blob is None else blob.decode("utf-8", "surrogateescape")

    def is_folder(self, path: str) -> bool:
        """Whether it is a folder."""
        self._ask([path])
        return path in self._folders

    def texts(self, paths: Sequence[str]) -> list[str]:
        """The texts of files."""
        present = [path for path in paths if self._modes.get(path) != ""]
        if not present:
            return [""] * len(paths)
        blobs = self._git.blobs([(self._commit, path) for path in present])
        contents = dict(zip(present, blobs, strict=True))
        return [_text(contents.get(path)) for path in paths]


def _above(path: str) -> list[str]:
    """The folders above a path, without the root."""
    folders: list[str] = []
    while path := dirname(path):
        folders.append(path)
    return folders


def _text(data: bytes | None) -> str:
    if data is None or len(data) > LONGEST_TEXT:
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


class InputTargets(Struct, frozen=True):
    """Which targets are built from which files: by path, and by folder where all in it counts."""

    paths: Mapping[str, frozenset[str]] = {}
    folders: Mapping[str, frozenset[str]] = {}

    def by(self, path: str) -> frozenset[str]:
        """The targets that are due when this path changes, whatever rule owns it."""
        targets = self.paths.get(path, frozenset())
        if self.folders:
            folder = path
            while folder:
                targets |= self.folders.get(folder, frozenset())
                folder = dirname(folder)
            targets |= self.folders.get("", frozenset())
        return targets


def used(
    inputs: Mapping[str, Inputs], linked: Mapping[str, Linked], tree: FileTree | None
) -> InputTargets:
    """Which targets are due when which files change. Without a tree no link is followed, and no
    file is read.
    """
    paths: dict[str, set[str]] = {}
    folders: dict[str, set[str]] = {}
    for name, path, is_folder in _reached(inputs, linked, tree):
        users = folders if is_folder else paths
        users.setdefault(path, set()).add(name)
    return InputTargets(
        {path: frozenset(names) for path, names in paths.items()},
        {path: frozenset(names) for path, names in folders.items()},
    )


def code(inputs: Inputs, linked: Linked, tree: FileTree) -> tuple[str, ...]:
    """The folders that a target's build takes whole: its own, and those that its template mentions.
    Links are followed.
    """
    folders = {real for folder in inputs.folders if (real := follow(folder, tree)[1]) is not None}
    reached = _reached({"": inputs}, {"": linked}, tree)
    return tuple(sorted(folders | {path for _, path, is_folder in reached if is_folder}))


def _reached(
    inputs: Mapping[str, Inputs], linked: Mapping[str, Linked], tree: FileTree | None
) -> Iterator[tuple[str, str, bool]]:
    """Target and path, all that count, and whether a path is a folder with all that is in it.

    All targets go on side by side, so that a tree is asked as few times as files are nested.
    """
    waiting: list[tuple[str, str]] = []
    for name, target in inputs.items():
        waiting += [(name, path) for path in target.files]
    done: dict[str, set[str]] = {name: set() for name in inputs}
    followed = _Followed(tree)
    while waiting:
        if tree is not None:
            tree.prepare([path for _, path in waiting])
        read: list[tuple[str, str]] = []
        for name, path in waiting:
            if path in done[name]:
                continue
            done[name].add(path)
            if len(done[name]) > MOST_FILES:
                yield name, "", True  # nobody reads on, so whatever changes may count
                continue
            steps, real = followed[path]
            yield from ((name, step, False) for step in steps)
            if real is None or tree is None:
                continue
            if tree.is_folder(real):
                yield name, real, True
            elif real.endswith(_READ):
                read.append((name, real))
        waiting = [] if tree is None else _references(read, linked, tree)


class _Followed(dict[str, tuple[list[str], str | None]]):
    """`follow` for each path, once: many targets are built from the same files."""

    def __init__(self, tree: FileTree | None) -> None:
        self._tree = tree

    def __missing__(self, path: str) -> tuple[list[str], str | None]:
        self[path] = followed = follow(path, self._tree)
        return followed


def _references(
    read: Sequence[tuple[str, str]], linked: Mapping[str, Linked], tree: FileTree
) -> list[tuple[str, str]]:
    """What the files of each target refer to: target and path."""
    references: list[tuple[str, str]] = []
    texts = tree.texts([path for _, path in read])
    for (name, path), text in zip(read, texts, strict=True):
        if text:
            references += [(name, reference) for reference in linked[name](path, text)]
    return references


def follow(path: str, tree: FileTree | None) -> tuple[list[str], str | None]:
    """Every step on the way to a path, links and folders alike, and where it leads; None outside of
    the repository.
    """
    steps: list[str] = []
    done, rest, links = "", path.split("/"), 0
    while rest:
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                return steps, None
            done = dirname(done)
            continue
        step = join(done, part)
        steps.append(step)
        destination = tree.link(step) if tree is not None else None
        if destination is None:
            done = step
            continue
        links += 1  # links may go round in a circle
        if destination.startswith("/") or links > MOST_LINKS:
            return steps, None
        rest = [*destination.split("/"), *rest]
    return steps, done
