"""The pages for whoever owns toolkit say what is so: files that exist, topics that are told, every
command, every variable.
"""

import re

import pytest

from tests.support.run import ROOT
from tests.support.sandbox import IS_HERE
from toolkit.cli.main import COMMANDS

DEBUGGING = (ROOT / "docs" / "debugging.md").read_text()
STABILITY = (ROOT / "docs" / "stability.md").read_text()
CODE = {path: path.read_text() for path in sorted((ROOT / "toolkit").rglob("*.py"))}


def table(page: str, head: str) -> list[list[str]]:
    """The cells of the rows below a table's head."""
    rows = page.split(f"\n| {head} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_map_has_every_command() -> None:
    rows = table(DEBUGGING, "command")
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(row[0] for row in rows))) == sorted(COMMANDS)


def missing(paths: list[str]) -> list[str]:
    """Those that do not exist, apart from the sandbox where that may be missing."""
    paths = [path for path in paths if IS_HERE or not path.startswith("toolkit/sandbox/")]
    return [path for path in paths if not (ROOT / path).exists()]


def test_every_file_of_the_map_exists() -> None:
    for _, cli, flow, rooms in table(DEBUGGING, "command"):
        paths = [f"toolkit/cli/{name}" for name in re.findall(r"`([^`]+)`", cli)]
        paths += [f"toolkit/flow/{name}" for name in re.findall(r"`([^`]+)`", flow)]
        paths += re.findall(r"`(toolkit/[^`]+)`", rooms)
        assert not missing(paths)
    assert not missing(re.findall(r"`(toolkit/[^`]+)`", DEBUGGING))


def test_every_topic_of_the_debug_log_is_in_the_table() -> None:
    notes = {
        topic for text in CODE.values() for topic in re.findall(r"debug\.tell\(\s*\"(\w+)\"", text)
    } | {"git", "program"}  # those of ports/debug.py itself
    listed = re.findall(r"`(\w+)`", " ".join(row[0] for row in table(DEBUGGING, "topic")))
    assert sorted(listed) == sorted(notes)


@pytest.mark.parametrize("page", [DEBUGGING, STABILITY], ids=["debugging", "stability"])
def test_every_variable_that_a_page_names_is_read(page: str) -> None:
    names = set(re.findall(r"`(TOOLKIT_[A-Z_]+[A-Z])\b", page)) | {"NO_COLOR"}
    assert len(names) > 2
    assert not [name for name in names if not any(name in text for text in CODE.values())]
