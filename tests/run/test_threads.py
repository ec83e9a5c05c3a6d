"""Real threads: never too many, each step the moment it may, and nobody waits for a thread that is
gone.
"""

from collections.abc import Callable, Mapping
from threading import Barrier, Event, Lock, Thread
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.run.simulated import DIAMOND, Told
from tests.run.strategies import graphs, waits_for
from tests.run.test_execute import Book
from toolkit import targets
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation, RunResult, StepState
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.run.execute import Execution

SOON_S = 10.0
"""How long a test waits for what must come at once, before it fails."""


class FunctionKind:
    """A kind whose steps are a function, which says whether it went well."""

    def __init__(self, work: Callable[[str], bool]) -> None:
        self._work = work

    def apply(self, job: Job, ports: Ports, report: object) -> None:
        """Looking is enough."""

    def observe(self, job: Job, *_: object) -> Observation:
        return Observation(StepState.DONE if self._work(job.step) else StepState.FAILED)


def crew(
    needs: Mapping[str, tuple[str, ...]],
    work: Callable[[str], bool],
    parallel: int = 4,
    fail_fast: bool = False,
    told: Told | None = None,
    book: Book | None = None,
) -> RunResult:
    """How a run of such steps ends."""
    jobs = [
        Job(
            step,
            step,
            "scripted",
            JobAction.DEPLOY,
            Location("dev"),
            None,
            Version("v1", "c1", "f1"),
            "run",
            "token",
            needed,
            60,
        )
        for step, needed in needs.items()
    ]
    ports = Ports("/", "/", SystemClock(), lambda profile, region: cast(Any, None))
    request = (told or Told()).request("run", ports, parallel=parallel, fail_fast=fail_fast)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "kind", lambda name: FunctionKind(work))
        return Execution(request, book or Book(), lambda: None, jobs).carry_out()


def words(ran: RunResult) -> dict[str, str]:
    return {outcome.step: outcome.verdict for outcome in ran.outcomes}


@given(graphs(), st.integers(1, 5), st.sets(st.sampled_from("abcdefghijkl"), max_size=3))
def test_every_step_begins_after_its_needs_and_never_more_than_parallel_at_once(
    needs: dict[str, tuple[str, ...]], parallel: int, broken: set[str]
) -> None:
    lock, at_work, most, done, begun = Lock(), 0, 0, set[str](), list[str]()

    def work(step: str) -> bool:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
            begun.append(step)
            assert set(needs[step]) <= done
        with lock:
            at_work -= 1
            if step not in broken:
                done.add(step)
        return step not in broken

    ended = words(crew(needs, work, parallel))
    assert most <= parallel
    lost = {step for step in needs if waits_for(needs, step) & broken}
    assert {step for step, verdict in ended.items() if verdict == "skipped"} == lost
    assert sorted(begun) == sorted(needs.keys() - lost)


@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_as_many_steps_as_allowed_are_at_work_together(parallel: int) -> None:
    together = Barrier(parallel)  # broken unless so many are there at the same time

    def work(step: str) -> bool:
        together.wait(SOON_S)
        return True

    assert crew({str(number): () for number in range(parallel * 3)}, work, parallel).exit == 0


def test_a_step_begins_as_soon_as_its_own_needs_are_done_whatever_else_goes_on() -> None:
    begun = Event()

    def work(step: str) -> bool:
        if step == "slow":
            return begun.wait(SOON_S)
        if step == "after":
            begun.set()
        return True

    assert crew({"quick": (), "slow": (), "after": ("quick",)}, work, 2).exit == 0


def test_several_steps_begin_together_after_one_that_they_wait_for() -> None:
    together = Barrier(3)

    def work(step: str) -> bool:
        if step != "first":
            together.wait(SOON_S)
        return True

    needs = {"first": (), "a": ("first",), "b": ("first",), "c": ("first",)}
    assert crew(needs, work, 3).exit == 0


def test_with_fail_fast_no_other_step_begins() -> None:
    begun: list[str] = []

    def work(step: str) -> bool:
        begun.append(step)
        return step != "a"

    needs: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": ("b",), "z": ("a",)}
    ended = words(crew(needs, work, 1, fail_fast=True))
    assert (begun, ended) == (
        ["a"],
        {"a": "failed", "b": "skipped", "c": "skipped", "z": "skipped"},
    )


def test_nothing_begins_once_it_is_stopped_and_what_is_at_work_is_finished() -> None:
    notes, ended = Told(), list[str]()

    def work(step: str) -> bool:
        notes.stop.ask(2)
        ended.append(step)
        return True

    ran = crew(DIAMOND, work, told=notes)
    assert (words(ran), ran.not_started, ended) == ({"a": "succeeded"}, ("b", "c", "d"), ["a"])
    ran = crew(DIAMOND, lambda step: pytest.fail(step), told=notes)
    assert (words(ran), ran.not_started) == ({}, ("a", "b", "c", "d"))


@pytest.mark.parametrize("problem", [ValueError("x"), SystemExit(3)])
def test_what_is_raised_in_a_thread_is_raised_to_the_caller_after_the_others_have_ended(
    problem: BaseException,
) -> None:
    ended: list[str] = []
    taken_in, notes = Event(), Told()
    notes.listener.ended = lambda outcome: taken_in.set()  # type: ignore[method-assign]

    def work(step: str) -> bool:
        if step == "a":
            raise problem
        assert taken_in.wait(SOON_S)
        ended.append(step)
        return True

    with pytest.raises(type(problem)):
        crew({"a": (), "b": (), "after b": ("b",)}, work, 2, told=notes)
    assert ended == ["b"]


def test_what_is_raised_where_a_step_is_skipped_is_raised_after_the_others_have_ended() -> None:
    raised, ended = Event(), list[str]()

    def broken(state: str, step: str | None) -> Exception | None:
        if (state, step) != ("outcome", "b"):
            return None
        raised.set()
        return ValueError(step)

    def work(step: str) -> bool:
        if step == "slow":
            assert raised.wait(SOON_S)
            ended.append(step)
        return step == "slow"

    with pytest.raises(ValueError, match="b"):
        crew({"a": (), "b": ("a",), "slow": ()}, work, book=Book(broken))
    assert ended == ["slow"]


def test_a_system_without_threads_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        crew(DIAMOND, lambda step: True)


def test_a_thousand_steps_through_two_threads_lose_no_wake_up() -> None:
    needs = {
        f"{number:04}": (f"{number - 7:04}", f"{number - 3:04}") if number > 6 else ()
        for number in range(1000)
    }
    done: list[str] = []

    def work(step: str) -> bool:
        done.append(step)
        return True

    assert crew(needs, work, 2).exit == 0
    assert len(set(done)) == 1000
