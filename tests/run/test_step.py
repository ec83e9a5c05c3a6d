"""One step, with a kind that does as it is told and a clock on which waiting takes no time."""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tests.run.simulated import Impatient, Listener, Told
from toolkit import targets
from toolkit.errors import (
    CloudError,
    Expired,
    FileProblem,
    LockLost,
    Missing,
    NoCredentials,
    NotAllowed,
    Preempted,
    ProgramFailed,
    Refused,
    Stopped,
    Throttled,
    ToolkitError,
    Unreachable,
)
from toolkit.model import Version
from toolkit.operations import (
    Job,
    JobAction,
    LiveVersion,
    Location,
    Observation,
    Outcome,
    OutputSource,
    StepState,
    Verdict,
)
from toolkit.ports.clock import Clock
from toolkit.ports.ports import Ports
from toolkit.run.request import BegunStep
from toolkit.run.step import (
    APPLIES,
    CERTAIN_AFTER_S,
    PATIENCE_S,
    RESUMED_LEAST_S,
    PhaseTimes,
    StepExecution,
)
from toolkit.run.stop import Stop
from toolkit.show.advice import sentence
from toolkit.targets.base import Report

JOB = Job(
    "app",
    "app",
    "scripted",
    JobAction.DEPLOY,
    Location("dev"),
    None,
    Version("v1", "c1", "f1"),
    "run",
    "token",
    deadline_s=600,
)
RUNNING, DONE, ABSENT = (
    Observation(StepState.RUNNING, phase="moving"),
    Observation(StepState.DONE, Verdict.SUCCEEDED, live=LiveVersion("v1")),
    Observation(StepState.ABSENT),
)
NO_ANSWER = Unreachable(call="ecs:UpdateService", reason="timed out")
EXPIRED = Expired(profile="", option="")


class LineLog:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


class Pen:
    """A journal of lists, on a disk that is full for a while. `lines` has what is written until the
    step's end.
    """

    def __init__(self, clock: Clock, log: LineLog | None = None) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[dict[str, Any]] = []
        self.records: list[Verdict] = []
        self.full_until = 0.0
        self.announced_before = False
        self._clock, self._log = clock, log or LineLog()

    @property
    def journal(self) -> "Pen":
        return self

    def log(self, step: str) -> LineLog:
        return self._log

    def announce(self, job: Job) -> None:
        pass

    def has_announced(self, job: Job) -> bool:
        return self.announced_before

    def record(self, job: Job, outcome: Outcome) -> None:
        self.records.append(outcome.verdict)

    def append(self, state: str, step: str | None = None, **facts: Any) -> None:
        if self._clock.elapsed() < self.full_until:
            raise FileProblem(path="journal", reason=f"the disk is full (errno {errno.ENOSPC})")
        if state == "outcome":
            self.ends.append(facts)
        else:
            self.lines.append((state, facts))

    @property
    def states(self) -> list[str]:
        return [state for state, _ in self.lines]


Look = Observation | ToolkitError | Exception


