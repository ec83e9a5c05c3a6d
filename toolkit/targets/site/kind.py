"""A static site in an S3 bucket, perhaps behind CloudFront."""

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.advice import NextCommand
from toolkit.model import Inputs, Resource
from toolkit.targets import base
from toolkit.targets.site.options import SiteOptions, SiteRestore
from toolkit.targets.site.settings import SiteSettings, consumed, folder_prefix

if TYPE_CHECKING:  # `diff` loads every kind, and deploys none
    from toolkit.operations import Job, LiveVersion, Observation, Preview, Provision, Statement
    from toolkit.ports.ports import Ports


class SiteKind(base.Kind):
    """A static site in an S3 bucket, perhaps behind CloudFront."""

    action = "deploy-site"
    named_builds = True
    estimate_s = 60
    deadline_s = 3600
    content_details = ("content",)
    put_back = "file"
    restores_with = ("--force",)
    Settings = SiteSettings
    Options = SiteOptions
    Restore = SiteRestore

    def problem(self, settings: SiteSettings) -> str | None:
        """Patterns that mean nothing, and commands that nobody could start."""
        from toolkit.targets.site.headers import pattern_problem

        for rule in settings.headers:
            problem = pattern_problem(rule.match)
            if problem is not None:
                return f"`match = {rule.match!r}` of `headers`: {problem}"
        build = settings.build
        if build is None:
            return None
        for word in (*build.command, *build.env.values()):
            if "\0" in word:
                return "`build` holds a NUL character"
        if posixpath.normpath(settings.source) in (".", posixpath.normpath(build.folder)):
            return "`source` has to be a folder of its own, which `build` writes"
        return None

    def inputs(self, settings: SiteSettings) -> Inputs:
        """Its folder; where it is built, the folder that the build runs in, without what that
        writes and what package managers put there. In the root, it may read anything.
        """
        if settings.build is None:
            return Inputs(folders=(settings.source,))
        folder = posixpath.normpath(settings.build.folder)
        if folder == ".":
            return Inputs(everything=True)
        return Inputs(
            folders=(folder,),
            built=(posixpath.normpath(settings.source), posixpath.join(folder, "node_modules")),
        )

    def consumes(self, settings: SiteSettings) -> tuple[str, ...]:
        """The targets whose outputs its build is told."""
        return tuple(sorted(consumed(settings)))

    def provisions(self, settings: SiteSettings) -> "tuple[Provision, ...]":
        """Its bucket."""
        from toolkit.operations import Provision, ProvisionKind

        return (Provision(ProvisionKind.BUCKET, settings.bucket),)

    def writes(self, settings: SiteSettings) -> tuple[Resource, ...]:
        """All of its bucket, or of its folder there."""
        return (Resource("bucket", settings.bucket, folder_prefix(settings.prefix) or None),)

    def command(self, target: str, settings: SiteSettings) -> NextCommand | None:
        """The command that deploys it."""
        return NextCommand("deploy-site", (target,))

    def services(self) -> tuple[str, ...]:
        """S3 and CloudFront, and CloudWatch for its alarms. ACM is called in another region, by
        some sites only.
        """
        return ("sts", "s3", "cloudfront", "cloudwatch")

    def rollback(self, detail: Mapping[str, str]) -> SiteRestore:
        """The release of then."""
        return SiteRestore(release=detail.get("release"))

    def irreversible(self, settings: Any) -> tuple[str, str] | None:
        """The files of earlier releases are kept."""
        return None

    def restorable(
        self, job: "Job", details: Sequence[Mapping[str, str]], ports: "Ports"
    ) -> tuple[bool | None, ...]:
        """Whether all files of each release are still in the bucket."""
        from toolkit.targets.site import observe

        return observe.restorable(job, details, ports)

    def preview(self, job: "Job", ports: "Ports") -> "Preview":
        """Which files would be uploaded, copied, invalidated and deleted. Nothing is built."""
        from toolkit.targets.site import preview

        return preview.preview(job, ports)

    def apply(self, job: "Job", ports: "Ports", report: base.Report) -> None:
        """Build it if it is built, upload what is new, and then change the pages."""
        from toolkit.targets.site import apply

        apply.apply(job, ports, report)

    def observe(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """How it stands, by the manifest, the invalidation, and what is served."""
        from toolkit.targets.site import observe

        return observe.observe(job, receipt, ports, before)

    def abandon(
        self, job: "Job", receipt: Mapping[str, Any], ports: "Ports", report: base.Report
    ) -> None:
        """Nothing of it is ever doomed while it is watched."""

    def live(self, job: "Job", ports: "Ports") -> "LiveVersion | None":
        """What the manifest in the bucket says."""
        from toolkit.targets.site import observe

        return observe.live(job, ports)

    def uses_current_outputs(self, job: "Job", ports: "Ports") -> bool | None:
        """By the digest of them that the live release has."""
        from toolkit.targets.site import observe

        return observe.uses_current_outputs(job, ports)

    def outputs(self, job: "Job", ports: "Ports") -> Mapping[str, str]:
        """Its address: `Url`."""
        from toolkit.targets.site import observe

        return observe.outputs(job, ports)

    def permissions(self, job: "Job") -> "tuple[Statement, ...]":
        """For its part of the bucket, and its distribution."""
        from toolkit.targets.site import policy

        return policy.statements(job)

    def health(self, job: "Job", ports: "Ports", tell: base.Tell) -> "LiveVersion | None":
        """Its bucket, first page, release, distribution, certificate and alarms."""
        from toolkit.targets.site import health

        return health.report_health(job, ports, tell)


kind = SiteKind()
