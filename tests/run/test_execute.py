"""A run: who waits for whom, what a step's end means for the others, what is written down, and the
word for it all.
"""

import json
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from tests.run.simulated import DIAMOND, Impatient, Listener, Told, back
from toolkit import targets
from toolkit.advice import Advice, NextCommand, ShellCommand, advice_parts, changed_advice
from toolkit.errors import (
    CloudError,
    Expired,
    FileProblem,
    LockLost,
    NoCredentials,
    NotAllowed,
    StateDamaged,
    Throttled,
    ToolkitError,
    Unreachable,
)
from toolkit.exits import Exit
from toolkit.model import Version
from toolkit.operations import (
    Job,
    JobAction,
    LiveVersion,
    Location,
    Observation,
    Outcome,
    RunResult,
    StepState,
    Verdict,
)
from toolkit.ports.ports import Ports
from toolkit.record.journal import EntryState
from toolkit.run.execute import Execution
from toolkit.run.outcomes import run_status
from toolkit.run.request import (
    BegunStep,
    JournalWriter,
    RunRequest,
    StepReport,
    Verify,
    no_checks,
)
from toolkit.run.stop import Stop
from toolkit.targets.base import Kind, Report

SOON_S = 10.0
V1 = LiveVersion("v1")
DONE, FAILED = (
    Observation(StepState.DONE, Verdict.SUCCEEDED, live=V1),
    Observation(StepState.FAILED, Verdict.ROLLED_BACK, cause="it crashed"),
)
RUNNING, UNKNOWN = Observation(StepState.RUNNING), Observation(StepState.UNKNOWN)


EXPIRED = Expired(profile="", option="")


class ScriptedKind(Kind):
    """A kind whose looks, and what happens before a call, are given for each step; without that it
    goes well.
    """

    def __init__(
        self,
        looks: Mapping[str, Observation | Exception],
        acts: Mapping[str, Callable[[Report], None]],
        runs: LiveVersion | Exception,
    ) -> None:
        self._looks, self._acts, self._runs = looks, acts, runs

    def apply(self, job: Job, ports: Ports, report: Report) -> None:
        if job.step in self._acts:
            self._acts[job.step](report)
        report.intend(f"call {job.step}")
        report.keep(id=job.step)

    def observe(
        self, job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None = None
    ) -> Observation:
        look = self._looks.get(job.step, DONE)
        if isinstance(look, Exception):
            raise look
        return look

    def build(self, job: Job, ports: Ports, report: Report) -> None:
        if job.step in self._acts:
            self._acts[job.step](report)
        report.prepare(f"call {job.step}")
        report.keep(id=job.step)

    built = observe

    def live(self, job: Job, ports: Ports) -> LiveVersion:
        if isinstance(self._runs, Exception):
            raise self._runs
        return self._runs


