"""Any history and any working tree: the changes are those that git tells (T9)."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.security.names import oracle
from tests.support.repo import Repo
from toolkit.changes import detect
from toolkit.ports.git import Git

NAMES = ["a", "b", "A", "dir/a", "dir/b", "dir/sub/a", "dirty", "é", "x y"]
ODD = [b"\xff", b"dir/\n", b'"q"', b"-x", b"\x01", b"dir/sub/caf\xe9", b" "]
PATHS = [*map(os.fsencode, NAMES), *ODD]
CONTENTS = [b"", b"one\n", b"two\n", b"owt\n", b"x" * 5000]

_LETTERS = {"A": "added", "D": "deleted", "M": "modified", "T": "type-changed"}


class Edit(Struct, frozen=True):
    """One thing that somebody does to the repository."""

    do: str
    path: bytes
    other: bytes
    content: bytes


EDITS = st.lists(
    st.builds(
        Edit,
        st.sampled_from(
            [
                "write",
                "write",
                "write",
                "delete",
                "move",
                "link",
                "mode",
                "folder",
                "stage",
                "stage all",
                "unstage",
                "forget",
                "intend",
                "commit",
            ]
        ),
        st.sampled_from(PATHS),
        st.sampled_from(PATHS),
        st.sampled_from(CONTENTS),
    ),
    min_size=1,
    max_size=25,
)


class World:
    """A repository in which edits happen. What cannot be done is not."""

    def __init__(self, folder: Path) -> None:
        self.repo = Repo.make(folder, rules=None)
        self.root = os.fsencode(folder)
        self.commits: list[str] = []

    def do(self, edit: Edit) -> None:
        path, text = os.path.join(self.root, edit.path), os.path.join(self.root, edit.other)
        acts: dict[str, Callable[[], object]] = {
            "write": lambda: self._write(path, edit.content),
            "delete": lambda: self._remove(path),
            "move": lambda: self._move(path, text),
            "link": lambda: self._link(path, edit.other),
            "mode": lambda: (
                os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) ^ 0o111)
                if os.path.isfile(path)
                else None
            ),
            "folder": lambda: self._write(
                os.path.join(self._emptied(path), b"inside"), edit.content
            ),
            "stage": lambda: self._git("add", "-A", "--", edit.path),
            "stage all": lambda: self._git("add", "-A"),
            "unstage": lambda: self._git("reset", "-q", "--", edit.path),
            "forget": lambda: self._git("rm", "-r", "-q", "--cached", "--", edit.path),
            "intend": lambda: self._git("add", "-N", "--", edit.path),
            "commit": self.commit,
        }
        acts[edit.do]()

    def commit(self) -> None:
        """What is staged; sometimes nothing."""
        self.repo.git("commit", "-q", "--allow-empty", "-m", "c")
        self.commits.append(self.repo.git("rev-parse", "HEAD"))

    def _git(self, *args: str | bytes) -> None:
        with suppress(subprocess.CalledProcessError):
            self.repo.git("--literal-pathspecs", *args)

    def _write(self, path: bytes, content: bytes) -> None:
        self._make_room(path)
        self._remove(path)
        with open(path, "wb") as file:
            file.write(content)

    def _link(self, path: bytes, target: bytes) -> None:
        self._make_room(path)
        self._remove(path)
        os.symlink(target, path)

    def _move(self, path: bytes, data: bytes) -> None:
        if os.path.lexists(path) and not (data + b"/").startswith(path + b"/"):
            self._make_room(data)
            self._remove(data)
            if os.path.lexists(path):
                os.rename(path, data)

    def _emptied(self, path: bytes) -> bytes:
        self._make_room(path)
        self._remove(path)
        os.mkdir(path)
        return path

    def _make_room(self, path: bytes) -> None:
        """A file in place of a folder on the way goes."""
        root = self.root
        for part in os.path.relpath(path, self.root).split(b"/")[:-1]:
            root = os.path.join(root, part)
            if not os.path.isdir(root) or os.path.islink(root):
                self._remove(root)
                os.mkdir(root)

    def _remove(self, path: bytes) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def _told(repo: Repo, *diff: str) -> dict[str, str]:
    """Path -> status, as `git diff --name-status` tells it."""
    fields = oracle(repo, "diff", "--name-status", "-z", "--no-renames", *diff)
    return {path: _LETTERS[letter] for letter, path in zip(fields[::2], fields[1::2], strict=True)}


def _worlds(folder: Path, edits: list[Edit]) -> World:
    shutil.rmtree(folder, ignore_errors=True)
    world = World(folder)
    world.commit()
    for edit in edits:
        world.do(edit)
    return world


@given(EDITS, st.integers(0, 5))
@settings(max_examples=settings.default.max_examples * 60 // 100)  # type: ignore[union-attr]
def test_between_any_commit_and_any_working_tree_the_changes_are_those_that_git_tells(
    tmp_path_factory: pytest.TempPathFactory, edits: list[Edit], back: int
) -> None:
    """No path is missed and none is told that is the same; its status is that between the base and
    the working tree.

    Git tells of a file that was taken out of the index and kept (or deleted and made again) twice:
    as deleted, and as untracked. It is one path here, called modified. Whether its content is still
    the same neither of us compares: the one way to be told too much. What is only staged, and not
    in the working tree, is no change, for git's diff and for us.
    """
    world = _worlds(tmp_path_factory.getbasetemp() / "world", edits)
    base = world.commits[min(back, len(world.commits) - 1)]
    by_name = _told(world.repo, base)
    for path in oracle(world.repo, "ls-files", "-o", "--exclude-standard", "-z"):
        by_name[path] = "modified" if path in by_name else "added"
    git = Git.open(str(world.repo.path))
    changes = detect.in_work_tree(
        detect.between([git.diff_trees(base, git.require_head())]), git, (base,)
    )
    assert {change.path: change.status for change in changes} == by_name
    assert [change.path for change in changes] == sorted(by_name)


@given(EDITS)
@settings(max_examples=settings.default.max_examples * 25 // 100)  # type: ignore[union-attr]
def test_between_any_two_commits_the_changes_are_those_that_git_tells(
    tmp_path_factory: pytest.TempPathFactory, edits: list[Edit]
) -> None:
    """And those of the log, commit by commit; a path that was moved names one that is gone and had
    the very content.
    """
    world = _worlds(tmp_path_factory.getbasetemp() / "world", edits)
    world._git("add", "-A")
    world.commit()
    git = Git.open(str(world.repo.path))
    for commit, logged in git.log(["HEAD"], None):
        number = world.commits.index(commit)
        if number:
            old = world.commits[number - 1]
            by_name = _told(world.repo, old, commit)
            changes = detect.between([git.diff_trees(old, commit)])
            assert {change.path: change.status for change in changes} == by_name
            assert {change.path: detect.status(change.letter) for change in logged} == by_name
            for change in changes:
                if change.old_path is not None:
                    assert (by_name[change.path], by_name[change.old_path]) == ("added", "deleted")
                    assert git.blob(commit, change.path) == git.blob(old, change.old_path)
