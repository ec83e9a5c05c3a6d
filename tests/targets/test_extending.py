"""The package of docs/extending.md, built and installed as anybody would: every command knows its
kind, and no table of ours was edited.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT
from toolkit.cli.main import COMMANDS

PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
"""The files of the page, by name."""

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own with toolkit, what toolkit needs, and the package."""
    folder = tmp_path_factory.mktemp("extending")
    package = folder / "package"
    package.mkdir()
    for name in ("pyproject.toml", "toolkit_copy.py"):
        (package / name).write_text(FILES[name])
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=package, check=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    program = folder / "venv" / "bin" / "python"
    [wheel] = (package / "dist").glob("*.whl")
    paths = [ROOT, sysconfig.get_path("purelib")]
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site / "toolkit-and-its-libraries.pth").write_text("".join(f"{path}\n" for path in paths))
    install = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--quiet"]
    subprocess.run([*install, "--python", str(program), str(wheel)], check=True)
    return program


@contextmanager
def changed_module(project: "KindProject", change: Callable[[str], str]) -> Iterator[None]:
    """The package's module, changed for a while."""
    site = next((project.python.parents[1] / "lib").glob("python*/site-packages"))
    path = site / "toolkit_copy.py"
    text = path.read_text()
    try:
        path.write_text(change(text))
        yield
    finally:
        path.write_text(text)


class KindProject:
    """A repository with a target of that kind."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.to = python, folder / "srv"
        rules = FILES["rules.toml"].replace("/srv/docs", str(self.to))
        self.repo = Repo.make(folder / "repo", {"docs/a.md": "a\n"})
        self.repo.commit("rules", {"rules.toml": rules})

    def __call__(self, *args: str) -> Run:
        words = [str(self.python), "-m", "toolkit", *args]
        return subprocess.run(
            words, cwd=self.repo.path, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture
def project(python: Path, tmp_path: Path) -> KindProject:
    return KindProject(python, tmp_path)


def test_it_is_due_deployed_clean_and_well(project: KindProject) -> None:
    assert "toolkit deploy docs" in project("diff").stdout
    sick = project("health")
    assert sick.returncode == 1, sick.stderr
    assert "nothing was copied" in sick.stdout
    done = project("deploy", "docs", "--yes")
    assert done.returncode == 0, done.stderr
    assert (project.to / "a.md").read_text() == "a\n"
    answer = json.loads(project("diff", "--json").stdout)
    assert answer["states"] == {"docs": "clean"}
    assert project("health").returncode == 0
    assert "docs" in project("history").stdout
    again = project("deploy", "docs", "--yes")
    assert "nothing to do" in again.stdout


def test_its_option_is_one_of_deploy(project: KindProject) -> None:
    assert (
        "--empty-first                   Copies: empty the folder."
        in project("deploy", "--help").stdout
    )
    assert "--empty-first" not in project("rollback", "--help").stdout
    assert project("deploy", "docs", "--yes").returncode == 0
    stray = project.to / "stray.md"
    stray.write_text("left behind\n")
    assert "nothing to do" in project("deploy", "docs", "--yes").stdout
    assert stray.exists()
    done = project("deploy", "docs", "--yes", "--empty-first")
    assert done.returncode == 0, done.stderr
    assert (stray.exists(), (project.to / "a.md").read_text()) == (False, "a\n")


CLASHES = {
    "all: Annotated[bool, base.option('x')] = False": "has --all, which is `toolkit deploy`'s own",
    "image: Annotated[bool, base.option('x')] = False": (
        "has --image, which another kind means otherwise"
    ),
    "words: Annotated[list[str] | None, base.option('x')] = None": (
        "cannot be used: option words is neither a flag, a text, a number nor a StrEnum"
    ),
    "words: bool = False": "cannot be used: option words needs `option` and a default",
    "words: Annotated[bool, base.option('x')]": (
        "cannot be used: option words needs `option` and a default"
    ),
}


@pytest.mark.parametrize("option", CLASHES)
def test_an_option_that_cannot_be_is_told_with_the_package(
    project: KindProject, option: str
) -> None:
    with changed_module(
        project,
        lambda text: re.sub(r"    empty_first: .*?= False\n", f"    {option}\n", text, flags=re.S),
    ):
        done = project("deploy", "docs", "--yes")
    assert done.returncode == 2
    assert f"kind copy of the package toolkit-copy {CLASHES[option]}" in done.stderr
    assert "pip uninstall toolkit-copy" in done.stderr


ARGUMENTS = {
    "explain": ["docs/a.md"],
    "deploy-app": ["docs"],
    "deploy-stack": ["docs"],
    "rollback": ["docs"],
    "completion": ["bash"],
    "logs": ["nothing"],
    "show": ["nothing"],
    "deploy": ["docs", "--dry-run"],
    "record": ["show"],
    "lock": ["show"],
    "rules": ["check"],
    "sandbox": ["status"],
    "health": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_gets_along_with_it(project: KindProject, command: str) -> None:
    done = project(command, *ARGUMENTS.get(command, []))
    assert done.returncode != 3, done.stderr
    assert "bug in toolkit" not in done.stderr
    assert "unknown kind 'copy'" not in done.stderr


def test_its_settings_are_checked_and_in_the_schema(project: KindProject) -> None:
    schema = json.loads(project("rules", "schema").stdout)
    described = schema["$defs"]["copy"]["properties"]["to"]["description"]
    assert described.startswith("Where it is copied")
    rules = (project.repo.path / "rules.toml").read_text()
    project.repo.write({"rules.toml": rules.replace("source =", "sauce =")})
    assert "targets.docs.sauce: unknown key; did you mean 'source'?" in project("diff").stderr


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("raise ImportError('no such library')\n", "ImportError: no such library"),
        ("Copy = 7\n", "toolkit_copy:Copy is not a toolkit.targets.base.Kind"),
        ("", "AttributeError: "),
    ],
)
def test_a_package_that_does_not_bring_its_kind_is_told_by_name(
    project: KindProject, module: str, reason: str
) -> None:
    with changed_module(project, lambda text: module):
        done = project("diff")
        deploy = project("deploy", "--help")
    assert deploy.returncode == 0
    assert done.returncode == 2
    assert f"kind copy of the package toolkit-copy could not be loaded: {reason}" in done.stderr
    assert "pip uninstall toolkit-copy" in done.stderr


def test_without_the_package_its_kind_is_unknown(project: KindProject) -> None:
    project.python = Path(sys.executable)
    done = project("diff")
    assert done.returncode == 2
    assert "unknown kind 'copy'" in done.stderr


def test_a_package_in_the_repository_is_no_kind(project: KindProject) -> None:
    """Neither from the working directory nor from PYTHONPATH, which may lead there."""
    (project.repo.path / "toolkit_copy.py").write_text(FILES["toolkit_copy.py"])
    info = project.repo.path / "toolkit_copy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: toolkit-copy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[toolkit.kinds]\ncopy = toolkit_copy:Copy\n")
    words = [sys.executable, "-c", "from toolkit.cli.main import main; main()", "diff"]
    env = {**os.environ, "PYTHONPATH": f"{project.repo.path}:{ROOT}"}
    done = subprocess.run(
        words, cwd=project.repo.path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown kind 'copy'" in done.stderr
