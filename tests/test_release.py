"""A release: what scripts/release writes and refuses, and that what is built can be installed and
run: one wheel, and one environment, for the whole file.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from tests.support.repo import Repo
from tests.support.run import ROOT
from toolkit import __version__

CHANGELOG = (
    "# Changes\n\n## Unreleased\n\n### Added\n\n- A thing.\n\n## 1.9.0 - 2026-01-02\n\n- Old.\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Repo:
    """A repository with the script, a version and a changelog."""
    script = (ROOT / "scripts" / "release").read_text()
    files = {
        "scripts/release": script,
        "toolkit/__init__.py": '"""toolkit."""\n\n__version__ = "1.9.0"\n',
        "CHANGELOG.md": CHANGELOG,
    }
    return Repo.make(tmp_path / "origin", files, rules=None).clone(tmp_path / "clone")


def release(project: Repo, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the script of that repository."""
    named = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
    named |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in named.items()}
    return subprocess.run(
        [sys.executable, "scripts/release", *args],
        cwd=project.path,
        env={**os.environ, **named},
        capture_output=True,
        text=True,
    )


def test_a_release_is_a_version_a_changelog_section_a_commit_and_a_tag(project: Repo) -> None:
    before = project.head
    done = release(project, "1.10.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert '__version__ = "1.10.0"\n' in (project.path / "toolkit/__init__.py").read_text()
    changelog = (project.path / "CHANGELOG.md").read_text()
    assert re.search(
        r"## Unreleased\n\n## 1\.10\.0 - \d{4}-\d\d-\d\d\n\n### Added\n\n- A thing\.\n\n## 1\.9\.0",
        changelog,
    )
    assert project.git("log", "-1", "--format=%s %P") == f"Release 1.10.0 {before}"
    assert project.git("cat-file", "-t", "v1.10.0") == "tag"
    assert project.git("rev-parse", "v1.10.0^{commit}") == project.head
    assert project.git("status", "--porcelain") == ""
    assert "git push origin main v1.10.0\n" in done.stdout
    assert project.git("ls-remote", "--tags", "origin") == ""
    assert project.git("rev-parse", "origin/main") == before


def test_a_dry_run_changes_nothing(project: Repo) -> None:
    before = project.head
    done = release(project, "2.0.0", "--dry-run")
    assert done.returncode == 0
    assert "the version would be 2.0.0" in done.stdout
    assert (project.head, project.git("tag"), project.git("status", "--porcelain")) == (
        before,
        "",
        "",
    )


def _dirty(project: Repo) -> None:
    project.write({"new.txt": "x"})


def _on_a_branch(project: Repo) -> None:
    project.git("checkout", "-q", "-b", "fix")


def _tagged(project: Repo) -> None:
    project.git("tag", "v2.0.0")


def _without_section(project: Repo) -> None:
    project.commit(files={"CHANGELOG.md": CHANGELOG.replace("## Unreleased", "## Later")})


def _without_entries(project: Repo) -> None:
    project.commit(files={"CHANGELOG.md": CHANGELOG.replace("- A thing.\n", "")})


def _hooked(project: Repo) -> None:
    hook = project.path / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)


@pytest.mark.parametrize(
    ("version", "prepare", "reason"),
    [
        ("2.0.0", _dirty, "there are uncommitted changes"),
        ("2.0.0", _on_a_branch, "releases are made on main, and this is fix"),
        ("2.0.0", _tagged, "there is a tag v2.0.0 already"),
        ("2.0.0", _without_section, "CHANGELOG.md has no section Unreleased"),
        ("2.0.0", _without_entries, "the section Unreleased is empty"),
        ("2.0.0", _hooked, "git refused: no"),
        ("1.9.0", None, "1.9.0 is not newer than 1.9.0"),
        ("1.8.9", None, "1.8.9 is not newer than 1.9.0"),
        ("v2", None, "invalid version 'v2'"),
        ("2.0.0; rm -rf /", None, "invalid version"),
    ],
)
def test_what_is_not_ready_is_refused_and_left_as_it_is(
    project: Repo, version: str, prepare: object, reason: str
) -> None:
    if callable(prepare):
        prepare(project)
    before = (project.head, project.git("status", "--porcelain"), project.git("tag"))
    done = release(project, version)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {reason}")
    assert "\nhint: " in done.stderr
    assert (project.head, project.git("status", "--porcelain"), project.git("tag")) == before


