"""A stack's task definition in the sandbox is what CloudFormation makes of it."""

import json
import time

from tests.support.sandbox import Cloud

TEMPLATE = {
    "Resources": {
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                "Family": "web",
                "ContainerDefinitions": [
                    {
                        "Name": "app",
                        "Image": "scratch",
                        "Secrets": [
                            {
                                "Name": "PASS",
                                "ValueFrom": (
                                    "arn:aws:secretsmanager:eu-west-1:111111111111:secret:p"
                                ),
                            }
                        ],
                        "HealthCheck": {"Command": ["CMD", "true"], "StartPeriod": 5},
                        "DockerLabels": {"Team": "cars"},
                    }
                ],
            },
        }
    }
}


def test_it_carries_the_stacks_name_and_its_secrets_have_names(cloud: Cloud) -> None:
    aws = cloud.aws()
    aws.write(
        "cloudformation", "create_stack", StackName="infra", TemplateBody=json.dumps(TEMPLATE)
    )
    until = time.monotonic() + 20
    while (
        aws.read("cloudformation", "describe_stacks", StackName="infra")["Stacks"][0]["StackStatus"]
        != "CREATE_COMPLETE"
    ):
        assert time.monotonic() < until
        time.sleep(0.1)
    answer = aws.read("ecs", "describe_task_definition", taskDefinition="web", include=["TAGS"])
    [container] = answer["taskDefinition"]["containerDefinitions"]
    assert {item["key"]: item["value"] for item in answer["tags"]}[
        "aws:cloudformation:stack-name"
    ] == "infra"
    assert container["secrets"] == [
        {"name": "PASS", "valueFrom": "arn:aws:secretsmanager:eu-west-1:111111111111:secret:p"}
    ]
    assert (container["healthCheck"]["startPeriod"], container["dockerLabels"]) == (
        5,
        {"Team": "cars"},
    )
