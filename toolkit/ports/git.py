"""Git, in one hardened way: a repository may be hostile, so nothing that its configuration names is
ever run.

Paths travel as bytes behind `-z` and become strings by UTF-8 with surrogate escapes, so every name
survives. Nothing here writes, fetches or clones. GitPython, which reads commits and authors well
but loses changes and runs programs that a repository names (docs/adr/0003), is only used for the
people behind the changes, over the same hardened options.
"""

import os
import re
import signal
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from toolkit.advice import ShellCommand
from toolkit.errors import (
    DamagedRepository,
    FilesElsewhere,
    GitError,
    GitMissing,
    HeadMoved,
    MissingCommit,
    NoCommits,
    NotARepository,
    NoWorkTree,
    OtherBranch,
    Quarantined,
    UnknownRef,
)
from toolkit.model import Commit
from toolkit.ports import debug, process

OPTIONS = {
    "advice.graftFileDeprecated": "false",
    # These three would run a program.
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.sshCommand": "ssh",
    # These two could make a changed file look unchanged.
    "core.checkStat": "default",
    "core.trustctime": "true",
    "credential.helper": "",
    "diff.external": "",
    # A file that git would read, and that would change the order of its answers.
    "diff.orderFile": os.devnull,
    "log.showRoot": "true",
    # This would run the program that the repository names for checking signatures.
    "log.showSignature": "false",
    "protocol.ext.allow": "never",
    # A stranger may have committed a bare repository into the working tree.
    "safe.bareRepository": "explicit",
}
"""Overrides for what a repository's own configuration could name or hide (reference:
git-config).
"""

ENVIRONMENT = {
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_ALLOW_PROTOCOL": "",  # not even a partial clone's missing object is fetched
    "GIT_NO_LAZY_FETCH": "1",
    # Otherwise a repository could show other commits than it has (refs/replace).
    "GIT_NO_REPLACE_OBJECTS": "1",
    # To look must not write the index.
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}

PATIENCE_S = 60.0
"""How long git may take to say where it is: it waits for ever for a pipe that its configuration
includes.
"""

MOST_PATHS = 50
"""So many paths stand on a command line; with more, git is asked about all. Git compares each file
with each of them.
"""

_READ_BY_GIT = (".gitattributes", ".gitignore", ".git/info/attributes", ".git/info/exclude")

GITLINK = "160000"

EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""By the length of a repository's ids: the tree without files, which git knows everywhere."""

PULL_REQUEST = (
    "GITHUB_BASE_REF",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "BITBUCKET_PR_DESTINATION_BRANCH",
    "CHANGE_TARGET",
    "SYSTEM_PULLREQUEST_TARGETBRANCH",
)
"""The variables in which CI systems name the branch that a pull request goes into."""

_MISSING = re.compile(
    r"(?:[Cc]ould not (?:fetch|read)|unable to (?:read tree|find)|bad object|missing \w+ object|git"
    r" cat-file) \(?'?([0-9a-f]{40,64})"
)
_REF = re.compile(
    r"(?![-/])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])"
)
_BROKEN = re.compile(r"ignoring broken ref (refs/heads/\S+)")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REMOVE_REF = 'rm "$(git rev-parse --git-path {})" && git update-ref'


class TreeChange(Struct, frozen=True, gc=False):
    """One line of `git diff --raw`: modes, object ids, a status letter (A, D, M, T) and the
    path.
    """

    path: str
    letter: str
    old_mode: str
    new_mode: str
    old_id: str
    new_id: str


class FileState(Struct, frozen=True, gc=False):
    """One path of `git status`: `index` against HEAD, `tree` (the working tree) against the index,
    as its letters; `?`, `u` as they are.
    """

    path: str
    index: str
    tree: str


class IndexEntry(Struct, frozen=True, gc=False):
    """One entry of the index. `flag` is git's letter of `ls-files -v`: H as it is, S left out by a
    sparse checkout, M in conflict; in small letters where git was told to assume that it is
    unchanged.
    """

    path: str
    mode: str
    object_id: str
    flag: str


