"""Real threads: never too many, each step the moment it may, and nobody waits for a thread that is
gone.
"""

from collections.abc import Callable, Mapping
from threading import Barrier, Event, Lock, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.run.simulated import DIAMOND
from tests.run.strategies import graphs, waits_for
from toolkit.run.schedule import Schedule
from toolkit.run.workers import WorkerPool

SOON_S = 10.0
"""How long a test waits for what must come at once, before it fails."""


def crew(
    needs: Mapping[str, tuple[str, ...]],
    work: Callable[[str], bool],
    parallel: int = 4,
    fail_fast: bool = False,
    skip: Callable[[str, str], None] = lambda step, other: None,
    stopped: Callable[[], bool] = lambda: False,
) -> WorkerPool:
    return WorkerPool(
        Schedule(needs, dict.fromkeys(needs, 1.0)), work, skip, stopped, parallel, fail_fast
    )


@given(graphs(), st.integers(1, 5), st.sets(st.sampled_from("abcdefghijkl"), max_size=3))
def test_every_step_begins_after_its_needs_and_never_more_than_parallel_at_once(
    needs: dict[str, tuple[str, ...]], parallel: int, broken: set[str]
) -> None:
    lock, at_work, most, done, begun = Lock(), 0, 0, set[str](), list[str]()
    skipped: list[str] = []

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

    assert (
        crew(needs, work, parallel, skip=lambda step, other: skipped.append(step)).carry_out() == []
    )
    assert most <= parallel
    lost = {step for step in needs if waits_for(needs, step) & broken}
    assert sorted(skipped) == sorted(lost)
    assert sorted(begun) == sorted(needs.keys() - lost)


@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_as_many_steps_as_allowed_are_at_work_together(parallel: int) -> None:
    together = Barrier(parallel)  # broken unless so many are there at the same time

    def work(step: str) -> bool:
        together.wait(SOON_S)
        return True

    assert (
        crew({str(number): () for number in range(parallel * 3)}, work, parallel).carry_out() == []
    )


def test_a_step_begins_as_soon_as_its_own_needs_are_done_whatever_else_goes_on() -> None:
    begun = Event()

    def work(step: str) -> bool:
        if step == "slow":
            return begun.wait(SOON_S)
        if step == "after":
            begun.set()
        return True

    assert (
        crew(
            {"quick": (), "slow": (), "after": ("quick",)},
            work,
            2,
            skip=lambda step, other: pytest.fail(step),
        ).carry_out()
        == []
    )


def test_several_steps_begin_together_after_one_that_they_wait_for() -> None:
    together = Barrier(3)

    def work(step: str) -> bool:
        if step != "first":
            together.wait(SOON_S)
        return True

    assert (
        crew({"first": (), "a": ("first",), "b": ("first",), "c": ("first",)}, work, 3).carry_out()
        == []
    )


def test_with_fail_fast_no_other_step_begins() -> None:
    begun: list[str] = []

    def work(step: str) -> bool:
        begun.append(step)
        return step != "a"

    needs: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": ("b",), "z": ("a",)}
    skipped: list[tuple[str, str]] = []
    found = crew(
        needs, work, 1, True, lambda step, other: skipped.append((step, other))
    ).carry_out()
    assert (begun, skipped, found) == (["a"], [("z", "a")], ["b", "c"])


def test_what_is_at_work_when_it_is_closed_is_finished() -> None:
    ended: list[str] = []
    found: list[WorkerPool] = []

    def work(step: str) -> bool:
        found[0].close()
        ended.append(step)
        return True

    found.append(crew(DIAMOND, work))
    assert found[0].carry_out() == ["b", "c", "d"]
    assert ended == ["a"]


def test_nothing_begins_once_it_is_stopped() -> None:
    stopped = Event()

    def work(step: str) -> bool:
        stopped.set()
        return True

    assert crew(DIAMOND, work, stopped=stopped.is_set).carry_out() == ["b", "c", "d"]
    assert crew(DIAMOND, lambda step: pytest.fail(step), stopped=lambda: True).carry_out() == [
        "a",
        "b",
        "c",
        "d",
    ]


@pytest.mark.parametrize("problem", [ValueError("x"), SystemExit(3)])
def test_what_is_raised_in_a_thread_is_raised_to_the_caller_after_the_others_have_ended(
    problem: BaseException,
) -> None:
    ended: list[str] = []
    found: list[WorkerPool] = []

    def work(step: str) -> bool:
        if step == "a":
            raise problem
        with found[0]._changed:
            assert found[0]._changed.wait_for(lambda: found[0]._closed, SOON_S)
        ended.append(step)
        return True

    found.append(crew({"a": (), "b": (), "after b": ("b",)}, work, 2))
    with pytest.raises(type(problem)):
        found[0].carry_out()
    assert ended == ["b"]


def test_what_is_raised_where_a_step_is_skipped_is_raised_to_the_caller() -> None:
    def skip(step: str, other: str) -> None:
        raise ValueError(step)

    with pytest.raises(ValueError, match="b"):
        crew({"a": (), "b": ("a",)}, lambda step: False, skip=skip).carry_out()


def test_a_system_without_threads_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        crew(DIAMOND, lambda step: True).carry_out()


def test_a_thousand_steps_through_two_threads_lose_no_wake_up() -> None:
    needs = {
        f"{number:04}": (f"{number - 7:04}", f"{number - 3:04}") if number > 6 else ()
        for number in range(1000)
    }
    done: list[str] = []

    def work(step: str) -> bool:
        done.append(step)
        return True

    assert crew(needs, work, 2).carry_out() == []
    assert len(set(done)) == 1000
