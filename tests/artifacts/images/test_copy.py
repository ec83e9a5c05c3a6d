"""Where COPY puts things: docker's rules for files, folders, slashes, wildcards and links."""

from pathlib import Path

import pytest

from tests.artifacts.images.support import Said, built, built_in
from toolkit.errors import Refused

FILES = {
    "a": "A",
    "run.sh*": "R",
    "src/m.py": "M",
    "src/deep/n.py": "N",
    "l -> a": "",
    "ld -> src": "",
}


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        ("COPY a /x", {"x": "A"}),
        ("COPY a /x/", {"x/a": "A"}),
        ("COPY a /", {"a": "A"}),
        ("COPY a x/y/z", {"x/y/z": "A"}),
        ("COPY /a ./../x", {"x": "A"}),
        ("COPY ../a /x", {"x": "A"}),
        ("WORKDIR /w\nCOPY a .", {"w/a": "A"}),
        ("WORKDIR /w\nCOPY a ./", {"w/a": "A"}),
        ("WORKDIR /w\nCOPY a b", {"w/b": "A"}),
        ("WORKDIR /w\nCOPY a /w", {"w/a": "A"}),
        ("WORKDIR /w\nCOPY a /x/.", {"x/a": "A"}),
        ("COPY src /x", {"x/m.py": "M", "x/deep/n.py": "N"}),
        ("COPY src /x/", {"x/m.py": "M", "x/deep/n.py": "N"}),
        ("COPY src/ /x", {"x/m.py": "M", "x/deep/n.py": "N"}),
        ("COPY src/. /x", {"x/m.py": "M", "x/deep/n.py": "N"}),
        ("COPY src /", {"m.py": "M", "deep/n.py": "N"}),
        ("COPY src/*.py /x/", {"x/m.py": "M"}),
        ("COPY src/* /x/", {"x/m.py": "M", "x/n.py": "N"}),
        ("COPY src/d??p /x/", {"x/n.py": "N"}),
        ("COPY [a-b] /x/", {"x/a": "A"}),
        ("COPY a run.sh /x/", {"x/a": "A", "x/run.sh": "R"}),
        ("COPY a src /x/", {"x/a": "A", "x/m.py": "M", "x/deep/n.py": "N"}),
        ('COPY ["a", "/x y"]', {"x y": "A"}),
        ("COPY a /x\nCOPY run.sh /x", {"x": "R"}),
        ("COPY a /x/y\nCOPY src /x", {"x/y": "A", "x/m.py": "M", "x/deep/n.py": "N"}),
        ("COPY l /x/", {"x/l": "A"}),
        ("COPY ld /x/", {"x/m.py": "M", "x/deep/n.py": "N"}),
        ("COPY ld/deep /x", {"x/n.py": "N"}),
        ("COPY ld/*.py /x/", {"x/m.py": "M"}),
        ("COPY l* /x/", {"x/l": "A", "x/m.py": "M", "x/deep/n.py": "N"}),
        ("ADD a /x", {"x": "A"}),
        ("COPY --link a /x", {"x": "A"}),
        ("ENV D=/d\nARG F=a\nCOPY $F ${D}/", {"d/a": "A"}),
    ],
)
def test_files_go_where_docker_puts_them(tmp_path: Path, lines: str, texts: dict[str, str]) -> None:
    assert built(tmp_path, f"FROM scratch\n{lines}\n", FILES).texts == texts


def test_a_pattern_behind_a_link_is_followed_in_another_stage_too(tmp_path: Path) -> None:
    text = "FROM scratch AS other\nCOPY . /all/\nFROM scratch\nCOPY --from=other /all/ld/*.py /x/\n"
    assert built(tmp_path, text, FILES).texts == {"x/m.py": "M"}


def test_links_inside_of_a_copied_folder_stay_links(tmp_path: Path) -> None:
    files = {
        "src/a": "A",
        "src/d/up -> ../a": "",
        "src/loop -> loop": "",
        "src/none -> nothing": "",
        "src/dir -> d": "",
    }
    actual = built(tmp_path, "FROM scratch\nCOPY src /x", files).files
    assert {path: item.link for path, item in actual.items() if item.kind == "link"} == {
        "x/d/up": "../a",
        "x/loop": "loop",
        "x/none": "nothing",
        "x/dir": "d",
    }


def test_modes_are_644_or_755_and_owners_root(tmp_path: Path) -> None:
    root = tmp_path / "context"
    built(tmp_path, "FROM scratch", FILES)
    (root / "a").chmod(0o600)
    (root / "src").chmod(0o700)
    (root / "run.sh").chmod(0o711)
    (root / "Dockerfile").write_text("FROM scratch\nCOPY a run.sh /x/\nCOPY src /x/src/\n")
    files = built_in(root, tmp_path / "again").files
    assert {path: (oct(item.mode), item.owner, item.mtime) for path, item in files.items()} == {
        "x": ("0o755", (0, 0), 0),
        "x/a": ("0o644", (0, 0), 0),
        "x/run.sh": ("0o755", (0, 0), 0),
        "x/src": ("0o755", (0, 0), 0),
        "x/src/m.py": ("0o644", (0, 0), 0),
        "x/src/deep": ("0o755", (0, 0), 0),
        "x/src/deep/n.py": ("0o644", (0, 0), 0),
    }


