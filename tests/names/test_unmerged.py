"""A merge that is not finished: what lies on disk is neither side, and nobody has read it."""

import re
import subprocess

import pytest

from tests.names.shop import PROD, Shop
from tests.support.repo import Repo

pytestmark = pytest.mark.slow("git", keep=6, of="file")

MAIN = "backend/main.py"


def conflict(repo: Repo, how: str) -> None:
    """A conflict in the app's program, as each of these commands leaves it."""
    repo.git("checkout", "-q", "-b", "other")
    repo.commit("other", {MAIN: "theirs\n"})
    repo.git("checkout", "-q", "main")
    if how == "stash":
        repo.git("checkout", "-q", "-b", "away")
        repo.write({MAIN: "stashed\n"})
        repo.git("stash", "-q")
    repo.commit("ours", {MAIN: "ours\n"})
    command = {
        "merge": ["merge", "other"],
        "rebase": ["rebase", "other"],
        "cherry-pick": ["cherry-pick", "other"],
        "stash": ["stash", "pop"],
    }[how]
    with pytest.raises(subprocess.CalledProcessError):
        repo.git(*command)


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize("how", ["merge", "rebase", "cherry-pick", "stash"])
def test_a_conflict_is_told_named_and_refused_in_a_protected_environment(
    shop: Shop, how: str
) -> None:
    conflict(shop.repo, how)
    error, fix = shop.refused(*PROD)
    assert error.startswith("'backend/main.py' has an unresolved merge conflict, and environment")
    assert "resolve it and commit" in fix
    dry = shop("deploy", "web", "--dry-run")
    assert "warning: 'backend/main.py' has an unresolved merge conflict" in dry.out
    assert "<<<<<<< " in shop.deploy()["main.py"]
    assert re.fullmatch(rf"{shop.repo.head}-unmerged-[0-9a-f]{{12}}", shop.tag)


def test_diff_says_which_files_are_in_conflict(shop: Shop) -> None:
    conflict(shop.repo, "merge")
    notes = shop.documents("diff", "HEAD")["notes"]
    assert any(note.startswith("'backend/main.py' is in conflict") for note in notes)


def test_markers_that_were_added_as_if_resolved_are_told_all_the_same(shop: Shop) -> None:
    conflict(shop.repo, "merge")
    shop.repo.git("add", MAIN)
    assert "unresolved merge conflict" in shop.refused(*PROD)[0]
    shop.deploy()
    assert "-unmerged-" in shop.tag


def test_a_merge_that_is_resolved_but_not_committed_is_dirty(shop: Shop) -> None:
    conflict(shop.repo, "merge")
    shop.repo.write({MAIN: "both\n"})
    shop.repo.git("add", MAIN)
    assert shop.refused(*PROD)[0].startswith("the files are not as committed")
    shop.deploy()
    assert "-dirty-" in shop.tag


def test_once_the_merge_is_committed_the_name_is_the_commit_and_it_is_due(shop: Shop) -> None:
    conflict(shop.repo, "merge")
    shop.deploy()
    assert shop.state() == "clean"
    shop.repo.commit("merged", {MAIN: "both\n"})
    assert shop.state() == "due"
    assert shop.deploy()["main.py"] == "both\n"
    assert shop.tag == shop.repo.head


def test_a_conflict_elsewhere_names_only_what_takes_it(shop: Shop) -> None:
    shop.repo.commit("docs", {"docs/page.txt": "x\n"})
    shop.repo.git("checkout", "-q", "-b", "other")
    shop.repo.commit("other", {"docs/page.txt": "theirs\n"})
    shop.repo.git("checkout", "-q", "main")
    shop.repo.commit("ours", {"docs/page.txt": "ours\n"})
    with pytest.raises(subprocess.CalledProcessError):
        shop.repo.git("merge", "other")
    shop.deploy()
    assert shop.tag == shop.repo.head


def test_a_conflict_inside_of_a_submodule_counts(shop: Shop) -> None:
    lib = Repo.make(shop.folder / "lib", {"main.py": "lib\n"}, rules=None)
    allow = ("-c", "protocol.file.allow=always")
    shop.repo.git(*allow, "submodule", "add", "-q", f"file://{lib.path}", "backend/lib")
    shop.repo.commit("with a submodule")
    inner = Repo(shop.repo.path / "backend/lib")
    inner.git("checkout", "-q", "-b", "one")
    inner.commit("one", {"main.py": "one\n"})
    inner.git("checkout", "-q", "-b", "two", "HEAD~1")
    inner.commit("two", {"main.py": "two\n"})
    with pytest.raises(subprocess.CalledProcessError):
        inner.git("merge", "one")
    assert "'backend/lib/main.py' has an unresolved" in shop.refused(*PROD)[0]


def test_a_document_about_conflicts_is_none(shop: Shop) -> None:
    """Committed as it is, it is the commit's own content."""
    text = "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n"
    shop.repo.commit("document", {"backend/howto.txt": text})
    shop.deploy(*PROD)
    assert shop.tag == shop.repo.head