class StepStage:
    """A step, what its kind shall do, and all that came of it."""

    def __init__(
        self,
        looks: Sequence[Look],
        apply: Callable[[Report], None] | None = None,
        answer: bool | None = None,
    ) -> None:
        self.clock, self.stop, self.listener, self.log = (
            Impatient(),
            Stop(),
            Listener(answer),
            LineLog(),
        )
        self.pen = Pen(self.clock, self.log)
        self.applied, self.abandoned = 0, 0
        self.call_s = 0.0
        self.looked: list[float] = []
        self.befores: list[Observation | None] = []
        self.refusal: ToolkitError | None = None
        self.fence: LockLost | None = None
        self.unasked: frozenset[str] = frozenset()
        self.job = JOB
        self.uses_current: bool | CloudError | None = None
        self._looks: Iterator[Look] = chain(looks, repeat(looks[-1]))
        self._apply = apply or self._usual

    def _usual(self, report: Report) -> None:
        report.intend("ecs:UpdateService", service="web")
        report.keep(deployment="d1")

    def apply(self, job: Job, ports: Ports, report: Report) -> None:
        self.applied += 1
        self._apply(report)

    def observe(
        self, job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None = None
    ) -> Observation:
        self.looked.append(self.clock.elapsed())
        self.befores.append(before)
        look = next(self._looks)
        self.clock.wait(self.call_s)
        if isinstance(look, Exception):
            raise look
        return look

    def abandon(self, job: Job, receipt: Mapping[str, Any], ports: Ports, report: Report) -> None:
        self.abandoned += 1
        if self.refusal:
            raise self.refusal
        report.intend("ecs:StopServiceDeployment")

    def uses_current_outputs(self, job: Job, ports: Ports) -> bool | None:
        if isinstance(self.uses_current, CloudError):
            raise self.uses_current
        return self.uses_current

    def check_fence(self) -> None:
        if self.fence:
            raise self.fence

    def run(self, resumed: bool = False, waited_s: float = 0.0) -> Outcome:
        ports = Ports("/", "/", self.clock, lambda profile, region: cast(Any, None))
        notes = Told(self.listener, self.stop)
        request = replace(notes.request("1", ports), unasked=self.unasked)
        begun = BegunStep({}, waited_s, acted=True) if resumed else None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(targets, "kind", lambda name: self)
            step = StepExecution(self.job, request, self.pen, self.check_fence, begun)
            step.carry_out()
        if step.bug is not None:
            raise step.bug
        assert step.outcome is not None
        return step.outcome


def of(outcome: Outcome) -> tuple[str, bool]:
    return outcome.verdict, outcome.open


def test_it_is_applied_and_looked_at_until_it_has_ended() -> None:
    stage = StepStage([RUNNING, RUNNING, DONE])
    outcome = stage.run()
    assert of(outcome) == ("succeeded", False)
    assert (stage.applied, outcome.live, outcome.adopted) == (1, LiveVersion("v1"), False)
    assert stage.pen.lines == [
        ("intent", {"call": "ecs:UpdateService", "token": "token", "what": {"service": "web"}}),
        ("accepted", {"receipt": {"deployment": "d1"}}),
    ]
    assert stage.befores == [None, RUNNING, RUNNING]
    assert 1 < outcome.took_s < 3
    assert stage.listener.phases == ["moving"], "what goes on is said once"


def test_the_time_of_each_phase_is_kept() -> None:
    """What waits before the first call is preparation; a phase that is entered twice is one."""
    clock = Impatient()
    phases = PhaseTimes(clock)
    for phase, seconds in (("prepare", 1), ("apply", 2), ("rollout", 30), ("apply", 3)):
        phases.enter(phase)
        clock.wait(seconds)
    assert phases.seconds() == {"prepare": 1, "apply": 5, "rollout": 30}
    assert PhaseTimes(clock).seconds() == {}


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (Observation(StepState.DONE, Verdict.SUCCEEDED), ("succeeded", False)),
        (Observation(StepState.DONE), ("succeeded", False)),
        (
            Observation(StepState.DONE, Verdict.UNCHANGED, cause="it runs already"),
            ("unchanged", False),
        ),
        (Observation(StepState.FAILED, Verdict.FAILED, cause="c"), ("failed", False)),
        (Observation(StepState.FAILED), ("failed", False)),
        (Observation(StepState.FAILED, Verdict.ROLLED_BACK, cause="c"), ("rolled-back", False)),
        (Observation(StepState.FAILED, Verdict.SUPERSEDED), ("superseded", False)),
        (Observation(StepState.FAILED, Verdict.CANCELLED), ("cancelled", False)),
        (Observation(StepState.UNKNOWN, cause="c"), ("in-doubt", True)),
    ],
)
def test_the_verdict_is_what_was_seen(observation: Observation, expected: tuple[str, bool]) -> None:
    outcome = StepStage([RUNNING, observation]).run()
    assert of(outcome) == expected
    assert outcome.cause == observation.cause


