"""`toolkit sandbox example`: a project to try it on."""

import os
from pathlib import Path

import pytest

from tests.support.run import Toolkit


@pytest.mark.parametrize("name", [".", "new", "deep/er", "named with space"])
def test_the_example_is_written_as_a_repository_whose_rules_are_right(
    toolkit: Toolkit, tmp_path: Path, name: str
) -> None:
    done = toolkit(tmp_path, "sandbox", "example", name)
    assert done.code == 0, done.err
    folder = tmp_path / name
    assert (folder / ".git").is_dir()
    checked = toolkit(folder, "rules", "check")
    assert checked.code == 0, checked.out
    assert "app" in toolkit(folder, "diff", "-q").out


def test_its_folder_is_car_rental_where_none_is_named(toolkit: Toolkit, tmp_path: Path) -> None:
    done = toolkit(tmp_path, "sandbox", "example")
    assert "\n  cd car-rental\n" in done.out
    assert (tmp_path / "car-rental" / "rules.toml").exists()


def test_a_person_without_a_name_in_git_gets_it_all_the_same(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert toolkit(tmp_path, "sandbox", "example").code == 0


@pytest.mark.parametrize("taken", ["folder", "file", "link"])
def test_what_is_there_is_not_touched(toolkit: Toolkit, tmp_path: Path, taken: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine", target_is_directory=True)
    name = {"folder": "mine", "file": "file", "link": "link"}[taken]
    refused = toolkit(tmp_path, "sandbox", "example", name)
    assert (refused.code, f"{name} is not empty" in refused.err) == (2, True), refused
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["work"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_error(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = toolkit(tmp_path, "sandbox", "example", "file/below")
    assert refused.code != 3
    assert refused.err.startswith("error: ")


def test_a_try_that_git_refused_leaves_nothing_in_the_way_of_the_next(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    git = programs / "git"
    git.write_text("#!/bin/sh\necho 'no room' >&2\nexit 128\n")
    git.chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{path}")
    refused = toolkit(tmp_path, "sandbox", "example")
    assert (refused.code, "git init failed: no room" in refused.err) == (2, True), refused
    monkeypatch.setenv("PATH", path)
    assert toolkit(tmp_path, "sandbox", "example").code == 0


def test_the_short_option_for_help_is_that_of_every_command(
    toolkit: Toolkit, tmp_path: Path
) -> None:
    for words in (["-h"], ["diff", "-h"], ["sandbox", "-h"], ["sandbox", "up", "-h"]):
        shown = toolkit(tmp_path, *words)
        assert (shown.code, shown.out.startswith("Usage: toolkit")) == (0, True), words
        assert shown.out == toolkit(tmp_path, *words[:-1], "--help").out
