"""A site that is built with an output of a stack: it joins the run that changes that output, and
only then. With real processes, in a sandbox.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.town import FILES, RULES, Town

WEB = """
[targets.web]
kind = "site"
source = "dist"
bucket = "town-web"
needs = ["queue"]
build = { command = ["./build.sh"], env = { QUEUE = "{outputs.queue.Name}" } }

[targets.infra]
kind = "group"
members = ["queue", "topic"]
"""
BUILD = '#!/bin/sh\nmkdir -p dist && echo "<p>$QUEUE</p>" >dist/index.html\n'


def queue(name: str, seconds: int = 30) -> str:
    """The queue's stack, whose output is its name."""
    properties = {"QueueName": name, "VisibilityTimeout": seconds}
    resources = {"Jobs": {"Type": "AWS::SQS::Queue", "Properties": properties}}
    output = {"Name": {"Value": {"Fn::GetAtt": ["Jobs", "QueueName"]}}}
    return json.dumps({"Resources": resources, "Outputs": output})


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    rules = RULES.replace("[[rules]]", f"{WEB}\n[[rules]]", 1)
    rules += '\n[[rules]]\nname = "Web"\npaths = ["web/**", "build.sh"]\ndeploy = ["web"]\n'
    files = {**FILES, "build.sh": BUILD, ".gitignore": "dist/\n", "infra/queue.json": queue("one")}
    town = Town(tmp_path, rules, files)
    (town.repo.path / "build.sh").chmod(0o755)
    town.repo.git("add", "-A")
    town.repo.git("commit", "-q", "-m", "executable")
    assert town("deploy", "queue", "topic", "web", "--yes", "--adopt").code == 0
    yield town
    town.down()


def page(town: Town) -> str:
    """What the site shows."""
    stored = town.cloud("s3").get_object(Bucket="town-web", Key="index.html")
    return str(stored["Body"].read().decode().strip())


def verdicts(town: Town, *args: str) -> dict[str, str]:
    """The verdict of each step of a deploy."""
    options = ["--yes", "--allow-replace", "--allow-delete", "--json"]
    if "--plan" not in args:
        options += ["--without", "app"]
    done = town("deploy", *args, *options)
    assert done.code == 0, done.err
    return {step["step"]: step["verdict"] for step in done.json["steps"]}


def test_a_site_joins_the_run_that_changes_an_output_it_uses_and_only_then(town: Town) -> None:
    assert page(town) == "<p>one</p>"
    town.repo.commit("longer", {"infra/queue.json": queue("one", 60)})
    assert verdicts(town) == {"queue": "succeeded", "web": "unchanged"}
    town.repo.commit("another name", {"infra/queue.json": queue("two", 60)})
    planned = town("deploy", "--dry-run").out
    assert "only if outputs of queue change" in planned
    assert verdicts(town) == {"queue": "succeeded", "web": "succeeded"}
    assert page(town) == "<p>two</p>"
    # also where the other one is named, and where the plan comes from a file
    town.repo.commit("a third name", {"infra/queue.json": queue("three", 60)})
    assert verdicts(town, "queue") == {"queue": "succeeded", "web": "succeeded"}
    assert page(town) == "<p>three</p>"
    town.repo.commit("a fourth name", {"infra/queue.json": queue("four", 60)})
    assert town("diff", "--out", "../plan.json").code == 0
    from_file = verdicts(town, "--plan", "../plan.json")
    assert (from_file["queue"], from_file["web"]) == ("succeeded", "succeeded")
    assert page(town) == "<p>four</p>"
    # what was left out is due as long as it uses the outputs of before
    town.repo.commit("a fifth name", {"infra/queue.json": queue("five", 60)})
    assert verdicts(town, "infra", "--without", "web").keys() == {"queue", "topic"}
    live = town("diff", "live", "--json").json["states"]
    assert "web" not in live.get("clean", [])
    assert verdicts(town) == {"web": "succeeded"}
    assert page(town) == "<p>five</p>"
