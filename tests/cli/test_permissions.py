"""`toolkit permissions` is exactly what a deploy needs: with it all goes well, and without any part
of it something does not.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from tests.support.sandbox import Emulator
from toolkit.operations import Location, Provision, ProvisionKind
from toolkit.ports.aws.client import Aws

pytestmark = pytest.mark.slow("permissions, one by one")

ACCOUNT, REGION = "000000000000", "eu-west-1"
RULES = f"""\
version = 1
project = "permitted"
environment = "dev"

[environments.dev]
account = "{ACCOUNT}"
regions = ["{REGION}"]
store = "s3://permitted/team"

[targets.app]
kind = "app"
cluster = "main"
service = "web"
repository = "web"
build = {{ context = "app" }}
estimate = "5s"
deadline = "15s"

[targets.queue]
kind = "stack"
stack = "Queue"
template = "infra/queue.json"
estimate = "5s"
deadline = "15s"

[[rules]]
name = "App"
paths = ["app/**"]
deploy = ["app"]

[[rules]]
name = "Queue"
paths = ["infra/**"]
deploy = ["queue"]
"""
MAIN = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"TEXT")
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
DOCKERFILE = (
    'FROM scratch\nENV HOST=localhost PORT=8080\nCOPY main.py /app/main.py\nCMD ["python",'
    ' "/app/main.py"]\n'
)

OF_THE_TEMPLATE = {
    "Sid": "Template",
    "Effect": "Allow",
    "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:*",
    "Action": [
        "sqs:CreateQueue",
        "sqs:DeleteQueue",
        "sqs:GetQueueAttributes",
        "sqs:SetQueueAttributes",
        "sqs:TagQueue",
    ],
}
"""What is in a plain template is made with the caller's own permissions; only the template's author
knows which. The CDK's stacks have an execution role for it. (The emulator does not act as the
caller, so that nothing here depends on it.)
"""


def template(seconds: int) -> str:
    return json.dumps(
        {
            "Resources": {
                "Jobs": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": seconds}}
            }
        }
    )


class Account:
    """An app and a stack in an account that enforces its policies, and a user of it."""

    def __init__(
        self, folder: Path, emulator: Emulator, toolkit: Toolkit, patch: pytest.MonkeyPatch
    ) -> None:
        self.emulator, self.patch, self._toolkit, self.number = emulator, patch, toolkit, 0
        emulator.reset()
        self.sign_in("test", emulator.secret)
        self.root = Aws(None, REGION)
        location = Location("dev", REGION, ACCOUNT)
        detail = {"cluster": "main", "repository": "web", "container": "app"}
        emulator.provide(
            self.root,
            location,
            Provision(ProvisionKind.REPOSITORY, "web"),
            Provision(ProvisionKind.SERVICE, "web", detail),
            Provision(ProvisionKind.BUCKET, "permitted"),
        )
        files = {
            "app/Dockerfile": DOCKERFILE,
            "app/main.py": MAIN,
            "infra/queue.json": template(30),
        }
        self.repo = Repo.make(folder / "repo", files, RULES)
        self.root.write("iam", "create_user", UserName="deployer")
        self.key = self.root.write("iam", "create_access_key", UserName="deployer")["AccessKey"]

    def sign_in(self, key: str, secret: str) -> None:
        """Whose credentials the environment has."""
        for name, value in {
            **self.emulator.env(region=REGION),
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }.items():
            self.patch.setenv(name, value)

    def allow(self, statements: list[dict[str, Any]]) -> None:
        """What the user may do from now on, and nothing else."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.root.write(
            "iam",
            "put_user_policy",
            UserName="deployer",
            PolicyName="toolkit",
            PolicyDocument=document,
        )

    def __call__(self, *args: str) -> Result:
        """Run toolkit as this user."""
        self.sign_in(self.key["AccessKeyId"], self.key["SecretAccessKey"])
        return self._toolkit(self.repo.path, *args)

    def change(self) -> None:
        """Something new to deploy, of both kinds."""
        self.number += 1
        text = MAIN.replace("TEXT", f"version {self.number}")
        self.repo.commit(
            files={"app/main.py": text, "infra/queue.json": template(30 + self.number)}
        )


UNKNOWN_CONDITIONS = ("ecs:cluster", "ecs:CreateAction", "iam:PassedToService")
"""Condition keys that the emulator does not fill in: a statement that asks for one would never
hold.
"""


