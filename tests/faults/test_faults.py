"""T4: each way in which a call can go wrong, at each call of a deploy; what the run says of it has
to be what the cloud knows.

In CI the slow ones are a sample, whose seed is told when something is wrong; NIGHT=1 runs all of
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults import deploys
from tests.faults.deploys import DEADLINE_S, KINDS, SPARE_S, UNTOKENED, Deploy, tries
from tests.support.aws import Endpoint
from tests.support.aws.faults import Fault
from tests.support.modes import by_mode
from toolkit.operations import Outcome
from toolkit.ports.aws import client

ALL = by_mode(False, False, True)
SEED = int(os.environ.get("SEED") or Random().randrange(1 << 32))
SAMPLE = by_mode(1, 4, 4)
"""How many of the calls meet a fault that never ends, in CI."""
CALLS = {
    "app": (
        "GetCallerIdentity",
        "DescribeServices",
        "ListServiceDeployments",
        "DescribeRepositories",
        "DescribeImages",
        "DescribeTaskDefinition",
        "ListTaskDefinitions",
        "RegisterTaskDefinition",
        "UpdateService",
        "DescribeServiceDeployments",
        "DescribeServiceRevisions",
        "ListTasks",
        "DescribeTasks",
        "DescribeTargetHealth",
    ),
    "stack": (
        "DescribeChangeSet",
        "GetCallerIdentity",
        "DescribeStacks",
        "GetTemplateSummary",
        "GetTemplate",
        "CreateChangeSet",
        "ExecuteChangeSet",
        "DescribeStackEvents",
    ),
    "function": (
        "GetCallerIdentity",
        "GetFunctionConfiguration",
        "GetAlias",
        "GetFunctionCodeSigningConfig",
        "ListTags",
        "UpdateFunctionCode",
        "PublishVersion",
        "UpdateAlias",
    ),
}
WRITES = (
    "RegisterTaskDefinition",
    "UpdateService",
    "CreateChangeSet",
    "ExecuteChangeSet",
    "UpdateFunctionCode",
    "PublishVersion",
    "UpdateAlias",
)
PASSING = ("throttle", "500", "503", "reset", "silent")
"""What a call survives that is made again."""
FAULTS = (*PASSING, "drip", "truncated", "expired", "denied")
SLOW = ("silent", "drip")
EACH = [(kind, call) for kind, calls in CALLS.items() for call in calls]


class FaultStage:
    """One endpoint, and deploys on it one after the other."""

    def __init__(self, endpoint: Endpoint, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.endpoint, self._folder, self._made = endpoint, folder, list[Deploy]()
        self._patch = patch

    def deploy(self, kind: str) -> Deploy:
        """Another one, of which nothing has begun."""
        created = KINDS[kind](self.endpoint, self._folder, f"shop{len(self._made)}")
        self._made.append(created)
        return created

    def pass_(self, seconds: float) -> None:
        """Let time pass for the deploy that goes on."""
        self._made[-1].clock.advance(seconds)

    def fault(
        self, call: str, times: int | None, kind: str, when: str = "before", skip: int = 0
    ) -> Fault:
        """The next calls go wrong."""
        if kind in SLOW:
            deploys.impatient(self._patch)
        return self.endpoint.fault(call, times, kind, when, skip=skip)

    def calm(self) -> None:
        """No more faults; whoever still waits for an answer gets none."""
        self.endpoint.faults.clear()
        self.endpoint.release()

    def close(self) -> None:
        """The end."""
        self.calm()
        for created in self._made:
            created.close()


@pytest.fixture
def stage(
    aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultStage]:
    fault_stage = FaultStage(aws_endpoint, tmp_path, monkeypatch)
    with deploys.hurried(monkeypatch, fault_stage.pass_):
        yield fault_stage
        fault_stage.close()


def judged(stage: FaultStage, deploy: Deploy, outcome: Outcome, hint: str) -> None:
    """The first process has ended like this; a second one goes on where it left something open."""
    text = f"{hint}: {outcome.verdict}, {outcome.cause}"
    assert deploy.clock.elapsed() <= DEADLINE_S + SPARE_S, text
    if outcome.verdict == "succeeded":
        assert deploy.is_new(), text
    elif outcome.open:
        stage.calm()
        again = deploy.resumed()
        assert (again.verdict, deploy.is_new()) == (
            "succeeded",
            True,
        ), f"{text}; resumed: {again.verdict}, {again.cause}"
    else:
        deploy.rest()
        assert not deploy.is_new(), f"{text}, but the cloud went on"
    stage.calm()
    _once(deploy, text)


def _once(deploy: Deploy, text: str) -> None:
    """Nothing has had its effect twice, nothing was asked more often than was said, and nothing
    happened that nobody had intended.
    """
    intents = [
        str(entry.facts["call"]).partition(":")[2]
        for entry in deploy.entries()
        if entry.state == "intent"
    ]
    for call, count in deploy.effects().items():
        assert count <= 1, f"{text}: {call} had its effect {count} times"
        assert count <= intents.count(call), f"{text}: {call} without an intent"
    sent = tries(deploy)
    assert max(sent.values()) <= client.ATTEMPTS, f"{text}: {sent.most_common(3)}"
    for call in UNTOKENED:
        created = [count for (name, _), count in sent.items() if name == call]
        assert len(created) <= intents.count(call), (
            f"{text}: {call} was made more often than intended"
        )
        assert set(created) <= {1}, f"{text}: {call} was made again by the SDK"


@pytest.mark.parametrize("kind", KINDS)
def test_an_undisturbed_deploy_makes_just_the_calls_that_are_spoilt_here(
    stage: FaultStage, kind: str
) -> None:
    deploy = stage.deploy(kind)
    outcome = deploy.begun()
    assert (outcome.verdict, outcome.open, deploy.is_new()) == ("succeeded", False, True)
    assert set(deploy.effects().values()) == {1}
    assert set(CALLS[kind]) == {call.operation for call in stage.endpoint.calls}


@pytest.mark.slow("faults", keep=14)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("kind", "call"), EACH)
def test_a_call_that_goes_wrong_once_is_told_truly_and_done_once(
    stage: FaultStage, kind: str, call: str, fault: str
) -> None:
    """At each time that the call is made."""
    number = 0
    while True:
        deploy = stage.deploy(kind)
        spoilt = stage.fault(call, 1, fault, skip=number)
        outcome = deploy.begun()
        if not spoilt.hits:
            break
        hint = f"{fault} at {call} {number + 1}"
        assert fault not in PASSING or outcome.verdict == "succeeded", (
            f"{hint}: {outcome.verdict}, {outcome.cause}"
        )
        judged(stage, deploy, outcome, hint)
        number += 1
        if fault in SLOW and not ALL:
            return
    stage.calm()
    assert number > 0


@pytest.mark.slow("faults", keep=4)
@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("fault", ["500", "503", "reset", "silent"])
@pytest.mark.parametrize(("kind", "call"), [(kind, call) for kind, call in EACH if call in WRITES])
def test_a_write_whose_answer_is_lost_is_found_and_not_made_twice(
    stage: FaultStage, kind: str, call: str, fault: str, times: int | None
) -> None:
    deploy = stage.deploy(kind)
    spoilt = stage.fault(call, times, fault, "after")
    outcome = deploy.begun()
    assert spoilt.hits
    assert times is None or outcome.verdict == "succeeded", f"{outcome.verdict}, {outcome.cause}"
    judged(stage, deploy, outcome, f"{fault} after {call}")


@pytest.mark.slow("faults", keep=3)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if ALL or fault not in SLOW])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_goes_wrong_for_ever_ends_in_time_and_is_gone_on_with(
    stage: FaultStage, kind: str, fault: str
) -> None:
    """From its first time on, or only from a later one on: some of them."""
    clean = stage.deploy(kind)
    clean.begun()
    often = {call: stage.endpoint.calls.count(call) for call in CALLS[kind]}
    locations = [(call, skip) for call in CALLS[kind] for skip in range(often[call])]
    if not ALL:
        locations = Random(f"{SEED} {kind} {fault}").sample(locations, SAMPLE)
    for call, skip in locations:
        deploy = stage.deploy(kind)
        spoilt = stage.fault(call, None, fault, skip=skip)
        outcome = deploy.begun()
        hint = f"SEED={SEED}: {fault} at {call} from {skip + 1} on"
        assert spoilt.hits, hint
        judged(stage, deploy, outcome, hint)


PREPARE = [("app", "register_task_definition"), ("stack", "create_change_set")]
MOVE = [
    ("app", "update_service"),
    ("stack", "execute_change_set"),
    ("function", "update_function_code"),
    ("function", "publish_version"),
]


@pytest.mark.parametrize(("kind", "call"), PREPARE)
def test_a_stop_after_a_call_that_changes_nothing_that_runs_is_not_in_doubt(
    stage: FaultStage, kind: str, call: str
) -> None:
    deploy = stage.deploy(kind)
    deploy.aws.after[call] = lambda: deploy.stop.ask(2)
    outcome = deploy.begun()
    assert (outcome.verdict, outcome.open, deploy.is_new()) == ("cancelled", True, False)
    assert outcome.cause == "stopped before anything that runs was changed"
    judged(stage, deploy, outcome, f"a stop after {call}")


@pytest.mark.parametrize(("kind", "call"), MOVE)
def test_a_stop_after_the_call_that_changes_what_runs_is_in_doubt(
    stage: FaultStage, kind: str, call: str
) -> None:
    deploy = stage.deploy(kind)
    deploy.aws.after[call] = lambda: deploy.stop.ask(2)
    outcome = deploy.begun()
    assert (outcome.verdict, outcome.open) == ("in-doubt", True)
    judged(stage, deploy, outcome, f"a stop after {call}")


@pytest.mark.parametrize(("kind", "call"), PREPARE)
def test_a_process_that_goes_on_and_is_stopped_before_it_moved_anything_is_not_in_doubt_either(
    stage: FaultStage, kind: str, call: str
) -> None:
    deploy = stage.deploy(kind)
    deploy.aws.after[call] = lambda: deploy.stop.ask(2)
    assert deploy.begun().verdict == "cancelled"
    actual = deploy.left()
    assert [begun.acted for begun in actual.begun.values()] == [False]
