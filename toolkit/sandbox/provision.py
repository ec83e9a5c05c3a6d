"""What has to exist for the targets of a rules.toml: worked out (pure), then created in the
emulator. Creating it twice is harmless.
"""

import hashlib
import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from toolkit.artifacts.images.bases import ImageName
from toolkit.artifacts.images.bases import name as base_name
from toolkit.errors import CloudError, Refused
from toolkit.formats.build_stages import global_args, platform, stages
from toolkit.formats.dockerfile import parse
from toolkit.model import Environment, Rules, Target
from toolkit.operations import Location, Provision, ProvisionKind
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.names import bucket_and_prefix
from toolkit.sandbox import images

ACCOUNT, REGION = "111111111111", "us-east-1"
"""What is meant where rules.toml names no account or no region."""

MIRROR = "mirror"
MIRROR_PLACE = Location(region="us-east-1", account="000000000000")
"""Where base images are; it is the one part of the registry that needs no password."""

PROVISIONAL = {"toolkit:sandbox": "provisional"}
"""The tag by which the engine knows what may give way to a stack."""

SETTLE_S = 20.0
"""How long the first deployments may take; what takes longer is left to itself."""

_HANDLER = "def handler(event, context):\n    return 'sandbox: nothing deployed'\n"


class ProjectNeeds(Struct, frozen=True):
    """What the sandbox has to know of a rules.toml, from those who know kinds and checks."""

    rules: Rules
    provisions: Callable[[Target, Mapping[str, str]], Iterable[Provision]]
    """What a target needs, with these variables of an environment filled in."""
    dockerfile: Callable[[Target], str]
    """The text of a target's Dockerfile, empty if it has none."""
    checked: Callable[[Environment | None], Iterable[Provision]] = lambda environment: ()
    """What checks look for in an environment."""


class PlannedPart(Struct, frozen=True):
    """One thing to create, and where; for a service, the port that its program listens on."""

    location: Location
    what: Provision
    port: int = 8080


class ProvisionedPart(Struct, frozen=True):
    """One thing that exists now. `url` is the address of a service behind its load balancer."""

    environment: str
    account: str
    region: str
    what: str
    name: str
    url: str = ""


def locations(rules: Rules) -> tuple[Location, ...]:
    """Every region of every environment, always with an account; one location for a rules.toml
    without environments. Raises Refused.
    """
    places: list[Location] = []
    for environment in list(rules.environments.values()) or [Environment("")]:
        # The name of a profile becomes a section of a file.
        if environment.profile and not re.fullmatch(r"[^\[\]\r\n=;#]+", environment.profile):
            raise Refused(
                f"environment {environment.name} has a profile that no AWS configuration can name"
            )
        for region in environment.regions or (REGION,):
            places.append(
                Location(
                    environment.name,
                    region,
                    environment.account or ACCOUNT,
                    environment.profile,
                    environment.protected,
                    environment.store,
                )
            )
    return tuple(places)


def planned_parts(project: ProjectNeeds, bare: bool = False) -> tuple[PlannedPart, ...]:
    """What has to exist for each target in each location, each thing once. `bare` leaves services
    and functions to stacks. Raises Refused.
    """
    parts: dict[tuple[Location, str, str], PlannedPart] = {}

    def add(location: Location, provisions: Iterable[Provision], port: int) -> None:
        for provision in provisions:
            if not (bare and provision.what in MADE_BY_STACKS):
                key = location, provision.what, provision.name
                parts[key] = PlannedPart(location, provision, port)

    for location in locations(project.rules):
        environment = project.rules.environments.get(location.environment or "")
        if location.store:
            bucket, _ = bucket_and_prefix(location.store)
            add(location, [Provision(ProvisionKind.BUCKET, bucket)], 0)
        variables = {"region": location.region or ""}
        if environment:
            variables |= environment.vars
        for target in project.rules.targets.values():
            provisions = tuple(project.provisions(target, variables))
            if provisions:
                add(location, provisions, exposed_port(project.dockerfile(target)))
        add(location, project.checked(environment), 0)
    return tuple(parts.values())


