"""ECS: clusters, services, task definitions, tasks, and deployments that go as a test wants."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.support.aws.failures import failure
from tests.support.aws.faults import denied
from tests.support.aws.rollout import Outcome, Rollout, RolloutScript
from tests.support.aws.wire import AwsError, faults_of, model

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint

REGISTERED = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
)
DEFAULTS: dict[str, Any] = {
    "cpu": 0,
    "portMappings": [],
    "essential": True,
    "environment": [],
    "mountPoints": [],
    "volumesFrom": [],
    "systemControls": [],
}
"""What ECS adds to each container definition."""
NEW_DEPLOYMENT = (
    "capacityProviderStrategy",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "volumeConfigurations",
    "serviceConnectConfiguration",
    "enableExecuteCommand",
)
"""What of UpdateService begins a deployment if it changes, beside taskDefinition and
forceNewDeployment.
"""


@dataclass
class Definition:
    """A revision of a task definition, as it is described; its tags are apart."""

    body: dict[str, Any]
    tags: list[dict[str, str]]

    @property
    def arn(self) -> str:
        """`arn:aws:ecs:…:task-definition/family:revision`."""
        return str(self.body["taskDefinitionArn"])


@dataclass
class Cluster:
    """Services by name."""

    name: str
    arn: str
    services: dict[str, "Service"] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Service:
    """A service; its rollouts are oldest first. `settings` are members of a described service that
    nothing here looks into.
    """

    name: str
    arn: str
    cluster: Cluster
    definition: str
    desired: int
    created: datetime
    configuration: dict[str, Any]
    settings: dict[str, Any]
    tags: list[dict[str, str]] = field(default_factory=list)
    status: str = "ACTIVE"
    events: list[dict[str, Any]] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def latest(self) -> Rollout:
        """The newest deployment."""
        return self.rollouts[-1]

    @property
    def balanced(self) -> list[dict[str, Any]]:
        """Its load balancers."""
        documents: list[dict[str, Any]] = self.settings.get("loadBalancers", [])
        return documents


@dataclass
class Errand:
    """How a task of RunTask goes: seconds until it runs and until it stops, and how it ends."""

    seconds: float = 0.0
    exit_code: int | None = 0
    cause: str = ""
    log: tuple[str, ...] = ()
    refused: str = ""


class Ecs:
    """One region. `history` is on, unsupported or denied: whether there are service deployments, or
    only `deployments[]`.
    """

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self.endpoint, self.region = endpoint, region
        self.clusters: dict[str, Cluster] = {}
        self.definitions: dict[str, Definition] = {}
        self.history = "on"
        self.outcomes: list[Outcome] = []
        self.errands: list[Errand] = []
        self._running_errands: dict[str, tuple[Errand, datetime]] = {}
        self._tokens: dict[str, list[str]] = {}

    # For tests

    def cluster(self, name: str = "main") -> Cluster:
        """A cluster, made on first use."""
        if name not in self.clusters:
            self.clusters[name] = Cluster(
                name, self.endpoint.arn("ecs", f"cluster/{name}", self.region)
            )
        return self.clusters[name]

    def definition(
        self,
        family: str,
        image: str,
        container: str = "app",
        tags: dict[str, str] | None = None,
        **more: Any,
    ) -> Definition:
        """Register a task definition for Fargate with one container; `more` replaces members of the
        request.
        """
        logging = {
            "awslogs-group": f"/ecs/{family}",
            "awslogs-region": self.region,
            "awslogs-stream-prefix": "ecs",
        }
        document: dict[str, Any] = {
            "family": family,
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": f"arn:aws:iam::{self.endpoint.account}:role/execution",
            "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
            "containerDefinitions": [
                {
                    "name": container,
                    "image": image,
                    "essential": True,
                    "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
                    "logConfiguration": {"logDriver": "awslogs", "options": logging},
                }
            ],
        }
        if tags:
            document["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
        document |= more
        if text := faults_of(
            model("ecs").operation_model("RegisterTaskDefinition").input_shape, document
        ):
            raise AwsError("InvalidParameterException", text)
        arn = self.register_task_definition(document)["taskDefinition"]["taskDefinitionArn"]
        return self.definitions[arn]

    def service(
        self,
        name: str,
        image: str = "",
        cluster: str = "main",
        desired: int = 1,
        breaker: bool = True,
        group: str = "",
        definition: str = "",
        strategy: str = "",
        tags: dict[str, str] | None = None,
        container: str = "app",
        **more: Any,
    ) -> Service:
        """A service that is deployed and steady, with its tasks; `group` is the name of a target
        group, `more` members of CreateService.
        """
        result = (
            self.definitions[definition]
            if definition
            else self.definition(name, image or f"{name}:latest", container)
        )
        configuration: dict[str, Any] = {"maximumPercent": 200, "minimumHealthyPercent": 100}
        configuration["deploymentCircuitBreaker"] = {"enable": breaker, "rollback": breaker}
        if strategy:
            configuration["strategy"] = strategy
        network = {
            "subnets": ["subnet-1"],
            "securityGroups": ["sg-1"],
            "assignPublicIp": "DISABLED",
        }
        document: dict[str, Any] = {
            "cluster": cluster,
            "serviceName": name,
            "taskDefinition": result.arn,
            "desiredCount": desired,
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": network},
            "deploymentConfiguration": configuration,
        }
        if group:
            target = self.endpoint.at(self.region, "elbv2").group(group)
            balancer = {
                "targetGroupArn": target.arn,
                "containerName": container,
                "containerPort": target.port,
            }
            document["loadBalancers"] = [balancer]
        if tags:
            document["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
        self.cluster(cluster)
        created = self._create(document | more, Outcome())
        self._play(created)
        return created

    def find(self, name: str, cluster: str = "") -> Service:
        """A service by its name alone, if the cluster is not said. Raises KeyError."""
        return next(
            each
            for each in self._services()
            if each.name == name and cluster in ("", each.cluster.name)
        )

    def next(self, kind: str = "success", service: str = "", **more: Any) -> Outcome:
        """What becomes of the next deployment, of a service or of any; one after the other if said
        more than once.

        `seconds` and `looks`: when (of a success in all, else between two steps). `cause`,
        `exit_code`, `failures`, `log`: how tasks fail. `reason`: of a rollback. `rollback`:
        successful or failed, also of one that is asked for. `hidden`: for how many reads the
        deployment cannot be seen. `stage`, `timeout_minutes`, `timeout_action`: of a pause.
        `foreign`: the task definition that overtakes it.
        """
        outcome = Outcome(kind, **more)
        (self.find(service).outcomes if service else self.outcomes).append(outcome)
        return outcome

    def next_task(
        self,
        exit_code: int | None = 0,
        seconds: float = 0.0,
        cause: str = "",
        log: Sequence[str] = (),
        refused: str = "",
    ) -> None:
        """How the next task of RunTask goes; `refused` is the reason of a failure in its answer
        (`RESOURCE:MEMORY`).
        """
        self.errands.append(Errand(seconds, exit_code, cause, tuple(log), refused))

    def foreign_update(self, service: Service, definition: str = "") -> Rollout:
        """Somebody else deploys: this task definition, or a copy of the running one with another
        image.
        """
        if not definition:
            document = {
                key: value
                for key, value in self.definitions[service.definition].body.items()
                if key not in REGISTERED
            }
            document = copy.deepcopy(document)
            document["containerDefinitions"][0]["image"] += "-foreign"
            definition = self.register_task_definition(document)["taskDefinition"][
                "taskDefinitionArn"
            ]
        return self._deploy(service, definition, Outcome())

    # For scripts

    def now(self) -> datetime:
        """The endpoint's time."""
        return self.endpoint.clock.now()

    def token(self, kind: str, length: int) -> str:
        """A name that looks random."""
        return self.endpoint.token(kind, length)

    def event(self, service: Service, words: str) -> None:
        """An event of the service, newest first."""
        message = f"(service {service.name}) {words}"
        service.events.insert(
            0, {"id": self.token("event", 36), "createdAt": self.now(), "message": message}
        )
        del service.events[100:]

    def task_words(self, service: Service, rollout: Rollout) -> str:
        """The tasks of a deployment as events name them."""
        tasks = [
            task for task in service.cluster.tasks.values() if task.get("startedBy") == rollout.id
        ]
        return " ".join(f"(task {task['taskArn'].rpartition('/')[2]})" for task in tasks)

    def launch(self, service: Service, rollout: Rollout) -> None:
        """Start what a deployment lacks of tasks."""
        for _ in range(rollout.desired - len(self._running(service, rollout.id))):
            self._replica(service, rollout)

    def settle(self, service: Service, rollout: Rollout) -> None:
        """Its tasks run, and are healthy behind their load balancer."""
        self.launch(service, rollout)
        rollout.pending, rollout.running = 0, rollout.desired
        for task in self._running(service, rollout.id):
            self._run(task)
            self._target(service, rollout, task, "healthy", "")

    def retire(self, service: Service, rollout: Rollout) -> None:
        """The deployments before it, and their tasks, go."""
        for second in service.rollouts:
            if second is not rollout and second.place:
                second.place, second.running, second.pending = "", 0, 0
                self.stop_tasks(
                    service, second.id, f"Scaling activity initiated by (deployment {rollout.id})"
                )

    def stop_tasks(self, service: Service, started_by: str, reason: str) -> None:
        """Stop the tasks of a deployment."""
        for task in self._running(service, started_by):
            self._stop(task, "ServiceSchedulerInitiated", reason, 143)
            self._deregister(task)

    def sicken(self, service: Service, rollout: Rollout) -> None:
        """Its tasks run, and their targets are unhealthy."""
        self.launch(service, rollout)
        for task in self._running(service, rollout.id):
            self._run(task)
            self._target(service, rollout, task, "unhealthy", "Target.ResponseCodeMismatch")

    def fail_task(self, service: Service, rollout: Rollout, outcome: Outcome) -> None:
        """One task of a deployment fails, in AWS's words."""
        cause = outcome.cause
        definition = self.definitions[rollout.definition].body
        image = definition["containerDefinitions"][0]["image"]
        if cause == "place":
            self.event(
                service,
                "was unable to place a task because no container instance met all of its"
                " requirements. Reason: No Container Instances were found in your cluster.",
            )
            return
        sick = self._running(service, rollout.id)
        task = sick[0] if sick else self._replica(service, rollout)
        task_id = task["taskArn"].rpartition("/")[2]
        if not sick:
            self.event(service, f"has started 1 tasks: (task {task_id}).")
        self._log(task, definition, outcome.log)
        row = failure(
            cause, image, outcome.exit_code, rollout.group, self.region, self.endpoint.account
        )
        self._stop(task, *row)
        code, reason = row[:2]
        self._deregister(task)
        if sick:
            self.sicken(service, rollout)
        if cause == "unhealthy" and rollout.group:
            self.event(
                service,
                f"(port 8080) is unhealthy in (target-group {rollout.group}) due to "
                "(reason Health checks failed with these codes: [500]).",
            )
        if code == "TaskFailedToStart":
            self.event(service, f"(task {task_id}) failed to start: {reason}")

    # Operations: clusters and definitions

    def create_cluster(self, params: dict[str, Any]) -> dict[str, Any]:
        """CreateCluster."""
        return {"cluster": self._cluster_said(self.cluster(params.get("clusterName", "default")))}

    def describe_clusters(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeClusters."""
        result, failures = [], []
        for name in params.get("clusters", ["default"]):
            cluster = self.clusters.get(_last(name))
            if cluster is None:
                failures.append(
                    {
                        "arn": self.endpoint.arn("ecs", f"cluster/{_last(name)}", self.region),
                        "reason": "MISSING",
                    }
                )
            else:
                result.append(self._cluster_said(cluster))
        return {"clusters": result, "failures": failures}

    def list_clusters(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListClusters."""
        return {"clusterArns": [cluster.arn for cluster in self.clusters.values()]}

    def register_task_definition(self, params: dict[str, Any]) -> dict[str, Any]:
        """RegisterTaskDefinition: the next revision, whether anything changed or not."""
        request = copy.deepcopy(params)
        if "tags" in request and not request["tags"]:
            raise AwsError("InvalidParameterException", "Tags can not be empty.")
        if not request["containerDefinitions"]:
            raise AwsError("ClientException", "Container list cannot be empty.")
        tags = request.pop("tags", [])
        family = request["family"]
        revision = 1 + sum(1 for each in self.definitions.values() if each.body["family"] == family)
        request["containerDefinitions"] = [
            {**copy.deepcopy(DEFAULTS), **each} for each in request["containerDefinitions"]
        ]
        request.setdefault("volumes", [])
        request.setdefault("placementConstraints", [])
        arn = self.endpoint.arn("ecs", f"task-definition/{family}:{revision}", self.region)
        compatible = (
            ["EC2", "FARGATE"]
            if "FARGATE" in request.get("requiresCompatibilities", ())
            else ["EXTERNAL", "EC2"]
        )
        body = {
            **request,
            "taskDefinitionArn": arn,
            "revision": revision,
            "status": "ACTIVE",
            "registeredAt": self.now(),
            "registeredBy": f"arn:aws:iam::{self.endpoint.account}:user/deployer",
            "compatibilities": compatible,
            "requiresAttributes": [{"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}],
        }
        self.definitions[arn] = Definition(body, tags)
        return {"taskDefinition": body} | ({"tags": tags} if tags else {})

    def describe_task_definition(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTaskDefinition by ARN, family:revision, or family (the newest that is active)."""
        result = self._definition(params["taskDefinition"])
        if result is None:
            raise AwsError("ClientException", "Unable to describe task definition.")
        return {"taskDefinition": result.body} | (
            {"tags": result.tags} if "TAGS" in params.get("include", ()) else {}
        )

    def list_task_definitions(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListTaskDefinitions: ACTIVE ones unless said."""
        status, family = params.get("status", "ACTIVE"), params.get("familyPrefix")
        result = [
            each
            for each in self.definitions.values()
            if each.body["status"] == status and family in (None, each.body["family"])
        ]
        result.sort(
            key=lambda each: (each.body["family"], each.body["revision"]),
            reverse=params.get("sort") == "DESC",
        )
        return _page([each.arn for each in result], params, "taskDefinitionArns")

    def deregister_task_definition(self, params: dict[str, Any]) -> dict[str, Any]:
        """DeregisterTaskDefinition: INACTIVE from now on."""
        result = self._definition(params["taskDefinition"])
        if result is None or ":" not in params["taskDefinition"]:
            raise AwsError(
                "InvalidParameterException" if result else "ClientException",
                "Unable to describe task definition.",
            )
        result.body |= {"status": "INACTIVE", "deregisteredAt": self.now()}
        return {"taskDefinition": result.body}

    # Operations: services

    def create_service(self, params: dict[str, Any]) -> dict[str, Any]:
        """CreateService: its first deployment begins."""
        return {"service": self._said(self._create(params, self._outcome(None)), True)}

    def describe_services(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeServices: one look at each of them."""
        if len(params["services"]) > 10:
            raise AwsError(
                "InvalidParameterException", "Services cannot have more than 10 elements."
            )
        cluster = self._cluster(params)
        result, failures = [], []
        for name in params["services"]:
            service = cluster.services.get(_last(name))
            if service is None:
                arn = self.endpoint.arn("ecs", f"service/{cluster.name}/{_last(name)}", self.region)
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            self._play(service)
            result.append(self._said(service, "TAGS" in params.get("include", ())))
            self._looked(service)
        return {"services": result, "failures": failures}

    def list_services(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListServices."""
        return _page(
            [each.arn for each in self._cluster(params).services.values()], params, "serviceArns"
        )

    def update_service(self, params: dict[str, Any]) -> dict[str, Any]:
        """UpdateService: begins a deployment if it changes what tasks are like, or if that is
        forced.
        """
        service = self._service(params)
        if service.status != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        self._play(service)
        changed = [
            key
            for key in NEW_DEPLOYMENT
            if key in params and params[key] != service.settings.get(key)
        ]
        definition = (
            self._usable(params["taskDefinition"]).arn
            if "taskDefinition" in params
            else service.definition
        )
        service.desired = params.get("desiredCount", service.desired)
        if "deploymentConfiguration" in params:
            service.configuration = {**service.configuration, **params["deploymentConfiguration"]}
        apart = (
            "cluster",
            "service",
            "taskDefinition",
            "desiredCount",
            "deploymentConfiguration",
            "forceNewDeployment",
        )
        service.settings |= {key: value for key, value in params.items() if key not in apart}
        if definition != service.definition or params.get("forceNewDeployment") or changed:
            self._deploy(service, definition, self._outcome(service))
        elif "desiredCount" in params:
            service.latest.desired = service.desired
            self.settle(service, service.latest)
            for task in self._running(service, service.latest.id)[service.desired :]:
                self._stop(
                    task,
                    "ServiceSchedulerInitiated",
                    f"Scaling activity initiated by (deployment {service.latest.id})",
                    143,
                )
        return {"service": self._said(service, True, seen=True)}

    def delete_service(self, params: dict[str, Any]) -> dict[str, Any]:
        """DeleteService: INACTIVE at once, tasks stopped."""
        service = self._service(params)
        if service.desired and not params.get("force"):
            raise AwsError(
                "InvalidParameterException",
                "The service cannot be stopped while it is scaled above 0.",
            )
        for rollout in service.rollouts:
            self.stop_tasks(service, rollout.id, "Task stopped: service deleted")
            rollout.place, rollout.steps = "", []
        service.status = "INACTIVE"
        return {"service": self._said(service, True, seen=True)}

    # Operations: service deployments

    def list_service_deployments(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListServiceDeployments, newest first."""
        self._historical("ListServiceDeployments")
        service = self._service(params)
        self._play(service)
        expected, between = params.get("status"), params.get("createdAt", {})
        documents = [
            {
                "serviceDeploymentArn": each.arn,
                "serviceArn": service.arn,
                "clusterArn": service.cluster.arn,
                "createdAt": each.created,
                "startedAt": each.started,
                "finishedAt": each.finished,
                "targetServiceRevisionArn": each.revision,
                "status": each.status,
                "statusReason": each.status_reason or None,
            }
            for each in reversed(service.rollouts)
            if not each.hidden
            and (not expected or each.status in expected)
            and ("after" not in between or each.created > between["after"])
            and ("before" not in between or each.created < between["before"])
        ]
        self._looked(service)
        return _page(documents, params, "serviceDeployments")

    def describe_service_deployments(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeServiceDeployments: one look at each of their services."""
        self._historical("DescribeServiceDeployments")
        if len(params["serviceDeploymentArns"]) > 20:
            raise AwsError(
                "InvalidParameterException",
                "serviceDeploymentArns cannot have more than 20 elements.",
            )
        result, failures = [], []
        looked = {}
        for arn in params["serviceDeploymentArns"]:
            service, rollout = self._rollout(arn)
            if service is not None:
                self._play(service)
                looked[service.arn] = service
            if service is None or rollout is None or rollout.hidden:
                failures.append({"arn": arn, "reason": "MISSING"})
            else:
                result.append(self._deployment_said(service, rollout))
        for each in looked.values():
            self._looked(each)
        return {"serviceDeployments": result, "failures": failures}

    def describe_service_revisions(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeServiceRevisions: what ran, with the images' digests."""
        self._historical("DescribeServiceRevisions")
        document = {
            rollout.revision: (service, rollout)
            for service in self._services()
            for rollout in service.rollouts
        }
        documents = [
            self._revision_said(*document[arn])
            for arn in params["serviceRevisionArns"]
            if arn in document
        ]
        missing = [
            {"arn": arn, "reason": "MISSING"}
            for arn in params["serviceRevisionArns"]
            if arn not in document
        ]
        return {"serviceRevisions": documents, "failures": missing}

    def stop_service_deployment(self, params: dict[str, Any]) -> dict[str, Any]:
        """StopServiceDeployment; ConflictException once it has ended."""
        self._historical("StopServiceDeployment")
        service, rollout = self._rollout(params["serviceDeploymentArn"])
        if service is None or rollout is None:
            raise AwsError("ServiceDeploymentNotFoundException", "Service deployment not found.")
        self._play(service)
        if not rollout.open or rollout.status == "ROLLBACK_IN_PROGRESS":
            raise AwsError(
                "ConflictException",
                f"Service deployment cannot be stopped in status {rollout.status}.",
            )
        if params.get("stopType", "ROLLBACK") == "ABORT":
            RolloutScript(self, service, rollout).abort()
        else:
            RolloutScript(self, service, rollout).roll_back(
                "Service deployment rollback requested by the user."
            )
        return {"serviceDeploymentArn": rollout.arn}

    def continue_service_deployment(self, params: dict[str, Any]) -> dict[str, Any]:
        """ContinueServiceDeployment after a pause."""
        self._historical("ContinueServiceDeployment")
        service, rollout = self._rollout(params["serviceDeploymentArn"])
        if service is None or rollout is None:
            raise AwsError("ServiceDeploymentNotFoundException", "Service deployment not found.")
        self._play(service)
        hook = next(
            (
                hook
                for hook in rollout.hooks
                if hook["hookId"] == params["hookId"] and hook["status"] == "AWAITING_ACTION"
            ),
            None,
        )
        if hook is None:
            raise AwsError("InvalidParameterException", "The hook is not awaiting an action.")
        RolloutScript(self, service, rollout).answer_hook(hook, params.get("action", "CONTINUE"))
        return {"serviceDeploymentArn": rollout.arn}

    # Operations: tasks and tags

    def list_tasks(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListTasks; startedBy only alone, as the API's model has it."""
        others = params.keys() - {"cluster", "startedBy", "nextToken", "maxResults"}
        if "startedBy" in params and others:
            raise AwsError("InvalidParameterException", "startedBy must be the only filter.")
        cluster = self._cluster(params)
        if "serviceName" in params:
            self._play(self._service({"cluster": cluster.name, "service": params["serviceName"]}))
        for task in cluster.tasks.values():
            self._run_on(task)
        expected = params.get("desiredStatus", "RUNNING")
        group = f"service:{_last(params['serviceName'])}" if "serviceName" in params else None
        result = [
            arn
            for arn, task in cluster.tasks.items()
            if task["desiredStatus"] == expected
            and group in (None, task["group"])
            and params.get("startedBy") in (None, task.get("startedBy"))
            and params.get("family") in (None, _last(task["taskDefinitionArn"]).partition(":")[0])
        ]
        return _page(result, params, "taskArns")

    def describe_tasks(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTasks."""
        cluster = self._cluster(params)
        if len(params["tasks"]) > 100:
            raise AwsError("InvalidParameterException", "Tasks cannot have more than 100 elements.")
        ids = {_last(arn): task for arn, task in cluster.tasks.items()}
        result, failures = [], []
        for expected in params["tasks"]:
            task = ids.get(_last(expected))
            if task is None:
                failures.append({"arn": expected, "reason": "MISSING"})
                continue
            self._run_on(task)
            result.append(
                {
                    key: value
                    for key, value in task.items()
                    if key != "tags" or "TAGS" in params.get("include", ())
                }
            )
        return {"tasks": result, "failures": failures}

    def run_task(self, params: dict[str, Any]) -> dict[str, Any]:
        """RunTask: tasks, or failures in an answer that is none."""
        cluster = self._cluster(params)
        definition = self._usable(params["taskDefinition"])
        token = params.get("clientToken", "")
        if token and token in self._tokens:
            return {"tasks": [cluster.tasks[arn] for arn in self._tokens[token]], "failures": []}
        errand = self.errands.pop(0) if self.errands else Errand()
        if errand.refused:
            return {"tasks": [], "failures": [{"arn": cluster.arn, "reason": errand.refused}]}
        created = []
        for _ in range(params.get("count", 1)):
            group = params.get("group", f"family:{definition.body['family']}")
            task = self._task(
                cluster,
                definition.arn,
                params.get("startedBy", ""),
                group,
                params.get("launchType", "FARGATE"),
            )
            task |= {key: params[key] for key in ("overrides", "tags") if key in params}
            self._running_errands[task["taskArn"]] = (errand, self.now())
            created.append(task)
        if token:
            self._tokens[token] = [task["taskArn"] for task in created]
        return {"tasks": [dict(task) for task in created], "failures": []}

    def stop_task(self, params: dict[str, Any]) -> dict[str, Any]:
        """StopTask."""
        cluster = self._cluster(params)
        task = next(
            (task for arn, task in cluster.tasks.items() if _last(arn) == _last(params["task"])),
            None,
        )
        if task is None:
            raise AwsError("InvalidParameterException", "The referenced task was not found.")
        if task["lastStatus"] != "STOPPED":
            self._stop(task, "UserInitiated", params.get("reason", "Task stopped by user"), 143)
        return {"task": task}

    def tag_resource(self, params: dict[str, Any]) -> dict[str, Any]:
        """TagResource."""
        tags = self._tags(params["resourceArn"])
        source = {tag["key"] for tag in params["tags"]}
        tags[:] = [tag for tag in tags if tag["key"] not in source] + list(params["tags"])
        return {}

    def untag_resource(self, params: dict[str, Any]) -> dict[str, Any]:
        """UntagResource."""
        tags = self._tags(params["resourceArn"])
        tags[:] = [tag for tag in tags if tag["key"] not in params["tagKeys"]]
        return {}

    def list_tags_for_resource(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        return {"tags": list(self._tags(params["resourceArn"]))}

    # Helpers: finding

    def _services(self) -> list[Service]:
        return [
            service for cluster in self.clusters.values() for service in cluster.services.values()
        ]

    def _cluster(self, params: dict[str, Any]) -> Cluster:
        result = self.clusters.get(_last(params.get("cluster", "default")))
        if result is None:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return result

    def _service(self, params: dict[str, Any]) -> Service:
        result = self._cluster(params).services.get(_last(params["service"]))
        if result is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return result

    def _definition(self, named: str) -> Definition | None:
        result = self.definitions.get(named)
        if result is not None:
            return result
        family, _, revision = named.rpartition("/")[2].partition(":")
        same = [each for each in self.definitions.values() if each.body["family"] == family]
        if revision:
            return next((each for each in same if str(each.body["revision"]) == revision), None)
        return next((each for each in reversed(same) if each.body["status"] == "ACTIVE"), None)

    def _usable(self, named: str) -> Definition:
        result = self._definition(named)
        if result is None:
            raise AwsError("ClientException", "TaskDefinition not found.")
        if result.body["status"] != "ACTIVE":
            raise AwsError("ClientException", "TaskDefinition is inactive")
        return result

    def _rollout(self, arn: str) -> tuple[Service | None, Rollout | None]:
        for service in self._services():
            for rollout in service.rollouts:
                if rollout.arn == arn:
                    return service, rollout
        return None, None

    def _tags(self, arn: str) -> list[dict[str, str]]:
        if arn in self.definitions:
            return self.definitions[arn].tags
        for cluster in self.clusters.values():
            if cluster.arn == arn:
                return cluster.tags
            if arn in cluster.tasks:
                setdefault: list[dict[str, str]] = cluster.tasks[arn].setdefault("tags", [])
                return setdefault
        service = next((service for service in self._services() if service.arn == arn), None)
        if service is None:
            raise AwsError("InvalidParameterException", "The specified resource was not found.")
        return service.tags

    def _historical(self, operation: str) -> None:
        if self.history == "denied":
            raise denied("ecs", operation, self.endpoint.account)
        if self.history == "unsupported":
            raise AwsError(
                "UnsupportedFeatureException", "The feature is not supported in this region."
            )

    # Helpers: deployments

    def _outcome(self, service: Service | None) -> Outcome:
        for queue in (service.outcomes if service else [], self.outcomes):
            if queue:
                return queue.pop(0)
        return Outcome()

    def _create(self, params: dict[str, Any], outcome: Outcome) -> Service:
        cluster = self._cluster(params)
        definition = self._usable(params["taskDefinition"]) if "taskDefinition" in params else None
        name = params["serviceName"]
        if name in cluster.services and cluster.services[name].status == "ACTIVE":
            raise AwsError("InvalidParameterException", "Creation of service was not idempotent.")
        apart = (
            "cluster",
            "serviceName",
            "taskDefinition",
            "desiredCount",
            "deploymentConfiguration",
            "tags",
            "clientToken",
            "role",
        )
        settings = {key: value for key, value in params.items() if key not in apart}
        settings.setdefault("deploymentController", {"type": "ECS"})
        settings.setdefault("schedulingStrategy", "REPLICA")
        settings.setdefault("launchType", "FARGATE")
        created = Service(
            name,
            self.endpoint.arn("ecs", f"service/{cluster.name}/{name}", self.region),
            cluster,
            definition.arn if definition else "",
            params.get("desiredCount", 1),
            self.now(),
            params.get("deploymentConfiguration", {}),
            settings,
            list(params.get("tags", [])),
        )
        cluster.services[name] = created
        self._deploy(created, created.definition, outcome)
        return created

    def _deploy(self, service: Service, definition: str, outcome: Outcome) -> Rollout:
        """Begin a deployment."""
        number = int(self.endpoint.token("deployment", 32), 16)
        place = f"{service.cluster.name}/{service.name}"
        done = [rollout for rollout in service.rollouts if rollout.status == "SUCCESSFUL"]
        source = self._serving(service) or (done[-1] if done else None)
        rollout = Rollout(
            f"ecs-svc/{number % 10**19:019d}",
            self.endpoint.arn(
                "ecs",
                f"service-deployment/{place}/{self.endpoint.token('service deployment', 21)}",
                self.region,
            ),
            self.endpoint.arn(
                "ecs", f"service-revision/{place}/{number % 10**19:019d}", self.region
            ),
            definition,
            self.now(),
            service.desired,
            outcome,
            copy.deepcopy(service.configuration),
            source,
        )
        for second in service.rollouts:
            if second.open:
                RolloutScript(self, service, second).overtake()
            elif second.place == "PRIMARY":
                second.place = "ACTIVE"
        rollout.state, rollout.reason = "IN_PROGRESS", f"ECS deployment {rollout.id} in progress."
        rollout.updated, rollout.hidden = rollout.created, outcome.hidden
        if not rollout.configuration.get("deploymentCircuitBreaker", {}).get("enable"):
            rollout.breaker = "DISABLED"
        if not rollout.configuration.get("alarms", {}).get("enable") and outcome.kind != "alarm":
            rollout.alarms = "DISABLED"
        containers = self.definitions[definition].body["containerDefinitions"] if definition else []
        for container in containers:
            digest = self.endpoint.at(self.region, "ecr").digest(container["image"])
            image = {"containerName": container["name"], "image": container["image"]}
            rollout.images.append(image | ({"imageDigest": digest} if digest else {}))
        rollout.group = self._group(service, rollout)
        service.rollouts.append(rollout)
        service.definition = definition
        RolloutScript(self, service, rollout).begin()
        return rollout

    def _serving(self, service: Service) -> Rollout | None:
        """The deployment that a rollback would return to."""
        return next(
            (
                each
                for each in reversed(service.rollouts)
                if each.place and each.state == "COMPLETED"
            ),
            None,
        )

    def _group(self, service: Service, rollout: Rollout) -> str:
        """The target group of its tasks: with blue/green, the one that the deployment before has
        not.
        """
        if not service.balanced:
            return ""
        first = service.balanced[0]
        second = first.get("advancedConfiguration", {}).get("alternateTargetGroupArn")
        before = rollout.source.group if rollout.source else None
        return str(
            second if second and before == first["targetGroupArn"] else first["targetGroupArn"]
        )

    def _play(self, service: Service) -> None:
        for rollout in list(service.rollouts):
            if (rollout.steps or rollout.hooks) and not rollout.hidden:
                RolloutScript(self, service, rollout).play()
        for rollout in service.rollouts:  # a script may have begun another one
            if rollout.steps and not rollout.hidden:
                RolloutScript(self, service, rollout).play()

    def _looked(self, service: Service) -> None:
        for rollout in service.rollouts:
            if rollout.hidden:
                rollout.hidden -= 1
            else:
                rollout.looks += 1

    # Helpers: tasks

    def _running(self, service: Service, started_by: str) -> list[dict[str, Any]]:
        tasks = service.cluster.tasks.values()
        return [
            task
            for task in tasks
            if task.get("startedBy") == started_by and task["desiredStatus"] == "RUNNING"
        ]

    def _replica(self, service: Service, rollout: Rollout) -> dict[str, Any]:
        """One more task of a deployment."""
        launch_type = service.settings.get("launchType", "FARGATE")
        return self._task(
            service.cluster, rollout.definition, rollout.id, f"service:{service.name}", launch_type
        )

    def _task(
        self, cluster: Cluster, definition: str, started_by: str, group: str, launch_type: str
    ) -> dict[str, Any]:
        """A task that is about to start."""
        body = self.definitions[definition].body
        number, task_id = self.endpoint.number("address"), self.token("task", 32)
        address, attachment = (
            f"10.0.{number // 250}.{number % 250 + 4}",
            self.token("attachment", 32),
        )
        arn = self.endpoint.arn("ecs", f"task/{cluster.name}/{task_id}", self.region)
        containers = []
        for each in body["containerDefinitions"]:
            container = {
                "name": each["name"],
                "image": each["image"],
                "lastStatus": "PENDING",
                "taskArn": arn,
                "healthStatus": "UNKNOWN",
                "containerArn": self.endpoint.arn(
                    "ecs",
                    f"container/{cluster.name}/{task_id}/{self.token('container', 32)}",
                    self.region,
                ),
                "networkInterfaces": [{"attachmentId": attachment, "privateIpv4Address": address}],
            }
            digest = self.endpoint.at(self.region, "ecr").digest(each["image"])
            containers.append(container | ({"imageDigest": digest} if digest else {}))
        details = [
            {"name": "subnetId", "value": "subnet-1"},
            {"name": "privateIPv4Address", "value": address},
        ]
        document: dict[str, Any] = {
            "taskArn": arn,
            "clusterArn": cluster.arn,
            "taskDefinitionArn": definition,
            "containers": containers,
            "group": group,
            "lastStatus": "PENDING",
            "desiredStatus": "RUNNING",
            "createdAt": self.now(),
            "launchType": launch_type,
            "version": 1,
            "attachments": [
                {
                    "id": attachment,
                    "type": "ElasticNetworkInterface",
                    "status": "ATTACHED",
                    "details": details,
                }
            ],
        }
        cluster.tasks[arn] = document | ({"startedBy": started_by} if started_by else {})
        return cluster.tasks[arn]

    def _run(self, task: dict[str, Any]) -> None:
        if task["lastStatus"] != "RUNNING":
            task |= {
                "lastStatus": "RUNNING",
                "connectivity": "CONNECTED",
                "startedAt": self.now(),
                "healthStatus": "UNKNOWN",
            }
            for container in task["containers"]:
                container["lastStatus"] = "RUNNING"

    def _deregister(self, task: dict[str, Any]) -> None:
        address = _address(task)
        for group in self.endpoint.at(self.region, "elbv2").groups.values():
            for key in [key for key in group.targets if key[0] == address]:
                del group.targets[key]

    def _stop(
        self, task: dict[str, Any], code: str, reason: str, exit_code: int | None, text: str = ""
    ) -> None:
        now = self.now()
        task |= {
            "lastStatus": "STOPPED",
            "desiredStatus": "STOPPED",
            "stopCode": code,
            "stoppedReason": reason,
        }
        task |= {"stoppingAt": now, "executionStoppedAt": now, "stoppedAt": now}
        for container in task["containers"]:
            container["lastStatus"] = "STOPPED"
            if text:
                container["reason"] = text
            if exit_code is not None:
                container["exitCode"] = exit_code

    def _run_on(self, task: dict[str, Any]) -> None:
        """A task of RunTask runs, then ends."""
        errand, begun = self._running_errands.get(task["taskArn"], (None, None))
        if errand is None or begun is None or task["lastStatus"] == "STOPPED":
            return
        passed = (self.now() - begun).total_seconds()
        definition = self.definitions[task["taskDefinitionArn"]].body
        if passed >= errand.seconds:
            self._log(task, definition, errand.log)
            image = definition["containerDefinitions"][0]["image"]
            row = (
                "EssentialContainerExited",
                "Essential container in task exited",
                errand.exit_code,
                "",
            )
            if errand.cause:
                row = failure(
                    errand.cause,
                    image,
                    errand.exit_code or 1,
                    "",
                    self.region,
                    self.endpoint.account,
                )
            self._stop(task, *row)
        elif passed >= errand.seconds / 2 and task["lastStatus"] != "RUNNING":
            self._run(task)

    def _target(
        self, service: Service, rollout: Rollout, task: dict[str, Any], state: str, reason: str
    ) -> None:
        if rollout.group:
            self.endpoint.at(self.region, "elbv2").health(
                rollout.group, _address(task), state, reason
            )

    def _log(
        self, task: dict[str, Any], definition: dict[str, Any], lines: tuple[str, ...]
    ) -> None:
        """What the first container said, where its task definition sends it."""
        container = definition["containerDefinitions"][0]
        options = container.get("logConfiguration", {}).get("options", {})
        if lines and "awslogs-group" in options:
            prefix = options.get("awslogs-stream-prefix", "ecs")
            stream = f"{prefix}/{container['name']}/{_last(task['taskArn'])}"
            self.endpoint.at(self.region, "logs").put(options["awslogs-group"], stream, *lines)

    # Helpers: saying

    def _cluster_said(self, cluster: Cluster) -> dict[str, Any]:
        running = sum(task["lastStatus"] == "RUNNING" for task in cluster.tasks.values())
        return {
            "clusterArn": cluster.arn,
            "clusterName": cluster.name,
            "status": "ACTIVE",
            "runningTasksCount": running,
            "activeServicesCount": len(cluster.services),
        }

    def _said(self, service: Service, tags: bool, seen: bool = False) -> dict[str, Any]:
        """A service as it is described; `seen` shows also what cannot be seen yet."""
        hidden = [] if seen else [rollout for rollout in service.rollouts if rollout.hidden]
        visible = [rollout for rollout in service.rollouts if rollout not in hidden]
        remote = [rollout for rollout in reversed(visible) if rollout.place]
        primary = next(
            (rollout for rollout in remote if rollout.place == "PRIMARY"),
            remote[0] if remote else None,
        )
        deployments = [
            self._entry(
                rollout, "PRIMARY" if hidden and rollout is primary else rollout.place, service
            )
            for rollout in remote
        ]
        deployments.sort(key=lambda each: each["status"] != "PRIMARY")
        settings = {
            key: value
            for key, value in service.settings.items()
            if key in model("ecs").shape_for("Service").members
        }
        answer: dict[str, Any] = {
            **settings,
            "serviceArn": service.arn,
            "serviceName": service.name,
            "clusterArn": service.cluster.arn,
            "status": service.status,
            "desiredCount": service.desired,
            "runningCount": sum(each["runningCount"] for each in deployments),
            "pendingCount": sum(each["pendingCount"] for each in deployments),
            "deployments": deployments,
            "events": list(service.events),
            "taskDefinition": primary.definition if hidden and primary else service.definition,
            "createdAt": service.created,
            "deploymentConfiguration": service.configuration,
            "createdBy": f"arn:aws:iam::{self.endpoint.account}:user/deployer",
            "roleArn": (
                f"arn:aws:iam::{self.endpoint.account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
            ),
        }
        if self.history == "on" and visible:
            answer["currentServiceDeployment"] = visible[-1].arn
            answer["currentServiceRevisions"] = [
                self._share(rollout, brief=True) for rollout in remote
            ]
        return answer | ({"tags": service.tags} if tags and service.tags else {})

    def _entry(self, rollout: Rollout, place: str, service: Service) -> dict[str, Any]:
        """An entry of `deployments`."""
        document: dict[str, Any] = {
            "id": rollout.id,
            "status": place,
            "taskDefinition": rollout.definition,
            "createdAt": rollout.created,
            "desiredCount": rollout.desired if place == "PRIMARY" else rollout.running,
            "runningCount": rollout.running,
            "pendingCount": rollout.pending,
            "failedTasks": rollout.failed,
            "updatedAt": rollout.updated,
            "rolloutState": rollout.state,
            "rolloutStateReason": rollout.reason,
            "launchType": service.settings.get("launchType", "FARGATE"),
        }
        return document

    def _share(self, rollout: Rollout, brief: bool = False) -> dict[str, Any]:
        document: dict[str, Any] = {
            "arn": rollout.revision,
            "requestedTaskCount": rollout.desired,
            "runningTaskCount": rollout.running,
            "pendingTaskCount": rollout.pending,
        }
        return (
            document
            if brief
            else document
            | {
                "requestedTestTrafficWeight": 0.0,
                "requestedProductionTrafficWeight": rollout.weight,
            }
        )

    def _deployment_said(self, service: Service, rollout: Rollout) -> dict[str, Any]:
        document: dict[str, Any] = {
            "serviceDeploymentArn": rollout.arn,
            "serviceArn": service.arn,
            "clusterArn": service.cluster.arn,
            "createdAt": rollout.created,
            "startedAt": rollout.started,
            "finishedAt": rollout.finished,
            "stoppedAt": rollout.stopped,
            "updatedAt": rollout.updated,
            "targetServiceRevision": self._share(rollout),
            "status": rollout.status,
            "deploymentConfiguration": rollout.configuration,
            "statusReason": rollout.status_reason or None,
            "lifecycleStage": rollout.stage or None,
            "rollback": rollout.rolled or None,
            "lifecycleHookDetails": rollout.hooks or None,
            "sourceServiceRevisions": [],
            "deploymentCircuitBreaker": {
                "status": rollout.breaker,
                "failureCount": rollout.failed,
                "threshold": rollout.threshold,
            },
        }
        if rollout.source is not None:
            document["sourceServiceRevisions"] = [
                self._share(rollout.source)
                | {"requestedProductionTrafficWeight": 100.0 - rollout.weight}
            ]
        names = rollout.configuration.get("alarms", {}).get(
            "alarmNames", ["too-many-errors"] if rollout.alarms == "TRIGGERED" else []
        )
        triggered = names if rollout.alarms == "TRIGGERED" else []
        return document | {
            "alarms": {
                "status": rollout.alarms,
                "alarmNames": names,
                "triggeredAlarmNames": triggered,
            }
        }

    def _revision_said(self, service: Service, rollout: Rollout) -> dict[str, Any]:
        document: dict[str, Any] = {
            "serviceRevisionArn": rollout.revision,
            "serviceArn": service.arn,
            "clusterArn": service.cluster.arn,
            "taskDefinition": rollout.definition,
            "createdAt": rollout.created,
            "containerImages": rollout.images,
            "launchType": service.settings.get("launchType", "FARGATE"),
            "loadBalancers": service.balanced,
        }
        if "networkConfiguration" in service.settings:
            document["networkConfiguration"] = service.settings["networkConfiguration"]
        if rollout.group:
            resolved = {"targetGroupArn": rollout.group}
            rule = (
                service.balanced[0].get("advancedConfiguration", {}).get("productionListenerRule")
            )
            document["resolvedConfiguration"] = {
                "loadBalancers": [resolved | ({"productionListenerRule": rule} if rule else {})]
            }
        return document


def _last(arn: str) -> str:
    return arn.rpartition("/")[2]


def _address(task: dict[str, Any]) -> str:
    return str(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"])


def _page(values: list[Any], params: dict[str, Any], key: str) -> dict[str, Any]:
    start, most = int(params.get("nextToken") or 0), params.get("maxResults", 100)
    return {key: values[start : start + most]} | (
        {"nextToken": str(start + most)} if start + most < len(values) else {}
    )
