"""A checkout of toolkit's own, always at one place: there any commit of a repository can be
synthesized just as the others are.

What a program makes of a folder may hold that folder's path, the branch's name and the place of its
packages. So all commits that are compared stand at one place, one after the other, under one
branch, each with the packages of its own lock files.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from toolkit.errors import FileProblem, GitError, GitMissing
from toolkit.ports import process
from toolkit.ports.disk import exclusive
from toolkit.ports.files import own_cache
from toolkit.ports.git import ENVIRONMENT, OPTIONS, Git

FOLDER = "checkouts"
PACKAGES = ("node_modules", ".venv")
"""The folders that installers make; each commit gets those of its own lock files."""
MOST_PACKAGES = 5
"""The packages of so many different lock files are kept."""
_HALF = ".half"
"""What ends the name of a folder of packages while they are moved."""
_OURSELVES = {
    f"GIT_{role}_{what}": "toolkit"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
_MOMENT = "2000-01-01T00:00:00 +0000"
"""The time of a commit that stands for uncommitted files: the same files are the same commit."""


class Checkout:
    """A checkout that this process holds: its folder, where it keeps what belongs to it, and the
    repository whose commits it reads.
    """

    def __init__(self, path: str, keep: str, git: Git) -> None:
        self.path, self.keep, self._source = path, keep, git

    def run(self, *words: str, **more: str) -> bytes:
        """The output of git in the checkout. Raises GitError."""
        # Said, and never searched for: around a damaged checkout there may be a person's repository
        own = {"GIT_DIR": self._git_dir, "GIT_WORK_TREE": self.path}
        return self._git({**own, **more}, words)

    def _git(self, variables: Mapping[str, str], words: Sequence[str]) -> bytes:
        program = process.which("git")
        if program is None:
            raise GitMissing()
        options = [part for key, value in OPTIONS.items() for part in ("-c", f"{key}={value}")]
        env = process.child_environment(**{**ENVIRONMENT, **_OURSELVES, **variables})
        done = process.run([program, *options, *words], self.path, env)
        if done.code:
            reason = done.err.decode("utf-8", "replace").strip() or f"exit code {done.code}"
            raise GitError(verb=words[0], reason=reason)
        return done.out

    @property
    def _git_dir(self) -> str:
        return os.path.join(self.path, ".git")

    def make(self) -> None:
        """A repository without objects of its own: it reads those of the other one. Raises
        GitError, FileProblem.
        """
        objects, shallow = self._source.object_store()
        with _problems(self.path):
            if not os.path.isdir(self._git_dir):
                shutil.rmtree(self.path, ignore_errors=True)
                os.makedirs(self.path)
                self._init()
            info = os.path.join(self._git_dir, "objects", "info")
            os.makedirs(info, exist_ok=True)
            with open(os.path.join(info, "alternates"), "w", encoding="utf-8") as file:
                file.write(f"{objects}\n")
            ends = os.path.join(self._git_dir, "shallow")
            if shallow:
                shutil.copyfile(shallow, ends)
            elif os.path.exists(ends):
                os.unlink(ends)
            # Programs ask git how a commit is called.
            tags = sorted(self._source.tags(), key=lambda tag: tag[1])
            packed = os.path.join(self._git_dir, "packed-refs")
            with open(packed, "w", encoding="utf-8") as file:
                file.writelines(f"{commit} {name}\n" for commit, name in tags)

    def _init(self) -> None:
        words = ("--object-format=sha256",) if len(self._source.head or "") == 64 else ()
        self._git({"GIT_DIR": self._git_dir}, ("init", "--quiet", "--template=", *words, "."))

    def _make_anew(self) -> None:
        """Make it anew, but for the objects: git was killed in it, or something has damaged it."""
        with _problems(self.path):
            for entry in list(os.scandir(self._git_dir)):
                if entry.name == "objects":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
        self._init()
        self.make()

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
        try:
            return self._commit_of_files(root, head)
        except GitError:
            shutil.rmtree(self._git_dir, ignore_errors=True)
            self.make()
            return self._commit_of_files(root, head)

    def _commit_of_files(self, root: str, head: str) -> str:
        tree = {
            "GIT_WORK_TREE": root,
            "GIT_INDEX_FILE": os.path.join(self._git_dir, "toolkit-index"),
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
        GitError, FileProblem.
        """
        self.set_aside()
        try:
            self._switch(commit, branch)
        except GitError:
            self._make_anew()
            self._switch(commit, branch)

    def _switch(self, commit: str, branch: str) -> None:
        self.run("checkout", "--quiet", "--force", "-B", branch, commit)
        self.run("clean", "-ffdxq")

    def set_aside(self) -> None:
        """Move the installed packages to where the next commit with the same lock files finds
        them. What a commit holds itself stays where it is. Raises FileProblem.
        """
        note = os.path.join(self.keep, "installed")
        try:
            with open(note, encoding="ascii") as file:
                key = file.read()
        except OSError:
            return  # nothing is installed
        with _problems(self.path), suppress(GitError):
            # Gone first: what a killed process has moved only in part is never taken for all of it.
            os.unlink(note)
            to = os.path.join(self.keep, "packages", key)
            new = f"{to}{_HALF}"
            for folder in (to, new):
                shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(new)
            for folder in installed(self.path):
                place = os.path.relpath(folder, self.path)
                if self.run("ls-files", "-z", "--", f":(literal){place}"):
                    if self.run("ls-files", "-z", "--others", "--", f":(literal){place}"):
                        return  # both lie in one folder: then they are installed each time
                    continue
                kept = os.path.join(new, place)
                os.makedirs(os.path.dirname(kept), exist_ok=True)
                os.rename(folder, kept)
            os.rename(new, to)
            self._forget_packages()

    def _forget_packages(self) -> None:
        """Delete all but the packages that were used last: each may be as large as a CDK."""
        folder = os.path.join(self.keep, "packages")
        paths = sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
        for entry in paths[MOST_PACKAGES:]:
            shutil.rmtree(entry.path, ignore_errors=True)

    def put_back(self, key: str) -> bool:
        """Move the packages of these lock files into the checkout; False where they are not kept,
        and have to be installed. Raises FileProblem.
        """
        kept = os.path.join(self.keep, "packages", key)
        taken = f"{kept}{_HALF}"
        with _problems(self.path):
            shutil.rmtree(taken, ignore_errors=True)
            if not os.path.isdir(kept):
                return False
            os.rename(kept, taken)
            for folder in installed(taken):
                place = os.path.join(self.path, os.path.relpath(folder, taken))
                around = os.path.dirname(place)
                os.makedirs(around, exist_ok=True)
                if os.path.lexists(place) or os.path.realpath(around) != around:
                    return False  # it is a place of this commit itself, or leads out of here
                os.rename(folder, place)
            shutil.rmtree(taken, ignore_errors=True)
            self.note_installed(key)
        return True

    def note_installed(self, key: str) -> None:
        """Write down which packages are installed. Raises FileProblem."""
        note = os.path.join(self.keep, "installed")
        with _problems(note), open(note, "w", encoding="ascii") as file:
            file.write(key)


@contextmanager
def _problems(path: str) -> Iterator[None]:
    """What the system refuses, as an error of toolkit's."""
    try:
        yield
    except OSError as error:
        raise FileProblem(path=path, reason=error.strerror or str(error)) from None


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
    # The real path, so that what leads out of it is seen.
    keep = os.path.realpath(own_cache(cache, FOLDER, name[:16]))
    path = os.path.join(keep, os.path.basename(os.path.realpath(git.root)) or "root")
    with exclusive(os.path.join(keep, "lock"), check):
        held = Checkout(path, keep, git)
        held.make()
        yield held
