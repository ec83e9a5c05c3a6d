"""A look at the working tree that has begun before its result is needed, and comparisons of commits
that read no index.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.repo import Repo
from tests.support.run import process
from toolkit.changes import detect
from toolkit.errors import GitError, HeadMoved, UnknownRef
from toolkit.flow.compare import DiffRequest, diff
from toolkit.ports import process as programs_of_ours
from toolkit.ports.git import Git


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """All programs that are started."""
    programs: list[subprocess.Popen[bytes]] = []

    class Popen(programs_of_ours._Popen):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            programs.append(self)

    monkeypatch.setattr(programs_of_ours, "_Popen", Popen)
    return programs


def test_an_error_leaves_no_git_behind(repo: Repo, started: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(UnknownRef):
        diff(DiffRequest(str(repo.path), base="nowhere"), Git.open(str(repo.path)))
    assert {"status", "ls-files"} <= {word for program in started for word in list(program.args)}  # type: ignore[arg-type]
    assert all(program.returncode is not None for program in started)


def test_a_pipe_that_git_would_wait_for_is_an_error_and_leaves_no_git_behind(
    repo: Repo, started: list[subprocess.Popen[bytes]]
) -> None:
    os.mkfifo(repo.path / ".gitignore")
    with pytest.raises(GitError, match="pipe"):
        detect.Look(Git.open(str(repo.path)))
    assert all(program.returncode is not None for program in started)


def test_what_is_done_meanwhile_is_not_done_where_git_has_ended(repo: Repo) -> None:
    done: list[str] = []
    with detect.Look(Git.open(str(repo.path)), lambda: done.append("meanwhile")) as look:
        look._started._status._process.wait()  # it writes nothing here, so it ends by itself
        assert look.finish() == detect.WorkingTree((), ())
    assert not done


def test_a_look_that_has_begun_sees_what_a_look_sees(repo: Repo) -> None:
    repo.write({"backend/src/app.py": "2\n", "new.txt": "new\n"})
    git = Git.open(str(repo.path))
    with detect.Look(git) as look:
        assert look.finish("new.txt") == detect.look(git, "new.txt")


def test_a_look_at_another_head_than_the_one_that_is_known_is_an_error(repo: Repo) -> None:
    git = Git.open(str(repo.path))
    repo.commit(files={"backend/src/app.py": "2\n"})
    with detect.Look(git) as look, pytest.raises(HeadMoved):
        look.finish()


@pytest.mark.parametrize("index", ["split", "sparse", "missing", "damaged"])
def test_commits_are_compared_whatever_the_index_is_like(repo: Repo, index: str) -> None:
    first = repo.head
    repo.commit(files={"backend/src/app.py": "2\n", "lambda/login/handler.py": "2\n"})
    last = repo.commit(files={"backend/src/app.py": "3\n", "cdk/new.py": "1\n"})
    git = Git.open(str(repo.path))
    single, several = list(git.diff_trees(first, last)), list(git.diffs([first, last], last))
    path = repo.path / ".git" / "index"
    if index == "split":
        repo.git("update-index", "--split-index")
        assert list(path.parent.glob("sharedindex.*"))
    elif index == "sparse":
        repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "lambda")
    elif index == "missing":
        path.unlink()
    else:
        path.write_bytes(b"not an index")
    git = Git.open(str(repo.path))
    assert list(git.diff_trees(first, last)) == single
    assert list(git.diffs([first, last], last)) == several == [single, []]
    assert [change.path for change in single] == [
        "backend/src/app.py",
        "cdk/new.py",
        "lambda/login/handler.py",
    ]


def test_a_damaged_index_is_an_error_where_the_working_tree_counts(repo: Repo) -> None:
    (repo.path / ".git" / "index").write_bytes(b"not an index")
    assert process(repo.path, "diff", "HEAD", "--json", "--committed").code == 0
    done = process(repo.path, "diff", "HEAD", "--json")
    assert done.code != 0
    assert "Traceback" not in done.err


def test_nothing_of_git_reads_the_index_for_a_comparison_of_commits(tmp_path: Path) -> None:
    # The name must not be a file, or git would take it for an index.
    assert not os.path.lexists(f"{os.devnull}-without-index")
