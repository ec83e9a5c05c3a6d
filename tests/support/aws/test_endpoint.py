"""The scripted AWS itself: protocols, faults, connections, and the process of its own."""

import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore import xform_name  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

from tests.support.aws import AwsError, Endpoint, Misuse, Remote, apart, wire
from tests.support.aws.boto import ONCE, client, refused
from tests.support.aws.control import environment
from tests.support.aws.server import SERVICES


def prepared(endpoint: Endpoint) -> dict[str, Any]:
    """One of everything, and the parameters with which each operation answers."""
    repository = endpoint.ecr.repository("backend")
    image = endpoint.ecr.image("backend", "v1")
    endpoint.ecr.image("backend", "old")
    service = endpoint.ecs.service("api", f"{repository.uri}:v1", desired=2, group="api-tg")
    endpoint.ecs.service("idle", "busybox", desired=0)
    spare = endpoint.ecs.definition("spare", "busybox")
    paused = endpoint.ecs.service("paused", "busybox", strategy="BLUE_GREEN")
    endpoint.ecs.next("pause", "paused")
    endpoint.ecs.foreign_update(paused)
    endpoint.ecs.next("pause", "paused")
    ecs = client("ecs")
    ecs.update_service(cluster="main", service="paused", forceNewDeployment=True)
    ecs.describe_services(cluster="main", services=["paused"])
    hook = paused.latest.hooks[0]["hookId"]
    stopped = endpoint.ecs.service("stopped", "busybox")
    endpoint.ecs.next("never", "stopped")
    ecs.update_service(cluster="main", service="stopped", forceNewDeployment=True)
    endpoint.logs.put("/ecs/api", "ecs/app/1", "ready")
    endpoint.s3.put("bucket", "key", b"content")
    group = next(iter(endpoint.elbv2.groups))
    template = (
        '{"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "x"}}}, '
    )
    template += '"Parameters": {"P": {"Type": "String"}}}'
    cloud = endpoint.cloudformation
    cloud.stack("web", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"}, template)
    for name, status in (
        ("stuck", "UPDATE_ROLLBACK_FAILED"),
        ("failed", "UPDATE_FAILED"),
        ("busy", "UPDATE_IN_PROGRESS"),
    ):
        cloud.stack(name, status)
    for name in ("one", "two"):
        client("cloudformation").create_change_set(
            StackName="web", ChangeSetName=name, UsePreviousTemplate=True
        )
    endpoint.functions.function("mail", signing="Warn", policy="{}")
    endpoint.functions.function("spare")
    endpoint.cloudfront.distribution("D1", "bucket")
    mail, distribution = {"FunctionName": "mail"}, {"Id": "D1"}
    alias = {**mail, "Name": "live"}
    task = next(iter(service.cluster.tasks))
    document: dict[str, Any] = {"cluster": "main"}
    bucket = {"Bucket": "bucket"}
    item = {**bucket, "Key": "key"}
    backend = {"repositoryName": "backend"}
    table = {"StackName": "web", "ChangeSetName": "one"}
    web = {"StackName": "web"}
    container = {"name": "app", "image": "busybox", "memory": 64}
    return {
        "sts": {"get_caller_identity": {}},
        "logs": {
            "get_log_events": {"logGroupName": "/ecs/api", "logStreamName": "ecs/app/1"},
            "filter_log_events": {"logGroupName": "/ecs/api"},
            "describe_log_streams": {"logGroupName": "/ecs/api"},
            "describe_log_groups": {},
        },
        "elbv2": {
            "describe_target_health": {"TargetGroupArn": group},
            "describe_target_groups": {"Names": ["api-tg"]},
        },
        "cloudwatch": {
            "describe_alarms": {},
            "get_metric_data": {
                "StartTime": datetime(2026, 11, 1, tzinfo=UTC),
                "EndTime": datetime(2026, 11, 2, tzinfo=UTC),
                "MetricDataQueries": [
                    {
                        "Id": "m",
                        "MetricStat": {
                            "Metric": {"Namespace": "AWS/Lambda", "MetricName": "Errors"},
                            "Period": 60,
                            "Stat": "Sum",
                        },
                    }
                ],
            },
        },
        "lambda": {
            "get_function_configuration": mail,
            "get_alias": alias,
            "list_aliases": mail,
            "list_versions_by_function": mail,
            "list_tags": {"Resource": "arn:aws:lambda:eu-west-1:111111111111:function:mail"},
            "list_event_source_mappings": mail,
            "list_function_url_configs": mail,
            "get_policy": mail,
            "get_function_code_signing_config": mail,
            "get_code_signing_config": {
                "CodeSigningConfigArn": "arn:aws:lambda:eu-west-1:111111111111:"
                "code-signing-config:csc-00000000000000000"
            },
            "update_function_code": {**mail, "ZipFile": b"new"},
            "publish_version": {"FunctionName": "spare"},
            "create_alias": {**mail, "Name": "next", "FunctionVersion": "1"},
            "update_alias": {**alias, "FunctionVersion": "1"},
        },
        "cloudfront": {
            "get_distribution": distribution,
            "create_invalidation": {
                "DistributionId": "D1",
                "InvalidationBatch": {
                    "CallerReference": "once",
                    "Paths": {"Quantity": 1, "Items": ["/*"]},
                },
            },
            "get_invalidation": {"DistributionId": "D1", "Id": "I1"},
        },
        "ecr": {
            "create_repository": {"repositoryName": "new"},
            "describe_repositories": {},
            "get_authorization_token": {},
            "list_images": backend,
            "describe_images": {**backend, "imageIds": [{"imageTag": "v1"}]},
            "batch_get_image": {**backend, "imageIds": [{"imageTag": "v1"}]},
            "put_image": {**backend, "imageManifest": image.manifest.decode(), "imageTag": "v2"},
            "batch_delete_image": {**backend, "imageIds": [{"imageTag": "old"}]},
            "list_tags_for_resource": {"resourceArn": repository.arn},
            "put_lifecycle_policy": {**backend, "lifecyclePolicyText": '{"rules": []}'.ljust(100)},
            "get_lifecycle_policy": backend,
        },
        "s3": {
            "create_bucket": {
                "Bucket": "new",
                "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"},
            },
            "list_buckets": {},
            "head_bucket": bucket,
            "get_bucket_location": bucket,
            "put_object": {**item, "Body": b"new"},
            "get_object": item,
            "head_object": item,
            "copy_object": {**bucket, "Key": "copy", "CopySource": "bucket/key"},
            "list_objects_v2": bucket,
            "delete_object": {**bucket, "Key": "copy"},
            "delete_objects": {**bucket, "Delete": {"Objects": [{"Key": "key"}]}},
        },
        "ecs": {
            "create_cluster": {"clusterName": "new"},
            "describe_clusters": {"clusters": ["main"]},
            "list_clusters": {},
            "register_task_definition": {"family": "new", "containerDefinitions": [container]},
            "describe_task_definition": {"taskDefinition": "spare"},
            "list_task_definitions": {"familyPrefix": "api"},
            "deregister_task_definition": {"taskDefinition": spare.arn},
            "describe_services": {**document, "services": ["api"]},
            "create_service": {
                **document,
                "serviceName": "new",
                "taskDefinition": service.definition,
                "desiredCount": 1,
            },
            "list_services": document,
            "update_service": {**document, "service": "api", "desiredCount": 3},
            "delete_service": {**document, "service": "idle"},
            "list_service_deployments": {**document, "service": "api"},
            "describe_service_deployments": {"serviceDeploymentArns": [service.latest.arn]},
            "describe_service_revisions": {"serviceRevisionArns": [service.latest.revision]},
            "stop_service_deployment": {
                "serviceDeploymentArn": stopped.latest.arn,
                "stopType": "ROLLBACK",
            },
            "continue_service_deployment": {
                "serviceDeploymentArn": paused.latest.arn,
                "hookId": hook,
                "action": "CONTINUE",
            },
            "list_tasks": {**document, "serviceName": "api"},
            "describe_tasks": {**document, "tasks": [task]},
            "run_task": {**document, "taskDefinition": "api"},
            "stop_task": {**document, "task": task, "reason": "enough"},
            "tag_resource": {"resourceArn": service.arn, "tags": [{"key": "a", "value": "b"}]},
            "untag_resource": {"resourceArn": service.arn, "tagKeys": ["a"]},
            "list_tags_for_resource": {"resourceArn": service.arn},
        },
        "cloudformation": {
            "create_change_set": {**web, "ChangeSetName": "three", "TemplateBody": "{}"},
            "describe_change_set": table,
            "list_change_sets": web,
            "get_template": web,
            "get_template_summary": web,
            "validate_template": {"TemplateBody": template},
            "describe_stacks": web,
            "describe_stack_events": web,
            "describe_events": web,
            "describe_stack_resources": web,
            "list_stack_resources": web,
            "delete_change_set": {**web, "ChangeSetName": "two"},
            "execute_change_set": table,
            "continue_update_rollback": {"StackName": "stuck"},
            "rollback_stack": {"StackName": "failed"},
            "cancel_update_stack": {"StackName": "busy"},
            "delete_stack": {"StackName": "web"},
        },
    }


