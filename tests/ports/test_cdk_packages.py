"""The packages of a CDK app: which are missing is said before and after, with the command that
installs them.
"""

import sys
from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit
from toolkit.errors import ProgramFailed
from toolkit.operations import Location
from toolkit.ports import cdk, cdk_packages, process
from toolkit.ports.program_runs import SilentLog
from toolkit.show.advice import sentence

PINNED = (
    "# pinned\naws-cdk-lib==2.275.0\n\nconstructs==10.8.1 ; python_version > '3'\n-r more.txt\n"
)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose `python3` has no package of the CDK."""
    (tmp_path / "cdk").mkdir()
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 9\n")
    python.chmod(0o755)
    which = process.which
    monkeypatch.setattr(
        process,
        "which",
        lambda name: str(python) if name == "python3" else which(name) if name == "git" else None,
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_missing_is_named_with_its_file(bare: Path) -> None:
    (bare / "cdk/requirements.txt").write_text(PINNED)
    words = (
        "the CDK app's packages are not installed: aws-cdk-lib, constructs (cdk/requirements.txt)"
    )
    assert cdk_packages.missing(str(bare), "cdk") == words
    command = "python3 -m venv cdk/.venv && cdk/.venv/bin/pip install -r cdk/requirements.txt"
    assert sentence(cdk_packages.install(str(bare), "cdk")) == command


@pytest.mark.parametrize("installed", [True, False])
def test_a_venv_beside_the_app_decides(bare: Path, installed: bool) -> None:
    (bare / "cdk/requirements.txt").write_text(PINNED)
    library = (
        bare / "cdk/.venv/lib/python3.11/site-packages" / ("aws_cdk" if installed else "other")
    )
    library.mkdir(parents=True)
    assert bool(cdk_packages.missing(str(bare), "cdk")) is not installed
    assert (
        sentence(cdk_packages.install(str(bare), "cdk"))
        == "cdk/.venv/bin/pip install -r cdk/requirements.txt"
    )


@pytest.mark.parametrize("folder", ["cdk", "."])
def test_node_modules_beside_the_app_or_above_it_decide(bare: Path, folder: str) -> None:
    (bare / "cdk/package.json").write_text("{}")
    assert (
        cdk_packages.missing(str(bare), "cdk")
        == "the CDK app's packages are not installed: node_modules (cdk/package.json)"
    )
    assert sentence(cdk_packages.install(str(bare), "cdk")) == "npm install --prefix cdk"
    (bare / "cdk/package-lock.json").write_text("{}")
    assert sentence(cdk_packages.install(str(bare), "cdk")) == "npm ci --prefix cdk"
    (bare / folder / "node_modules/aws-cdk-lib").mkdir(parents=True)
    assert cdk_packages.missing(str(bare), "cdk") == ""


def test_an_app_that_names_no_packages_lacks_none(bare: Path) -> None:
    assert (cdk_packages.missing(str(bare), "cdk"), cdk_packages.install(str(bare), "cdk")) == (
        "",
        "",
    )


def test_the_command_means_the_same_folder_from_anywhere(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "my cdk").mkdir()
    (bare / "my cdk/requirements.txt").write_text(PINNED)
    monkeypatch.chdir(bare / "cdk")
    command = (
        "python3 -m venv '../my cdk/.venv' && '../my cdk/.venv/bin/pip' install -r '../my"
        " cdk/requirements.txt'"
    )
    assert sentence(cdk_packages.install(str(bare), "my cdk")) == command


INSTALL = "cdk/.venv/bin/pip install -r cdk/requirements.txt"


def failed_with(root: Path, line: str) -> str:
    """What is advised where an app ends with this line."""
    (root / "cdk/app.py").write_text(f"import sys\nsys.exit({line!r})\n")
    (root / "cdk/cdk.json").write_text(f'{{"app": "{sys.executable} app.py"}}')
    app = cdk.CdkApp(
        str(root), "cdk", Location("dev", "eu-west-1", "1" * 12), "1" * 12, "eu-west-1"
    )
    with pytest.raises(ProgramFailed) as failed:
        cdk.synthesized(app, str(root / "cache"), SilentLog())
    assert line in str(failed.value)
    return sentence(failed.value.next)


def with_packages(root: Path, *names: str) -> None:
    """A .venv beside the app that has these."""
    for name in names:
        (root / f"cdk/.venv/lib/python3.11/site-packages/{name}").mkdir(parents=True)


@pytest.mark.parametrize(
    ("installed", "line", "advice"),
    [
        (
            ("other",),
            "ModuleNotFoundError: No module named 'aws_cdk'",
            f"install aws-cdk-lib, constructs, listed in cdk/requirements.txt: {INSTALL}",
        ),
        (
            ("aws_cdk", "aws_cdk_lib-2.275.0.dist-info"),
            "ModuleNotFoundError: No module named 'constructs'",
            f"install constructs, listed in cdk/requirements.txt: {INSTALL}",
        ),
        (
            ("aws_cdk_lib-2.275.0.dist-info", "constructs-10.8.1.dist-info"),
            "ModuleNotFoundError: No module named 'yaml'",
            "no package in cdk/requirements.txt provides 'yaml'; add the one that does,"
            f" then: {INSTALL}",
        ),
        (
            ("aws_cdk_lib-2.275.0.dist-info", "constructs-10.8.1.dist-info"),
            "ModuleNotFoundError: No module named 'stacks.queue'",
            "add the module 'stacks.queue' to cdk, or correct its import",
        ),
        (("other",), "NameError: name 'bucket' is not defined", "try it in cdk: "),
    ],
)
def test_a_python_app_that_lacks_a_module_says_what_is_missing(
    bare: Path, installed: tuple[str, ...], line: str, advice: str
) -> None:
    (bare / "cdk/requirements.txt").write_text(PINNED.replace("-r more.txt\n", ""))
    (bare / "cdk/stacks").mkdir()
    with_packages(bare, *installed)
    assert failed_with(bare, line).startswith(advice)


def test_a_list_of_packages_that_goes_on_elsewhere_may_have_what_is_missing(bare: Path) -> None:
    (bare / "cdk/requirements.txt").write_text(PINNED)
    with_packages(bare, "aws_cdk_lib-2.275.0.dist-info", "constructs-10.8.1.dist-info")
    assert failed_with(bare, "ModuleNotFoundError: No module named 'yaml'") == (
        f"'yaml' is not installed; install the packages in cdk/requirements.txt: {INSTALL}"
    )


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (
            "Error: Cannot find module 'aws-cdk-lib/aws-sqs'",
            "install aws-cdk-lib, listed in cdk/package.json: npm install --prefix cdk",
        ),
        (
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@org/parts' imported from /a/b.mjs",
            "install @org/parts, listed in cdk/package.json: npm install --prefix cdk",
        ),
        (
            "Error: Cannot find module 'left-pad'",
            "no package in cdk/package.json provides 'left-pad'; add the one that does,"
            " then: npm install --prefix cdk",
        ),
        (
            "Error: Cannot find module './queue'",
            "add the module './queue' to cdk, or correct its import",
        ),
    ],
)
def test_a_node_app_that_lacks_a_module_says_what_is_missing(
    bare: Path, line: str, advice: str
) -> None:
    (bare / "cdk/package.json").write_text(
        '{"dependencies": {"aws-cdk-lib": "2"}, "devDependencies": {"@org/parts": "1"}}'
    )
    assert failed_with(bare, line) == advice


def test_doctor_says_beforehand_what_an_app_lacks(bare: Path, toolkit: Toolkit) -> None:
    repo = Repo.make(
        bare / "repo",
        {"cdk/cdk.json": "{}", "cdk/requirements.txt": PINNED, "cdk/app.py": ""},
        RULES,
    )
    actual = toolkit(repo.path, "doctor", "--json").json["unprepared"]
    assert actual == {
        "cdk": {
            "problem": (
                "the CDK app's packages are not installed: aws-cdk-lib, constructs"
                " (cdk/requirements.txt)"
            ),
            "fix": "python3 -m venv cdk/.venv && cdk/.venv/bin/pip install -r cdk/requirements.txt",
        }
    }
    assert (
        "cdk: the CDK app's packages are not installed: aws-cdk-lib"
        in toolkit(repo.path, "doctor").out
    )


def test_a_list_of_packages_that_leads_out_of_the_repository_is_not_read(
    bare: Path, toolkit: Toolkit
) -> None:
    (bare / "outside.txt").write_text("secret-name\n")
    repo = Repo.make(bare / "repo", {"cdk/cdk.json": "{}"}, RULES)
    (repo.path / "cdk/requirements.txt").symlink_to(bare / "outside.txt")
    assert "secret-name" not in toolkit(repo.path, "doctor").out
