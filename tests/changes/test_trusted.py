"""Where the judges of a deploy are read: the trusted base, in every way that a clone can be
made.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.repo import Repo
from toolkit.changes.trusted import TrustedBase, find
from toolkit.errors import NoTrustedBase, UsageError
from toolkit.ports.git import Git
from toolkit.show.advice import sentence

pytestmark = pytest.mark.slow("git", keep=40, of="file")


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may run in a CI themselves."""
    for name in os.environ:
        if name.startswith(("GITHUB_", "CI_", "GITLAB_", "BUILDKITE")):
            monkeypatch.delenv(name)


@pytest.fixture
def hub(tmp_path: Path) -> Repo:
    """What everybody clones: `main`, and `feature` with a commit more."""
    repo = Repo.make(tmp_path / "hub", {"a": "1\n"})
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit("feature", {"a": "2\n"})
    repo.git("tag", "v1")
    repo.git("checkout", "-q", "main")
    return repo


def base(repo: Repo) -> TrustedBase:
    return find(Git.open(str(repo.path)))


def refused(repo: Repo) -> NoTrustedBase:
    with pytest.raises(NoTrustedBase) as raised:
        base(repo)
    return raised.value


def command(problem: NoTrustedBase) -> str:
    """The one command that gets it."""
    return sentence(problem.next).removeprefix("get it with: ")


