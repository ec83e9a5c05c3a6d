"""A container image that runs as an ECS service."""

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.advice import NextCommand
from toolkit.model import BuiltImage, Inputs, Resource
from toolkit.targets import base, container_test
from toolkit.targets.app.options import AppOptions, AppRestore
from toolkit.targets.app.settings import AppSettings, image_source

if TYPE_CHECKING:  # `diff` loads every kind, and deploys none
    from datetime import datetime

    from toolkit.operations import Job, LiveVersion, Observation, Preview, Provision, Statement
    from toolkit.ports.ports import Ports
from toolkit.targets.app.settings import Build as Build


class AppKind(base.Kind):
    """A container image that runs as an ECS service."""

    action = "deploy-app"
    named_builds = True
    estimate_s = 150
    deadline_s = 1800
    content_details = ("task definition",)
    artifact_detail = "digest"
    put_back = "image"
    Settings = AppSettings
    by_name = ("--no-build", "--image", "TAG")
    Options = AppOptions
    Restore = AppRestore

    def problem(self, settings: AppSettings) -> str | None:
        """Only what is built is tested."""
        if settings.container_test is not None and settings.build is None:
            return "`container_test` needs `build`: only an image that is built here is tested"
        return container_test.problem(settings.container_test)

    def options_problem(self, options: AppOptions) -> tuple[str, str] | None:
        """Without a build somebody has to say which image."""
        if options.no_build and not options.image:
            return "--no-build needs to know which image", "add --image TAG"
        return None

    def version_named(self, options: AppOptions) -> str | None:
        """The image of `--image`."""
        return options.image

    def rollback(self, detail: Mapping[str, str]) -> AppRestore:
        """The image and the task definition of then."""
        return AppRestore(
            image_digest=detail.get("digest"), task_definition=detail.get("task definition")
        )

    def irreversible(self, settings: Any) -> tuple[str, str] | None:
        """What ran before can be put back."""
        return None

    def inputs(self, settings: AppSettings) -> Inputs:
        """Its Dockerfile, what says which files stay out of the build, and the build context."""
        if settings.build is None:
            return Inputs()
        source = image_source(settings.build)
        ignore = (
            f"{source.dockerfile}.dockerignore",
            posixpath.normpath(f"{source.context}/.dockerignore"),
        )
        return Inputs(files=(source.dockerfile, *ignore), images=(source,))

    def provisions(self, settings: AppSettings) -> "tuple[Provision, ...]":
        """Its repository, and the service with its cluster; what is deployed there is an update of
        the service.
        """
        from urllib.parse import urlsplit

        from toolkit.operations import Provision, ProvisionKind

        hosts = dict.fromkeys(urlsplit(url).hostname for url in settings.health)
        named = tuple(host for host in hosts if host)
        detail = {
            "cluster": settings.cluster,
            "repository": settings.repository,
            "container": settings.container or "app",
        }
        return (
            Provision(ProvisionKind.REPOSITORY, settings.repository),
            Provision(ProvisionKind.SERVICE, settings.service, detail, named),
        )

    def writes(self, settings: AppSettings) -> tuple[Resource, ...]:
        """The service's task, or the one container of it that is named."""
        cluster = settings.cluster.rpartition(":cluster/")[2]
        return (
            Resource(
                "service", f"{cluster}/{settings.service.rpartition('/')[2]}", settings.container
            ),
        )

    def builds(self, settings: AppSettings) -> BuiltImage | None:
        """The image of its `build`."""
        if settings.build is None:
            return None
        test = container_test.comparable(settings.container_test)
        return BuiltImage(settings.repository, test)

    def command(self, target: str, settings: AppSettings) -> NextCommand | None:
        """The command that deploys it."""
        return NextCommand("deploy-app", (target,))

    def services(self) -> tuple[str, ...]:
        """The services that a deploy calls in any case."""
        return ("sts", "ecs", "ecr", "elbv2")

    def preview(self, job: "Job", ports: "Ports") -> "Preview":
        """Image, service and task definition are checked; what ECS would refuse, or could not run,
        is refused here.
        """
        from toolkit.targets.app import preview

        return preview.preview(job, ports)

    def apply(self, job: "Job", ports: "Ports", report: base.Report) -> None:
        """Put the image into the repository if it is missing, register a task definition with it,
        move the service to that.
        """
        from toolkit.targets.app import apply

        apply.apply(job, ports, report)

    def observe(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """How our own deployment goes. It has succeeded when ECS says so, its tasks run our image,
        and their targets are healthy.
        """
        from toolkit.targets.app import observe

        return observe.observe(job, receipt, ports, before)

    def build(self, job: "Job", ports: "Ports", report: base.Report) -> None:
        """Build the image and push it into the repository, unless it is there."""
        from toolkit.targets.app import build

        build.build(job, ports, report)

    def built(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """Whether the image is in the repository."""
        from toolkit.targets.app import build

        return build.built(job, receipt, ports, before)

    def abandon(
        self, job: "Job", receipt: Mapping[str, Any], ports: "Ports", report: base.Report
    ) -> None:
        """Stop our deployment with a rollback."""
        from toolkit.targets.app import apply

        apply.abandon(job, receipt, ports, report)

    def live(self, job: "Job", ports: "Ports") -> "LiveVersion | None":
        """What runs, from the tags of the running task definition: they are the truth, for they
        change in the moment the image does.
        """
        from toolkit.targets.app import observe

        return observe.live(job, ports)

    def outputs(self, job: "Job", ports: "Ports") -> Mapping[str, str]:
        """Its health addresses, while something of it runs."""
        from toolkit.targets.app import observe

        return observe.outputs(job, ports)

    def logs(self, job: "Job", ports: "Ports", since: "datetime") -> base.LogReader:
        """What its tasks write to CloudWatch: those that run now, and those that come and go
        meanwhile.
        """
        from toolkit.targets.app import live_logs

        return live_logs.service_logs(job, ports, since)

    def task_runner(self, job: "Job", ports: "Ports", container: str | None) -> base.TaskRunner:
        """A task of ECS with the live task definition and the service's own network."""
        from toolkit.targets.app import one_off

        return one_off.task_runner(job, ports, container)

    def live_name(self, live: "LiveVersion") -> str:
        """The running revision: `web:7`."""
        return live.detail.get("task definition", "").rpartition("/")[2] or super().live_name(live)

    def restorable(
        self, job: "Job", details: Sequence[Mapping[str, str]], ports: "Ports"
    ) -> tuple[bool | None, ...]:
        """Whether the image of each is in the repository still."""
        from toolkit.targets.app import state

        return state.restorable(job, details, ports)

    def permissions(self, job: "Job") -> "tuple[Statement, ...]":
        """What preview, apply, observe, abandon and live call."""
        from toolkit.targets.app.policy import statements

        return statements(job)

    def health(self, job: "Job", ports: "Ports", tell: base.Tell) -> "LiveVersion | None":
        """Service, last deployment, tasks that failed, targets, image and alarms."""
        from toolkit.targets.app import health

        return health.report_health(job, ports, tell)

    def dockerfile(self, settings: AppSettings) -> tuple[str, str] | None:
        """Its build context and Dockerfile."""
        if settings.build is None:
            return None
        source = image_source(settings.build)
        return source.context, source.dockerfile


kind = AppKind()
