"""Each of git's refusals: what it is in our words, and a next command that was run here and fixes
it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit
from toolkit.ports.git_refusals import refusal

pytestmark = pytest.mark.slow("git", keep=30, of="file")


def hint(result: Result) -> str:
    """The command of the hint, on a line of its own."""
    [command] = [line for line in result.err.splitlines() if line.startswith("  ")]
    return command.strip()


def loose(repo: Repo, name: str) -> Path:
    """Where an object of a repository without packs is kept."""
    text = repo.git("rev-parse", name)
    return repo.path / ".git" / "objects" / text[:2] / text[2:]


def unpacked(repo: Repo, folder: Path) -> Repo:
    """A clone whose objects are loose, and whose remote has them all."""
    clone = repo.clone(folder)
    packs = [pack.read_bytes() for pack in (clone.path / ".git/objects/pack").glob("*.pack")]
    shutil.rmtree(clone.path / ".git/objects/pack")
    for pack in packs:
        subprocess.run(["git", "unpack-objects", "-q"], cwd=clone.path, input=pack, check=True)
    return clone


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def another_owner(repo: Repo) -> None:
    for folder, folders, files in os.walk(repo.path):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), 12345, 12345)


def broken_index(content: bytes) -> Callable[[Repo], None]:
    return lambda repo: damage(repo.path / ".git/index", content)


def elsewhere(repo: Repo) -> None:
    (repo.path.parent / "elsewhere").mkdir()
    repo.git("config", "core.worktree", str(repo.path.parent / "elsewhere"))


def nowhere(repo: Repo) -> None:
    repo.git("config", "core.worktree", "/nowhere")


def broken_object(name: str, content: bytes | None) -> Callable[[Repo], None]:
    def damaged(repo: Repo) -> None:
        path = loose(repo, name)
        path.unlink() if content is None else damage(path, content)

    return damaged


BROKEN: dict[str, tuple[Callable[[Repo], None], str]] = {
    "another owner": (another_owner, "it belongs to another user (dubious ownership)"),
    "core.worktree elsewhere": (elsewhere, "git's core.worktree says "),
    "core.worktree nowhere": (nowhere, "git's core.worktree says /nowhere"),
    "an index that is cut off": (
        broken_index(b"x"),
        "is damaged: its index: .git/index: index file smaller than expected",
    ),
    "an index of noise": (broken_index(b"x" * 4096), "is damaged: its index"),
    "an empty commit": (broken_object("HEAD", b""), "is damaged: object file .git/objects/"),
    "a commit of noise": (
        broken_object("HEAD", b"noise"),
        "is damaged: inflate: data stream error",
    ),
    "a folder of noise": (
        broken_object("HEAD:backend", b"noise"),
        "is damaged: inflate: data stream error",
    ),
    "a missing folder": (broken_object("HEAD:backend", None), "is not in this clone"),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
@pytest.mark.parametrize("case", BROKEN)
def test_what_git_refuses_has_a_cause_and_a_command_that_fixes_it(
    repo: Repo, tmp_path: Path, toolkit: Toolkit, case: str
) -> None:
    repo.commit("more", {"backend/src/app.py": "print(2)\n"})
    clone = unpacked(repo, tmp_path / "clone")
    first = repo.git("rev-parse", "HEAD~1")
    assert toolkit(clone.path, "diff", first).code == 0
    breaks, message = BROKEN[case]
    breaks(clone)
    for _ in range(3):  # one object is found to be damaged after the other
        actual = toolkit(clone.path, "diff", first)
        if actual.code == 0:
            break
        assert actual.code == 2
        assert message in actual.err
        assert "bug in toolkit" not in actual.err
        subprocess.run(
            ["bash", "-c", hint(actual)], cwd=clone.path, check=True, capture_output=True
        )
    assert toolkit(clone.path, "diff", first).code == 0, actual.err


def test_a_lock_of_another_git_does_not_keep_anybody_from_reading(
    repo: Repo, toolkit: Toolkit
) -> None:
    (repo.path / ".git/index.lock").write_text("")
    repo.write({"backend/src/app.py": "print(3)\n"})
    actual = toolkit(repo.path, "diff", "HEAD")
    assert (actual.code, "1 file changed" in actual.out) == (0, True)


def test_a_branch_without_commits_beside_others_is_told_with_how_to_leave_it(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.git("checkout", "-q", "--orphan", "fresh")
    actual = toolkit(repo.path, "diff", "HEAD")
    assert actual.code == 2
    assert "is fresh, which has no commits yet" in actual.err
    assert hint(actual) == "git switch main"
    subprocess.run(
        ["bash", "-c", f"git rm -rq --cached . && git clean -fdq && {hint(actual)}"],
        cwd=repo.path,
        check=True,
    )
    assert toolkit(repo.path, "diff", "HEAD").code == 0


@pytest.mark.parametrize("content", ["", "noise\n"])
def test_a_branch_that_is_damaged_is_not_said_to_have_no_commits(
    repo: Repo, toolkit: Toolkit, content: str
) -> None:
    head = repo.git("rev-parse", "HEAD")
    (repo.path / ".git/refs/heads/main").write_text(content)
    actual = toolkit(repo.path, "diff", "HEAD")
    assert actual.code == 2
    assert "is damaged: refs/heads/main is not a commit" in actual.err
    fix = actual.err.partition("\nthen:\n  ")[2].splitlines()[0]
    assert fix.endswith("&& git update-ref refs/heads/main COMMIT")
    subprocess.run(["sh", "-c", fix.replace("COMMIT", head)], cwd=repo.path, check=True)
    assert toolkit(repo.path, "diff", "HEAD").code == 0


def test_a_commit_that_is_being_pushed_is_in_quarantine_and_no_fetch_is_advised(
    repo: Repo, tmp_path: Path
) -> None:
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    rules = tmp_path / "rules.toml"
    rules.write_bytes((repo.path / "rules.toml").read_bytes())
    hook = bare.path / "hooks" / "pre-receive"
    command = (
        f'PYTHONPATH="{ROOT}" "{sys.executable}" -m toolkit diff "$old..$new" --rules "{rules}"'
    )
    hook.write_text(f"#!/bin/sh\nread old new ref\n{command} >&2\nexit 1\n")
    hook.chmod(0o755)
    repo.commit("pushed", {"backend/src/app.py": "print(2)\n"})
    pushed = subprocess.run(
        ["git", "push", str(bare.path), "main"],
        cwd=repo.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is being pushed: until the pre-receive hook ends" in pushed.stderr
    assert "git fetch" not in pushed.stderr
    assert "run toolkit in a post-receive hook" in pushed.stderr


def test_a_git_folder_that_leads_nowhere_is_told(repo: Repo, toolkit: Toolkit) -> None:
    (repo.path / "inner").mkdir()
    (repo.path / "inner/.git").write_text("gitdir: /nowhere/at/all\n")
    actual = toolkit(repo.path / "inner", "diff", "HEAD")
    assert actual.code == 2
    assert "its .git leads to /nowhere/at/all, which does not exist" in actual.err


def test_a_configuration_that_git_cannot_read_is_named_with_its_line(
    repo: Repo, toolkit: Toolkit
) -> None:
    with (repo.path / ".git/config").open("a") as config:
        config.write("[[[\n")
    actual = toolkit(repo.path, "diff", "HEAD")
    assert actual.code == 2
    assert "git's configuration is invalid: bad config line " in actual.err
    assert ".git/config" in actual.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("name", [".git", ".git/HEAD"])
def test_a_repository_that_may_not_be_read_is_not_said_to_be_missing(
    tmp_path: Path, name: str
) -> None:
    repo = Repo.make(tmp_path / "repo", {"a": "x"})
    (repo.path / name).chmod(0)
    script = (
        "import os, sys\nfrom toolkit.ports.git_refusals import"
        " unusable\nos.setuid(65534)\nprint(unusable(sys.argv[1]))"
    )
    folders = [
        item
        for item in (tmp_path, *tmp_path.parents)
        if item.stat().st_uid == os.geteuid() and "pytest" in str(item)
    ]
    for folder in folders:
        folder.chmod(folder.stat().st_mode | 0o555)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(repo.path)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"git cannot read {repo.path / name}: permission denied\n", done.stderr


DENIED = {
    "the configuration": "fatal: unable to access '.git/config': Permission denied\n",
    "the index": "fatal: .git/index: index file open failed: Permission denied\n",
    "an object": (
        "error: unable to open object pack directory: .git/objects/pack: Permission denied\n"
        "fatal: failed to read object 375b4b1a88f67069cfd785fc94275ffe3133d696: Permission denied\n"
    ),
    "warnings before": (
        "warning: unable to access '/home/ada/.config/git/ignore': Permission denied\nfatal:"
        " .git/index: index file open failed: Permission denied\n"
    ),
}
"""What git 2.39 says, run as somebody else."""


@pytest.mark.parametrize("case", DENIED)
def test_what_git_may_not_read_is_a_permission_with_the_folder_to_take_over(case: str) -> None:
    text = refusal("status", DENIED[case], "/shop", "origin")
    assert text is not None
    assert str(text) == "git cannot read /shop/.git: permission denied"
    assert text.facts["path"] == "/shop/.git"


def test_no_refusal_is_guessed_from_other_words() -> None:
    assert refusal("diff", "fatal: some new words\n", "/r", None) is None


def test_a_repository_of_a_later_git_asks_for_a_newer_one(repo: Repo, toolkit: Toolkit) -> None:
    repo.git("config", "core.repositoryformatversion", "9")
    actual = toolkit(repo.path, "diff", "HEAD")
    assert (
        actual.code,
        "this git is too old for the repository: Expected git repo version <= 1, found 9"
        in actual.err,
    ) == (2, True)
