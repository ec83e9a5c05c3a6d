"""A service of a scripted AWS, and the deploy of an app to it, as a run would do it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.aws.clock import EndpointClock
from tests.support.report import Report
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.app.kind import kind as app

COMMIT = "a" * 40
WRITES = (
    "ecs:RegisterTaskDefinition",
    "ecs:UpdateService",
    "ecs:StopServiceDeployment",
    "ecs:TagResource",
    "ecs:DeregisterTaskDefinition",
    "ecs:ContinueServiceDeployment",
    "ecr:PutImage",
)
SETTINGS: dict[str, Any] = {"cluster": "main", "service": "web", "repository": "backend"}


class AppStage:
    """Service `web` of cluster `main` runs image `old` of repository `backend`; `new` is there,
    too, under the commit's id.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, **service: Any) -> None:
        self.endpoint, self.folder = endpoint, folder
        self.repository = endpoint.ecr.repository("backend")
        self.old = endpoint.ecr.image("backend", "old")
        self.new = endpoint.ecr.image("backend", COMMIT)
        tags = {
            "toolkit:version": "old",
            "toolkit:commit": "0" * 40,
            "toolkit:run": "r0",
            "team": "cars",
        }
        self.first = endpoint.ecs.definition(
            "web", f"{self.repository.uri}@{self.old.digest}", tags=tags
        )
        self.service = endpoint.ecs.service("web", definition=self.first.arn, **service)
        self.clock = EndpointClock(endpoint)
        by_name: dict[tuple[str | None, str | None], Aws] = {}
        self.ports = Ports(
            str(folder),
            str(folder),
            self.clock,
            lambda *location: by_name.setdefault(location, Aws(None, "eu-west-1")),
        )
        endpoint.calls.clear()

    def job(self, settings: Mapping[str, Any] | None = None, **fields: Any) -> Job:
        """The step that deploys it."""
        location = Location("dev", "eu-west-1", "111111111111")
        result = Job(
            step="web",
            target="web",
            kind="app",
            action=JobAction.DEPLOY,
            location=location,
            version=Version(COMMIT, COMMIT, "f" * 64),
            run="r1",
            settings=app.Settings(**{**SETTINGS, **(settings or {})}),
            token="t-1",
            options=app.Options(),
        )
        return replace(result, **fields)

    def report(self, receipt: Mapping[str, Any] | None = None) -> Report:
        """A run that waits on the stage's clock."""
        return Report(receipt, clock=self.clock)

    def applied(self, job: Job | None = None, report: Report | None = None) -> Report:
        """Apply once."""
        report = report or self.report()
        app.apply(job or self.job(), self.ports, report)
        return report

    def look(
        self, report: Report, before: Observation | None = None, job: Job | None = None
    ) -> Observation:
        """Observe once."""
        return app.observe(job or self.job(), report.receipt, self.ports, before)

    def watched(
        self, report: Report, job: Job | None = None, looks: int = 60, every: float = 1.0
    ) -> list[Observation]:
        """Observe until it is over or absent; abandon when it is doomed, as a run does."""
        job, observed, abandoned = job or self.job(), list[Observation](), False
        for _ in range(looks):
            observed.append(self.look(report, observed[-1] if observed else None, job))
            if observed[-1].state in ("done", "failed", "absent"):
                return observed
            if observed[-1].doomed and not abandoned:
                app.abandon(job, report.receipt, self.ports, report)
                abandoned = True
            self.clock.advance(every)
        return observed

    def deployed(self, job: Job | None = None) -> tuple[Observation, Report]:
        """Apply, then observe to the end."""
        report = self.applied(job)
        return self.watched(report, job)[-1], report

    @property
    def writes(self) -> list[str]:
        """The calls that changed something, or might have."""
        return [name for name in self.endpoint.calls.names() if name in WRITES]

    @property
    def runs(self) -> dict[str, Any]:
        """The task definition that the service is on."""
        return self.endpoint.ecs.definitions[self.service.definition].body
