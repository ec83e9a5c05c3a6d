"""What .dockerignore keeps out is not in an image that the built-in builder makes."""

from pathlib import Path

import pytest

from tests.artifacts.images.support import built, folder
from toolkit.artifacts.images.builtin import plan_build
from toolkit.artifacts.images.types import Recipe
from toolkit.errors import Refused


def test_what_stays_out_is_not_copied(tmp_path: Path) -> None:
    files = {
        ".dockerignore": "**/*.pyc\nout\n!out/in/keep\n",
        "a.py": "",
        "b/c.pyc": "",
        "b/d": "",
        "out/x": "",
        "out/in/keep": "",
        "out/in/y": "",
    }
    created = built(tmp_path, "FROM scratch\nCOPY . /x/", files)
    assert set(created.texts) == {
        "x/.dockerignore",
        "x/Dockerfile",
        "x/a.py",
        "x/b/d",
        "x/out/in/keep",
    }


def test_a_source_that_stays_out_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="keeps it out"):
        built(tmp_path, "FROM scratch\nCOPY out/x /", {".dockerignore": "out", "out/x": ""})


def test_the_ignore_file_of_the_dockerfile_wins(tmp_path: Path) -> None:
    root = folder(
        tmp_path,
        {"Dockerfile": "FROM scratch", "Dockerfile.dockerignore": "a", ".dockerignore": "b"},
    )
    ignore = plan_build(Recipe(str(root), ".", "Dockerfile")).ignore
    assert (ignore.keeps_out("a"), ignore.keeps_out("b")) == (True, False)
    (root / "Dockerfile.dockerignore").unlink()
    ignore = plan_build(Recipe(str(root), ".", "Dockerfile")).ignore
    assert (ignore.keeps_out("a"), ignore.keeps_out("b")) == (False, True)
