"""What a kind promises to a run (targets/base.py), asked of every kind that can be deployed. A new
one adds its stage below.
"""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.support import assemblies
from tests.support.aws import Endpoint
from tests.support.aws.clock import EndpointClock
from tests.support.report import Report
from tests.support.stacks import Stacks, template
from tests.targets.apps import AppStage
from tests.targets.functions import FunctionStage
from tests.targets.permissions import by_action
from tests.targets.sites import SiteStage
from toolkit import targets
from toolkit.errors import CloudError, Unreachable, WrongAccount
from toolkit.operations import Finding, HealthStatus, Job, LiveVersion, Observation, RecordedDeploy
from toolkit.ports import process
from toolkit.ports.aws import client
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.run.jobs import part_job
from toolkit.targets.base import Kind
from toolkit.targets.stack.template import COMMIT, FINGERPRINT, RUN, VERSION

IAM_ONLY = {
    "iam:PassRole",
    "s3:ListBucket",
    "ecr:BatchCheckLayerAvailability",
    "cloudformation:TagResource",
}
"""Actions that are no operations of that name."""

CALLED_OTHERWISE = {
    "s3:CopyObject": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
}
"""Operations that IAM knows by another name."""

READS = ("Describe", "List", "Get", "BatchGet", "BatchCheck", "Head")


class Set(Struct):
    """A job whose target is not up to date, and the world that it is deployed in. `clock` is moved
    on by waiting.
    """

    job: Job
    ports: Ports
    clock: EndpointClock


def _app(endpoint: Endpoint, folder: Path) -> Set:
    stage = AppStage(endpoint, folder)
    return Set(stage.job(), stage.ports, stage.clock)


def _stack(endpoint: Endpoint, folder: Path) -> Set:
    endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE", {"Service": "AWS::SQS::Queue"})
    clock = EndpointClock(endpoint)
    stacks = Stacks(folder, Aws(None, "eu-west-1"))
    stacks.ports = Ports(
        str(folder), str(folder / "cache"), clock, lambda profile, region: stacks.aws
    )
    stacks.write(
        template({"Service": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 5}}})
    )
    return Set(stacks.job(), stacks.ports, clock)


def _all_stacks(endpoint: Endpoint, folder: Path) -> Set:
    """Two stacks of a CDK app, which the steps of a run have deployed: the step of the whole."""
    (folder / "cdk").mkdir()
    for name, text in {
        "cdk.json": json.dumps({"app": f"{sys.executable} app.py"}),
        "app.py": assemblies.APP,
        "Net.stack.json": "{}",
        "Jobs.stack.json": '{"DelaySeconds": 5}',
    }.items():
        (folder / "cdk" / name).write_text(text)
    clock = EndpointClock(endpoint)
    aws = Aws(None, "eu-west-1")
    ports = Ports(str(folder), str(folder / "cache"), clock, lambda profile, region: aws)
    job = Stacks(folder, aws).job()
    settings = kind("stack").Settings(stacks=("*",), cdk="cdk")
    job = replace(job, settings=settings, parts=("Jobs", "Net"))
    tags = {
        VERSION: job.version.name,
        COMMIT: job.version.commit or "",
        FINGERPRINT: job.version.fingerprint,
        RUN: job.run,
    }
    for name in job.parts or ():
        resources = {"Queue": "AWS::SQS::Queue"}
        endpoint.cloudformation.stack(name, "UPDATE_COMPLETE", resources, tags=tags)
    live = kind("stack").observe(job, {"stack": ""}, ports).live
    assert live is not None
    recorded = RecordedDeploy(
        job.run,
        job.version.name,
        live.deployed,
        live.detail,
        commit=job.version.commit,
        fingerprint=job.version.fingerprint,
    )
    return Set(replace(job, recorded=recorded), ports, clock)


def _part(endpoint: Endpoint, folder: Path) -> Set:
    """One of these stacks, before its step."""
    whole = _all_stacks(endpoint, folder)
    endpoint.cloudformation.stack("Jobs", "UPDATE_COMPLETE", {"Queue": "AWS::SQS::Queue"})
    return Set(part_job(whole.job, "Jobs"), whole.ports, whole.clock)


def _function(endpoint: Endpoint, folder: Path) -> Set:
    stage = FunctionStage(endpoint, folder)
    return Set(stage.job(), stage.ports, stage.clock)


def _site(endpoint: Endpoint, folder: Path) -> Set:
    stage = SiteStage(endpoint, folder)
    return Set(stage.job(), stage.ports, stage.clock)


STAGES: dict[str, Callable[[Endpoint, Path], Set]] = {
    "app": _app,
    "stack": _stack,
    "stack, all": _all_stacks,
    "stack, part": _part,
    "function": _function,
    "site": _site,
}

EVERY = pytest.mark.parametrize("name", STAGES)


@pytest.fixture(autouse=True)
def _without_the_cdk_cli(monkeypatch: pytest.MonkeyPatch) -> None:
    which = process.which
    monkeypatch.setattr(process, "which", lambda name: None if name == "cdk" else which(name))


