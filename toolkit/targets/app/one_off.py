"""A command that is run once in a task of its own: with the task definition that is live, and in
the network of the service.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolkit.errors import Missing, Refused
from toolkit.operations import Job, LogLook, PlannedCall, TaskState
from toolkit.ports.aws import ecr, ecs
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.app import definition as definitions
from toolkit.targets.app import failures, rollout
from toolkit.targets.app.live_logs import LogStream, MergedStreams, log_client
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.app.state import check_deployable

Shape = Mapping[str, Any]

STOP_S = 180.0
"""How long a stopped task may take to end, in seconds: ECS kills it after at most two minutes."""
_OF_THE_SERVICE = (
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
)
"""What a task has to have of its service to run where the service's tasks run."""


class EcsTaskRunner(Struct, frozen=True):
    """See `base.TaskRunner`."""

    job: Job
    ports: Ports
    aws: Aws
    definition: Shape
    container: str
    place: Mapping[str, Any]
    """How and where the tasks of the service run, in the API's names."""
    warnings: tuple[str, ...] = ()
    stop_call: str = "ecs:StopTask"
    stops_within_s: float = STOP_S
    remembered: str = "about an hour"

    @property
    def cluster(self) -> str:
        """The service's cluster."""
        return str(self.job.settings.cluster)

    @property
    def call(self) -> PlannedCall:
        """See `base.TaskRunner`."""
        image = definitions.image_of(self.definition, self.container)
        what = {
            "cluster": self.cluster,
            "task_definition": ecs.revision_of(str(self.definition["taskDefinitionArn"])),
            "container": self.container,
            "image": image,
        }
        return PlannedCall("ecs:RunTask", what)

    def start(self, token: str, command: Sequence[str]) -> str:
        """See `base.TaskRunner`."""
        override = {"name": self.container, "command": list(command)}
        request = {
            **self.place,
            "cluster": self.cluster,
            "taskDefinition": self.definition["taskDefinitionArn"],
            "overrides": {"containerOverrides": [override]},
            "count": 1,
            "startedBy": token,
            "clientToken": token,
        }
        return str(ecs.run_task(self.aws, request)["taskArn"])

    def find(self, token: str) -> str | None:
        """See `base.TaskRunner`."""
        return next(iter(ecs.started_tasks(self.aws, self.cluster, token)), None)

    def look(self, task: str) -> TaskState | None:
        """See `base.TaskRunner`."""
        described = ecs.task(self.aws, self.cluster, task)
        if described is None:
            return None
        status = str(described.get("lastStatus") or "")
        if status != "STOPPED":
            return TaskState(status.lower())
        own = definitions.named_entries(described.get("containers"))
        codes = [entry.get("exitCode") for entry in own if entry["name"] == self.container]
        exit_code = next((code for code in codes if code is not None), None)
        failure = failures.failure_of(described)
        cause = " ".join(str(described.get("stoppedReason") or "").split())
        if failure is not None:
            cause = failure.cause
        was_stopped = described.get("stopCode") not in (None, "", "EssentialContainerExited")
        return TaskState("stopped", True, exit_code, cause, was_stopped)

    def stop(self, task: str, reason: str) -> None:
        """See `base.TaskRunner`."""
        ecs.stop_task(self.aws, self.cluster, task, reason)

    def logs(self, task: str) -> "TaskLogs | None":
        """See `base.TaskRunner`."""
        task_id = task.rpartition("/")[2]
        reader = TaskLogs()
        for container in definitions.named_containers(self._definition_of(task)):
            stream = definitions.log_stream(container, task_id)
            if stream is None:
                continue
            source = ""
            if container["name"] != self.container:
                source = str(container["name"])
            client = log_client(self.job, self.ports, container)
            reader.merged.add(LogStream(client, *stream, source))
        return reader if reader.merged.count else None

    def _definition_of(self, task: str) -> Shape:
        """The definition that a task runs by: since it was started, another one may be live."""
        described = ecs.task(self.aws, self.cluster, task) or {}
        arn = described.get("taskDefinitionArn")
        if arn in (None, self.definition["taskDefinitionArn"]):
            return self.definition
        return ecs.definition(self.aws, str(arn)) or self.definition


class TaskLogs:
    """What a one-off task writes, from its first line: see `base.LogReader`."""

    def __init__(self) -> None:
        self.merged = MergedStreams()

    def read(self) -> LogLook:
        """See `base.LogReader`."""
        events = self.merged.read()
        return LogLook(events, more=self.merged.has_more)


def task_runner(job: Job, ports: Ports, container: str | None) -> EcsTaskRunner:
    """What runs a command with what is live of a service. Reads only. Raises Missing, Refused,
    CloudError.
    """
    settings: AppSettings = job.settings
    aws = ports.aws(job.location)
    service = check_deployable(job, aws, ecs.service(aws, settings.cluster, settings.service))
    serving = rollout.serving_deployment(service)
    arn = str(serving.get("taskDefinition") or service.get("taskDefinition") or "")
    definition = ecs.definition(aws, arn) if arn else None
    if definition is None:
        raise Missing(what="task definition", name=arn, where=f" of service {settings.service}")
    name = _container(definition, settings, container)
    warnings: list[str] = []
    if not serving:
        revision = ecs.revision_of(arn)
        warnings.append(f"no task of {settings.service} is running; {revision} is its newest")
    image = definitions.image_of(definition, name)
    if definitions.digest_of(image) is None:
        warnings.append(
            f"{image} is named by a tag: if it was moved, the task runs another image than the"
            " service"
        )
    if definitions.log_stream(definitions.container_named(definition, name), "") is None:
        warnings.append(f"container {name} writes no CloudWatch log: its output cannot be shown")
    return EcsTaskRunner(
        job, ports, aws, definition, name, _place(service, serving), tuple(warnings)
    )


def _container(definition: Shape, settings: AppSettings, named: str | None) -> str:
    """The container whose command is replaced. Raises Refused."""
    repository = ecr.named(settings.repository)
    chosen = named or settings.container
    names = definitions.containers_to_update(definition, chosen, repository)
    if len(names) > 1:
        raise Refused(
            f"the task has several containers with this image: {', '.join(names)}",
            f"choose one: --container {names[0]}",
        )
    return names[0]


def _place(service: Shape, serving: Shape) -> dict[str, Any]:
    """How and where the service's tasks run. ECS takes a launch type or a strategy, and lists both
    in some answers.
    """
    place = {key: serving.get(key) or service.get(key) for key in _OF_THE_SERVICE}
    if place["capacityProviderStrategy"]:
        del place["launchType"]
    return {key: value for key, value in place.items() if value}
