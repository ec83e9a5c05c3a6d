"""A gate of one's own: it needs a class and a place in the registry, and is asked before a step
begins, after it went well, and while it bakes.
"""

from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tests.run.simulated import Impatient, Told
from tests.run.test_step import Pen
from toolkit import gates, targets
from toolkit.errors import Refused
from toolkit.gates import GATES, has_gate, judge
from toolkit.gates.base import AlarmBaseline, Gate, GateContext, GateFailure, GateSetup
from toolkit.gates.judge import Judge
from toolkit.model import Version
from toolkit.operations import (
    Job,
    JobAction,
    LiveVersion,
    Location,
    Observation,
    Outcome,
    StepState,
    Verdict,
)
from toolkit.ports.net.policy import Policy
from toolkit.ports.ports import Ports
from toolkit.run.events import GateResult
from toolkit.run.step import StepExecution
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.base import JudgedSettings, Kind

SETTINGS = AppSettings(cluster="main", service="web", repository="web")
DONE = Observation(StepState.DONE, Verdict.SUCCEEDED, live=LiveVersion("v1"))


class HealthyKind(Kind):
    """A kind that goes well."""

    def __init__(self) -> None:
        self.applied = 0

    def apply(self, *_: object) -> None:
        self.applied += 1

    def observe(self, *_: object) -> Observation:
        return DONE

    def live(self, *_: object) -> LiveVersion:
        return LiveVersion("v1")

    def irreversible(self, settings: object) -> tuple[str, str]:
        return "nothing of it is kept", ""


class JudgedStep:
    """A step that is judged by one gate."""

    def __init__(self, patch: pytest.MonkeyPatch, gate: Gate, *others: Gate) -> None:
        self.kind, self.told = HealthyKind(), Told()
        patch.setattr(judge, "GATES", (gate, *others))
        patch.setattr(targets, "kind", lambda name: self.kind)
        self.ports = Ports("/", "/", Impatient(), lambda profile, region: cast(Any, None))

    def run(self, bake_s: float = 0.0) -> Outcome:
        version = Version("v1", "c1", "f1")
        job = Job(
            "web",
            "web",
            "app",
            JobAction.DEPLOY,
            Location("dev"),
            SETTINGS,
            version,
            "run",
            "token",
        )
        setup = GateSetup(
            policy=Policy(()),
            redact=str,
            ask_checks=lambda step, seconds: (),
            grace_s=0.0,
            bake_s=bake_s,
            others={},
            alarms=AlarmBaseline(),
            can_go_back=lambda job: None,
            rolls_back=False,
        )
        requests = Judge({"web": setup}, self.ports)
        request = self.told.request("run", self.ports, still=requests.before, verify=requests.after)
        step = StepExecution(job, request, Pen(Impatient()), lambda: None)
        step.carry_out()
        if step.bug is not None:
            raise step.bug
        assert step.outcome is not None
        return step.outcome

    @property
    def results(self) -> list[GateResult]:
        return [event for event in self.told.listener.others if isinstance(event, GateResult)]


class Freeze(Gate):
    """Nothing is deployed on a Friday."""

    name = "freeze"

    def before(self, job: Job, ports: Ports) -> None:
        raise Refused("it is Friday", "wait for Monday")


class Scan(Gate):
    """What was deployed is scanned."""

    name = "scan"

    def __init__(self, after: GateFailure | None, look: Callable[[], GateFailure | None]) -> None:
        self._after, self._look = after, look

    def asked_for(self, settings: JudgedSettings) -> bool:
        return True

    def after(self, context: GateContext) -> GateFailure | None:
        return self._after

    def look(self, context: GateContext) -> GateFailure | None:
        return self._look()


def test_a_gate_that_refuses_before_keeps_the_step_from_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy = JudgedStep(monkeypatch, Freeze())
    outcome = deploy.run()
    assert (outcome.verdict, outcome.cause, outcome.next) == (
        "failed",
        "it is Friday",
        "wait for Monday",
    )
    assert deploy.kind.applied == 0


@pytest.mark.parametrize(
    ("failure", "verdict", "good"),
    [
        (None, "succeeded", True),
        (GateFailure("a hole"), "unhealthy", False),
        (GateFailure("no answer", unknown=True), "in-doubt", None),
    ],
)
def test_what_a_gate_says_afterwards_is_the_verdict_and_an_event(
    monkeypatch: pytest.MonkeyPatch,
    failure: GateFailure | None,
    verdict: str,
    good: bool | None,
) -> None:
    deploy = JudgedStep(monkeypatch, Scan(failure, lambda: None))
    assert deploy.run().verdict == verdict
    assert deploy.results == [GateResult("web", "scan", good, failure.cause if failure else "")]


def test_the_first_gate_that_is_not_passed_decides_and_the_others_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = list[str]()
    second = Scan(None, lambda: None)
    monkeypatch.setattr(second, "after", lambda context: request.append("second"))
    deploy = JudgedStep(monkeypatch, Scan(GateFailure("a hole"), lambda: None), second)
    outcome = deploy.run()
    assert (outcome.cause, request) == ("it is live, but a hole", [])


def test_a_gate_with_an_interval_is_asked_again_while_the_step_bakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = iter([None, None, GateFailure("a hole")])
    scan = Scan(None, lambda: next(looks))
    scan.every_s = 5.0
    deploy = JudgedStep(monkeypatch, scan, GATES[-1])
    outcome = deploy.run(bake_s=60.0)
    assert (outcome.verdict, outcome.cause) == ("unhealthy", "it is live, but a hole")
    assert [result.gate for result in deploy.results] == ["scan", "bake"]


def test_every_gate_has_a_name_of_its_own_and_bakes_come_last() -> None:
    names = [gate.name for gate in gates.GATES]
    assert len(set(names)) == len(names)
    assert (all(names), names[-1]) == (True, "bake")


@pytest.mark.parametrize(
    ("settings", "judged"),
    [
        ({}, False),
        ({"health": ("https://shop.example/health",)}, True),
        ({"checks": ("up",)}, True),
        ({"alarms": ("errors",)}, True),
        ({"bake": "5m"}, True),
        ({"settle": "5m"}, False),
    ],
)
def test_a_step_is_judged_where_its_settings_name_something_for_a_gate(
    settings: dict[str, Any], judged: bool
) -> None:
    job = Job(
        "web",
        "web",
        "app",
        JobAction.DEPLOY,
        Location("dev"),
        AppSettings(cluster="main", service="web", repository="web", **settings),
        Version("v1", "c1", "f1"),
        "run",
        "token",
    )
    assert has_gate(job) is judged
    assert not has_gate(replace(job, action=JobAction.BUILD))
