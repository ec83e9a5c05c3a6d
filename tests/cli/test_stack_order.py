"""The stacks of a CDK app are deployed in the app's own order, without `needs` in rules.toml."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.town import FILES, RULES, Town

APP = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(parents=True)
export = {"Name": {"Value": {"Fn::GetAtt": ["Q", "QueueName"]}, "Export": {"Name": "net-queue"}}}
queue = {"Q": {"Type": "AWS::SQS::Queue"}}
parameter = {"Type": "String", "Value": {"Fn::ImportValue": "net-queue"}, "Name": "/api/queue"}
templates = {
    "Net": {"Resources": queue, "Outputs": export},
    "Api": {"Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": parameter}}},
}
artifacts = {}
for name, template in templates.items():
    (out / f"{name}.json").write_text(json.dumps(template))
    artifacts[name] = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/unknown-region",
        "properties": {"templateFile": f"{name}.json", "stackName": f"Town{name}"},
        "dependencies": ["Net"] if name == "Api" else [],
    }
(out / "manifest.json").write_text(json.dumps({"version": "48.0.0", "artifacts": artifacts}))
"""

STACKS = """
[targets.api]
kind = "stack"
stack = "TownApi"
cdk = "cdk"
estimate = "1h"

[targets.net]
kind = "stack"
stack = "TownNet"
cdk = "cdk"
estimate = "1s"
"""


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    rules = RULES.replace("[[rules]]", f"{STACKS}\n[[rules]]", 1)
    files = {**FILES, "cdk/app.py": APP, "cdk/cdk.json": '{"app": "python3 app.py"}\n'}
    town = Town(tmp_path, rules, files)
    yield town
    town.down()


def test_what_an_export_is_taken_from_is_deployed_first(town: Town) -> None:
    done = town("deploy", "api", "net", "--yes", "--json")
    assert done.code == 0, done.err
    stacks = town.cloud("cloudformation").describe_stacks()["Stacks"]
    created = {stack["StackName"]: stack["CreationTime"] for stack in stacks}
    assert created["TownNet"] < created["TownApi"]
    parameter = town.cloud("ssm").get_parameter(Name="/api/queue")["Parameter"]["Value"]
    [queue] = town.cloud("sqs").list_queues(QueueNamePrefix="TownNet")["QueueUrls"]
    assert parameter == queue.rpartition("/")[2]
    # the other way round in rules.toml: nothing is begun
    rules = (town.repo.path / "rules.toml").read_text()
    wrong = rules.replace('stack = "TownNet"\n', 'stack = "TownNet"\nneeds = ["api"]\n')
    town.repo.commit("wrong order", {"rules.toml": wrong})
    refused = town("deploy", "api", "net", "--yes", "--force")
    assert refused.code == 2, refused.err
    assert "wait for each other" in refused.err