class Git:
    """One repository. `root` is its working tree, or the repository itself where it is bare."""

    def __init__(self, program: str, folder: str, git_dir: str | None = None) -> None:
        self._argv = [program, *_flags(git_dir)]
        self._env = process.child_environment(**ENVIRONMENT)
        self.root = folder
        self.bare = git_dir is not None
        self.shallow = False
        self.head: str | None = None
        self.branch: str | None = None
        self._trees: dict[str, str] = {}

    @classmethod
    def open(cls, folder: str, bare: bool = False) -> "Git":
        """The repository around a folder. Raises NotARepository, GitMissing, or GitError with git's
        own reason.

        A bare repository is opened only if `bare` says so and it does not stand inside a working
        tree, where a stranger may have committed it.
        """
        program = process.which("git")
        if program is None:
            raise GitMissing()
        git = cls(program, folder)
        questions = (
            "--is-bare-repository",
            "--is-shallow-repository",
            "--show-toplevel",
            "HEAD",
            "--symbolic-full-name",
            "HEAD",
        )
        done = process.run([*git._argv, "rev-parse", *questions], folder, git._env, PATIENCE_S)
        # The first call has a deadline, since git may wait for a pipe in the configuration.
        if done.code == -signal.SIGKILL:
            reason = (
                f"it did not answer within {PATIENCE_S:g} s; does its configuration include what is"
                " not a file?"
            )
            raise GitError(verb="rev-parse", reason=reason)
        # `safe.bareRepository` lets git refuse a bare repository; an explicit one is opened below.
        refused_bare = done.code and b"cannot use bare repository" in done.err
        if refused_bare or done.out.startswith(b"true\n"):
            if not bare or _inside_a_work_tree(folder):
                raise NoWorkTree(folder=folder)
            return cls._open_bare(program, folder)
        git._learn(done, folder)
        return git

    @classmethod
    def _open_bare(cls, program: str, folder: str) -> "Git":
        git = cls(program, folder, git_dir=folder)
        done = git._run(
            "rev-parse", "--is-shallow-repository", "HEAD", "--symbolic-full-name", "HEAD"
        )
        if done.code and not done.out:
            raise _refusal("rev-parse", _text(done.err), folder, None) or NotARepository(
                folder=folder
            )
        shallow, *rest = _text(done.out).removesuffix("\n").split("\n")
        git.shallow = shallow == "true"
        git._learn_head(rest, born=done.code == 0)
        return git

    def _learn(self, done: process.CompletedProgram, folder: str) -> None:
        lines = _text(done.out).removesuffix("\n").split("\n")
        if b"must be run in a work tree" in done.err:
            raise NoWorkTree(folder=folder)
        if b"not a git repository (or any" in done.err:
            raise _unusable(folder) or NotARepository(folder=folder)
        if len(lines) < 4:
            raise _refusal("rev-parse", _text(done.err), folder, None) or GitError(
                verb="rev-parse", reason=_reason(done.err)
            )
        self.shallow = lines[1] == "true"
        # A folder's name may hold line ends, so all that is not HEAD's belongs to it.
        self.root = "\n".join(self._learn_head(lines[2:], born=done.code == 0))
        # On a file system that tells cases apart, git must too, whatever the configuration says:
        # or an untracked `App.py` would pass for the tracked `app.py`.
        if not os.path.lexists(os.path.join(self.root, ".GIT")):
            self._argv += ["-c", "core.ignoreCase=false"]
        inside, root = os.path.realpath(folder), os.path.realpath(self.root)
        if inside != root and not inside.startswith(os.path.join(root, "")):
            raise FilesElsewhere(folder=folder, root=self.root)

    def _learn_head(self, lines: list[str], born: bool) -> list[str]:
        """Take HEAD's lines off the end: only `HEAD` if it is unborn, else its commit and its full
        name (none if that is ambiguous). The lines before them.
        """
        *lines, last = lines
        if not born:
            return lines
        if _OBJECT.fullmatch(last):
            self.head = last
            return lines
        *lines, self.head = lines
        if last.startswith("refs/heads/"):
            self.branch = last.removeprefix("refs/heads/")
        return lines

    def require_head(self) -> str:
        """The commit that is checked out. Raises NoCommits."""
        if self.head is None:
            raise self._unborn()
        return self.head

    def _unborn(self) -> GitError:
        """Why HEAD is not a commit: there is none, its branch is a new one, or that branch is
        damaged.
        """
        branch = _text(self._run("symbolic-ref", "-q", "HEAD").out).strip()
        listed = self._run(
            "for-each-ref", "--sort=-committerdate", "--format=%(refname:short)", "refs/heads"
        )
        broken = _BROKEN.search(_text(listed.err))
        # Git does not even give the name of a branch that it cannot read.
        if broken and branch in ("", broken[1]):
            branch = broken[1]
            fix = (
                "see which commit it was:",
                ShellCommand("git reflog", (branch.removeprefix("refs/heads/"),)),
                "; then:",
                ShellCommand(_REMOVE_REF, (branch, branch, "COMMIT")),
            )
            return DamagedRepository(fix, folder=self.root, reason=f"{branch} is not a commit")
        others = _text(listed.out).splitlines()
        if branch and others:
            return OtherBranch(
                folder=self.root, branch=branch.removeprefix("refs/heads/"), other=others[0]
            )
        return NoCommits(folder=self.root)

    def resolve(self, ref: str) -> str:
        """The commit that a ref as a person wrote it means. Raises UnknownRef, or MissingCommit
        with the command that gets it.
        """
        if not ref or ref.startswith("-") or not ref.isprintable():
            raise UnknownRef(ref=ref)
        # Git reads what follows an open brace as a date, and dates never fail.
        if ref.count("{") != ref.count("}"):
            raise UnknownRef(ref=ref)
        # A search with `:/` extends to the end, so nothing can be appended to it.
        peeled = ref if ref.startswith(":/") else f"{ref}^{{commit}}"
        done = self._run("rev-parse", "--verify", "--end-of-options", peeled)
        commit = _text(done.out).strip()
        if done.code == 0:
            # `log for 'HEAD' only goes back to …`: git then gives another commit than was meant.
            if b"warning: log for" in done.err:
                raise UnknownRef(ref=f"{ref} ({_text(done.err).strip().removeprefix('warning: ')})")
            if _OBJECT.fullmatch(commit):
                return commit
        if _OBJECT.fullmatch(ref) and not self._exists(ref):
            raise self._missing(ref)
        refused = _refusal("rev-parse", _text(done.err), self.root, self._any_remote())
        if refused is not None:
            raise refused
        if ref == "HEAD" and self.head is None:
            raise self._unborn()
        if self.shallow:
            raise MissingCommit(ref=ref, fetch=self.fetch_all())
        raise UnknownRef(ref=ref)

    def _missing(self, object_id: str) -> GitError:
        """The error for a whole id that this clone does not have."""
        if not object_id.strip("0"):
            return UnknownRef(ref="the all-zero id (a new branch has no previous commit)")
        if os.environ.get("GIT_QUARANTINE_PATH"):
            return Quarantined(ref=object_id)
        depth = " --depth=1" if self.shallow else ""
        fetch = ShellCommand(f"git fetch{depth}", (self.remote(), object_id))
        return MissingCommit(ref=object_id, fetch=fetch)

    def _exists(self, object_id: str) -> bool:
        return self._run("cat-file", "-e", object_id).code == 0

    def remote(self) -> str:
        return self._any_remote() or "origin"

    def _any_remote(self) -> str | None:
        """The remote to fetch from: origin, else the first; None if there is none."""
        names = self.remotes()
        if "origin" in names:
            return "origin"
        return names[0] if names else None

    def remotes(self) -> list[str]:
        """The names of the remotes that this clone knows."""
        return _text(self._run("remote").out).split()

    def commit_at(self, name: str) -> str | None:
        """The commit of a ref by its whole name, of `HEAD`, or of a whole id; None if this clone
        does not have it.
        """
        if name == "HEAD":
            return self.head
        if is_object_id(name):
            done = self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            commit = _text(done.out).strip()
            return commit if is_object_id(commit) else None
        ref = self.ref(name)
        return None if ref is None else ref[1]

    def ref(self, name: str) -> tuple[str, str] | None:
        """The whole name of what a ref points at in the end, and its commit; None if there is no
        such ref.

        Unlike `rev-parse`, this looks nothing else up: a tag may be called
        `refs/remotes/origin/main`.
        """
        if not name.startswith("refs/") or not is_ref_name(name):
            return None
        fields = (
            "%(refname)%00%(symref)%00%(objecttype)%00%(objectname)"
            "%00%(*objecttype)%00%(*objectname)"
        )
        for line in _text(self._run("for-each-ref", f"--format={fields}", name).out).splitlines():
            refname, symref, kind, object_id, tagged_kind, tagged_id = line.split("\0")
            # for-each-ref also lists what is below a name.
            if refname == name:
                commits = {kind: object_id, tagged_kind: tagged_id}
                return (symref or name, commits["commit"]) if "commit" in commits else None
        return None

    def points_at(self, ref: str) -> str | None:
        """The ref that a symbolic one points at, whether that is here or not; None if it is
        none.
        """
        if not ref.startswith("refs/"):
            return None
        return _text(self._run("symbolic-ref", "--quiet", ref).out).strip() or None

    def refs(self, *names: str) -> list[str]:
        """Those of these refs that are here, by their whole names."""
        listed = _text(self._run("for-each-ref", "--format=%(refname)", *names).out).splitlines()
        return [name for name in names if name in listed]

    def merge_bases(self, first: str, second: str) -> tuple[str, ...]:
        """The best common ancestors of two commits. Raises MissingCommit where a shallow clone
        hides them, UnknownRef if there are none.
        """
        bases = tuple(_text(self._run("merge-base", "--all", first, second).out).split())
        if bases:
            return bases
        if self.shallow:
            fetch = ShellCommand("git fetch --unshallow", (self.remote(),))
            raise MissingCommit(
                ref=f"the common ancestor of {first[:12]} and {second[:12]}", fetch=fetch
            )
        raise UnknownRef(ref=f"{first[:12]}...{second[:12]} (they have no common ancestor)")

    def has(self, commit: str) -> bool:
        """Whether this clone holds a commit, by its whole id."""
        return (
            _OBJECT.fullmatch(commit) is not None
            and self._run("cat-file", "-e", f"{commit}^{{commit}}").code == 0
        )

    def held(self, commits: Iterable[str]) -> frozenset[str]:
        """Those of these commits that this clone holds, by their whole ids, from one git
        process.
        """
        asked = [commit for commit in dict.fromkeys(commits) if is_object_id(commit)]
        unknown = [commit for commit in asked if commit not in self._trees]
        if unknown:
            self._trees |= self._find_trees(unknown)
        return frozenset(commit for commit in asked if commit in self._trees)

    def _find_trees(self, commits: Sequence[str]) -> dict[str, str]:
        """Commit -> the id of its tree, empty where a partial clone lacks it; commits that are not
        here are left out.
        """
        names = b"".join(b"%b^{commit}\n%b^{tree}\n" % ((name.encode(),) * 2) for name in commits)
        command = [*self._argv, "cat-file", "--batch-check=%(objecttype) %(objectname)"]
        running = process.StreamedProgram(command, self.root, self._env, names)
        answers = b"".join(running).decode().splitlines()
        if running.code:  # a damaged object ends git: then each is asked about by itself
            return {commit: "" for commit in commits if self.has(commit)}
        trees: dict[str, str] = {}
        for commit, of_commit, of_tree in zip(commits, answers[::2], answers[1::2], strict=True):
            if of_commit.startswith("commit "):
                trees[commit] = of_tree.removeprefix("tree ") if of_tree[:5] == "tree " else ""
        return trees

    def common(self, first: str, second: str) -> tuple[str, ...]:
        """The best common ancestors of two commits; none if there are none, or a shallow clone
        hides them.
        """
        return tuple(_text(self._run("merge-base", "--all", first, second).out).split())

    def fetch_all(self) -> ShellCommand:
        """The command that gets every commit of every branch."""
        unshallow = " --unshallow" if self.shallow else ""
        remote = self.remote()
        every = f"+refs/heads/*:refs/remotes/{remote}/*"
        return ShellCommand(f"git fetch{unshallow} --tags", (remote, every))

    def outside(self, commits: Collection[str], head: str) -> frozenset[str]:
        """Those of these commits, which this clone holds, that are not in a commit's history."""
        names = "".join(f"{commit}\n" for commit in (*commits, f"^{head}")).encode()
        command = [*self._argv, "rev-list", "--stdin"]
        running = process.StreamedProgram(command, self.root, self._env, names)
        outside: set[str] = set()
        rest = b""
        for chunk in running:
            *ids, rest = (rest + chunk).split(b"\n")
            outside.update(commit for commit in map(bytes.decode, ids) if commit in commits)
        if running.code:
            raise self._failure("rev-list", running.err)
        return frozenset(outside)

    def only_in(self, commit: str, other: str, paths: Sequence[str]) -> tuple[str, ...]:
        """The commits of one history that touch the paths (none: any), and of which the other has
        no commit that makes the same change.
        """
        command = (
            "rev-list",
            "--cherry-pick",
            "--right-only",
            "--no-merges",
            f"{other}...{commit}",
            "--",
            *paths,
        )
        return tuple(_text(self._checked(*command)).split())

    def history(self, revisions: Sequence[str], paths: Sequence[str]) -> Iterator[TreeChange]:
        """Every change to the paths (none: any) that a commit of these revisions made, merges
        against each of their parents.
        """
        command = ["log", "-m", "--format=%H", *_DIFF, *revisions, "--", *paths]
        for record in self._log_records(self._start(command)):
            if isinstance(record, TreeChange):
                yield record

    def count(self, revisions: Sequence[str]) -> int:
        """How many commits a first-parent log of these revisions has."""
        return int(self._run("rev-list", "--count", "--first-parent", *revisions).out or 0)

    def target_branch(self) -> str | None:
        """The branch that a pull request goes into, by the CI's variables; None if they name none,
        or this clone does not have it.
        """
        for name in PULL_REQUEST:
            branch = os.environ.get(name, "").removeprefix("refs/heads/")
            ref = f"refs/remotes/{self.remote()}/{branch}"
            if branch and self._run("show-ref", "--verify", "--quiet", ref).code == 0:
                return ref
        return None

    def mainline(self) -> str | None:
        """The full name of the branch that this one started from: its upstream, or the remote's
        default branch.

        A branch's own copy on the remote says nothing about what is deployed, so it comes last.
        """
        done = self._run("rev-parse", "--verify", "--quiet", "--symbolic-full-name", "@{upstream}")
        upstream = _text(done.out).strip()
        own_copy = upstream.startswith("refs/remotes/") and (
            upstream.split("/", 3)[-1] == self.branch
        )
        if upstream and not own_copy:
            return upstream
        patterns = (
            "refs/remotes/*/HEAD",
            "refs/remotes/origin/main",
            "refs/remotes/origin/master",
            "refs/heads/main",
            "refs/heads/master",
        )
        done = self._run("for-each-ref", "--format=%(refname) %(symref)", *patterns)
        refs = dict(line.split(" ", 1) for line in _text(done.out).splitlines())
        if refs.get("refs/remotes/origin/HEAD"):
            return refs["refs/remotes/origin/HEAD"]
        for name, points_to in refs.items():
            if name.endswith("/HEAD") and points_to:
                return points_to
        for name in patterns[1:]:
            if name in refs and name != f"refs/heads/{self.branch}":
                return name
        return upstream or None

    def diff_trees(self, old: str, new: str) -> "Diff":
        """The differences between two commits (or trees), in git's order. Git starts at once."""
        command = ["diff-tree", *_DIFF, "-r", "--end-of-options", old, new]
        return Diff(self, command, _WITHOUT_INDEX)

    def diffs(self, olds: Sequence[str], new: str) -> "Diffs":
        """The differences between each of these commits and another one, from one git process that
        starts at once.
        """
        return Diffs(self, olds, new)

    def diff_work_tree(self, old: str, paths: Sequence[str] = ()) -> "Diff":
        """The differences between a commit and the tracked files of the working tree; with a few
        paths, those of no more than these and what is below them.
        """
        if len(paths) > MOST_PATHS:
            paths = ()
        command = ["diff", *_DIFF, "--end-of-options", old, "--", *paths]
        return Diff(self, command, self._without_local_filters())

    def start_status(self) -> "StartedStatus":
        """Begin to ask what is staged, unstaged, untracked or in conflict, and for what the index
        hides. Raises GitError for a pipe that git would wait for.
        """
        return StartedStatus(self)

    def status(self) -> list[FileState]:
        """What is staged, unstaged, untracked or in conflict. Submodules count by their commit only
        (see `is_dirty_inside`).
        """
        return _states(self._records(self._start_status(), "status"))

    def _start_status(self, *more: str) -> process.StreamedProgram:
        command = [
            "status",
            "--porcelain=v2",
            "-z",
            *more,
            # Files and not only their folders: rules match files.
            "--untracked-files=all",
            "--ignore-submodules=dirty",
            "--no-renames",
            "--no-ahead-behind",
        ]
        return self._start(command, self._without_local_filters())

    def index(self) -> tuple[list[str], list[IndexEntry]]:
        """What `status` leaves out: the submodules, and the entries that the index hides
        (assume-unchanged, skip-worktree).

        A file that a sparse checkout leaves out is not hidden: it does not exist.
        """
        return self._unusual(self._start(_LIST_INDEX))

    def _unusual(self, running: process.StreamedProgram) -> tuple[list[str], list[IndexEntry]]:
        submodules: list[str] = []
        hidden: list[IndexEntry] = []
        for records in self._blocks(running, "ls-files"):
            for record in [record for record in records if record[:5] != _USUAL]:
                # The flag and a blank come before the mode.
                if record[2:8] == GITLINK.encode():
                    submodules.append(_text(record.partition(b"\t")[2]))
                elif record[:1] == b"S" or record[:1].islower():
                    hidden.append(_entry(record))
        return submodules, [
            entry
            for entry in hidden
            if entry.flag == "h" or os.path.lexists(os.path.join(self.root, entry.path))
        ]

    def entries(self) -> Iterator[IndexEntry]:
        """Everything in the index; a path in conflict is there once for each side."""
        for record in self._records(self._start(_LIST_INDEX), "ls-files"):
            yield _entry(record)

    def stored(self, paths: Sequence[str]) -> dict[str, str]:
        """For each regular file the id that its content would be committed under, by git's own
        rules for line ends and filters.

        Filters that the repository itself defines are not run. Names with a line end are left out,
        since git reads one name per line.
        """
        readable = [path for path in paths if "\n" not in path]
        if not readable:
            return {}
        lines = b"".join(os.fsencode(path) + b"\n" for path in readable)
        command = [*self._argv, "hash-object", "--stdin-paths"]
        running = process.StreamedProgram(
            command, self.root, {**self._env, **self._without_local_filters()}, lines
        )
        ids = b"".join(running).decode().split()
        if running.code:
            raise self._failure("hash-object", running.err)
        return dict(zip(readable, ids, strict=True))

    def filter_of(self, paths: Sequence[str]) -> dict[str, str]:
        """Path -> the filter that .gitattributes names for it; paths without one are left out."""
        if not paths:
            return {}
        # `-z` holds for both directions: the answer has three fields for each path.
        names = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)
        command = [*self._argv, "check-attr", "-z", "--stdin", "filter"]
        running = process.StreamedProgram(command, self.root, self._env, names)
        fields = list(self._records(running, "check-attr"))
        return {
            _text(path): _text(value)
            for path, value in zip(fields[::3], fields[2::3], strict=True)
            if value not in (b"unspecified", b"unset", b"set")
        }

    def ignored(self, paths: Sequence[str]) -> frozenset[str]:
        """Those of some paths that git ignores; they need not exist. Raises GitError, also for a
        path that leads through a link.
        """
        if not paths:
            return frozenset()
        # check-ignore takes no literal pathspecs: `./` keeps a `:` from being magic
        argv = [word for word in self._argv if word != "--literal-pathspecs"]
        names = b"".join(b"./" + path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)
        command = [*argv, "check-ignore", "-z", "--stdin"]
        running = process.StreamedProgram(command, self.root, self._env, names)
        records = b"".join(running).split(b"\0")
        if running.code not in (0, 1):  # 1: it ignores none of them
            raise self._failure("check-ignore", running.err)
        return frozenset(_text(record).removeprefix("./") for record in records if record)

    def holding(self, commits: Sequence[str], paths: Sequence[str]) -> set[tuple[str, str]]:
        """The pairs of a commit and a path that it has, from one git process: also where a partial
        clone lacks the content.
        """
        holding: set[tuple[str, str]] = set()
        with Diffs(self, commits, EMPTY_TREES[len(self.require_head())], paths) as diffs:
            for commit, changes in zip(commits, diffs, strict=True):
                holding.update((commit, change.path) for change in changes)
        return holding

    def filters(self) -> dict[str, dict[str, str]]:
        """The filters in git's configuration of any scope: name -> `clean`, `smudge`, `process` ->
        command.
        """
        filters: dict[str, dict[str, str]] = {}
        done = self._run("config", "--includes", "-z", "--get-regexp", r"^filter\.")
        for record in _text(done.out).split("\0"):
            key, _, command = record.partition("\n")
            name, _, part = key.removeprefix("filter.").rpartition(".")
            if part in ("clean", "smudge", "process") and command:
                filters.setdefault(name, {})[part] = command
        return filters

    def is_set(self, key: str, default: bool) -> bool:
        """A boolean setting."""
        done = self._run("config", "--includes", "--type=bool", "--get", key)
        setting = _text(done.out).strip()
        return setting == "true" if setting else default

    def modes(self, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Path -> mode, of those that are in a commit. For a folder, the files in it may be
        included.
        """
        if not paths:
            return {}
        modes: dict[str, str] = {}
        for record in self._records(
            self._start(["ls-tree", "-z", "--full-tree", commit, "--", *paths]), "ls-tree"
        ):
            meta, _, path = record.partition(b"\t")
            modes[_text(path)] = meta.partition(b" ")[0].decode()
        return modes

    def is_dirty_inside(
        self, submodule: str, changed: "Callable[[Git, list[IndexEntry]], bool]"
    ) -> bool:
        """Whether a submodule holds uncommitted or untracked files, at any depth. It is read with
        the same care as the repository itself: `changed` says whether one of the entries that an
        index hides differs.
        """
        folder = os.path.join(self.root, submodule)
        # Not checked out, or a link that leads elsewhere: git's own status reports that.
        if not os.path.lexists(os.path.join(folder, ".git")):
            return False
        if os.path.realpath(folder) != os.path.join(os.path.realpath(self.root), submodule):
            return False
        try:
            inside = Git.open(folder)
            if os.path.realpath(inside.root) != os.path.realpath(folder):
                return False  # its configuration claims another folder as its working tree
            submodules, hidden = inside.index()
            return (
                bool(inside.status())
                or changed(inside, hidden)
                or any(inside.is_dirty_inside(path, changed) for path in submodules)
            )
        except FilesElsewhere:
            return False  # as above
        except (NotARepository, DamagedRepository):
            return True  # its .git leads nowhere, so its files cannot be known to be clean

    def _without_local_filters(self) -> dict[str, str]:
        """An environment that disables the filters that the repository itself defines, which git
        would run; the user's own may run. Raises GitError for a pipe that git would wait for.
        """
        for name in _READ_BY_GIT:
            if _is_pipe(os.path.join(self.root, name)):
                raise GitError(verb="status", reason=f"{name} is a pipe, and git would wait for it")
        done = self._run(
            "config",
            "--includes",
            "-z",
            "--show-scope",
            "--name-only",
            "--get-regexp",
            r"^filter\..*\.(clean|process|smudge)$",
        )
        # Decoded as the environment will be encoded, whatever the locale: these go back to git.
        fields = os.fsdecode(done.out).split("\0")
        names = {
            name.rsplit(".", 1)[0]
            for scope, name in zip(fields[::2], fields[1::2], strict=False)
            if scope in ("local", "worktree")
        }
        env: dict[str, str] = {}
        count = 0
        for name in sorted(names):
            for key, value in _NO_FILTER:
                env[f"GIT_CONFIG_KEY_{count}"] = f"{name}.{key}"
                env[f"GIT_CONFIG_VALUE_{count}"] = value
                count += 1
        return {"GIT_CONFIG_COUNT": str(count), **env}

    def files(self, commit: str | None = None) -> list[str]:
        """The tracked files: of the index, or of a commit."""
        command = ["ls-files", "-z"]
        if commit is not None:
            command = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit]
        return [_text(record) for record in self._records(self._start(command), command[0])]

    def tree(self, commit: str) -> Iterator[tuple[str, str]]:
        """Every file of a commit, with its mode and the id of its content in one word."""
        for record in self._records(
            self._start(["ls-tree", "-r", "-z", "--full-tree", commit]), "ls-tree"
        ):
            meta, _, path = record.partition(b"\t")
            mode, _, object_id = meta.decode().split(" ", 2)
            yield _text(path), f"{mode} {object_id}"

    def blob(self, commit: str, path: str) -> bytes | None:
        """A file's content at a commit, None if there is no such file. Raises MissingCommit where a
        partial clone lacks it.
        """
        entry = self._checked("ls-tree", "--full-tree", "-z", commit, "--", path)
        meta = entry.partition(b"\t")[0].split(b" ")
        if meta[1:2] != [b"blob"]:
            return None
        return self._checked("cat-file", "blob", meta[2].decode())

    def blobs(self, files: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The content of each (commit, path) from one git process; links inside the repository are
        followed.

        None where there is no such file, and where a partial clone lacks it: `blob` tells the two
        apart.
        """
        names = [
            f"{commit}:{path}".encode("utf-8", "surrogateescape") + b"\n"
            for commit, path in files
            if "\n" not in path
        ]
        command = [*self._argv, "cat-file", "--batch", "--follow-symlinks"]
        running = process.StreamedProgram(command, self.root, self._env, b"".join(names))
        # Equal contents are held once: a file is mostly the same at many commits.
        equal: dict[bytes | None, bytes | None] = {}
        answers = [equal.setdefault(content, content) for content in _batch(running)]
        if running.code:
            raise self._failure("cat-file", running.err)
        contents = iter(answers)
        # A name with a line end was not asked for, so it has no answer.
        return [None if "\n" in path else next(contents, None) for _, path in files]

    def log(
        self, revisions: Sequence[str], limit: int | None
    ) -> Iterator[tuple[str, list[TreeChange]]]:
        """Commit and changes against the first parent, newest first, from one git process."""
        command = ["log", "--first-parent", "--diff-merges=first-parent", "--format=%H", *_DIFF]
        if limit is not None:
            command.append(f"--max-count={limit}")
        command += ["--end-of-options", *revisions, "--"]
        commit = ""
        changes: list[TreeChange] = []
        for record in self._log_records(self._start(command)):
            if isinstance(record, str):
                if commit:
                    yield commit, changes
                commit, changes = record, []
            else:
                changes.append(record)
        if commit:
            yield commit, changes

    def _log_records(self, running: process.StreamedProgram) -> Iterator[str | TreeChange]:
        """`git log -z --raw` writes a commit's id, then meta and path in turn; a line end may open
        the first meta.
        """
        records = self._records(running, "log")
        for record in records:
            meta = record.lstrip(b"\n")
            if meta[:1] == b":":
                yield _tree_change(meta, next(records))
            elif meta:
                yield meta.decode()

    def first_parent(self, commit: str) -> str | None:
        """The first parent of a commit; None where it has none, or a shallow clone ends there."""
        done = self._run("rev-parse", "--verify", "--quiet", f"{commit}^1")
        return _text(done.out).strip() or None if done.code == 0 else None

    def commits(
        self, old: Sequence[str], new: str, paths: Sequence[str], most: int
    ) -> list[Commit]:
        """The newest commits between two points that touched one of the paths (GitPython)."""
        return self._log_of([new, *(f"^{commit}" for commit in old)], paths, most)

    def commit(self, commit: str) -> Commit:
        """Who made a commit, when, and what for (GitPython)."""
        with self._python() as python:
            return _commit(python.commit(commit))

    def last_commit(self, path: str) -> Commit | None:
        """The last commit that touched a path (GitPython); None if it was never committed."""
        return next(iter(self._log_of([self.require_head()], [path], 1)), None)

    def _log_of(self, revisions: Sequence[str], paths: Sequence[str], most: int) -> list[Commit]:
        began = debug.now()
        with self._python() as python:
            found = python.iter_commits(list(revisions), paths=list(paths), max_count=most)
            commits = [_commit(commit) for commit in found]
        command = ("git", "rev-list", f"--max-count={most}", *revisions, "--", *paths)
        debug.program_ended(command, self.root, 0, began)
        return commits

    @contextmanager
    def _python(self) -> Iterator[Any]:
        """GitPython's view of this repository, over the same hardened options. Whatever it cannot
        read is a GitError.
        """
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            del os.environ[name]  # GitPython hands our environment on
        # GitPython runs a git while it is imported: without this, the first that it finds.
        os.environ["GIT_PYTHON_GIT_EXECUTABLE"] = self._argv[0]
        import git

        if self._argv[0] != git.Git.GIT_PYTHON_GIT_EXECUTABLE:
            git.Git.refresh(self._argv[0])
        where = {}
        if self.bare:
            where["git_dir"] = self.root
        pairs = [f"{key}={value}" for key, value in OPTIONS.items()]
        try:
            repo = git.Repo(self.root, search_parent_directories=False)
            repo.git.set_persistent_git_options(
                c=pairs, no_pager=True, literal_pathspecs=True, **where
            )
            repo.git.update_environment(**ENVIRONMENT)
            with repo:  # it keeps a git running for objects, which has to end
                yield repo
        except git.GitCommandError as error:
            message = error.stderr.strip().removeprefix("stderr: '").removesuffix("'")
            raise self._failure("rev-list", os.fsencode(message)) from None
        # GitPython parses configurations and commits by itself, and has no common error for what it
        # cannot parse.
        except Exception as error:
            raise GitError(verb="rev-list", reason=f"GitPython: {error!r}") from error

    def object_store(self) -> tuple[str, str | None]:
        """The folder of its objects, and the file that lists where a shallow clone ends (None if it
        is whole): what another repository needs to read its commits. Raises GitError.
        """
        names = self._checked("rev-parse", "--git-path", "objects", "--git-path", "shallow")
        objects, shallow = _text(names).splitlines()
        listed = os.path.join(self.root, shallow)
        return os.path.join(self.root, objects), listed if self.shallow else None

    def tags(self) -> list[tuple[str, str]]:
        """The tags: the id that each has, and its full name."""
        listed = self._checked("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags")
        return [
            (id, name) for id, _, name in (row.partition(" ") for row in _text(listed).splitlines())
        ]

    def version(self) -> str:
        """Git's version, for `toolkit doctor`."""
        return _text(self._run("version").out).removeprefix("git version ").strip()

    def _run(self, *args: str) -> process.CompletedProgram:
        try:
            return process.run([*self._argv, *args], self.root, self._env)
        except ValueError:  # a NUL in an argument
            raise UnknownRef(ref=args[-1]) from None

    def _checked(self, *args: str) -> bytes:
        """The output of a command that has to succeed."""
        done = self._run(*args)
        if done.code:
            raise self._failure(args[0], done.err)
        return done.out

    def _start(
        self, args: Sequence[str], more: dict[str, str] | None = None
    ) -> process.StreamedProgram:
        return process.StreamedProgram(
            [*self._argv, *args], self.root, {**self._env, **(more or {})}
        )

    def _records(self, running: process.StreamedProgram, verb: str) -> Iterator[bytes]:
        """The NUL-separated records of a command. An error raises after what was read: never an
        empty answer.
        """
        for records in self._blocks(running, verb):
            yield from records

    def _blocks(self, running: process.StreamedProgram, verb: str) -> Iterator[list[bytes]]:
        """The same, as many at a time as have come."""
        rest = b""
        for chunk in running:
            *records, rest = (rest + chunk).split(b"\0")
            yield records
        if running.code:
            raise self._failure(verb, running.err)
        if rest:
            yield [rest]

    def _failure(self, verb: str, err: bytes) -> GitError:
        reason = _reason(err)
        missing = _MISSING.search(reason)
        if missing:
            fetch = ShellCommand("git fetch --refetch --no-filter", (self.remote(),))
            return MissingCommit(ref=f"object {missing[1]}", fetch=fetch, verb=verb, reason=reason)
        return _refusal(verb, _text(err), self.root, self._any_remote()) or GitError(
            verb=verb, reason=reason
        )


class Diff:
    """Changes on their way from git. Iterate once; as a context manager it leaves no git behind if
    nobody does.
    """

    def __init__(self, git: Git, command: list[str], more: dict[str, str] | None = None) -> None:
        self._git, self._verb = git, command[0]
        self._running = git._start(command, more)

    def __enter__(self) -> "Diff":
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()

    def __iter__(self) -> Iterator[TreeChange]:
        # Meta and path come in turn, so the same iterator gives both arguments.
        records = self._git._records(self._running, self._verb)
        return map(_tree_change, records, records)


class StartedStatus:
    """`Git.index` and `Git.status` on their way, side by side. As a context manager it leaves no
    git behind if nobody reads them.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        # Last what takes longest, but for the question that has to be answered before.
        self._index = git._start(_LIST_INDEX)
        try:
            self._status = git._start_status("--branch")
        except BaseException:
            self._index.stop(0)
            raise

    def __enter__(self) -> "StartedStatus":
        return self

    def __exit__(self, *_: object) -> None:
        # They write nothing, so they can be ended at any moment.
        self._index.stop(0)
        self._status.stop(0)

    @property
    def is_running(self) -> bool:
        """Whether git is still at work."""
        return self._status.is_running

    def index(self) -> tuple[list[str], list[IndexEntry]]:
        """What `Git.index` says. Read once."""
        return self._git._unusual(self._index)

    def states(self) -> list[FileState]:
        """What `Git.status` says, compared with the HEAD that we know. Read once. Raises HeadMoved
        if it is another one by now: what was committed since would be seen nowhere.
        """
        return _states(map(self._checked, self._git._records(self._status, "status")))

    def _checked(self, record: bytes) -> bytes:
        if record.startswith(_HEAD):
            head, known = record.removeprefix(_HEAD).decode(), self._git.head or _UNBORN
            if head != known:
                raise HeadMoved(old=known[:12], new=head[:12])
        return record


class Diffs:
    """The changes between each of several commits and one other: a list for each, in their order.
    Iterate once; as a context manager it leaves no git behind if nobody does.
    """

    def __init__(self, git: Git, olds: Sequence[str], new: str, paths: Sequence[str] = ()) -> None:
        self._git, self._olds, self._new = git, olds, new
        git.held(olds if new in EMPTY_TREES.values() else (*olds, new))
        self._new_tree = new if new in EMPTY_TREES.values() else git._trees.get(new, "")
        lines = b"".join(b"%b\n" % pair for old in olds if (pair := self._pair(old)))
        command = [*git._argv, "diff-tree", *_DIFF, "-r", "--stdin", "--", *paths]
        env = {**git._env, **_WITHOUT_INDEX}
        self._running = process.StreamedProgram(command, git.root, env, lines)

    def __enter__(self) -> "Diffs":
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()

    def _pair(self, old: str) -> bytes:
        """The trees that are compared; empty where one is not here, which git would pass over."""
        tree = self._git._trees.get(old)
        return f"{tree} {self._new_tree}".encode() if tree and self._new_tree else b""

    def __iter__(self) -> Iterator[list[TreeChange]]:
        answers = self._answers()
        pair, changes = next(answers, (b"", []))
        for old in self._olds:
            if pair and pair == self._pair(old):
                yield changes
                pair, changes = next(answers, (b"", []))
            else:  # git's own reason, or its answer
                with self._git.diff_trees(old, self._new) as diff:
                    yield list(diff)

    def _answers(self) -> Iterator[tuple[bytes, list[TreeChange]]]:
        """Each pair of trees that git has compared, with its changes. The pair stands on a line
        before its first record, and on one by itself where nothing differs.
        """
        pair, changes = b"", list[TreeChange]()
        records = self._git._records(self._running, "diff-tree")
        # A path that has changed once since is the same record in each older comparison.
        known: dict[tuple[bytes, bytes], TreeChange] = {}
        for record in records:
            meta = record
            if meta[:1] != b":":
                *pairs, meta = record.split(b"\n")
                for following in pairs:
                    if pair:
                        yield pair, changes
                    pair, changes = following, []
            if meta:
                key = (meta, next(records))
                change = known.get(key)
                if change is None:
                    change = known[key] = _tree_change(*key)
                changes.append(change)
        if pair:
            yield pair, changes


# `diff-tree` reads the whole index, and needs nothing of it. Without a file there is an empty one.
_WITHOUT_INDEX = {"GIT_INDEX_FILE": f"{os.devnull}-without-index"}
# How nearly every record of `ls-files -v --stage` begins: a regular file that nothing hides.
_USUAL = b"H 100"
_LIST_INDEX = ("ls-files", "-v", "--stage", "-z")
_HEAD, _UNBORN = b"# branch.oid ", "(initial)"
"""How `git status` says which commit it compares with, and that there is none."""
_DIFF = (
    "--raw",
    "-z",
    "--no-renames",
    "--no-abbrev",
    "--ignore-submodules=dirty",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
)
# An empty command is no filter; `required` would make that an error.
_NO_FILTER = (("clean", ""), ("process", ""), ("smudge", ""), ("required", "false"))


def is_ref_name(name: str) -> bool:
    """Whether git allows this as the name of a ref, so that it means nothing but that ref."""
    return bool(_REF.fullmatch(name))


def is_object_id(name: str) -> bool:
    """Whether this is the whole id of an object."""
    return bool(_OBJECT.fullmatch(name))


def _flags(git_dir: str | None) -> list[str]:
    flags = ["--no-optional-locks", "--no-pager", "--literal-pathspecs"]
    if git_dir is not None:
        flags.append(f"--git-dir={git_dir}")
    for key, value in OPTIONS.items():
        flags += ["-c", f"{key}={value}"]
    return flags


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def _inside_a_work_tree(folder: str) -> bool:
    ancestor = os.path.dirname(os.path.realpath(folder))
    while not os.path.lexists(os.path.join(ancestor, ".git")):
        parent = os.path.dirname(ancestor)
        if parent == ancestor:
            return False
        ancestor = parent
    return True


def _refusal(verb: str, err: str, folder: str, remote: str | None) -> GitError | None:
    # Imported only where git has refused: that takes as long as a git call.
    from toolkit.ports import git_refusals

    return git_refusals.refusal(verb, err, folder, remote)


def _unusable(folder: str) -> GitError | None:
    from toolkit.ports import git_refusals

    return git_refusals.unusable(folder)


def _batch(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """The contents that `git cat-file --batch` writes, in order; None for what is not a file."""
    stream = iter(chunks)
    data, start = b"", 0
    while True:
        while (end := data.find(b"\n", start)) < 0:
            chunk = next(stream, None)
            if chunk is None:
                return
            data, start = data[start:] + chunk, 0
        header = data[start:end].rsplit(b" ", 2)
        start = end + 1
        if not header[-1].isdigit():  # `NAME missing`
            yield None
            continue
        size = int(header[-1])
        parts = [data[start:]]
        missing = size + 1 - len(parts[0])
        while missing > 0:
            chunk = next(stream, None)
            if chunk is None:
                return
            parts.append(chunk)
            missing -= len(chunk)
        if len(parts) > 1:
            data, start = b"".join(parts), 0
        yield data[start : start + size] if header[-2:-1] == [b"blob"] else None
        start += size + 1


def _tree_change(meta: bytes, path: bytes) -> TreeChange:
    old_mode, new_mode, old_id, new_id, letter = meta[1:].decode().split(" ")
    return TreeChange(_text(path), letter, old_mode, new_mode, old_id, new_id)


def _states(records: Iterable[bytes]) -> list[FileState]:
    """The records of `git status` that are changes."""
    return [_file_state(record) for record in records if not _is_irrelevant(record)]


def _is_irrelevant(record: bytes) -> bool:
    """Whether a record of `git status` is not a change: a header (`# stash 1`), or a path that is
    in the index alone, neither in HEAD nor in the working tree.
    """
    if record[:1] != b"1":
        return record[:1] == b"#"
    _, _, _, in_head, _, in_tree, _ = record.split(b" ", 6)
    return in_head == in_tree == b"000000"


def _file_state(record: bytes) -> FileState:
    kind = record[:1]
    if kind == b"1":
        fields = record.split(b" ", 8)
        return FileState(_text(fields[8]), chr(fields[1][0]), chr(fields[1][1]))
    # Unmerged entries have three modes and three ids: their path comes later.
    if kind == b"u":
        return FileState(_text(record.split(b" ", 10)[10]), "u", "u")
    # A repository inside of this one is a path with a slash at its end.
    return FileState(_text(record[2:].removesuffix(b"/")), "?", "?")


def _entry(record: bytes) -> IndexEntry:
    """A record of `git ls-files -v --stage`."""
    meta, _, path = record.partition(b"\t")
    flag, mode, object_id, _ = meta.decode().split(" ")
    return IndexEntry(_text(path), mode, object_id, flag)


def _commit(commit: Any) -> Commit:
    try:
        when = commit.committed_datetime
    except (ValueError, OverflowError):
        when = datetime.fromtimestamp(0, UTC)  # as git shows a date that no calendar has
    author = commit.author.name or commit.author.email or ""
    return Commit(commit.hexsha, author, when, str(commit.summary))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _reason(err: bytes) -> str:
    """Git's first error message, without its prefix."""
    for line in _text(err).splitlines():
        if not line.startswith(("hint:", "warning:")):
            message = line.removeprefix("fatal: ").removeprefix("error: ").strip()
            if message:
                return message
    return "it gave no reason"
