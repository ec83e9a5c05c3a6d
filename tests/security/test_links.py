"""Files that are read because a repository names them: a link to somebody's keys is not read, not
quoted, not sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from tests.support.sandbox import ACCOUNT, REGION, Cloud
from toolkit.artifacts.images import engines
from toolkit.artifacts.images.types import Recipe
from toolkit.errors import FileProblem, Refused
from toolkit.operations import Location, Provision, ProvisionKind
from toolkit.ports import cdk_environment, files

CANARY = "canary-9f3c1b"
SECRET = f"TOKEN={CANARY}\nFROM {CANARY}\n{CANARY}: [{CANARY}\n"
RULES = """\
version = 1
include = ["checks.toml"]
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
[targets.app]
kind = "app"
cluster = "c"
service = "s"
container = "main"
repository = "app"
build = { context = "app", dockerfile = "app/Dockerfile" }
[targets.queue]
kind = "stack"
stack = "queue"
template = "infra/queue.json"
[targets.cdk]
kind = "stack"
cdk = "cdk"
stack = "one"
[[rules]]
name = "all"
paths = ["**"]
deploy = ["app"]
"""
FILES = {
    "app/Dockerfile": "FROM scratch\nCOPY . /\n",
    "app/Dockerfile.dockerignore": "x\n",
    "app/.dockerignore": "y\n",
    "app/package.json": "{}",
    "app/main.py": "print(1)\n",
    "infra/queue.json": '{"Resources": {}}',
    "cdk/cdk.json": '{"app": "python3 app.py"}',
    "cdk/cdk.context.json": "{}",
    "cdk/app.py": "raise SystemExit('not reached')\n",
    "checks.toml": '[checks.up]\nhttp = "GET https://example.com/"\n',
    "docker-compose.yml": "services: {}\n",
    ".github/workflows/deploy.yml": "on: push\n",
    "serverless.yml": "service: x\n",
    "template.yaml": "Resources: {}\n",
    "pyproject.toml": "[project]\n",
}
DRY = ("deploy-app", "app", "--dry-run", "--builder", "built-in")


def readers(name: str) -> list[tuple[str, ...]]:
    """The commands that read a file of this name."""
    if name.startswith("app/"):
        return [DRY, ("doctor",)]
    if name.startswith(("infra/", "cdk/")):
        return [("deploy-stack", "queue" if name.startswith("infra/") else "cdk", "--dry-run")]
    if name == "checks.toml":
        return [("smoke-test",), ("rules", "check")]
    return (
        [("diff", "HEAD"), ("explain", "x")]
        if name == "rules.toml"
        else [("init", "--out", "-"), ("doctor",)]
    )


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "repo", FILES, RULES)


@pytest.fixture
def live(cloud: Cloud) -> None:
    """What the targets name is there, so that commands come as far as the files."""
    location, detail = (
        Location("dev", REGION, ACCOUNT),
        {
            "cluster": "c",
            "repository": "app",
            "container": "main",
        },
    )
    cloud.emulator.provide(cloud.aws(), location, Provision(ProvisionKind.SERVICE, "s", detail))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "credentials"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


def linked(repo: Repo, name: str, to: Path) -> None:
    (repo.path / name).unlink()
    (repo.path / name).symlink_to(to)


@pytest.mark.slow("hostile input", keep=5)
@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("where", ["outside", "git"])
@pytest.mark.parametrize("name", ["rules.toml", *FILES])
def test_no_command_quotes_what_a_link_leads_to(
    repo: Repo, secret: Path, toolkit: Toolkit, name: str, where: str
) -> None:
    if where == "git":
        with open(repo.path / ".git/config", "a") as file:
            file.write(f'[http "https://example.com/"]\n\textraheader = {CANARY}\n')
    linked(repo, name, secret if where == "outside" else repo.path / ".git/config")
    for command in readers(name):
        actual = toolkit(repo.path, *command)
        assert CANARY not in actual.out + actual.err, command
        assert actual.code != 3, actual.err


@pytest.mark.slow("hostile input", keep=4)
@pytest.mark.usefixtures("live")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("app/Dockerfile", DRY),
        ("app/Dockerfile.dockerignore", DRY),
        ("rules.toml", ("diff", "HEAD")),
        ("checks.toml", ("smoke-test", "--allow-untrusted-rules")),
        ("infra/queue.json", ("deploy-stack", "queue", "--dry-run")),
        ("cdk/cdk.json", ("deploy-stack", "cdk", "--dry-run")),
        ("cdk/cdk.context.json", ("deploy-stack", "cdk", "--dry-run")),
    ],
)
@pytest.mark.parametrize("step", ["link", "two links", "folder"])
def test_a_link_out_is_refused_and_named(
    repo: Repo, secret: Path, toolkit: Toolkit, name: str, command: tuple[str, ...], step: str
) -> None:
    folder = name.rpartition("/")[0]
    if step == "folder" and folder:
        target = secret.parent / os.path.basename(name)
        target.write_text(SECRET)
        os.rename(repo.path / folder, repo.path / "old")
        (repo.path / folder).symlink_to(secret.parent)
    elif step == "two links":
        (repo.path / "between").symlink_to(secret)
        linked(repo, name, Path("between") if "/" not in name else Path("../between"))
    else:
        linked(repo, name, secret)
    actual = toolkit(repo.path, *command)
    assert actual.code == 2
    assert (
        "link" in actual.err
        or "outside of the repository" in actual.err
        or "not a folder of this repository" in actual.err
    )
    assert CANARY not in actual.out + actual.err


def test_a_link_inside_of_the_repository_is_read(repo: Repo, toolkit: Toolkit) -> None:
    os.rename(repo.path / "rules.toml", repo.path / "shared.toml")
    (repo.path / "rules.toml").symlink_to("shared.toml")
    assert toolkit(repo.path, "rules", "check").code == 0


def test_rules_that_a_person_names_may_lie_anywhere(
    repo: Repo, secret: Path, toolkit: Toolkit
) -> None:
    elsewhere = secret.parent / "rules.toml"
    elsewhere.write_text(RULES.replace('include = ["checks.toml"]\n', ""))
    assert toolkit(repo.path, "diff", "--rules", str(elsewhere), "HEAD").code == 0


def recipe(repo: Repo) -> Recipe:
    return Recipe(str(repo.path), "app", "app/Dockerfile")


@pytest.mark.parametrize("name", ["app/Dockerfile", "app/Dockerfile.dockerignore"])
def test_an_engine_is_not_started_on_a_file_that_is_not_the_repositorys(
    repo: Repo, secret: Path, name: str
) -> None:
    assert engines._options(recipe(repo))
    linked(repo, name, secret)
    with pytest.raises(FileProblem, match="a link that leads out of the repository"):
        engines._options(recipe(repo))


def test_an_engine_is_not_given_a_context_elsewhere(repo: Repo, secret: Path) -> None:
    (repo.path / "linked").symlink_to(secret.parent)
    request = Recipe(str(repo.path), "linked", "app/Dockerfile")
    with pytest.raises(Refused, match="not a folder of this repository"):
        engines._options(request)
    (repo.path / "app/Dockerfile.dockerignore").unlink()
    (repo.path / "app/.dockerignore").unlink()
    (repo.path / "app/.dockerignore").symlink_to(secret)
    with pytest.raises(FileProblem, match="leads out"):
        engines._options(recipe(repo))


FUNCTION = """\
Resources:
  Api:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code
      Handler: main.handler