class SilentLog:
    def write(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass


class Book:
    """A book in memory. `broken` says which of its lines cannot be written."""

    def __init__(
        self, broken: Callable[[str, str | None], Exception | None] = lambda state, step: None
    ) -> None:
        self.lines: list[tuple[str, str | None, dict[str, Any]]] = []
        self.recorded: dict[str, str] = {}
        self.begun: list[str] = []
        self._broken = broken

    @property
    def journal(self) -> JournalWriter:
        return self

    def ends(self) -> list[dict[str, Any]]:
        """How the run ended, without what it took."""
        ends = (facts for state, _, facts in self.lines if state == "end")
        return [{name: facts[name] for name in facts if name != "usage"} for facts in ends]

    def append(self, state: EntryState, step: str | None = None, **facts: Any) -> None:
        if (problem := self._broken(state, step)) is not None:
            raise problem
        self.lines.append((state, step, facts))

    def log(self, step: str) -> SilentLog:
        return SilentLog()

    def announce(self, job: Job) -> None:
        if (problem := self._broken("begins", job.step)) is not None:
            raise problem
        self.begun.append(job.step)

    def has_announced(self, job: Job) -> bool:
        return job.step in self.begun

    def record(self, job: Job, outcome: Outcome) -> None:
        if (problem := self._broken("record", job.step)) is not None:
            raise problem
        self.recorded[job.step] = outcome.verdict

    def outcomes(self) -> dict[str, str]:
        return {
            str(step): facts["verdict"] for state, step, facts in self.lines if state == "outcome"
        }

    @property
    def ended(self) -> bool:
        return any(state == "end" for state, _, _ in self.lines)


class RunStage:
    """A run of steps, and all that came of it."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        looks: Mapping[str, Observation | Exception] | None = None,
        acts: Mapping[str, Callable[[Report], None]] | None = None,
        book: Book | None = None,
        runs: LiveVersion | Exception = V1,
    ) -> None:
        self.book, self.stop, self.listener, self.clock = (
            book or Book(),
            Stop(),
            Listener(),
            Impatient(),
        )
        monkeypatch.setattr(
            targets, "kind", lambda name: ScriptedKind(looks or {}, acts or {}, runs)
        )

    def run(
        self,
        needs: Mapping[str, tuple[str, ...]] = DIAMOND,
        parallel: int = 4,
        fail_fast: bool = False,
        done: Mapping[str, str] | None = None,
        begun: tuple[str, ...] = (),
        unproved: tuple[str, ...] = (),
        verify: Verify = no_checks,
    ) -> RunResult:
        jobs = tuple(
            Job(
                step,
                step,
                "scripted",
                JobAction.BUILD if step.endswith(":build") else JobAction.DEPLOY,
                Location("dev"),
                None,
                Version("v1", "c1", "f1"),
                "run",
                f"t-{step}",
                needed,
                60,
            )
            for step, needed in needs.items()
        )
        jobs += tuple(back(job) for job in jobs if job.step in unproved)
        ends = {step: Outcome(step, step, Verdict(word)) for step, word in (done or {}).items()}
        document = {step: BegunStep({"id": step}, 5.0) for step in begun}
        request = self.request(parallel=parallel, fail_fast=fail_fast, verify=verify)
        return Execution(request, self.book, lambda: None, jobs, ends, document).carry_out()

    def request(self, **fields: Any) -> RunRequest:
        ports = Ports("/", "/", self.clock, lambda profile, region: cast(Any, None))
        return Told(self.listener, self.stop).request("run", ports, **fields)


def wait(event: Event) -> None:
    """For what another thread has to do first."""
    assert event.wait(SOON_S)


def words(ran: RunResult) -> dict[str, str]:
    return {outcome.step: outcome.verdict for outcome in ran.outcomes}


def test_what_goes_well_is_recorded_and_written_down_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    ran = stage.run()
    assert (ran.status, ran.exit, words(ran)) == (
        "succeeded",
        0,
        dict.fromkeys("abcd", "succeeded"),
    )
    assert stage.book.recorded == stage.book.outcomes() == dict.fromkeys("abcd", "succeeded")
    assert [state for state, step, _ in stage.book.lines if step == "a"] == [
        "intent",
        "accepted",
        "outcome",
    ]
    assert stage.book.ends() == [{"exit": 0, "status": "succeeded"}]
    assert (
        sorted(stage.listener.began_)
        == sorted(outcome.step for outcome in stage.listener.ended_)
        == list("abcd")
    )


def test_what_waits_for_a_failure_is_skipped_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch, {"b": FAILED})
    ran = stage.run()
    assert (ran.status, ran.exit) == ("partial", 4)
    assert (
        words(ran)
        == stage.book.outcomes()
        == {
            "a": "succeeded",
            "b": "rolled-back",
            "c": "succeeded",
            "d": "skipped",
        }
    )
    assert stage.book.recorded == {"a": "succeeded", "b": "rolled-back", "c": "succeeded"}
    assert {outcome.step: outcome.cause for outcome in ran.outcomes}[
        "d"
    ] == "it waits for b, which did not end well"
    assert stage.book.ended


def test_what_waits_for_a_doubt_stays_open_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch, {"b": UNKNOWN})
    ran = stage.run()
    assert (ran.status, ran.exit) == ("in-doubt", 5)
    assert {outcome.step: outcome.open for outcome in ran.outcomes} == {
        "a": False,
        "b": True,
        "c": False,
        "d": True,
    }
    assert stage.book.outcomes() == stage.book.recorded == {"a": "succeeded", "c": "succeeded"}
    assert not stage.book.ended


def test_with_fail_fast_what_was_not_begun_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch, {"a": FAILED})
    ran = stage.run({"a": (), "b": (), "c": ()}, parallel=1, fail_fast=True)
    assert (ran.status, ran.exit, ran.not_started) == ("failed", 1, ())
    assert stage.book.outcomes() == {"a": "rolled-back", "b": "skipped", "c": "skipped"}
    assert stage.book.ended


def test_with_fail_fast_a_doubt_leaves_the_rest_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch, {"a": UNKNOWN})
    ran = stage.run({"a": (), "b": (), "c": ()}, parallel=1, fail_fast=True)
    assert (ran.status, stage.book.outcomes(), stage.book.ended) == ("in-doubt", {}, False)
    assert words(ran) == {"a": "in-doubt", "b": "skipped", "c": "skipped"}


def test_a_signal_leaves_what_is_begun_open_and_the_rest_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch, {"a": RUNNING}, {"a": lambda report: stage.stop.ask(15)})
    ran = stage.run()
    assert (ran.status, ran.exit, ran.not_started) == ("cancelled", 143, ("b", "c", "d"))
    assert (words(ran), stage.book.lines) == ({"a": "cancelled"}, [])
    again = RunStage(monkeypatch, {"a": Observation(StepState.RUNNING, cause="slow")})
    again.listener.told = lambda step, text: again.stop.ask(2)  # type: ignore[method-assign]
    ran = again.run()
    assert (ran.exit, words(ran)) == (130, {"a": "in-doubt"})


def test_a_signal_after_everything_is_over_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch)
    stage.listener.ended = lambda outcome: stage.stop.ask(2) if outcome.step == "d" else None  # type: ignore[method-assign]
    ran = stage.run()
    assert (ran.status, ran.exit, stage.book.ended) == ("succeeded", 0, True)


def test_credentials_that_expire_stop_new_steps_and_leave_the_others_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = Event()
    acts = {"b": lambda report: wait(begun), "c": lambda report: begun.set()}
    stage = RunStage(monkeypatch, {"b": EXPIRED, "c": RUNNING}, acts)
    ran = stage.run()
    assert (ran.status, ran.exit, stage.book.ended) == ("in-doubt", 7, False)
    assert stage.book.outcomes() == {"a": "succeeded"}
    assert {outcome.step: outcome.open for outcome in ran.outcomes} == {
        "a": False,
        "b": True,
        "c": True,
    }
    assert ran.not_started == ("d",)


def test_a_lock_that_is_lost_stops_new_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch, {"b": LockLost(target="b", reason="somebody took it")})
    ran = stage.run(parallel=1)
    assert (ran.status, ran.exit, stage.book.ended) == ("in-doubt", 5, False)


def test_a_bug_leaves_its_step_in_doubt_lets_the_others_end_and_is_raised_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, raised = Event(), Event()

    def breaks(report: Report) -> None:
        wait(begun)
        raised.set()
        raise ZeroDivisionError

    def slow(report: Report) -> None:
        begun.set()
        wait(raised)

    stage = RunStage(monkeypatch, {}, {"b": breaks, "c": slow})
    with pytest.raises(ZeroDivisionError):
        stage.run()
    assert stage.book.outcomes() == {"a": "succeeded", "c": "succeeded"}
    assert {outcome.step: outcome.verdict for outcome in stage.listener.ended_} == {
        "a": "succeeded",
        "b": "in-doubt",
        "c": "succeeded",
        "d": "skipped",
    }
    assert not stage.book.ended


def test_what_shows_the_run_may_break_without_hanging_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(outcome: Outcome) -> None:
        raise ValueError("no such column")

    stage = RunStage(monkeypatch)
    stage.listener.ended = broken  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no such column"):
        stage.run()


@pytest.mark.parametrize(
    "problem",
    [CloudError(call="s3:PutObject", reason="no"), StateDamaged(path="live", reason="torn")],
)
def test_a_record_that_cannot_be_written_is_told_and_the_outcome_kept(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    stage = RunStage(
        monkeypatch, book=Book(lambda state, step: problem if state == "record" else None)
    )
    ran = stage.run({"a": ()})
    assert (ran.exit, stage.book.outcomes()) == (0, {"a": "succeeded"})
    assert stage.listener.told_ == [("a", f"what is live could not be recorded: {problem}")]


FULL = FileProblem(path="journal", reason="the disk is full")


def test_an_end_that_cannot_be_written_is_told_and_nothing_new_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(
        monkeypatch, book=Book(lambda state, step: FULL if state == "outcome" else None)
    )
    ran = stage.run(parallel=1)
    assert (ran.not_started, stage.listener.began_) == (("b", "c", "d"), ["a"])
    assert stage.listener.told_ == [
        ("a", "its end (succeeded) could not be written down: journal: the disk is full")
    ]
    assert not stage.book.ended


def test_a_last_line_that_cannot_be_written_is_told_and_left_to_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch, book=Book(lambda state, step: FULL if state == "end" else None))
    ran = stage.run()
    assert (ran.status, ran.exit, set(words(ran).values())) == (
        "in-doubt",
        Exit.IN_DOUBT,
        {"succeeded"},
    )
    assert stage.listener.told_ == [
        ("toolkit", "the end of the run could not be written down: journal: the disk is full")
    ]


def test_a_disk_that_is_full_before_the_first_call_leaves_the_run_to_resume_and_nothing_was_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch, book=Book(lambda state, step: FULL))
    ran = stage.run()
    assert (ran.exit, words(ran), ran.not_started) == (
        Exit.IN_DOUBT,
        {"a": "cancelled"},
        ("b", "c", "d"),
    )


def test_what_is_done_is_not_done_again_and_what_is_begun_is_only_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    ran = stage.run(done={"a": "succeeded"}, begun=("b",))
    assert [(state, step) for state, step, _ in stage.book.lines if step == "b"] == [
        ("outcome", "b")
    ]
    assert "a" not in stage.listener.began_
    assert {outcome.step: outcome.adopted for outcome in ran.outcomes} == {
        "a": False,
        "b": True,
        "c": False,
        "d": False,
    }
    assert ran.exit == 0


def test_what_waits_for_an_earlier_failure_gets_its_own_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    ran = stage.run(done={"a": "succeeded", "b": "failed"})
    assert (stage.book.outcomes(), ran.exit) == ({"c": "succeeded", "d": "skipped"}, 4)
    stage = RunStage(monkeypatch)
    ran = stage.run(done={"a": "failed", "b": "skipped"})
    assert (stage.book.outcomes(), ran.status, ran.exit) == (
        {"c": "skipped", "d": "skipped"},
        "failed",
        1,
    )


def test_a_run_of_which_only_the_last_line_is_missing_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    ran = stage.run(done=dict.fromkeys("abcd", "succeeded"))
    assert (ran.exit, len(stage.book.lines)) == (0, 1)
    assert stage.book.ends() == [{"exit": 0, "status": "succeeded"}]


def stopped(signal: int | None = None, problem: ToolkitError | None = None) -> Stop:
    stop = Stop()
    stop.ask(signal, problem)
    return stop


@pytest.mark.parametrize(
    ("steps", "not_started", "stop", "expected"),
    [
        (("succeeded", "unchanged"), 0, Stop(), ("succeeded", Exit.OK)),
        (("unchanged", "unchanged"), 0, Stop(), ("unchanged", Exit.OK)),
        ((), 0, Stop(), ("succeeded", Exit.OK)),
        (("failed",), 0, Stop(), ("failed", Exit.FAILED)),
        (("rolled-back", "skipped"), 0, Stop(), ("failed", Exit.FAILED)),
        (("superseded",), 0, Stop(), ("failed", Exit.FAILED)),
        (("cancelled",), 0, Stop(), ("cancelled", Exit.USAGE)),
        (("cancelled", "skipped"), 0, Stop(), ("cancelled", Exit.USAGE)),
        (("cancelled", "failed"), 0, Stop(), ("failed", Exit.FAILED)),
        (("cancelled", "succeeded"), 0, Stop(), ("partial", Exit.PARTLY)),
        (("unhealthy", "skipped"), 0, Stop(), ("failed", Exit.FAILED)),
        (("unchanged", "failed"), 0, Stop(), ("partial", Exit.PARTLY)),
        (("succeeded", "skipped"), 0, Stop(), ("partial", Exit.PARTLY)),
        (("succeeded", "in-doubt"), 0, Stop(), ("in-doubt", Exit.IN_DOUBT)),
        (("failed", "in-doubt"), 0, Stop(), ("in-doubt", Exit.IN_DOUBT)),
        (("succeeded", "in-doubt"), 0, stopped(2), ("cancelled", Exit.INTERRUPTED)),
        (("succeeded",), 1, stopped(15), ("cancelled", Exit.TERMINATED)),
        (("failed",), 1, stopped(1), ("cancelled", Exit.HANGUP)),
        (("succeeded", "failed"), 0, stopped(2), ("partial", Exit.PARTLY)),
        (("succeeded",), 0, stopped(2), ("succeeded", Exit.OK)),
        (("in-doubt",), 0, stopped(problem=EXPIRED), ("in-doubt", Exit.CREDENTIALS)),
        (("in-doubt",), 0, stopped(2, EXPIRED), ("cancelled", Exit.INTERRUPTED)),
        (
            ("succeeded",),
            1,
            stopped(problem=LockLost(target="a", reason="b")),
            ("in-doubt", Exit.IN_DOUBT),
        ),
        (("succeeded",), 1, stopped(problem=FULL), ("in-doubt", Exit.IN_DOUBT)),
        (("in-doubt",), 1, stopped(problem=FULL), ("in-doubt", Exit.IN_DOUBT)),
    ],
)
def test_the_word_and_the_exit_code_of_a_run(
    steps: tuple[str, ...], not_started: int, stop: Stop, expected: tuple[str, int]
) -> None:
    outcomes = [
        Outcome(str(position), str(position), Verdict(word), open=word == "in-doubt")
        for position, word in enumerate(steps)
    ]
    assert run_status(outcomes, ["x"] * not_started, stop) == expected


def unproved(job: Job, outcome: Outcome, desk: StepReport) -> Outcome:
    """No step but one that puts another back passes its checks."""
    return (
        outcome if job.undoes else replace(outcome, verdict=Verdict.UNHEALTHY, cause="its checks")
    )


def test_what_does_not_pass_its_checks_gives_way_and_the_run_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    ran = stage.run({"a": (), "b": ("a",)}, unproved=("a",), verify=unproved)
    assert {outcome.step: outcome.verdict for outcome in ran.outcomes} == {
        "a": "unhealthy",
        "b": "skipped",
        "a:rollback": "succeeded",
    }
    assert (ran.status, ran.exit, ran.not_started, stage.book.ended) == (
        "failed",
        Exit.FAILED,
        (),
        True,
    )
    assert stage.book.recorded["a:rollback"] == "succeeded"


def test_without_a_version_to_put_back_it_only_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = RunStage(monkeypatch).run({"a": ()}, verify=unproved)
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [("a", "unhealthy")]


def test_what_passes_its_checks_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch)
    ran = stage.run({"a": ()}, unproved=("a",))
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [("a", "succeeded")]
    assert stage.listener.began_ == ["a"]


def test_a_stop_before_the_last_good_version_is_back_leaves_the_run_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)

    def stopped(job: Job, outcome: Outcome, desk: StepReport) -> Outcome:
        stage.stop.ask(2)
        return unproved(job, outcome, desk)

    ran = stage.run({"a": ()}, unproved=("a",), verify=stopped)
    assert (ran.status, ran.exit, ran.not_started, stage.book.ended) == (
        "cancelled",
        130,
        ("a:rollback",),
        False,
    )


def test_a_stop_while_it_is_checked_leaves_it_in_doubt_and_says_that_it_is_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)

    def stopped(job: Job, outcome: Outcome, desk: StepReport) -> Outcome:
        stage.stop.ask(2)
        desk.check()
        raise AssertionError("it goes on")

    ran = stage.run({"a": (), "b": ("a",)}, unproved=("a",), verify=stopped)
    [item] = ran.outcomes
    assert (item.verdict, item.cause, item.open) == (
        "in-doubt",
        "it is live, but its checks were not done",
        True,
    )
    assert (ran.status, ran.exit, ran.not_started, stage.book.ended) == (
        "cancelled",
        130,
        ("b",),
        False,
    )


def test_going_on_with_it_puts_the_last_good_version_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch)
    jobs = (
        Job(
            "a",
            "a",
            "scripted",
            JobAction.DEPLOY,
            Location("dev"),
            None,
            Version("v1", "c1", "f1"),
            "run",
            "t-a",
        ),
    )
    done = {"a": Outcome("a", "a", Verdict.UNHEALTHY)}
    ran = Execution(
        stage.request(), stage.book, lambda: None, (*jobs, back(jobs[0])), done
    ).carry_out()
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("a", "unhealthy"),
        ("a:rollback", "succeeded"),
    ]
    assert (ran.exit, stage.book.ended) == (Exit.FAILED, True)


def test_what_somebody_else_has_deployed_meanwhile_is_not_rolled_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch, runs=LiveVersion("v9"))
    ran = stage.run({"a": ()}, unproved=("a",), verify=unproved)
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("a", "unhealthy"),
        ("a:rollback", "superseded"),
    ]
    assert ("intent", "a:rollback") not in [(state, step) for state, step, _ in stage.book.lines]
    assert (ran.outcomes[1].cause, ran.exit, stage.book.ended) == (
        "someone else has deployed v9 since",
        Exit.FAILED,
        True,
    )


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Unreachable(call="ecs", reason="timed out"), Exit.IN_DOUBT),
        (Throttled(call="ecs"), Exit.IN_DOUBT),
        (NoCredentials(profile="", option=""), Exit.CREDENTIALS),
    ],
)
def test_a_rollback_that_cannot_begin_yet_stays_open(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, code: Exit
) -> None:
    stage = RunStage(monkeypatch, runs=problem)
    ran = stage.run({"a": ()}, unproved=("a",), verify=unproved)
    assert [(outcome.step, outcome.verdict, outcome.open) for outcome in ran.outcomes] == [
        ("a", "unhealthy", False),
        ("a:rollback", "in-doubt", True),
    ]
    assert (ran.status, ran.exit, stage.book.ended) == ("in-doubt", code, False)


@pytest.mark.parametrize("look", [UNKNOWN, EXPIRED], ids=["in doubt", "expired"])
def test_a_command_that_resumes_names_its_run_for_another_one_may_be_open_too(
    monkeypatch: pytest.MonkeyPatch, look: Observation | Exception
) -> None:
    ran = RunStage(monkeypatch, {"a": look}).run({"a": ()})
    resumes = [
        part
        for part in advice_parts(ran.outcomes[0].next)
        if isinstance(part, NextCommand) and part.command == "resume"
    ]
    assert resumes == [NextCommand("resume", (ran.run,))]


@pytest.mark.parametrize(
    "advice",
    [
        "fix it",
        NextCommand("deploy-app", ("a",)),
        ("wait for it, then:", ShellCommand("aws ecs wait", ("a b",)), "; or", NextCommand("show")),
    ],
)
def test_what_to_do_next_is_written_down_as_data_and_without_secrets_and_read_back(
    monkeypatch: pytest.MonkeyPatch, advice: Advice
) -> None:
    observation = Observation(StepState.FAILED, Verdict.FAILED, cause="it crashed", next=advice)
    stage = RunStage(monkeypatch, {"a": observation})
    job = Job(
        "a",
        "a",
        "scripted",
        JobAction.DEPLOY,
        Location("prod"),
        None,
        Version("v1", "c1", "f1"),
        "run",
        "t-a",
    )
    request = stage.request(redact=lambda text: text.replace("it", "IT"))
    Execution(request, stage.book, lambda: None, (job,)).carry_out()
    [written] = [facts["next"] for state, _, facts in stage.book.lines if state == "outcome"]
    stored = json.loads(json.dumps(msgspec.to_builtins(written)))
    redacted = changed_advice(advice, lambda text: text.replace("it", "IT"))
    assert msgspec.convert(stored, Advice) == redacted


@pytest.mark.parametrize(
    "problem",
    [
        NotAllowed("s3:PutObject", "s3://state/*", ""),
        FileProblem(path="record", reason="the disk is full"),
    ],
)
def test_what_cannot_be_recorded_as_begun_is_not_begun(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    """Nobody else could know that something may have been changed."""
    stage = RunStage(
        monkeypatch, book=Book(lambda state, step: problem if state == "begins" else None)
    )
    ran = stage.run({"a": ()})
    assert ran.exit != Exit.OK
    assert ("intent", "a") not in [(state, step) for state, step, _ in stage.book.lines]


def test_a_step_is_recorded_as_begun_once_and_before_its_first_call_is_intended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def written(state: str, step: str | None) -> None:
        order.append(state)

    def acts(report: Report) -> None:
        report.prepare("upload")
        report.intend("first")

    stage = RunStage(monkeypatch, acts={"a": acts}, book=Book(written))
    assert stage.run({"a": ()}).exit == Exit.OK
    assert order[:5] == ["intent", "begins", "intent", "intent", "accepted"]
    assert stage.book.begun == ["a"]


def test_what_undoes_a_step_is_begun_whether_or_not_that_can_be_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(monkeypatch)
    stage.run({"a": ()}, unproved=("a",), verify=unproved)
    assert stage.book.begun == ["a"]
    assert ("intent", "a:rollback") in [(state, step) for state, step, _ in stage.book.lines]


def test_a_rollback_that_is_never_begun_for_want_of_a_disk_leaves_the_run_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RunStage(
        monkeypatch,
        book=Book(lambda state, step: FULL if (state, step) == ("outcome", "a") else None),
    )
    ran = stage.run({"a": ()}, unproved=("a",), verify=unproved)
    assert (ran.status, ran.exit, ran.not_started) == ("in-doubt", Exit.IN_DOUBT, ("a:rollback",))


def test_a_rollback_that_fails_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RunStage(monkeypatch, {"a:rollback": FAILED})
    ran = stage.run({"a": ()}, unproved=("a",), verify=unproved)
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("a", "unhealthy"),
        ("a:rollback", "rolled-back"),
    ]
    assert ran.exit == Exit.FAILED


def test_what_was_not_well_before_gives_way_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service of which nothing runs: nothing is gained by putting an earlier version back."""
    stage = RunStage(monkeypatch)
    ran = stage.run(
        {"a": ()},
        unproved=("a",),
        verify=lambda job, outcome, desk: replace(unproved(job, outcome, desk), untouched=True),
    )
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [("a", "unhealthy")]
