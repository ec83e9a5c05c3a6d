"""The checkout in which commits are synthesized: always at one place, with nothing left of the
commit before, and without writing to the person's repository.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.repo import Repo
from toolkit.errors import GitError, Refused
from toolkit.ports import package_install, process
from toolkit.ports.checkout import Checkout, checkout, installed
from toolkit.ports.git import Git
from toolkit.ports.program_runs import SilentLog


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


@pytest.mark.parametrize("name", ["node", "npm", "python3", "cdk"])
def test_the_key_of_packages_changes_with_each_program_that_runs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    program = tmp_path / name
    program.write_text("1")
    monkeypatch.setattr(process, "which", lambda asked: str(program) if asked == name else None)
    key = package_install.key([])
    program.write_text("22")
    assert package_install.key([]) != key


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


@pytest.mark.parametrize("left", [".git/index.lock", ".git/HEAD.lock", ".git/refs/heads/main.lock"])
def test_what_a_killed_git_has_left_is_cleared_away(repo: Repo, cache: str, left: str) -> None:
    git = Git.open(str(repo.path))
    with checkout(git, cache, nothing) as held:
        held.switch(repo.head, "main")
        (Path(held.path) / left).write_text("")
    with checkout(git, cache, nothing) as held:
        held.switch(repo.head, "main")
        assert files_of(held)["cdk/new.py"] == "new"


@pytest.mark.parametrize("damage", ["HEAD", "index", "objects", "config"])
def test_a_damaged_checkout_is_made_anew_and_never_taken_for_a_repository_around_it(
    repo: Repo, damage: str
) -> None:
    # As in CI, where only what lies below the project is kept from run to run.
    repo.commit("ignored", {".gitignore": "*.log\n/.cache/\n"})
    cache = str(repo.path / ".cache")
    git = Git.open(str(repo.path))
    with checkout(git, cache, nothing) as held:
        held.switch(repo.head, "main")
        damaged = Path(held.path) / ".git" / damage
    if damaged.is_dir():
        damaged.rename(damaged.with_name("gone"))
    else:
        damaged.write_text("")
    repo.write({"cdk/app.py": "not committed", "mine.txt": "untracked"})
    with checkout(git, cache, nothing) as held:
        held.switch(repo.head, "main")
        assert files_of(held)["cdk/app.py"] == "two"
    assert (repo.path / "cdk" / "app.py").read_text() == "not committed"
    assert (repo.path / "mine.txt").read_text() == "untracked"


def test_packages_that_are_committed_stay_those_of_their_commit(repo: Repo, cache: str) -> None:
    layer = "layer/nodejs/node_modules/left-pad/index.js"
    repo.commit("layer", {layer: "1", "package.json": "{}"})
    first = repo.head
    repo.commit("newer layer", {layer: "2"})
    git = Git.open(str(repo.path))
    for _ in range(2):
        for commit, text in ((first, "1"), (repo.head, "2")):
            with checkout(git, cache, nothing) as held:
                held.switch(commit, "main")
                if not held.put_back("key"):
                    module = Path(held.path) / "node_modules" / "a" / "index.js"
                    module.parent.mkdir(parents=True)
                    module.write_text("a")
                    held.note_installed("key")
                assert (Path(held.path) / layer).read_text() == text
                assert (Path(held.path) / "node_modules/a/index.js").exists()


def test_another_program_of_the_same_commit_gets_its_packages_too(
    repo: Repo, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\nmkdir -p node_modules && touch node_modules/made\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    repo.commit("two apps", {"a/package-lock.json": "{}", "b/package-lock.json": "{}"})
    with checkout(Git.open(str(repo.path)), cache, nothing) as held:
        for folders in (["a"], ["a", "b"]):
            held.switch(repo.head, "main")
            package_install.prepare(held, "key", folders, SilentLog())
        assert (Path(held.path) / "b/node_modules/made").exists()


def test_packages_that_were_moved_in_part_are_never_taken_for_all_of_them(
    repo: Repo, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    rename = os.rename

    def stopped(source: str, to: str) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(source)
        rename(source, to)

    git = Git.open(str(repo.path))
    with checkout(git, cache, nothing) as held:
        held.switch(repo.head, "main")
        for folder in ("a/node_modules", "b/node_modules"):
            (Path(held.path) / folder).mkdir(parents=True)
        held.note_installed("key")
        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", stopped)
            with pytest.raises(KeyboardInterrupt):
                held.set_aside()
    with checkout(git, cache, nothing) as held:
        held.switch(repo.head, "main")
        assert not held.put_back("key")


def test_only_the_packages_that_were_used_last_are_kept(repo: Repo, cache: str) -> None:
    with checkout(Git.open(str(repo.path)), cache, nothing) as held:
        for number in range(8):
            held.switch(repo.head, "main")
            (Path(held.path) / "node_modules").mkdir()
            held.note_installed(f"key-{number}")
        held.switch(repo.head, "main")
        assert len(os.listdir(Path(held.keep) / "packages")) == 5
        assert held.put_back("key-7")


@pytest.mark.parametrize("lock", ["poetry.lock", "Pipfile.lock", "pdm.lock"])
def test_packages_that_nothing_here_installs_are_not_those_of_who_runs_toolkit(
    tmp_path: Path, lock: str
) -> None:
    (tmp_path / lock).write_text("")
    with pytest.raises(Refused, match=lock):
        package_install.installations(str(tmp_path), "cdk")


def test_a_lock_file_of_bun_is_installed_by_bun(tmp_path: Path) -> None:
    for name in ("package.json", "bun.lock"):
        (tmp_path / name).write_text("")
    [only] = package_install.installations(str(tmp_path), ".")
    assert only.argv[0] == "bun"
    tree = [("bun.lock", "a")]
    assert package_install.key(tree) != package_install.key([("bun.lock", "b")])
