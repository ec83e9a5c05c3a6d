"""The git port against real repositories: where it stands, what it lists, and that a failure is
never an empty answer.
"""

import os
import shlex
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit, process
from toolkit.errors import (
    DamagedRepository,
    GitError,
    MissingCommit,
    NoCommits,
    NotARepository,
    NoWorkTree,
    UnknownRef,
)
from toolkit.ports.git import GITLINK, Git
from toolkit.show.advice import sentence

pytestmark = pytest.mark.slow("git", keep=45, of="file")


def opened(repo: Repo) -> Git:
    return Git.open(str(repo.path))


def follow(hint: str, repo: Repo) -> None:
    """Run the very command of a hint."""
    words = shlex.split(hint.removeprefix("get it with:"))
    assert words[:2] == ["git", "fetch"]
    repo.git(*words[1:])


# Where it stands


def test_a_repository_knows_its_root_head_and_branch(repo: Repo) -> None:
    git = opened(repo)
    assert (git.root, git.head, git.branch) == (
        str(repo.path),
        repo.git("rev-parse", "HEAD"),
        "main",
    )
    assert (git.bare, git.shallow) == (False, False)


def test_a_folder_inside_leads_to_the_root(repo: Repo) -> None:
    assert Git.open(str(repo.path / "backend/src")).root == str(repo.path)


def test_a_detached_head_has_no_branch(repo: Repo) -> None:
    repo.git("checkout", "-q", "--detach")
    git = opened(repo)
    assert (git.head, git.branch) == (repo.git("rev-parse", "HEAD"), None)


def test_an_unborn_head_is_no_commit(tmp_path: Path) -> None:
    git = opened(Repo.make(tmp_path / "repo", rules=None))
    assert (git.root, git.head, git.branch) == (str(tmp_path / "repo"), None, None)
    with pytest.raises(NoCommits):
        git.require_head()


@pytest.mark.slow("sweeps", keep=10)
@pytest.mark.parametrize(
    "name",
    [
        "a\nb",
        "a\n",
        "\n",
        "\na\n\nb",
        "a b",
        "caf\udce9",
        "-x",
        "0" * 40,
        "a\n" + "0" * 40,
        "a\nHEAD",
        "a\nrefs",
    ],
)
@pytest.mark.parametrize("state", ["commits", "detached", "unborn", "ambiguous"])
def test_a_folder_may_have_any_name(
    tmp_path: Path, toolkit: Toolkit, name: str, state: str
) -> None:
    repo = Repo.make(
        tmp_path / name,
        None if state == "unborn" else {"a": "x"},
        None if state == "unborn" else RULES,
    )
    repo.write({"rules.toml": RULES})
    if state == "detached":
        repo.git("checkout", "-q", "--detach")
    if state == "ambiguous":
        repo.git("update-ref", "refs/heads/HEAD", "HEAD")
    git = opened(repo)
    assert git.root == str(repo.path)
    assert (git.head is None) == (state == "unborn")
    assert toolkit(repo.path, "rules", "check").code == 0
    assert toolkit(repo.path, "diff", "HEAD").code == (2 if state == "unborn" else 0)


def test_a_branch_may_have_slashes_and_any_letters(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "feature/é/x")
    assert opened(repo).branch == "feature/é/x"


def test_outside_of_a_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotARepository):
        Git.open(str(tmp_path))


def test_the_inside_of_the_git_folder_has_no_working_tree(repo: Repo) -> None:
    with pytest.raises(NoWorkTree):
        Git.open(str(repo.path / ".git"))


@pytest.mark.parametrize("file", ["HEAD", "objects"])
def test_a_damaged_repository_is_told_as_such(repo: Repo, file: str) -> None:
    (repo.path / ".git" / file).rename(repo.path / ".git" / f"no-{file}")
    with pytest.raises(DamagedRepository, match=f"is damaged: its .git has no {file}"):
        opened(repo)