@pytest.mark.parametrize(
    "observation",
    [DONE, Observation(StepState.FAILED, cause="c"), Observation(StepState.ABSENT, sure=True)],
)
def test_an_end_is_believed_at_the_first_look(observation: Observation) -> None:
    stage = StepStage([observation])
    stage.call_s = 0.2
    stage.run()
    assert len(stage.looked) == (
        2 if observation.sure else 1
    )  # what is not there is applied once more


@pytest.mark.parametrize(
    ("uses_current", "verdict", "told"),
    [
        (True, "unchanged", []),
        (False, "succeeded", ["outputs of api that it uses have changed"]),
        (None, "succeeded", ["whether outputs of api that it uses have changed is unknown"]),
        (NO_ANSWER, "succeeded", ["whether outputs of api that it uses have changed is unknown"]),
    ],
)
def test_what_joins_for_outputs_is_left_out_only_where_it_is_known_to_use_them(
    uses_current: bool | CloudError | None, verdict: str, told: Sequence[str]
) -> None:
    stage = StepStage([DONE])
    source = OutputSource("api", "stack", None)
    stage.job = replace(JOB, conditional=True, consumed=(source,))
    stage.uses_current = uses_current
    assert stage.run().verdict == verdict
    assert stage.applied == len(told)
    assert stage.listener.told_ == [("app", f"{words}: it is deployed, too") for words in told]


def test_a_job_that_uses_no_outputs_is_never_left_out_for_them() -> None:
    stage = StepStage([DONE])
    stage.job, stage.uses_current = replace(JOB, conditional=True), True
    assert (stage.run().verdict, stage.applied) == ("succeeded", 1)


@pytest.mark.parametrize("untouched", [True, False])
def test_what_is_live_and_not_good_gives_way_only_where_it_was_good_before(untouched: bool) -> None:
    outcome = StepStage(
        [Observation(StepState.DONE, Verdict.UNHEALTHY, cause="nothing runs", untouched=untouched)]
    ).run()
    assert (of(outcome), outcome.cause, outcome.has_to_give_way) == (
        ("unhealthy", False),
        "nothing runs",
        not untouched,
    )


def test_what_is_unknown_is_looked_at_again_before_it_is_in_doubt() -> None:
    stage = StepStage(
        [Observation(StepState.UNKNOWN, phase="checking again")] * 5 + [RUNNING, DONE]
    )
    assert of(stage.run()) == ("succeeded", False)
    stage = StepStage([Observation(StepState.UNKNOWN, next="ask ada")])
    outcome = stage.run()
    assert (outcome.verdict, sentence(outcome.next), outcome.open) == (
        "in-doubt",
        "ask ada",
        True,
    )
    assert stage.looked[-1] - stage.looked[0] >= CERTAIN_AFTER_S[StepState.UNKNOWN]


def test_the_first_cause_remains_the_cause() -> None:
    stage = StepStage(
        [
            Observation(StepState.RUNNING, cause="image not found", log=("pull",)),
            Observation(StepState.FAILED, Verdict.ROLLED_BACK, cause="rolled back"),
        ]
    )
    assert stage.run().cause == "image not found"
    assert stage.listener.told_ == [("app", "image not found")]
    assert stage.listener.lines == ["pull"]


def test_lines_are_shown_and_written() -> None:
    stage = StepStage(
        [
            Observation(StepState.RUNNING, lines=("one",)),
            Observation(StepState.RUNNING, lines=("two",)),
            DONE,
        ]
    )
    stage.run()
    assert stage.listener.lines == ["one", "two"]
    assert [line for line in stage.log.lines if line in ("one", "two")] == ["one", "two"]


def test_what_cannot_succeed_is_abandoned_once_and_watched_to_its_end() -> None:
    doomed = Observation(StepState.RUNNING, doomed=True, cause="it crashes")
    stage = StepStage([doomed, doomed, doomed, Observation(StepState.FAILED, Verdict.ROLLED_BACK)])
    assert (of(stage.run()), stage.abandoned) == (("rolled-back", False), 1)
    assert stage.pen.states == ["intent", "accepted", "intent"]


