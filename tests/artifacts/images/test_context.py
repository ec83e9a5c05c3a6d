"""S21: what is in a build context but must not get out of it, or is not what it was."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.artifacts.images.support import built, built_in, folder
from toolkit.artifacts.images import Recipe
from toolkit.artifacts.images.builtin import NoLog, build_stages, plan_build
from toolkit.artifacts.images.context import Context
from toolkit.artifacts.images.layers import write
from toolkit.errors import Refused
from toolkit.show.advice import sentence


@pytest.mark.parametrize(
    "link",
    [
        "/etc/hostname",
        "../outside",
        "../../etc",
        "sub/../../outside",
        "sub/../../context/in",
        "/",
        "..",
        "../context/in",
    ],
)
@pytest.mark.parametrize("way", ["COPY l /x", "COPY . /x", "COPY l* /x/"])
def test_a_link_out_of_the_context_is_refused(tmp_path: Path, link: str, way: str) -> None:
    """Also one that goes out and comes in again: it would not where the image runs."""
    (tmp_path / "outside").write_text("secret")
    with pytest.raises(Refused, match="not in the build context"):
        built(tmp_path, f"FROM scratch\n{way}", {f"l -> {link}": "", "in": ""})


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as item:
        item.bind(str(path))


@pytest.mark.parametrize("make", [_fifo, _socket])
def test_what_is_no_file_is_refused_without_waiting_for_it(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "c", {"Dockerfile": "FROM scratch\nCOPY . /", "a": ""})
    monkeypatch.chdir(root)
    make(Path("odd"))
    with pytest.raises(Refused, match="`odd` is not a file"):
        built_in(root, tmp_path / "layers")
    (root / ".dockerignore").write_text("odd")
    assert "a" in built_in(root, tmp_path / "layers").files


@pytest.mark.parametrize("path", [".git/config", "vendor/lib/.git/HEAD", "sub/.git"])
def test_the_history_of_a_repository_never_gets_into_an_image(tmp_path: Path, path: str) -> None:
    with pytest.raises(Refused) as error:
        built(tmp_path, "FROM scratch\nCOPY . /", {path: "x"})
    assert ".dockerignore" in sentence(error.value.next)
    assert (
        "Dockerfile"
        in built(tmp_path, "FROM scratch\nCOPY . /", {".dockerignore": "**/.git"}).files
    )


@pytest.mark.parametrize("context", ["..", "../other", "/", "none", "Dockerfile", "link"])
def test_a_context_outside_of_the_repository_is_refused(tmp_path: Path, context: str) -> None:
    folder(tmp_path / "other", {"a": ""})
    root = folder(tmp_path / "c", {"Dockerfile": "FROM scratch", "link -> ../other": ""})
    with pytest.raises(Refused, match="not a folder of this repository"):
        plan_build(Recipe(str(root), context, "Dockerfile"))


def _grow(path: Path) -> None:
    path.write_text("longer than it was")


def _replace(path: Path) -> None:
    path.with_name("new").write_text("A")
    path.with_name("new").rename(path)


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def _folder_link(path: Path) -> None:
    outside = path.parent.parent.parent / "elsewhere"
    folder(outside, {"a": "secret"})
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(outside)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("swap", [_grow, _replace, _link, _folder_link, _pipe, Path.unlink])
def test_a_file_that_is_swapped_after_the_scan_is_an_error(
    tmp_path: Path, swap: Callable[[Path], None]
) -> None:
    root = folder(tmp_path / "c", {"Dockerfile": "FROM scratch\nCOPY d /d", "d/a": "A"})
    request = Recipe(str(root), ".", "Dockerfile")
    plan = plan_build(request)
    context = Context(plan.folder, plan.ignore)
    image = build_stages(plan, request, context, None, NoLog())
    swap(root / "d/a")
    with pytest.raises(Refused, match="`d/a` has changed"):
        write(str(tmp_path / "layer"), image.layers[0], context, 0, lambda: None)


def test_a_file_that_is_written_to_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    root = folder(tmp_path / "c", {"Dockerfile": "FROM scratch\nCOPY a /", "a": "A"})
    request = Recipe(str(root), ".", "Dockerfile")
    plan = plan_build(request)
    context = Context(plan.folder, plan.ignore)
    image = build_stages(plan, request, context, None, NoLog())
    calls = []

    def interfere() -> None:
        """The second look is the one between reading and the end of the file."""
        calls.append(1)
        if len(calls) == 2:
            _grow(root / "a")

    with pytest.raises(Refused, match="has changed while it was read"):
        write(str(tmp_path / "layer"), image.layers[0], context, 0, interfere)


def test_odd_names_are_names(tmp_path: Path) -> None:
    names = ["caf\udce9", "new\nline", "-rf", "ü", "sp ace", "\x1b[2K", "x" * 200]
    created = built(
        tmp_path,
        "FROM scratch\nCOPY . /x",
        {f"d/{name}": name.encode("utf-8", "surrogateescape") for name in names},
    )
    assert {path.removeprefix("x/d/") for path in created.files if path.startswith("x/d/")} == set(
        names
    )


def test_a_link_on_the_way_is_an_error_even_if_it_leads_to_the_same_file(tmp_path: Path) -> None:
    """O_NOFOLLOW, for each step: what else is behind the link was never looked at."""
    root = folder(tmp_path / "c", {"Dockerfile": "FROM scratch", "d/a": "A"})
    (root / "e").mkdir()
    (root / "e/a").hardlink_to(root / "d/a")
    plan = plan_build(Recipe(str(root), ".", "Dockerfile"))
    context = Context(plan.folder, plan.ignore)
    os.close(context.open("d/a"))
    (root / "d").rename(tmp_path / "gone")
    (root / "d").symlink_to("e")
    with pytest.raises(Refused, match="`d/a` has changed"):
        context.open("d/a")
