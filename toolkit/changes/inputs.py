"""What is each target built from, whatever rules say? Its Dockerfile, its template, and what those
lead to and refer to.

All paths are from the repository's root. A link counts with every step on its way: whichever of
them changes, something else is built.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from posixpath import dirname, join
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

_READ = (".yaml", ".yml", ".json", ".template")

Linked = Callable[[str, str], Sequence[str]]
"""What a file refers to: its path and text -> paths (a kind's `linked`)."""


class Tree(Protocol):
    """The files of a commit, or of the working tree."""

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads, as it is written; None for everything else. No part of the
        path before it is a link.
        """

    def is_folder(self, path: str) -> bool:
        """Whether a path without links is a folder."""

    def text(self, path: str) -> str | None:
        """The text of a file, at a path without links. None if there is none that can be read."""


class WorkTree:
    """The files on disk."""

    def __init__(self, root: str) -> None:
        self._root = root

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads."""
        try:
            return os.readlink(os.path.join(self._root, path))
        except OSError:
            return None

    def is_folder(self, path: str) -> bool:
        """Whether it is a folder."""
        return files.is_folder(os.path.join(self._root, path))

    def text(self, path: str) -> str | None:
        """The text of a file."""
        return files.text_inside(self._root, path, LONGEST_TEXT)


class CommitTree:
    """The files of a commit. `wanted` are asked for together, in one go."""

    def __init__(self, git: Git, commit: str, wanted: Iterable[str] = ()) -> None:
        self._git, self._commit = git, commit
        self._wanted = sorted(set(wanted))
        self._modes = git.modes(commit, self._wanted)
        self._texts: dict[str, bytes | None] | None = None

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads."""
        if self._mode(path) != "120000":
            return None
        found = self._git.blob(self._commit, path)
        return None if found is None else found.decode("utf-8", "surrogateescape")

    def is_folder(self, path: str) -> bool:
        """Whether it is a folder."""
        return path == "" or self._mode(path) == "040000"

    def text(self, path: str) -> str | None:
        """The text of a file."""
        if self._texts is None:
            asked = [one for one in self._wanted if one.endswith(_READ)]
            self._texts = dict(zip(asked, self._git.blobs([(self._commit, one) for one in asked]), strict=True)) if asked else {}
        found = self._texts[path] if path in self._texts else self._git.blob(self._commit, path)
        try:
            return None if found is None or len(found) > LONGEST_TEXT else found.decode()
        except UnicodeDecodeError:
            return None

    def _mode(self, path: str) -> str:
        start = f"{path}/"
        if path not in self._modes and any(known.startswith(start) for known in self._modes):
            return "040000"  # what is known to be in it can only be in a folder
        if path not in self._modes:
            self._modes = {path: "", **self._modes, **self._git.modes(self._commit, [path])}
        return self._modes[path]


class Used(Struct, frozen=True):
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


def used(inputs: Mapping[str, Inputs], linked: Mapping[str, Linked], tree: Tree | None) -> Used:
    """Which targets are due when which files change. Without a tree no link is followed, and no
    file is read.
    """
    paths: dict[str, set[str]] = {}
    folders: dict[str, set[str]] = {}
    for name, own in inputs.items():
        for path, is_folder in _reached(own.files, linked[name], tree):
            (folders if is_folder else paths).setdefault(path, set()).add(name)
    return Used(
        {path: frozenset(names) for path, names in paths.items()},
        {path: frozenset(names) for path, names in folders.items()},
    )


def code(own: Inputs, linked: Linked, tree: Tree) -> tuple[str, ...]:
    """The folders that a target's build takes whole: its own, and those that its template names.
    Links are followed.
    """
    found = {real for folder in own.folders if (real := follow(folder, tree)[1]) is not None}
    found |= {path for path, is_folder in _reached(own.files, linked, tree) if is_folder}
    return tuple(sorted(found))


def _reached(start: Sequence[str], linked: Linked, tree: Tree | None) -> Iterator[tuple[str, bool]]:
    """All paths that count, and whether each is a folder with all that is in it."""
    waiting, done = list(start), set[str]()
    while waiting:
        if len(done) >= MOST_FILES:
            yield "", True  # nobody reads on, so whatever changes may count
            return
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        steps, real = follow(path, tree)
        yield from ((step, False) for step in steps)
        if real is None or tree is None:
            continue
        if tree.is_folder(real):
            yield real, True
        elif real.endswith(_READ):
            waiting += linked(real, tree.text(real) or "")


def follow(path: str, tree: Tree | None) -> tuple[list[str], str | None]:
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
