"""A small system in a sandbox of its own, deployed by real `toolkit` processes: an app that
answers, and two stacks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.repo import Repo
from tests.support.run import ROOT, Result

RULES = """\
version = 1
project = "town"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[environments.prod]
account = "222222222222"
profile = "town-prod"
regions = ["eu-west-1"]
protected = true

[targets.app]
kind = "app"
cluster = "town"
service = "web"
repository = "web"
build = { context = "app" }
needs = ["queue"]
estimate = "10s"

[targets.queue]
kind = "stack"
stack = "TownQueue"
template = "infra/queue.json"
outputs = ["Name"]
estimate = "5s"

[targets.topic]
kind = "stack"
stack = "TownTopic"
template = "infra/topic.json"
estimate = "5s"

[[rules]]
name = "App"
paths = ["app/**"]
deploy = ["app"]

[[rules]]
name = "Queue"
paths = ["infra/queue.json"]
deploy = ["queue"]

[[rules]]
name = "Topic"
paths = ["infra/topic.json"]
deploy = ["topic"]
"""

DOCKERFILE = """\
FROM python:3.12-slim
ARG VERSION=none
ENV HOST=0.0.0.0 PORT=8080 VERSION=$VERSION
COPY main.py /srv/
EXPOSE 8080
CMD ["python", "/srv/main.py"]
"""

MAIN = """\
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"TEXT")
    def log_message(self, *args): pass
address = (os.environ["HOST"], int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, Answer).serve_forever()
"""

CRASH = 'print("no database here", flush=True)\nraise SystemExit(3)\n'


def main(text: str) -> str:
    """The app's program, which answers with this text."""
    return MAIN.replace("TEXT", text)


def template(resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> str:
    """A CloudFormation template."""
    return json.dumps(
        {"Resources": resources, **({"Outputs": outputs} if outputs else {})}, indent=1
    )


def queue(seconds: int = 30) -> str:
    """The queue's stack."""
    resources = {"Jobs": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": seconds}}}
    return template(resources, {"Name": {"Value": {"Fn::GetAtt": ["Jobs", "QueueName"]}}})


_GONE = {"ServiceToken": "arn:aws:lambda:eu-west-1:111111111111:function:gone"}
FAILING = template(
    {"News": {"Type": "AWS::SNS::Topic"}, "Tap": {"Type": "Custom::Tap", "Properties": _GONE}}
)
"""A template of which a part cannot be made."""

FILES = {
    "app/Dockerfile": DOCKERFILE,
    "app/main.py": main("version one"),
    "infra/queue.json": queue(),
    "infra/topic.json": template({"News": {"Type": "AWS::SNS::Topic"}}),
}


class Town:
    """The system, and its sandbox."""

    def __init__(self, folder: Path, rules: str = RULES, files: dict[str, str] = FILES) -> None:
        self.folder = folder
        self.repo = Repo.make(folder / "repo", files, rules)
        cache = str(ROOT / ".cache" / "toolkit")
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TOOLKIT_STATE_DIR": str(folder / "state"),
            "TOOLKIT_CACHE_DIR": cache,
        }
        up = self("sandbox", "up", "--json")
        assert up.code == 0, up.err
        self.env |= up.json["env"]
        self.url = next(
            item["url"]
            for item in up.json["provisioned"]
            if item["what"] == "service" and item["environment"] == "dev"
        )

    def __call__(self, *args: str) -> Result:
        """Run toolkit in the repository, without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", *args],
            cwd=self.repo.path,
            env=self.env,
            capture_output=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    @property
    def elsewhere(self) -> str:
        """The line that says where calls go."""
        return f"endpoint: {self.env['AWS_ENDPOINT_URL']} (not AWS)\n"

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """Toolkit at work; killed at the end if it still is."""
        with subprocess.Popen(
            [sys.executable, "-m", "toolkit", *args],
            cwd=self.repo.path,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            try:
                yield child
            finally:
                if child.poll() is None:
                    child.send_signal(signal.SIGKILL)

    def answer(self) -> str:
        """What the app says to the outside, through the load balancer."""
        try:
            with urllib.request.urlopen(self.url, timeout=10) as result:
                return str(result.read().decode())
        except urllib.error.HTTPError as problem:
            return f"{problem.code}"

    def cloud(self, service: str) -> Any:
        """A boto3 client of the sandbox."""
        import boto3  # type: ignore[import-untyped]

        account = self.env["AWS_ACCESS_KEY_ID"]
        session = boto3.Session(
            aws_access_key_id=account,
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name="eu-west-1",
        )
        return session.client(service, endpoint_url=self.env["AWS_ENDPOINT_URL"])

    def revisions(self) -> int:
        """How many task definitions were ever registered for the app."""
        return len(
            self.cloud("ecs").list_task_definitions(familyPrefix="web")["taskDefinitionArns"]
        )

    def running(self) -> str:
        """The app's task definition that runs, such as `web:7`."""
        result = self.cloud("ecs").describe_services(cluster="town", services=["web"])["services"][
            0
        ]["taskDefinition"]
        return str(result).rpartition("/")[2]

    def newest(self) -> str:
        """The one that was registered last."""
        return f"web:{self.revisions()}"

    def down(self) -> None:
        """End the sandbox."""
        self("sandbox", "down")


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so, and fail if it does not come to be."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.02)