@pytest.mark.parametrize("problem", [CloudError(call="x", reason="y"), Refused("no"), NO_ANSWER])
def test_what_may_not_be_abandoned_is_watched_to_its_end(problem: ToolkitError) -> None:
    stage = StepStage(
        [
            Observation(StepState.RUNNING, doomed=True),
            Observation(StepState.RUNNING, doomed=True),
            Observation(StepState.FAILED),
        ]
    )
    stage.refusal = problem
    assert (of(stage.run()), stage.abandoned) == (("failed", False), 1)
    assert stage.listener.told_ == [("app", f"could not stop it: {problem}")]


@pytest.mark.parametrize(
    "problem",
    [
        Throttled(call="x"),
        NO_ANSWER,
        CloudError(call="x", reason="y"),
        Missing(what="a", name="b", where=""),
    ],
)
def test_looks_that_fail_say_nothing_of_the_step(problem: CloudError) -> None:
    stage = StepStage([RUNNING, *[problem] * 9, RUNNING, DONE])
    assert of(stage.run()) == ("succeeded", False)
    gaps = [
        later - earlier for earlier, later in zip(stage.looked[1:], stage.looked[2:], strict=False)
    ]
    assert max(gaps) <= 30
    assert gaps[5] > gaps[1], "they come more and more slowly"
    assert gaps[-1] < 2, "and as before once one went well"


def test_a_step_that_is_never_seen_again_is_in_doubt_after_its_time() -> None:
    outcome = StepStage([NO_ANSWER]).run()
    assert of(outcome) == ("in-doubt", True)
    assert outcome.cause == "it did not end within 10 min; nothing was stopped"
    assert outcome.took_s == pytest.approx(JOB.deadline_s, abs=0.1)


def test_after_its_time_it_is_let_go_and_left_open() -> None:
    outcome = StepStage([Observation(StepState.RUNNING, cause="slow")]).run()
    assert (outcome.verdict, outcome.open, sentence(outcome.next)) == (
        "in-doubt",
        True,
        "toolkit resume",
    )
    assert outcome.cause == "still running in AWS after 10 min; nothing was stopped; slow"
    assert outcome.took_s == pytest.approx(JOB.deadline_s, abs=0.1)


def test_what_an_earlier_process_began_has_the_rest_of_its_time_but_not_less_than_some() -> None:
    stage = StepStage([RUNNING])
    outcome = stage.run(resumed=True, waited_s=100)
    assert outcome.took_s == pytest.approx(600, abs=0.1)
    assert (outcome.adopted, stage.applied) == (True, 0)
    outcome = StepStage([RUNNING]).run(resumed=True, waited_s=5000)
    assert outcome.took_s == pytest.approx(5000 + RESUMED_LEAST_S, abs=0.1)


def test_what_an_earlier_process_began_is_looked_for_before_anything_is_called() -> None:
    stage = StepStage([DONE])
    outcome = stage.run(resumed=True)
    assert (of(outcome), stage.applied, stage.pen.lines) == (("succeeded", False), 0, [])


def test_what_is_absent_long_enough_is_applied_again_with_the_same_token() -> None:
    stage = StepStage([ABSENT])
    stage._looks = iter(lambda: DONE if stage.applied else ABSENT, None)
    outcome = stage.run(resumed=True)
    assert (of(outcome), stage.applied, stage.pen.states) == (
        ("succeeded", False),
        1,
        ["intent", "accepted"],
    )
    assert stage.looked[-2] - stage.looked[0] >= CERTAIN_AFTER_S[StepState.ABSENT]


def test_what_is_absent_for_a_moment_only_is_not_applied_again() -> None:
    stage = StepStage([*[ABSENT] * 8, RUNNING, *[ABSENT] * 8, DONE])
    assert (of(stage.run()), stage.applied) == (("succeeded", False), 1)


@pytest.mark.parametrize(("resumed", "times"), [(False, APPLIES), (True, APPLIES - 1)])
def test_what_stays_absent_is_in_doubt_and_never_applied_more_than_twice(
    resumed: bool, times: int
) -> None:
    stage = StepStage([ABSENT])
    outcome = stage.run(resumed)
    assert (of(outcome), stage.applied) == (("in-doubt", True), times)