def test_every_operation_that_is_offered_goes_through_boto3(aws_endpoint: Endpoint) -> None:
    table = prepared(aws_endpoint)

    offered = {
        service: {
            xform_name(name)
            for name in wire.model(service).operation_names
            if hasattr(kind, xform_name(name))
        }
        for service, kind in SERVICES.items()
    }
    assert {service: set(calls) for service, calls in table.items()} == offered
    for service, calls in table.items():
        clients = client(service)
        for name, params in calls.items():
            answer = getattr(clients, name)(**params)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] < 300
    assert {call.outcome for call in aws_endpoint.calls} == {"ok"}


def test_parameters_arrive_as_they_were_given(aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.stack("web")
    document = {
        "StackName": "web",
        "ChangeSetName": "c",
        "TemplateBody": "{}",
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Parameters": [
            {"ParameterKey": "A", "ParameterValue": "ü & <b>"},
            {"ParameterKey": "B", "UsePreviousValue": True},
        ],
        "Tags": [],
        "IncludeNestedStacks": True,
        "ResourcesToImport": [
            {
                "ResourceType": "T",
                "LogicalResourceId": "L",
                "ResourceIdentifier": {"Name": "n", "Id": "i"},
            }
        ],
    }
    client("cloudformation").create_change_set(**document)
    client("s3").create_bucket(
        Bucket="b", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    client("s3").put_object(
        Bucket="b", Key="a ü/b+c", Body=b"\x00\xff", Metadata={"run": "1"}, CacheControl="no-cache"
    )

    assert aws_endpoint.calls[0].params == document
    table = client("s3").get_object(Bucket="b", Key="a ü/b+c")
    assert (table["Body"].read(), table["Metadata"], table["CacheControl"]) == (
        b"\x00\xff",
        {"run": "1"},
        "no-cache",
    )
    assert aws_endpoint.calls.of("s3:CreateBucket")[0].params["CreateBucketConfiguration"] == {
        "LocationConstraint": "eu-west-1"
    }


def test_wrong_parameters_are_refused_as_aws_refuses_them(aws_endpoint: Endpoint) -> None:
    aws_endpoint.ecs.service("api")
    loose = boto3.Session().client("ecs", config=Config(parameter_validation=False, retries=ONCE))

    assert (
        refused(loose.list_service_deployments, cluster="main", service="api", status=["DONE"])[
            "Code"
        ]
        == "InvalidParameterException"
    )
    assert refused(loose.describe_services, cluster="main")["Code"] == "InvalidParameterException"


@pytest.mark.parametrize(
    ("kind", "service", "code", "status"),
    [
        ("throttle", "ecs", "ThrottlingException", 400),
        ("throttle", "s3", "SlowDown", 503),
        ("throttle", "cloudformation", "Throttling", 400),
        ("500", "ecs", "ServerException", 500),
        ("503", "sts", "ServiceUnavailable", 503),
        ("504", "logs", "GatewayTimeout", 504),
        ("expired", "ecs", "ExpiredTokenException", 400),
        ("expired", "sts", "ExpiredToken", 403),
        ("expired", "s3", "ExpiredToken", 403),
        ("denied", "ecs", "AccessDeniedException", 400),
        ("denied", "cloudformation", "AccessDenied", 403),
        ("denied", "s3", "AccessDenied", 403),
    ],
)
def test_a_fault_is_an_error_of_the_service_and_the_next_call_works(
    aws_endpoint: Endpoint, kind: str, service: str, code: str, status: int
) -> None:
    calls = {
        "ecs": ("list_clusters", {}),
        "s3": ("head_bucket", {"Bucket": "b"}),
        "sts": ("get_caller_identity", {}),
        "cloudformation": ("describe_stacks", {}),
        "logs": ("describe_log_groups", {}),
    }
    name, params = calls[service]
    if service == "s3":
        name, params = "list_objects_v2", {"Bucket": "b"}
        aws_endpoint.s3.bucket("b")
    fault = aws_endpoint.fault(f"{service}:{name}", kind=kind)

    no_trusted_base = refused(getattr(client(service), name), **params)

    assert (no_trusted_base["Code"], no_trusted_base["status"]) == (code, status)
    assert fault.hits == 1
    assert getattr(client(service), name)(**params)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_denied_names_the_action_and_the_resource(aws_endpoint: Endpoint) -> None:
    service = aws_endpoint.ecs.service("api")
    aws_endpoint.fault("UpdateService", kind="denied")

    message = refused(client("ecs").update_service, cluster="main", service=service.arn)["Message"]

    assert (
        "User: arn:aws:iam::111111111111:user/deployer is not authorized to perform:"
        " ecs:UpdateService" in message
    )
    assert (
        f"on resource: {service.arn} because no identity-based policy allows the ecs:UpdateService"
        " action" in message
    )


@pytest.mark.parametrize(("when", "applied"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["reset", "silent", "500", "throttle"])
def test_a_fault_comes_before_or_after_the_effect(
    aws_endpoint: Endpoint, kind: str, when: str, applied: int
) -> None:
    fault = aws_endpoint.fault("RegisterTaskDefinition", kind=kind, when=when)
    container = {"name": "app", "image": "busybox", "memory": 64}

    with pytest.raises((ClientError, ConnectionClosedError, ReadTimeoutError)):
        client("ecs", read_s=0.3).register_task_definition(
            family="api", containerDefinitions=[container]
        )

    assert fault.hits == 1
    assert (
        len(aws_endpoint.ecs.definitions)
        == applied
        == aws_endpoint.calls.applied("RegisterTaskDefinition")
    )


def test_a_body_that_drips_outlasts_a_read_timeout_that_is_shorter_than_its_pauses(
    aws_endpoint: Endpoint,
) -> None:
    aws_endpoint.fault("sts:*", kind="drip", seconds=0.5)

    with pytest.raises(ReadTimeoutError):
        client("sts", read_s=0.1).get_caller_identity()


def test_a_body_that_drips_is_never_late_for_a_read_timeout(aws_endpoint: Endpoint) -> None:
    aws_endpoint.fault("sts:*", kind="drip", seconds=0.005)
    begun = time.monotonic()

    client("sts", read_s=0.5).get_caller_identity()

    assert (
        time.monotonic() - begun > 0.5
    )  # a deadline of the whole call is the caller's own business


def test_half_a_body_is_unreadable_as_xml_and_looks_empty_as_json(aws_endpoint: Endpoint) -> None:
    aws_endpoint.ecs.service("api")
    aws_endpoint.s3.put("bucket", "key", b"content")
    aws_endpoint.fault("*", kind="truncated", times=3)

    with pytest.raises(ResponseParserError):
        client("sts").get_caller_identity()
    assert "services" not in client("ecs").describe_services(
        cluster="main", services=["api"]
    )  # botocore takes it for an answer
    with pytest.raises(ResponseStreamingError):
        client("s3").get_object(Bucket="bucket", Key="key")["Body"].read()


def test_a_delivery_that_comes_twice_has_its_effect_twice_and_one_answer(
    aws_endpoint: Endpoint,
) -> None:
    aws_endpoint.fault("RegisterTaskDefinition", kind="duplicate")
    container = {"name": "app", "image": "busybox", "memory": 64}

    answer = client("ecs").register_task_definition(family="api", containerDefinitions=[container])

    assert answer["taskDefinition"]["revision"] == 1
    assert len(aws_endpoint.ecs.definitions) == 2
    assert aws_endpoint.calls.count("RegisterTaskDefinition") == 1


def test_faults_come_in_the_order_of_the_script(aws_endpoint: Endpoint) -> None:
    aws_endpoint.fault("sts:GetCallerIdentity", kind="error", code="First", message="one", skip=1)
    aws_endpoint.fault(
        "get_caller_identity", kind="error", code="Second", message="two", status=418
    )
    sts = client("sts")

    assert refused(sts.get_caller_identity)["Code"] == "Second"
    assert refused(sts.get_caller_identity)["Code"] == "First"
    assert sts.get_caller_identity()["Account"] == "111111111111"


def test_retries_of_boto3_are_counted_as_they_arrive(aws_endpoint: Endpoint) -> None:
    aws_endpoint.fault("sts:*", kind="reset", times=2)

    client("sts", retries={"mode": "standard", "total_max_attempts": 5}).get_caller_identity()

    assert [call.outcome for call in aws_endpoint.calls] == ["reset", "reset", "ok"]


def test_latency_delays_an_answer(aws_endpoint: Endpoint) -> None:
    aws_endpoint.latency(0.2, "sts:*")
    begun = time.monotonic()

    client("sts").get_caller_identity()

    assert time.monotonic() - begun >= 0.2


def test_the_clock_is_in_the_date_and_in_the_timestamps(aws_endpoint: Endpoint) -> None:
    aws_endpoint.clock.stop()
    aws_endpoint.clock.advance(86400 * 400)
    client("s3").create_bucket(
        Bucket="b", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    answer = client("s3").put_object(Bucket="b", Key="k", Body=b"")
    document = client("s3").get_object(Bucket="b", Key="k")

    assert document["LastModified"] == aws_endpoint.clock.now().replace(microsecond=0)
    assert answer["ResponseMetadata"]["HTTPHeaders"]["date"].split()[3] == str(
        aws_endpoint.clock.now().year
    )


def test_an_operation_that_is_not_offered_can_be_answered_by_the_test(
    aws_endpoint: Endpoint,
) -> None:
    aws_endpoint.on(
        "ssm", "GetParameter", {"Parameter": {"Name": "/a", "Value": "1", "Type": "String"}}
    )
    aws_endpoint.on(
        "secretsmanager",
        "get_secret_value",
        AwsError("ResourceNotFoundException", "Secrets Manager can't find it"),
    )
    aws_endpoint.on(
        "cloudwatch",
        "DescribeAlarms",
        lambda params: {"MetricAlarms": [{"AlarmName": params["AlarmNames"][0]}]},
    )
    aws_endpoint.on("iam", "GetRole", AwsError("NoSuchEntity", "no such role", 404))

    assert client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"
    assert (
        refused(client("secretsmanager").get_secret_value, SecretId="s")["Code"]
        == "ResourceNotFoundException"
    )
    assert (
        client("cloudwatch").describe_alarms(AlarmNames=["a"])["MetricAlarms"][0]["AlarmName"]
        == "a"
    )
    assert refused(client("iam").get_role, RoleName="r")["status"] == 404


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        ({"Acount": "1"}, "Acount is unknown"),
        ({"Account": 1}, "Account is no string"),
        (None, "is not offered here"),
    ],
)
def test_a_mistake_of_the_test_is_told_when_the_endpoint_is_left(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None, mistake: str
) -> None:
    endpoint = Endpoint()
    for name, value in environment(endpoint.url).items():
        monkeypatch.setenv(name, value)
    if answer is not None:
        endpoint.on("sts", "GetCallerIdentity", answer)
    call = (
        client("sts").get_caller_identity
        if answer is not None
        else client("ssm").describe_parameters
    )

    assert refused(call)["status"] == 501
    with pytest.raises(Misuse, match=mistake):
        endpoint.__exit__(None, None, None)


def test_closing_ends_silent_answers_and_idle_connections() -> None:
    endpoint = Endpoint()
    host, port = endpoint.host.split(":")
    endpoint.fault("*", kind="silent", times=None)
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    head = (
        "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length:"
        f" {len(body)}\r\n"
    )
    scope = (
        "Authorization: AWS4-HMAC-SHA256 Credential=1/20261120/eu-west-1/sts/aws4_request\r\n\r\n"
    )
    with (
        socket.create_connection((host, int(port))) as silent,
        socket.create_connection((host, int(port))),
    ):
        silent.sendall((head + scope).encode() + body)
        while not endpoint.calls:
            time.sleep(0.001)
        closing = Thread(target=endpoint.close)
        closing.start()
        closing.join(5)
        assert not closing.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))


