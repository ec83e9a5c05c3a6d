"""What a function's version is called: whatever is in the folder is in the package."""

import re
from pathlib import Path

import pytest

from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit.targets.function import marks

RULES = """\
version = 1
project = "mail"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.mail]
kind = "function"
function = "mail"
source = "mail"

[[rules]]
name = "Mail"
paths = ["mail/**/*.py"]
deploy = ["mail"]
"""
FILES = {
    "mail/index.py": "def handler(*_):\n    return 1\n",
    ".gitignore": "*.json\n__pycache__/\n",
    "README.md": "x\n",
}


@pytest.fixture
def repo(aws_endpoint: Endpoint, tmp_path: Path) -> Repo:
    """A repository whose folder `mail` is the code of a function."""
    aws_endpoint.functions.function("mail")
    return Repo.make(tmp_path / "repo", FILES, RULES)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", r"[0-9a-f]{40}"),
        ("mail/__pycache__/index.pyc", r"[0-9a-f]{40}"),
        ("mail/.aws-sam/build.json", r"[0-9a-f]{40}"),
        ("other/config.json", r"[0-9a-f]{40}"),
        ("mail/config.json", r"[0-9a-f]{40}-generated-[0-9a-f]{12}"),
        ("mail/new.txt", r"[0-9a-f]{40}-dirty-[0-9a-f]{12}"),
        ("mail/index.py", r"[0-9a-f]{40}-dirty-[0-9a-f]{12}"),
    ],
)
def test_a_version_says_what_is_in_its_package_besides_the_commit(
    aws_endpoint: Endpoint, repo: Repo, toolkit: Toolkit, path: str, name: str
) -> None:
    if path:
        repo.write({path: "x = 1\n"})
    result = toolkit(repo.path, "deploy-function", "mail", "--yes", "--adopt")
    assert result.code == 0, (result.out, result.err)
    alias = aws_endpoint.functions.functions["mail"].aliases["live"]
    written = marks.read(alias["Description"])
    assert re.fullmatch(name, written["v"]), written
    assert alias["FunctionVersion"] == "2"


def test_what_a_build_has_made_in_a_folder_of_caches_is_named_where_it_is_deployed(
    aws_endpoint: Endpoint, tmp_path: Path, toolkit: Toolkit
) -> None:
    aws_endpoint.functions.function("mail")
    rules = RULES.replace('source = "mail"', 'source = ".aws-sam/build/Mail"')
    files = {**FILES, ".gitignore": ".aws-sam/\n"}
    repo = Repo.make(tmp_path / "repo", files, rules)
    repo.write({".aws-sam/build/Mail/index.py": "x = 1\n"})
    result = toolkit(repo.path, "deploy-function", "mail", "--yes", "--adopt")
    assert result.code == 0, (result.out, result.err)
    alias = aws_endpoint.functions.functions["mail"].aliases["live"]
    assert re.fullmatch(
        r"[0-9a-f]{40}-generated-[0-9a-f]{12}", marks.read(alias["Description"])["v"]
    )
