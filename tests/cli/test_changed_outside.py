"""Another client changes what toolkit has deployed: real processes, an emulated AWS. One system for
the whole file, in order.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.town import RULES, Town, eventually, main

pytestmark = [pytest.mark.slow("sandbox"), pytest.mark.sandbox]

VALUE = "a-value-that-is-never-shown"
WORKER = """
[targets.worker]
kind = "app"
cluster = "town"
service = "worker"
repository = "web"
build = { context = "app" }
estimate = "10s"

[[rules]]
name = "Worker"
paths = ["app/**", "worker/**"]
deploy = ["worker"]
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    created = Town(
        tmp_path_factory.mktemp("town"), RULES.replace('needs = ["queue"]\n', "") + WORKER
    )
    yield created
    created.down()


def definition(town: Town, service: str = "web") -> dict[str, Any]:
    ecs = town.cloud("ecs")
    arn = ecs.describe_services(cluster="town", services=[service])["services"][0]["taskDefinition"]
    document: dict[str, Any] = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    return document


def variables(town: Town) -> list[str]:
    return [
        item["name"] for item in definition(town)["containerDefinitions"][0].get("environment", ())
    ]


def tamper(town: Town) -> None:
    """Register a copy of the running task definition with one more variable, and move the service
    to it.
    """
    ecs, body = town.cloud("ecs"), definition(town)
    family, [container] = body["family"], body["containerDefinitions"]
    container = {
        **container,
        "environment": [*container.get("environment", ()), {"name": "EXTRA", "value": VALUE}],
    }
    more = {
        key: body[key]
        for key in ("networkMode", "requiresCompatibilities", "cpu", "memory")
        if key in body
    }
    created = ecs.register_task_definition(family=family, containerDefinitions=[container], **more)[
        "taskDefinition"
    ]["taskDefinitionArn"]
    ecs.update_service(cluster="town", service="web", taskDefinition=created)

    def steady() -> bool:
        deployments = ecs.describe_services(cluster="town", services=["web"])["services"][0][
            "deployments"
        ]
        return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED"

    eventually(steady)


def newest_run(town: Town) -> str:
    return str(town("rollback", "app", "--list", "--json").json["versions"][0]["run"])


def test_an_image_of_two_services_is_built_and_pushed_once(town: Town) -> None:
    dry = town("deploy", "app", "worker", "--dry-run")
    push = f"ecr:PutImage image=111111111111.dkr.ecr.eu-west-1.amazonaws.com/web:{town.repo.head}"
    lines = " ".join(line.strip() for line in dry.out.splitlines())
    assert lines.count(push) == 1
    assert f"app:build {push} app (after app:build) ecs:RegisterTaskDefinition" in lines
    steps = town("deploy", "app", "worker", "--dry-run", "--json").json["steps"]
    assert [(step["step"], step["action"], step["needs"]) for step in steps] == [
        ("app:build", "build", []),
        ("app", "deploy", ["app:build"]),
        ("worker", "deploy", ["app:build"]),
    ]
    done = town("deploy", "app", "worker", "--yes", "--json")
    assert (done.code, {step["verdict"] for step in done.json["steps"]}) == (
        0,
        {"succeeded"},
    ), done.err
    images = town.cloud("ecr").list_images(repositoryName="web")["imageIds"]
    assert [image["imageTag"] for image in images if image.get("imageTag") == town.repo.head] == [
        town.repo.head
    ]
    assert (
        definition(town)["containerDefinitions"][0]["image"]
        == definition(town, "worker")["containerDefinitions"][0]["image"]
    )
    assert town("deploy", "app", "worker", "--yes", "--json").json["status"] == "unchanged"


def test_a_hand_made_change_is_told_and_gives_way_to_what_was_deployed(town: Town) -> None:
    first = newest_run(town)
    tamper(town)
    health = town("health", "app")
    assert "toolkit deploy-app app" in health.out
    dry = town("deploy-app", "app", "--dry-run")
    words = " ".join(dry.out.split())
    assert (
        "is running, but toolkit did not deploy it: variable EXTRA added; the new revision is"
        " based on" in words
    )
    done = town("deploy-app", "app", "--yes", "--json")
    assert [step["step"] for step in done.json["steps"]] == ["app"]  # its image is there
    assert (done.code, done.json["steps"][0]["verdict"], variables(town)) == (0, "succeeded", [])
    assert VALUE not in health.out + dry.out + dry.err + done.out + done.err
    assert "changed behind" not in town("health", "app").out
    assert (
        town("rollback", "app", "--to", first, "--yes").code == 0
    )  # the earlier run is still known
    assert variables(town) == []


def test_a_no_op_does_not_record_what_nobody_deployed(town: Town) -> None:
    before = town("rollback", "app", "--list", "--json").json["versions"]
    tamper(town)
    town("deploy-app", "app", "--dry-run")
    assert town("rollback", "app", "--list", "--json").json["versions"] == before


def test_the_next_commit_does_not_launder_a_hand_made_change(town: Town) -> None:
    town.repo.commit(files={"app/main.py": main("version two")})
    assert town("deploy-app", "app", "--yes").code == 0
    assert (variables(town), town.answer()) == ([], "version two")


def test_a_hand_made_change_is_kept_where_somebody_says_so(town: Town) -> None:
    tamper(town)
    assert town("deploy-app", "app", "--take-over", "--yes").code == 0
    assert variables(town) == ["EXTRA"]
    assert town("deploy-app", "app", "--yes", "--json").json["status"] == "unchanged"
    town.repo.commit(files={"app/main.py": main("version three")})
    assert town("deploy-app", "app", "--yes").code == 0
    assert (variables(town), town.answer()) == (["EXTRA"], "version three")


def test_a_repository_that_is_not_there_is_made_with_consent(town: Town) -> None:
    rules = town.repo.path / "rules.toml"
    rules.write_text(
        rules.read_text().replace(
            'service = "worker"\nrepository = "web"', 'service = "worker"\nrepository = "jobs"'
        )
    )
    town.repo.commit("A repository of its own")
    refused = town("deploy-app", "worker", "--yes")
    assert (refused.code, "toolkit deploy-app worker --create" in refused.err) == (2, True)
    dry = town("deploy-app", "worker", "--create", "--dry-run")
    assert "ecr:CreateRepository repository=jobs" in dry.out
    assert town("deploy-app", "worker", "--create", "--yes").code == 0
    created = town.cloud("ecr").describe_repositories(repositoryNames=["jobs"])["repositories"][0]
    assert created["imageTagMutability"] == "IMMUTABLE"
