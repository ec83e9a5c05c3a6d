"""What a plan depends on: whatever would be deployed changes it, and nothing else does."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from toolkit import flow
from toolkit.changes import source
from toolkit.ports.git import Git

APP = "backend/src/app.py"


def of(repo: Repo, base: str = "HEAD", **request: bool) -> dict[str, str | None]:
    git = Git.open(str(repo.path))
    diff_request = flow.DiffRequest(folder=str(repo.path), base=base, **request)  # type: ignore[arg-type]
    return source.of(flow.diff(diff_request, git), git.root)


def _edit(repo: Repo) -> None:
    repo.write({APP: "newer\n"})


def _same_size_and_time(repo: Repo) -> None:
    times = (repo.path / APP).stat()
    repo.write({APP: "wen\n"})
    os.utime(repo.path / APP, ns=(times.st_atime_ns, times.st_mtime_ns))


def _mode(repo: Repo) -> None:
    (repo.path / APP).chmod(0o755)


def _delete(repo: Repo) -> None:
    (repo.path / APP).unlink()


def _empty(repo: Repo) -> None:
    repo.write({APP: ""})


def _link(repo: Repo) -> None:
    (repo.path / APP).unlink()
    (repo.path / APP).symlink_to("new\n")


def _new_file(repo: Repo) -> None:
    repo.write({"backend/src/other.py": "x"})


def _new_empty_file(repo: Repo) -> None:
    repo.write({"backend/src/empty.py": ""})


def _rename(repo: Repo) -> None:
    (repo.path / "untracked").rename(repo.path / "untracked2")


def _swap(repo: Repo) -> None:
    repo.write({APP: "x", "untracked": "new\n"})


@pytest.mark.parametrize(
    "edit",
    [
        _edit,
        _same_size_and_time,
        _mode,
        _delete,
        _empty,
        _link,
        _new_file,
        _new_empty_file,
        _rename,
        _swap,
    ],
)
def test_any_other_content_of_the_working_tree_changes_it(
    repo: Repo, edit: Callable[[Repo], None]
) -> None:
    repo.write({APP: "new\n", "untracked": "x"})
    before = of(repo)
    assert of(repo) == before
    edit(repo)
    after = of(repo)
    assert after["tree"] != before["tree"]
    assert (after["head"], after["rules"]) == (before["head"], before["rules"])


def test_what_is_staged_or_touched_does_not_change_it(repo: Repo) -> None:
    repo.write({APP: "new\n"})
    before = of(repo)
    repo.git("add", "-A")
    os.utime(repo.path / APP)
    os.utime(repo.path / "README.md")
    assert of(repo) == before


def test_another_commit_changes_it(repo: Repo) -> None:
    before = of(repo)
    repo.commit("empty")
    after = of(repo)
    assert after["head"] == repo.git("rev-parse", "HEAD") != before["head"]
    assert (after["rules"], after["tree"]) == (before["rules"], before["tree"])


def test_another_word_in_the_rules_changes_it(repo: Repo) -> None:
    before = of(repo)
    repo.write({"rules.toml": RULES + "# a word\n"})
    assert of(repo)["rules"] != before["rules"]


def test_a_comparison_of_commits_has_no_working_tree(repo: Repo) -> None:
    before = of(repo, committed=True)
    repo.write({APP: "new\n"})
    assert of(repo, committed=True) == before
    assert of(repo, "HEAD..HEAD")["tree"] == before["tree"]


def test_without_a_repository_there_is_no_tree(repo: Repo) -> None:
    request = flow.DiffRequest(folder=str(repo.path), changes=())
    by_name = source.of(flow.diff(request, None), None)
    assert (by_name["head"], by_name["tree"]) == (None, None)


def test_another_commit_in_a_submodule_changes_it(repo: Repo, tmp_path: Path) -> None:
    inner = Repo.make(tmp_path / "inner", {"a": "x"}, rules=None)
    repo.git(
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        f"file://{inner.path}",
        "sub",
    )
    repo.commit("submodule")
    sub = Repo(repo.path / "sub")
    sub.commit("one", {"a": "1"})
    before = of(repo)
    sub.commit("two", {"a": "2"})
    after = of(repo)
    assert after["tree"] != before["tree"]
    sub.write({"a": "edited"})
    edited = of(repo)
    assert edited["tree"] != after["tree"]
    sub.write({"a": "edited again"})
    assert of(repo)["tree"] != edited["tree"]


@pytest.mark.parametrize("broken", ["gitdir: /no/such/folder\n", "nonsense\n"])
def test_a_folder_that_only_looks_like_a_repository_is_fingerprinted(
    repo: Repo, broken: str
) -> None:
    repo.write({"inner/.git": broken, "inner/a": "x"})
    assert source.content(str(repo.path / "inner")) == "repository "
    (repo.path / "inner/.git").unlink()
    assert source.content(str(repo.path / "inner")) == "repository "


def test_a_link_out_of_the_repository_counts_by_where_it_points(repo: Repo, tmp_path: Path) -> None:
    """What is there is not looked at, and may be anything."""
    (tmp_path / "secret").write_text("one")
    (repo.path / "out").symlink_to(tmp_path / "secret")
    before = of(repo)
    (tmp_path / "secret").write_text("two")
    assert of(repo) == before
    (repo.path / "out").unlink()
    (repo.path / "out").symlink_to("/dev/zero")
    assert of(repo)["tree"] != before["tree"]


def test_names_and_contents_cannot_be_shifted_into_each_other(repo: Repo) -> None:
    repo.write({"ab": "", "c": ""})
    before = of(repo)
    (repo.path / "ab").rename(repo.path / "a")
    (repo.path / "c").rename(repo.path / "bc")
    assert of(repo)["tree"] != before["tree"]
