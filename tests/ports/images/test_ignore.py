"""A .dockerignore as docker's reference describes it: last match wins, patterns start at the root,
folders take their content along.
"""

from pathlib import Path

import pytest

from tests.ports.images.support import built, folder
from toolkit.errors import Refused
from toolkit.ports.images.builtin import plan_build
from toolkit.ports.images.ignore import parse
from toolkit.ports.images.types import Recipe


@pytest.mark.parametrize(
    ("text", "out", "kept"),
    [
        ("# comment\n\n  \n", "", "a #"),
        ("a", "a a/b a/b/c", "b b/a ab"),
        ("a/", "a a/b", "b"),
        ("/a", "a a/b", "b/a"),
        ("./a/../b", "b", "a"),
        ("*.md", "x.md .md x.md/a", "a/x.md x.mdx"),
        ("**/*.md", "x.md a/x.md a/b/x.md", "x.mdx"),
        ("**", "a a/b", ""),
        ("**/a", "a b/a b/c/a b/a/c", "ab"),
        ("a/**", "a/b a/b/c", "a"),
        ("a/**/b", "a/b a/x/b a/x/y/b", "b a/bc"),
        ("**x", "x ax a/x a/bx/c", "y"),
        ("**x*", "x a/xy", "ax y"),
        ("*/temp*", "a/temp a/temp.txt", "temp a/b/temp"),
        ("temp?", "tempa tempb", "temp tempab temp/"),
        ("[ab].x", "a.x b.x", "c.x ab.x"),
        ("[^ab].x", "c.x", "a.x /.x"),
        ("[a-c]", "b", "d"),
        ("a\\*", "a*", "ab"),
        ("*\n!a", "b b/a", "a a/x"),
        ("*.md\n!README.md", "x.md", "README.md"),
        ("*.md\n!README*.md\nREADME-secret.md", "x.md README-secret.md", "README.md README-x.md"),
        ("README-secret.md\n*.md\n!README*.md", "x.md", "README.md README-secret.md"),
        ("a\n!a/b", "a/c a", "a/b a/b/c"),
        ("a\n! a/b ", "a/c", "a/b"),
        (" a ", "a", "b"),
        ("a.b", "a.b", "axb"),
        ("a+(b)|{c}$", "a+(b)|{c}$", "a"),
        ("\ufeffa\r\nb\r\n", "a b", "c"),
    ],
)
def test_patterns_mean_what_docker_says(text: str, out: str, kept: str) -> None:
    ignore = parse(text)
    for path in out.split():
        assert ignore.keeps_out(path), path
    for path in kept.split():
        assert not ignore.keeps_out(path), path


def test_a_hash_after_a_space_is_no_comment() -> None:
    assert parse(" # a").keeps_out("# a")


@pytest.mark.parametrize("text", ["!", "[", "a\n!  \n", "[]"])
def test_a_pattern_that_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"\.dockerignore line \d"):
        parse(text)


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
    made = built(tmp_path, "FROM scratch\nCOPY . /x/", files)
    assert set(made.texts) == {
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
