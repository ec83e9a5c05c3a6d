"""The code of one Lambda function, without its stack."""

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.advice import NextCommand
from toolkit.model import BuiltImage, Inputs, Resource
from toolkit.targets import base, container_test
from toolkit.targets.function import settings as own
from toolkit.targets.function.options import FunctionOptions, FunctionRestore
from toolkit.targets.function.settings import FunctionSettings

if TYPE_CHECKING:  # `diff` loads every kind, and deploys none
    from datetime import datetime

    from toolkit.operations import Job, LiveVersion, Observation, Preview, Provision, Statement
    from toolkit.ports.ports import Ports


class FunctionKind(base.Kind):
    """The code of one Lambda function, without its stack."""

    action = "deploy-function"
    named_builds = True
    estimate_s = 30
    deadline_s = 1800
    content_details = ("alias version", "sha256")
    artifact_detail = "sha256"
    bypass_fix = "let them call the alias; deploys reach nothing else"
    Settings = FunctionSettings
    Options = FunctionOptions
    Restore = FunctionRestore

    def problem(self, settings: FunctionSettings) -> str | None:
        """What its code comes from must be said once."""
        return own.problem(settings)

    def inputs(self, settings: FunctionSettings) -> Inputs:
        """Its folder, or its Dockerfile and build context; a build command may read anything."""
        if settings.source is not None:
            return Inputs(folders=(settings.source,))
        if settings.build is not None:
            return Inputs(everything=True)
        image = settings.image
        if image is None:
            return Inputs()
        source = own.image_source(image)
        ignore = (
            f"{source.dockerfile}.dockerignore",
            posixpath.normpath(f"{source.context}/.dockerignore"),
        )
        return Inputs(files=(source.dockerfile, *ignore), images=(source,))

    def dockerfile(self, settings: FunctionSettings) -> tuple[str, str] | None:
        """Its build context and Dockerfile, if it is an image."""
        if settings.image is None:
            return None
        source = own.image_source(settings.image)
        return source.context, source.dockerfile

    def rollback(self, detail: Mapping[str, str]) -> FunctionRestore:
        """The version of then."""
        return FunctionRestore(
            function_version=detail.get("alias version"), function_sha256=detail.get("sha256")
        )

    def irreversible(self, settings: Any) -> tuple[str, str] | None:
        """What ran before can be put back."""
        return None

    def restorable(
        self, job: "Job", details: Sequence[Mapping[str, str]], ports: "Ports"
    ) -> tuple[bool | None, ...]:
        """Whether the version of each exists still."""
        from toolkit.targets.function import state

        return state.restorable(job, details, ports)

    def provisions(self, settings: FunctionSettings) -> "tuple[Provision, ...]":
        """The function, and the alias that a deploy moves."""
        from toolkit.operations import Provision, ProvisionKind

        return (Provision(ProvisionKind.FUNCTION, settings.function, {"alias": settings.alias}),)

    def writes(self, settings: FunctionSettings) -> tuple[Resource, ...]:
        """The function's code, whichever alias is moved to it."""
        return (Resource("function", settings.function),)

    def builds(self, settings: FunctionSettings) -> BuiltImage | None:
        """Its `image`."""
        if settings.image is None:
            return None
        test = container_test.comparable(settings.container_test)
        return BuiltImage(settings.image.repository, test)

    def command(self, target: str, settings: FunctionSettings) -> NextCommand | None:
        """The command that deploys it."""
        return NextCommand("deploy-function", (target,))

    def services(self) -> tuple[str, ...]:
        """Lambda, and CloudWatch for its errors, alarms and log."""
        return ("sts", "lambda", "cloudwatch", "logs")

    def preview(self, job: "Job", ports: "Ports") -> "Preview":
        """The function and its alias are checked, and the code is packed; what Lambda would refuse
        is refused here.
        """
        from toolkit.targets.function import preview

        return preview.preview(job, ports)

    def apply(self, job: "Job", ports: "Ports", report: base.Report) -> None:
        """Give the function its code, publish a version, and move the alias to it."""
        from toolkit.targets.function import apply

        apply.apply(job, ports, report)

    def observe(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """It has succeeded when the alias leads to our version, and that can be called."""
        from toolkit.targets.function import observe

        return observe.observe(job, receipt, ports)

    def build(self, job: "Job", ports: "Ports", report: base.Report) -> None:
        """Build the image and push it into its repository, unless it is there."""
        from toolkit.targets.function import image

        image.build(job, ports, report)

    def built(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """Whether the image is in its repository."""
        from toolkit.targets.function import image

        return image.built(job, ports)

    def abandon(
        self, job: "Job", receipt: Mapping[str, Any], ports: "Ports", report: base.Report
    ) -> None:
        """Nothing of it is ever doomed: until the alias is moved, what ran before runs."""

    def live(self, job: "Job", ports: "Ports") -> "LiveVersion | None":
        """The version that the alias leads to, by what toolkit has written on both."""
        from toolkit.targets.function import observe

        return observe.live(job, ports)

    def live_name(self, live: "LiveVersion") -> str:
        """The running version: `mail:7`."""
        number = live.detail.get("alias version")
        if number is None:
            return super().live_name(live)
        return f"{live.detail.get('function', '')}:{number}"

    def logs(self, job: "Job", ports: "Ports", since: "datetime") -> base.LogReader:
        """What all of its versions and instances write."""
        from toolkit.targets.function import live_logs

        return live_logs.function_logs(job, ports, since)

    def permissions(self, job: "Job") -> "tuple[Statement, ...]":
        """What preview, apply, observe, live and health call."""
        from toolkit.targets.function import policy

        return policy.statements(job)

    def bypasses(self, job: "Job", ports: "Ports") -> tuple[str, ...]:
        """Who calls $LATEST past the alias."""
        from toolkit.targets.function import callers

        return callers.bypasses(job, ports)

    def health(self, job: "Job", ports: "Ports", tell: base.Tell) -> "LiveVersion | None":
        """Its state, the version behind its alias, its errors and alarms."""
        from toolkit.targets.function import health

        return health.report_health(job, ports, tell)


kind = FunctionKind()
