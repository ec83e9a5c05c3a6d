"""Unpacking layers: like an engine, and never outside of the folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from toolkit.sandbox import layers


def layer(*members: tuple[str, bytes | str | None], kind: bytes = tarfile.SYMTYPE) -> bytes:
    """A layer: bytes are a file's content, a string is where a link points, None is a folder."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = kind, content
            else:
                member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return raw.getvalue()


def test_a_later_layer_replaces_adds_and_removes(tmp_path: Path) -> None:
    first = layer(("app", None), ("app/a", b"1"), ("app/b", b"1"), ("opaque/c", b"1"))
    layers.unpack(
        [
            first,
            layer(
                ("app/a", b"2"),
                ("app/.wh.b", b""),
                ("opaque/.wh..wh..opq", b""),
                ("opaque/d", b"2"),
            ),
        ],
        str(tmp_path),
    )
    assert {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    } == {
        "app/a": b"2",
        "opaque/d": b"2",
    }


def test_an_absolute_name_or_link_means_the_images_own_root(tmp_path: Path) -> None:
    layers.unpack(
        [layer(("/etc/real", b"inside")), layer(("etc/link", "/etc/real"))], str(tmp_path)
    )
    assert (tmp_path / "etc" / "link").read_bytes() == b"inside"


def test_a_hard_link_is_a_file_of_its_own(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo("a")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
        link = tarfile.TarInfo("b")
        link.type, link.linkname = tarfile.LNKTYPE, "a"
        tar.addfile(link)
    layers.unpack([raw.getvalue()], str(tmp_path))
    assert (tmp_path / "b").read_bytes() == b"x"


@pytest.mark.parametrize(
    "members",
    [
        [("../out", b"x")],
        [("a/../../out", b"x")],
        [("link", "../../out"), ("link/file", b"x")],
        [("/../out", b"x")],
        [(".wh...", b"")],
    ],
    ids=["above", "above-through-a-folder", "link", "absolute", "whiteout"],
)
def test_nothing_is_written_or_removed_outside(
    tmp_path: Path, members: list[tuple[str, bytes | str | None]]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "out").write_text("mine")
    with pytest.raises(layers.BadLayer):
        layers.unpack([layer(*members)], str(root))
    assert (tmp_path / "out").read_text() == "mine"


def test_a_link_that_was_there_before_leads_nowhere_else(tmp_path: Path) -> None:
    root, second = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    second.mkdir()
    (root / "way").symlink_to(second)
    with pytest.raises(layers.BadLayer, match="leads outside"):
        layers.unpack([layer(("way/file", b"x"))], str(root))
    assert not list(second.iterdir())


def test_too_many_files_or_bytes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "MOST_FILES", 2)
    with pytest.raises(layers.BadLayer, match="more than 2 files"):
        layers.unpack([layer(("a", b""), ("b", b""), ("c", b""))], str(tmp_path))
    monkeypatch.setattr(layers, "MOST_BYTES", 2)
    with pytest.raises(layers.BadLayer, match="2 bytes"):
        layers.unpack([layer(("a", b"123"))], str(tmp_path))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(layers.BadLayer):
        layers.unpack([b"no archive"], str(tmp_path))