def test_chown_and_chmod_are_for_all_that_is_copied_and_made(tmp_path: Path) -> None:
    files = built(
        tmp_path, "FROM scratch\nCOPY --chown=7:8 --chmod=0640 src /x/y\nCOPY --chown=9 a /b", FILES
    ).files
    assert {path: (oct(item.mode), item.owner) for path, item in files.items()} == {
        "x": ("0o755", (7, 8)),
        "x/y": ("0o755", (7, 8)),
        "x/y/m.py": ("0o640", (7, 8)),
        "x/y/deep": ("0o640", (7, 8)),
        "x/y/deep/n.py": ("0o640", (7, 8)),
        "b": ("0o644", (9, 9)),
    }


def test_a_workdir_is_made_for_the_user(tmp_path: Path) -> None:
    files = built(tmp_path, "FROM scratch\nWORKDIR /a\nUSER 5:6\nWORKDIR b", {}).files
    assert {path: item.owner for path, item in files.items()} == {"a": (0, 0), "a/b": (5, 6)}
    with pytest.raises(Refused, match="only the image knows by this name"):
        built(tmp_path / "named", "FROM scratch\nUSER app\nWORKDIR /b", {})


def test_each_copy_is_a_layer_so_that_the_first_one_stays_the_same(tmp_path: Path) -> None:
    text = "FROM scratch\nCOPY a /app/\nCOPY src /app/src\n"
    first = built(tmp_path / "1", text, FILES)
    second = built(tmp_path / "2", text, {**FILES, "src/m.py": "changed"})
    assert [set(layer) for layer in first.layers] == [
        {"app", "app/a"},
        {"app/src", "app/src/m.py", "app/src/deep", "app/src/deep/n.py"},
    ]
    assert first.written[0].digest == second.written[0].digest
    assert first.written[1].digest != second.written[1].digest


def test_another_stage_is_copied_from_with_its_modes_and_without_its_owners(tmp_path: Path) -> None:
    text = (
        "FROM scratch AS one\nWORKDIR /w\nCOPY --chown=7 --chmod=600 a ./b\nCOPY run.sh ./\n"
        "FROM scratch\nCOPY --from=one /w /x\nCOPY --from=0 w/b /y\nCOPY --from=ONE /w/*.sh /z/"
    )
    files = built(tmp_path, text, FILES).files
    assert {
        path: (oct(item.mode), item.owner, item.content)
        for path, item in files.items()
        if item.kind == "file"
    } == {
        "x/b": ("0o600", (0, 0), b"A"),
        "x/run.sh": ("0o755", (0, 0), b"R"),
        "y": ("0o600", (0, 0), b"A"),
        "z/run.sh": ("0o755", (0, 0), b"R"),
    }


def test_a_link_in_the_image_is_followed_where_a_copy_goes(tmp_path: Path) -> None:
    text = "FROM scratch\nCOPY fs/usr /usr\nCOPY links /\nCOPY a /bin/\nCOPY a /bin/deep/b\n"
    files = {"fs/usr/bin/x": "", "links/bin -> usr/bin": "", "links/usr/bin/y": "", "a": "A"}
    created = built(tmp_path, text, files)
    assert [sorted(layer) for layer in created.layers[2:]] == [
        ["usr/bin/a"],
        ["usr/bin/deep", "usr/bin/deep/b"],
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("COPY a /x\nCOPY a /x/", "`/x` is a file"),
        ("COPY a /x\nCOPY src /x", "`/x` is a file"),
        ("COPY src /x\nCOPY deep /x", "would be a file"),
        ("COPY *.sh a* /x", "must end with /"),
        ("COPY [ar]* /x", "3 files match"),
        ("COPY [ /x/", "cannot be read"),
        ("COPY dangling /x", "not in the build context"),
        ("COPY dang* /x/", "link to nothing"),
        ("COPY round /x", "never ends"),
        ("COPY --from=0 a /x", "not an earlier stage"),
    ],
)
def test_what_docker_would_refuse_is_refused_with_its_line(
    tmp_path: Path, lines: str, words: str
) -> None:
    files = {**FILES, "deep/deep": "", "dangling -> nothing": "", "round -> round": ""}
    with pytest.raises(Refused) as error:
        built(tmp_path, f"FROM scratch\n{lines}", files)
    assert words in str(error.value)
    assert f"line {1 + len(lines.splitlines())}" in str(error.value)


def test_an_env_file_is_copied_with_a_warning(tmp_path: Path) -> None:
    message = Said()
    assert (
        ".env.prod"
        in built(tmp_path, "FROM scratch\nCOPY . /", {".env.prod": "X=1"}, message).texts
    )
    assert [line for line in message.lines if "warning" in line] == [
        "warning: `/.env.prod` is in the image, and whoever may pull it can read it"
    ]
