"""`toolkit permissions` is exactly what a deploy needs: with it all goes well, and without any part of it something does not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from tests.support.sandbox import Emulator
from toolkit.model import Place, Wanted
from toolkit.ports.aws.client import Aws
from toolkit.sandbox import provision

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

[targets.queue]
kind = "stack"
stack = "Queue"
template = "infra/queue.json"
estimate = "5s"

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
DOCKERFILE = 'FROM scratch\nENV HOST=localhost PORT=8080\nCOPY main.py /app/main.py\nCMD ["python", "/app/main.py"]\n'

OF_THE_TEMPLATE = {
    "Sid": "Template", "Effect": "Allow", "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:*",
    "Action": ["sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:TagQueue"],
}  # fmt: skip
"""What is in a plain template is made with the caller's own permissions; only the template's author knows which. The CDK's stacks have an
execution role for it. (The emulator does not act as the caller, so that nothing here depends on it.)"""


def template(seconds: int) -> str:
    return json.dumps({"Resources": {"Jobs": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": seconds}}}})


class Site:
    """An app and a stack in an account that enforces its policies, and a user of it."""

    def __init__(self, folder: Path, emulator: Emulator, toolkit: Toolkit, patch: pytest.MonkeyPatch) -> None:
        self.emulator, self.patch, self._toolkit, self.number = emulator, patch, toolkit, 0
        emulator.reset()
        self.sign_in("test", "test")
        self.root = Aws(None, REGION)
        place = Place("dev", REGION, ACCOUNT)
        detail = {"cluster": "main", "repository": "web", "container": "app"}
        wanted = (Wanted("repository", "web"), Wanted("service", "web", detail), Wanted("bucket", "permitted"))
        parts = [provision.Part(place, one) for one in wanted]
        provision.make(parts, lambda place: self.root, emulator.process.port, lambda words: None)
        provision.settle(parts, lambda place: self.root)
        files = {"app/Dockerfile": DOCKERFILE, "app/main.py": MAIN, "infra/queue.json": template(30)}
        self.repo = Repo.make(folder / "repo", files, RULES)
        self.root.write("iam", "create_user", UserName="deployer")
        self.key = self.root.write("iam", "create_access_key", UserName="deployer")["AccessKey"]

    def sign_in(self, key: str, secret: str) -> None:
        """Whose credentials the environment has."""
        for name, value in {**self.emulator.env(region=REGION), "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}.items():
            self.patch.setenv(name, value)

    def allow(self, statements: list[dict[str, Any]]) -> None:
        """What the user may do from now on, and nothing else."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.root.write("iam", "put_user_policy", UserName="deployer", PolicyName="toolkit", PolicyDocument=document)

    def __call__(self, *args: str) -> Result:
        """Run toolkit as this user."""
        self.sign_in(self.key["AccessKeyId"], self.key["SecretAccessKey"])
        return self._toolkit(self.repo.path, *args)

    def change(self) -> None:
        """Something new to deploy, of both kinds."""
        self.number += 1
        text = MAIN.replace("TEXT", f"version {self.number}")
        self.repo.commit(files={"app/main.py": text, "infra/queue.json": template(30 + self.number)})


def needed(toolkit: Toolkit, folder: Path) -> list[dict[str, Any]]:
    """The statements that toolkit asks for, and what the template needs."""
    found = toolkit(folder, "permissions", "--json")
    assert found.code == 0
    return [*found.json["Statement"], OF_THE_TEMPLATE]


@pytest.fixture
def site(tmp_path: Path, strict_emulator: Emulator, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, strict_emulator, toolkit, monkeypatch)


def test_probe(site: Site, toolkit: Toolkit) -> None:
    import time
    statements = needed(toolkit, site.repo.path)
    site.allow(statements)
    for args in (("deploy", "--all", "--yes"), ("deploy", "--all", "--yes"), ("rollback", "app", "--yes"), ("history",), ("lock", "show"), ("diff", "live")):
        if args[0] == "deploy": site.change()
        t=time.time()
        r = site(*args)
        print(args, r.code, r.out, r.err, time.time()-t)
    def say(what, r):
        print("WITHOUT", what, r.code, sorted(set(re.findall(r"may not ([\w-]+:\w+)", r.out + r.err))), [l for l in (r.out+r.err).splitlines() if "not" in l][:3])
    for at, one in enumerate(statements):
        t=time.time()
        site.allow(statements[:at] + statements[at + 1:])
        site.change()
        r = site("deploy", "--all", "--yes")
        say((at, one["Action"]), r)
        print(time.time()-t)
