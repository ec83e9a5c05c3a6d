"""The image of a function as a step of a run."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.names.test_functions import RULES
from tests.support.aws import Endpoint
from tests.support.builders import CountingBuilder
from tests.support.repo import Repo
from tests.support.run import Toolkit
from tests.targets.functions import COMMIT, FunctionStage
from tests.targets.test_app_images import engine as engine
from toolkit.flow.builds import only_builds, with_builds
from toolkit.operations import Job, Location
from toolkit.ports.aws.client import Aws
from toolkit.ports.sharing import SharedWork
from toolkit.targets.function.kind import kind as function
from toolkit.targets.function.settings import FunctionImage

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
    assert done.json["steps"][0]["size"]["growth"] is None  # what ran before is in no repository
    repo.commit("second", {"mail/index.py": "x = 2\n"})
    both = toolkit(repo.path, *DEPLOY)
    assert [step["step"] for step in both.json["steps"]] == ["mail:build", "mail"]
    assert function.aliases["live"]["FunctionVersion"] == "3"
    size = both.json["steps"][1]["size"]
    assert (size["what"], size["bytes"] > 100, size["growth"] is not None) == ("image", True, True)
    assert aws_endpoint.calls.applied("registry:PutManifest") == 2


def in_two_regions(endpoint: Endpoint, folder: Path) -> tuple[FunctionStage, list[Job]]:
    """A function from an image in two regions, each with its repository; nothing is built yet."""
    stage = FunctionStage(endpoint, folder, package="Image")
    endpoint.ecr.repository("mail")
    endpoint.at("us-east-1", "ecr").repository("mail")
    endpoint.at("us-east-1", "lambda").function("mail", package="Image")
    (folder / "mail" / "Dockerfile").write_text("FROM scratch\nCOPY index.py /\n")
    clients = {region: Aws(None, region) for region in ("eu-west-1", "us-east-1")}
    stage.ports = replace(
        stage.ports, clouds=lambda profile, region: clients[str(region)], shared=SharedWork()
    )
    here = stage.job({"source": None, "image": FunctionImage(repository="mail", context="mail")})
    there = Location("dev", "us-east-1", "111111111111")
    return stage, [here, replace(here, step="mail@us", token="t-us", location=there)]


@pytest.mark.parametrize("alone", [False, True])
def test_two_regions_have_one_build_and_one_digest(
    aws_endpoint: Endpoint, tmp_path: Path, engine: CountingBuilder, alone: bool
) -> None:
    stage, jobs = in_two_regions(aws_endpoint, tmp_path)
    previews = {job.step: function.preview(job, stage.ports) for job in jobs}
    steps = (only_builds if alone else with_builds)(jobs, previews)[0]
    assert [job.step for job in steps if job.is_build] == ["mail:build", "mail@us:build"][
        : 2 if alone else 1
    ]
    for job in steps:
        (function.build if job.is_build else function.apply)(job, stage.ports, stage.report())
    images = [
        aws_endpoint.at(region, "ecr").repositories["mail"].found(COMMIT)
        for region in ("eu-west-1", "us-east-1")
    ]
    assert (engine.builds, len({image.digest for image in images})) == (1, 1)


def test_a_function_on_another_processor_has_a_build_of_its_own(
    aws_endpoint: Endpoint, tmp_path: Path, engine: CountingBuilder
) -> None:
    stage, jobs = in_two_regions(aws_endpoint, tmp_path)
    other = aws_endpoint.at("us-east-1", "lambda").functions["mail"]
    other.more = {"Architectures": ["arm64"]}
    for job in jobs:
        function.apply(job, stage.ports, stage.report())
    assert engine.builds == 2
