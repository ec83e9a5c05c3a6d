"""The commands that `health` prints: each is run as it is printed, and then what it is about is
well. What no command can fix says what a person has to do.
"""

import ast
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from tests.flow.test_health import RULES, HealthStage, of
from tests.support import aws_cli
from tests.support.aws import Endpoint, Outcome
from tests.support.repo import Repo
from tests.support.run import ROOT, Toolkit
from tests.support.sandbox import REGION, Cloud
from tests.support.stacks import Stacks, queue, template
from tests.targets.test_function_health import create as create_function
from tests.targets.test_function_health import publish as publish_version
from toolkit.flow.health import HealthRequest, check_health
from toolkit.operations import HealthResult
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.show import health as show
from toolkit.show.health_rows import HealthView
from toolkit.show.style import plain

GROUP = "one-tg"


@pytest.fixture
def stage(
    aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HealthStage]:
    folder = tmp_path / "repo"
    folder.mkdir()
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")  # not where the things are
    yield HealthStage(aws_endpoint, folder)
    aws_endpoint.release()


def printed(looked: HealthResult) -> list[str]:
    """The commands, as they stand on the screen."""
    text = plain(show.text(looked, HealthView(now=datetime.now(UTC))))
    return [row.strip() for row in text.splitlines() if row.startswith("    ")]


def bad(looked: HealthResult, name: str = "one") -> dict[str, str]:
    return {sign.what: sign.cause for sign in of(looked, name).findings if sign.status != "ok"}


def settle(stage: HealthStage) -> None:
    """Let what was begun go to its end."""
    for _ in range(20):
        stage.endpoint.clock.advance(5)
        stage.endpoint.ecs.describe_services({"cluster": "main", "services": ["one"]})
        time.sleep(0.05)


def scaled_to_none(stage: HealthStage) -> None:
    stage.endpoint.ecs.update_service({"cluster": "main", "service": "one", "desiredCount": 0})


def deregistered(stage: HealthStage) -> None:
    stage.endpoint.elbv2.group(GROUP).targets.clear()


def being_deployed(stage: HealthStage) -> None:
    stage.endpoint.ecs.next("success", seconds=2)
    stage.endpoint.ecs.update_service(
        {"cluster": "main", "service": "one", "forceNewDeployment": True}
    )


@pytest.mark.parametrize(
    ("breaks", "what", "command"),
    [
        (
            scaled_to_none,
            "service",
            "aws ecs update-service --cluster main --service one --desired-count 1"
            " --region eu-west-1",
        ),
        (
            deregistered,
            "targets",
            "aws ecs update-service --cluster main --service one --force-new-deployment"
            " --region eu-west-1",
        ),
        (
            being_deployed,
            "deployment",
            "aws ecs wait services-stable --cluster main --services one --region eu-west-1",
        ),
    ],
)
def test_the_printed_command_fixes_a_service(
    stage: HealthStage, breaks: Callable[[HealthStage], None], what: str, command: str
) -> None:
    stage.rules("one")
    assert bad(stage.look()) == {}
    breaks(stage)
    looked = stage.look()
    assert what in bad(looked)
    assert command in printed(looked)
    meanwhile = Thread(target=settle, args=(stage,))
    meanwhile.start()
    aws_cli.run(command)
    meanwhile.join()
    settle(stage)
    assert bad(stage.look()) == {}


