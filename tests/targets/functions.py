"""A function of a scripted AWS, and the deploy of its code, as a run would do it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.aws.clock import EndpointClock
from tests.support.report import Report
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation, Preview
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.function.kind import kind as function

COMMIT = "a" * 40
CODE = "def handler(event, context):\n    return {answer!r}\n"


class FunctionStage:
    """Function `mail`, whose alias `live` leads to version 1, which somebody else has published;
    the folder `mail` has other code.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, **more: Any) -> None:
        self.endpoint, self.folder = endpoint, folder
        self.lambdas = endpoint.functions
        self.function = endpoint.functions.function("mail", **more)
        self.clock = EndpointClock(endpoint)
        by_name: dict[tuple[str | None, str | None], Aws] = {}
        self.ports = Ports(
            str(folder),
            str(folder),
            self.clock,
            lambda *location: by_name.setdefault(location, Aws(None, "eu-west-1")),
        )
        self.write("new")
        endpoint.calls.clear()

    def write(self, answer: str) -> None:
        """Let the folder have the code that answers this."""
        (self.folder / "mail").mkdir(exist_ok=True)
        (self.folder / "mail" / "index.py").write_text(CODE.format(answer=answer))

    def job(self, settings: Mapping[str, Any] | None = None, **fields: Any) -> Job:
        """The step that deploys it."""
        own = {"function": "mail", "source": "mail", **(settings or {})}
        result = Job(
            step="mail",
            target="mail",
            kind="function",
            action=JobAction.DEPLOY,
            location=Location("dev", "eu-west-1", "111111111111"),
            version=Version(COMMIT, COMMIT, "f" * 64, settings="5" * 64),
            run="r1",
            settings=function.Settings(**own),
            token="t-1",
            options=function.Options(),
        )
        return replace(result, **fields)

    def another(self, number: int, **fields: Any) -> Job:
        """The deploy of another commit, in a run of its own."""
        commit = str(number) * 40
        version = Version(commit, commit, str(number) * 64, settings="5" * 64)
        return self.job(run=f"r{number}", token=f"t-{number}", version=version, **fields)

    def report(self, receipt: Mapping[str, Any] | None = None) -> Report:
        """A run that waits on the stage's clock."""
        return Report(receipt, clock=self.clock)

    def preview(self, job: Job | None = None) -> Preview:
        """What would be done."""
        return function.preview(job or self.job(), self.ports)

    def applied(self, job: Job | None = None, report: Report | None = None) -> Report:
        """Apply once."""
        report = report or self.report()
        function.apply(job or self.job(), self.ports, report)
        return report

    def look(self, report: Report, job: Job | None = None) -> Observation:
        """Observe once."""
        return function.observe(job or self.job(), report.receipt, self.ports)

    def deployed(self, job: Job | None = None) -> Observation:
        """Apply, then observe."""
        return self.look(self.applied(job), job)

    @property
    def alias(self) -> str:
        """The version that the alias leads to."""
        return str(self.function.aliases["live"]["FunctionVersion"])

    @property
    def writes(self) -> list[str]:
        """The calls that changed something, or might have."""
        verbs = ("Update", "Publish", "Create", "Put")
        names = self.endpoint.calls.names()
        return [name for name in names if name.partition(":")[2].startswith(verbs)]