def test_a_linked_worktree_is_its_own_root_with_its_own_head(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    linked = Repo(tmp_path / "linked")
    commit = linked.commit("there", {"backend/src/app.py": "new\n"})
    git = opened(linked)
    assert (git.root, git.head, git.branch) == (str(tmp_path / "linked"), commit, "other")
    assert [state.path for state in git.status()] == []
    assert opened(repo).branch == "main"


def test_a_bare_repository_is_opened_only_if_asked(repo: Repo, tmp_path: Path) -> None:
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    with pytest.raises(NoWorkTree):
        opened(bare)
    git = Git.open(str(bare.path), bare=True)
    assert (git.bare, git.head, git.branch) == (True, repo.git("rev-parse", "HEAD"), "main")


def test_a_bare_repository_without_commits_has_no_head(tmp_path: Path) -> None:
    Repo(tmp_path).git("init", "-q", "--bare", "bare.git")
    with pytest.raises(NoCommits):
        Git.open(str(tmp_path / "bare.git"), bare=True).require_head()


def test_a_repository_in_a_working_tree_is_another_one(repo: Repo) -> None:
    inner = Repo.make(repo.path / "inner", {"a": "x"}, rules=None)
    assert opened(inner).root == str(inner.path)


# Refs


@pytest.mark.parametrize(
    "ref",
    ["HEAD", "main", "HEAD~0", "v1", "refs/heads/main", "@", "main@{0}", ":/first", "heads/main"],
)
def test_whatever_names_a_commit_is_one(repo: Repo, ref: str) -> None:
    repo.git("tag", "-a", "-m", "one", "v1")
    head = repo.git("rev-parse", "HEAD")
    assert opened(repo).resolve(ref) == head
    assert opened(repo).resolve(head[:8]) == head


def test_a_name_that_both_a_file_and_a_branch_have_is_the_branch(repo: Repo) -> None:
    repo.commit("file", {"main": "x"})
    assert opened(repo).resolve("main") == repo.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    "ref", ["nothing", "HEAD~9", "HEAD:rules.toml", "HEAD^{tree}", "a..b", "HEAD^@"]
)
def test_what_names_no_commit_is_unknown(repo: Repo, ref: str) -> None:
    with pytest.raises(UnknownRef):
        opened(repo).resolve(ref)


def test_the_id_of_something_else_is_unknown(repo: Repo) -> None:
    with pytest.raises(UnknownRef):
        opened(repo).resolve(repo.git("rev-parse", "HEAD^{tree}"))


def test_a_commit_that_was_left_behind_is_found_as_long_as_git_has_it(repo: Repo) -> None:
    """A force-push: what is live is no longer on any branch."""
    old = repo.commit("live", {"backend/src/app.py": "live\n"})
    repo.git("reset", "-q", "--hard", "HEAD~1")
    new = repo.commit("forced", {"lambda/login/handler.py": "new\n"})
    assert {change.path for change in opened(repo).diff_trees(opened(repo).resolve(old), new)} == {
        "backend/src/app.py",
        "lambda/login/handler.py",
    }


# Shallow and partial clones: the hint's own command mends it


def test_a_missing_commit_is_told_with_the_fetch_that_gets_it(repo: Repo, tmp_path: Path) -> None:
    clone = repo.clone(tmp_path / "clone")
    commit = repo.commit("later", {"backend/src/app.py": "new\n"})
    with pytest.raises(MissingCommit) as caught:
        opened(clone).resolve(commit)
    assert sentence(caught.value.next) == f"get it with: git fetch origin {commit}"
    follow(sentence(caught.value.next), clone)
    assert opened(clone).resolve(commit) == commit