def acts_then(problem: Exception) -> Callable[[Report], None]:
    def apply(report: Report) -> None:
        report.intend("ecs:UpdateService")
        raise problem

    return apply


def calls(called: list[str]) -> Callable[[Report], None]:
    def apply(report: Report) -> None:
        report.intend("ecs:UpdateService")
        called.append("ecs:UpdateService")

    return apply


def only(problem: Exception) -> Callable[[Report], None]:
    def apply(report: Report) -> None:
        raise problem

    return apply


@pytest.mark.parametrize("problem", [NO_ANSWER, Throttled(call="x")])
def test_a_call_whose_answer_was_lost_is_looked_for(problem: ToolkitError) -> None:
    stage = StepStage([RUNNING, DONE], acts_then(problem))
    assert (of(stage.run()), stage.applied) == (("succeeded", False), 1)
    stage = StepStage([ABSENT], acts_then(problem))
    assert (of(stage.run()), stage.applied) == (("in-doubt", True), APPLIES)


@pytest.mark.parametrize(
    ("problem", "expected", "after_a_call"),
    [
        (CloudError(call="x", reason="y"), ("failed", False), ("failed", False)),
        (NotAllowed(action="a", resource="b"), ("failed", False), ("failed", False)),
        (NoCredentials(profile="", option=""), ("cancelled", True), ("in-doubt", True)),
        (Refused("no", "say yes"), ("failed", False), ("failed", False)),
        (ProgramFailed(program="docker", reason="no"), ("failed", False), ("failed", False)),
        (NO_ANSWER, ("failed", False), ("succeeded", False)),
        (FileProblem(path="template", reason="not there"), ("failed", False), ("in-doubt", True)),
        (EXPIRED, ("cancelled", True), ("in-doubt", True)),
        (LockLost(target="app", reason="expired"), ("cancelled", True), ("in-doubt", True)),
        (Stopped(), ("cancelled", True), ("in-doubt", True)),
    ],
)
def test_what_a_problem_means_depends_on_whether_anything_was_called(
    problem: ToolkitError, expected: tuple[str, bool], after_a_call: tuple[str, bool]
) -> None:
    assert of(StepStage([DONE], only(problem)).run()) == expected
    assert of(StepStage([DONE], acts_then(problem)).run()) == after_a_call


def test_a_refusal_names_its_way_out() -> None:
    outcome = StepStage([DONE], only(Refused("it would be deleted", "add --allow-delete"))).run()
    assert (outcome.cause, sentence(outcome.next)) == (
        "it would be deleted",
        "add --allow-delete",
    )


@pytest.mark.parametrize("problem", [EXPIRED, LockLost(target="app", reason="expired")])
def test_what_all_steps_share_stops_the_run(problem: ToolkitError) -> None:
    stage = StepStage([DONE], only(problem))
    stage.run()
    assert (stage.stop.asked, stage.stop.problem) == (True, problem)


def test_credentials_that_expire_while_it_is_watched_stop_the_run() -> None:
    stage = StepStage([RUNNING, EXPIRED])
    assert (of(stage.run()), stage.stop.problem) == (("in-doubt", True), EXPIRED)


def test_credentials_that_expire_while_it_is_abandoned_stop_the_run() -> None:
    stage = StepStage([Observation(StepState.RUNNING, doomed=True)])
    stage.refusal = EXPIRED
    assert (of(stage.run()), stage.stop.problem) == (("in-doubt", True), EXPIRED)


def test_nothing_is_called_once_the_lock_is_lost() -> None:
    called: list[str] = []
    stage = StepStage([DONE], calls(called))
    stage.fence = LockLost(target="app", reason="somebody took it")
    assert (of(stage.run()), called, stage.pen.lines) == (("cancelled", True), [], [])
    assert isinstance(stage.stop.problem, LockLost)


