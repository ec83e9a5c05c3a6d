"""`diff live`: what is in flight, what has drifted. Real commands, an emulated AWS."""

import json
from pathlib import Path

import pytest

from tests.cli.two_stacks import RULES
from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from tests.support.sandbox import Cloud

QUEUE = {
    "Jobs": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 45}},
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            }
        },
    },
    "Table": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
    },
    "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
}
FILES = {
    "infra/queue.json": json.dumps({"Resources": QUEUE}),
    "infra/topic.json": json.dumps({"Resources": {"News": {"Type": "AWS::SNS::Topic"}}}),
}


class System:
    """Two stacks that were just deployed."""

    def __init__(self, folder: Path, cloud: Cloud, toolkit: Toolkit) -> None:
        self.aws, self._toolkit = cloud.aws(), toolkit
        self.repo = Repo.make(folder / "repo", FILES, RULES)
        assert self("deploy", "--yes", "--allow-broadening").code == 0

    def __call__(self, *args: str) -> Result:
        return self._toolkit(self.repo.path, *args)

    def queue_url(self) -> str:
        return str(self.aws.read("sqs", "list_queues")["QueueUrls"][0])


@pytest.fixture
def system(
    tmp_path: Path, cloud: Cloud, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> System:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TOOLKIT_CACHE_DIR", str(tmp_path / "cache"))
    return System(tmp_path, cloud, toolkit)


def test_a_fresh_deploy_has_not_drifted(system: System) -> None:
    answer = system("diff", "live", "--drift", "--json")
    assert answer.json["states"] == {"queue": "clean", "topic": "clean"}
    assert "drifted" not in answer.out


def test_what_somebody_changed_by_hand_is_due_with_its_reason_and_what_to_do(
    system: System,
) -> None:
    system.aws.write(
        "sqs",
        "set_queue_attributes",
        QueueUrl=system.queue_url(),
        Attributes={"VisibilityTimeout": "99"},
    )
    assert system("diff", "live", "--json").json["states"]["queue"] == "clean"  # nobody has looked
    answer = system("diff", "live", "--drift", "--json")
    assert answer.json["states"] == {"queue": "due", "topic": "clean"}
    words = " ".join(system("diff", "live", "--drift").out.split())
    assert "which a deploy does not undo: Jobs was changed (VisibilityTimeout);" in words
    assert "aws cloudformation describe-stack-resource-drifts --stack-name Queue" in words
    assert "99" not in answer.out  # a value may be a secret


def test_a_deleted_resource_has_drifted(system: System) -> None:
    system.aws.write("sqs", "delete_queue", QueueUrl=system.queue_url())
    answer = system("diff", "live", "--drift", "--json")
    assert answer.json["states"]["queue"] == "due"
    assert "Jobs was deleted" in answer.out


def test_drift_is_a_question_about_what_is_live(system: System) -> None:
    refused = system("diff", "--drift")
    assert refused.code == 2
    assert "toolkit diff live --drift" in refused.err
