"""What `doctor` says of the programs that are needed, beside those that are only nice to have."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit
from toolkit.ports import process

Programs = Callable[..., None]
COMMAND = """version = 1
[targets.infra]
kind = "command"
deploy = ["./deploy.sh"]
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Only git and these programs are installed: name -> a line of shell."""
    which = process.which

    def install(**scripts: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)

        def found(name: str) -> str | None:
            if name in scripts:
                return str(folder / name)
            return which(name) if name == "git" else None

        monkeypatch.setattr(process, "which", found)

    return install


def remarks(toolkit: Toolkit, folder: Path) -> dict[str, str]:
    """What is said of each program. Nothing of it is a failure."""
    result = toolkit(folder, "doctor", "--json")
    assert result.code == 0, result.err
    return {row["name"]: row["remark"] for row in result.json["programs"]}


@pytest.mark.parametrize(
    ("version", "remark"),
    [
        ("aws-cli/2.31.0 Python/3.13.7 Linux/6.1", ""),
        ("aws-cli/1.45.11 Python/3.11.7 Linux/6.1", "too old; "),
        (None, "not found; "),
    ],
)
def test_the_aws_cli_is_looked_for_where_printed_commands_need_it(
    tmp_path: Path, toolkit: Toolkit, programs: Programs, version: str | None, remark: str
) -> None:
    if version is None:
        programs()
    else:
        programs(aws=f"echo {version}")
    said = remarks(toolkit, Repo.make(tmp_path / "repo", {"a": ""}, RULES).path)["aws"]
    wanted = ""
    if remark:
        wanted = f"{remark}commands that `health` prints need version 2 of the AWS CLI"
    assert said == wanted


def test_a_project_without_aws_needs_no_aws_cli(
    tmp_path: Path, toolkit: Toolkit, programs: Programs
) -> None:
    programs()
    repo = Repo.make(tmp_path / "repo", {"a": ""}, COMMAND)
    assert remarks(toolkit, repo.path)["aws"] == "not found"


@pytest.mark.parametrize("answers", [True, False])
def test_a_docker_whose_daemon_does_not_answer_is_told(
    tmp_path: Path, toolkit: Toolkit, programs: Programs, answers: bool
) -> None:
    daemon = "exit 0" if answers else "exit 1"
    programs(docker=f'[ "$1" != --version ] || {{ echo Docker version 28.2.2; exit 0; }}; {daemon}')
    said = remarks(toolkit, Repo.make(tmp_path / "repo", {"a": ""}, RULES).path)["docker"]
    wanted = "it does not answer, so it builds nothing: docker info"
    assert said == ("" if answers else wanted)