def test_nothing_is_called_once_it_is_to_stop() -> None:
    called: list[str] = []
    stage = StepStage([DONE], calls(called))
    stage.stop.ask(2)
    assert (of(stage.run()), called, stage.pen.lines) == (("cancelled", True), [], [])


def test_what_waits_ends_when_it_is_to_stop() -> None:
    stage = StepStage([RUNNING])
    stage.listener.phase = lambda step, words: stage.stop.ask(15)  # type: ignore[method-assign]
    outcome = stage.run()
    assert (outcome.verdict, outcome.open, outcome.cause) == (
        "in-doubt",
        True,
        "still running in AWS",
    )
    assert len(stage.looked) == 1


@pytest.mark.parametrize(
    ("answer", "cause"),
    [(None, "confirmation needed: delete it"), (False, "not confirmed: delete it")],
)
def test_without_a_yes_nothing_is_done_and_the_flag_is_named(
    answer: bool | None, cause: str
) -> None:
    stage = StepStage([DONE], lambda report: report.consent("delete it?", "--allow-delete"), answer)
    outcome = stage.run()
    assert (of(outcome), outcome.cause, "--allow-delete" in sentence(outcome.next)) == (
        ("cancelled", False),
        cause,
        True,
    )
    assert stage.pen.records == []  # what runs is as it was


def test_what_an_earlier_process_has_announced_has_its_end_recorded_even_if_nothing_was_done() -> (
    None
):
    stage = StepStage([DONE], lambda report: report.consent("delete it?", "--allow-delete"), None)
    stage.pen.announced_before = True
    assert of(stage.run()) == ("cancelled", False)
    assert stage.pen.records == ["cancelled"]


@pytest.mark.parametrize("prepares", [True, False])
def test_a_step_that_nobody_was_asked_about_changes_nothing(prepares: bool) -> None:
    def apply(report: Report) -> None:
        if prepares:
            report.prepare("ecs:RegisterTaskDefinition")
        report.intend("ecs:UpdateService")

    stage = StepStage([DONE], apply)
    stage.unasked = frozenset({JOB.step})
    outcome = stage.run()
    assert (of(outcome), outcome.next) == (("cancelled", False), "run it again")
    assert outcome.cause.endswith("has changed since it was checked, and nobody was asked")
    assert (stage.pen.lines, stage.pen.records) == ([], [])


def test_with_a_yes_it_goes_on() -> None:
    stage = StepStage([DONE], lambda report: report.consent("delete it?", "--allow-delete"), True)
    assert of(stage.run()) == ("succeeded", False)
    assert stage.pen.records == ["succeeded"]


def test_a_full_disk_before_a_call_means_no_call_and_no_other_step() -> None:
    called: list[str] = []
    stage = StepStage([DONE], calls(called))
    stage.pen.full_until = 1e9
    outcome = stage.run()
    assert (of(outcome), called, stage.stop.asked) == (("cancelled", True), [], True)
    assert "the disk is full" in outcome.cause
    assert "nothing was changed" in outcome.cause


def fills(stage: StepStage, for_s: float) -> Callable[[Report], None]:
    """Calls, and then the disk is full."""

    def apply(report: Report) -> None:
        report.intend("x")
        stage.pen.full_until = stage.clock.elapsed() + for_s
        report.keep(deployment="d1")

    return apply


def test_a_full_disk_after_a_call_is_given_time_while_nothing_new_begins() -> None:
    stage = StepStage([DONE])
    stage._apply = fills(stage, PATIENCE_S - 1)
    outcome = stage.run()
    assert (of(outcome), stage.pen.states, stage.stop.asked) == (
        ("succeeded", False),
        ["intent", "accepted"],
        True,
    )
    assert outcome.took_s == pytest.approx(PATIENCE_S - 1, abs=1)


def test_a_disk_that_stays_full_after_a_call_has_the_receipt_told() -> None:
    stage = StepStage([DONE])
    stage._apply = fills(stage, 1e9)
    outcome = stage.run()
    assert (of(outcome), stage.pen.states) == (("in-doubt", True), ["intent"])
    assert outcome.took_s == pytest.approx(PATIENCE_S, abs=1)
    assert stage.listener.told_ == [("app", "could not be written down: app {'deployment': 'd1'}")]


