"""A static site in an S3 bucket, perhaps behind CloudFront."""

from typing import TYPE_CHECKING

from toolkit.model import Inputs, Resource
from toolkit.targets import base
from toolkit.targets.site.settings import SiteSettings

if TYPE_CHECKING:  # `diff` loads every kind, and deploys none
    from toolkit.operations import Job, LiveVersion, Provision, Statement
    from toolkit.ports.ports import Ports


class SiteKind(base.Kind):
    """A static site in an S3 bucket, perhaps behind CloudFront."""

    estimate_s = 60
    Settings = SiteSettings

    def runnable(self, settings: SiteSettings) -> str | None:
        """Why it cannot be deployed by itself."""
        return "toolkit cannot deploy a site yet; upload it by hand"

    def inputs(self, settings: SiteSettings) -> Inputs:
        """Its folder."""
        return Inputs(folders=(settings.source,))

    def provisions(self, settings: SiteSettings) -> "tuple[Provision, ...]":
        """Its bucket."""
        from toolkit.operations import Provision, ProvisionKind

        return (Provision(ProvisionKind.BUCKET, settings.bucket),)

    def writes(self, settings: SiteSettings) -> tuple[Resource, ...]:
        """All of its bucket."""
        return (Resource("bucket", settings.bucket),)

    def services(self) -> tuple[str, ...]:
        """S3, CloudFront, and CloudWatch for its alarms. ACM is called in another region, by some
        sites only.
        """
        return ("s3", "cloudfront", "cloudwatch")

    def permissions(self, job: "Job") -> "tuple[Statement, ...]":
        """For a look at it: nothing is deployed."""
        from toolkit.targets.site import policy

        return policy.statements(job)

    def health(self, job: "Job", ports: "Ports", tell: base.Tell) -> "LiveVersion | None":
        """Its bucket, first page, distribution, certificate and alarms."""
        from toolkit.targets.site import health

        return health.report_health(job, ports, tell)


kind = SiteKind()
