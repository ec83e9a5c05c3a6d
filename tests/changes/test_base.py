"""Which two points are compared, and what is said where one of them is not there."""

from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit
from toolkit.changes import base as bases
from toolkit.errors import MissingCommit, NoCommits, UnknownRef, UsageError
from toolkit.model import Base, BaseChoice, BaseKind
from toolkit.ports.git import Git
from toolkit.show.advice import sentence

pytestmark = pytest.mark.slow("git", keep=30, of="file")

APP, LAMBDA, FARGATE = (
    "backend/src/app.py",
    "lambda/login/handler.py",
    "cdk/stacks/fargate_stack.py",
)


def chosen(repo: Repo, text: str | None = None) -> tuple[Base, str | None]:
    return bases.choose(text, Git.open(str(repo.path)))


def named(repo: Repo) -> str | None:
    return chosen(repo)[0].name


@pytest.fixture
def clone(repo: Repo, tmp_path: Path) -> Repo:
    """A clone on a branch `feature` with a commit of its own; `origin/main` has gone on."""
    clone = repo.clone(tmp_path / "clone")
    repo.commit("main goes on", {LAMBDA: "new\n"})
    clone.git("fetch", "-q")
    clone.git("checkout", "-q", "--no-track", "-b", "feature")
    clone.commit("feature", {APP: "new\n"})
    return clone


# Asked for


def test_a_commit_is_compared_with_the_working_tree(repo: Repo) -> None:
    head = repo.git("rev-parse", "HEAD")
    assert chosen(repo, "main") == (Base(BaseKind.REF, "main", (head,), BaseChoice.ASKED), None)


@pytest.mark.parametrize(
    ("text", "sides"),
    [("v1..v2", "v1 v2"), ("v1..", "v1 HEAD"), ("..v1", "HEAD v1"), ("..", "HEAD HEAD")],
)
def test_a_range_is_compared_as_two_trees(repo: Repo, text: str, sides: str) -> None:
    repo.git("tag", "v1")
    repo.commit("second")
    repo.git("tag", "v2")
    repo.commit("third")
    start, end = repo.git("rev-parse", *sides.split()).split()
    assert chosen(repo, text) == (Base(BaseKind.RANGE, text, (start,), BaseChoice.ASKED), end)


def test_a_range_of_three_dots_starts_where_the_sides_parted(clone: Repo) -> None:
    parted = clone.git("merge-base", "feature", "origin/main")
    assert chosen(clone, "origin/main...")[0] == Base(
        BaseKind.RANGE, "origin/main...", (parted,), BaseChoice.MERGE_BASE
    )


def test_two_dots_show_what_a_deploy_would_take_back_and_three_do_not(
    clone: Repo, toolkit: Toolkit
) -> None:
    assert (
        toolkit(clone.path, "diff", "-q", "origin/main..feature").out == "toolkit deploy api app\n"
    )
    assert (
        toolkit(clone.path, "diff", "-q", "origin/main...feature").out == "toolkit deploy-app app\n"
    )


def test_the_base_may_be_the_head(repo: Repo, toolkit: Toolkit) -> None:
    for request in ("HEAD", "HEAD..HEAD", "HEAD...HEAD", "main..", "..main"):
        json = toolkit(repo.path, "diff", "--json", request).json
        assert (json["status"], json["changes"]) == ("clean", [])


def test_the_base_may_be_ahead(repo: Repo, toolkit: Toolkit) -> None:
    """A rollback: what the base has and HEAD has not is a change."""
    live = repo.commit("live", {APP: "new\n", "backend/src/new.py": "x"})
    repo.git("reset", "-q", "--hard", "HEAD~1")
    json = toolkit(repo.path, "diff", "--json", live).json
    assert {item["path"]: item["status"] for item in json["changes"]} == {
        APP: "modified",
        "backend/src/new.py": "deleted",
    }


def test_the_base_may_have_no_common_history(repo: Repo, toolkit: Toolkit) -> None:
    """Two trees can always be compared; where they parted cannot be said."""
    repo.git("checkout", "-q", "--orphan", "other")
    repo.commit("another root", {APP: "other\n"})
    assert toolkit(repo.path, "diff", "-q", "main").out == "toolkit deploy-app app\n"
    actual = toolkit(repo.path, "diff", "main...other")
    assert actual.code == 2
    assert "they have no common ancestor" in actual.err


@pytest.mark.parametrize("text", ["last", "live"])
def test_a_record_that_is_not_kept_is_refused(repo: Repo, text: str) -> None:
    with pytest.raises(UsageError):
        chosen(repo, text)


@pytest.mark.parametrize("text", ["a...b..c", "a..b..c", "....", "a....b"])
def test_what_is_no_range_is_unknown(repo: Repo, text: str) -> None:
    with pytest.raises(UnknownRef):
        chosen(repo, text)


def test_nothing_to_compare_in_a_repository_without_commits(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "repo", rules=None)
    for request in (None, "HEAD", "main", "HEAD..HEAD"):
        with pytest.raises(NoCommits):
            chosen(repo, request)


