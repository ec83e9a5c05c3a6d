"""Which changes there are: each state that git knows, however the person has configured it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import ROOT, Toolkit, process
from toolkit.changes import detect
from toolkit.errors import UsageError
from toolkit.model import Change, ChangeOrigin, ChangeStatus
from toolkit.ports.git import MOST_PATHS, Git

pytestmark = pytest.mark.slow("git", keep=90, of="file")

APP = "backend/src/app.py"
Found = dict[str, tuple[str, str]]


def found(repo: Repo, base: str = "HEAD") -> Found:
    """Path -> status and origin, between a base and the working tree."""
    return {change.path: (change.status, change.origin) for change in changes(repo, base)}


def changes(repo: Repo, base: str = "HEAD") -> list[Change]:
    git = Git.open(str(repo.path))
    start = git.resolve(base)
    return detect.in_work_tree(
        detect.between([git.diff_trees(start, git.require_head())]), git, (start,)
    )


def committed(repo: Repo, old: str = "HEAD~1", new: str = "HEAD") -> list[Change]:
    git = Git.open(str(repo.path))
    return detect.between([git.diff_trees(git.resolve(old), git.resolve(new))])


# The working tree


def test_nothing_touched_is_nothing_changed(repo: Repo) -> None:
    os.utime(repo.path / APP)
    assert found(repo) == {}


def test_an_edit_is_modified_unstaged_or_staged(repo: Repo) -> None:
    repo.write({APP: "new\n"})
    assert found(repo) == {APP: ("modified", "unstaged")}
    repo.git("add", APP)
    assert found(repo) == {APP: ("modified", "staged")}
    repo.write({APP: "newer\n"})
    assert found(repo) == {APP: ("modified", "unstaged")}


def test_an_edit_of_the_same_size_and_time_is_seen(repo: Repo) -> None:
    """What a build tool that restores times would do. The settings are for file systems that cannot
    tell, and would hide it.
    """
    os.utime(repo.path / APP, (1_000_000_000, 1_000_000_000))
    repo.git("update-index", "--refresh")
    changed = repo.path.stat().st_ctime + 1
    while time.time() < changed:  # git knows the time of a change to the second
        time.sleep(0.05)
    repo.write({APP: "apq\n"})
    os.utime(repo.path / APP, (1_000_000_000, 1_000_000_000))
    for setting in ("core.trustctime=true", "core.trustctime=false", "core.checkStat=minimal"):
        repo.git("config", *setting.split("="))
        assert found(repo) == {APP: ("modified", "unstaged")}


def test_a_new_file_is_added_untracked_or_staged(repo: Repo) -> None:
    repo.write({"a/b/new": "x"})
    assert found(repo) == {"a/b/new": ("added", "untracked")}
    repo.git("add", "-A")
    assert found(repo) == {"a/b/new": ("added", "staged")}


def test_an_intent_to_add_is_added(repo: Repo) -> None:
    repo.write({"new": "x", "empty": ""})
    repo.git("add", "-N", "new", "empty")
    assert found(repo) == {"new": ("added", "unstaged"), "empty": ("added", "unstaged")}


def test_an_ignored_file_is_no_change(repo: Repo) -> None:
    repo.commit("ignore", {".gitignore": "*.log\nbuild/\n"})
    repo.write({"a.log": "x", "build/x": "x", "a.txt": "x"})
    assert found(repo) == {"a.txt": ("added", "untracked")}


def test_a_tracked_file_that_is_ignored_is_one(repo: Repo) -> None:
    repo.commit("ignore", {".gitignore": "*.py\n"})
    repo.write({APP: "new\n"})
    assert found(repo) == {APP: ("modified", "unstaged")}


def test_a_deleted_file_is_deleted_unstaged_or_staged(repo: Repo) -> None:
    (repo.path / APP).unlink()
    assert found(repo) == {APP: ("deleted", "unstaged")}
    repo.git("add", "-A")
    assert found(repo) == {APP: ("deleted", "staged")}


def test_a_deleted_folder_is_every_file_of_it(repo: Repo) -> None:
    repo.git("rm", "-q", "-r", "cdk")
    assert found(repo) == {
        "cdk/app.py": ("deleted", "staged"),
        "cdk/stacks/fargate_stack.py": ("deleted", "staged"),
    }


def test_a_file_in_place_of_a_folder_is_both(repo: Repo) -> None:
    repo.git("rm", "-q", "-r", "cdk")
    repo.write({"cdk": "x"})
    assert found(repo) == {
        "cdk": ("added", "untracked"),
        "cdk/app.py": ("deleted", "staged"),
        "cdk/stacks/fargate_stack.py": ("deleted", "staged"),
    }


def test_a_link_in_place_of_a_file_is_type_changed(repo: Repo) -> None:
    (repo.path / APP).unlink()
    (repo.path / APP).symlink_to("../../README.md")
    assert found(repo) == {APP: ("type-changed", "unstaged")}
    repo.git("add", "-A")
    assert found(repo) == {APP: ("type-changed", "staged")}
    repo.commit("link")
    assert [(change.path, change.status) for change in committed(repo)] == [(APP, "type-changed")]


def test_another_target_of_a_link_is_modified(repo: Repo) -> None:
    (repo.path / "link").symlink_to("a")
    repo.commit("link")
    (repo.path / "link").unlink()
    (repo.path / "link").symlink_to("b")
    assert found(repo) == {"link": ("modified", "unstaged")}


def test_another_mode_is_modified(repo: Repo) -> None:
    (repo.path / APP).chmod(0o755)
    assert found(repo) == {APP: ("modified", "unstaged")}
    repo.commit("mode")
    assert [(change.path, change.status) for change in committed(repo)] == [(APP, "modified")]


def conflict(repo: Repo, theirs: bool = True) -> None:
    """Both sides edit a file, or theirs deletes it."""
    repo.git("checkout", "-q", "-b", "other")
    repo.write({APP: "theirs\n"}) if theirs else (repo.path / APP).unlink()
    repo.commit("theirs")
    repo.git("checkout", "-q", "main")
    repo.commit("ours", {APP: "ours\n"})
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "-q", "other")


@pytest.mark.parametrize("theirs", [True, False], ids=["edited", "deleted"])
def test_a_conflict_is_conflicted_until_it_is_resolved(repo: Repo, theirs: bool) -> None:
    conflict(repo, theirs)
    assert found(repo) == {APP: ("conflicted", "unstaged")}
    assert found(repo, "HEAD~1") == {APP: ("conflicted", "unstaged")}
    repo.git("add", "-A")
    assert found(repo, "HEAD~1") == {APP: ("modified", "staged" if theirs else "committed")}


def test_a_conflict_counts_for_a_rule_of_any_status(repo: Repo, toolkit: Toolkit) -> None:
    conflict(repo)
    repo.write(
        {"rules.toml": RULES.replace('deploy = ["app"]', 'deploy = ["app"]\nchanges = ["deleted"]')}
    )
    assert (
        toolkit(repo.path, "diff", "--json", "HEAD").json["recommendation"]
        == "toolkit deploy-app app"
    )


# What is committed and what the working tree makes of it


def test_a_committed_change_that_the_working_tree_takes_back_is_none(repo: Repo) -> None:
    repo.commit("second", {APP: "new\n"})
    repo.write({APP: "app\n"})
    assert found(repo, "HEAD~1") == {}
    repo.git("add", "-A")
    assert found(repo, "HEAD~1") == {}


@pytest.mark.parametrize("number", [MOST_PATHS, MOST_PATHS + 1])
def test_many_committed_changes_that_the_working_tree_takes_back_are_none(
    repo: Repo, number: int
) -> None:
    before = {f"d/f{index}": "1\n" for index in range(number)}
    repo.commit("before", {**before, "other": "1\n"})
    repo.commit("after", dict.fromkeys([*before, "other"], "2\n"))
    repo.write({**before, "d/f0": "3\n"})
    assert found(repo, "HEAD~1") == {
        "d/f0": ("modified", "unstaged"),
        "other": ("modified", "committed"),
    }


def test_a_committed_file_that_is_deleted_again_is_none(repo: Repo) -> None:
    repo.commit("second", {"new": "x"})
    (repo.path / "new").unlink()
    assert found(repo, "HEAD~1") == {}
    repo.git("add", "-A")
    assert found(repo, "HEAD~1") == {}


def test_a_staged_change_that_the_working_tree_takes_back_is_none(repo: Repo) -> None:
    """It is in the index alone, and nothing is deployed from there."""
    repo.write({APP: "new\n", "new": "x"})
    repo.git("add", "-A")
    repo.write({APP: "app\n"})
    (repo.path / "new").unlink()
    assert found(repo) == {}


def test_a_committed_file_that_is_taken_out_of_the_index_but_kept_is_still_there(
    repo: Repo,
) -> None:
    """`git rm --cached`: git tells of it twice, as deleted and as untracked."""
    repo.commit("second", {"new": "x"})
    repo.git("rm", "-q", "--cached", "new")
    assert found(repo, "HEAD~1") == {"new": ("added", "untracked")}
    assert found(repo) == {"new": ("modified", "untracked")}


def test_a_file_that_is_taken_out_of_the_index_but_kept_counts_as_modified(repo: Repo) -> None:
    """Whether it still is what it was nobody compares: it is called modified, which may be more
    than is true, never less.
    """
    repo.git("rm", "-q", "--cached", APP)
    assert found(repo) == {APP: ("modified", "untracked")}
    repo.write({APP: "new\n"})
    assert found(repo) == {APP: ("modified", "untracked")}


def test_a_file_that_was_deleted_and_is_back_counts_as_modified(repo: Repo) -> None:
    repo.git("rm", "-q", APP)
    repo.commit("gone")
    repo.write({APP: "back\n"})
    assert found(repo, "HEAD~1") == {APP: ("modified", "untracked")}
    repo.git("add", "-A")
    assert found(repo, "HEAD~1") == {APP: ("modified", "staged")}
    repo.write({APP: "app\n"})
    repo.git("add", "-A")
    assert found(repo, "HEAD~1") == {}


def test_a_status_is_that_between_the_base_and_the_working_tree(repo: Repo) -> None:
    """A rule may be for some statuses only: seen from the index or from HEAD they would be
    others.
    """
    (repo.path / APP).unlink()
    (repo.path / APP).symlink_to("x")
    repo.commit("a link", {"new": "x", "edited": "x"})
    (repo.path / APP).unlink()
    repo.write({APP: "a file again\n", "new": "y"})
    repo.git("rm", "-q", "--cached", "edited")
    repo.git("add", "-N", "edited")
    assert found(repo, "HEAD~1") == {
        APP: ("modified", "unstaged"),
        "new": ("added", "unstaged"),
        "edited": ("added", "unstaged"),
    }


# What the index hides


@pytest.mark.parametrize("how", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_the_index_hides_is_a_change(repo: Repo, toolkit: Toolkit, how: str) -> None:
    """Git was told not to look, so toolkit does: it goes into what is built."""
    repo.git("update-index", how, APP)
    repo.write({APP: "edited\n"})
    look = detect.look(Git.open(str(repo.path)))
    assert ([state.path for state in look.hidden], look.paths) == ([APP], (APP,))
    assert found(repo) == {APP: ("modified", "unstaged")}
    assert any(APP in note for note in toolkit(repo.path, "diff", "--json", "HEAD").json["notes"])


@pytest.mark.parametrize("how", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_the_index_hides_and_nobody_edited_is_none(repo: Repo, how: str) -> None:
    repo.git("update-index", how, APP)
    os.utime(repo.path / APP)
    assert found(repo) == {}


def test_a_hidden_file_whose_line_ends_git_converts_is_no_change(repo: Repo) -> None:
    repo.commit("crlf", {".gitattributes": "*.txt text eol=crlf\n", "a.txt": "a\r\n"})
    repo.git("update-index", "--assume-unchanged", "a.txt")
    assert found(repo) == {}
    repo.write({"a.txt": "b\r\n"})
    assert found(repo) == {"a.txt": ("modified", "unstaged")}


def test_a_hidden_file_that_is_a_link_or_executable_now_is_a_change(repo: Repo) -> None:
    repo.commit("more", {"a": "a", "b": "b", "c": "c"})
    repo.git("update-index", "--assume-unchanged", "a", "b", "c")
    (repo.path / "a").unlink()
    (repo.path / "a").symlink_to("b")
    (repo.path / "b").chmod(0o755)
    (repo.path / "c").unlink()
    assert found(repo) == {
        "a": ("type-changed", "unstaged"),
        "b": ("modified", "unstaged"),
        "c": ("deleted", "unstaged"),
    }


def test_a_file_that_is_not_checked_out_is_not_hidden(repo: Repo) -> None:
    repo.git("sparse-checkout", "set", "lambda")
    assert detect.look(Git.open(str(repo.path))).hidden == ()


def test_a_conflict_hides_nothing(repo: Repo) -> None:
    conflict(repo)
    assert detect.look(Git.open(str(repo.path))).hidden == ()


# Moves


def test_a_move_is_both_paths_and_the_new_one_names_the_old(repo: Repo) -> None:
    repo.git("mv", APP, "backend/src/main.py")
    assert found(repo) == {APP: ("deleted", "staged"), "backend/src/main.py": ("added", "staged")}
    repo.commit("moved")
    assert committed(repo) == [
        Change(APP, ChangeStatus.DELETED),
        Change("backend/src/main.py", ChangeStatus.ADDED, APP),
    ]


def test_an_edited_move_is_both_paths(repo: Repo) -> None:
    repo.git("mv", APP, "backend/src/main.py")
    repo.commit("moved", {"backend/src/main.py": "app\nnew\n"})
    assert committed(repo) == [
        Change(APP, ChangeStatus.DELETED),
        Change("backend/src/main.py", ChangeStatus.ADDED),
    ]


def test_a_move_out_of_a_target_calls_for_both(repo: Repo, toolkit: Toolkit) -> None:
    repo.git("mv", APP, "lambda/app.py")
    repo.commit("moved")
    assert (
        toolkit(repo.path, "diff", "--json", "HEAD~1").json["recommendation"]
        == "toolkit deploy api app"
    )


def test_a_move_that_only_changes_case_is_both_paths(repo: Repo) -> None:
    repo.git("mv", APP, "backend/src/App.py")
    repo.commit("moved")
    assert committed(repo) == [
        Change("backend/src/App.py", ChangeStatus.ADDED, APP),
        Change(APP, ChangeStatus.DELETED),
    ]


def test_a_moved_file_that_is_edited_later_keeps_where_it_came_from(repo: Repo) -> None:
    repo.git("mv", APP, "backend/src/main.py")
    repo.commit("moved")
    repo.write({"backend/src/main.py": "edited\n"})
    assert changes(repo, "HEAD~1")[1] == Change(
        "backend/src/main.py", ChangeStatus.ADDED, APP, ChangeOrigin.UNSTAGED
    )


# Submodules


@pytest.fixture
def parent(repo: Repo, tmp_path: Path) -> Repo:
    """The repository with a submodule `lib/sub`, added by its last commit."""
    Repo.make(tmp_path / "inner", {"a": "x"}, rules=None)
    repo.git(
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        f"file://{tmp_path}/inner",
        "lib/sub",
    )
    repo.commit("submodule")
    return repo


def test_an_added_submodule_is_one_path(parent: Repo) -> None:
    assert committed(parent) == [
        Change(".gitmodules", ChangeStatus.ADDED),
        Change("lib/sub", ChangeStatus.ADDED),
    ]
    assert found(parent) == {}


def test_a_removed_submodule_is_one_path(parent: Repo) -> None:
    parent.git("rm", "-q", "lib/sub")
    assert found(parent)["lib/sub"] == ("deleted", "staged")
    parent.commit("removed")
    assert Change("lib/sub", ChangeStatus.DELETED) in committed(parent)


@pytest.mark.parametrize(
    "setting", ["", "diff.ignoreSubmodules", "submodule.lib/sub.ignore", ".gitmodules"]
)
def test_another_commit_in_a_submodule_is_seen_whatever_is_configured(
    parent: Repo, setting: str
) -> None:
    if setting == ".gitmodules":
        parent.git("config", "-f", ".gitmodules", "submodule.lib/sub.ignore", "all")
        parent.commit("ignore")
    elif setting:
        parent.git("config", setting, "all")
    Repo(parent.path / "lib/sub").commit("new", {"a": "new\n"})
    assert found(parent) == {"lib/sub": ("modified", "unstaged")}
    parent.git("add", "-f", "lib/sub")
    assert found(parent) == {"lib/sub": ("modified", "staged")}
    parent.git("-c", "diff.ignoreSubmodules=none", "commit", "-q", "-m", "bump")
    assert committed(parent) == [Change("lib/sub", ChangeStatus.MODIFIED)]


@pytest.mark.parametrize("name", ["a", "new"])
def test_an_uncommitted_file_in_a_submodule_makes_it_modified(parent: Repo, name: str) -> None:
    parent.git("config", "diff.ignoreSubmodules", "all")
    parent.write({f"lib/sub/{name}": "edited\n"})
    assert found(parent) == {"lib/sub": ("modified", "unstaged")}


@pytest.mark.parametrize("how", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_the_index_of_a_submodule_hides_makes_it_modified(
    parent: Repo, how: str
) -> None:
    inside = Repo(parent.path / "lib/sub")
    inside.git("update-index", how, "a")
    assert found(parent) == {}
    inside.write({"a": "edited\n"})
    assert found(parent) == {"lib/sub": ("modified", "unstaged")}


def test_a_submodule_that_is_not_checked_out_is_unchanged(parent: Repo, tmp_path: Path) -> None:
    clone = parent.clone(tmp_path / "clone")
    assert found(clone) == {}
    assert found(clone, "HEAD~1")["lib/sub"] == ("added", "committed")


def test_a_folder_in_place_of_a_submodule_is_type_changed_or_both(parent: Repo) -> None:
    parent.git("rm", "-q", "lib/sub")
    parent.commit("a folder", {"lib/sub/a": "x", "lib/sub/b": "x"})
    assert {(change.path, change.status) for change in committed(parent)} >= {
        ("lib/sub", "deleted"),
        ("lib/sub/a", "added"),
        ("lib/sub/b", "added"),
    }


def test_a_rule_for_the_folder_above_has_the_submodule(parent: Repo, toolkit: Toolkit) -> None:
    parent.write({"rules.toml": RULES.replace('"lambda/**"', '"lambda/**", "lib/sub/**"')})
    Repo(parent.path / "lib/sub").commit("new", {"a": "new\n"})
    assert (
        toolkit(parent.path, "diff", "--json", "HEAD").json["recommendation"]
        == "toolkit deploy-stack api"
    )


# However git is configured, and wherever one stands


@pytest.mark.slow("configurations", keep=15)
@pytest.mark.parametrize(
    "setting",
    [
        "diff.relative=true",
        "diff.renames=copies",
        "diff.renames=false",
        "diff.noprefix=true",
        "diff.mnemonicPrefix=true",
        "diff.ignoreSubmodules=all",
        "diff.submodule=log",
        "diff.orderFile=/no/such/file",
        "diff.algorithm=histogram",
        "diff.autoRefreshIndex=false",
        "diff.external=false",
        "diff.wsErrorHighlight=all",
        "diff.colorMoved=zebra",
        "color.ui=always",
        "color.diff=always",
        "color.status=always",
        "column.ui=always",
        "core.quotePath=true",
        "core.quotePath=false",
        "core.abbrev=4",
        "core.ignoreCase=true",
        "core.preloadIndex=false",
        "core.untrackedCache=true",
        "core.pager=false",
        "core.whitespace=cr-at-eol",
        "log.showRoot=false",
        "log.diffMerges=off",
        "log.follow=true",
        "log.date=relative",
        "log.decorate=full",
        "format.pretty=fuller",
        "status.showUntrackedFiles=no",
        "status.relativePaths=true",
        "status.short=true",
        "status.branch=true",
        "status.renames=copies",
        "status.aheadBehind=true",
        "status.submoduleSummary=true",
        "status.displayCommentPrefix=true",
        "advice.statusHints=true",
        "feature.manyFiles=true",
        "feature.experimental=true",
        "index.version=4",
        "i18n.logOutputEncoding=latin1",
    ],
)
@pytest.mark.parametrize("where", ["repository", "person"])
def test_no_configuration_changes_the_answer(
    repo: Repo, toolkit: Toolkit, setting: str, where: str
) -> None:
    base = repo.git("rev-parse", "HEAD")
    repo.git("mv", "cdk/app.py", "cdk/main.py")
    repo.commit("second", {APP: "new\n", b"backend/caf\xe9": "x"})
    repo.write(
        {
            "lambda/login/handler.py": "new\n",
            "lambda/login/Handler.py": "x",
            "notes/a/b": "x",
            "é": "x",
        }
    )
    repo.git("add", "lambda/login/handler.py")

    def answers() -> list[str]:
        commands = (
            ("diff", "--json", base),
            ("diff", "--json", f"{base}..HEAD"),
            ("rules", "replay", "--json"),
        )
        return [toolkit(repo.path / "cdk", *args).out for args in commands]

    plain = answers()
    key, _, value = setting.partition("=")
    if where == "repository":
        repo.git("config", key, value)
    else:
        section, _, name = key.rpartition(".")
        Path(os.environ["HOME"], ".gitconfig").write_text(f"[{section}]\n\t{name} = {value}\n")
    assert answers() == plain
    assert "caf" in plain[0]
    assert len(plain[2].splitlines()) == 2


def test_paths_are_from_the_root_wherever_one_stands(repo: Repo, toolkit: Toolkit) -> None:
    repo.write({APP: "new\n", "cdk/new": "x"})
    answers = {
        toolkit(folder, "diff", "--json", "HEAD").out.replace("../", "")
        for folder in (repo.path, repo.path / "cdk/stacks")
    }
    assert len(answers) == 1
    assert toolkit(repo.path.parent, "-C", str(repo.path / "cdk"), "diff", "--json", "HEAD").json[
        "changes"
    ]


def test_a_linked_worktree_has_its_own_changes(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    linked = Repo(tmp_path / "linked")
    linked.write({APP: "there\n"})
    repo.write({"lambda/login/handler.py": "here\n"})
    assert found(linked) == {APP: ("modified", "unstaged")}
    assert found(repo) == {"lambda/login/handler.py": ("modified", "unstaged")}


def test_a_linked_worktree_inside_the_repository_is_one_untracked_path(repo: Repo) -> None:
    repo.git("worktree", "add", "-q", "inside")
    assert found(repo) == {"inside": ("added", "untracked")}


def test_a_sparse_checkout_is_not_a_deletion(repo: Repo) -> None:
    repo.git("sparse-checkout", "set", "backend")
    assert not (repo.path / "cdk").exists()
    assert found(repo) == {}
    repo.write({"cdk/new": "x", APP: "new\n"})
    assert found(repo) == {APP: ("modified", "unstaged"), "cdk/new": ("added", "untracked")}


def test_a_bare_repository_compares_commits_only(
    repo: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    repo.commit("second", {APP: "new\n"})
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    rules = ("--rules", str(repo.path / "rules.toml"))
    assert [
        step["target"]
        for step in toolkit(bare.path, "diff", "--json", "HEAD~1..HEAD", *rules).json["plan"][
            "steps"
        ]
    ] == ["app"]
    for args in (("diff",), ("diff", "HEAD~1"), ("diff", "--committed", "HEAD~1")):
        assert (toolkit(bare.path, *args, *rules).code, toolkit(bare.path, *args, *rules).out) == (
            2,
            "",
        )
    assert len(toolkit(bare.path, "rules", "replay", "--json", *rules).out.splitlines()) == 2


@pytest.mark.parametrize(
    "args", [("-C", "rules.toml", "diff"), ("-C", "none", "diff"), ("diff", "-C", "rules.toml")]
)
def test_a_folder_that_is_none_is_told(repo: Repo, toolkit: Toolkit, args: tuple[str, ...]) -> None:
    result = toolkit(repo.path, *args)
    assert (result.code, result.out) == (2, "")
    assert "cannot run in" in result.err


def test_a_working_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = f"rmdir {tmp_path}/gone; exec {sys.executable} -P -m toolkit diff"
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path / "gone",
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the working directory is gone" in done.stderr


# A list of paths


def listed(data: bytes, separator: bytes = b"\n") -> list[str]:
    return [change.path for change in detect.listed(data, separator)]


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"\r\n", []),
        (b"a\nb", ["a", "b"]),
        (b"b\na\nb\n", ["a", "b"]),
        (b"a\r\nb c\r\n", ["a", "b c"]),
        (b"./a\n././b\n", ["a", "b"]),
        (b" a \n", [" a "]),
        (b"-x\n", ["-x"]),
        (b"..a\n...\na..b\n", ["...", "..a", "a..b"]),
        (b"C:\\a\n", ["C:\\a"]),
        (b"caf\xe9\n", ["caf\udce9"]),
        (b'"caf\\351"\n', ["caf\udce9"]),
        (b'"caf\\303\\251"\r\n', ["café"]),
        (b'"a\\nb\\t\\"\\\\\\a\\b\\f\\v\\r"\n', ['a\nb\t"\\\a\b\f\v\r']),
        (b'"a\n', ['"a']),
        (b'"\n', ['"']),
        (b'"a\\"\n', ['"a\\"']),
        (b'"\\x41"\n', ['"\\x41"']),
        (b'"a"\n', ["a"]),
    ],
)
def test_a_path_a_line_with_gits_quotes_undone(data: bytes, paths: list[str]) -> None:
    assert listed(data) == paths


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"", []),
        (b"a\0b\0", ["a", "b"]),
        (b"a\0b", ["a", "b"]),
        (b"a", ["a"]),
        (b"a\nb\0", ["a\nb"]),
        (b'"a"\0', ['"a"']),
        (b"a\r\0", ["a\r"]),
        (b" \0", [" "]),
        (b"a\n\0", ["a\n"]),
        (b"caf\xe9\0", ["caf\udce9"]),
    ],
)
def test_a_path_up_to_each_nul_as_it_is(data: bytes, paths: list[str]) -> None:
    assert listed(data, b"\0") == paths


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../b",
        "a/..",
        "..",
        ".",
        "./",
        "./.",
        "a//b",
        "a/./b",
        "//",
        "a/../../x",
        '"/a"',
        '"..\\057x"',
        '"\\056\\056/x"',
    ],
)
def test_what_is_no_path_of_a_repository_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        listed(path.encode() + b"\n")


def test_a_list_that_ends_in_nul_is_not_read_as_one_path(repo: Repo) -> None:
    """-z was forgotten: what it names would go nowhere."""
    result = process(repo.path, "diff", "--paths-from", "-", given=b"lambda/x\0backend/src/a\0")
    assert result.code == 2
    assert "add -z" in result.err
    with pytest.raises(UsageError):
        listed(b'"a\\000b"\n')


def test_a_list_of_lines_is_not_read_as_one_path(repo: Repo) -> None:
    """-z is too much: the last path's line end says so."""
    result = process(
        repo.path, "diff", "-z", "--paths-from", "-", given=b"lambda/x\nbackend/src/a\n"
    )
    assert result.code == 2
    assert "leave -z out" in result.err


def test_gits_own_lists_come_back_as_they_were(repo: Repo) -> None:
    names: dict[str | bytes, str | bytes] = {
        b"lambda/" + bytes([byte]): "x" for byte in range(1, 256) if byte not in b"/."
    }
    repo.commit("every byte", names)
    expected = sorted(os.fsdecode(os.fsencode(name)) for name in names)
    for options, separator in ((("-z",), b"\0"), ((), b"\n")):
        text = repo.git(
            "-c", "core.quotePath=true", "diff", "--name-only", *options, "HEAD~1", "HEAD"
        )
        assert listed(os.fsencode(text) + separator, separator) == expected
