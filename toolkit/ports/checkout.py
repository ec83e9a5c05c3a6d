"""A checkout of toolkit's own, always at one place: there any commit of a repository can be
synthesized just as the others are.

What a program makes of a folder may hold that folder's path, the branch's name and the place of its
packages. So all commits that are compared stand at one place, one after the other, under one
branch, each with the packages of its own lock files.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from toolkit.errors import GitError, GitMissing
from toolkit.ports import process
from toolkit.ports.disk import exclusive
from toolkit.ports.files import own_cache
from toolkit.ports.git import ENVIRONMENT, OPTIONS, Git

FOLDER = "checkouts"
PACKAGES = ("node_modules", ".venv")
"""The folders that installers make; each commit gets those of its own lock files."""
_OURSELVES = {
    f"GIT_{role}_{what}": "toolkit"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
_MOMENT = "2000-01-01T00:00:00 +0000"
"""The time of a commit that stands for uncommitted files: the same files are the same commit."""


class Checkout(Struct, frozen=True):
    """A checkout that this process holds: its folder, and where it keeps what belongs to it."""

    path: str
    keep: str

    def run(self, *words: str, **more: str) -> bytes:
        """The output of git in the checkout. Raises GitError."""
        program = process.which("git")
        if program is None:
            raise GitMissing()
        options = [part for key, value in OPTIONS.items() for part in ("-c", f"{key}={value}")]
        env = process.child_environment(**{**ENVIRONMENT, **_OURSELVES, **more})
        done = process.run([program, *options, *words], self.path, env)
        if done.code:
            reason = done.err.decode("utf-8", "replace").strip() or f"exit code {done.code}"
            raise GitError(verb=words[0], reason=reason)
        return done.out

    def tree(self, commit: str) -> list[tuple[str, str]]:
        """Every file of a commit: its path, and its mode with the id of its content. Raises
        GitError.
        """
        entries: list[tuple[str, str]] = []
        for record in self.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
            meta, _, path = record.partition(b"\t")
            if path:
                mode, _, content = meta.decode().split()
                entries.append((path.decode("utf-8", "surrogateescape"), f"{mode} {content}"))
        return entries

    def commit_of_files(self, root: str, head: str) -> str:
        """A commit of all that lies in a working tree and is not ignored, on top of `head`. It goes
        into the checkout's own objects: nothing is written to the repository. Raises GitError.
        """
        index = os.path.join(self.path, ".git", "toolkit-index")
        tree = {
            "GIT_DIR": os.path.join(self.path, ".git"),
            "GIT_WORK_TREE": root,
            "GIT_INDEX_FILE": index,
        }
        self.run("read-tree", head, **tree)
        self.run("-C", root, "add", "--all", "--", ":/", **tree)
        written = self.run("write-tree", **tree).decode().strip()
        dates = {"GIT_AUTHOR_DATE": _MOMENT, "GIT_COMMITTER_DATE": _MOMENT}
        words = ("commit-tree", "-m", "uncommitted files", "-p", head, written)
        return self.run(*words, **dates).decode().strip()

    def switch(self, commit: str, branch: str) -> None:
        """Put the files of a commit there, and nothing else, with a branch of that name checked
        out; the folders of submodules are empty. Installed packages are set aside before. Raises
        GitError.
        """
        self.set_aside()
        self.run("checkout", "--quiet", "--force", "-B", branch, commit)
        self.run("clean", "-ffdxq")

    def set_aside(self) -> None:
        """Move the installed packages to where the next commit with the same lock files finds
        them.
        """
        note = os.path.join(self.keep, "installed")
        try:
            with open(note, encoding="ascii") as file:
                key = file.read()
        except OSError:
            return  # nothing is installed
        to = os.path.join(self.keep, "packages", key)
        shutil.rmtree(to, ignore_errors=True)
        for folder in installed(self.path):
            kept = os.path.join(to, os.path.relpath(folder, self.path))
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            os.rename(folder, kept)
        os.unlink(note)

    def put_back(self, key: str) -> bool:
        """Move the packages of these lock files into the checkout; False where they are not kept,
        and have to be installed.
        """
        kept = os.path.join(self.keep, "packages", key)
        if not os.path.isdir(kept):
            return False
        self.note_installed(key)
        for folder in installed(kept):
            place = os.path.join(self.path, os.path.relpath(folder, kept))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.rename(folder, place)
        shutil.rmtree(kept, ignore_errors=True)
        return True

    def note_installed(self, key: str) -> None:
        """Write down which packages are about to be installed."""
        with open(os.path.join(self.keep, "installed"), "w", encoding="ascii") as file:
            file.write(key)


def installed(folder: str) -> list[str]:
    """The folders of installed packages below a folder, not those inside of others."""
    folders: list[str] = []
    for current, names, _ in os.walk(folder):
        folders += [os.path.join(current, name) for name in names if name in PACKAGES]
        names[:] = [name for name in names if name not in PACKAGES and name != ".git"]
    return folders


@contextmanager
def checkout(git: Git, cache: str, check: Callable[[], None]) -> Iterator[Checkout]:
    """The checkout of a repository, held by this process alone. `check` is called while another
    one has it, and may raise. Raises GitError, FileProblem.
    """
    name = hashlib.sha256(os.path.realpath(git.root).encode("utf-8", "surrogateescape")).hexdigest()
    keep = own_cache(cache, FOLDER, name[:16])
    path = os.path.join(keep, os.path.basename(os.path.realpath(git.root)) or "root")
    with exclusive(os.path.join(keep, "lock"), check):
        held = Checkout(path, keep)
        _make(git, held)
        yield held


def _make(git: Git, held: Checkout) -> None:
    """A repository without objects of its own: it reads those of the other one."""
    objects, shallow = git.object_store()
    if not os.path.isdir(os.path.join(held.path, ".git")):
        shutil.rmtree(held.path, ignore_errors=True)
        os.makedirs(held.path)
        length = len(git.head or "")
        words = ("--object-format=sha256",) if length == 64 else ()
        held.run("init", "--quiet", "--template=", *words, ".")
    info = os.path.join(held.path, ".git", "objects", "info")
    os.makedirs(info, exist_ok=True)
    with open(os.path.join(info, "alternates"), "w", encoding="utf-8") as file:
        file.write(f"{objects}\n")
    if shallow:
        shutil.copyfile(shallow, os.path.join(held.path, ".git", "shallow"))
    # Programs ask git how a commit is called.
    tags = sorted(git.tags(), key=lambda tag: tag[1])
    with open(os.path.join(held.path, ".git", "packed-refs"), "w", encoding="utf-8") as file:
        file.writelines(f"{commit} {name}\n" for commit, name in tags)
