"""`diff` against many recorded commits: git is asked once for all of them, and the answer is the
same bytes every time.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.record import put
from tests.support.repo import Repo
from tests.support.run import process
from toolkit.errors import GitError
from toolkit.flow.compare import DiffRequest, Points, RecordedBase, diff
from toolkit.model import DiffResult, Rules
from toolkit.operations import Verdict
from toolkit.ports.git import Git
from toolkit.record.ledger import Record
from toolkit.record.state import open_store

ENVIRONMENT = """\
version = 1
project = "many"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
"""


def rules(targets: int) -> str:
    parts = [ENVIRONMENT]
    for number in range(targets):
        parts.append(
            f'[targets.t{number}]\nkind = "stack"\nstack = "S{number}"\ncdk = "cdk"\n'
            f'[[rules]]\nname = "r{number}"\npaths = ["d{number}/**"]\ndeploy = ["t{number}"]\n'
        )
    return "\n".join(parts)


def history(path: Path, targets: int) -> tuple[Repo, list[str]]:
    """A repository with a commit for each target, which changes the target after it."""
    repo = Repo.make(path, {"edited.md": "0\n"}, rules(targets))
    commits = [repo.head]
    for number in range(1, targets):
        files = {f"d{number}/file.txt": f"{number}\n", "shared.md": f"{number}\n"}
        commits.append(repo.commit(files=files))
    return repo, commits


def compared(repo: Repo, points: Points, committed: bool = False) -> DiffResult:
    def records(how: str, rules: Rules, environment: str | None) -> Points:
        return points

    return diff(DiffRequest(str(repo.path), committed=committed), Git.open(str(repo.path)), records)


def each_at(commits: Sequence[str]) -> Points:
    return {f"t{number}": (RecordedBase(commit, ""),) for number, commit in enumerate(commits)}


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sequence[str]]]:
    """The commands of all programs that are started."""
    started: list[Sequence[str]] = []

    class CountedProcess(subprocess.Popen[bytes]):
        def __init__(self, command: Sequence[str], *args: Any, **options: Any) -> None:
            started.append(command)
            super().__init__(command, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", CountedProcess)
        yield started


def processes_for(
    path: Path, targets: int, monkeypatch: pytest.MonkeyPatch, committed: bool = False
) -> int:
    repo, commits = history(path, targets)
    repo.write({"edited.md": "edited\n", "new.txt": "new\n"})
    with counted(monkeypatch) as started:
        answer = compared(repo, each_at(commits), committed)
    assert len(answer.base.commits) == targets
    return len(started)


@pytest.mark.parametrize("committed", [False, True])
def test_as_many_git_processes_are_started_for_three_commits_as_for_thirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    few = processes_for(tmp_path / "few", 3, monkeypatch, committed)
    assert processes_for(tmp_path / "many", 30, monkeypatch, committed) == few < 12


def test_commits_that_are_not_in_this_clone_cost_no_process_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    for targets in (3, 30):
        repo, _ = history(tmp_path / str(targets), targets)
        missing = [f"{number:040x}" for number in range(1, targets + 1)]
        with counted(monkeypatch) as started:
            answer = compared(repo, each_at(missing))
        assert set(answer.states.values()) == {"unknown"}
        counts.append(len(started))
    assert counts[0] == counts[1]


def test_commits_from_before_rules_toml_cost_no_process_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    for targets in (3, 30):
        repo = Repo.make(tmp_path / str(targets), {"first.txt": "1\n"}, rules=None)
        commits = [repo.commit(files={"n.txt": f"{number}\n"}) for number in range(targets)]
        repo.commit(files={"rules.toml": rules(targets)})
        with counted(monkeypatch) as started:
            answer = compared(repo, each_at(commits))
        assert any("is new" in str(note) for note in answer.notes)
        counts.append(len(started))
    assert counts[0] == counts[1]


def test_a_file_that_is_edited_back_to_one_of_the_commits_is_compared_with_each(
    tmp_path: Path,
) -> None:
    repo = Repo.make(tmp_path / "repo", {"d0/x": "a\n", "d1/x": "a\n", "d2/x": "a\n"}, rules(3))
    first = repo.head
    second = repo.commit(files={"d0/x": "b\n", "d1/x": "b\n", "d2/x": "b\n"})
    third = repo.commit(files={"d0/x": "c\n", "d1/x": "c\n", "d2/x": "c\n"})
    repo.write({"d0/x": "b\n", "d1/x": "b\n", "d2/x": "b\n"})
    answer = compared(repo, each_at([first, second, third]))
    assert answer.states == {"t0": "due", "t1": "clean", "t2": "due"}


def test_what_is_recorded_at_commits_of_damaged_trees_is_an_error_and_leaves_no_git(
    tmp_path: Path,
) -> None:
    repo, commits = history(tmp_path / "repo", 3)
    tree = repo.git("rev-parse", f"{commits[1]}^{{tree}}")
    (repo.path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(GitError):
        compared(repo, each_at(commits))


@pytest.mark.slow("hash seeds")
def test_the_answer_is_the_same_bytes_whatever_the_order_of_sets(tmp_path: Path) -> None:
    repo, commits = history(tmp_path / "repo", 6)
    state = tmp_path / "state"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TOOLKIT_STATE_DIR", str(state))
        store = open_store("many", str(repo.path))
    for number, commit in enumerate(commits[:4]):
        record = Record(
            f"t{number}",
            "dev",
            "eu-west-1",
            commit,
            commit,
            "",
            f"20260101-000000-{number:04x}",
            "2026-01-01T00:00:00+00:00",
            Verdict.SUCCEEDED,
        )
        put(store, record)
    for options in (["--json"], ["-v"], ["--json", "--committed"], ["last", "--json"]):
        answers = {
            process(
                repo.path, "diff", *options, TOOLKIT_STATE_DIR=str(state), PYTHONHASHSEED=str(seed)
            ).out
            for seed in range(6)
        }
        assert len(answers) == 1
        assert commits[1] in answers.pop() or "-v" in options