def kind(name: str) -> Kind:
    """The kind of a stage."""
    return targets.kind(name.partition(",")[0])


def writes(endpoint: Endpoint) -> list[str]:
    """The calls so far that are no reads."""
    return [name for name in endpoint.calls.names() if not name.partition(":")[2].startswith(READS)]


def watched(name: str, stage: Set, report: Report) -> list[Observation]:
    """Look until it has ended."""
    observations: list[Observation] = []
    for _ in range(60):
        observations.append(
            kind(name).observe(
                stage.job, report.receipt, stage.ports, observations[-1] if observations else None
            )
        )
        if observations[-1].state in ("done", "failed"):
            return observations
        stage.clock.advance(2)
    return observations


def looked(name: str, stage: Set) -> tuple[list[Finding], LiveVersion | None]:
    """What health tells, and what runs; whatever is not ok says why, and what next."""
    signs: list[Finding] = []
    live = kind(name).health(stage.job, stage.ports, signs.append)
    assert signs
    for sign in signs:
        assert isinstance(sign, Finding)
        assert isinstance(sign.status, HealthStatus)
        assert sign.what
        assert sign.status == "ok" or (sign.cause and sign.next), sign
    return signs, live


@pytest.mark.parametrize("name", targets.KINDS)
def test_every_kind_has_each_part_of_the_contract_with_its_parameters(name: str) -> None:
    for part in [part for part, hook in vars(Kind).items() if inspect.isfunction(hook)]:
        offered = getattr(kind(name), part)
        assert callable(offered), part
        ours, expected = (
            list(inspect.signature(item).parameters.values())
            for item in (offered, getattr(Kind, part))
        )
        assert [our.name for our in ours] == [item.name for item in expected[1:]], part


def test_every_kind_of_aws_that_can_be_deployed_has_a_stage_here() -> None:
    """What a kind of no cloud promises is in its own file: test_command.py."""
    deployed = {name for name in targets.KINDS if type(kind(name)).apply is not Kind.apply}
    assert {name for name in deployed if kind(name).provider == "aws"} == {
        name.partition(",")[0] for name in STAGES
    }


