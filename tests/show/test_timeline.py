"""When the steps of a run ran, and which of them it waited for."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Outcome, Span, TimedResource, Verdict
from toolkit.show.timeline import critical_path, slowest_resources, timeline


def job(step: str, *needs: str) -> Job:
    """A step and what it waits for."""
    version = Version("c", "c", "f")
    return Job(step, step, "stack", JobAction.DEPLOY, Location(), {}, version, "r", "t", needs)


JOBS = [job("net"), job("api", "net"), job("worker", "net"), job("app", "api")]
SPANS = {
    "net": Span(0, 5),
    "api": Span(5, 25),
    "worker": Span(5, 10),
    "app": Span(25, 40),
}


def test_a_bar_shows_when_each_step_ran_and_the_chain_what_took_the_time() -> None:
    assert timeline(JOBS, SPANS, 40, 57) == [
        "When each step ran:",
        "  net     |#####                                   | 5s",
        "  worker  |     #####                              | 5s",
        "  api     |     ####################               | 20s",
        "  app     |                         ###############| 15s",
        "The longest chain took 40s of 40s: net (5s), then api",
        "  (20s), then app (15s).",
    ]


def test_a_short_run_or_a_single_step_has_no_timeline() -> None:
    assert timeline(JOBS, SPANS, 9, 80) == []
    assert timeline(JOBS[:1], SPANS, 40, 80) == []
    assert timeline(JOBS, {}, 40, 80) == []


def test_a_step_that_waited_for_nobody_is_a_chain_by_itself() -> None:
    spans = {**SPANS, "worker": Span(5, 90)}
    assert critical_path([*JOBS[:2], job("worker"), JOBS[3]], spans) == ["worker"]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Job], dict[str, Span]]:
    """Steps that each begin once all that they wait for have ended."""
    jobs: list[Job] = []
    spans: dict[str, Span] = {}
    for number in range(draw(st.integers(1, 8))):
        names = [made.step for made in jobs]
        needs: Sequence[str] = ()
        if names:
            needs = draw(st.lists(st.sampled_from(names), unique=True))
        ready = max((spans[need].ended_s for need in needs), default=0.0)
        began = ready + draw(st.integers(0, 3))
        spans[f"s{number}"] = Span(began, began + draw(st.integers(1, 50)))
        jobs.append(job(f"s{number}", *needs))
    return jobs, spans


@given(runs(), st.integers(20, 120))
def test_the_chain_follows_needs_and_bars_stay_in_their_columns(
    run: tuple[list[Job], dict[str, Span]], width: int
) -> None:
    jobs, spans = run
    chain = critical_path(jobs, spans)
    needs = {made.step: made.needs for made in jobs}
    for earlier, later in pairwise(chain):
        assert earlier in needs[later]
    assert spans[chain[-1]].ended_s == max(span.ended_s for span in spans.values())
    took = max(span.ended_s for span in spans.values())
    lines = timeline(jobs, spans, took, width)
    bars = [line for line in lines if "|" in line]
    assert len({line.rindex("|") - line.index("|") for line in bars}) <= 1
    assert all("#" in line for line in bars)
    if width >= 40:
        assert all(len(line) <= width for line in lines)


def test_the_slowest_resources_of_each_stack_are_told_where_they_took_seconds() -> None:
    slow = (
        TimedResource("Database", "AWS::RDS::DBInstance", 312.4),
        TimedResource("Nest/Queue", "AWS::SQS::Queue", 4.0),
    )
    quick = (TimedResource("Queue", "AWS::SQS::Queue", 4.9),)
    outcomes = [
        Outcome("net", "net", Verdict.SUCCEEDED, slowest=slow),
        Outcome("api", "api", Verdict.FAILED, slowest=quick),
        Outcome("app", "app", Verdict.SUCCEEDED),
    ]
    assert slowest_resources(outcomes, 80) == [
        "Slowest in net:",
        "   5m12s  Database  AWS::RDS::DBInstance",
        "      4s  Nest/Queue  AWS::SQS::Queue",
    ]
    assert slowest_resources(outcomes, 30)[1] == "   5m12s  Database..."
    assert slowest_resources(outcomes[1:], 80) == []
