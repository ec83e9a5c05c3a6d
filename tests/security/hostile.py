"""A repository whose configuration, attributes, hooks and submodule each name a program that leaves
a mark (S4).
"""

from pathlib import Path

from tests.support.repo import Repo

HOOKS = (
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
)

CONFIG = """
[core]
	fsmonitor = {program} fsmonitor
	pager = {program} pager
	editor = {program} editor
	askPass = {program} askpass
	sshCommand = {program} ssh
	gitProxy = {program} proxy
	alternateRefsCommand = {program} alternates
	untrackedCache = true
	attributesFile = {attributes}
[include]
	path = included
[extensions]
	worktreeConfig = true
[alias]
	diff = !{program} alias
	status = !{program} alias
	diff-tree = !{program} alias
[pager]
	diff = {program} pager
	status = {program} pager
	log = {program} pager
[diff]
	external = {program} external
	tool = evil
[diff "evil"]
	command = {program} driver
	textconv = {program} textconv
[difftool "evil"]
	cmd = {program} difftool
[filter "evil"]
	clean = {program} clean
	smudge = {program} smudge
[filter "long"]
	process = {program} process
[merge "evil"]
	driver = {program} merge
[gpg]
	program = {program} gpg
[log]
	showSignature = true
[credential]
	helper = !{program} credential
[protocol "ext"]
	allow = always
[remote "origin"]
	url = ext::{program} remote
	fetch = +refs/heads/*:refs/remotes/origin/*
	promisor = true
	partialclonefilter = blob:none
[uploadpack]
	packObjectsHook = {program} pack
[status]
	submoduleSummary = true
	showStash = true
[diff]
	submodule = log
[submodule]
	recurse = true
[interactive]
	diffFilter = {program} interactive
[sequence]
	editor = {program} sequence
[maintenance]
	auto = true
[trace2]
	normalTarget = {program}
"""

INCLUDED = """
[filter "included"]
	clean = {program} clean-included
[includeIf "gitdir:**"]
	path = deeper
"""

DEEPER = """
[filter "deeper"]
	process = {program} process-deeper
[core]
	hooksPath = {hooks}
"""

WORKTREE = """
[filter "Worktree"]
	clean = {program} clean-worktree
	required = true
[core]
	fsmonitor = {program} fsmonitor-worktree
"""

ATTRIBUTES = """
* diff=evil merge=evil filter=evil
*.long filter=long
*.included filter=included
*.deeper filter=deeper
z.worktree filter=Worktree
"""


class Hostile:
    """The repository, and the mark that any of its programs leaves."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder / "mark"
        self.program = folder / "program"
        self.program.write_text(f'#!/bin/sh\necho "$0 $*" >>"{self.mark}"\nexit 1\n')
        self.program.chmod(0o755)
        self.repo = self._repository(folder / "repo")
        self._submodule(folder)
        self.repo.commit("second", {"backend/src/app.py": "two\n", ".gitattributes": ATTRIBUTES})
        self._arm(self.repo.path / ".git", f"{self.program}")
        self._arm(self.repo.path / ".git/modules/sub", f"{self.program} submodule")
        self._dirty()

    @property
    def ran(self) -> list[str]:
        """What has run since the last look."""
        result = self.mark.read_text().splitlines() if self.mark.exists() else []
        self.mark.unlink(missing_ok=True)
        return result

    def _repository(self, path: Path) -> Repo:
        names = ("app.py", "a.long", "a.included", "a.deeper", "z.worktree")
        hooks: dict[str | bytes, str | bytes] = {
            f"hooks/{name}": self.program.read_text() for name in HOOKS
        }
        repo = Repo.make(path, {**{f"backend/src/{name}": "one\n" for name in names}, **hooks})
        for hook in HOOKS:
            (path / "hooks" / hook).chmod(0o755)
        return repo

    def _submodule(self, folder: Path) -> None:
        inner = Repo.make(
            folder / "inner", {"inside.txt": "one\n", ".gitattributes": ATTRIBUTES}, rules=None
        )
        self.repo.git(
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            f"file://{inner.path}",
            "sub",
        )

    def _arm(self, git_dir: Path, program: str) -> None:
        words = {
            "program": program,
            "hooks": self.repo.path / "hooks",
            "attributes": git_dir / "attributes",
        }
        (git_dir / "attributes").write_text(ATTRIBUTES)
        for name, text in (
            ("config", CONFIG),
            ("included", INCLUDED),
            ("deeper", DEEPER),
            ("config.worktree", WORKTREE),
        ):
            with (git_dir / name).open("a") as file:
                file.write(text.format(**words))
        (git_dir / "info").mkdir(exist_ok=True)
        (git_dir / "info/attributes").write_text("*.txt filter=evil diff=evil\n")
        (git_dir / "hooks").mkdir(exist_ok=True)
        for hook in HOOKS:
            (git_dir / "hooks" / hook).write_text(self.program.read_text())
            (git_dir / "hooks" / hook).chmod(0o755)

    def _dirty(self) -> None:
        """Changes of the same size, which git can only tell by running a clean filter; one more in
        the submodule; and new files.
        """
        src = self.repo.path / "backend/src"
        for path in (*src.iterdir(), self.repo.path / "sub/inside.txt"):
            path.write_text("owt\n")
        for path in (src / "new.py", self.repo.path / "sub/new.txt"):
            path.write_text("new\n")
