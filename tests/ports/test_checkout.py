"""The checkout in which commits are synthesized: always at one place, with nothing left of the
commit before, and without writing to the person's repository.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.repo import Repo
from toolkit.errors import GitError
from toolkit.ports import package_install
from toolkit.ports.checkout import Checkout, checkout, installed
from toolkit.ports.git import Git


def nothing() -> None:
    """Nobody asks the run to stop."""


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.make(tmp_path / "shop", {"cdk/app.py": "one", ".gitignore": "*.log\n"}, rules=None)
    repo.git("tag", "v1")
    repo.commit("second", {"cdk/app.py": "two", "cdk/new.py": "new"})
    return repo


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def files_of(held: Checkout) -> dict[str, str]:
    found = {}
    for path in sorted(Path(held.path).rglob("*")):
        if path.is_file() and ".git/" not in str(path):
            found[str(path.relative_to(held.path))] = path.read_text()
    return found


def test_each_commit_stands_at_the_same_place_with_nothing_of_the_one_before(
    repo: Repo, cache: str
) -> None:
    git = Git.open(str(repo.path))
    first, second = repo.git("rev-parse", "v1"), repo.head
    with checkout(git, cache, nothing) as held:
        held.switch(second, "main")
        place = held.path
        (Path(held.path) / "cdk" / "out.log").write_text("ignored by git")
        (Path(held.path) / "stray.txt").write_text("made by a program")
        held.switch(first, "main")
        assert files_of(held) == {".gitignore": "*.log\n", "cdk/app.py": "one"}
    with checkout(git, cache, nothing) as held:
        held.switch(second, "feature/x")
        assert held.path == place
        assert files_of(held)["cdk/new.py"] == "new"
        assert held.run("rev-parse", "--abbrev-ref", "HEAD").decode().strip() == "feature/x"
        assert held.run("describe", "--tags").decode().startswith("v1-1-g")


def test_the_folder_is_called_as_the_repository_is(repo: Repo, cache: str) -> None:
    with checkout(Git.open(str(repo.path)), cache, nothing) as held:
        assert os.path.basename(held.path) == "shop"


def test_uncommitted_files_are_a_commit_that_the_repository_never_sees(
    repo: Repo, cache: str
) -> None:
    repo.write({"cdk/app.py": "three", "cdk/fresh.py": "untracked", "cdk/run.log": "ignored"})
    (repo.path / "cdk" / "new.py").unlink()
    before = repo.git("status", "--porcelain"), repo.git("count-objects")
    git = Git.open(str(repo.path))
    with checkout(git, cache, nothing) as held:
        made = held.commit_of_files(str(repo.path), repo.head)
        assert held.commit_of_files(str(repo.path), repo.head) == made
        held.switch(made, "main")
        assert files_of(held) == {
            ".gitignore": "*.log\n",
            "cdk/app.py": "three",
            "cdk/fresh.py": "untracked",
        }
    assert (repo.git("status", "--porcelain"), repo.git("count-objects")) == before
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("cat-file", "-e", made)


def test_the_folder_of_a_submodule_is_empty(repo: Repo, cache: str, tmp_path: Path) -> None:
    inner = Repo.make(tmp_path / "inner", {"a": "b"}, rules=None)
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", str(inner.path), "lib")
    repo.commit("with a submodule")
    with checkout(Git.open(str(repo.path)), cache, nothing) as held:
        held.switch(repo.head, "main")
        assert os.listdir(os.path.join(held.path, "lib")) == []
        assert ("lib", f"160000 {inner.head}") in held.tree(repo.head)


def test_hooks_and_filters_of_the_repository_are_not_run(
    repo: Repo, cache: str, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    hook = repo.path / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    repo.git("config", "filter.evil.smudge", f"touch {ran}")
    repo.git("config", "filter.evil.clean", f"touch {ran}")
    repo.commit("filtered", {".gitattributes": "*.py filter=evil\n"})
    ran.unlink(missing_ok=True)
    repo.write({"cdk/app.py": "changed"})
    with checkout(Git.open(str(repo.path)), cache, nothing) as held:
        made = held.commit_of_files(str(repo.path), repo.head)
        held.switch(made, "main")
    assert not ran.exists()


def test_a_commit_that_is_not_in_the_clone_is_an_error(repo: Repo, cache: str) -> None:
    with checkout(Git.open(str(repo.path)), cache, nothing) as held, pytest.raises(GitError):
        held.switch("1" * 40, "main")


def test_a_shallow_clone_is_checked_out_as_far_as_it_goes(
    repo: Repo, cache: str, tmp_path: Path
) -> None:
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    with checkout(Git.open(str(shallow.path)), cache, nothing) as held:
        held.switch(repo.head, "main")
        assert files_of(held)["cdk/app.py"] == "two"
        assert held.run("log", "--format=%s").decode().split() == ["second"]


def test_a_worktree_reads_the_objects_of_its_repository(
    repo: Repo, cache: str, tmp_path: Path
) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    with checkout(Git.open(str(tmp_path / "tree")), cache, nothing) as held:
        held.switch(repo.head, "side")
        assert files_of(held)["cdk/app.py"] == "two"


def test_packages_come_back_for_the_same_lock_files_and_for_no_others(
    repo: Repo, cache: str
) -> None:
    git = Git.open(str(repo.path))
    with checkout(git, cache, nothing) as held:
        held.switch(repo.head, "main")
        for folder in ("node_modules", "cdk/.venv", "packages/a/node_modules"):
            path = Path(held.path) / folder
            path.mkdir(parents=True)
            (path / "made").write_text(folder)
        held.note_installed("key-1")
        held.switch(repo.git("rev-parse", "v1"), "main")
        assert installed(held.path) == []
        assert not held.put_back("key-2")
        assert held.put_back("key-1")
        assert {os.path.relpath(path, held.path) for path in installed(held.path)} == {
            "node_modules",
            "cdk/.venv",
            "packages/a/node_modules",
        }


def test_packages_of_an_installation_that_did_not_end_are_not_kept(repo: Repo, cache: str) -> None:
    with checkout(Git.open(str(repo.path)), cache, nothing) as held:
        held.switch(repo.head, "main")
        (Path(held.path) / "node_modules").mkdir()
        held.switch(repo.head, "main")
        assert installed(held.path) == []


def test_the_key_of_packages_changes_with_lock_files_and_nothing_else() -> None:
    tree = [("cdk/package-lock.json", "a"), ("cdk/lib/shop.ts", "b"), ("requirements-dev.txt", "c")]
    key = package_install.key(tree)
    assert package_install.key([*tree[:1], ("cdk/lib/shop.ts", "new"), tree[2]]) == key
    assert package_install.key([("cdk/package-lock.json", "new"), *tree[1:]]) != key
    assert package_install.key([*tree[:2], ("requirements-dev.txt", "new")]) != key
    assert package_install.key([("other/package-lock.json", "a"), *tree[1:]]) != key


def test_what_has_to_be_installed_is_said_by_the_nearest_lock_file(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    for name in ("package-lock.json", "infra/package.json", "infra/requirements.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    commands = package_install.installations(str(root), "infra")
    assert [(os.path.relpath(each.folder, root), each.argv[:3]) for each in commands] == [
        (".", ("npm", "ci", "--no-audit")),
        ("infra", ("python3", "-m", "venv")),
        ("infra", (".venv/bin/python", "-m", "pip")),
    ]


def test_python_packages_of_a_folder_around_a_program_of_node_are_not_its_own(
    tmp_path: Path,
) -> None:
    root = tmp_path / "shop"
    (root / "cdk").mkdir(parents=True)
    (root / "requirements.txt").write_text("")
    [make, install] = package_install.installations(str(root), "cdk")
    assert (make.folder, install.argv[-1]) == (f"{root}/cdk", f"{root}/requirements.txt")
    (root / "cdk" / "package-lock.json").write_text("{}")
    [only] = package_install.installations(str(root), "cdk")
    assert only.argv[:2] == ("npm", "ci")