def mends(repo: Repo, problem: NoTrustedBase) -> TrustedBase:
    """What is trusted once the command that was named has been run as it stands."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    argv = ["sh", "-c", command(problem)]
    subprocess.run(argv, cwd=repo.path, env=env, check=True, capture_output=True)
    return base(repo)


def github(monkeypatch: pytest.MonkeyPatch, folder: Path, event: object) -> None:
    folder.joinpath("event.json").write_text(json.dumps(event))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(folder / "event.json"))


def checked_out_by_ci(hub: Repo, path: Path, ref: str, to: str) -> Repo:
    """As actions/checkout does it: one commit, detached, no branch but that, and no origin/HEAD."""
    repo = Repo.make(path, rules=None)
    repo.git("remote", "add", "origin", f"file://{hub.path}")
    repo.git("fetch", "-q", "--no-tags", "--depth=1", "origin", f"+{ref}:{to}")
    repo.git("checkout", "-q", "--detach", to)
    return repo


def test_without_any_remote_it_is_what_is_checked_out(hub: Repo) -> None:
    hub.git("checkout", "-q", "feature")
    assert base(hub) == TrustedBase("HEAD", hub.head)


def test_where_nothing_is_committed_yet_nothing_is_trusted(tmp_path: Path) -> None:
    assert base(Repo.make(tmp_path / "new", rules=None)) == TrustedBase("HEAD", "")


def test_in_a_clone_it_is_the_default_branch_whatever_is_checked_out(
    hub: Repo, tmp_path: Path
) -> None:
    clone = hub.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "feature")
    assert base(clone) == TrustedBase("origin/main", hub.head)


def test_commits_that_are_not_pushed_are_not_trusted(hub: Repo, tmp_path: Path) -> None:
    clone = hub.clone(tmp_path / "clone")
    clone.commit("mine", {"a": "3\n"})
    assert base(clone).commit == hub.head


def test_the_upstream_of_a_branch_has_no_say(hub: Repo, tmp_path: Path) -> None:
    clone = hub.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "-b", "mine", "--track", "origin/feature")
    assert base(clone).ref == "origin/main"


def test_at_a_tag_it_is_the_default_branch(hub: Repo, tmp_path: Path) -> None:
    clone = hub.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "v1")
    assert base(clone) == TrustedBase("origin/main", hub.head)


def test_a_default_branch_of_another_name_is_known_by_the_remote(hub: Repo, tmp_path: Path) -> None:
    hub.git("checkout", "-q", "feature")
    clone = hub.clone(tmp_path / "clone")
    assert base(clone) == TrustedBase("origin/feature", hub.head)


def test_a_shallow_clone_of_the_default_branch_has_it(hub: Repo, tmp_path: Path) -> None:
    assert base(hub.clone(tmp_path / "clone", "--depth=1")).commit == hub.head


def test_a_shallow_clone_of_another_branch_is_told_the_command_that_gets_it(
    hub: Repo, tmp_path: Path
) -> None:
    clone = hub.clone(tmp_path / "clone", "--depth=1", "--branch=feature")
    problem = refused(clone)
    assert problem.exit == 2
    assert "--depth=1" in command(problem)
    assert mends(clone, problem) == TrustedBase("origin/main", hub.head)


def test_a_clone_of_one_branch_is_told_the_command_that_gets_it(hub: Repo, tmp_path: Path) -> None:
    clone = hub.clone(tmp_path / "clone", "--single-branch", "--branch=feature")
    assert mends(clone, refused(clone)) == TrustedBase("origin/main", hub.head)


def test_without_the_remotes_head_the_usual_names_are_not_guessed(
    hub: Repo, tmp_path: Path
) -> None:
    """Who may push a branch could call it `main`."""
    clone = hub.clone(tmp_path / "clone")
    clone.git("remote", "set-head", "origin", "--delete")
    assert "the default branch of origin" in str(refused(clone))
    assert mends(clone, refused(clone)) == TrustedBase("origin/main", hub.head)


def test_a_remote_head_that_points_at_nothing_is_fetched(hub: Repo, tmp_path: Path) -> None:
    clone = hub.clone(tmp_path / "clone")
    clone.git("update-ref", "-d", "refs/remotes/origin/main")
    problem = refused(clone)
    assert str(problem).startswith(
        "origin/main, whose rules.toml decides how a deploy is judged, is not"
    )
    assert mends(clone, problem) == TrustedBase("origin/main", hub.head)


def test_on_github_the_event_names_the_default_branch(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    github(monkeypatch, tmp_path, {"repository": {"default_branch": "main"}})
    clone = checked_out_by_ci(
        hub, tmp_path / "ci", "refs/heads/feature", "refs/remotes/pull/1/merge"
    )
    problem = refused(clone)
    fetch = "git fetch --depth=1 origin +refs/heads/main:refs/remotes/origin/main"
    assert command(problem) == fetch
    assert mends(clone, problem) == TrustedBase("origin/main", hub.head)


def test_what_a_pull_request_chooses_has_no_say(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"repository": {"default_branch": "main"}, "pull_request": {"base": {"ref": "feature"}}}
    github(monkeypatch, tmp_path, event)
    for name in ("GITHUB_BASE_REF", "CHANGE_TARGET", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"):
        monkeypatch.setenv(name, "feature")
    clone = hub.clone(tmp_path / "clone")
    clone.git("remote", "set-head", "origin", "--delete")
    assert base(clone) == TrustedBase("origin/main", hub.head)


def test_the_target_of_a_pull_request_alone_names_nothing(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_BASE_REF", "feature")
    clone = hub.clone(tmp_path / "clone")
    clone.git("remote", "set-head", "origin", "--delete")
    refused(clone)


@pytest.mark.parametrize(
    "event", [[], {}, {"repository": None}, {"repository": {"default_branch": 7}}]
)
def test_an_event_that_says_nothing_of_it_names_nothing(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: object
) -> None:
    github(monkeypatch, tmp_path, event)
    clone = hub.clone(tmp_path / "clone")
    clone.git("remote", "set-head", "origin", "--delete")
    refused(clone)


@pytest.mark.parametrize(
    "name", ["main:refs/heads/x", "-x", "../main", "main && touch x", "a..b", ""]
)
def test_a_name_that_no_branch_can_have_names_nothing(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    github(monkeypatch, tmp_path, {"repository": {"default_branch": name}})
    clone = hub.clone(tmp_path / "clone")
    clone.git("remote", "set-head", "origin", "--delete")
    assert mends(clone, refused(clone)) == TrustedBase("origin/main", hub.head)


@pytest.mark.parametrize(
    "variables",
    [
        {"GITLAB_CI": "true", "CI_DEFAULT_BRANCH": "main"},
        {"BUILDKITE": "true", "BUILDKITE_PIPELINE_DEFAULT_BRANCH": "main"},
        {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule", "GITHUB_REF_NAME": "main"},
    ],
)
def test_other_ways_of_a_ci_to_name_the_default_branch_are_known(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    clone = checked_out_by_ci(hub, tmp_path / "ci", "refs/heads/main", "refs/remotes/origin/main")
    assert base(clone) == TrustedBase("origin/main", hub.head)


def test_a_variable_of_a_ci_that_this_is_not_has_no_say(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_DEFAULT_BRANCH", "feature")
    clone = hub.clone(tmp_path / "clone")
    clone.git("remote", "set-head", "origin", "--delete")
    refused(clone)


def test_the_remotes_own_head_comes_before_what_the_ci_says(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_DEFAULT_BRANCH", "feature")
    assert base(hub.clone(tmp_path / "clone")).ref == "origin/main"


def test_of_several_remotes_it_is_origin(hub: Repo, tmp_path: Path) -> None:
    clone = hub.clone(tmp_path / "clone")
    fork = hub.clone(tmp_path / "fork")
    fork.commit("theirs", {"a": "9\n"})
    clone.git("remote", "add", "alice", f"file://{fork.path}")
    clone.git("fetch", "-q", "alice")
    clone.git("remote", "set-head", "alice", "--auto")
    assert base(clone) == TrustedBase("origin/main", hub.head)


def test_of_several_remotes_without_an_origin_somebody_has_to_say_which(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = hub.clone(tmp_path / "clone", "--origin=one")
    clone.git("remote", "add", "two", f"file://{hub.path}")
    problem = refused(clone)
    assert "one, two" in str(problem)
    monkeypatch.setenv(*sentence(problem.next).removeprefix("choose a branch: export ").split("="))
    assert base(clone) == TrustedBase("one/main", hub.head)


def test_a_lone_remote_of_another_name_is_the_one(hub: Repo, tmp_path: Path) -> None:
    assert base(hub.clone(tmp_path / "clone", "--origin=up")) == TrustedBase("up/main", hub.head)


def test_in_the_clone_of_a_fork_the_fork_is_trusted_unless_somebody_says_otherwise(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = hub.clone(tmp_path / "fork")
    commit = fork.commit("theirs", {"a": "9\n"})
    clone = fork.clone(tmp_path / "clone")
    clone.git("remote", "add", "upstream", f"file://{hub.path}")
    clone.git("fetch", "-q", "upstream")
    assert base(clone) == TrustedBase("origin/main", commit)
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", "upstream/main")
    assert base(clone) == TrustedBase("upstream/main", hub.head)


@pytest.mark.parametrize("name", ["feature", "refs/heads/feature", "HEAD", "refs/tags/v1", "v1"])
def test_what_somebody_names_is_taken(
    hub: Repo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hub.git("checkout", "-q", "feature")
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", name)
    assert base(hub).commit == hub.head


def test_an_id_is_taken(hub: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", hub.head)
    assert base(hub) == TrustedBase(hub.head, hub.head)


def test_a_tag_that_is_called_like_the_branch_is_not_taken_for_it(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git itself would look among the tags first."""
    hub.git("tag", "origin/main", "feature")
    clone = hub.clone(tmp_path / "clone")
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", "origin/main")
    with pytest.raises(
        UsageError, match=r"refs/remotes/origin/main and refs/tags/origin/main"
    ) as raised:
        base(clone)
    monkeypatch.setenv(
        *sentence(raised.value.next).removeprefix("use its full name: export ").split("=")
    )
    assert base(clone) == TrustedBase("origin/main", hub.head)