def base_images(project: ProjectNeeds) -> tuple[ImageName, ...]:
    """The base images of everything that is built. A Dockerfile that cannot be read is left to the
    deploy to report.
    """
    names: dict[ImageName, None] = {}
    for target in project.rules.targets.values():
        try:
            parsed = parse(project.dockerfile(target))
            arguments = global_args(parsed, {}, platform(None))
            for stage in stages(parsed, arguments.values, platform(None)):
                if isinstance(stage.base, str) and stage.base != "scratch":
                    names[base_name(stage.base)] = None
        except Refused:
            continue
    return tuple(names)


def exposed_port(dockerfile: str) -> int:
    """The first port that a Dockerfile exposes, 8080 if it does not say."""
    for instruction in parse(dockerfile).instructions:
        port = re.match(r"\d{1,5}\b", instruction.rest)
        if instruction.keyword == "EXPOSE" and port and 0 < int(port[0]) < 65536:
            return int(port[0])
    return 8080


def make_parts(
    planned: Iterable[PlannedPart],
    clouds: Callable[[Location], Aws],
    registry: images.SandboxRegistry,
    tell: Callable[[str], None],
) -> tuple[ProvisionedPart, ...]:
    """Create what does not exist yet; returns all parts. Raises CloudError, ProgramFailed."""
    provisioned = []
    for part in planned:
        location = part.location
        address = MAKERS[part.what.what](clouds(location), part, registry)
        provisioned.append(
            ProvisionedPart(
                location.environment or "",
                location.account or "",
                location.region or "",
                part.what.what,
                part.what.name,
                address,
            )
        )
        tell(f"{part.what.what} {part.what.name} in {location.account} {location.region}")
    return tuple(provisioned)


def service_hosts(parts: Iterable[PlannedPart]) -> dict[str, str]:
    """Host -> the path of the service that answers for it. A host of two environments belongs to
    the first.
    """
    paths: dict[str, str] = {}
    for part in parts:
        for host in part.what.hosts:
            paths.setdefault(host.lower(), _service_path(part))
    return paths


def _service_path(part: PlannedPart) -> str:
    """The path at which the engine answers for a service, whichever load balancer it is behind."""
    cluster = part.what.detail["cluster"]
    return f"/_service/{part.location.account}/{part.location.region}/{cluster}/{part.what.name}"


def wait_for_services(
    planned: Iterable[PlannedPart], clouds: Callable[[Location], Aws], patience_s: float = SETTLE_S
) -> None:
    """Wait until the services' first deployments are over, so that nobody's first command meets
    them. Raises CloudError.
    """
    waiting = [part for part in planned if part.what.what == ProvisionKind.SERVICE]
    until = time.monotonic() + patience_s
    while waiting and time.monotonic() < until:
        waiting = [part for part in waiting if _is_deploying(clouds(part.location), part)]
        if waiting:
            time.sleep(0.05)


def _is_deploying(aws: Aws, part: PlannedPart) -> bool:
    services = aws.read(
        "ecs", "describe_services", cluster=part.what.detail["cluster"], services=[part.what.name]
    )["services"]
    for service in services:
        for deployment in service["deployments"]:
            if deployment["status"] == "PRIMARY" and deployment["rolloutState"] == "IN_PROGRESS":
                return True
    return False


def push_base_images(
    names: Iterable[ImageName], cloud: Aws, registry: images.SandboxRegistry
) -> None:
    """Push a stub for each base image. An image named by digest cannot be replaced by a stub.
    Raises CloudError.
    """
    account, region = MIRROR_PLACE.account or "", MIRROR_PLACE.region or ""
    for name in names:
        if not name.reference.startswith("sha256:"):
            repository = f"{MIRROR}/{name.repository}"
            _create_unless_exists(
                "RepositoryAlreadyExistsException", partial(_repository, cloud, repository)
            )
            images.push_stub(registry, repository, name.reference, name.repository, account, region)


