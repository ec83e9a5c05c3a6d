"""What runs in the sandbox: images as processes, behind a service and a load balancer."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from tests.support.sandbox import ACCOUNT, REGION, Cloud, Emulator
from toolkit.errors import CloudError, NotAllowed
from toolkit.ports.aws.client import Aws
from toolkit.sandbox import guard, images, server

REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app"
SERVER = """\
import http.server, os, sys
print("hello from", os.environ["VERSION"], flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


def serving(version: str) -> images.SandboxImage:
    env = {"HOST": "localhost", "PORT": "8080", "VERSION": version}
    return images.image({"app/main.py": SERVER}, ["python", "/app/main.py"], env)


CRASHING = images.image(
    {"app/main.py": 'import sys\nprint("no configuration")\nsys.exit(3)\n'},
    ["python3", "/app/main.py"],
    {},
)


def eventually(look: Callable[[], Any], patience_s: float = 20.0) -> Any:
    """What a look finds, as soon as it finds anything."""
    until = time.monotonic() + patience_s
    while not (health_result := look()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return health_result


def get(
    cloud: Cloud,
    path: str,
    headers: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port or cloud.emulator.process.port, timeout=5)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def define(aws: Aws, image: str, command: Sequence[str] = ()) -> str:
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "essential": True,
        "portMappings": [{"containerPort": 8080}],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": "/app",
                "awslogs-region": REGION,
                "awslogs-stream-prefix": "a",
                "awslogs-create-group": "true",
            },
        },
    }
    created = aws.write(
        "ecs",
        "register_task_definition",
        family="app",
        networkMode="awsvpc",
        containerDefinitions=[container],
    )
    return str(created["taskDefinition"]["taskDefinitionArn"])


def create(aws: Aws, definition: str, **more: Any) -> None:
    aws.write("ecs", "create_cluster", clusterName="c")
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    aws.write(
        "ecs",
        "create_service",
        cluster="c",
        serviceName="s",
        taskDefinition=definition,
        desiredCount=1,
        launchType="FARGATE",
        deploymentConfiguration=breaker,
        **more,
    )


def service(aws: Aws) -> dict[str, Any]:
    document: dict[str, Any] = aws.read("ecs", "describe_services", cluster="c", services=["s"])[
        "services"
    ][0]
    return document


def completed(aws: Aws) -> dict[str, Any] | None:
    document = service(aws)
    primary = next(item for item in document["deployments"] if item["status"] == "PRIMARY")
    return document if primary["rolloutState"] == "COMPLETED" and document["runningCount"] else None


def stopped_tasks(aws: Aws) -> list[dict[str, Any]]:
    arns = aws.read("ecs", "list_tasks", cluster="c", desiredStatus="STOPPED")["taskArns"]
    documents: list[dict[str, Any]] = (
        aws.read("ecs", "describe_tasks", cluster="c", tasks=arns)["tasks"] if arns else []
    )
    return documents


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    """The account, with a repository `app`."""
    created = cloud.aws()
    created.write("ecr", "create_repository", repositoryName="app")
    return created