# By default


def test_the_default_is_where_the_branch_left_the_remotes_main_branch(clone: Repo) -> None:
    parted = clone.git("merge-base", "feature", "origin/main")
    assert chosen(clone) == (
        Base(BaseKind.REF, "origin/main", (parted,), BaseChoice.UPSTREAM),
        None,
    )


def test_an_upstream_is_taken_before_the_remotes_default(clone: Repo) -> None:
    clone.git("branch", "release", "HEAD~1")
    clone.git("branch", "--set-upstream-to=release")
    assert named(clone) == "release"
    clone.git("update-ref", "refs/remotes/origin/release", "HEAD~1")
    clone.git("branch", "--set-upstream-to=origin/release")
    assert named(clone) == "origin/release"


def test_an_upstream_that_is_the_branchs_own_copy_says_nothing_about_what_is_deployed(
    clone: Repo,
) -> None:
    clone.git("update-ref", "refs/remotes/origin/feature", "HEAD")
    clone.git("branch", "--set-upstream-to=origin/feature")
    assert named(clone) == "origin/main"


def test_an_own_copy_with_slashes_in_its_name_is_known_as_one(clone: Repo) -> None:
    clone.git("branch", "-m", "team/feature")
    clone.git("update-ref", "refs/remotes/origin/team/feature", "HEAD")
    clone.git("branch", "--set-upstream-to=origin/team/feature")
    assert named(clone) == "origin/main"


def test_an_upstream_with_the_same_last_word_is_no_copy(clone: Repo) -> None:
    clone.git("branch", "release/feature", "HEAD~1")
    clone.git("branch", "--set-upstream-to=release/feature")
    assert named(clone) == "release/feature"


def test_an_upstream_that_is_gone_is_passed_over(clone: Repo) -> None:
    clone.git("update-ref", "refs/remotes/origin/gone", "HEAD")
    clone.git("branch", "--set-upstream-to=origin/gone")
    clone.git("update-ref", "-d", "refs/remotes/origin/gone")
    assert named(clone) == "origin/main"


def test_the_remotes_default_may_have_any_name(clone: Repo) -> None:
    clone.git("update-ref", "refs/remotes/origin/trunk/x", "HEAD~1")
    clone.git("remote", "set-head", "origin", "trunk/x")
    assert named(clone) == "origin/trunk/x"


def test_a_remotes_default_that_is_gone_is_passed_over(clone: Repo) -> None:
    clone.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone")
    assert named(clone) == "origin/main"


def test_a_remote_may_have_another_name(clone: Repo) -> None:
    clone.git("remote", "rename", "origin", "upstream")
    clone.git("update-ref", "-d", "refs/remotes/origin/HEAD")
    clone.git("remote", "set-head", "upstream", "main")
    clone.git("update-ref", "-d", "refs/heads/main")
    assert named(clone) == "upstream/main"


@pytest.mark.parametrize("name", ["main", "master"])
def test_without_a_default_the_usual_names_are_tried(clone: Repo, name: str) -> None:
    clone.git("remote", "set-head", "origin", "--delete")
    clone.git("update-ref", "-d", "refs/heads/main")
    clone.git("update-ref", f"refs/remotes/origin/{name}", "origin/main")
    if name == "master":
        clone.git("update-ref", "-d", "refs/remotes/origin/main")
    assert named(clone) == f"origin/{name}"


@pytest.mark.parametrize("name", ["main", "master"])
def test_without_a_remote_the_local_main_branch_is_the_base(repo: Repo, name: str) -> None:
    repo.git("branch", "-m", name)
    repo.git("checkout", "-q", "-b", "feature")
    head = repo.git("rev-parse", "HEAD")
    repo.commit("second", {APP: "new\n"})
    assert chosen(repo)[0] == Base(BaseKind.REF, name, (head,), BaseChoice.UPSTREAM)


def test_on_the_only_branch_there_is_no_base_and_everything_is_due(
    repo: Repo, toolkit: Toolkit
) -> None:
    assert chosen(repo)[0].kind == "none"
    json = toolkit(repo.path, "diff", "--json").json
    assert json["status"] == "unknown"
    assert set(json["states"].values()) == {"unknown"}
    assert {step["target"] for step in json["plan"]["steps"]} == {"app", "infra"}


def test_a_branch_that_only_has_its_own_copy_is_compared_with_that(clone: Repo) -> None:
    """The last resort, and said so."""
    clone.git("remote", "set-head", "origin", "--delete")
    clone.git("update-ref", "refs/remotes/origin/feature", "HEAD")
    clone.git("branch", "--set-upstream-to=origin/feature")
    for ref in ("refs/remotes/origin/main", "refs/heads/main"):
        clone.git("update-ref", "-d", ref)
    assert named(clone) == "origin/feature"


