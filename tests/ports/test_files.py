"""The file system: what is read, what is refused, and that writing is whole or not at all."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import ROOT, Toolkit
from toolkit.errors import FileProblem, NoRules
from toolkit.ports import disk, files


def test_rules_are_found_in_the_nearest_folder_above(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "rules.toml").write_text("")
    (tmp_path / "a/.toolkit").mkdir()
    (tmp_path / "a/.toolkit/rules.toml").write_text("")
    assert files.find_rules(str(tmp_path / "a/b/c"), None) == str(
        tmp_path / "a/.toolkit/rules.toml"
    )
    (tmp_path / "a/rules.toml").write_text("")
    assert files.find_rules(str(tmp_path / "a/b/c"), None) == str(tmp_path / "a/rules.toml")
    assert files.find_rules(str(tmp_path), None) == str(tmp_path / "rules.toml")


def test_rules_above_the_repository_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("")
    (tmp_path / "repo/a").mkdir(parents=True)
    with pytest.raises(NoRules):
        files.find_rules(str(tmp_path / "repo/a"), str(tmp_path / "repo"))


def test_rules_are_found_from_a_folder_that_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "repo/a").mkdir(parents=True)
    (tmp_path / "repo/rules.toml").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "repo")
    assert files.find_rules(str(tmp_path / "link/a"), str(tmp_path / "repo")) == str(
        tmp_path / "link/rules.toml"
    )


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_rules_that_are_no_file_are_passed_over(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "a").mkdir()
    make(tmp_path / "a/rules.toml")
    (tmp_path / "rules.toml").write_text("")
    assert files.find_rules(str(tmp_path / "a"), None) == str(tmp_path / "rules.toml")


def test_a_file_is_read_no_further_than_wanted(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    assert files.read(str(tmp_path / "f")) == b"0123456789"
    assert files.read(str(tmp_path / "f"), 4) == b"01234"


@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, lambda path: os.symlink("no", path), lambda path: None],
    ids=["folder", "pipe", "link", "none"],
)
def test_what_is_no_file_is_refused_at_once_with_a_reason(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """A pipe in a stranger's repository would be waited for, for ever."""
    make(tmp_path / "f")
    with pytest.raises(FileProblem) as caught:
        files.read(str(tmp_path / "f"))
    assert caught.value.facts["reason"]


def test_what_the_shell_hands_over_is_read_to_its_end(repo: Repo) -> None:
    """`--paths-from <(git diff …)`: the other end may well be slower than we are."""
    toolkit = f"{sys.executable} -m toolkit"
    script = (
        f"{toolkit} diff -q --rules <(sleep 0.3; cat rules.toml) --paths-from <(sleep 0.3; echo"
        " lambda/a; sleep 0.3; echo backend/src/a)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=repo.path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("toolkit deploy api app --rules /dev/fd/")


def test_an_empty_device_is_an_empty_list(repo: Repo, toolkit: Toolkit) -> None:
    assert toolkit(repo.path, "diff", "--json", "--paths-from", "/dev/null").json["changes"] == []


def test_a_named_pipe_is_refused_not_read_as_empty(repo: Repo, toolkit: Toolkit) -> None:
    """Nobody writes to it yet: an empty answer would be a missed deploy."""
    os.mkfifo(repo.path / "pipe")
    actual = toolkit(repo.path, "diff", "--paths-from", "pipe")
    assert actual.code == 2
    assert "standard input" in actual.err


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    disk.write(str(path), b"one")
    disk.write(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["f"]


def test_a_file_that_is_there_is_not_replaced_unless_said(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    with pytest.raises(FileProblem):
        disk.write(str(path), b"two", replace=False)
    assert path.read_bytes() == b"one"
    disk.write(str(tmp_path / "g"), b"three", replace=False)
    assert sorted(os.listdir(tmp_path)) == ["f", "g"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A committed `plan.json -> ~/.bashrc` would be written through."""
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "f").symlink_to("target")
    disk.write(str(tmp_path / "f"), b"new")
    assert (tmp_path / "target").read_bytes() == b"kept"
    assert (tmp_path / "f").read_bytes() == b"new"


@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/null", path)],
    ids=["folder", "pipe", "device"],
)
def test_what_is_no_file_is_not_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """As root, `--out /dev/null` would put a file in its place."""
    make(tmp_path / "f")
    before = (tmp_path / "f").lstat()
    with pytest.raises(FileProblem):
        disk.write(str(tmp_path / "f"), b"new")
    assert (tmp_path / "f").lstat() == before
    assert os.listdir(tmp_path) == ["f"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    """The disk is full: a limit on the size of files stands in for it."""
    (tmp_path / "f").write_bytes(b"old")
    script = (
        "import resource, signal, sys\n"
        "from toolkit.errors import FileProblem\n"
        "from toolkit.ports import disk\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: disk.write('f', b'x' * 100000)\n"
        "except FileProblem as error: print(error.facts['reason'])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "File too large\n", done.stderr
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileProblem) as caught:
        disk.write(str(tmp_path / "none/f"), b"x")
    assert caught.value.facts["reason"] == "No such file or directory"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", "a"),
        ("a/b", "a/b"),
        (".", "."),
        ("a/../b", "b"),
        ("./a//b", "a/b"),
        ("..", None),
        ("../repo/a", "a"),
        ("../other", None),
        ("../repo-more/a", None),
        ("/etc/passwd", None),
        ("..a", "..a"),
        ("out", "out"),
        ("folder/f", None),
        ("caf\udce9", "caf\udce9"),
    ],
)
def test_a_path_is_seen_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: str | None
) -> None:
    """A link is a path of its own; a folder that a link leads out to is not inside."""
    (tmp_path / "repo").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "repo/out").symlink_to("/etc/passwd")
    (tmp_path / "repo/folder").symlink_to("../elsewhere")
    monkeypatch.chdir(tmp_path / "repo")
    assert files.relative(path, str(tmp_path / "repo")) == expected


def test_the_text_of_a_file_inside_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("text")
    assert files.text_inside(str(tmp_path), "f") == "text"


def test_what_is_not_inside_or_no_text_is_none(tmp_path: Path) -> None:
    """`init` and `doctor` read the repository's files: a link out of it would show a stranger's
    choice of file.
    """
    root = tmp_path / "repo"
    (root / "d").mkdir(parents=True)
    (root / "link").symlink_to("/etc/passwd")
    (root / "d/up").symlink_to("../../secret")
    (tmp_path / "secret").write_text("hunter2")
    (root / "folder").symlink_to("..")
    (root / "bytes").write_bytes(b"\xff")
    (root / "large").write_bytes(b"x" * 11)
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to("loop")
    for name in (
        "link",
        "d/up",
        "folder/secret",
        "bytes",
        "pipe",
        "loop",
        "none",
        "d",
        "../secret",
        "/etc/passwd",
        ".",
    ):
        assert files.text_inside(str(root), name) is None, name
    assert files.text_inside(str(root), "large", 10) is None


def test_rules_larger_than_allowed_are_not_read_whole(tmp_path: Path, toolkit: Toolkit) -> None:
    with (tmp_path / "rules.toml").open("wb") as file:
        file.truncate(1 << 34)
    (tmp_path / "good.toml").write_text(RULES)
    assert "1,048,576 are the most" in toolkit(tmp_path, "rules", "match", "a").err
    assert toolkit(tmp_path, "rules", "match", "a", "--rules", "good.toml").code == 0
