"""An app from its Dockerfile to its answer, with nothing of AWS's left out: build, push, deploy,
and what fails on the way.
"""

import http.client
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.probe import in_turn, probing
from tests.support.report import Report
from tests.support.sandbox import ACCOUNT, REGION, Cloud
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.options import AppOptions, AppRestore
from toolkit.targets.app.settings import Build

DOCKERFILE = (
    "FROM scratch\nENV HOST=localhost PORT=8080 PYTHONUNBUFFERED=1\nCOPY main.py /app/main.py\nCMD"
    ' ["python", "/app/main.py"]\n'
)
ANSWERS = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"{answer}")
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
CRASHES = 'print("no configuration")\nraise SystemExit(3)\n'
SETTINGS = app.Settings(
    cluster="c",
    service="s",
    repository="app",
    build=Build(context="backend", platform="linux/amd64"),
)


class Box:
    """Service `s` behind a load balancer, which runs the sandbox's first image."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder, self.aws = cloud, folder, cloud.aws()
        self.ports = Ports(str(folder), str(folder), SystemClock(), self._aws)
        self.aws.write("ecr", "create_repository", repositoryName="app")
        cloud.emulator.push("app", "first")
        self.host, group = self._balanced()
        options = {
            "awslogs-group": "/app",
            "awslogs-region": REGION,
            "awslogs-stream-prefix": "a",
            "awslogs-create-group": "true",
        }
        container: dict[str, Any] = {
            "name": "main",
            "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app:first",
            "essential": True,
            "portMappings": [{"containerPort": 8080}],
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        }
        created = self.aws.write(
            "ecs",
            "register_task_definition",
            family="app",
            networkMode="awsvpc",
            containerDefinitions=[container],
        )
        balancer = {"targetGroupArn": group, "containerName": "main", "containerPort": 8080}
        self.aws.write("ecs", "create_cluster", clusterName="c")
        self.aws.write(
            "ecs",
            "create_service",
            cluster="c",
            serviceName="s",
            desiredCount=1,
            launchType="FARGATE",
            loadBalancers=[balancer],
            taskDefinition=created["taskDefinition"]["taskDefinitionArn"],
            deploymentConfiguration={
                "deploymentCircuitBreaker": {"enable": True, "rollback": True}
            },
        )
        while self.answer() != "sandbox: nothing deployed\n":
            time.sleep(0.05)

    def _aws(self, profile: str | None, region: str | None) -> Aws:
        return self.aws

    def _balanced(self) -> tuple[str, str]:
        created = self.aws.write("elbv2", "create_load_balancer", Name="lb", Subnets=["subnet-1"])[
            "LoadBalancers"
        ][0]
        group = self.aws.write(
            "elbv2",
            "create_target_group",
            Name="tg",
            Protocol="HTTP",
            Port=8080,
            TargetType="ip",
            VpcId="vpc-1",
        )
        arn = str(group["TargetGroups"][0]["TargetGroupArn"])
        action = {"Type": "forward", "TargetGroupArn": arn}
        balancer = created["LoadBalancerArn"]
        self.aws.write(
            "elbv2",
            "create_listener",
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[action],
        )
        return str(created["DNSName"]), arn

    def answer(self) -> str:
        """What the load balancer's name answers."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.cloud.emulator.process.port, timeout=5
        )
        try:
            connection.request("GET", "/", headers={"Host": self.host})
            response = connection.getresponse()
            text = response.read().decode()
            return text if response.status == 200 else f"{response.status}: {text}"
        finally:
            connection.close()

    def job(self, version: str, **fields: Any) -> Job:
        """The deploy of a version from the files that are there."""
        job = Job(
            step="s",
            target="s",
            kind="app",
            action=JobAction.DEPLOY,
            location=Location("dev", REGION, ACCOUNT),
            settings=SETTINGS,
            run=f"r-{version}",
            version=Version(version, version, "f" * 64),
            token=f"t-{version}",
            options=AppOptions(builder="built-in"),
        )
        return replace(job, **fields)

    def deployed(self, version: str, program: str, **fields: Any) -> Observation:
        """Preview, apply and observe, as a run does."""
        backend = self.folder / "backend"
        backend.mkdir(exist_ok=True)
        (backend / "Dockerfile").write_text(DOCKERFILE)
        (backend / "main.py").write_text(program)
        job, report = self.job(version, **fields), Report()
        expected = [call.name for call in app.preview(job, self.ports).calls]
        app.apply(job, self.ports, report)
        assert report.intents == expected
        return self.watched(job, report)

    def watched(self, job: Job, report: Report) -> Observation:
        """Observe to the end."""
        observation, until, abandoned = (
            app.observe(job, report.receipt, self.ports),
            time.monotonic() + 60,
            False,
        )
        while observation.state not in ("done", "failed"):
            assert time.monotonic() < until, observation
            if observation.doomed and not abandoned:
                app.abandon(job, report.receipt, self.ports, report)
                abandoned = True
            time.sleep(0.1)
            observation = app.observe(job, report.receipt, self.ports, observation)
        return observation


