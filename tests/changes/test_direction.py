"""Which way a deploy goes, on real histories: what is taken out of what is live is told, and
nothing else.
"""

import subprocess
from pathlib import Path

import pytest

from tests.support.repo import Repo
from toolkit.changes.direction import standing
from toolkit.model import Direction, Standing
from toolkit.ports.git import Git
from toolkit.show.advice import sentence


def stands(repo: Repo, live: str, folder: Path | None = None) -> Standing:
    git = Git.open(str(folder or repo.path))
    return standing(live, git.require_head(), lambda path: path.startswith("backend/"), git)


def test_the_same_commit_stands_the_same(repo: Repo) -> None:
    assert stands(repo, repo.head) == Standing(Direction.SAME, repo.head)


def test_new_commits_on_top_of_what_is_live_are_ahead(repo: Repo) -> None:
    live = repo.head
    repo.commit(files={"backend/src/app.py": "2\n"})
    assert stands(repo, live) == Standing(Direction.AHEAD, live)


def test_an_older_commit_is_behind_and_takes_the_newer_ones_out(repo: Repo) -> None:
    first = repo.head
    second = repo.commit(files={"backend/src/app.py": "2\n"})
    live = repo.commit(files={"backend/src/app.py": "3\n"})
    repo.git("checkout", "-q", first)
    actual = stands(repo, live)
    assert (actual.direction, set(actual.lost), actual.backwards) == (
        Direction.BEHIND,
        {second, live},
        True,
    )


def test_an_older_commit_is_no_step_back_where_the_newer_ones_touch_nothing_of_the_target(
    repo: Repo,
) -> None:
    first = repo.head
    live = repo.commit(files={"docs/a.txt": "2\n"})
    repo.git("checkout", "-q", first)
    assert stands(repo, live) == Standing(Direction.BEHIND, live)


def test_a_revert_on_top_of_what_is_live_needs_no_consent(repo: Repo) -> None:
    live = repo.commit(files={"backend/src/app.py": "2\n"})
    repo.git("revert", "--no-edit", live)
    assert not stands(repo, live).backwards


def test_a_squash_of_what_is_live_needs_no_consent(repo: Repo) -> None:
    main = repo.head
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit(files={"backend/src/app.py": "2\n"})
    live = repo.commit(files={"backend/src/app.py": "3\n", "backend/src/new.py": "1\n"})
    repo.git("checkout", "-q", "-B", "main", main)
    repo.git("merge", "-q", "--squash", "feature")
    repo.git("commit", "-q", "-m", "squashed")
    repo.commit(files={"backend/src/app.py": "4\n"})
    actual = stands(repo, live)
    assert (actual.direction, actual.backwards) == (Direction.DIVERGED, False)


def test_a_rebase_of_what_is_live_over_other_changes_of_the_same_file_needs_no_consent(
    repo: Repo,
) -> None:
    lines = [f"line {number}\n" for number in range(30)]
    main = repo.commit(files={"backend/src/app.py": "".join(lines)})
    repo.git("checkout", "-q", "-b", "feature")
    live = repo.commit(files={"backend/src/app.py": "".join([*lines[:-1], "feature\n"])})
    repo.git("checkout", "-q", "-B", "main", main)
    repo.commit(files={"backend/src/app.py": "".join(["mainline\n", *lines[1:]])})
    repo.git("cherry-pick", live)
    actual = stands(repo, live)
    assert (actual.direction, actual.backwards) == (Direction.DIVERGED, False)


def test_another_branch_that_lacks_the_live_change_needs_consent(repo: Repo) -> None:
    main = repo.head
    live = repo.commit(files={"backend/src/app.py": "2\n"})
    repo.git("checkout", "-q", "-b", "other", main)
    repo.commit(files={"lambda/login/handler.py": "2\n"})
    actual = stands(repo, live)
    assert (actual.direction, actual.lost) == (Direction.DIVERGED, (live,))


def test_a_file_that_only_the_live_version_deleted_comes_back_with_consent_only(repo: Repo) -> None:
    main = repo.head
    repo.git("rm", "-q", "backend/src/app.py")
    repo.git("commit", "-q", "-m", "gone")
    live = repo.head
    repo.git("checkout", "-q", "-b", "other", main)
    repo.commit(files={"lambda/login/handler.py": "2\n"})
    assert stands(repo, live).lost == (live,)


def test_a_commit_that_is_not_in_this_clone_is_unknown_and_needs_consent(repo: Repo) -> None:
    actual = stands(repo, "1" * 40)
    assert (actual.direction, actual.backwards) == (Direction.UNKNOWN, True)
    assert sentence(actual.fetch).startswith("git fetch --tags origin ")


def test_a_shallow_clone_says_how_to_get_what_is_missing(repo: Repo, tmp_path: Path) -> None:
    live = repo.head
    repo.commit(files={"backend/src/app.py": "2\n"})
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", f"file://{repo.path}", "shallow"],
        cwd=tmp_path,
        check=True,
    )
    actual = stands(repo, live, tmp_path / "shallow")
    assert actual.backwards
    subprocess.run(
        sentence(actual.fetch).replace("'", "").split(),
        cwd=tmp_path / "shallow",
        check=True,
        capture_output=True,
    )
    assert stands(repo, live, tmp_path / "shallow").direction is Direction.AHEAD


def test_an_unrelated_history_with_the_same_content_needs_no_consent(repo: Repo) -> None:
    live = repo.head
    repo.git("checkout", "-q", "--orphan", "rewritten")
    repo.git("commit", "-q", "-m", "all of it again")
    actual = stands(repo, live)
    assert (actual.direction, actual.backwards) == (Direction.UNRELATED, False)


def test_an_unrelated_history_with_other_content_needs_consent(repo: Repo) -> None:
    live = repo.commit(files={"backend/src/app.py": "2\n"})
    repo.git("checkout", "-q", "--orphan", "rewritten")
    repo.write({"backend/src/app.py": "3\n"})
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "another world")
    assert stands(repo, live).backwards


@pytest.mark.parametrize("many", [False, True])
def test_a_merge_of_the_live_branch_needs_no_consent(repo: Repo, many: bool) -> None:
    files = {f"backend/src/{number}.py": "1\n" for number in range(250 if many else 2)}
    main = repo.head
    repo.git("checkout", "-q", "-b", "feature")
    live = repo.commit(files=files)
    repo.git("checkout", "-q", "-B", "main", main)
    repo.commit(files={"backend/src/app.py": "2\n"})
    repo.git("merge", "-q", "--no-edit", "feature")
    assert stands(repo, live) == Standing(Direction.AHEAD, live)