"""


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("where", ["outside", "git"])
@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "package.json"])
def test_what_names_the_packages_of_a_templates_code_is_refused_as_a_link_out(
    repo: Repo, secret: Path, toolkit: Toolkit, name: str, where: str
) -> None:
    config = repo.path / ".git/config"
    repo.write(
        {"infra/queue.json": FUNCTION, "infra/code/main.py": "def handler(event, context): ...\n"}
    )
    (repo.path / "infra/code" / name).symlink_to(secret if where == "outside" else config)
    actual = toolkit(repo.path, "deploy-stack", "queue", "--dry-run")
    assert actual.code == 2, actual.err
    assert f"infra/code/{name}" in actual.err
    message = (
        "a link that leads out of the repository"
        if where == "outside"
        else "it is in git's own folder"
    )
    assert message in actual.err
    assert CANARY not in actual.out + actual.err


def test_a_source_of_a_cdk_app_is_looked_into_only_inside_of_the_repository(
    repo: Repo, secret: Path
) -> None:
    secret.with_name("app.py").write_text("os.environ['CANARY']\nos.environ[name]\n")
    repo.write({"shared/inside.py": "os.environ['SHARED']\n"})
    (repo.path / "cdk/outside.py").symlink_to(secret.with_name("app.py"))
    (repo.path / "cdk/inside.py").symlink_to("../shared/inside.py")
    (repo.path / ".git/hook.py").write_text("os.environ['HOOK']\n")
    (repo.path / "cdk/hook.py").symlink_to("../.git/hook.py")
    os.mkfifo(repo.path / "cdk/pipe.py")
    assert cdk_environment.reads(
        str(repo.path / "cdk"), str(repo.path)
    ) == cdk_environment.EnvironmentReads(frozenset({"SHARED"}), False)


Make = Callable[[Path], None]


@pytest.mark.slow("hostile input", keep=5)
@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("nothing"),
        lambda path: None,
    ],
    ids=["pipe", "folder", "device", "broken link", "missing"],
)
@pytest.mark.parametrize(
    "name",
    [
        "app/Dockerfile",
        "checks.toml",
        "rules.toml",
        "infra/queue.json",
        "cdk/cdk.json",
        "app/.dockerignore",
    ],
)
def test_what_is_no_file_is_told_at_once(
    repo: Repo, toolkit: Toolkit, name: str, make: Make
) -> None:
    (repo.path / "app/Dockerfile.dockerignore").unlink()
    (repo.path / name).unlink()
    make(repo.path / name)
    for command in readers(name):
        assert ended(toolkit(repo.path, *command))


def ended(result: Result) -> bool:
    return result.code in (0, 1, 2, 4, 7)


def test_a_pipe_is_no_file_wherever_the_repository_lies(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "other")
    (tmp_path / "folder").symlink_to("/dev")
    for name in ("pipe", "folder/null", "folder/stdin", "../x", "/etc/passwd", ".git/config"):
        with pytest.raises(FileProblem):
            files.read_inside(str(tmp_path), name, 10)


def test_a_file_that_becomes_a_link_on_the_way_is_not_followed(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the reading somebody puts a link in its place."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("fine")
    plain = files.within

    def within(root: str, name: str) -> str:
        text = plain(root, name)
        (tmp_path / "folder/file").unlink()
        (tmp_path / "folder/file").symlink_to(secret)
        return text

    monkeypatch.setattr(files, "within", within)
    with pytest.raises(FileProblem):
        files.read_inside(str(tmp_path), "folder/file", 100)