@pytest.fixture
def box(cloud: Cloud, tmp_path: Path) -> Box:
    """A service that answers."""
    return Box(cloud, tmp_path)


def test_two_versions_are_deployed_a_third_fails_truthfully_and_the_first_comes_back(
    box: Box,
) -> None:
    first = box.deployed("1" * 40, ANSWERS.format(answer="one"))
    assert (first.state, first.verdict, box.answer()) == ("done", "succeeded", "one")
    two = box.deployed("2" * 40, ANSWERS.format(answer="two"))
    assert (two.state, two.verdict, box.answer()) == ("done", "succeeded", "two")
    live = app.live(box.job("x"), box.ports)
    assert live is not None
    assert (live.version, live.commit, live.run) == ("2" * 40, "2" * 40, f"r-{'2' * 40}")

    three = box.deployed("3" * 40, CRASHES)
    assert (three.state, three.verdict, three.cause) == (
        "failed",
        "rolled-back",
        "container main exited with code 3",
    )
    assert three.log == ("no configuration",)
    assert box.answer() == "two"
    assert (
        box.deployed("2" * 40, ANSWERS.format(answer="two"), token="t-again").verdict == "unchanged"
    )

    assert first.live is not None
    restore = AppRestore(
        image_digest=first.live.detail["digest"],
        task_definition=first.live.detail["task definition"],
    )
    back = box.deployed(
        "1" * 40, "", action="rollback", restore=restore, token="t-back", run="r-back"
    )
    assert (back.state, back.verdict, box.answer()) == ("done", "succeeded", "one")


def test_a_probe_sees_no_failed_answer_during_deploy_failed_deploy_and_rollback(box: Box) -> None:
    with probing(box.answer) as answers:
        first = box.deployed("1" * 40, ANSWERS.format(answer="one"))
    assert _moves(answers) == ["sandbox: nothing deployed\n", "one"]
    with probing(box.answer) as answers:
        assert box.deployed("2" * 40, ANSWERS.format(answer="two")).verdict == "succeeded"
    assert _moves(answers) == ["one", "two"]
    with probing(box.answer) as answers:
        assert box.deployed("3" * 40, CRASHES).verdict == "rolled-back"
    assert in_turn(answers) == ["two"]
    assert first.live is not None
    restore = AppRestore(
        image_digest=first.live.detail["digest"],
        task_definition=first.live.detail["task definition"],
    )
    with probing(box.answer) as answers:
        back = box.deployed("1" * 40, "", action="rollback", restore=restore, run="r-back")
    assert back.verdict == "succeeded"
    assert _moves(answers) == ["two", "one"]


def _moves(answers: list[str]) -> list[str]:
    """The answers, each where it came first: while both run, the load balancer asks both."""
    return list(dict.fromkeys(answers))
