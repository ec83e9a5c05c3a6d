"""Functions that are really called, from their folder to their answer: deploy, rollback, and what
their callers see meanwhile.
"""

import io
import json
import time
import zipfile
from pathlib import Path

import pytest

from tests.support.probe import in_turn, probing
from tests.support.repo import Repo
from tests.support.run import Toolkit
from tests.support.sandbox import ACCOUNT, REGION, Cloud
from toolkit.targets.function.kind import kind as function

CODE = "def handler(event, context):\n    return {answer!r}\n"
RULES = f"""\
version = 1
project = "mail"
environment = "dev"

[environments.dev]
account = "{ACCOUNT}"
regions = ["{REGION}"]

[targets.mail]
kind = "function"
function = "mail"
source = "mail"

[[rules]]
name = "Mail"
paths = ["mail/**"]
deploy = ["mail"]
"""


class Town:
    """A repository whose folder `mail` is the code of function `mail`; somebody else has published
    its version 1, to which the alias leads.
    """

    def __init__(self, cloud: Cloud, folder: Path, toolkit: Toolkit) -> None:
        self.aws, self._toolkit = cloud.aws(), toolkit
        self.repo = Repo.make(folder / "repo", {"mail/index.py": CODE.format(answer="one")}, RULES)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", CODE.format(answer="theirs"))
        self.aws.write(
            "lambda",
            "create_function",
            FunctionName="mail",
            Runtime="python3.11",
            Handler="index.handler",
            Role=f"arn:aws:iam::{ACCOUNT}:role/mail",
            Code={"ZipFile": packed.getvalue()},
            Environment={"Variables": {"TOKEN": "canary"}},
            Publish=True,
        )
        self.aws.write(
            "lambda", "create_alias", FunctionName="mail", Name="live", FunctionVersion="1"
        )
        while self.answer() != "theirs":
            time.sleep(0.05)

    def write(self, answer: str) -> None:
        """Commit code that answers this."""
        self.repo.write({"mail/index.py": CODE.format(answer=answer)})
        self.repo.commit(answer)

    def toolkit(self, *words: str) -> str:
        """A command that succeeds: what it says."""
        result = self._toolkit(self.repo.path, *words)
        assert result.code == 0, (result.out, result.err)
        assert "canary" not in result.out + result.err
        return result.out + result.err

    def answer(self) -> str:
        """What a call by the alias answers."""
        result = self.aws.read("lambda", "invoke", FunctionName="mail", Qualifier="live")
        return str(json.loads(result["Payload"].read()))


@pytest.fixture
def town(cloud: Cloud, tmp_path: Path, toolkit: Toolkit) -> Town:
    return Town(cloud, tmp_path, toolkit)


def test_callers_get_the_old_answers_then_the_new_ones_and_no_failure(town: Town) -> None:
    with probing(town.answer) as answers:
        town.toolkit("deploy-function", "mail", "--yes", "--adopt")
    assert in_turn(answers) == ["theirs", "one"]
    town.write("two")
    with probing(town.answer) as answers:
        town.toolkit("deploy", "--yes")
    assert in_turn(answers) == ["one", "two"]
    with probing(town.answer) as answers:
        town.toolkit("rollback", "mail", "--yes")
    assert in_turn(answers) == ["two", "one"]


def test_a_deploy_is_seen_by_diff_health_and_the_next_deploy(town: Town) -> None:
    assert "toolkit deploy-function mail" in town.toolkit("diff")
    assert "was not deployed by toolkit: this replaces its code" in town.toolkit(
        "deploy-function", "mail", "--dry-run"
    )
    town.toolkit("deploy", "--all", "--yes", "--adopt")
    for base in ((), ("live",)):
        assert "Nothing to deploy" in town.toolkit("diff", *base)
    assert "version 2" in town.toolkit("health", "--verbose")
    before = len(_versions(town))
    # other files, another commit, a cache that git ignores, the same code: nothing is deployed
    town.repo.write({"README.md": "x", ".gitignore": "__pycache__/\n"})
    town.repo.commit("words")
    cache = town.repo.path / "mail" / "__pycache__" / "index.pyc"
    cache.parent.mkdir()
    cache.write_text("cache")
    said = town.toolkit("deploy-function", "mail", "--yes")
    assert "nothing to do" in said
    assert "generated" not in said
    assert len(_versions(town)) == before


def _versions(town: Town) -> list[str]:
    listed = town.aws.read("lambda", "list_versions_by_function", FunctionName="mail")
    return [version["Version"] for version in listed["Versions"]]


def test_the_function_that_the_sandbox_makes_can_be_deployed(
    cloud: Cloud, tmp_path: Path, toolkit: Toolkit
) -> None:
    repo = Repo.make(tmp_path / "repo", {"mail/handler.py": CODE.format(answer="one")}, RULES)
    from toolkit.operations import Location

    settings = function.Settings(function="mail", source="mail")
    aws = cloud.aws()
    cloud.emulator.provide(aws, Location("dev", REGION, ACCOUNT), *function.provisions(settings))
    result = toolkit(repo.path, "deploy-function", "mail", "--yes", "--adopt")
    assert result.code == 0, (result.out, result.err)
    answer = aws.read("lambda", "invoke", FunctionName="mail", Qualifier="live")
    assert json.loads(answer["Payload"].read()) == "one"
    # what it has written is shown with the version that wrote it
    tailed = toolkit(repo.path, "tail", "mail", "--no-follow")
    assert tailed.code == 0, tailed.err
    assert all(" mail:2  " in line for line in tailed.out.splitlines())
    assert "START RequestId" in tailed.out
    assert "END RequestId" in tailed.out