@pytest.mark.parametrize("name", ["refs/remotes/origin/HEAD", "refs/remotes/origin/main"])
def test_a_tag_with_the_whole_name_of_the_branch_is_not_taken_for_it(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Git would, where the branch itself is not here; where it is, git finds the name ambiguous."""
    hub.git("tag", name, "feature")
    clone = hub.clone(tmp_path / "clone")
    assert clone.git("rev-parse", f"refs/tags/{name}") != hub.head
    assert base(clone) == TrustedBase("origin/main", hub.head)
    clone.git("remote", "set-head", "origin", "--delete")
    refused(clone)
    github(monkeypatch, tmp_path, {"repository": {"default_branch": "main"}})
    assert base(clone) == TrustedBase("origin/main", hub.head)
    clone.git("update-ref", "-d", "refs/remotes/origin/main")
    assert mends(clone, refused(clone)) == TrustedBase("origin/main", hub.head)


def test_a_ref_that_is_no_commit_is_none(hub: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.git("tag", "tree", "HEAD^{tree}")
    hub.git("tag", "-a", "-m", "said", "annotated", "HEAD")
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", "annotated")
    assert base(hub) == TrustedBase("annotated", hub.head)
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", "tree")
    refused(hub)


@pytest.mark.parametrize("name", ["origin/main", "main", "refs/remotes/origin/main"])
def test_a_ref_that_is_not_here_is_told_with_the_command_that_gets_it(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    clone = hub.clone(tmp_path / "clone", "--depth=1", "--branch=feature")
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", name)
    problem = refused(clone)
    assert str(problem).startswith(f"{name} (TOOLKIT_TRUSTED_REF), whose rules.toml")
    assert mends(clone, problem).commit == hub.head


def test_an_id_and_a_tag_that_are_not_here_are_told_so_too(
    hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = hub.clone(tmp_path / "clone", "--depth=1", "--no-tags")
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", "refs/tags/v1")
    tagged = mends(clone, refused(clone)).commit
    assert tagged == hub.git("rev-parse", "v1")
    commit = hub.commit("later", {"a": "5\n"})
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", commit)
    assert mends(clone, refused(clone)).commit == commit


@pytest.mark.parametrize(
    "name", ["", "HEAD~1", "main@{1}", "--all", ":/x", "a b", "main^{tree}", "/main"]
)
def test_what_cannot_be_a_ref_is_refused(
    hub: Repo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", name)
    with pytest.raises(UsageError, match="TOOLKIT_TRUSTED_REF is"):
        base(hub)


def test_a_replaced_commit_is_read_as_it_was_made(hub: Repo, tmp_path: Path) -> None:
    """`git replace` shows another commit in its place."""
    clone = hub.clone(tmp_path / "clone")
    clone.git("replace", hub.head, "origin/feature")
    trusted = base(clone)
    assert Git.open(str(clone.path)).blob(trusted.commit, "a") == b"1\n"
