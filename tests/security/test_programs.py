"""Which programs run, and what they know: git from where the person put it, with an environment of
known variables (S9, S32).
"""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit, process

PLANTED = (
    "git",
    "git.exe",
    "git.bat",
    "docker",
    "podman",
    "buildah",
    "node",
    "sh",
    "env",
    "python3",
    "python",
)


def plant(folder: Path, mark: Path, *names: str) -> None:
    """Programs that leave a mark."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{mark}\nexit 0\n')
        (folder / name).chmod(0o755)


@pytest.mark.parametrize("path", [".", "", "bin", "./bin", "bin/../bin", "~/bin"])
def test_programs_in_a_relative_folder_of_path_are_not_run(
    repo: Repo, tmp_path: Path, path: str
) -> None:
    """S9: CVE-2023-40590, and its like on every system."""
    mark = tmp_path / "mark"
    plant(repo.path, mark, *PLANTED)
    plant(repo.path / "bin", mark, *PLANTED)
    before = f"{path}{os.pathsep}{os.environ['PATH']}"
    for args in (
        ("diff", "-v", "HEAD"),
        ("explain", "backend/src/app.py"),
        ("rules", "check"),
        ("doctor",),
    ):
        result = process(repo.path, *args, PATH=before)
        assert not mark.exists()
        assert result.code in (0, 1), result.err
    subprocess.run(
        ["git", "--version"], cwd=repo.path, env={"PATH": "."}, capture_output=True, check=False
    )
    assert mark.exists(), "the trap does not work"


def test_without_git_on_an_absolute_path_there_is_no_git(repo: Repo, tmp_path: Path) -> None:
    """S9."""
    plant(repo.path, tmp_path / "mark", *PLANTED)
    result = process(repo.path, "diff", "HEAD", PATH=".")
    assert result.code == 2
    assert "there is no git program on PATH" in result.err
    assert not (tmp_path / "mark").exists()


def test_a_git_on_path_that_is_no_program_is_passed_over(repo: Repo, tmp_path: Path) -> None:
    """A folder, a text and a dangling link of that name."""
    for name in ("folder", "text", "link"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder/git").mkdir()
    (tmp_path / "text/git").write_text("x")
    (tmp_path / "link/git").symlink_to("/no/such/file")
    before = os.pathsep.join(str(tmp_path / name) for name in ("folder", "text", "link"))
    assert (
        process(repo.path, "diff", "HEAD", PATH=f"{before}{os.pathsep}{os.environ['PATH']}").code
        == 0
    )


def test_a_git_that_cannot_be_run_is_told(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "bin/git").chmod(0o755)
    result = process(repo.path, "diff", "HEAD", PATH=str(tmp_path / "bin"))
    assert result.code == 2, result.err


def test_variables_of_git_do_not_lead_elsewhere(repo: Repo, tmp_path: Path) -> None:
    """S32: a hook, an alias or a stranger's .envrc leaves them behind."""
    second = Repo.make(tmp_path / "other", {"elsewhere": "x"})
    repo.write({"backend/src/app.py": "new\n"})
    git_dir = str(second.path / ".git")
    result = process(
        repo.path,
        "diff",
        "--json",
        "HEAD",
        GIT_DIR=git_dir,
        GIT_WORK_TREE=str(second.path),
        GIT_INDEX_FILE=f"{git_dir}/index",
        GIT_OBJECT_DIRECTORY=f"{git_dir}/objects",
        GIT_COMMON_DIR=git_dir,
        GIT_NAMESPACE="x",
        GIT_CEILING_DIRECTORIES=str(repo.path.parent),
        GIT_PREFIX="x/",
        GIT_LITERAL_PATHSPECS="0",
        GIT_ICASE_PATHSPECS="1",
        GIT_CONFIG_PARAMETERS="'core.fsmonitor=touch mark'",
    )
    assert [item["path"] for item in result.json["changes"]] == ["backend/src/app.py"]


