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
        return files.is_folder(os.path.join(self._root, path))

    def texts(self, paths: Sequence[str]) -> list[str]:
        """The texts of files."""
        return [files.text_inside(self._root, path, LONGEST_TEXT) or "" for path in paths]


class CommitTree:
    """The files of a commit."""

    def __init__(self, git: Git, commit: str) -> None:
        self._git, self._commit = git, commit
        self._modes: dict[str, str] = {}
        self._folders = {""}

    def prepare(self, paths: Sequence[str]) -> None:
        """Ask git for all of them at once; of those that are not there, for the folders above."""
        self._ask([normpath(path) for path in paths])
        lost = [path for path in map(normpath, paths) if not self._modes.get(path)]
        self._ask([above for path in lost for above in _above(path)])

    def _ask(self, paths: Sequence[str]) -> None:
        asked = [path for path in dict.fromkeys(paths) if path not in self._modes]
        asked = [path for path in asked if path not in self._folders]
        for start in range(0, len(asked), MOST_AT_ONCE):
            part = asked[start : start + MOST_AT_ONCE]
            found = self._git.modes(self._commit, part)
            self._modes |= {**dict.fromkeys(part, ""), **found}
            for path, mode in found.items():
                self._folders.update(_above(path))
                if mode == FOLDER:
                    self._folders.add(path)

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads."""
        self._ask([path])
        if path in self._folders or self._modes[path] != LINK:
            return None
        found = self._git.blob(self._commit, path)
        return None if found is None else found.decode("utf-8", "surrogateescape")

    def is_folder(self, path: str) -> bool:
        """Whether it is a folder."""
        self._ask([path])
        return path in self._folders

    def texts(self, paths: Sequence[str]) -> list[str]:
        """The texts of files."""
        there = [path for path in paths if self._modes.get(path) != ""]
        if not there:
            return [""] * len(paths)
        blobs = self._git.blobs([(self._commit, path) for path in there])
        contents = dict(zip(there, blobs, strict=True))
        return [_text(contents.get(path)) for path in paths]


def _above(path: str) -> list[str]:
    """The folders above a path, without the root."""
    found: list[str] = []
    while path := dirname(path):
        found.append(path)
    return found


def _text(data: bytes | None) -> str:
    try:
        return "" if data is None or len(data) > LONGEST_TEXT else data.decode()
    except UnicodeDecodeError:
        return ""


class InputTargets(Struct, frozen=True):
    """Which targets are built from which files: by path, and by folder where all in it counts."""

    paths: Mapping[str, frozenset[str]] = {}
    folders: Mapping[str, frozenset[str]] = {}

    def by(self, path: str) -> frozenset[str]:
        """The targets that are due when this path changes, whatever rule owns it."""
        found = self.paths.get(path, frozenset())
        if self.folders:
            at = path
            while at:
                found |= self.folders.get(at, frozenset())
                at = dirname(at)
            found |= self.folders.get("", frozenset())
        return found


def used(
    inputs: Mapping[str, Inputs], linked: Mapping[str, Linked], tree: FileTree | None
) -> InputTargets:
    """Which targets are due when which files change. Without a tree no link is followed, and no
    file is read.
    """
    paths: dict[str, set[str]] = {}
    folders: dict[str, set[str]] = {}
    for name, path, is_folder in _reached(inputs, linked, tree):
        (folders if is_folder else paths).setdefault(path, set()).add(name)
    return InputTargets(
        {path: frozenset(names) for path, names in paths.items()},
        {path: frozenset(names) for path, names in folders.items()},
    )


def code(own: Inputs, linked: Linked, tree: FileTree) -> tuple[str, ...]:
    """The folders that a target's build takes whole: its own, and those that its template names.
    Links are followed.
    """
    found = {real for folder in own.folders if (real := follow(folder, tree)[1]) is not None}
    reached = _reached({"": own}, {"": linked}, tree)
    return tuple(sorted(found | {path for _, path, is_folder in reached if is_folder}))


def _reached(
    inputs: Mapping[str, Inputs], linked: Mapping[str, Linked], tree: FileTree | None
) -> Iterator[tuple[str, str, bool]]:
    """Target and path, all that count, and whether a path is a folder with all that is in it.

    All targets go on side by side, so that a tree is asked as few times as files are nested.
    """
    waiting = [(name, path) for name, own in inputs.items() for path in own.files]
    done: dict[str, set[str]] = {name: set() for name in inputs}
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
            steps, real = follow(path, tree)
            yield from ((name, step, False) for step in steps)
            if real is None or tree is None:
                continue
            if tree.is_folder(real):
                yield name, real, True
            elif real.endswith(_READ):
                read.append((name, real))
        texts = [] if tree is None else tree.texts([path for _, path in read])
        waiting = []
        for (name, path), text in zip(read, texts, strict=True):
            if text:
                waiting += [(name, other) for other in linked[name](path, text)]


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
        at = join(done, part)
        steps.append(at)
        leads = tree.link(at) if tree is not None else None
        if leads is None:
            done = at
            continue
        links += 1
        if leads.startswith("/") or links > MOST_LINKS:
            return steps, None
        rest = [*leads.split("/"), *rest]
    return steps, done
