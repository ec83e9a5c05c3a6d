"""What several stacks have by what CloudFormation says, beside what was recorded of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.stacks import Stacks, queue, template
from toolkit.operations import DeployedState, Job, RecordedDeploy
from toolkit.ports.aws.client import Aws
from toolkit.targets.stack import deployed, several
from toolkit.targets.stack.kind import kind
from toolkit.templates.compare import compare
from toolkit.templates.model import Asset, AssetKind, SynthesizedStack
from toolkit.templates.refinement import Synthesis

NAMES = ("Jobs", "Net")


class Deployed:
    """Two stacks as they were deployed, and what CloudFormation says of them."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.stacks = Stacks(folder, Aws(None, "eu-west-1"))
        self.live = {}
        self.recorded = {}
        digests = {}
        for name in NAMES:
            text = template({"Queue": queue(name.lower())})
            self.live[name] = endpoint.cloudformation.stack(
                name, "UPDATE_COMPLETE", {"Queue": "AWS::SQS::Queue"}, text
            )
            state = deployed.state_of(json.loads(text), {}, {})
            digests[name] = state.template[: several.DIGITS]
            self.recorded[name] = SynthesizedStack(name, name, None, None, json.loads(text))
        job = self.stacks.job(cdk="cdk")
        settings = kind.Settings(stacks=("*",), cdk="cdk")
        record = RecordedDeploy("run", deployed=DeployedState(artifacts=digests))
        self.job: Job = replace(job, settings=settings, recorded=record)

    def change(self, name: str, **properties: Any) -> None:
        """Change the template of a stack outside toolkit."""
        self.live[name].template = template({"Queue": queue(name.lower(), **properties)})

    def synthesis(self) -> Synthesis:
        """What is live."""
        stacks = tuple(self.recorded.values())
        return kind.live_synthesis(self.job, self.stacks.ports, stacks, "")

    def states(self) -> Mapping[str, str]:
        """How each stack as it was recorded differs from what is live."""
        live = self.synthesis()
        assert not live.unknown
        rows = compare(live.stacks, self.recorded.values())
        return {row.name: " ".join((row.state, *row.why)) for row in rows}


@pytest.fixture
def both(aws_endpoint: Endpoint, tmp_path: Path) -> Deployed:
    return Deployed(aws_endpoint, tmp_path)


def test_each_stack_is_compared_with_its_own_template(
    both: Deployed, aws_endpoint: Endpoint
) -> None:
    assert both.states() == {"Jobs": "unchanged", "Net": "unchanged"}
    both.change("Net", DelaySeconds=9)
    assert both.states() == {"Jobs": "unchanged", "Net": "changed"}
    del aws_endpoint.cloudformation.stacks["Jobs"]
    assert both.states() == {"Jobs": "added", "Net": "changed"}


def test_a_changed_template_that_names_code_is_unknown_and_the_others_are_compared(
    both: Deployed,
) -> None:
    code = (Asset(AssetKind.FILE, "c0de"),)
    both.recorded["Net"] = replace(both.recorded["Net"], assets=code)
    assert both.states()["Net"] == "unchanged"
    both.change("Net", DelaySeconds=9)
    both.change("Jobs", DelaySeconds=9)
    states = both.states()
    assert states["Jobs"] == "changed"
    assert states["Net"].startswith("unknown its template was changed outside toolkit")


def test_what_cannot_be_compared_is_named(both: Deployed, aws_endpoint: Endpoint) -> None:
    net = both.recorded["Net"]
    both.recorded["Net"] = replace(net, nested={"Inner": {}})
    assert both.synthesis().unknown == (
        "stack Net: its nested stacks cannot be compared with what is live"
    )
    both.recorded["Net"] = net
    both.live["Net"].status = "UPDATE_ROLLBACK_FAILED"
    assert both.synthesis().unknown == ""
    both.live["Net"].status = "UPDATE_IN_PROGRESS"
    assert both.synthesis().unknown == "stack Net is UPDATE_IN_PROGRESS"
    both.live["Net"].status = "UPDATE_COMPLETE"
    both.job = replace(both.job, recorded=None)
    assert both.synthesis().unknown == "the template of stack Jobs is not known"
    aws_endpoint.fault("DescribeStacks", kind="denied")
    assert "DescribeStacks" in str(both.synthesis().unknown)
