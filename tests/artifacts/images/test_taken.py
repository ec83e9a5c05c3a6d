"""Which files of a context go into an image: never fewer than the builder really takes, and no more
where a Dockerfile is plain.
"""

import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.artifacts.images.support import built_in, folder
from toolkit.artifacts.images.taken import EVERYTHING, BuildInputs, copied
from toolkit.errors import Refused

NONE: dict[str, str] = {}


@pytest.mark.parametrize(
    ("dockerfile", "sources"),
    [
        ("FROM x\nCOPY a b/ c* /d/\n", ("a", "b", "c*")),
        ("FROM x\nCOPY . .\n", ("",)),
        ("FROM x\nCOPY ./a/../b /c\n", ("b",)),
        ("FROM x\nCOPY /a ../../b /c/\n", ("a", "b")),
        ('FROM x\nCOPY ["a b", "c", "/d/"]\n', ("a b", "c")),
        ("FROM x\nCOPY --chown=1:1 --chmod=755 a /d\n", ("a",)),
        ("FROM x\nADD https://example.com/x.tgz git@x:y a /d/\n", ("a",)),
        ("FROM x AS y\nCOPY a /\nFROM x\nCOPY --from=y /a /b\n", ("a",)),
        ("FROM x AS y\nCOPY a /\nFROM x\nCOPY b /\n", ("b",)),
        ("FROM x\nCOPY --from=other/image /a /b\n", ()),
        ("FROM x\nARG A=one\nCOPY $A /\n", ("one",)),
        ("FROM x\nARG A\nENV B=${A:-two}\nCOPY $B /\n", ("two",)),
        ("ARG A=one\nFROM x\nARG A\nCOPY ${A}/x /\n", ("one/x",)),
        ("FROM x\nRUN --mount=type=bind,source=a,target=/a true\n", ("a",)),
        ("FROM x\nRUN --mount=type=cache,target=/a true\nCOPY b /\n", ("b",)),
        ("FROM x\nRUN --mount=type=bind,from=y,target=/a true\nCOPY b /\n", ("b",)),
        ("FROM x\nRUN echo a\nWORKDIR /b\nCMD c\n", ()),
        ("# syntax=docker/dockerfile:1\nFROM x\nCOPY a /\n", ("a",)),
        ("FROM x\nENV A=one\nENV A=two B=$A\nCOPY $B /\n", ("one",)),
        ("FROM x AS y\nENV A=one\nFROM y\nCOPY $A /\n", ("one",)),
        ("FROM x AS y\nCOPY a /\nFROM x\nRUN --mount=from=y,target=/b cp /b /c\n", ("a",)),
        ("FROM x\nRUN --mount=type=BIND,source=a,target=/a true\n", ("a",)),
        (
            "FROM x AS y\nCOPY a /\nFROM x AS y\nCOPY b /\nFROM x\nCOPY --from=y /c /\n",
            ("b",),
        ),
        ("FROM x\nCOPY a\u3000b\xa0c /\n", ("a\u3000b\xa0c",)),
        ("FROM x AS y\nONBUILD COPY a /\nCOPY b /\n", ("b",)),
        (f"FROM x\nCOPY --from={'9' * 5000} /a /b\nCOPY c /\n", ("c",)),
    ],
)
def test_the_sources_of_a_dockerfile(dockerfile: str, sources: tuple[str, ...]) -> None:
    assert copied(dockerfile, None, NONE) == sources


@pytest.mark.parametrize(
    "dockerfile",
    [
        "",
        "FROM\n",
        "COPY a /\n",
        "FROM x\nCOPY $HOME /\n",
        "FROM x\nENV A=$PATH\nCOPY $A /\n",
        "FROM x\nCOPY --parents a/./b /\n",
        "FROM x AS y\nONBUILD COPY a /\nFROM y\nCOPY b /\n",
        "#!/usr/bin/env x\n# syntax=another/frontend\nFROM x\nCOPY a /\n",
        "FROM x\nARG A=one\nARG A=two B=$A\nCOPY $B /\n",
        "FROM x\nCOPY <<EOF /a\nFROM scratch\nEOF\nCOPY b /\n",
        "FROM x\nRUN <<EOF\nFROM scratch\nEOF\n",
        "FROM x:onbuild\nCOPY a /\n",
        "# syntax=example.com/dockerfile-plus\nFROM x\nINCLUDE+ other\n",
        "FROM x\nINCLUDE other\n",
        "FROM x\nRUN --mount=target=/a --mount=type=cache,target=/b true\n",
        "FROM x\nRUN --mount=type=bind,source=$A,target=/a true\n",
        "FROM x\nCOPY ${A /\n",
        "FROM x\nENV A=one\nARG A=two\nCOPY $A /\n",
        "FROM x\nARG TARGETARCH\nCOPY bin-$TARGETARCH /\n",
        "FROM x\nARG A\nCOPY a$A /\n",
        "# escape=`\n# syntax=example.com/dockerfile-plus\nFROM x\nCOPY a /\n",
    ],
)
def test_what_cannot_be_followed_to_the_letter_takes_everything(dockerfile: str) -> None:
    assert EVERYTHING[0] in copied(dockerfile, None, NONE)


