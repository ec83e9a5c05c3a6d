"""The documentation says what the code does now: references are generated, examples run, links lead
somewhere.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.support import pages
from tests.support.run import ROOT
from toolkit import errors
from toolkit.cli.main import COMMANDS
from toolkit.errors import ToolkitError
from toolkit.exits import Exit

ALL = [
    *pages.PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs" / "adr").glob("*.md")),
]
MEND = "run scripts/docs and look at what it changed"


@pytest.mark.parametrize("path", pages.generated(), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text() == pages.generated()[path], MEND


def all_subclasses(parent: type[ToolkitError]) -> Iterator[type[ToolkitError]]:
    """The errors of a kind, and theirs."""
    for error in parent.__subclasses__():
        yield error
        yield from all_subclasses(error)


def examples() -> Iterator[ParameterSet]:
    """Every page, with the mark of those that run in a sandbox."""
    for page in pages.PAGES:
        marks = [pytest.mark.sandbox] if pages.runs_in_sandbox(page.read_text()) else []
        yield pytest.param(page, marks=marks, id=page.name)


@pytest.mark.slow("sandbox", keep=3)
@pytest.mark.parametrize("page", [*examples()])
def test_every_example_prints_what_the_page_says(page: Path) -> None:
    assert pages.with_examples_run(page.read_text()) == page.read_text(), MEND


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme_or_a_page(command: str) -> None:
    texts = [page.read_text() for page in pages.PAGES if page.name != "commands.md"]
    assert any(f"toolkit {command}" in text for text in texts)


@pytest.mark.parametrize("code", Exit, ids=lambda code: code.name)
def test_every_exit_code_is_documented(code: Exit) -> None:
    assert f"| {code.value} |" in (ROOT / "docs" / "exit-codes.md").read_text()


ERRORS = [error for error in all_subclasses(ToolkitError) if error.__module__ == errors.__name__]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_in_the_tree_and_its_code_in_the_pages(error: type[ToolkitError]) -> None:
    assert re.search(rf"[├└]── {error.__name__}\b", errors.__doc__ or "")
    assert f"`{error.code}`" in (ROOT / "docs" / "errors.md").read_text()


def test_nothing_names_this_machine_or_a_registry() -> None:
    import subprocess

    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True)
    hosts = re.compile(rb"pythonhosted|pypi\.org|registry\.npmjs|deb\.debian|/work/main|/root/")
    texts = [
        ROOT / name
        for name in listed.stdout.decode().split("\0")
        if name and (ROOT / name).is_file()
    ]
    assert not [
        str(path) for path in texts if path != Path(__file__) and hosts.search(path.read_bytes())
    ]


def test_the_readme_says_of_a_diff_what_was_measured() -> None:
    """K5: it once promised a quarter of that."""
    value = re.search(r"A `diff` takes some (\d+) milliseconds", (ROOT / "README.md").read_text())
    measured = re.findall(
        r"20,000 files, 1 changed file \| (\d+(?:\.\d+)?) ms",
        (ROOT / "docs" / "performance.md").read_text(),
    )
    assert value
    assert abs(float(value[1]) - float(measured[0])) <= 0.25 * float(measured[0])