@pytest.mark.parametrize("bug", [KeyError("x"), ZeroDivisionError()])
def test_a_bug_is_raised(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        StepStage([bug]).run()


def registering(stage: "StepStage", then: Callable[[Report], None]) -> Callable[[Report], None]:
    """A kind that makes something that changes nothing yet, before anything else happens."""

    def apply(report: Report) -> None:
        report.prepare("ecs:RegisterTaskDefinition")
        report.keep(task_definition="web:2")
        then(report)

    return apply


def test_a_stop_after_what_only_prepares_is_not_in_doubt_and_is_gone_on_with() -> None:
    stage = StepStage([DONE])

    def stopped(report: Report) -> None:
        stage.stop.ask(2)
        report.check()

    stage._apply = registering(stage, stopped)
    outcome = stage.run()
    assert (of(outcome), outcome.cause) == (
        ("cancelled", True),
        "stopped before anything that runs was changed",
    )
    assert stage.pen.lines[0] == (
        "intent",
        {"call": "ecs:RegisterTaskDefinition", "token": "token", "what": {}, "prepares": True},
    )


def test_a_stop_after_a_call_that_was_turned_away_is_not_in_doubt() -> None:
    stage = StepStage([DONE])

    def throttled(report: Report) -> None:
        report.intend("ecs:UpdateService")
        report.turned_away()
        stage.stop.ask(2)
        report.wait(1)

    stage._apply = registering(stage, throttled)
    assert of(stage.run()) == ("cancelled", True)


def test_a_call_that_was_turned_away_takes_no_other_back() -> None:
    stage = StepStage([DONE])

    def twice(report: Report) -> None:
        report.intend("ecs:UpdateService")
        report.intend("ecs:StopServiceDeployment")
        report.turned_away()
        stage.stop.ask(2)
        report.wait(1)

    stage._apply = twice
    assert of(stage.run()) == ("in-doubt", True)


@pytest.mark.parametrize("problem", [NO_ANSWER, Throttled(call="ecs:RegisterTaskDefinition")])
@pytest.mark.parametrize(("times", "verdict", "looks"), [(1, "succeeded", 1), (2, "failed", 0)])
def test_no_answer_to_what_only_prepares_is_tried_once_more_and_then_a_failure_that_changed_nothing(
    problem: CloudError, times: int, verdict: str, looks: int
) -> None:
    stage, tries = StepStage([DONE]), list[Report]()

    def lost(report: Report) -> None:
        tries.append(report)
        if len(tries) <= times:
            raise problem

    stage._apply = registering(stage, lost)
    assert (of(stage.run()), len(tries), len(stage.looked)) == ((verdict, False), 2, looks)


def test_expired_credentials_after_what_only_prepares_leave_it_to_resume() -> None:
    stage = StepStage([DONE])

    def expired(report: Report) -> None:
        raise EXPIRED

    stage._apply = registering(stage, expired)
    outcome = stage.run()
    assert (of(outcome), outcome.cause.endswith("; nothing that runs was changed")) == (
        ("cancelled", True),
        True,
    )


def test_a_run_that_another_one_has_asked_to_stop_says_so() -> None:
    stage = StepStage([RUNNING])
    preempted = Preempted(who="bob", command="toolkit rollback app", run="r2")

    def asking(report: Report) -> None:
        report.intend("ecs:UpdateService")
        stage.stop.ask(problem=preempted)

    stage._apply = asking
    outcome = stage.run()
    assert (of(outcome), outcome.cause) == (
        ("in-doubt", True),
        "bob asked this run to stop: toolkit rollback app; what runs in AWS continues",
    )


def test_a_yes_that_comes_after_something_was_changed_does_not_make_that_undone() -> None:
    def late(report: Report) -> None:
        report.intend("cloudformation:DeleteStack")
        report.consent("replace it?", "--allow-replace")

    assert of(StepStage([DONE], late, False).run()) == ("failed", False)
