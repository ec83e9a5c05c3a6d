"""S31: the state folder is ours alone, or nothing is done."""

import os
import stat
from pathlib import Path

import pytest

from toolkit.errors import StateDamaged
from toolkit.ports.files import folder_problem
from toolkit.record.state import decode_file_name, delete_endpoint, file_name, open_store


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))


def test_a_new_store_is_for_its_owner_only(tmp_path: Path) -> None:
    os.umask(before := os.umask(0))
    store = open_store("car rental", str(tmp_path))
    assert stat.S_IMODE(os.stat(store.folder).st_mode) == 0o700 & ~before
    assert stat.S_IMODE(os.stat(tmp_path / "state").st_mode) == 0o700 & ~before
    assert Path(store.folder).name.startswith("car-rental-")


def test_a_project_has_one_store_wherever_it_is_cloned(tmp_path: Path) -> None:
    assert open_store("cars", str(tmp_path / "a")) == open_store("cars", str(tmp_path / "b"))
    assert open_store(None, str(tmp_path / "a")) != open_store(None, str(tmp_path / "b"))
    assert open_store("a b", "/") != open_store("a-b", "/")


def test_a_project_without_a_name_is_its_folder_by_any_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert open_store(None, str(tmp_path / "real")) == open_store(None, str(tmp_path / "link"))


@pytest.mark.parametrize("name", ["../..", "/", ".", "\n", "\x1b[2K", "a" * 300, "\udcff", "é"])
def test_no_name_of_a_project_leads_out_of_the_state_folder(tmp_path: Path, name: str) -> None:
    store = open_store(name, str(tmp_path))
    assert Path(store.folder).parent == tmp_path / "state"
    assert Path(store.folder).is_dir()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o722])
@pytest.mark.parametrize("which", ["above", "own"])
def test_a_folder_that_others_write_to_is_refused(tmp_path: Path, mode: int, which: str) -> None:
    folder = Path(open_store("cars", str(tmp_path)).folder)
    (folder if which == "own" else folder.parent).chmod(mode)
    with pytest.raises(StateDamaged, match="others may write"):
        open_store("cars", str(tmp_path))


@pytest.mark.parametrize("which", ["above", "own"])
def test_a_link_is_refused(tmp_path: Path, which: str) -> None:
    folder = Path(open_store("cars", str(tmp_path)).folder)
    path = folder if which == "own" else folder.parent
    path.rename(tmp_path / "moved")
    path.symlink_to("/" if which == "above" else tmp_path / "moved")
    with pytest.raises(StateDamaged, match="is a link"):
        open_store("cars", str(tmp_path))


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateDamaged, match="is not a folder"):
        open_store("cars", str(tmp_path))


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    actual = os.stat(tmp_path)
    assert folder_problem(actual, actual.st_uid, "x") is None
    assert "another user" in (folder_problem(actual, actual.st_uid + 1, "x") or "")


@pytest.mark.parametrize(
    "parts",
    [("dev", "eu-west-1", "app"), (None, None, "app"), ("a/b", "..", "\udcff é"), ("", "", "")],
)
def test_the_words_can_be_told_from_the_name_of_a_file(parts: tuple[str | None, ...]) -> None:
    assert decode_file_name(file_name(*parts)) == "/".join(
        "-" if part is None else part for part in parts
    )
    assert "/" not in file_name(*parts)


def test_a_long_name_stays_a_possible_one() -> None:
    names = {file_name("x" * 300 + end) for end in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) < 240


def test_each_endpoint_has_a_folder_of_its_own(tmp_path: Path) -> None:
    local = open_store("cars", str(tmp_path))
    sandbox = open_store("cars", str(tmp_path), "http://127.0.0.1:4566")
    second = open_store("cars", str(tmp_path), "http://127.0.0.1:4567")
    assert len({local.folder, sandbox.folder, second.folder}) == 3
    assert local.endpoint is None
    assert sandbox.endpoint == "http://127.0.0.1:4566"


def test_a_project_cannot_pass_for_another_ones_endpoint(tmp_path: Path) -> None:
    sandbox = open_store("cars", str(tmp_path), "http://127.0.0.1:4566")
    assert open_store(Path(sandbox.folder).name, str(tmp_path)).folder != sandbox.folder


def test_a_sandbox_that_is_no_more_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    receipt = [
        open_store("cars", str(tmp_path)),
        open_store("cars", str(tmp_path), "http://127.0.0.1:4567"),
    ]
    gone = [open_store(name, str(tmp_path), "http://127.0.0.1:4566") for name in ("cars", "ships")]
    delete_endpoint("http://127.0.0.1:4566")
    assert all(Path(store.folder).is_dir() for store in receipt)
    assert not any(Path(store.folder).exists() for store in gone)
    delete_endpoint("http://127.0.0.1:4566")


def test_nothing_is_forgotten_through_a_link_of_somebody_else(tmp_path: Path) -> None:
    gone = Path(open_store("cars", str(tmp_path), "http://127.0.0.1:4566").folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    gone.rmdir()
    gone.symlink_to(elsewhere)
    with pytest.raises(StateDamaged):
        delete_endpoint("http://127.0.0.1:4566")
    assert elsewhere.is_dir()