def test_regions_have_a_state_of_their_own(aws_endpoint: Endpoint) -> None:
    aws_endpoint.at("us-east-1", "ecs").service("api")
    clients = client("ecs", region="us-east-1")

    assert client("ecs").list_clusters()["clusterArns"] == []
    assert clients.list_clusters()["clusterArns"] == [
        "arn:aws:ecs:us-east-1:111111111111:cluster/main"
    ]


def test_a_process_of_its_own_is_driven_from_another(aws_process: Remote) -> None:
    aws_process.do("ecs", "service", "api", "busybox", desired=2)
    aws_process.do("ecs", "next", "breaker", cause="pull")
    aws_process.fault("ecs:UpdateService", kind="reset", when="after")
    script = (
        "import boto3; boto3.client('ecs').update_service(cluster='main', service='api',"
        " forceNewDeployment=True)"
    )
    document = {**os.environ, **aws_process.environment, "AWS_MAX_ATTEMPTS": "1"}
    child = subprocess.run(
        [sys.executable, "-c", script], env=document, capture_output=True, timeout=60
    )

    assert b"ConnectionClosedError" in child.stderr
    assert aws_process.calls().applied("ecs:UpdateService") == 1
    assert (
        aws_process.get("ecs", "clusters", "main", "services", "api", "latest", "status")
        == "PENDING"
    )
    aws_process.set("222222222222", "account")
    assert aws_process.get("account") == "222222222222"
    with pytest.raises(Misuse, match="there is no outcome"):
        aws_process.do("ecs", "next", "luck")


def test_a_process_of_its_own_starts_quickly_and_ends_with_the_test(tmp_path: Path) -> None:
    begun = time.monotonic()
    with apart(tmp_path) as remote:
        assert (
            time.monotonic() - begun < 5
        )  # 0.2 s on an idle machine; that it listens at all is the point
        assert remote.calls() == []
        pid = int(json.loads(next(tmp_path.glob("aws-*.json")).read_text())["pid"])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