def _repository(aws: Aws, name: str) -> None:
    aws.write("ecr", "create_repository", repositoryName=name)


def make_repository(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """An empty repository."""
    _create_unless_exists(
        "RepositoryAlreadyExistsException", lambda: _repository(aws, part.what.name)
    )
    return ""


def make_bucket(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """An empty bucket. Names are the same for all accounts: one that two environments name belongs
    to the first.
    """
    where: dict[str, Any] = {}
    if aws.region_name != "us-east-1":  # AWS refuses to be told its default
        where["CreateBucketConfiguration"] = {"LocationConstraint": aws.region_name}
    _create_unless_exists(
        "BucketAlready", lambda: aws.write("s3", "create_bucket", Bucket=part.what.name, **where)
    )
    return ""


def make_function(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """A function that does nothing, with its alias on a first version."""
    name, packed = part.what.name, io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handler.py", _HANDLER)
    role = f"arn:aws:iam::{part.location.account}:role/sandbox"

    def create() -> None:
        function = aws.write(
            "lambda",
            "create_function",
            FunctionName=name,
            Runtime="python3.12",
            Role=role,
            Handler="handler.handler",
            Publish=True,
            Code={"ZipFile": packed.getvalue()},
            Tags=PROVISIONAL,
        )
        aws.write(
            "lambda",
            "create_alias",
            FunctionName=name,
            Name=part.what.detail["alias"],
            FunctionVersion=function["Version"],
        )

    _create_unless_exists("ResourceConflictException", create)
    return ""


def make_bootstrap(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """What `cdk bootstrap` leaves behind, as far as an assembly speaks of it: a bucket, a
    repository, roles, and the version.
    """
    start, where = f"cdk-{part.what.name}", f"{part.location.account}-{part.location.region}"
    make_bucket(
        aws,
        PlannedPart(part.location, Provision(ProvisionKind.BUCKET, f"{start}-assets-{where}")),
        registry,
    )
    make_repository(
        aws,
        PlannedPart(
            part.location, Provision(ProvisionKind.REPOSITORY, f"{start}-container-assets-{where}")
        ),
        registry,
    )
    anybody = {
        "Effect": "Allow",
        "Principal": {"AWS": "*", "Service": "cloudformation.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    for role in ("deploy", "file-publishing", "image-publishing", "lookup", "cfn-exec"):
        create = partial(
            aws.write,
            "iam",
            "create_role",
            RoleName=f"{start}-{role}-role-{where}",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [anybody]}),
        )
        _create_unless_exists("EntityAlreadyExists", create)
    aws.write(
        "ssm",
        "put_parameter",
        Name=f"/cdk-bootstrap/{part.what.name}/version",
        Value="30",
        Type="String",
        Overwrite=True,
    )
    return ""


def make_service(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """A service of one task behind a load balancer, which says that nothing is deployed; its
    address.
    """
    detail, location = part.what.detail, part.location
    cluster, repository = detail["cluster"], detail["repository"]
    aws.write("ecs", "create_cluster", clusterName=cluster)
    services = aws.read("ecs", "describe_services", cluster=cluster, services=[part.what.name])[
        "services"
    ]
    address = f"http://127.0.0.1:{registry.port}{_service_path(part)}/"
    if any(service["status"] == "ACTIVE" for service in services):
        return address
    _create_unless_exists("RepositoryAlreadyExistsException", lambda: _repository(aws, repository))
    images.push_image(
        registry,
        repository,
        "latest",
        images.first_image(part.port),
        location.account or "",
        location.region or "",
    )
    group = _balancer(aws, balancer_name(location, part.what.name), part.port)
    aws.write(
        "ecs",
        "create_service",
        cluster=cluster,
        serviceName=part.what.name,
        taskDefinition=_definition(aws, part),
        desiredCount=1,
        launchType="FARGATE",
        tags=[{"key": key, "value": value} for key, value in PROVISIONAL.items()],
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": ["subnet-sandbox"], "assignPublicIp": "ENABLED"}
        },
        loadBalancers=[
            {
                "targetGroupArn": group,
                "containerName": detail["container"],
                "containerPort": part.port,
            }
        ],
        deploymentConfiguration={
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    )
    return address


def balancer_name(location: Location, service: str) -> str:
    """A load balancer's name for a service: at most 32 characters, and different in every
    environment and region.
    """
    whole = f"{location.environment or 'sandbox'}-{location.region}-{service}"
    digest = hashlib.sha256(whole.encode()).hexdigest()[:6]
    plain = re.sub(r"[^A-Za-z0-9]+", "-", f"{location.environment or 'sandbox'}-{service}").strip(
        "-"
    )
    return f"{plain[:25].strip('-')}-{digest}"


def _definition(aws: Aws, part: PlannedPart) -> str:
    """The task definition of the first image. Its logs go where those of the deployed ones will."""
    host = f"{part.location.account}.dkr.ecr.{part.location.region}.amazonaws.com"
    where = f"{host}/{part.what.detail['repository']}:latest"
    logs = {
        "awslogs-group": f"/ecs/{part.what.name}",
        "awslogs-region": part.location.region,
        "awslogs-stream-prefix": "ecs",
        "awslogs-create-group": "true",
    }
    container = {
        "name": part.what.detail["container"],
        "image": where,
        "essential": True,
        "portMappings": [{"containerPort": part.port}],
        "logConfiguration": {"logDriver": "awslogs", "options": logs},
    }
    registered = aws.write(
        "ecs",
        "register_task_definition",
        family=part.what.name,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    return str(registered["taskDefinition"]["taskDefinitionArn"])


def _balancer(aws: Aws, name: str, port: int) -> str:
    """A load balancer with one listener; its target group."""
    balancer = aws.write("elbv2", "create_load_balancer", Name=name, Subnets=["subnet-sandbox"])[
        "LoadBalancers"
    ][0]
    groups = aws.write(
        "elbv2",
        "create_target_group",
        Name=name,
        Protocol="HTTP",
        Port=port,
        TargetType="ip",
        VpcId="vpc-sandbox",
    )
    group = str(groups["TargetGroups"][0]["TargetGroupArn"])
    action = [{"Type": "forward", "TargetGroupArn": group}]
    aws.write(
        "elbv2",
        "create_listener",
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=action,
    )
    return group


def _create_unless_exists(code: str, create: Callable[[], Any]) -> None:
    """Create something. An error with this code (or one that begins like it) says that it exists,
    which is fine.
    """
    try:
        create()
    except CloudError as problem:
        if not problem.aws_code.startswith(code):
            raise


def make_table(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """A table with the key `id`."""
    key = {"AttributeName": "id"}
    create = partial(
        aws.write,
        "dynamodb",
        "create_table",
        TableName=part.what.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{**key, "AttributeType": "S"}],
        KeySchema=[{**key, "KeyType": "HASH"}],
    )
    _create_unless_exists("ResourceInUseException", create)
    return ""


def make_queue(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """An empty queue; made twice is made once."""
    aws.write("sqs", "create_queue", QueueName=part.what.name)
    return ""


def make_parameter(aws: Aws, part: PlannedPart, registry: images.SandboxRegistry) -> str:
    """A parameter that says `sandbox`."""
    _create_unless_exists(
        "ParameterAlreadyExists",
        partial(
            aws.write, "ssm", "put_parameter", Name=part.what.name, Value="sandbox", Type="String"
        ),
    )
    return ""


MAKERS = {
    ProvisionKind.REPOSITORY: make_repository,
    ProvisionKind.BUCKET: make_bucket,
    ProvisionKind.FUNCTION: make_function,
    ProvisionKind.SERVICE: make_service,
    ProvisionKind.BOOTSTRAP: make_bootstrap,
    ProvisionKind.TABLE: make_table,
    ProvisionKind.QUEUE: make_queue,
    ProvisionKind.PARAMETER: make_parameter,
}
MADE_BY_STACKS = (ProvisionKind.SERVICE, ProvisionKind.FUNCTION)
