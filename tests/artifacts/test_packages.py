"""A folder as a package: what its bytes and its digest depend on, and what is refused."""

import io
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.run import ROOT
from toolkit.artifacts import packages
from toolkit.artifacts.packages import Package
from toolkit.errors import FileProblem, Refused, Stopped


def pack(folder: Path) -> tuple[Package, bytes]:
    """A folder's package, and its bytes."""
    body = io.BytesIO()
    return packages.pack(str(folder), body, lambda: None), body.getvalue()


def names(body: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def write(folder: Path, order: int = 1) -> Path:
    """One tree; `order` turns the order in which its files are written."""
    files = {
        "index.py": "print(1)\n",
        "lib/a.py": "A = 1\n",
        "lib/é.txt": "é\n",
        "run": "#!/bin/sh\n",
    }
    for name in list(files)[::order]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])
    (folder / "run").chmod(0o700)
    return folder


def test_one_tree_is_the_same_package_whatever_its_times_masks_orders_and_caches(
    tmp_path: Path,
) -> None:
    first = pack(write(tmp_path / "first"))
    before = os.umask(0o077)
    try:
        write(tmp_path / "second", -1)
    finally:
        os.umask(before)
    for path in (tmp_path / "second").rglob("*"):
        os.utime(path, (1, 1))
    (tmp_path / "second" / "lib" / "__pycache__").mkdir()
    (tmp_path / "second" / "lib" / "__pycache__" / "a.pyc").write_text("cache")
    (tmp_path / "second" / ".git").write_text("gitdir: elsewhere")
    second = pack(tmp_path / "second")
    assert first == second
    assert names(first[1]) == ["index.py", "lib/a.py", "lib/é.txt", "run"]


def test_its_bytes_are_the_same_with_every_python(tmp_path: Path) -> None:
    package, body = pack(write(tmp_path / "tree"))
    assert (package.sha256, package.content[:12]) == (
        "Jyw4eSr1Pch0TYaKMxbeDdGb5/BNkqqDRgA/ERjZvFE=",
        "679aa56db53e",
    )
    program = (
        "import sys, io; from toolkit.artifacts import packages; body = io.BytesIO();"
        "print(packages.pack(sys.argv[1], body, lambda: None).sha256)"
    )
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "tree")],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == package.sha256
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    assert {entry.compress_type for entry in entries.values()} == {zipfile.ZIP_STORED}
    modes = {name: stat.S_IMODE(entry.external_attr >> 16) for name, entry in entries.items()}
    assert (modes["run"], modes["index.py"]) == (0o755, 0o644)


@pytest.mark.parametrize("change", ["content", "name", "mode", "more", "less"])
def test_another_tree_is_another_package(tmp_path: Path, change: str) -> None:
    tree = write(tmp_path / "tree")
    before = pack(tree)[0]
    if change == "content":
        (tree / "index.py").write_text("print(2)\n")
    elif change == "name":
        (tree / "index.py").rename(tree / "main.py")
    elif change == "mode":
        (tree / "index.py").chmod(0o755)
    elif change == "more":
        (tree / "new.py").write_text("")
    else:
        (tree / "run").unlink()
    after = pack(tree)[0]
    assert before.content != after.content
    assert before.sha256 != after.sha256


def test_contents_above_the_limit_are_compressed_and_have_the_same_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write(tmp_path / "tree")
    (tree / "large").write_bytes(bytes(100_000))
    stored = pack(tree)[0]
    monkeypatch.setattr(packages, "MOST_STORED", 50_000)
    small = pack(tree)[0]
    assert small.size < stored.size
    assert small.content == stored.content


def test_a_link_counts_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree")
    (tree / "lib" / "b.py").symlink_to("a.py")
    assert "lib/b.py" in names(pack(tree)[1])
    with zipfile.ZipFile(io.BytesIO(pack(tree)[1])) as archive:
        assert archive.read("lib/b.py") == b"A = 1\n"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda tree: (tree / "x").symlink_to("/etc/passwd"), "is a link to `/etc/passwd`"),
        (lambda tree: (tree / "x").symlink_to("../secret"), "is a link to `../secret`"),
        (lambda tree: (tree / "x").symlink_to("nothing"), "is a link that leads nowhere"),
        (lambda tree: (tree / "x").symlink_to("lib"), "is a link to a folder"),
        (lambda tree: (tree / "x").symlink_to("x"), "is a link that never ends"),
        (lambda tree: os.mkfifo(tree / "x"), "is not a file, folder or link"),
        (lambda tree: (tree / os.fsdecode(b"\xff")).write_text(""), "is not UTF-8"),
    ],
)
def test_what_is_not_only_in_the_folder_is_refused(tmp_path: Path, make: Any, words: str) -> None:
    tree = write(tmp_path / "tree")
    make(tree)
    with pytest.raises(Refused, match=re.escape(words)):
        pack(tree)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree" / "__pycache__").mkdir(parents=True)
    (tmp_path / "tree" / "__pycache__" / "a.pyc").write_text("")
    with pytest.raises(Refused, match="there are no files to deploy"):
        pack(tmp_path / "tree")


def test_more_than_lambda_unpacks_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write(tmp_path / "tree")
    with (tree / "huge").open("wb") as file:
        file.truncate(packages.MOST_UNPACKED)
    body = io.BytesIO()
    with pytest.raises(Refused, match="Lambda takes at most 250 MB of code"):
        packages.pack(str(tree), body, lambda: None)
    assert body.getvalue() == b""


def test_a_file_that_changes_while_it_is_packed_is_refused(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree")

    def change() -> None:
        with (tree / "lib" / "a.py").open("a") as file:
            file.write("more\n")

    with pytest.raises((Refused, FileProblem), match="has changed"):
        packages.pack(str(tree), io.BytesIO(), change)


def test_packing_ends_when_the_run_is_to_stop(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        packages.pack(str(write(tmp_path / "tree")), io.BytesIO(), stop)


def test_files_that_may_hold_passwords_are_named(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree")
    (tree / ".env").write_text("A=1")
    assert pack(tree)[0].secrets == (".env",)
