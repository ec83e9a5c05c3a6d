"""The pictures of the pages: how they are drawn, that they are shown, and that they can be drawn
again.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tests.support.run import ROOT

NAMES = ("diff.svg", "deploy.svg")
FOLDER = ROOT / "docs" / "pictures"
TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "scripts" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def texts(svg: str) -> list[str]:
    """What a picture says, piece by piece. Raises ElementTree.ParseError."""
    root = ElementTree.fromstring(svg)  # noqa: S314 (our own)
    return ["".join(text.itertext()) for text in root.iter(TEXT)]


def check(svg: str) -> None:
    """A picture is plain, small, at most 80 columns wide, and says nothing of this machine."""
    assert len(svg) < 20_000
    root = ElementTree.fromstring(svg)  # noqa: S314 (our own)
    assert {re.sub(r"\{.*\}", "", element.tag) for element in root.iter()} == {
        *("svg", "title", "rect", "g", "text")
    }
    width = float(root.attrib["width"])
    for text in root.iter(TEXT):
        assert float(text.attrib["x"]) + float(text.attrib["textLength"]) <= width
    assert not re.search(r"href|@import|url\(", svg)
    for folder in (ROOT, Path.home(), Path(tempfile.gettempdir())):
        assert str(folder) not in svg


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_plain_text_of_at_most_80_columns(name: str) -> None:
    check((FOLDER / name).read_text())


def test_the_pictures_show_the_prompt_and_several_steps_at_once() -> None:
    diff, deploy = (texts((FOLDER / name).read_text()) for name in NAMES)
    assert "What now?" in diff
    assert {"due", "api", "app", "login", "web"} <= set(diff)
    lines = " ".join(deploy)
    assert len(re.findall(r"[-\\|/] \w+ \[[#-]+\] \d", lines)) >= 2


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_each_picture_with_words_for_those_who_do_not_see_it(
    page: str, name: str
) -> None:
    path = os.path.relpath(FOLDER / name, (ROOT / page).parent)
    shown = re.search(rf"!\[([^\]]+)\]\({re.escape(path)}\)", (ROOT / page).read_text())
    assert shown is not None
    assert len(shown[1]) > 40


def test_text_that_looks_like_markup_stays_text(pictures: ModuleType) -> None:
    row = tuple(map(pictures.Cell, "  <b>&amp; a  b"))
    svg = pictures.svg([row], "a < b")
    assert texts(svg) == ["<b>&amp; a", "b"]
    check(svg)


@pytest.mark.parametrize("name", NAMES)
def test_no_column_depends_on_several_spaces_which_browsers_draw_as_one(name: str) -> None:
    assert not any("  " in text for text in texts((FOLDER / name).read_text()))


def test_a_piece_of_another_colour_stands_in_its_column(pictures: ModuleType) -> None:
    row = (*map(pictures.Cell, "app  "), *(pictures.Cell(one, "#e0b454") for one in "due"))
    svg = pictures.svg([row], "columns")
    assert texts(svg) == ["app", "due"]
    column = pictures.MARGIN + 5 * pictures.CELL
    assert f'<text x="{column:.1f}" y="28" textLength="25.2" fill="#e0b454">due</text>' in svg


def test_the_port_of_the_sandbox_is_the_same_in_each_picture(pictures: ModuleType) -> None:
    row = tuple(map(pictures.Cell, "endpoint: http://127.0.0.1:51234 (not AWS)"))
    assert pictures.plain(pictures.masked(row)) == "endpoint: http://127.0.0.1:40123 (not AWS)"


def test_the_steps_in_progress_are_those_that_have_a_row(pictures: ModuleType) -> None:
    texts = ("web: done", "- app    [##--]  1s of ~4s  moving", "  | a line", "/ api    1s")
    rows = [tuple(map(pictures.Cell, text)) for text in texts]
    assert pictures.steps_in_progress(rows) == {"app", "api"}


@pytest.mark.sandbox
@pytest.mark.slow("demo")
def test_the_pictures_can_be_drawn_again(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "scripts" / "pictures", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for name in NAMES:
        check((tmp_path / name).read_text())
    assert "What now?" in texts((tmp_path / "diff.svg").read_text())