def test_a_commit_that_a_shallow_clone_lacks_is_fetched_alone(
    repo: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    base = repo.git("rev-parse", "HEAD")
    repo.commit("second", {"backend/src/app.py": "new\n"})
    clone = repo.clone(tmp_path / "clone", "--depth=1")
    actual = toolkit(clone.path, "diff", base)
    assert actual.code == 2
    assert f"hint: get it with:\n  git fetch --depth=1 origin {base}\n" in actual.err
    follow(actual.err.partition("hint: ")[2].strip(), clone)
    assert (
        toolkit(clone.path, "diff", "--json", base).json["recommendation"]
        == "toolkit deploy-app app"
    )


@pytest.mark.parametrize(
    "ref", ["HEAD~1", "v1", "origin/other", "HEAD~1..HEAD", "origin/other...HEAD"]
)
def test_a_name_that_a_shallow_clone_lacks_is_told_with_the_fetch_that_gets_it(
    repo: Repo, tmp_path: Path, toolkit: Toolkit, ref: str
) -> None:
    """Such a clone has one branch and no tags, so that deepening it is not enough."""
    repo.git("tag", "v1")
    repo.git("branch", "other")
    repo.commit("second", {"backend/src/app.py": "new\n"})
    clone = repo.clone(tmp_path / "clone", "--depth=1", "--branch=main")
    actual = toolkit(clone.path, "diff", ref)
    assert actual.code == 2
    follow(actual.err.partition("hint: ")[2].strip(), clone)
    assert (
        toolkit(clone.path, "diff", "--json", ref).json["recommendation"]
        == "toolkit deploy-app app"
    )


def test_a_merge_base_that_a_shallow_clone_lacks_is_told_with_the_fetch_that_gets_it(
    repo: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit("on the branch", {"backend/src/app.py": "new\n"})
    repo.git("checkout", "-q", "main")
    repo.commit("on main", {"lambda/login/handler.py": "new\n"})
    clone = repo.clone(tmp_path / "clone", "--depth=1", "--no-single-branch", "--branch=feature")
    clone.git("branch", "--set-upstream-to=origin/main")
    assert (
        toolkit(clone.path, "diff", "-q").code == 0
    )  # what is out of date needs no common ancestor
    actual = toolkit(clone.path, "diff", "change")
    assert actual.code == 2
    assert "the common ancestor of" in actual.err
    follow(actual.err.partition("hint: ")[2].strip(), clone)
    assert (
        toolkit(clone.path, "diff", "--json", "change").json["recommendation"]
        == "toolkit deploy-app app"
    )


def test_the_fetch_of_a_hint_names_a_remote_that_there_is(repo: Repo, tmp_path: Path) -> None:
    clone = repo.clone(tmp_path / "clone")
    clone.git("remote", "rename", "origin", "up stream;x".replace(" ", "-"))
    with pytest.raises(MissingCommit) as caught:
        opened(clone).resolve("1" * 40)
    assert sentence(caught.value.next) == f"get it with: git fetch 'up-stream;x' {'1' * 40}"


@pytest.fixture
def served(repo: Repo) -> Repo:
    """Two commits that change rules.toml, and a remote that lets others leave objects out."""
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    rules = RULES.replace('paths = ["lambda/**"]', 'paths = ["lambda/**", "backend/src/**"]')
    repo.commit("second", {"backend/src/app.py": "new\n", "rules.toml": rules})
    return repo


@pytest.mark.parametrize(
    "args",
    [
        ("diff", "HEAD~1"),
        ("diff", "HEAD~1..HEAD"),
        ("diff", "--committed", "HEAD~1"),
        ("rules", "replay"),
        ("explain", "backend/src/app.py"),
    ],
    ids=" ".join,
)
def test_a_clone_without_folders_says_so_with_the_fetch_that_gets_them(
    served: Repo, tmp_path: Path, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    """A treeless clone: never an empty answer, and never a fetch of our own."""
    clone = served.clone(tmp_path / "clone", "--filter=tree:0")
    actual = toolkit(clone.path, *args)
    assert (actual.code, actual.out) == (2, "")
    assert "is not in this clone" in actual.err
    follow(actual.err.partition("hint: ")[2].strip(), clone)
    assert toolkit(clone.path, *args).code == 0


def test_a_clone_without_contents_compares_all_the_same(
    served: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    clone = served.clone(tmp_path / "clone", "--filter=blob:none")
    clone.write({"lambda/login/handler.py": "edited\n"})
    json = toolkit(clone.path, "diff", "--json", "HEAD").json
    assert json["recommendation"] == "toolkit deploy-stack api"


def test_a_clone_without_the_old_rules_says_so_with_the_fetch_that_gets_them(
    served: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    """That they are new would be a lie: what the old ones called for would be missed."""
    clone = served.clone(tmp_path / "clone", "--filter=blob:none")
    actual = toolkit(clone.path, "diff", "HEAD~1")
    assert (actual.code, actual.out) == (2, "")
    follow(actual.err.partition("hint: ")[2].strip(), clone)
    assert "its old and its new rules both count" in toolkit(clone.path, "diff", "HEAD~1").out


@pytest.mark.parametrize("of", ["HEAD^{tree}", "HEAD~1^{tree}", "HEAD:backend/src", "HEAD~1"])
def test_a_damaged_object_is_an_error_with_gits_words(
    served: Repo, toolkit: Toolkit, of: str
) -> None:
    name = served.git("rev-parse", of)
    path = served.path / ".git/objects" / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(b"no object")
    actual = toolkit(served.path, "diff", "HEAD~1..HEAD")
    assert (actual.code, actual.out) == (2, "")


# Lists


def test_a_content_is_read_at_a_commit_from_any_folder(repo: Repo) -> None:
    git = Git.open(str(repo.path / "cdk"))
    head = git.require_head()
    assert git.blob(head, "backend/src/app.py") == b"app\n"
    assert git.blob(head, "rules.toml") == RULES.encode()
    for missing in ("nothing", "backend/src", "backend", ":(top)rules.toml", "*", "-x"):
        assert git.blob(head, missing) is None, missing


def test_the_tracked_files_are_those_of_the_index_or_of_a_commit(repo: Repo) -> None:
    repo.write({b"caf\xe9\n": "x", "untracked": "x"})
    repo.git("add", b"caf\xe9\n")
    git = Git.open(str(repo.path / "cdk"))
    assert "caf\udce9\n" in git.files()
    assert "untracked" not in git.files()
    assert set(git.files()) - set(git.files("HEAD")) == {"caf\udce9\n"}


def test_the_log_has_every_commit_with_its_changes_newest_first(repo: Repo) -> None:
    commits = [
        repo.git("rev-parse", "HEAD"),
        repo.commit("empty"),
        repo.commit("odd", {b"\n:100644 \xe9": "x"}),
    ]
    actual = list(opened(repo).log(["HEAD"], None))
    assert [commit for commit, _ in actual] == commits[::-1]
    assert [[change.path for change in changes] for _, changes in actual[:2]] == [
        ["\n:100644 \udce9"],
        [],
    ]
    assert len(actual[2][1]) == 7
    assert len(list(opened(repo).log(["HEAD"], 2))) == 2


@pytest.mark.parametrize("setting", ["off", "separate", "dense-combined", "first-parent"])
def test_the_log_takes_merges_against_their_first_parent(repo: Repo, setting: str) -> None:
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit("on the branch", {"backend/src/app.py": "new\n"})
    repo.git("checkout", "-q", "main")
    repo.commit("on main", {"lambda/login/handler.py": "new\n"})
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "feature")
    repo.git("config", "log.diffMerges", setting)
    actual = list(opened(repo).log(["HEAD"], None))
    assert [[change.path for change in changes] for _, changes in actual[:2]] == [
        ["backend/src/app.py"],
        ["lambda/login/handler.py"],
    ]
    assert len(actual) == 3


def test_a_log_that_fails_half_way_raises_after_what_was_read(repo: Repo) -> None:
    """Never a shorter history that looks whole."""
    for position in range(3):
        repo.commit(f"{position}", {"a": f"{position}"})
    tree = repo.git("rev-parse", "HEAD~1^{tree}")
    (repo.path / ".git/objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(GitError):
        list(opened(repo).log(["HEAD"], None))


def test_a_submodule_is_told_by_its_mode(repo: Repo) -> None:
    commit = repo.git("rev-parse", "HEAD")
    repo.git("update-index", "--add", "--cacheinfo", f"{GITLINK},{commit},sub")
    repo.git("commit", "-q", "-m", "sub")
    (change,) = opened(repo).diff_trees("HEAD~1", "HEAD")
    assert (change.path, change.letter, change.new_mode, change.new_id) == (
        "sub",
        "A",
        GITLINK,
        commit,
    )


def test_a_stash_is_no_untracked_file(repo: Repo) -> None:
    """`status.showStash` puts a line of its own into the machine-readable format as well."""
    repo.git("config", "status.showStash", "true")
    repo.git("config", "status.branch", "true")
    repo.write({"backend/src/app.py": "new\n"})
    repo.git("stash", "-q")
    assert opened(repo).status() == []


def test_an_untracked_repository_is_one_path_as_a_submodule_is(repo: Repo) -> None:
    Repo.make(repo.path / "vendor/lib", {"a": "x"}, rules=None)
    assert [state.path for state in opened(repo).status()] == ["vendor/lib"]


def test_people_are_told_of_commits_that_touched_a_path(repo: Repo) -> None:
    base = repo.git("rev-parse", "HEAD")
    commit = repo.commit("Faster search", {"backend/src/app.py": "new\n"})
    head = repo.commit("Another", {"lambda/login/handler.py": "new\n"})
    git = opened(repo)
    (actual,) = git.commits([base], head, ["backend/src/app.py"], 5)
    assert (actual.id, actual.author, actual.summary, actual.when.isoformat()) == (
        commit,
        "Ada",
        "Faster search",
        "2026-01-02T03:04:05+00:00",
    )
    last = git.last_commit("lambda/login/handler.py")
    assert last is not None
    assert last.id == head
    assert git.last_commit("nothing") is None


def test_people_are_told_of_in_a_bare_repository(
    repo: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    repo.commit("Faster search", {"backend/src/app.py": "new\n"})
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    rules = ("--rules", str(repo.path / "rules.toml"))
    assert "Ada: Faster search" in toolkit(bare.path, "diff", "-v", "HEAD~1..HEAD", *rules).out
    actual = toolkit(bare.path, "rules", "replay", *rules)
    assert (actual.code, actual.err) == (0, "")


def test_people_in_a_bare_repository_that_gitpython_cannot_open_are_an_error(
    repo: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    """It stumbles over a conditional include there, which git follows."""
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    bare.git("config", "includeIf.gitdir:/x.path", "more")
    actual = toolkit(
        bare.path, "diff", "-v", "HEAD..HEAD", "--rules", str(repo.path / "rules.toml")
    )
    assert actual.code == 0
    git = Git.open(str(bare.path), bare=True)
    with pytest.raises(GitError):
        git.last_commit("backend/src/app.py")


def test_a_path_with_magic_in_it_is_taken_literally(repo: Repo) -> None:
    git = opened(repo)
    assert git.last_commit("*") is None
    assert git.last_commit(":(top)rules.toml") is None
    assert git.commits([], git.require_head(), ["back*"], 5) == []


def test_a_lock_left_behind_is_nobodys_hindrance(repo: Repo, toolkit: Toolkit) -> None:
    """H23: another git died."""
    (repo.path / ".git/index.lock").touch()
    (repo.path / ".git/HEAD.lock").touch()
    repo.write({"backend/src/app.py": "new\n", "new": "x"})
    assert (
        toolkit(repo.path, "diff", "--json", "HEAD").json["recommendation"]
        == "toolkit deploy-app app"
    )
    assert toolkit(repo.path, "rules", "replay").code == 0
    assert (repo.path / ".git/index.lock").exists()


def test_a_large_answer_is_read_while_git_writes_it(repo: Repo) -> None:
    """More than any pipe holds, in records that no chunk ends with."""
    names: dict[str | bytes, str | bytes] = {
        f"backend/src/{'n' * 150}{position}": "" for position in range(3_000)
    }
    repo.commit("many", names)
    assert {change.path for change in opened(repo).diff_trees("HEAD~1", "HEAD")} == set(names)


def test_no_git_is_left_behind_when_its_answer_is_not_wanted(repo: Repo) -> None:
    """The rules are read while git is at work; if they are wrong, nobody reads what it says."""
    names: dict[str | bytes, str | bytes] = {
        f"backend/src/{'n' * 150}{position}": "" for position in range(1_000)
    }
    repo.commit("many", {**names, "rules.toml": "x = 1\n"})
    assert process(repo.path, "diff", "HEAD~1..HEAD").code == 2
    deadline = time.monotonic() + 10
    while _working_in(repo.path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _working_in(repo.path) == []


def _working_in(folder: Path) -> list[str]:
    result = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder):
                result.append((entry / "cmdline").read_text())
    return result


def test_what_git_ignores_is_told_of_any_name_there_or_not(repo: Repo) -> None:
    repo.write({".gitignore": "out/\n.env*\n:(top)x\n[ab].txt\n", "deep/.gitignore": "*.log\n"})
    git = Git.open(str(repo.path))
    ignored = ("out/x", ".env.local", "deep/a.log", ":(top)x", "a.txt", "out/caf\udce9\n")
    others = ("README.md", "a.log", "x", "[ab].txt", "-z", ":!x")
    assert git.ignored([*ignored, *others]) == set(ignored)
    assert git.ignored(others) == git.ignored([]) == set()
