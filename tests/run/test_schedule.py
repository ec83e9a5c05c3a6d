"""Which step may begin: properties over random graphs, and the order among those that may."""

import graphlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.run.simulated import DIAMOND
from tests.run.strategies import graphs, waits_for
from toolkit.run.schedule import Schedule


def drained(schedule: Schedule) -> list[str]:
    """All that may begin now."""
    result = []
    while (step := schedule.next()) is not None:
        result.append(step)
    return result


def scheduled(needs: dict[str, tuple[str, ...]], done: tuple[str, ...] = ()) -> Schedule:
    return Schedule(needs, dict.fromkeys(needs, 1.0), done)


@given(graphs(), st.randoms(use_true_random=False))
def test_each_step_begins_once_and_after_its_needs(
    needs: dict[str, tuple[str, ...]], chance: Random
) -> None:
    schedule, done, at_work = scheduled(needs), set[str](), list[str]()
    while True:
        step = schedule.next()
        if step is not None:
            assert set(needs[step]) <= done
            assert step not in done | set(at_work)
            at_work.append(step)
        elif at_work:
            over = at_work.pop(chance.randrange(len(at_work)))
            done.add(over)
            schedule.succeeded(over)
        else:
            break
    assert done == set(needs)
    assert not schedule.waiting


@given(graphs(), st.data())
def test_a_failure_skips_what_waits_for_it_and_nothing_else(
    needs: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    broken = data.draw(st.sampled_from(sorted(needs)))
    schedule, begun = scheduled(needs), []
    skipped: list[str] = []
    while (step := schedule.next()) is not None:
        begun.append(step)
        if step == broken:
            skipped = schedule.failed(step)
        else:
            schedule.succeeded(step)
    assert sorted(skipped) == sorted(step for step in needs if broken in waits_for(needs, step))
    assert sorted(begun + skipped) == sorted(needs)
    assert not schedule.waiting


@given(graphs(), st.data())
def test_what_an_earlier_process_did_is_not_done_again(
    needs: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    last = data.draw(st.sampled_from(sorted(needs)))
    done = tuple(waits_for(needs, last))
    schedule = scheduled(needs, done)
    ready = drained(schedule)
    assert last in ready
    assert sorted(ready) == sorted(
        step for step in needs if step not in done and set(needs[step]) <= set(done)
    )


def test_what_failed_in_an_earlier_process_keeps_back_what_waits_for_it() -> None:
    schedule = scheduled(DIAMOND, ("a",))
    assert schedule.retire("b") == ["d"]
    assert (drained(schedule), schedule.waiting) == (["c"], False)


def test_skipped_steps_are_told_in_the_order_of_their_needs() -> None:
    schedule = scheduled({"a": (), "b": ("a",), "c": ("b",), "d": ("c",)})
    assert schedule.next() == "a"
    assert schedule.failed("a") == ["b", "c", "d"]
    assert schedule.failed("a") == [], "each is skipped once"


def test_the_longest_way_goes_first() -> None:
    needs = {"a short": (), "b long": (), "c chain": (), "end": ("c chain",)}
    schedule = Schedule(needs, {"a short": 10.0, "b long": 50.0, "c chain": 20.0, "end": 40.0})
    assert drained(schedule) == ["c chain", "b long", "a short"]


def test_equal_ways_go_by_name() -> None:
    assert drained(scheduled({"c": (), "a": (), "b": ()})) == ["a", "b", "c"]


def test_the_rest_can_be_taken_back_once() -> None:
    schedule = scheduled(DIAMOND)
    assert schedule.next() == "a"
    assert schedule.rest() == ["b", "c", "d"]
    schedule.succeeded("a")
    assert (schedule.next(), schedule.rest(), schedule.waiting) == (None, [], False)


def test_a_circle_is_refused() -> None:
    with pytest.raises(graphlib.CycleError):
        scheduled({"a": ("b",), "b": ("a",)})