@EVERY
def test_preview_makes_only_reads_and_says_the_writes_of_apply(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = STAGES[name](aws_endpoint, tmp_path)
    preview = kind(name).preview(stage.job, stage.ports)
    assert writes(aws_endpoint) == []
    kind(name).apply(stage.job, stage.ports, report := Report(clock=stage.clock))
    assert [call.name for call in preview.calls] == report.intents == writes(aws_endpoint)


@EVERY
def test_every_write_is_intended_before_it_is_made(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    """P1: at the moment of an intent its call has not been made yet."""
    stage = STAGES[name](aws_endpoint, tmp_path)
    numbers: list[int] = []

    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "intend":
            numbers.append(len(writes(aws_endpoint)))

    kind(name).apply(stage.job, stage.ports, Report(clock=stage.clock, on_event=on_event))
    assert numbers == list(range(len(numbers)))


@EVERY
def test_what_was_never_applied_is_absent_and_observing_changes_nothing(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = STAGES[name](aws_endpoint, tmp_path)
    assert watched(name, stage, Report())[-1].state == "absent"
    assert writes(aws_endpoint) == []


@EVERY
def test_an_applied_job_ends_as_done_and_is_live_with_its_version(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = STAGES[name](aws_endpoint, tmp_path)
    kind(name).apply(stage.job, stage.ports, report := Report(clock=stage.clock))
    before = writes(aws_endpoint)
    observations = watched(name, stage, report)
    assert (observations[-1].state, observations[-1].verdict, observations[-1].cause) == (
        "done",
        "succeeded",
        "",
    )
    live = kind(name).live(stage.job, stage.ports)
    assert live is not None
    version = stage.job.version
    assert (live.version, live.commit, live.fingerprint, live.run) == (
        version.name,
        version.commit,
        version.fingerprint,
        stage.job.run,
    )
    assert writes(aws_endpoint) == before


@EVERY
def test_applied_twice_is_applied_once(name: str, aws_endpoint: Endpoint, tmp_path: Path) -> None:
    stage = STAGES[name](aws_endpoint, tmp_path)
    kind(name).apply(stage.job, stage.ports, Report(clock=stage.clock))
    once = {call: aws_endpoint.calls.applied(call) for call in set(writes(aws_endpoint))}
    kind(name).apply(
        stage.job, stage.ports, again := Report(clock=stage.clock)
    )  # by a process that knows nothing of the first
    assert {call: aws_endpoint.calls.applied(call) for call in set(writes(aws_endpoint))} == once
    assert watched(name, stage, again)[-1].verdict in ("succeeded", "unchanged")


@pytest.mark.parametrize("name", [name for name in STAGES if name != "stack, all"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_lost_answer_is_found_and_not_repeated(
    name: str, number: int, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = STAGES[name](aws_endpoint, tmp_path)
    calls = kind(name).preview(stage.job, stage.ports).calls
    call = [item for item in calls if not item.name.startswith("ecr:")][number].name
    planned = [item for item in calls if item.name == call]
    aws_endpoint.fault(call, kind="reset", when="after")
    report = Report(clock=stage.clock)
    try:
        kind(name).apply(stage.job, stage.ports, report)
    except Unreachable:
        stage.clock.advance(30)
        kind(name).apply(stage.job, stage.ports, report)
    assert watched(name, stage, report)[-1].verdict == "succeeded"
    tokens = {
        item.params.get("ClientToken") or item.params.get("ClientRequestToken")
        for item in aws_endpoint.calls.of(call)
    }
    repeated = len(aws_endpoint.calls.of(call)) - len(planned)
    assert aws_endpoint.calls.applied(call) == 1 or (
        # AWS takes a token's call once, and the same object put again is the same object.
        (len(tokens) == 1 and None not in tokens)
        or _only_objects_again(aws_endpoint, call, repeated)
    )


def _only_objects_again(endpoint: Endpoint, call: str, repeated: int) -> bool:
    """Whether all repeated calls have put objects there that were there already."""
    puts = [(item.params.get("Key"), item.params.get("Body")) for item in endpoint.calls.of(call)]
    return call == "s3:PutObject" and len(puts) - len(set(puts)) == repeated > 0


@EVERY
def test_another_account_is_refused_before_anything_is_changed(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    """S28, C8."""
    stage = STAGES[name](aws_endpoint, tmp_path)
    aws_endpoint.account = "999999999999"
    with pytest.raises(WrongAccount):
        kind(name).preview(stage.job, stage.ports)
    with pytest.raises(CloudError):
        kind(name).apply(stage.job, stage.ports, Report(clock=stage.clock))
    assert writes(aws_endpoint) == []


@EVERY
def test_a_failed_look_says_nothing_of_the_step(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = STAGES[name](aws_endpoint, tmp_path)
    kind(name).apply(stage.job, stage.ports, report := Report(clock=stage.clock))
    aws_endpoint.fault("*", kind="503", times=None)
    with pytest.raises(CloudError):
        kind(name).observe(stage.job, report.receipt, stage.ports)


@EVERY
def test_what_is_kept_survives_a_journal(name: str, aws_endpoint: Endpoint, tmp_path: Path) -> None:
    """Another process goes on from JSON alone."""
    stage = STAGES[name](aws_endpoint, tmp_path)
    kind(name).apply(stage.job, stage.ports, report := Report(clock=stage.clock))
    document = json.loads(json.dumps(report.receipt))
    assert document == report.receipt
    assert watched(name, stage, Report(document))[-1].verdict == "succeeded"


@EVERY
def test_health_tells_from_reads_alone_and_all_is_ok_after_a_deploy(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = STAGES[name](aws_endpoint, tmp_path)
    looked(name, stage)
    assert writes(aws_endpoint) == []
    kind(name).apply(stage.job, stage.ports, report := Report(clock=stage.clock))
    watched(name, stage, report)
    signs, live = looked(name, stage)
    assert {sign.status for sign in signs} == {"ok"}, signs
    now = kind(name).live(stage.job, stage.ports)
    assert live is not None
    assert now is not None
    assert (
        replace(live, deployed=now.deployed) == now
    )  # what it is made of may cost more calls than health has for it


@EVERY
def test_health_of_what_does_not_answer_is_unknown(
    name: str, aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    stage = STAGES[name](aws_endpoint, tmp_path)
    aws_endpoint.fault("*", kind="503", times=None)
    signs, live = looked(name, stage)
    assert {sign.status for sign in signs} == {"unknown"}
    assert live is None


@EVERY
def test_the_permissions_are_statements_of_known_actions_that_cover_every_call(
    name: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    from botocore.session import get_session  # type: ignore[import-untyped]

    stage = STAGES[name](aws_endpoint, tmp_path)
    statements = kind(name).permissions(stage.job)
    actions = set(by_action(statements))
    prefixes = {"elbv2": "elasticloadbalancing", "elasticloadbalancing": "elbv2"}
    session = get_session()
    for action in actions - IAM_ONLY:
        service, _, operation = action.partition(":")
        assert (
            operation in session.get_service_model(prefixes.get(service, service)).operation_names
        ), action
    assert all(statement.why and statement.resources for statement in statements)
    kind(name).preview(stage.job, stage.ports)
    kind(name).apply(stage.job, stage.ports, report := Report(clock=stage.clock))
    watched(name, stage, report)
    looked(name, stage)
    called = {
        prefixes.get(item.partition(":")[0], item.partition(":")[0]) + ":" + item.partition(":")[2]
        for item in aws_endpoint.calls.names()
    }
    named = {CALLED_OTHERWISE.get(operation, operation) for operation in called}
    assert named - actions - {"sts:GetCallerIdentity"} == set()
