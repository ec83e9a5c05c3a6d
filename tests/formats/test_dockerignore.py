"""A .dockerignore as docker's reference describes it: last match wins, patterns start at the root,
folders take their content along.
"""

from time import process_time

import pytest

from toolkit.errors import Refused
from toolkit.formats.dockerignore import parse, parse_if_possible


@pytest.mark.parametrize(
    ("text", "out", "output"),
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
        ("[^ab].x", "c.x", "a.x"),
        ("a[^x]b", "a/b ayb", "axb"),
        ("a\\d", "a1", "ad a/"),
        ("a\\w", "a_ az a0", "a- a/"),
        ("a\\D", "ax a/", "a1 aD1"),
        ("a[\\d_]", "a1 a_", "ad"),
        ("[[:digit:]]*", "1 1x", "d :"),
        ("[[:digit:]x][:]", "1: x:", "d:"),
        ("[^[:alpha:]_]", "1", "a _"),
        ("[a[]b", "ab [b", "b"),
        ("a^b", "a^b", "b"),
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
def test_patterns_mean_what_docker_says(text: str, out: str, output: str) -> None:
    ignore = parse(text)
    for path in out.split():
        assert ignore.keeps_out(path), path
    for path in output.split():
        assert not ignore.keeps_out(path), path


def test_a_hash_after_a_space_is_no_comment() -> None:
    assert parse(" # a").keeps_out("# a")


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "[",
        "a\n!  \n",
        "[]",
        "a\\",
        "a\\b",
        "a\\x41",
        "[\\b]",
        "a^b*",
        "[[:foo:]]",
        "[[:digit:]",
    ],
)
def test_a_pattern_that_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"\.dockerignore line \d"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "path", "out"),
    [
        ("node_modules", "node_modules/a/b.js", True),
        ("node_modules", "x/node_modules/b.js", False),
        ("**/node_modules", "x/node_modules/b.js", True),
        ("/src/", "src/a", True),
        ("*.md", "README.md", True),
        ("*.md", "docs/README.md", False),
        ("**/*.py[cod]", "a/b.pyc", True),
        ("# a comment\n\n  a  \n", "a", True),
        ("*\n!src", "src/a", False),
        ("*\n!src", "x/a", True),
        ("!src\n*", "src/a", True),
        ("*.md\n!README.md", "README.md", False),
        ("src\n!src/keep\nsrc/keep/not", "src/keep/not/a", True),
        ("src/**", "src/a/b", True),
        ("src/**", "src", False),
        ("**foo", "a/foo", True),
        ("foo**", "foobar", True),
        (".", "a", False),
        ("a\n! a", "a", False),
    ],
)
def test_the_last_line_that_matches_decides(text: str, path: str, out: bool) -> None:
    assert parse(text).keeps_out(path) is out


def test_a_file_that_docker_refuses_keeps_nothing_out_where_it_is_only_looked_at() -> None:
    assert not parse_if_possible("a\n[").keeps_out("a")


def test_what_is_known_of_a_folder_holds_for_the_other_paths_in_it_only() -> None:
    ignore = parse("**/a/b*\n!**/a/bc")
    paths = ("x/a/b", "x/a/bc", "x/a/c", "x/a/bd/e", "x/a/bc/e", "x/ab", "x/a/b")
    assert [ignore.keeps_out(path) for path in paths] == [
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "text", ["^" * 200_000, "[a]" * 300_000, "[" + "[:" * 300_000, "[[:digit:]]" * 50_000]
)
def test_a_hostile_pattern_is_read_in_no_time(text: str) -> None:
    began = process_time()
    parse_if_possible(text)
    assert process_time() - began < 10