def test_a_stage_that_is_meant_is_the_one_that_counts() -> None:
    dockerfile = "FROM x AS one\nCOPY a /\nFROM x AS two\nCOPY b /\n"
    assert (copied(dockerfile, "one", NONE), copied(dockerfile, None, NONE)) == (("a",), ("b",))
    assert copied(dockerfile, "none", NONE) == EVERYTHING


def test_build_arguments_count_and_those_that_are_filled_in_later_are_not_known() -> None:
    dockerfile = "FROM x\nARG A=one\nCOPY $A /\n"
    assert copied(dockerfile, None, {"A": "two"}) == ("two",)
    assert copied(dockerfile, None, {"A": "{version}"}) == EVERYTHING


def test_another_frontend_may_copy_anything() -> None:
    assert copied("FROM x\nCOPY a /\n", None, {"BUILDKIT_SYNTAX": "other/one"}) == EVERYTHING


@pytest.mark.parametrize("source", ["cfg-*", "current/g*", "current/*", "c*"])
def test_what_a_pattern_reaches_through_links_counts(tmp_path: Path, source: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM x\nCOPY {source} /\n")
    (tmp_path / "real").mkdir()
    (tmp_path / "real/gen").write_text("x")
    (tmp_path / "cfg-a").symlink_to("real")
    (tmp_path / "current").symlink_to("real")
    inputs = BuildInputs(str(tmp_path), "", "Dockerfile", None, NONE)
    assert inputs.takes("real/gen")


def test_what_only_some_builders_keep_out_counts(tmp_path: Path) -> None:
    """Podman reads .containerignore instead; nobody knows here who builds."""
    files = {"Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": "a\nb\n"}
    root = folder(tmp_path / "c", {**files, ".containerignore": "a\n"})
    taken = BuildInputs(str(root), "", "Dockerfile", None, NONE)
    assert [taken.takes(path) for path in ("a", "b", "c")] == [False, True, True]


def test_a_hostile_dockerfile_is_read_in_a_moment() -> None:
    began = time.monotonic()
    for text in ("FROM x\nCOPY " + "$A" * 200_000, "FROM x\n" * 30_000, "--mount=" * 50_000):
        copied(text, None, NONE)
    assert time.monotonic() - began < 10


NAMES = ("a", "b", "d/c", "d/g", "d/e/h", "f.txt")
WORDS = st.sampled_from(
    ("a", "b", "d", "d/", "d/c", "d/e", ".", "*", "d/*", "*.txt", "l", "l/c", "?", "[ab]")
)
LINES = st.lists(
    st.tuples(st.sampled_from(("COPY", "ADD")), st.lists(WORDS, min_size=1, max_size=3)), max_size=3
)
IGNORES = st.lists(
    st.sampled_from(("a", "d", "d/c", "**/h", "*", "!a", "!d/c", "!d", "d/*", "!**/g", "*.txt")),
    max_size=4,
)


@settings(max_examples=150)
@given(lines=LINES, ignored=IGNORES)
def test_what_the_built_in_builder_takes_is_what_counts(
    lines: list[tuple[str, list[str]]], ignored: list[str]
) -> None:
    path = Path(tempfile.mkdtemp())
    try:
        text = "FROM scratch\n" + "".join(
            f"{word} {' '.join(sources)} /{position}/\n"
            for position, (word, sources) in enumerate(lines)
        )
        files = {name: f"content of {name}" for name in NAMES}
        root = folder(path / "context", {"Dockerfile": text, "l -> d": "", **files})
        (root / ".dockerignore").write_text("\n".join(["Dockerfile", ".dockerignore", *ignored]))
        try:
            image = built_in(root, path / "layers")
        except Refused:
            return
        really = {name for name in NAMES if f"content of {name}" in image.texts.values()}
        taken = BuildInputs(str(root), "", "Dockerfile", None, NONE)
        assert {name for name in NAMES if taken.takes(name)} == really
    finally:
        shutil.rmtree(path)
