"""The image of a function as a step of a run."""

from pathlib import Path

import pytest

from tests.names.test_functions import RULES
from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import Toolkit

DEPLOY = ("deploy-function", "mail", "--yes", "--adopt", "--builder", "built-in", "--json")
FILES = {"mail/Dockerfile": "FROM scratch\nCOPY index.py /\n", "mail/index.py": "x = 1\n"}


@pytest.fixture
def repo(aws_endpoint: Endpoint, tmp_path: Path) -> Repo:
    aws_endpoint.functions.function("mail", package="Image")
    aws_endpoint.ecr.repository("mail")
    image = 'image = { repository = "mail", context = "mail" }'
    rules = RULES.replace('source = "mail"', image)
    return Repo.make(tmp_path / "repo", FILES, rules)


def test_an_image_is_built_first_and_can_be_built_alone(
    repo: Repo, aws_endpoint: Endpoint, toolkit: Toolkit
) -> None:
    refused = toolkit(repo.path, *DEPLOY, "--skip-build")
    assert refused.code == 2
    assert "is not built yet" in refused.out + refused.err
    built = toolkit(repo.path, *DEPLOY, "--only-build")
    assert [step["step"] for step in built.json["steps"]] == ["mail:build"]
    function = aws_endpoint.functions.functions["mail"]
    assert (built.code, function.aliases["live"]["FunctionVersion"]) == (0, "1")
    done = toolkit(repo.path, *DEPLOY, "--skip-build")
    assert [step["step"] for step in done.json["steps"]] == ["mail"]
    assert (done.code, function.aliases["live"]["FunctionVersion"]) == (0, "2")
    repo.commit("second", {"mail/index.py": "x = 2\n"})
    both = toolkit(repo.path, *DEPLOY)
    assert [step["step"] for step in both.json["steps"]] == ["mail:build", "mail"]
    assert function.aliases["live"]["FunctionVersion"] == "3"
    assert aws_endpoint.calls.applied("registry:PutManifest") == 2
