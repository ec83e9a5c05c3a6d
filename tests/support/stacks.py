"""A stack that is deployed as a run would do it: apply, then look until it has ended."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.report import Report
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation, Preview
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.targets.stack.kind import kind
from toolkit.targets.stack.options import StackOptions

ACCOUNT, REGION = "111111111111", "eu-west-1"
ENDED = ("absent", "done", "failed", "unknown")


def template(resources: Mapping[str, Any], **more: Any) -> str:
    """A template's text."""
    return json.dumps({"Resources": resources, **more})


def queue(name: str, **properties: Any) -> dict[str, Any]:
    """A queue; another name replaces it."""
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def parameter(name: str, value: str = "1", **more: Any) -> dict[str, Any]:
    """A parameter of SSM, which holds nothing that can be lost; another name replaces it."""
    return {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Name": name, "Type": "String", "Value": value},
        **more,
    }


def update_by_hand(aws: Aws, name: str, before: str, after: str) -> None:
    """Change a text of a stack's template outside toolkit; its tags stay."""
    template = aws.read("cloudformation", "get_template", StackName=name)["TemplateBody"]
    text = template if isinstance(template, str) else json.dumps(template)
    changed = text.replace(before, after)
    assert changed != text
    [stack] = aws.read("cloudformation", "describe_stacks", StackName=name)["Stacks"]
    tags = stack.get("Tags") or []
    aws.write("cloudformation", "update_stack", StackName=name, TemplateBody=changed, Tags=tags)


class Stacks:
    """A repository in a folder, and what is deployed from it. `yes` are the flags that a person
    agrees to, None stands for all.
    """

    def __init__(self, folder: Path, aws: Aws, name: str = "Shop") -> None:
        self.folder, self.aws, self.name = folder, aws, name
        self.ports = Ports(
            str(folder), str(folder.parent / "cache"), SystemClock(), lambda profile, region: aws
        )
        self.tokens = 0

    def write(self, text: str) -> None:
        """The template."""
        (self.folder / "template.json").write_text(text)

    def job(
        self,
        token: str = "",
        options: StackOptions | None = None,
        store: str | None = None,
        **settings: Any,
    ) -> Job:
        """A job with a token of its own if none is given."""
        self.tokens += not token
        result = (
            {"stack": self.name, "template": "template.json"}
            if "cdk" not in settings
            else {"stack": self.name}
        )
        location = Location("dev", REGION, ACCOUNT, store=store)
        version = Version("c0ffee" + "0" * 34, "c0ffee" + "0" * 34, f"print{self.tokens}")
        return Job(
            "shop",
            "shop",
            "stack",
            JobAction.DEPLOY,
            location,
            kind.Settings(**{**result, **settings}),
            version,
            f"run{self.tokens}",
            token or f"{self.tokens:024x}",
            deadline_s=60,
            options=options or StackOptions(),
        )

    def preview(self, job: Job) -> Preview:
        """What would be done."""
        return kind.preview(job, self.ports)

    def apply(self, job: Job, report: Report | None = None) -> Report:
        """Apply it; everything is agreed to, if no report says otherwise."""
        result = report or Report(
            on_event=lambda event: time.sleep(0.01 if event[0] == "wait" else 0)
        )
        kind.apply(job, self.ports, result)
        return result

    def observe(self, job: Job, report: Report, before: Observation | None = None) -> Observation:
        """One look."""
        return kind.observe(job, report.receipt, self.ports, before)

    def follow(self, job: Job, report: Report) -> tuple[Observation, list[Observation]]:
        """Look until it has ended: the last look, and all of them."""
        observations: list[Observation] = []
        until = time.monotonic() + 60
        while not observations or observations[-1].state not in ENDED:
            assert time.monotonic() < until, observations[-1:]
            observations.append(
                self.observe(job, report, observations[-1] if observations else None)
            )
            time.sleep(0.02)
        return observations[-1], observations

    def deploy(
        self, text: str | None = None, report: Report | None = None, **more: Any
    ) -> Observation:
        """Write the template, apply it, and see how it ends."""
        if text is not None:
            self.write(text)
        job = self.job(**more)
        return self.follow(job, self.apply(job, report))[0]

    def status(self) -> str:
        """The stack's status, empty if there is none."""
        from toolkit.ports.aws import cloudformation as cfn

        stack = cfn.stack(self.aws, self.name)
        return str(stack["StackStatus"]) if stack else ""
