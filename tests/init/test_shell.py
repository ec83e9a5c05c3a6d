"""Shell texts as commands: nothing is run, and what only a run would tell is not guessed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.init.evidence import UNKNOWN
from toolkit.init.shell import ROOT, Shell, as_variable


def commands(text: str, home: str | None = None, **variables: str) -> list[tuple[str, ...]]:
    return [command.words for command in Shell("", variables, home).read(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b\\\n  c", [("a", "b", "c")]),
        ("a 'b c' \"d $E\"", [("a", "b c", "d {e}")]),
        ("a && b; c | d &\ne", [("a",), ("b",), ("c",), ("d",), ("e",)]),
        ("X=1 a $X", [("a", "{x}")]),
        ("X=1\na $X ${X} ${Y:-2} ${Z:?no}", [("a", "1", "1", "2", "{z}")]),
        ("export X=1; a $X", [("a", "1")]),
        ("a >out 2>&1 </dev/null b", [("a", "b")]),
        ("a # b\n# c\nd", [("a",), ("d",)]),
        ("a <<EOF\nb c\nEOF\nd", [("a",), ("d",)]),
        ("a <<-'X'\n\tb\n\tX\nd", [("a",), ("d",)]),
        ("if a; then b; else c; fi", [("a",), ("b",), ("c",), ("fi",)]),
        ("a $(b c) `d`", [("b", "c"), ("d",), ("a", UNKNOWN, UNKNOWN)]),
        ("for s in a b; do x $s; done", [("x", "a"), ("x", "b"), ("done",)]),
        ("a $1 $((1 + 2))", [("a", UNKNOWN, UNKNOWN)]),
        ("X=$(date)\na $X", [("date",), ("a", "{x}")]),
    ],
)
def test_a_text_is_split_as_a_shell_splits_it(text: str, words: list[tuple[str, ...]]) -> None:
    assert commands(text) == words


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("cd a/b && x", "a/b"),
        ("cd a\ncd ../c; x", "c"),
        ("(cd a && y); x", ""),
        ("y $(cd a && pwd); x", ""),
        ('cd "$(dirname "$0")/.." && x', ""),
        ('cd "$(dirname "${BASH_SOURCE[0]}")"; x', "ops/bin"),
        ("cd $(git rev-parse --show-toplevel)/web; x", "web"),
        ('HERE="$(cd "$(dirname "$0")/.." && pwd)"\ncd "$HERE/lib"; x', "ops/lib"),
        ("cd $WHERE; x", None),
        ("cd /tmp; x", None),
        ("cd $GITHUB_WORKSPACE/a; x", "a"),
    ],
)
def test_a_command_runs_where_the_text_went(text: str, folder: str | None) -> None:
    home = "ops" if "/.." in text and "HERE" not in text else "ops/bin"
    (last,) = [item for item in Shell("", {}, home).read(text) if item.words == ("x",)]
    assert last.folder == folder


def test_a_line_is_that_of_its_text_in_the_file() -> None:
    lines = [(item.line, item.source) for item in Shell("").read("a\n\nb \\\n c\nd", 10)]
    assert lines == [(10, "a"), (12, "b \\"), (14, "d")]


def test_paths_from_the_root_are_marked() -> None:
    assert commands('x "$GITHUB_WORKSPACE/a/../b"') == [("x", f"{ROOT}b")]


@pytest.mark.parametrize(
    ("name", "variable"), [("ECS_CLUSTER", "{ecs_cluster}"), ("a.b-c", "{a_b_c}"), ("1", UNKNOWN)]
)
def test_what_nobody_sets_is_a_variable(name: str, variable: str) -> None:
    assert as_variable(name) == variable


@given(st.text(alphabet="ab $(){}[]<>'\"`\\\n;&|#=-./0", max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    commands(text)


@pytest.mark.parametrize(
    "text",
    ["$(" * 40_000, "`" * 50_000, "${" * 40_000, "'\"" * 40_000, "a <<X\n" * 10_000, "(" * 50_000],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    start = time.process_time()
    commands(text)
    assert time.process_time() - start < 3