def test_this_version_and_changelog_are_as_the_script_needs_them() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert re.search(r"^## Unreleased$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The sdist of this checkout, and the wheel that is built from the sdist alone."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    subprocess.run([*build, "-t", "wheel"], cwd=source, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    yield sdist, wheel
    shutil.rmtree(folder)


def test_the_wheel_holds_the_package_and_no_more(built: tuple[Path, Path]) -> None:
    with ZipFile(built[1]) as wheel:
        names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"toolkit", f"deploy_toolkit-{__version__}.dist-info"}
    example = "toolkit/sandbox/example/"
    listed = [*_tracked("toolkit")]
    listed += [f"{example}{name}" for name in _tracked("examples/car-rental")]
    assert sorted(name for name in names if name.startswith("toolkit/")) == sorted(listed)


def _tracked(folder: str) -> Iterator[str]:
    """The files of a folder that git knows: those of the package as they are named there."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            yield name.removeprefix("examples/car-rental/")


class Environment:
    """A virtual environment with the tests' packages, but not this checkout."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.folder, self.python = folder, folder / "bin" / "python"
        [self.site] = folder.glob("lib/python*/site-packages")
        # .pth files that lie among the tests' packages are not read
        packages = metadata.distribution("click").locate_file("")
        (self.site / "tests-packages.pth").write_text(f"{packages}\n")

    def uv(self, *words: str) -> None:
        """Run uv's pip here, offline."""
        command = [sys.executable, "-m", "uv", "pip", *words, "--python", str(self.python)]
        subprocess.run(command, check=True, capture_output=True)

    def install(self, wheel: Path, *words: str) -> None:
        """Install a wheel alone."""
        self.uv("install", "-q", "--offline", "--no-deps", "--no-cache", *words, str(wheel))

    def run(
        self, program: str, *args: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of it."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME")}
        words = [str(self.folder / "bin" / program), *args]
        return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv")


def test_a_clean_environment_runs_the_wheel(
    built: tuple[Path, Path], repo: Repo, environment: Environment
) -> None:
    """Its dependencies are those of the tests: nothing is downloaded, and what the wheel asks for
    is held against what is there.
    """
    environment.install(built[1])
    [installed] = metadata.distributions(path=[str(environment.site)])
    request = [Requirement(text) for text in installed.requires or ()]
    needed = [entry for entry in request if entry.marker is None]
    assert len(needed) > 10
    for item in needed:
        assert item.specifier.contains(metadata.version(item.name)), item
    code = "import toolkit; print(toolkit.__file__)"
    where = environment.run("python", "-c", code, cwd=repo.path)
    assert where.stdout.startswith(str(environment.site))
    assert environment.run("toolkit", "--version").stdout == f"toolkit {__version__}\n"
    repo.write({"backend/src/app.py": "changed\n"})
    diff = environment.run("toolkit", "diff", "-q", "HEAD", cwd=repo.path)
    assert diff.stdout.strip() == "toolkit deploy-app app"


def test_an_installed_package_writes_the_example_as_a_repository(
    built: tuple[Path, Path], tmp_path: Path, environment: Environment
) -> None:
    environment.install(built[1])
    done = environment.run("toolkit", "sandbox", "example", "shop", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=tmp_path / "shop", check=True, capture_output=True, text=True
    )
    assert sorted(tracked.stdout.splitlines()) == sorted(_tracked("examples/car-rental"))
    checked = environment.run("toolkit", "rules", "check", cwd=tmp_path / "shop")
    assert checked.returncode == 0, checked.stdout + checked.stderr


# The name on the package index


@pytest.fixture(scope="module")
def namesake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of somebody else that is called `toolkit`, as on the package index."""
    folder = tmp_path_factory.mktemp("namesake")
    (folder / "toolkit").mkdir()
    (folder / "toolkit" / "__init__.py").write_text('__version__ = "0.0.3"\n')
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "toolkit"\nversion = "0.0.3"\n'
    )
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


REPLACED = "error: another package has replaced files of toolkit in "
FIX = "  python -m pip install --force-reinstall deploy-toolkit\n"


def test_a_namesake_that_wrote_over_our_files_is_said_and_what_is_said_to_do_helps(
    built: tuple[Path, Path], namesake: Path, environment: Environment
) -> None:
    environment.install(built[1])
    environment.install(namesake)
    replaced = environment.run("toolkit", "--version")
    assert (replaced.returncode, replaced.stdout) == (2, "")
    assert replaced.stderr.startswith(REPLACED)
    assert replaced.stderr.endswith(FIX)
    environment.uv("uninstall", "toolkit")
    assert environment.run("toolkit", "--version").stderr.startswith(REPLACED)
    environment.install(built[1], "--reinstall")
    assert environment.run("toolkit", "--version").stdout == f"toolkit {__version__}\n"


def test_doctor_names_a_namesake_over_which_ours_was_written(
    built: tuple[Path, Path], namesake: Path, environment: Environment, tmp_path: Path
) -> None:
    environment.install(namesake)
    environment.install(built[1])
    found = environment.run("toolkit", "doctor", cwd=tmp_path)
    assert found.returncode == 1
    assert "another package, which writes over this one (deploy-toolkit)" in found.stdout
    environment.uv("uninstall", "toolkit")
    environment.install(built[1], "--reinstall")
    assert "another package" not in environment.run("toolkit", "doctor", cwd=tmp_path).stdout