NOT_MISSED = {
    "ecr:UploadLayerPart": (
        "the emulator's registry takes any password: it does not ask what its owner may do"
    ),
    "ecr:TagResource": "only `--create` makes a repository",
    "ecs:StopServiceDeployment": (
        "without it the service's own deployments are read; nothing is stopped here"
    ),
    "ecs:DescribeServiceRevisions": "the same",
    "ecs:TagResource": (
        "ECS asks for it when a task definition is registered with tags, the emulator does not"
    ),
    "iam:PassRole": "the emulator does not check it",
    "elasticloadbalancing:DescribeTargetHealth": (
        "toolkit does without it: then the health of targets is not known"
    ),
    "cloudwatch:DescribeAlarms": "only `health` asks for it",
    "cloudformation:DescribeStackResourceDrifts": "only `diff live --drift` asks for it",
    "cloudformation:DescribeStackDriftDetectionStatus": "only `diff live --drift` asks for it",
    "cloudformation:DescribeStackResources": (
        "only for nested stacks, and what is in one: there is none here"
    ),
    "s3:PutObject": "only for templates that are too long for a call",
    "ecr:DescribeImages": (
        "toolkit does without it, and those of the app hold here, too: then it cannot warn of older"
        " images"
    ),
    "ecs:DescribeTaskDefinition": "the same",
    "lambda:ListAliases": "only for stacks with functions: there is none here",
    "s3:ListBucket": "S3 says `not found` only to who may list, the emulator to everybody",
    "sqs:TagQueue": "CloudFormation acts as the caller, the emulator's does not",
}
"""The statements, by their last action, without which nothing is refused here, and why. Each more
is a permission too many.
"""


def needed(toolkit: Toolkit, folder: Path) -> list[dict[str, Any]]:
    """The statements that toolkit asks for as the emulator can check them, and what the template
    needs.
    """
    result = toolkit(folder, "permissions", "--json")
    assert (result.code, set(result.json)) == (0, {"Version", "Statement"})
    statements = []
    for item in result.json["Statement"]:
        keys = [key for pairs in item.get("Condition", {}).values() for key in pairs]
        assert all(key in UNKNOWN_CONDITIONS for key in keys)
        statements.append({name: value for name, value in item.items() if name != "Condition"})
    return [*statements, OF_THE_TEMPLATE]


def refusals(result: Result) -> set[str]:
    """The actions that were told to be missing."""
    return set(re.findall(r"not allowed to call ([\w-]+:\w+)", result.out + result.err))


def everything(site: Account) -> list[Result]:
    """A deploy of both, a look at logs, a one-off task, and a rollback; only if the deploy went
    well.
    """
    site.change()
    deployed = site("deploy", "--all", "--yes", "--json")
    if deployed.code:
        return [deployed]
    sleep = ("--", "python", "-c", "import time; time.sleep(60)")
    once = site("run-task", "app", "--timeout", "1s", "--json", *sleep)
    once = replace(once, code=once.code - 1)  # it is stopped in time: that is a failure of its own
    rollback = site("rollback", "app", "--yes", "--json")
    return [deployed, site("tail", "app", "--no-follow"), once, rollback]


@pytest.fixture
def site(
    tmp_path: Path, strict_emulator: Emulator, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> Account:
    return Account(tmp_path, strict_emulator, toolkit, monkeypatch)


@pytest.mark.real_time
def test_exactly_these_permissions_are_enough_and_without_any_of_them_something_is_refused(
    site: Account, toolkit: Toolkit
) -> None:
    statements = needed(toolkit, site.repo.path)
    site.allow(statements)
    assert site("deploy", "--all", "--yes").code == 0
    for result in everything(site):
        assert (result.code, refusals(result)) == (0, set()), result.out + result.err
    assert (site("lock", "show").code, site("diff", "live").code, site("history").code) == (0, 0, 0)
    not_missed = []
    for position, item in enumerate(statements):
        site.allow([*statements[:position], *statements[position + 1 :]])
        results = everything(site)
        missed = set[str]().union(*map(refusals, results))
        assert missed <= set(item["Action"])
        if not missed:
            not_missed.append(item["Action"][-1])
    assert sorted(not_missed) == sorted(NOT_MISSED)
