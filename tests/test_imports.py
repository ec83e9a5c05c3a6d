"""What starting costs: `--help`, completion and `diff --json` load none of the heavy packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT

HEAVY = {
    "asyncio",
    "boto3",
    "botocore",
    "dataclasses",
    "git",
    "hashlib",
    "jsonschema",
    "platformdirs",
    "prompt_toolkit",
    "questionary",
    "re2",
    "rich",
    "tabulate",
    "yaml",
}


RULES = """
version = 1
environment = "dev"
[environments.dev]
vars = { suffix = "-x" }
[targets.app]
kind = "app"
cluster = "main"
service = "web{suffix}"
repository = "web"
build = { context = "backend{suffix}" }
[targets.stack]
kind = "stack"
stack = "S{suffix}"
cdk = "cdk{suffix}"
[targets.function]
kind = "function"
function = "login"
source = "lambda/login"
[targets.site]
kind = "site"
bucket = "site"
source = "site"
"""


def modules(folder: Path, *args: str, **env: str) -> set[str]:
    """The modules that a run of toolkit loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "toolkit", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return {
        line.rsplit("|", 1)[1].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }


def loaded(folder: Path, *args: str, **env: str) -> set[str]:
    """The top-level packages that a run of toolkit loads."""
    return {module.partition(".")[0] for module in modules(folder, *args, **env)}


@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("--version",),
        ("diff", "--help"),
        ("rules", "--help"),
        ("diff", "--json", "HEAD"),
    ],
)
def test_a_quick_command_loads_no_heavy_package(repo: Repo, args: tuple[str, ...]) -> None:
    assert not loaded(repo.path, *args) & HEAVY


@pytest.mark.parametrize("args", [("--help",), ("--version",)])
def test_the_command_line_alone_loads_neither_git_nor_the_nouns(
    repo: Repo, args: tuple[str, ...]
) -> None:
    nouns = {"msgspec", "toolkit.errors", "toolkit.model", "toolkit.ports.git"}
    assert modules(repo.path, *args) & nouns == set()


def test_a_diff_loads_nothing_that_only_a_run_needs(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "repo", {"rules.toml": RULES})
    names = modules(repo.path, "diff", "--json", "--committed", "HEAD")
    assert {"toolkit.model", "toolkit.targets.app.settings"} <= names
    assert not names & {
        "hashlib",
        "urllib.parse",
        "toolkit.operations",
        "toolkit.run",
        "toolkit.record",
    }


def test_a_diff_against_records_loads_neither_threads_nor_what_tables_hardly_ever_need(
    tmp_path: Path,
) -> None:
    repo = Repo.make(tmp_path / "repo", {"rules.toml": RULES})
    (tmp_path / "state").mkdir()
    env = {"TOOLKIT_STATE_DIR": str(tmp_path / "state"), "TOOLKIT_CACHE_DIR": str(tmp_path)}
    names = modules(repo.path, "diff", **env)
    assert {"tabulate", "toolkit.record.ledger"} <= names
    slow = {
        "concurrent.futures",
        "importlib.metadata",
        "logging",
        "secrets",
        "socket",
        "wcwidth.wcwidth",
    }
    assert names & slow == set()


@pytest.mark.parametrize("command", ["deploy", "deploy-app", "deploy-stack"])
def test_a_page_of_help_loads_nothing_of_what_the_command_does(repo: Repo, command: str) -> None:
    names = modules(repo.path, command, "--help")
    assert "toolkit.cli.deploy_options" in names
    assert not names & {"toolkit.cli.deploying", "toolkit.flow.deploy", "toolkit.flow.compare"}


def test_completion_loads_no_heavy_package(repo: Repo) -> None:
    for words in ("toolkit\ndiff\n--", "toolkit\ndeploy\n", "toolkit\nrollback\napp\n--to\n"):
        env = {
            "_TOOLKIT_COMPLETE": "bash",
            "_TOOLKIT_WORDS": words,
            "_TOOLKIT_CURRENT": str(words.count("\n")),
        }
        heavy = {*HEAVY, "click", "msgspec", "subprocess"} - {"hashlib"}
        assert not loaded(repo.path, **env) & heavy


def test_importing_every_module_runs_nothing(tmp_path: Path) -> None:
    """S36: no socket, no child, no file written while modules are loaded."""
    watched = """
import sys
def watch(event, args):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind",
                 "os.mkdir", "os.remove", "os.rename"):
        raise SystemExit(f"{event} {args}")
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes and "__pycache__" not in str(args[0]):
        raise SystemExit(f"{event} {args}")
sys.addaudithook(watch)
sys.dont_write_bytecode = True
import importlib, pkgutil, toolkit
for found in pkgutil.walk_packages(toolkit.__path__, "toolkit."):
    if found.name != "toolkit.__main__":
        importlib.import_module(found.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", watched],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not list(tmp_path.iterdir())


def test_a_list_of_runs_loads_nothing_of_what_carries_them_out(repo: Repo) -> None:
    names = modules(repo.path, "history")
    assert "toolkit.flow.run_stories" in names
    assert not names & {
        "http.cookiejar",
        "ssl",
        "toolkit.flow.compare",
        "toolkit.flow.deploy",
        "toolkit.flow.runs",
        "toolkit.run.step",
    }


@pytest.mark.parametrize("command", ["deploy", "rollback", "resume"])
def test_a_page_of_help_loads_no_openssl(tmp_path: Path, command: str) -> None:
    assert not modules(tmp_path, command, "--help") & {"http.cookiejar", "ssl", "urllib.request"}


ONLY_A_RUN = {
    "jsonpath",
    "tarfile",
    "toolkit.artifacts.images.bases",
    "toolkit.artifacts.images.builtin",
    "toolkit.ports.aws.client",
    "toolkit.ports.net.policy",
    "toolkit.ports.registry",
    "toolkit.record",
    "toolkit.run",
}


@pytest.mark.parametrize("args", [("rules", "check"), ("doctor",)])
def test_what_only_looks_at_files_loads_nothing_that_builds_or_asks(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    files = {"rules.toml": RULES, "backend-x/Dockerfile": "FROM scratch\nCOPY a /a\n"}
    names = modules(Repo.make(tmp_path / "repo", files).path, *args)
    assert "toolkit.flow.versions" in names
    assert not names & ONLY_A_RUN
    assert not {name for name in names if name.startswith("toolkit.init.filters")}
    assert "toolkit.init.draft_builder" not in names