def test_the_cause_of_a_service_that_was_scaled_to_none_stands_before_what_follows(
    stage: HealthStage,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    stage.rules("one")
    rules = stage.folder / "rules.toml"
    rules.write_text(f'{rules.read_text()}health = ["http://127.0.0.1:{port}/health"]\n')
    stage.endpoint.ecs.event(
        stage.endpoint.ecs.find("one"), "has stopped 1 running tasks: (task x)."
    )
    scaled_to_none(stage)
    looked = stage.look()
    text = plain(show.text(looked, HealthView(now=datetime.now(UTC))))
    assert looked.exit == 1
    assert "one     failing" in text
    assert "the desired count is 0: nothing runs\n" in text
    assert text.count("one: failing for less than a minute\n") == 1
    assert text.index("the desired count is 0") < text.index("  also: http://127.0.0.1:")
    assert printed(looked) == [
        "aws ecs update-service --cluster main --service one --desired-count 1 --region eu-west-1"
    ]


def test_a_service_that_may_have_no_task_is_well_without_one(stage: HealthStage) -> None:
    stage.rules("one")
    rules = stage.folder / "rules.toml"
    rules.write_text(f"{rules.read_text()}min_tasks = 0\n")
    scaled_to_none(stage)
    looked = stage.look()
    assert (bad(looked), looked.exit) == ({}, 0)


def test_one_crash_and_one_scale_in_are_one_failed_task_with_its_last_words(
    stage: HealthStage,
) -> None:
    stage.rules("one")
    service = stage.endpoint.ecs.find("one")
    stage.endpoint.ecs.update_service({"cluster": "main", "service": "one", "desiredCount": 2})
    outcome = Outcome("fail", cause="exit", log=("no database here",))
    stage.endpoint.ecs.fail_task(service, service.latest, outcome)
    stage.endpoint.clock.advance(120)
    stage.endpoint.ecs.update_service({"cluster": "main", "service": "one", "desiredCount": 1})
    tasks = stage.endpoint.ecs.clusters["main"].tasks
    [running] = [arn for arn, task in tasks.items() if task["desiredStatus"] == "RUNNING"]
    stage.endpoint.ecs.stop_task({"cluster": "main", "task": running})  # by hand
    [sign] = [sign for sign in of(stage.look(), "one").findings if sign.what == "tasks"]
    assert sign.detail == "1 task failed in the last hour"
    assert sign.cause == "container app exited with code 3"
    assert sign.log == ("no database here",)
    assert sign.since is not None
    crashed = datetime.now(UTC) - datetime.fromisoformat(sign.since)
    assert crashed < timedelta(minutes=3)


@pytest.mark.parametrize("fault", ["silent", "denied", "503"])
def test_a_task_whose_log_cannot_be_read_is_told_all_the_same(
    stage: HealthStage, fault: str
) -> None:
    stage.rules("one")
    service = stage.endpoint.ecs.find("one")
    stage.endpoint.ecs.fail_task(service, service.latest, Outcome("fail", cause="exit", log=("x",)))
    stage.endpoint.fault("logs:GetLogEvents", times=None, kind=fault)
    [sign] = [sign for sign in of(stage.look(timeout_s=8), "one").findings if sign.what == "tasks"]
    assert (sign.status, sign.log) == ("warning", ())


def test_more_time_is_a_command_that_helps(stage: HealthStage) -> None:
    stage.rules("one")
    stage.endpoint.fault("elbv2:DescribeTargetHealth", times=1, kind="silent")
    looked = stage.look(timeout_s=2)
    assert printed(looked) == ["toolkit health one --timeout 4s"]
    assert bad(stage.look(timeout_s=4, names=("one",))) == {}


def test_a_bucket_and_its_first_page_are_brought_by_the_printed_commands(
    cloud: Cloud, tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.aws()
    monkeypatch.setenv("AWS_REGION", REGION)
    site = '[targets.www]\nkind = "site"\nsource = "my site/dist"\nbucket = "www"\n'
    repo = Repo.make(tmp_path / "repo", {"my site/dist/index.html": "hello"}, RULES + site)

    def look() -> HealthResult:
        ports = Ports(str(repo.path), str(tmp_path), SystemClock(), Aws)
        return check_health(HealthRequest(folder=str(repo.path)), None, ports)

    assert printed(look()) == ["aws s3 mb s3://www"]
    aws_cli.run("aws s3 mb s3://www", str(repo.path))
    assert printed(look()) == ["toolkit deploy-site www"]
    deployed = toolkit(repo.path, "deploy-site", "www", "--yes")
    assert deployed.code == 0, deployed.err
    assert look().status == "ok"


# Stacks and functions

QUEUE = '[targets.queue]\nkind = "stack"\nstack = "Queue"\ntemplate = "t.json"\n'


def updating(stage: HealthStage, seconds: float) -> None:
    """Somebody updates the stack, which takes so long."""
    cloudformation = stage.endpoint.cloudformation
    cloudformation.stack("Queue", resources={"Jobs": "AWS::SQS::Queue"})
    cloudformation.next("success", seconds=seconds)
    named = {"StackName": "Queue", "ChangeSetName": "theirs"}
    template = '{"Resources": {"Jobs": {"Type": "AWS::SQS::Queue"}}}'
    cloudformation.create_change_set({**named, "TemplateBody": template})
    cloudformation.execute_change_set(named)


def pass_time(stage: HealthStage) -> None:
    """What CloudFormation does goes on while somebody waits."""
    for _ in range(20):
        time.sleep(0.05)
        stage.endpoint.clock.advance(2)


def test_the_printed_command_waits_until_a_stack_is_updated(stage: HealthStage) -> None:
    stage.rules(more=QUEUE)
    updating(stage, 3)
    looked = stage.look()
    assert list(bad(looked, "queue")) == ["stack"]
    [command] = printed(looked)
    assert command.startswith("aws cloudformation wait stack-update-complete --stack-name Queue")
    meanwhile = Thread(target=pass_time, args=(stage,))
    meanwhile.start()
    aws_cli.run(command)
    meanwhile.join()
    assert bad(stage.look(), "queue") == {}


def test_the_printed_command_cancels_an_update_that_is_stuck(stage: HealthStage) -> None:
    stage.rules(more=QUEUE)
    updating(stage, 10_000_000)
    stage.endpoint.clock.advance(24 * 3600)
    looked = stage.look()
    assert bad(looked, "queue")["stack"].startswith("it is stuck: it is being updated since")
    [command] = printed(looked)
    assert command.startswith("aws cloudformation cancel-update-stack --stack-name Queue")
    aws_cli.run(command)
    pass_time(stage)
    [cause] = bad(stage.look(), "queue").values()
    assert cause.startswith("its last update was rolled back")


def test_the_printed_command_deletes_a_stack_whose_deletion_has_failed(stage: HealthStage) -> None:
    stage.rules(more=QUEUE)
    cloudformation = stage.endpoint.cloudformation
    created = cloudformation.stack("Queue", "DELETE_FAILED", {"Jobs": "AWS::SQS::Queue"})
    cloudformation.event(created, "Jobs", "AWS::SQS::Queue", "DELETE_FAILED", "in use", "jobs")
    looked = stage.look()
    assert bad(looked, "queue") == {"stack": "Jobs (AWS::SQS::Queue): in use"}
    [command] = printed(looked)
    assert command.startswith(
        "aws cloudformation delete-stack --stack-name Queue --retain-resources Jobs"
    )
    aws_cli.run(command)
    pass_time(stage)
    assert bad(stage.look(), "queue") == {"stack": "there is no stack Queue"}


# What a person has to do: the commands show what that is, or have AWS look again

MAIL = '[targets.mail]\nkind = "function"\nfunction = "mail"\nsource = "mail"\n'


def look_at(folder: Path, aws: Aws, rules: str) -> HealthResult:
    """`health` of what stands in the emulator."""
    (folder / "rules.toml").write_text(RULES + rules)
    ports = Ports(str(folder), str(folder), SystemClock(), lambda profile, region: aws)
    return check_health(HealthRequest(folder=str(folder)), None, ports)


def until(condition: Callable[[], bool]) -> None:
    """What AWS does takes a moment."""
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_drifted_stack_is_in_sync_after_what_the_printed_commands_show_is_undone(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    aws = cloud.aws()
    stacks = Stacks(tmp_path, aws, "Queue")
    stacks.deploy(template({"Jobs": queue("jobs", VisibilityTimeout=61)}))
    url = aws.read("sqs", "get_queue_url", QueueName="jobs")["QueueUrl"]

    def visible_after(seconds: str) -> None:
        attributes = {"VisibilityTimeout": seconds}
        aws.write("sqs", "set_queue_attributes", QueueUrl=url, Attributes=attributes)

    def drift() -> str:
        return bad(look_at(tmp_path, aws, QUEUE), "queue").get("drift", "")

    visible_after("7")
    aws_cli.run("aws cloudformation detect-stack-drift --stack-name Queue")  # somebody looks
    until(lambda: drift() != "")
    looked = look_at(tmp_path, aws, QUEUE)
    assert drift().startswith("someone changed it by hand (checked ")
    show_it, look_again = printed(looked)
    assert show_it == (
        "aws cloudformation describe-stack-resource-drifts --stack-name Queue"
        " --stack-resource-drift-status-filters MODIFIED DELETED"
    )
    [drifted] = aws_cli.run(show_it)["StackResourceDrifts"]
    assert (drifted["LogicalResourceId"], drifted["StackResourceDriftStatus"]) == (
        "Jobs",
        "MODIFIED",
    )
    visible_after("61")  # what the words ask a person to do
    assert drift() != ""
    assert look_again == "aws cloudformation detect-stack-drift --stack-name Queue"
    aws_cli.run(look_again)
    until(lambda: drift() == "")


def test_an_alias_without_its_version_is_pointed_at_a_version_that_the_printed_command_shows(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    aws = cloud.aws()
    create_function(aws)
    good = publish_version(aws)
    aws.write("lambda", "create_alias", FunctionName="mail", Name="live", FunctionVersion="8")
    looked = look_at(tmp_path, aws, MAIL)
    assert bad(looked, "mail") == {"alias": "there is no version 8"}
    assert printed(looked) == ["aws lambda list-versions-by-function --function-name mail"]
    versions = aws_cli.run(printed(looked)[0])["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", good]
    # what a person decides
    aws.write("lambda", "update_alias", FunctionName="mail", Name="live", FunctionVersion=good)
    assert bad(look_at(tmp_path, aws, MAIL), "mail") == {}


# What is printed where no command can fix it


def advices() -> Iterator[tuple[str, ast.Call]]:
    """Every command of another program in the kinds' code, with its file."""
    root = ROOT / "toolkit" / "targets"
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ShellCommand":
                yield str(path.relative_to(root)), node


def test_no_command_has_a_placeholder() -> None:
    words = [
        (file, part.value)
        for file, node in advices()
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    assert words
    placeholder = re.compile(r"\b(?!CONTINUE|MODIFIED|DELETED|FORCE_)[A-Z]{3,}\b|<|\.\.\.|…")
    assert not [word for word in words if placeholder.search(word[1])]