def balanced(aws: Aws) -> tuple[str, str]:
    """A load balancer: its name in DNS, and its target group."""
    created = aws.write("elbv2", "create_load_balancer", Name="lb", Subnets=["subnet-1"])[
        "LoadBalancers"
    ][0]
    group = aws.write(
        "elbv2",
        "create_target_group",
        Name="tg",
        Protocol="HTTP",
        Port=8080,
        TargetType="ip",
        VpcId="vpc-1",
    )
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    action = {"Type": "forward", "TargetGroupArn": arn}
    aws.write(
        "elbv2",
        "create_listener",
        LoadBalancerArn=created["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[action],
    )
    return created["DNSName"], arn


def test_a_service_answers_behind_its_load_balancer_and_a_new_version_takes_over(
    cloud: Cloud, aws: Aws
) -> None:
    name, group = balanced(aws)
    cloud.emulator.push("app", "v1", serving("one"))
    create(
        aws,
        define(aws, f"{REPOSITORY}:v1"),
        loadBalancers=[{"targetGroupArn": group, "containerName": "main", "containerPort": 8080}],
    )
    eventually(lambda: completed(aws))
    eventually(lambda: get(cloud, "/", {"Host": name}) == (200, b"one"))
    digest = cloud.emulator.push("app", "v2", serving("two"))
    aws.write(
        "ecs",
        "update_service",
        cluster="c",
        service="s",
        taskDefinition=define(aws, f"{REPOSITORY}@{digest}"),
    )
    assert get(cloud, "/", {"Host": name}) == (200, b"one")
    eventually(lambda: completed(aws))
    eventually(lambda: get(cloud, "/", {"Host": name}) == (200, b"two"))
    [arn] = aws.read("ecs", "list_tasks", cluster="c")["taskArns"]
    task = aws.read("ecs", "describe_tasks", cluster="c", tasks=[arn])["tasks"][0]
    assert task["containers"][0]["imageDigest"] == digest


PATH = f"/_service/{ACCOUNT}/{REGION}/c/s/"


def test_a_service_without_a_load_balancer_answers_at_its_address_as_long_as_a_task_runs(
    cloud: Cloud, aws: Aws
) -> None:
    cloud.emulator.push("app", "v1", serving("one"))
    create(aws, define(aws, f"{REPOSITORY}:v1"))
    eventually(lambda: completed(aws))
    eventually(lambda: get(cloud, PATH) == (200, b"one"))
    server.name_hosts(cloud.emulator.process, {"api.example.com": PATH.rstrip("/")})
    assert get(cloud, "/any/path?x=1", {"Host": "api.example.com"}) == (200, b"one")
    cloud.emulator.push("app", "v2", serving("two"))
    aws.write(
        "ecs",
        "update_service",
        cluster="c",
        service="s",
        taskDefinition=define(aws, f"{REPOSITORY}:v2"),
    )
    eventually(lambda: completed(aws))
    eventually(lambda: get(cloud, PATH) == (200, b"two"))
    aws.write("ecs", "update_service", cluster="c", service="s", desiredCount=0)
    eventually(lambda: get(cloud, PATH) == (503, b'{"message": "no task of this service runs"}'))


def test_a_service_whose_target_group_is_behind_no_load_balancer_answers_at_its_address(
    cloud: Cloud, aws: Aws
) -> None:
    group = aws.write(
        "elbv2",
        "create_target_group",
        Name="tg",
        Protocol="HTTP",
        Port=8080,
        TargetType="ip",
        VpcId="vpc-1",
    )
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    cloud.emulator.push("app", "v1", serving("one"))
    behind = [{"targetGroupArn": arn, "containerName": "main", "containerPort": 8080}]
    create(aws, define(aws, f"{REPOSITORY}:v1"), loadBalancers=behind)
    eventually(lambda: get(cloud, PATH) == (200, b"one"))


def test_the_container_that_listens_answers_for_a_service_of_several(
    cloud: Cloud, aws: Aws
) -> None:
    cloud.emulator.push("app", "v1", serving("one"))
    cloud.emulator.push(
        "app",
        "beside",
        images.image({"m.py": "import time\ntime.sleep(600)\n"}, ["python", "/m.py"], {}),
    )
    beside = {"name": "beside", "image": f"{REPOSITORY}:beside", "essential": True}
    main = {
        "name": "main",
        "image": f"{REPOSITORY}:v1",
        "essential": True,
        "portMappings": [{"containerPort": 8080}],
    }
    created = aws.write(
        "ecs",
        "register_task_definition",
        family="app",
        networkMode="awsvpc",
        containerDefinitions=[beside, main],
    )
    create(aws, created["taskDefinition"]["taskDefinitionArn"])
    eventually(lambda: get(cloud, PATH) == (200, b"one"))


def test_a_service_that_names_no_port_is_told_as_such(cloud: Cloud, aws: Aws) -> None:
    cloud.emulator.push("app", "v1", serving("one"))
    main = {"name": "main", "image": f"{REPOSITORY}:v1", "essential": True}
    created = aws.write(
        "ecs",
        "register_task_definition",
        family="app",
        networkMode="awsvpc",
        containerDefinitions=[main],
    )
    create(aws, created["taskDefinition"]["taskDefinitionArn"])
    eventually(lambda: b"has no portMappings" in get(cloud, PATH)[1])
    assert b"no such service" in get(cloud, PATH.replace("/s/", "/other/"))[1]
    assert b"no such service" in get(cloud, PATH.replace(ACCOUNT, "222222222222"))[1]


def test_an_image_that_exits_is_rolled_back_with_its_exit_code_and_its_last_line_in_the_log(
    cloud: Cloud, aws: Aws
) -> None:
    cloud.emulator.push("app", "v1", serving("one"))
    first = define(aws, f"{REPOSITORY}:v1")
    create(aws, first)
    eventually(lambda: completed(aws))
    cloud.emulator.push("app", "v2", CRASHING)
    aws.write(
        "ecs",
        "update_service",
        cluster="c",
        service="s",
        taskDefinition=define(aws, f"{REPOSITORY}:v2"),
    )
    crashed = eventually(
        lambda: [
            stopped_task
            for stopped_task in stopped_tasks(aws)
            if stopped_task["stopCode"] == "EssentialContainerExited"
        ]
    )[0]
    assert crashed["containers"][0]["exitCode"] == 3
    value = eventually(lambda: completed(aws))
    assert value["taskDefinition"] == first
    stream = f"a/main/{crashed['taskArn'].rpartition('/')[2]}"
    lines = eventually(
        lambda: aws.read("logs", "get_log_events", logGroupName="/app", logStreamName=stream)[
            "events"
        ]
    )
    assert [line["message"] for line in lines] == ["no configuration"]


def test_an_image_that_is_not_there_cannot_be_pulled(aws: Aws) -> None:
    create(aws, define(aws, f"{REPOSITORY}:nope"))
    task = eventually(lambda: stopped_tasks(aws))[0]
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError")
    assert ":nope: not found" in task["stoppedReason"]


def test_a_single_task_ends_with_the_code_of_its_program(cloud: Cloud, aws: Aws) -> None:
    aws.write("ecs", "create_cluster", clusterName="c")
    cloud.emulator.push("app", "v1", CRASHING)
    aws.write("ecs", "run_task", cluster="c", taskDefinition=define(aws, f"{REPOSITORY}:v1"))
    assert eventually(lambda: stopped_tasks(aws))[0]["containers"][0]["exitCode"] == 3


def test_the_image_for_this_machine_is_taken_out_of_a_list(cloud: Cloud, aws: Aws) -> None:
    digest = cloud.emulator.push("app", CRASHING.digest, CRASHING)
    platforms = (
        {"os": "unknown", "architecture": "unknown"},
        {"os": "linux", "architecture": "arm64"},
        {"os": "linux", "architecture": "amd64"},
    )
    listed = [
        {
            "mediaType": images.MANIFEST,
            "digest": f"sha256:{'0' * 64}",
            "size": 1,
            "platform": platform,
        }
        for platform in platforms
    ]
    listed[2]["digest"] = digest
    index = json.dumps({"schemaVersion": 2, "mediaType": images.INDEX, "manifests": listed})
    aws.write(
        "ecr",
        "put_image",
        repositoryName="app",
        imageManifest=index,
        imageManifestMediaType=images.INDEX,
        imageTag="all",
    )
    aws.write("ecs", "create_cluster", clusterName="c")
    aws.write("ecs", "run_task", cluster="c", taskDefinition=define(aws, f"{REPOSITORY}:all"))
    assert eventually(lambda: stopped_tasks(aws))[0]["containers"][0]["exitCode"] == 3


def test_each_deployment_can_be_looked_at_and_one_that_is_stopped_is_rolled_back(
    cloud: Cloud, aws: Aws
) -> None:
    cloud.emulator.push("app", "v1", serving("one"))
    digest = cloud.emulator.push("app", "v2", serving("two"))
    create(aws, define(aws, f"{REPOSITORY}:v1"))
    eventually(lambda: completed(aws))
    aws.write(
        "ecs",
        "update_service",
        cluster="c",
        service="s",
        taskDefinition=define(aws, f"{REPOSITORY}@{digest}"),
    )
    newest, oldest = aws.read("ecs", "list_service_deployments", cluster="c", service="s")[
        "serviceDeployments"
    ]
    assert (newest["status"], oldest["status"]) == ("IN_PROGRESS", "SUCCESSFUL")
    arn = newest["serviceDeploymentArn"]
    assert service(aws)["currentServiceDeployment"] == arn
    [revision] = aws.read(
        "ecs",
        "describe_service_revisions",
        serviceRevisionArns=[newest["targetServiceRevisionArn"]],
    )["serviceRevisions"]
    assert revision["containerImages"][0]["imageDigest"] == digest
    aws.write("ecs", "stop_service_deployment", serviceDeploymentArn=arn, stopType="ROLLBACK")

    def rolled_back() -> bool:
        result = aws.read("ecs", "describe_service_deployments", serviceDeploymentArns=[arn])[
            "serviceDeployments"
        ][0]
        return bool(result["status"] == "ROLLBACK_SUCCESSFUL")

    eventually(rolled_back)
    assert service(aws)["taskDefinition"].endswith(":1")


def test_an_unknown_task_definition_is_refused(cloud: Cloud, aws: Aws) -> None:
    cloud.emulator.push("app", "v1", serving("one"))
    create(aws, define(aws, f"{REPOSITORY}:v1"))
    with pytest.raises(Exception, match="TaskDefinition not found"):
        aws.write("ecs", "update_service", cluster="c", service="s", taskDefinition="nope:7")


def test_the_registry_asks_who_is_there_and_keeps_accounts_apart(cloud: Cloud, aws: Aws) -> None:
    digest = cloud.emulator.push("app", "v1", serving("one"))
    assert get(cloud, "/v2/app/manifests/v1")[0] == 401
    login = aws.read("ecr", "get_authorization_token")["authorizationData"][0]
    assert login["proxyEndpoint"] == cloud.url
    for reference in ("v1", digest):
        status, body = get(
            cloud,
            f"/v2/app/manifests/{reference}",
            {"Authorization": f"Basic {login['authorizationToken']}"},
        )
        assert (status, json.loads(body)["schemaVersion"]) == (200, 2)
    login = f"AWS:{guard.password(cloud.emulator.secret, '222222222222', REGION)}"
    text = base64.b64encode(login.encode()).decode()
    assert get(cloud, "/v2/app/manifests/v1", {"Authorization": f"Basic {text}"})[0] == 404


def test_a_missing_image_is_an_error_as_in_aws(aws: Aws) -> None:
    with pytest.raises(Exception, match="ImageNotFoundException"):
        aws.read("ecr", "describe_images", repositoryName="app", imageIds=[{"imageTag": "nope"}])


def test_a_policy_may_name_one_service(
    strict_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Cloud(strict_emulator, monkeypatch)
    root.enter()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", strict_emulator.secret)
    aws = Aws(None, REGION)
    aws.write("iam", "create_user", UserName="ada")
    service = f"arn:aws:ecs:{REGION}:{aws.account()}:service/c/mine"
    allowed = {"Effect": "Allow", "Action": ["ecs:UpdateService"], "Resource": service}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    aws.write("iam", "put_user_policy", UserName="ada", PolicyName="p", PolicyDocument=policy)
    key = aws.write("iam", "create_access_key", UserName="ada")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    ada = Aws(None, REGION)
    with pytest.raises(CloudError, match=r"ServiceNotFound|ClusterNotFound"):
        ada.write("ecs", "update_service", cluster="c", service="mine")
    with pytest.raises(NotAllowed):
        ada.write("ecs", "update_service", cluster="c", service="yours")


def test_a_task_definition_of_a_stack_has_all_that_its_template_says(cloud: Cloud) -> None:
    aws = cloud.aws()
    containers = [
        {
            "Name": "main",
            "Image": "x",
            "Secrets": [{"Name": "TOKEN", "ValueFrom": "arn:aws:ssm:x"}],
            "DependsOn": [{"ContainerName": "side", "Condition": "START"}],
            "DockerLabels": {"Team.Name": "a"},
            "HealthCheck": {"Command": ["CMD", "true"], "Interval": 5},
            "Ulimits": [{"Name": "nofile", "SoftLimit": 1, "HardLimit": 2}],
            "LogConfiguration": {
                "LogDriver": "awslogs",
                "Options": {"awslogs-group": "/a", "Mode": "x"},
                "SecretOptions": [{"Name": "key", "ValueFrom": "arn:aws:ssm:y"}],
            },
            "LinuxParameters": {"InitProcessEnabled": True},
            "Environment": [{"Name": "A", "Value": "1"}],
        },
        {"Name": "side", "Image": "y"},
    ]
    volumes = [
        {
            "Name": "data",
            "EFSVolumeConfiguration": {
                "FilesystemId": "fs-1",
                "AuthorizationConfig": {"IAM": "ENABLED"},
            },
        }
    ]
    properties = {
        "Family": "whole",
        "ContainerDefinitions": containers,
        "Volumes": volumes,
        "RuntimePlatform": {"CpuArchitecture": "ARM64"},
    }
    for cpu in ("256", "512"):
        resources = {
            "Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": {**properties, "Cpu": cpu}}
        }
        call = "create_stack" if cpu == "256" else "update_stack"
        aws.write(
            "cloudformation",
            call,
            StackName="whole",
            TemplateBody=json.dumps({"Resources": resources}),
        )
        value = eventually(partial(_definition, aws, "whole", cpu))
        main, side = value["containerDefinitions"]
        assert main["secrets"] == [{"name": "TOKEN", "valueFrom": "arn:aws:ssm:x"}]
        assert main["dependsOn"] == [{"containerName": "side", "condition": "START"}]
        assert main["dockerLabels"] == {"Team.Name": "a"}
        assert main["healthCheck"] == {"command": ["CMD", "true"], "interval": 5}
        assert main["ulimits"] == [{"name": "nofile", "softLimit": 1, "hardLimit": 2}]
        assert main["logConfiguration"]["options"] == {"awslogs-group": "/a", "Mode": "x"}
        assert main["logConfiguration"]["secretOptions"] == [
            {"name": "key", "valueFrom": "arn:aws:ssm:y"}
        ]
        assert (main["linuxParameters"], side["name"]) == ({"initProcessEnabled": True}, "side")
        assert value["volumes"][0]["efsVolumeConfiguration"]["authorizationConfig"] == {
            "iam": "ENABLED"
        }
        assert value["runtimePlatform"] == {"cpuArchitecture": "ARM64"}
        assert "pidMode" not in value


def _definition(aws: Aws, family: str, cpu: str) -> dict[str, Any] | None:
    """The newest of a family, once it has so much CPU."""
    try:
        document: dict[str, Any] = aws.read(
            "ecs", "describe_task_definition", taskDefinition=family
        )["taskDefinition"]
    except CloudError:
        return None
    return document if document.get("cpu") == cpu else None


def test_a_reference_to_a_secret_of_a_stack_is_its_arn_until_it_is_deleted(cloud: Cloud) -> None:
    aws = cloud.aws()
    ids = set()
    for description in ("one", "two"):
        secret = {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"Name": "token", "Description": description, "SecretString": "s"},
        }
        template = {
            "Resources": {"Token": secret},
            "Outputs": {"Where": {"Value": {"Ref": "Token"}}, "Word": {"Value": description}},
        }
        call = "create_stack" if description == "one" else "update_stack"
        aws.write("cloudformation", call, StackName="secrets", TemplateBody=json.dumps(template))
        outputs = eventually(partial(_outputs, aws, "secrets", description))
        ids.add(outputs["Where"])
        actual = aws.read("secretsmanager", "describe_secret", SecretId=outputs["Where"])
        assert (actual["ARN"], actual["Name"], actual["Description"]) == (
            outputs["Where"],
            "token",
            description,
        )
    assert len(ids) == 1
    aws.write("cloudformation", "delete_stack", StackName="secrets")
    eventually(lambda: not aws.read("secretsmanager", "list_secrets")["SecretList"])


def _outputs(aws: Aws, stack: str, word: str) -> dict[str, str] | None:
    """The outputs of a stack, once the one that is called Word says so."""
    result = aws.read("cloudformation", "describe_stacks", StackName=stack)["Stacks"][0]
    outputs = {item["OutputKey"]: item["OutputValue"] for item in result.get("Outputs") or ()}
    return (
        outputs
        if outputs.get("Word") == word and result["StackStatus"].endswith("_COMPLETE")
        else None
    )


def test_an_image_is_as_large_as_its_layers_as_in_aws(cloud: Cloud, aws: Aws) -> None:
    digest = cloud.emulator.push("app", "v1", serving("one"))
    for image in ({"imageDigest": digest}, {"imageTag": "v1"}):
        answer = aws.read("ecr", "describe_images", repositoryName="app", imageIds=[image])
        [details] = answer["imageDetails"]
        manifest = json.loads(
            aws.read("ecr", "batch_get_image", repositoryName="app", imageIds=[image])["images"][0][
                "imageManifest"
            ]
        )
        parts = [*manifest["layers"], manifest["config"]]
        assert details["imageSizeInBytes"] == sum(part["size"] for part in parts) > 0