def test_a_detached_head_is_compared_with_the_remotes_default(
    clone: Repo, toolkit: Toolkit
) -> None:
    clone.git("checkout", "-q", "--detach")
    assert named(clone) == "origin/main"
    assert toolkit(clone.path, "diff", "--json").json["head"]["branch"] is None


def test_on_the_main_branch_itself_a_note_says_what_to_name(
    repo: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    clone = repo.clone(tmp_path / "clone")
    assert toolkit(clone.path, "diff", "--json", "change").json["notes"]
    clone.commit("ahead", {APP: "new\n"})
    assert toolkit(clone.path, "diff", "-q", "change").out == "toolkit deploy-app app\n"


def test_a_main_branch_without_common_history_is_an_error(clone: Repo) -> None:
    clone.git("checkout", "-q", "--orphan", "other")
    clone.commit("another root")
    with pytest.raises(UnknownRef):
        chosen(clone)


def test_a_shallow_clone_without_the_merge_base_is_an_error(repo: Repo, tmp_path: Path) -> None:
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit("on the branch", {APP: "new\n"})
    repo.git("checkout", "-q", "main")
    repo.commit("on main", {LAMBDA: "new\n"})
    clone = repo.clone(tmp_path / "clone", "--depth=1", "--no-single-branch", "--branch=feature")
    with pytest.raises(MissingCommit) as caught:
        chosen(clone)
    assert sentence(caught.value.next) == "get it with: git fetch --unshallow origin"


def test_a_shallow_clone_with_the_merge_base_is_compared(
    repo: Repo, tmp_path: Path, toolkit: Toolkit
) -> None:
    """As much as is needed is enough."""
    for position in range(3):
        repo.commit(f"main {position}")
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit("on the branch", {APP: "new\n"})
    clone = repo.clone(tmp_path / "clone", "--depth=2", "--no-single-branch", "--branch=feature")
    clone.git("remote", "set-head", "origin", "main")
    assert toolkit(clone.path, "diff", "-q", "change").out == "toolkit deploy-app app\n"


# Several merge bases


@pytest.fixture
def crossed(repo: Repo) -> Repo:
    """A criss-cross: two branches that each merged the other, so that both old tips are best merge
    bases.
    """
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit("ours", {APP: "ours\n"})
    repo.git("checkout", "-q", "main")
    repo.commit("theirs", {LAMBDA: "theirs\n"})
    repo.git("branch", "old-main")
    repo.git("merge", "-q", "-m", "one way", "feature")
    repo.git("checkout", "-q", "feature")
    repo.git("merge", "-q", "-m", "other way", "old-main")
    return repo


def test_with_several_merge_bases_what_differs_from_any_counts(
    crossed: Repo, toolkit: Toolkit
) -> None:
    crossed.commit("more", {FARGATE: "new\n"})
    json = toolkit(crossed.path, "diff", "--json", "main...feature").json
    assert {item["path"] for item in json["changes"]} == {APP, LAMBDA, FARGATE}
    assert {step["target"] for step in json["plan"]["steps"]} == {"app", "api", "fargate"}
    assert any("2 merge bases" in note for note in json["notes"])


def test_with_several_merge_bases_the_working_tree_counts_too(
    crossed: Repo, toolkit: Toolkit
) -> None:
    crossed.write({FARGATE: "new\n"})
    assert {item["path"] for item in toolkit(crossed.path, "diff", "--json").json["changes"]} == {
        APP,
        LAMBDA,
        FARGATE,
    }


def test_with_several_merge_bases_a_change_is_taken_back_only_if_it_is_for_all(
    crossed: Repo, toolkit: Toolkit
) -> None:
    """One of the two already had the file as it was before."""
    crossed.write({APP: "app\n"})
    assert {item["path"] for item in toolkit(crossed.path, "diff", "--json").json["changes"]} == {
        APP,
        LAMBDA,
    }


def test_with_several_merge_bases_the_rules_of_each_count(crossed: Repo, toolkit: Toolkit) -> None:
    """Only one of the two bases has a rule that sends the file to a target."""
    old = RULES.replace(
        'paths = ["smoke/**"]\nrun = ["smoke-test"]', 'paths = ["smoke/**"]\ndeploy = ["api"]'
    )
    crossed.git("checkout", "-q", "-B", "feature", "old-main~1")
    ours = crossed.commit("ours", {"rules.toml": old})
    crossed.git("checkout", "-q", "-B", "main", "old-main~1")
    theirs = crossed.commit("theirs", {"unrelated.md": "x"})
    crossed.git("merge", "-q", "-m", "one way", ours)
    crossed.git("checkout", "-q", "feature")
    crossed.git("merge", "-q", "-m", "other way", theirs)
    crossed.commit("new rules", {"rules.toml": RULES, "smoke/test.py": "new\n"})
    assert len(crossed.git("merge-base", "--all", "main", "feature").split()) == 2
    assert [
        step["target"]
        for step in toolkit(crossed.path, "diff", "--json", "main...feature").json["plan"]["steps"]
    ] == ["api"]
