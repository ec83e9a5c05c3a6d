"""`rules observe` sees every file that a build reads: held against a list that was made by another
means.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.builds import (
    BUILDS,
    BUNDLED,
    Build,
    needed,
    picked_up,
    rules_for,
    with_packages,
)
from tests.support.repo import Repo
from tests.support.run import Result, process

PACKAGES = os.environ.get("TOOLKIT_TEST_BUNDLERS", "")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")


def observed(folder: Path, *command: str) -> Result:
    return process(folder, "rules", "observe", "--json", "--target", "all", "--", *command)


def made(build: Build, folder: Path) -> Repo:
    """A repository with a build's files; skips where a program is missing."""
    missing = build.missing()
    if missing:
        pytest.skip(f"there is no {missing}")
    folder.mkdir()
    build.write(folder)
    return Repo.make(folder, {}, rules_for("no-such-file"))


def check(build: Build, tmp_path: Path) -> None:
    """All that the result depends on is seen, and nothing that is unused."""
    seen = observed(made(build, tmp_path / "repo").path, *build.command).json["observed"]
    assert (seen["ended"], seen["means"], seen["hidden"]) == (0, "strace", [])
    truth = needed(build, tmp_path)
    assert len(truth) >= 3
    assert truth - set(seen["source"]) == set()
    assert not [path for path in seen["source"] if "unused" in path]
    assert picked_up(build, tmp_path) - set(seen["listed"]) == set()


@needs_strace
@pytest.mark.slow("observed builds", keep=2)
@pytest.mark.parametrize("name", BUILDS)
def test_every_file_that_the_result_depends_on_is_seen(name: str, tmp_path: Path) -> None:
    check(BUILDS[name], tmp_path)


@pytest.mark.slow("bundlers")
@needs_strace
@pytest.mark.skipif(not PACKAGES, reason="TOOLKIT_TEST_BUNDLERS names no folder with bundlers")
@pytest.mark.parametrize("name", BUNDLED)
def test_so_it_is_with_real_bundlers(name: str, tmp_path: Path) -> None:
    check(with_packages(BUNDLED[name], f"{PACKAGES}/node_modules"), tmp_path)


HOOKED = ("Python with modules and data", "node with require, JSON and a link between packages")


@pytest.mark.slow("observed builds", keep=1)
@pytest.mark.parametrize("name", HOOKED)
def test_hooks_see_all_that_node_and_python_read_themselves(name: str, tmp_path: Path) -> None:
    build = BUILDS[name]
    repo = made(build, tmp_path / "repo")
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in ("git", "node"):
        found = shutil.which(program)
        if found is not None:
            (programs / program).symlink_to(found)
    (programs / "python3").symlink_to(os.path.realpath(sys.executable))
    words = ("rules", "observe", "--json", "--", *build.command)
    seen = process(repo.path, *words, PATH=str(programs)).json["observed"]
    assert (seen["ended"], seen["means"]) == (0, "hooks")
    assert needed(build, tmp_path) - set(seen["source"]) == set()
    assert picked_up(build, tmp_path) - set(seen["listed"]) == set()
