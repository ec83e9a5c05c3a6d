"""A bucket of a scripted AWS, and the deploys of a site to it, as runs would do them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.aws.clock import EndpointClock
from tests.support.report import Report
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.site.kind import kind as site
from toolkit.targets.site.manifest import KEY, SiteManifest
from toolkit.targets.site.options import SiteOptions, SiteRestore

BUCKET = "www"
COMMIT = "c" * 40


class SiteStage:
    """An empty bucket `www`, and a folder `dist` with a script and a first page."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint, self.folder = endpoint, folder
        self.bucket = endpoint.s3.bucket(BUCKET)
        self.clock = EndpointClock(endpoint)
        by_name: dict[tuple[str | None, str | None], Aws] = {}
        self.ports = Ports(
            str(folder),
            str(folder),
            self.clock,
            lambda *location: by_name.setdefault(location, Aws(None, "eu-west-1")),
        )
        self.write({"app.js": "1", "index.html": '<script src="app.js"></script>'})

    def write(self, files: Mapping[str, str], only: bool = False) -> None:
        """Write files into `dist`; with `only`, nothing else is there."""
        dist = self.folder / "dist"
        if only:
            for path in [path for path in dist.rglob("*") if path.is_file()]:
                path.unlink()
        for name, text in files.items():
            path = dist / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def job(
        self, number: int = 1, options: Mapping[str, bool] | None = None, **settings: Any
    ) -> Job:
        """The step that deploys it, in run `rNUMBER`."""
        return Job(
            step="www",
            target="www",
            kind="site",
            action=JobAction.DEPLOY,
            location=Location("dev", "eu-west-1", self.endpoint.account),
            version=Version(f"v{number}", COMMIT, f"{number:064}", settings="s" * 64),
            run=f"r{number}",
            settings=site.Settings(**{"source": "dist", "bucket": BUCKET, **settings}),
            token=f"{number:024}",
            options=SiteOptions(**(options or {})),
        )

    def back(self, number: int, release: int, **settings: Any) -> Job:
        """The step that puts the release of an earlier run back, in run `rNUMBER`."""
        job = self.job(number, **settings)
        version = Version(f"v{release}", COMMIT, f"{release:064}", settings="s" * 64)
        restore = SiteRestore(release=f"{release:024}")
        return replace(job, action=JobAction.ROLLBACK, version=version, restore=restore)

    def apply(self, job: Job, report: Report | None = None) -> Report:
        """Deploy it."""
        report = report or Report(clock=self.clock)
        site.apply(job, self.ports, report)
        return report

    def watched(self, job: Job, report: Report) -> Observation:
        """Look until it has ended."""
        before: Observation | None = None
        for _ in range(60):
            before = site.observe(job, report.receipt, self.ports, before)
            if before.state != "running":
                return before
            self.clock.advance(2)
        raise AssertionError(before)

    def deployed(self, job: Job) -> Observation:
        """Deploy it, and look until it has ended."""
        return self.watched(job, self.apply(job))

    def served(self, prefix: str = "") -> dict[str, str]:
        """Key -> content of everything that is not the tool's own."""
        return {
            key: stored.body.decode()
            for key, stored in self.bucket.objects.items()
            if not key.startswith(f"{prefix}.toolkit/")
        }

    def manifest(self, prefix: str = "") -> SiteManifest:
        """The manifest in the bucket."""
        stored = self.bucket.objects[prefix + KEY]
        return msgspec.json.decode(stored.body, type=SiteManifest)