@pytest.mark.parametrize(
    "args",
    [
        ("diff", "HEAD"),
        ("diff", "-v", "HEAD~1"),
        ("explain", "backend/src/app.py"),
        ("rules", "replay"),
    ],
    ids=" ".join,
)
def test_variables_that_name_programs_run_none(
    repo: Repo, tmp_path: Path, args: tuple[str, ...]
) -> None:
    """S32."""
    mark = tmp_path / "mark"
    plant(tmp_path / "bin", mark, "evil", "git")
    evil = str(tmp_path / "bin/evil")
    repo.commit(
        "second", {"backend/src/app.py": "two\n", ".gitattributes": "* filter=evil diff=evil\n"}
    )
    repo.write({"backend/src/app.py": "owt\n"})
    names = (
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "GIT_EDITOR",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
        "GIT_PROXY_COMMAND",
        "GIT_SEQUENCE_EDITOR",
        "GIT_PYTHON_GIT_EXECUTABLE",
        "PAGER",
        "EDITOR",
        "SSH_ASKPASS",
        "LD_PRELOAD",
        "PYTHONSTARTUP",
        "SHELL",
    )
    config = {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "filter.evil.clean",
        "GIT_CONFIG_VALUE_0": evil,
    }
    config |= {
        "GIT_CONFIG_KEY_1": "core.fsmonitor",
        "GIT_CONFIG_VALUE_1": evil,
        "GIT_EXEC_PATH": str(tmp_path / "bin"),
    }
    config |= {
        "GIT_TEMPLATE_DIR": str(tmp_path / "bin"),
        "GIT_TRACE2": str(mark),
        "GIT_TRACE": str(mark),
    }
    result = process(repo.path, *args, given=b"", **dict.fromkeys(names, evil), **config)
    assert not mark.exists()
    assert result.code == 0, result.err


def test_the_persons_own_configuration_of_git_counts(repo: Repo, toolkit: Toolkit) -> None:
    """Their excludes, for one: what git ignores for them is no change."""
    home = Path(os.environ["HOME"])
    (home / ".gitconfig").write_text(f"[core]\n\texcludesFile = {home}/ignored\n")
    (home / "ignored").write_text("*.log\n")
    repo.write({"a.log": "x", "a.txt": "x"})
    assert [
        item["path"] for item in toolkit(repo.path, "diff", "--json", "HEAD").json["changes"]
    ] == ["a.txt"]


def test_modules_in_the_repository_are_not_imported(repo: Repo, tmp_path: Path) -> None:
    """The installed `toolkit` starts without the working directory on Python's path."""
    for name in ("click", "msgspec", "git", "tabulate", "toolkit", "sitecustomize", "json"):
        (repo.path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'mark')!r}, 'w').write({name!r})\n"
        )
    script = "from toolkit.cli.main import main; main()"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "diff", "-v", "HEAD"],
        cwd=repo.path,
        env=env,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mark").exists()


def test_nothing_is_written_to_the_repository(repo: Repo, toolkit: Toolkit) -> None:
    """P8: neither the index, which plain `git status` refreshes, nor anything else, also where
    times have changed.
    """
    repo.write({"backend/src/app.py": "new\n", "new": "x"})
    os.utime(repo.path / "README.md")

    def state() -> dict[str, tuple[int, int]]:
        files = (Path(folder, name) for folder, _, names in os.walk(repo.path) for name in names)
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}

    before = state()
    for args in (
        ("diff",),
        ("diff", "HEAD"),
        ("diff", "-v", "HEAD"),
        ("explain", "README.md"),
        ("rules", "check"),
        ("rules", "replay"),
        ("doctor",),
    ):
        assert toolkit(repo.path, *args).code in (0, 1)
    assert state() == before


def test_a_repository_that_cannot_be_written_to_is_read(repo: Repo, tmp_path: Path) -> None:
    """P8: on a read-only file system, or as another user who may only read; as root the index is
    still looked after above.
    """
    repo.write({"backend/src/app.py": "new\n"})
    for folder, _, names in os.walk(repo.path):
        for name in (".", *names):
            path = Path(folder, name)
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    result: Result = process(repo.path, "diff", "-q", "HEAD")
    for folder, _, _ in os.walk(repo.path):
        Path(folder).chmod(0o755)
    assert result.out == "toolkit deploy-app app\n", result.err


def test_git_is_found_where_a_link_leads(repo: Repo, tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(git)
    assert process(repo.path, "diff", "HEAD", PATH=str(tmp_path / "bin")).code == 0
