"""What a stack was made of is seen again: a change of its template or parameters by somebody else,
and that of its tags alone.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws import Endpoint
from tests.support.report import Report
from tests.support.sandbox import Cloud
from tests.support.stacks import Stacks, parameter, template
from toolkit.operations import DeployedState, Observation
from toolkit.ports.aws.client import Aws
from toolkit.show.advice import sentence
from toolkit.targets.stack import deployed
from toolkit.targets.stack.kind import kind
from toolkit.targets.stack.options import StackOptions

ONE = template({"Flag": parameter("/a")})
WITH = template(
    {"Flag": parameter("/a")},
    Parameters={
        "Size": {"Type": "String", "Default": "1"},
        "Other": {"Type": "String", "Default": "x"},
        "Key": {"Type": "String", "NoEcho": True, "Default": "k"},
    },
)
YAML = (
    "Resources:\n  Flag:\n    Type: AWS::SSM::Parameter  # the flag\n    Properties: {Name: /a,"
    " Type: String, Value: '1'}\n"
)


@pytest.fixture
def scripted(aws_endpoint: Endpoint, tmp_path: Path) -> Stacks:
    (tmp_path / "repo").mkdir()
    return Stacks(tmp_path / "repo", Aws(None, "eu-west-1"))


@pytest.fixture
def stacks(cloud: Cloud, tmp_path: Path) -> Stacks:
    (tmp_path / "repo").mkdir()
    return Stacks(tmp_path / "repo", cloud.aws())


def made(observation: Observation) -> DeployedState:
    assert observation.live is not None
    return observation.live.deployed


def now(stacks: Stacks) -> DeployedState:
    live = kind.live(stacks.job(), stacks.ports)
    assert live is not None
    return live.deployed


def by_hand(stacks: Stacks, text: str, **more: Any) -> None:
    """Another tool deploys, without our tags."""
    aws = stacks.aws
    aws.write(
        "cloudformation",
        "update_stack",
        StackName=stacks.name,
        TemplateBody=text,
        Tags=[{"Key": "team", "Value": "x"}],
        **more,
    )


# --- in the emulator


@pytest.mark.parametrize("text", [ONE, YAML], ids=["json", "yaml"])
def test_what_was_deployed_is_seen_to_be_the_same_until_somebody_changes_it(
    stacks: Stacks, text: str
) -> None:
    first = made(stacks.deploy(text))
    assert first.same(now(stacks)) is True
    assert deployed.template_digest(first.body) == deployed.template_digest(text)
    by_hand(stacks, text.replace("/a", "/b"))
    assert first.same(now(stacks)) is False


def test_parameters_are_a_part_of_it_and_masked_ones_are_kept_as_the_previous_value(
    stacks: Stacks,
) -> None:
    first = made(stacks.deploy(WITH, parameters={"Size": "2"}))
    assert first.parameters == {"Size": "2", "Other": "x", "Key": None}
    assert first.same(now(stacks)) is True
    previous = [{"ParameterKey": name, "UsePreviousValue": True} for name in ("Size", "Key")]
    by_hand(stacks, WITH, Parameters=[*previous, {"ParameterKey": "Other", "ParameterValue": "y"}])
    assert first.same(now(stacks)) is False


def test_tags_that_another_tool_took_away_are_told_and_put_back_with_force(stacks: Stacks) -> None:
    first = made(stacks.deploy(ONE))
    by_hand(stacks, ONE)
    live = kind.live(stacks.job(), stacks.ports)
    assert live is not None
    assert (live.run, first.same(live.deployed)) == (None, True)

    plain = stacks.preview(stacks.job())
    assert (plain.unchanged, [sentence(warning) for warning in plain.warnings]) == (
        True,
        [
            (
                "stack Shop does not have toolkit's tags; to add them: toolkit deploy-stack"
                " shop --force"
            ),
        ],
    )
    forced = stacks.preview(stacks.job(options=StackOptions(force=True)))
    assert ([call.name for call in forced.calls], forced.warnings) == (
        ["cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet"],
        (),
    )

    job = stacks.job(options=StackOptions(force=True))
    report = Report(yes=frozenset())
    observed, _ = stacks.follow(job, stacks.apply(job, report))
    assert (observed.verdict, report.of("consent")) == ("succeeded", [])
    after = kind.live(stacks.job(), stacks.ports)
    assert after is not None
    assert (after.run, first.same(after.deployed)) == (job.run, True)
    assert stacks.preview(stacks.job()).warnings == ()
    tags = stacks.aws.read("cloudformation", "describe_stacks", StackName="Shop")["Stacks"][0][
        "Tags"
    ]
    assert {"Key": "team", "Value": "x"} in tags


def test_a_stack_that_is_gone_is_made_again_and_never_called_unchanged(stacks: Stacks) -> None:
    stacks.deploy(ONE)
    stacks.aws.write("cloudformation", "delete_stack", StackName="Shop")
    while stacks.status():
        pass
    assert kind.live(stacks.job(), stacks.ports) is None
    assert not stacks.preview(stacks.job()).unchanged
    assert stacks.deploy(ONE).verdict == "succeeded"


# --- scripted


def test_a_template_that_is_not_the_one_that_was_sent_is_not_taken_for_ours(
    scripted: Stacks, aws_endpoint: Endpoint
) -> None:
    scripted.write(ONE)
    job = scripted.job()
    report = scripted.apply(job)
    while scripted.observe(job, report).state == "running":
        pass
    aws_endpoint.cloudformation.stacks["Shop"].template = WITH
    assert made(scripted.observe(job, report)) == DeployedState()
    aws_endpoint.cloudformation.stacks["Shop"].template = json.dumps(json.loads(ONE), indent=4)
    assert made(scripted.observe(job, report)).same(now(scripted)) is True


def test_a_no_op_has_no_body_of_its_own(scripted: Stacks) -> None:
    scripted.deploy(ONE)
    job = scripted.job()
    observed, _ = scripted.follow(job, scripted.apply(job))
    assert (observed.verdict, made(observed).body, bool(made(observed).template)) == (
        "unchanged",
        "",
        True,
    )


def test_what_runs_is_read_with_two_calls(scripted: Stacks, aws_endpoint: Endpoint) -> None:
    scripted.deploy(ONE)
    aws_endpoint.calls.clear()
    now(scripted)
    assert sorted(aws_endpoint.calls.names()) == [
        "cloudformation:DescribeStacks",
        "cloudformation:GetTemplate",
    ]


# --- the digest


@pytest.mark.parametrize(
    ("first", "two", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,\n"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ({"a": [1, 2]}, '{"a": [1,2]}', True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ("a: 1  \r\nb: 2\n\n", "a: 1\nb: 2", True),
        ("a: 1\n  b: 2", "a: 1\nb: 2", False),
        ("a: 1 # x", "a: 1", False),
        (None, "", False),
        ('{"a": "\\ud800"}', '{"a": "\\ud800"}', True),
    ],
)
def test_templates_are_the_same_by_what_they_say(first: object, two: object, same: bool) -> None:
    assert (deployed.template_digest(first) == deployed.template_digest(two)) is same


def test_a_masked_value_decides_nothing_and_any_other_does() -> None:
    def of(**values: str) -> DeployedState:
        return deployed.state_of(
            {},
            {
                "Parameters": [
                    {"ParameterKey": key, "ParameterValue": value} for key, value in values.items()
                ]
            },
            {},
        )

    assert of(a="1", b="****").same(of(b="****", a="1")) is True
    assert of(a="1").same(of(a="2")) is False
    assert of(a="1").same(of(a="1", b="2")) is False
    assert of(a="1").same(DeployedState()) is None


@pytest.mark.parametrize("body", [None, 5, [], False])
def test_an_answer_without_a_template_says_nothing(body: Any) -> None:
    assert deployed.state_of(body, {"Parameters": []}, {}) == DeployedState()
